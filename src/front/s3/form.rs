//! Parsing a `multipart/form-data` form: its fields, and the file, after which all is ignored.
//!
//! Guarantees: the length of the fields is bounded; the file is streamed; what precedes the first
//! delimiter is ignored. Source: RFC 7578, RFC 2046 §5.1.1;
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;

use super::error::S3Error;
use super::form_file::{File, MAX_TAIL_BYTES, find};
use super::parameters::{base_name, parameter};
use crate::web::{self, BoxError, RequestBody};

/// The longest that all fields may be together, with their heads.
const MAX_FIELD_BYTES: usize = 64 << 10;

/// A form that is parsed up to its file.
pub struct Form {
    /// By lower-case name; `${filename}` is replaced in their values.
    pub fields: BTreeMap<String, String>,
    /// The lengths that the file can have. Which one it is shows only at its end, as fields may
    /// follow it.
    pub len_bytes: RangeInclusive<u64>,
    pub file: File,
}

pub(super) fn malformed(what: &str) -> S3Error {
    let message = format!("the form is malformed: {what}");
    S3Error::new(http::StatusCode::BAD_REQUEST, "MalformedPOSTRequest", message)
}

fn without_file() -> S3Error {
    S3Error::invalid("POST requires exactly one file upload per request.")
        .with_argument("file", None)
}

/// Whether a content type is that of a form.
pub fn is_form(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("multipart/form-data")
}

/// The boundary that a content type names.
pub fn boundary(content_type: &str) -> Option<String> {
    if !is_form(content_type) {
        return None;
    }
    parameter(content_type, "boundary").filter(|found| (1..=70).contains(&found.len()))
}

/// Reads the form up to its file. `len_bytes` is that of the whole form. **Errors**:
/// `MalformedPOSTRequest`, `InvalidArgument` without a file.
pub async fn read(mut body: RequestBody, boundary: &str, len_bytes: u64) -> Result<Form, S3Error> {
    let delimiter = format!("\r\n--{boundary}");
    let mut fields = BTreeMap::new();
    let mut buffer = FieldBuffer::new();
    // Before the first delimiter may be a preamble.
    buffer.take_until(&mut body, &delimiter).await?;
    loop {
        buffer.skip(&delimiter);
        if buffer.starts_with(&mut body, "--").await? {
            return Err(without_file());
        }
        let head = buffer.take_until(&mut body, "\r\n\r\n").await?;
        let (name, file_name) = disposition(part_head(&head)?)?;
        buffer.skip("\r\n\r\n");
        if name == "file" {
            let end_bytes = delimiter.len() + "--".len();
            let used_bytes = buffer.taken - FIRST_LINE_END.len();
            let most = len_bytes
                .checked_sub((used_bytes + end_bytes) as u64)
                .ok_or_else(|| malformed("it ends before its file"))?;
            let file_name = file_name.unwrap_or_default();
            for value in fields.values_mut() {
                insert_file_name(value, base_name(&file_name));
            }
            let file = File::new(body, delimiter.into_bytes(), buffer.bytes);
            let len_bytes = most.saturating_sub(MAX_TAIL_BYTES)..=most;
            return Ok(Form { fields, len_bytes, file });
        }
        let value = buffer.take_until(&mut body, &delimiter).await?;
        let text =
            String::from_utf8(value.to_vec()).map_err(|_| malformed("a field is not UTF-8"))?;
        if fields.insert(name.to_ascii_lowercase(), text).is_some() {
            return Err(malformed("a field is given twice"));
        }
    }
}

