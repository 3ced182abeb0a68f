//! The decoder of `aws-chunked` bodies: `<size>[;chunk-signature=<hex>]`, data, and a trailer.
//!
//! Guarantees: payload is passed on without a copy; however the input is split into frames, at most
//! one header line and the trailer are held; no input makes it panic. A signed chunk may be larger
//! than memory, so its bytes are passed on before its signature is checked: the caller holds the
//! last frame back until the end is verified
//! (docs/architecture.md#bad-bytes-never-replace-good-ones). A chunk may have any size, although S3
//! wants 8,192 bytes in all but the last (docs/clients.md#framing). Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>,
//! `sigv4-streaming-trailers.html`.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use sha2::Digest;

use super::error::{Error, Kind};
use crate::hex::unhex;
use crate::sigv4::ChunkVerifier;

/// The longest line of a chunk's header.
const MAX_LINE_BYTES: usize = 1 << 10;
/// The longest trailer.
const MAX_TRAILER_BYTES: usize = 8 << 10;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Decodes one body.
#[derive(Debug)]
pub(super) struct Decoder {
    /// None: the chunks are not signed.
    signer: Option<ChunkVerifier>,
    state: State,
    /// A line that has not ended yet, or the trailer.
    line: BytesMut,
    /// The last field of the trailer ended in a bare line feed.
    bare_line_feed: bool,
    sha256: sha2::Sha256,
    signature: String,
    trailers: BTreeMap<String, String>,
    /// The lines of the trailer in the form that is signed.
    canonical: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Data {
        remaining: u64,
    },
    /// The line end after the data of a chunk.
    DataEnd,
    Trailer,
    Done,
}

impl Decoder {
    pub fn new(signer: Option<ChunkVerifier>) -> Self {
        Self {
            signer,
            state: State::Header,
            line: BytesMut::new(),
            bare_line_feed: false,
            sha256: sha2::Sha256::default(),
            signature: String::new(),
            trailers: BTreeMap::new(),
            canonical: Vec::new(),
        }
    }

    /// Removes the next payload from `input`. None: more input is needed.
    /// **Errors**: `IncompleteBody` (the framing), `MalformedTrailer`, `SignatureMismatch`.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        while !input.is_empty() {
            match self.state {
                State::Data { remaining } => {
                    let available =
                        usize::try_from(remaining).unwrap_or(usize::MAX).min(input.len());
                    let data = input.split_to(available);
                    let remaining = remaining - data.len() as u64;
                    if self.signer.is_some() {
                        self.sha256.update(&data);
                    }
                    self.state =
                        if remaining == 0 { State::DataEnd } else { State::Data { remaining } };
                    return Ok(Some(data));
                }
                State::Header | State::DataEnd | State::Trailer => {
                    let Some(line) = self.take_line(input)? else { return Ok(None) };
                    self.handle_line(&line)?;
                }
                State::Done => {
                    let what = "there are bytes after the end of the aws-chunked body";
                    return Err(Error::new(Kind::MalformedTrailer, what));
                }
            }
        }
        Ok(None)
    }

    /// The trailers, by lower-case name. **Errors**: `IncompleteBody` before the end of the body;
    /// `SignatureMismatch`.
    pub fn finish(&mut self) -> Result<BTreeMap<String, String>, Error> {
        // Some clients omit the last empty line.
        if self.state == State::Trailer && self.line.is_empty() {
            self.end()?;
        }
        if self.state != State::Done {
            return Err(broken("the aws-chunked body ended before its last chunk"));
        }
        Ok(std::mem::take(&mut self.trailers))
    }

    /// The next line, without its line end. None: more input is needed.
    fn take_line(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let max_bytes =
            if self.state == State::Trailer { MAX_TRAILER_BYTES } else { MAX_LINE_BYTES };
        let taken = end.map_or(input.len(), |end| end + 1);
        if self.line.len() + self.canonical.len() + taken > max_bytes {
            return Err(broken("a line of the aws-chunked body is too long"));
        }
        self.line.extend_from_slice(&input[..taken]);
        input.advance(taken);
        if end.is_none() {
            return Ok(None);
        }
        let mut line = self.line.split().freeze();
        if self.state == State::Trailer && self.completes_line_end(&line) {
            return self.take_line(input);
        }
        // Only fields of the trailer may end in a bare line feed.
        let bare = line.strip_suffix(b"\n").filter(|_| self.state == State::Trailer);
        let ended = line.strip_suffix(b"\r\n").or(bare);
        let len = ended.ok_or_else(|| broken("a line of the aws-chunked body has no CRLF"))?.len();
        line.truncate(len);
        Ok(Some(line))
    }

    /// Whether this line of the trailer is the second half of `\n\r\n`, with which S3's grammar
    /// ends a field (and minio-go, and so `mc`); other clients end it with `\r\n`.
    fn completes_line_end(&mut self, line: &[u8]) -> bool {
        let ends_bare = line.len() > 1 && !line.ends_with(b"\r\n");
        std::mem::replace(&mut self.bare_line_feed, ends_bare) && line == b"\r\n"
    }

    fn handle_line(&mut self, line: &[u8]) -> Result<(), Error> {
        match self.state {
            State::Header => self.header(line),
            State::DataEnd if line.is_empty() => {
                self.check_chunk()?;
                self.state = State::Header;
                Ok(())
            }
            State::DataEnd => {
                Err(broken("a chunk of the aws-chunked body is longer than its header says"))
            }
            State::Trailer if line.is_empty() => self.end(),
            State::Trailer => self.trailer(line),
            State::Data { .. } | State::Done => Ok(()),
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Error> {
        let malformed = || broken("a chunk header of the aws-chunked body is malformed");
        let text = std::str::from_utf8(line).map_err(|_| malformed())?;
        let (size, extension) = text.split_once(';').unwrap_or((text, ""));
        let is_hex = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| is_hex).ok_or_else(malformed)?;
        self.signature = extension.strip_prefix("chunk-signature=").unwrap_or_default().to_owned();
        if self.signer.is_some() && unhex::<32>(&self.signature).is_none() {
            return Err(broken("a chunk of the aws-chunked body has no signature"));
        }
        self.state = State::Data { remaining: size };
        if size == 0 {
            self.check_chunk()?;
            self.state = State::Trailer;
        }
        Ok(())
    }

    fn check_chunk(&mut self) -> Result<(), Error> {
        let Some(signer) = &mut self.signer else { return Ok(()) };
        let sha256 = std::mem::take(&mut self.sha256).finalize().into();
        if signer.verify_chunk(&sha256, &self.signature) {
            return Ok(());
        }
        Err(Error::new(Kind::SignatureMismatch, "a chunk's signature does not match"))
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), Error> {
        let text = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':'));
        let (name, value) = text.ok_or_else(|| {
            let what = "the trailer of the aws-chunked body is malformed";
            Error::new(Kind::MalformedTrailer, what)
        })?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        if name != TRAILER_SIGNATURE {
            self.canonical.extend_from_slice(format!("{name}:{value}\n").as_bytes());
        }
        self.trailers.insert(name, value);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        self.state = State::Done;
        let signature = self.trailers.remove(TRAILER_SIGNATURE);
        let Some(signer) = self.signer.as_mut().filter(|_| !self.canonical.is_empty()) else {
            return Ok(());
        };
        if signature.is_some_and(|signature| signer.verify_trailer(&self.canonical, &signature)) {
            return Ok(());
        }
        Err(Error::new(Kind::SignatureMismatch, "the signature of the trailer does not match"))
    }
}

