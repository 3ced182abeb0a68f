//! Parsing a `multipart/form-data` form: its fields, and the file, which is last.
//!
//! Guarantees: the length of the fields is bounded; the file is streamed; the end of the form is
//! checked before the last bytes of the file are passed on, so that a truncated form stores
//! nothing. Source: RFC 7578, RFC 2046 §5.1.1;
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::error::S3Error;
use crate::clock::Clock;
use crate::web::{self, BoxError, Permit, RequestBody};

/// The longest that all fields may be together, with their heads.
const MAX_FIELD_BYTES: usize = 64 << 10;

/// A form that is parsed up to its file.
pub struct Form {
    /// By lower-case name.
    pub fields: BTreeMap<String, String>,
    pub file_name: String,
    /// The length of the file.
    pub len_bytes: u64,
    pub file: File,
}

/// The bytes of the file, without the end of the form.
pub struct File {
    body: RequestBody,
    /// Bytes that were received and may belong to the end of the form.
    held: BytesMut,
    /// The end of the form.
    end: Vec<u8>,
}

fn malformed(what: &str) -> S3Error {
    let message = format!("the form is malformed: {what}");
    S3Error::new(http::StatusCode::BAD_REQUEST, "MalformedPOSTRequest", message)
}

/// The boundary that a content type names.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let found =
        parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    let found = found.trim_matches('"');
    ((1..=70).contains(&found.len())).then(|| found.to_owned())
}

/// Reads the form up to its file. **Errors**: `MalformedPOSTRequest`.
pub async fn read(mut body: RequestBody, boundary: &str, len_bytes: u64) -> Result<Form, S3Error> {
    let delimiter = format!("\r\n--{boundary}");
    let mut fields = BTreeMap::new();
    let mut buffer = FieldBuffer::new();
    loop {
        let head = buffer.take_until(&mut body, "\r\n\r\n").await?;
        let (name, file_name) = disposition(part_head(&head, &delimiter)?)?;
        if name == "file" {
            let used = buffer.taken + "\r\n\r\n".len() - FIRST_LINE_END.len();
            let end = format!("{delimiter}--\r\n").into_bytes();
            let file_len_bytes = len_bytes.checked_sub((used + end.len()) as u64);
            let len_bytes = file_len_bytes.ok_or_else(|| malformed("it ends before its file"))?;
            buffer.skip("\r\n\r\n");
            let file = File { body, held: buffer.bytes, end };
            return Ok(Form { fields, file_name: file_name.unwrap_or_default(), len_bytes, file });
        }
        buffer.skip("\r\n\r\n");
        let value = buffer.take_until(&mut body, &delimiter).await?;
        let text =
            String::from_utf8(value.to_vec()).map_err(|_| malformed("a field is not UTF-8"))?;
        if fields.insert(name.to_ascii_lowercase(), text).is_some() {
            return Err(malformed("a field is given twice"));
        }
    }
}

/// Put before the form, so that its first delimiter is like the others.
const FIRST_LINE_END: &str = "\r\n";

/// Received bytes of the fields that are not parsed yet.
struct FieldBuffer {
    bytes: BytesMut,
    /// How many bytes were taken from the buffer.
    taken: usize,
    #[cfg(test)]
    searched: usize,
}

impl FieldBuffer {
    fn new() -> Self {
        Self {
            bytes: BytesMut::from(FIRST_LINE_END),
            taken: 0,
            #[cfg(test)]
            searched: 0,
        }
    }

    /// Takes the bytes before a mark, which stays in the buffer. Each byte is searched about once,
    /// however small the frames of the body are. **Errors**: `MalformedPOSTRequest` if the body
    /// ends before the mark or the fields are too long.
    async fn take_until(&mut self, body: &mut RequestBody, mark: &str) -> Result<Bytes, S3Error> {
        let mut searched = 0;
        loop {
            #[cfg(test)]
            {
                self.searched += self.bytes.len() - searched;
            }
            if let Some(at) = find(&self.bytes[searched..], mark.as_bytes()) {
                self.taken += searched + at;
                self.require_short(0)?;
                return Ok(self.bytes.split_to(searched + at).freeze());
            }
            // The mark may begin at the end of these bytes.
            searched = self.bytes.len().saturating_sub(mark.len() - 1);
            self.require_short(self.bytes.len())?;
            match body.next().await {
                Some(Ok(frame)) => self.bytes.extend_from_slice(&frame),
                Some(Err(cause)) => return Err(body_error(cause)),
                None => return Err(malformed("it has no file")),
            }
        }
    }

    fn require_short(&self, more_bytes: usize) -> Result<(), S3Error> {
        if self.taken + more_bytes > MAX_FIELD_BYTES {
            Err(malformed("its fields are too long"))
        } else {
            Ok(())
        }
    }

    /// Takes a mark from the beginning of the buffer.
    fn skip(&mut self, mark: &str) {
        self.bytes.advance(mark.len());
        self.taken += mark.len();
    }
}

/// A body that arrives too slowly is a timeout, not a malformed form.
fn body_error(cause: BoxError) -> S3Error {
    match cause.downcast::<web::Error>() {
        Ok(error) => S3Error::from(*error),
        Err(_) => malformed("it has no file"),
    }
}