fn insert_file_name(value: &mut String, file_name: &str) {
    const VARIABLE: &str = "${filename}";
    if value.contains(VARIABLE) {
        *value = value.replace(VARIABLE, file_name);
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
            self.receive(body).await?;
        }
    }

    /// Whether the next bytes are this text. **Errors**: those of `take_until`.
    async fn starts_with(&mut self, body: &mut RequestBody, text: &str) -> Result<bool, S3Error> {
        while self.bytes.len() < text.len() {
            self.receive(body).await?;
        }
        Ok(self.bytes.starts_with(text.as_bytes()))
    }

    async fn receive(&mut self, body: &mut RequestBody) -> Result<(), S3Error> {
        match body.next().await {
            Some(Ok(frame)) => self.bytes.extend_from_slice(&frame),
            Some(Err(cause)) => return Err(body_error(cause)),
            None => return Err(malformed("it has no file")),
        }
        Ok(())
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

/// The headers of a part, which follow the line of the delimiter.
fn part_head(head: &[u8]) -> Result<&str, S3Error> {
    let head = std::str::from_utf8(head).map_err(|_| malformed("a head is not UTF-8"))?;
    let lines = head.trim_start_matches([' ', '\t']).strip_prefix("\r\n");
    lines.ok_or_else(|| malformed("a delimiter does not end its line"))
}

/// The parameters `name` and `filename` of a part.
fn disposition(head: &str) -> Result<(String, Option<String>), S3Error> {
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    });
    let line = line.ok_or_else(|| malformed("a part has no Content-Disposition"))?;
    let name = parameter(line, "name").ok_or_else(|| malformed("a part has no name"))?;
    Ok((name, parameter(line, "filename")))
}

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::clock::Clock;
    use crate::web::Settings;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"Key\"\r\n\r\na/${filename}\r\n--b \r\n\
                        Content-Disposition: form-data; name=\"file\"; filename=\"C:\\d\\f.txt\"\r\n\
                        Content-Type: x/y\r\n\r\nhel\r\n--lo\r\n--b--";

    async fn parse(
        bytes: &[u8],
        cut: usize,
    ) -> Result<(BTreeMap<String, String>, Vec<u8>), String> {
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
        let file = file.concat();
        assert!(form.len_bytes.contains(&(file.len() as u64)), "{:?}", form.len_bytes);
        Ok((form.fields, file))
    }

    #[tokio::test]
    async fn frames_of_any_size_give_the_same_form() {
        for cut in 1..=FORM.len() {
            let (fields, file) = parse(FORM.as_bytes(), cut).await.unwrap();
            let expected = BTreeMap::from([("key".to_owned(), "a/f.txt".to_owned())]);
            assert_eq!(fields, expected, "{cut}");
            assert_eq!(file.as_slice(), &b"hel\r\n--lo"[..], "{cut}");
        }
    }

    #[tokio::test]
    async fn what_stands_around_the_form_and_after_the_file_is_ignored() {
        let field = "\r\n--b\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUp\r\n--b--";
        let after = FORM.replace("--lo\r\n--b--", &format!("--lo{field}"));
        let large = "x".repeat(MAX_TAIL_BYTES as usize);
        for (form, accepted) in [
            (format!("{FORM}\r\n"), true),
            (format!("{FORM}\r\nepilogue"), true),
            (format!("preamble\r\n{FORM}"), true),
            (after.clone(), true),
            (format!("{after}\r\n"), true),
            (after.replace("Up", &"x".repeat(60_000)), true),
            (after.replace("Up", &large), false),
            (after.replace("Up\r\n--b--", "Up\r\n--b-"), false),
            (after.replace("Up\r\n--b--", "Up"), false),
            (FORM.replace("lo\r\n--b--", "lo\r\n--bb--"), false),
        ] {
            for cut in [1, 7, form.len()] {
                let parsed = parse(form.as_bytes(), cut).await;
                let file = parsed.as_ref().map(|(_, file)| file.as_slice()).ok();
                assert_eq!(file, accepted.then_some(&b"hel\r\n--lo"[..]), "{cut}: {parsed:?}");
            }
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
        let of = |text: &str| boundary(&format!("multipart/form-data; {text}"));
        assert_eq!(of("boundary=\"x y\""), Some("x y".to_owned()));
        assert_eq!(of("charset=utf-8; Boundary=\"x;y\""), Some("x;y".to_owned()));
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