/// The framing is broken. S3 has one code for it and for a body that ends too early.
fn broken(what: &str) -> Error {
    Error::new(Kind::IncompleteBody, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn decode(body: &[u8], cut: usize) -> Result<(Vec<u8>, BTreeMap<String, String>), Error> {
        let mut decoder = Decoder::new(None);
        let mut all = Vec::new();
        for frame in body.chunks(cut.max(1)) {
            let mut input = Bytes::copy_from_slice(frame);
            while let Some(data) = decoder.next(&mut input)? {
                all.extend_from_slice(&data);
            }
        }
        Ok((all, decoder.finish()?))
    }

    const BODY: &[u8] =
        b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";

    #[test]
    fn the_result_does_not_depend_on_the_frames() {
        for cut in 1..=BODY.len() {
            let (all, trailers) = decode(BODY, cut).unwrap();
            assert_eq!(all, b"hello world", "{cut}");
            assert_eq!(trailers.get("x-amz-checksum-crc32").map(String::as_str), Some("AAAAAA=="));
        }
        assert!(decode(b"0\r\n\r\n", 1).is_ok() && decode(b"0\r\n", 1).is_ok(), "the empty body");
    }

    /// `name:value\n\r\n`, as minio-go frames it: with an empty line after it, and without.
    #[test]
    fn a_field_of_the_trailer_may_end_in_three_bytes() {
        for end in ["\n\r\n\r\n", "\n\r\n", "\n\n", "\n", "\r\n\r\n", "\r\n", "\n\r\nb:2\r\n\r\n"] {
            let body = format!("1\r\nx\r\n0\r\na:1{end}");
            for cut in 1..=body.len() {
                let (all, trailers) = decode(body.as_bytes(), cut).unwrap();
                assert_eq!((all.as_slice(), trailers["a"].as_str()), (&b"x"[..], "1"), "{end:?}");
            }
            let more = format!("{body}\r\n\r\nx");
            assert!(decode(more.as_bytes(), 3).is_err(), "{end:?}");
        }
    }

    #[test]
    fn a_malformed_body_is_refused() {
        let long = [b"5;", vec![b'a'; 2000].as_slice()].concat();
        for bad in [
            &b"x\r\n"[..],
            b"-1\r\n",
            b"\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5\r\nhel",
            b"5\r\nhello\r\n",
            b"0\r\nnocolon\r\n\r\n",
            b"0\r\n\r\nmore",
            b"fffffffffffffffff\r\n",
            &long,
        ] {
            assert!(decode(bad, 3).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn a_framed_body_is_decoded(
            data in proptest::collection::vec(any::<u8>(), 0..500),
            size in 1_usize..100,
            cut in 1_usize..50,
        ) {
            let mut body = Vec::new();
            for chunk in data.chunks(size) {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode(&body, cut).unwrap().0, data);
        }

        #[test]
        fn no_input_makes_it_panic(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 1_usize..50,
        ) {
            decode(&body, cut).ok();
        }
    }
}
