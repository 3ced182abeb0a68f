//! The decoder of `aws-chunked` bodies: `<size>[;chunk-signature=<hex>]`, data, and a trailer.
//!
//! Guarantees: payload is passed on as it came, not copied; whatever the cut of the input, no more
//! than one header line and the trailer are held; no input makes it panic. A signed chunk may be
//! longer than memory, so its bytes are given out before its signature is checked: who uses them
//! holds the last ones back until the end is reached. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>,
//! `sigv4-streaming-trailers.html`.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use sha2::Digest;

use super::error::{Error, Kind};
use crate::sigv4::ChunkVerifier;

/// The longest line of a chunk's header.
const MAX_LINE: usize = 1 << 10;
/// The longest trailer.
const MAX_TRAILER: usize = 8 << 10;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Decodes one body.
#[derive(Debug)]
pub(super) struct Decoder {
    /// None: the chunks are not signed.
    signer: Option<ChunkVerifier>,
    state: State,
    /// A line that has not ended yet, or the trailer.
    line: BytesMut,
    sha256: sha2::Sha256,
    signature: String,
    trailers: BTreeMap<String, String>,
    /// Name and value lines as they are signed.
    canonical: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Data {
        left: u64,
    },
    /// The line feed behind a chunk's data.
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
            sha256: sha2::Sha256::default(),
            signature: String::new(),
            trailers: BTreeMap::new(),
            canonical: Vec::new(),
        }
    }

    /// Takes what can be decoded off `input`: the next payload, or None once more input is needed.
    /// **Errors**: `BadRequest` (the framing), `SignatureMismatch`.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        while !input.is_empty() {
            match self.state {
                State::Data { left } => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let data = input.split_to(most);
                    let left = left - data.len() as u64;
                    if self.signer.is_some() {
                        self.sha256.update(&data);
                    }
                    self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
                    return Ok(Some(data));
                }
                State::Header | State::DataEnd | State::Trailer => {
                    let Some(line) = self.take_line(input)? else { return Ok(None) };
                    self.line_came(&line)?;
                }
                State::Done => {
                    return Err(Error::bad(
                        "there are bytes behind the end of the aws-chunked body",
                    ));
                }
            }
        }
        Ok(None)
    }

    /// The trailers, by lower-case name. **Errors**: `IncompleteBody` where the end has not come;
    /// `SignatureMismatch`.
    pub fn finish(&mut self) -> Result<BTreeMap<String, String>, Error> {
        // Some clients leave the last empty line away.
        if self.state == State::Trailer && self.line.is_empty() {
            self.end()?;
        }
        if self.state != State::Done {
            return Err(Error::new(
                Kind::IncompleteBody,
                "the aws-chunked body ended before its last chunk",
            ));
        }
        Ok(std::mem::take(&mut self.trailers))
    }

    /// A line without its end; None while it has not ended.
    fn take_line(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let most = if self.state == State::Trailer { MAX_TRAILER } else { MAX_LINE };
        let taken = end.map_or(input.len(), |end| end + 1);
        if self.line.len() + self.canonical.len() + taken > most {
            return Err(Error::bad("a line of the aws-chunked body is too long"));
        }
        self.line.extend_from_slice(&input[..taken]);
        input.advance(taken);
        if end.is_none() {
            return Ok(None);
        }
        let mut line = self.line.split().freeze();
        let bare =
            line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).map_or(line.len(), <[u8]>::len);
        line.truncate(bare);
        Ok(Some(line))
    }

    fn line_came(&mut self, line: &[u8]) -> Result<(), Error> {
        match self.state {
            State::Header => self.header(line),
            State::DataEnd if line.is_empty() => {
                self.check_chunk()?;
                self.state = State::Header;
                Ok(())
            }
            State::DataEnd => {
                Err(Error::bad("a chunk of the aws-chunked body is longer than its header says"))
            }
            State::Trailer if line.is_empty() => self.end(),
            State::Trailer => self.trailer(line),
            State::Data { .. } | State::Done => Ok(()),
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Error> {
        let malformed = || Error::bad("a chunk header of the aws-chunked body is malformed");
        let text = std::str::from_utf8(line).map_err(|_| malformed())?;
        let (size, extension) = text.split_once(';').unwrap_or((text, ""));
        let plain = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| plain).ok_or_else(malformed)?;
        self.signature = extension.strip_prefix("chunk-signature=").unwrap_or_default().to_owned();
        if self.signer.is_some() && self.signature.is_empty() {
            return Err(Error::new(Kind::SignatureMismatch, "a chunk of the body is not signed"));
        }
        self.state = State::Data { left: size };
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
        let (name, value) =
            text.ok_or_else(|| Error::bad("the trailer of the aws-chunked body is malformed"))?;
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
    fn every_cut_decodes_alike() {
        for cut in 1..=BODY.len() {
            let (all, trailers) = decode(BODY, cut).unwrap();
            assert_eq!(all, b"hello world", "{cut}");
            assert_eq!(trailers.get("x-amz-checksum-crc32").map(String::as_str), Some("AAAAAA=="));
        }
        assert!(decode(b"0\r\n\r\n", 1).is_ok() && decode(b"0\r\n", 1).is_ok(), "the empty body");
    }

    #[test]
    fn what_is_malformed_is_refused() {
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
        fn what_is_framed_comes_back(
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
        fn nothing_makes_it_panic(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 1_usize..50,
        ) {
            decode(&body, cut).ok();
        }
    }
}