/// The headers of a part, which follow the delimiter and its line end.
fn part_head<'a>(head: &'a [u8], delimiter: &str) -> Result<&'a str, S3Error> {
    let lines = head.strip_prefix(delimiter.as_bytes()).and_then(|rest| rest.strip_prefix(b"\r\n"));
    let lines = lines.ok_or_else(|| malformed("there is no file, or a delimiter is missing"))?;
    std::str::from_utf8(lines).map_err(|_| malformed("a head is not UTF-8"))
}

/// The parameters `name` and `filename` of a part.
fn disposition(head: &str) -> Result<(String, Option<String>), S3Error> {
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    });
    let line = line.ok_or_else(|| malformed("a part has no Content-Disposition"))?;
    let parameter = |name: &str| {
        line.split(';').find_map(|part| {
            let value = part.trim().strip_prefix(name)?.strip_prefix('=')?;
            Some(value.trim_matches('"').to_owned())
        })
    };
    Ok((parameter("name").ok_or_else(|| malformed("a part has no name"))?, parameter("filename")))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

impl File {
    /// The same file, read no faster than the rate limit of the permit allows.
    pub fn throttled(mut self, permit: &Permit, clock: &Clock) -> Self {
        self.body = self.body.throttled(permit, clock);
        self
    }
}

impl Stream for File {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.held.len() > this.end.len() {
                let out = this.held.len() - this.end.len();
                return Poll::Ready(Some(Ok(this.held.split_to(out).freeze())));
            }
            match ready!(Pin::new(&mut this.body).poll_next(cx)) {
                Some(Ok(frame)) => this.held.extend_from_slice(&frame),
                Some(Err(cause)) => return Poll::Ready(Some(Err(cause))),
                None if this.held == this.end => return Poll::Ready(None),
                None => {
                    return Poll::Ready(Some(Err("the form does not end after its file".into())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::web::Settings;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"Key\"\r\n\r\na\r\n--b\r\nContent-Disposition: form-data; \
                        name=\"file\"; filename=\"f.txt\"\r\nContent-Type: x/y\r\n\r\nhel\r\n--lo\r\n--b--\r\n";

    async fn parse(
        bytes: &[u8],
        cut: usize,
    ) -> Result<(BTreeMap<String, String>, u64, Vec<u8>), String> {
        let frames: Vec<_> = bytes
            .chunks(cut.max(1))
            .map(|frame| Ok(Frame::data(Bytes::copy_from_slice(frame))))
            .collect();
        let body = StreamBody::new(stream::iter(
            frames.into_iter().map(|frame: Result<_, BoxError>| frame),
        ));
        let body = RequestBody::new(body, Clock::seeded(1), &Settings::default());
        let form = read(body, "b", bytes.len() as u64)
            .await
            .map_err(|error| error.message().to_owned())?;
        let file: Vec<Bytes> = form.file.try_collect().await.map_err(|error| error.to_string())?;
        Ok((form.fields, form.len_bytes, file.concat()))
    }

    #[tokio::test]
    async fn frames_of_any_size_give_the_same_form() {
        for cut in 1..=FORM.len() {
            let (fields, len, file) = parse(FORM.as_bytes(), cut).await.unwrap();
            assert_eq!(fields, BTreeMap::from([("key".to_owned(), "a".to_owned())]), "{cut}");
            assert_eq!((len, file.as_slice()), (9, &b"hel\r\n--lo"[..]), "{cut}");
        }
    }

    #[tokio::test]
    async fn truncated_and_malformed_forms_are_refused() {
        for end in 0..FORM.len() {
            assert!(parse(&FORM.as_bytes()[..end], 7).await.is_err(), "{end}");
        }
        let long = format!(
            "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{}",
            "x".repeat(MAX_FIELD_BYTES)
        );
        assert!(parse(long.as_bytes(), 1000).await.is_err());
        let field = |name: usize| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n\r\n")
        };
        let many: String = (0..2000).map(field).collect();
        assert!(
            parse(format!("{many}{FORM}").as_bytes(), 100_000).await.is_err(),
            "names count too"
        );
        assert!(parse(format!("{}{FORM}", field(1)).as_bytes(), 100).await.is_ok());
        assert!(
            parse(format!("{}{}{FORM}", field(1), field(1)).as_bytes(), 100).await.is_err(),
            "one name, two values"
        );
        assert_eq!(boundary("multipart/form-data; boundary=\"x y\""), Some("x y".to_owned()));
        assert_eq!(boundary("text/plain; boundary=x"), None);
    }

    #[tokio::test]
    async fn each_byte_is_searched_about_once_whatever_the_frames() {
        const LEN: usize = 50_000;
        let pieces = std::iter::repeat_n(&b"x"[..], LEN).chain([&b"\r\n--b"[..]]);
        let frames = pieces.map(|piece| Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece))));
        let body = StreamBody::new(stream::iter(frames));
        let mut body = RequestBody::new(body, Clock::seeded(1), &Settings::default());
        let mut buffer = FieldBuffer::new();
        let value = buffer.take_until(&mut body, "\r\n--b").await.unwrap();
        assert_eq!(value.len(), LEN + FIRST_LINE_END.len());
        assert!(buffer.searched < 8 * LEN, "{} bytes searched of {LEN}", buffer.searched);
    }

    proptest! {
        #[test]
        fn no_input_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 1_usize..50,
        ) {
            let bytes = [b"--b\r\n".as_slice(), &bytes].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.unwrap();
            runtime.block_on(parse(&bytes, cut)).ok();
        }
    }
}
