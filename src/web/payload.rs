//! The body of an S3 request: decoded from its framing, and verified against what the request
//! declares of it.
//!
//! Guarantees: the last bytes are passed on only once length, digests, checksum, trailer and
//! signatures agree; a body that does not agree fails before, so that a store keeps nothing of it
//! (docs/architecture.md#bad-bytes-never-replace-good-ones). Only what is declared is hashed, once.
//! Only the last frame is held where the length is known
//! (docs/decisions/0003-only-the-last-frame-is-held-back.md). It does not know what the bytes are
//! for. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll, ready};

use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, header, request};

use super::auth::PayloadSignature;
use super::aws_chunked::Decoder;
use super::body::RequestBody;
use super::error::{Detail, Error, Kind};
use crate::digest::verified::{
    BodySource, Expectation, Mismatch, Outcome, Sha256Check, SourceError, VerifiedBody,
};
use crate::digest::{Algorithm, Checksum, ChecksumHasher, Digests, Sha256};
use crate::header_names::{CHECKSUM_PREFIX, DECODED_LENGTH, TRAILER};
use crate::hex::hex;
use crate::sigv4::{SignedPayload, StreamForm};

const MD5: HeaderName = HeaderName::from_static("content-md5");
/// Headers with the prefix of checksums that only say something about one.
const ABOUT_CHECKSUMS: [&str; 3] = ["algorithm", "mode", "type"];
const SDK_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");

/// What a request's head declares of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Without framing; None where the head does not say.
    pub len_bytes: Option<u64>,
    /// From the signature or from the checksum.
    pub sha256: Option<Sha256>,
    pub md5: Option<[u8; 16]>,
    pub checksum: Option<Checksum>,
    /// The algorithm of a checksum whose value follows the body.
    pub trailer: Option<Algorithm>,
}

impl Declared {
    /// **Errors**: those of `stated`, and `BadDigest`.
    pub fn read(head: &request::Parts, signature: &PayloadSignature) -> Result<Self, Error> {
        let declared = Self::stated(head, signature)?;
        declared.require_one_sha256()?;
        Ok(declared)
    }

    /// As `read`, for a caller that looks at the algorithm before any digest is compared: it calls
    /// `require_one_sha256` then. **Errors**: `BadRequest`, `InvalidDigest`, `LengthRequired`.
    pub fn stated(head: &request::Parts, signature: &PayloadSignature) -> Result<Self, Error> {
        let declared =
            Self { checksum: checksum(&head.headers)?, ..Self::without_checksum(head, signature)? };
        if declared.checksum.is_some() && declared.trailer.is_some() {
            return Err(Error::bad(ONE_CHECKSUM));
        }
        check_sdk_algorithm(&head.headers, declared.algorithm())?;
        let from_checksum = declared.checksum.as_ref().and_then(Checksum::sha256);
        Ok(Self { sha256: signature.sha256().or(from_checksum), ..declared })
    }

    /// **Errors**: `BadDigest` where the signature states another SHA-256 than the checksum:
    /// whatever the bytes are, one of the two is wrong.
    pub fn require_one_sha256(&self) -> Result<(), Error> {
        match self.checksum.as_ref().and_then(Checksum::sha256) {
            Some(sha256) if self.sha256 != Some(sha256) => Err(wrong_checksum(Algorithm::Sha256)),
            Some(_) | None => Ok(()),
        }
    }

    /// As `read`, where a checksum in the head is not that of the body: Complete's is that of the
    /// object. **Errors**: `BadRequest`, `InvalidDigest`.
    pub fn without_checksum(
        head: &request::Parts,
        signature: &PayloadSignature,
    ) -> Result<Self, Error> {
        let headers = &head.headers;
        let framed = matches!(signature.claim, SignedPayload::Streaming(_));
        let name = if framed { DECODED_LENGTH } else { header::CONTENT_LENGTH };
        // As at S3, a length that is no number declares none.
        let number = |text: &str| {
            let what = format!("{name} is not a number");
            text.parse().map_err(|_| Error::new(Kind::LengthRequired, what))
        };
        Ok(Self {
            len_bytes: text(headers, &name)?.map(number).transpose()?,
            sha256: signature.sha256(),
            md5: text(headers, &MD5)?.map(parse_md5).transpose()?,
            checksum: None,
            trailer: text(headers, &TRAILER)?.map(parse_trailer).transpose()?,
        })
    }

    /// The algorithm of the client's checksum, in the head or in the trailer.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.checksum.as_ref().map(Checksum::algorithm).or(self.trailer)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let text = headers.get(name).map(|value| value.to_str().map(str::trim));
    text.transpose().map_err(|_| Error::bad(format!("{name} is not plain text")))
}

/// The last character of an MD5 has bits that mean nothing; S3 takes any.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn parse_md5(text: &str) -> Result<[u8; 16], Error> {
    let bytes = LENIENT.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        Error::new(Kind::InvalidDigest, "Content-MD5 is not the Base64 of an MD5")
            .with(Detail::ContentMd5(text.to_owned()))
    })
}

fn parse_trailer(text: &str) -> Result<Algorithm, Error> {
    let found = Algorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.header().as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        Error::bad("The value specified in the x-amz-trailer header is not supported")
    })
}

const ONE_CHECKSUM: &str =
    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";

/// The header with a checksum in a head: its algorithm and its text. **Errors**: `BadRequest` for
/// an unknown algorithm, and for more than one header.
pub fn checksum_header(headers: &HeaderMap) -> Result<Option<(Algorithm, &str)>, Error> {
    let mut found = None;
    for (name, value) in headers {
        let Some(suffix) = name.as_str().strip_prefix(CHECKSUM_PREFIX) else { continue };
        if ABOUT_CHECKSUMS.contains(&suffix) {
            continue;
        }
        let algorithm = suffix.parse::<Algorithm>().map_err(|_| {
            Error::bad("The algorithm type you specified in x-amz-checksum- header is invalid.")
        })?;
        let text = value.to_str().map_err(|_| invalid_checksum(algorithm))?;
        if found.replace((algorithm, text.trim())).is_some() {
            return Err(Error::bad(ONE_CHECKSUM));
        }
    }
    Ok(found)
}

/// The checksum in the head.
fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Error> {
    let Some((algorithm, text)) = checksum_header(headers)? else { return Ok(None) };
    let checksum = Checksum::from_base64(algorithm, text);
    checksum.map(Some).ok_or_else(|| invalid_checksum(algorithm))
}

fn invalid_checksum(algorithm: Algorithm) -> Error {
    invalid_value(&algorithm.header())
}

fn wrong_checksum(algorithm: Algorithm) -> Error {
    let what = format!("The {algorithm} you specified did not match the calculated checksum.");
    Error::new(Kind::BadDigest, what)
}

fn invalid_value(name: &HeaderName) -> Error {
    Error::bad(format!("Value for {name} header is invalid."))
}

/// An SDK names the algorithm of the checksum that it sends: without one, the checksum was lost on
/// its way.
fn check_sdk_algorithm(headers: &HeaderMap, sent: Option<Algorithm>) -> Result<(), Error> {
    match (named_algorithm(headers, &SDK_ALGORITHM)?, sent) {
        (None, _) => Ok(()),
        (Some(named), Some(sent)) if named == sent => Ok(()),
        (Some(_), Some(_)) => Err(invalid_value(&SDK_ALGORITHM)),
        (Some(_), None) => Err(Error::bad(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
             x-amz-trailer headers were found.",
        )),
    }
}

/// The algorithm that a header names. **Errors**: `BadRequest`.
pub fn named_algorithm(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Algorithm>, Error> {
    let parse =
        |text: &str| Algorithm::from_str(text).map_err(|error| Error::bad(error.to_string()));
    text(headers, name)?.map(parse).transpose()
}

/// The decoded, verified bytes of a request.
pub type Payload = VerifiedBody<PayloadSource>;

/// The client's checksum, where it sent one, or why the body was refused.
pub type PayloadOutcome = Outcome<Option<Checksum>, Error>;

impl Payload {
    /// `declared` is what is to be verified: a caller that compares a digest itself takes it out.
    pub fn new(
        declared: Declared,
        signature: &PayloadSignature,
        body: RequestBody,
    ) -> (Self, PayloadOutcome) {
        let decoder = match signature.claim {
            SignedPayload::Streaming(StreamForm::UnsignedTrailer) => Some(Decoder::new(None)),
            SignedPayload::Streaming(StreamForm::Signed | StreamForm::SignedTrailer) => {
                Some(Decoder::new(signature.chunks.clone()))
            }
            SignedPayload::Hash(_) | SignedPayload::Unsigned => None,
        };
        let expected = Expectation {
            len_bytes: declared.len_bytes,
            sha256: declared.sha256.map_or(Sha256Check::Skip, Sha256Check::Compare),
            md5: declared.md5,
        };
        // A declared SHA-256 is computed anyway.
        let computed =
            |algorithm: &Algorithm| *algorithm == Algorithm::Sha256 && declared.sha256.is_some();
        let algorithm = declared.algorithm().filter(|algorithm| !computed(algorithm));
        let source = PayloadSource {
            body,
            decoder,
            input: Bytes::new(),
            trailers: BTreeMap::new(),
            checksum: algorithm.map(ChecksumHasher::new),
            is_hash_signed: signature.sha256().is_some(),
            declared,
        };
        Self::verify(source, expected)
    }
}

/// A request's body, decoded, with its checksum.
pub struct PayloadSource {
    body: RequestBody,
    decoder: Option<Decoder>,
    /// Bytes of the request that are not decoded yet.
    input: Bytes,
    /// Once the framing has ended.
    trailers: BTreeMap<String, String>,
    declared: Declared,
    /// Whether a declared SHA-256 is that of the signature, not only a checksum.
    is_hash_signed: bool,
    /// None: the client sent no checksum, or it is the SHA-256 that is computed anyway.
    checksum: Option<ChecksumHasher>,
}

impl PayloadSource {
    /// The next decoded bytes of what was received; None: more must be received.
    fn decode(&mut self) -> Result<Option<Bytes>, Error> {
        match &mut self.decoder {
            Some(decoder) => decoder.next(&mut self.input),
            None => Ok(Some(std::mem::take(&mut self.input)).filter(|bytes| !bytes.is_empty())),
        }
    }

    /// The checksum that the client sent in the head or in the trailer.
    fn declared_checksum(&self) -> Result<Option<Checksum>, Error> {
        match (&self.declared.checksum, self.declared.trailer) {
            (Some(checksum), _) => Ok(Some(checksum.clone())),
            (None, Some(algorithm)) => self.checksum_in_trailer(algorithm).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The refusal of a field that was not declared: its checksum would not be compared.
    fn undeclared_trailer(&self) -> Option<Error> {
        let declared = self.declared.trailer.map(|algorithm| algorithm.header());
        let is_declared = |name: &str| declared.as_ref().is_some_and(|known| known == name);
        let name = self.trailers.keys().find(|name| !is_declared(name))?;
        let what = format!("the trailer has {name:?}, which x-amz-trailer does not declare");
        Some(Error::new(Kind::MalformedTrailer, what))
    }

    fn checksum_in_trailer(&self, algorithm: Algorithm) -> Result<Checksum, Error> {
        let name = algorithm.header();
        let absent =
            || Error::new(Kind::MalformedTrailer, format!("{name} is missing from the trailer"));
        let text = self.trailers.get(name.as_str()).ok_or_else(absent)?;
        let malformed = || Error::bad(format!("Value for {name} trailing header is invalid."));
        Checksum::from_base64(algorithm, text).ok_or_else(malformed)
    }
}

impl BodySource for PayloadSource {
    type Verified = Option<Checksum>;
    type Refusal = Error;

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, SourceError<Error>>>> {
        loop {
            match self.decode() {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(SourceError::Refused(error)))),
            }
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(frame)) => self.input = frame,
                Some(Err(cause)) => {
                    return Poll::Ready(Some(Err(SourceError::Interrupted(cause))));
                }
                None => break,
            }
        }
        match self.decoder.as_mut().map(Decoder::finish).transpose() {
            Ok(trailers) => {
                self.trailers = trailers.unwrap_or_default();
                Poll::Ready(self.undeclared_trailer().map(|error| Err(SourceError::Refused(error))))
            }
            Err(error) => Poll::Ready(Some(Err(SourceError::Refused(error)))),
        }
    }

    fn update(&mut self, frame: &Bytes) {
        self.checksum.iter_mut().for_each(|checksum| checksum.update(frame));
    }

    fn mismatch(&self, mismatch: Mismatch) -> Error {
        match mismatch {
            Mismatch::TooLong { .. } => {
                Error::new(Kind::WrongLength, "the body is longer than its declared length")
            }
            Mismatch::TooShort { received } => {
                let len = self.declared.len_bytes.unwrap_or_default();
                let what = format!("the body ended after {received} of {len} bytes");
                Error::new(Kind::WrongLength, what)
            }
            Mismatch::Sha256 { declared, found } if self.is_hash_signed => {
                let what = "the body does not have its declared SHA-256";
                let (declared, found) = (declared.hex(), found.hex());
                Error::new(Kind::PayloadMismatch, what).with(Detail::Sha256 { declared, found })
            }
            Mismatch::Sha256 { .. } => wrong_checksum(Algorithm::Sha256),
            Mismatch::Md5 { declared, found } => {
                let what = "The Content-MD5 you specified did not match what we received.";
                let (declared, found) = (hex(&declared), LENIENT.encode(found));
                Error::new(Kind::BadDigest, what).with(Detail::Md5 { declared, found })
            }
        }
    }

    fn finish(&mut self, _: Digests) -> Result<Option<Checksum>, Error> {
        let declared = self.declared_checksum()?;
        let found = self.checksum.take().map(ChecksumHasher::finish);
        if let (Some(found), Some(declared)) = (&found, &declared)
            && found != declared
        {
            return Err(wrong_checksum(declared.algorithm()));
        }
        Ok(declared)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::sync::mpsc;

    use super::super::{BoxError, Settings};
    use super::*;
    use crate::clock::Clock;

    const FRAME: usize = 64 << 10;

    #[test]
    fn a_head_declares_one_checksum_or_none() {
        const CRC: (&str, &str) = ("x-amz-checksum-crc32", "AAAAAA==");
        const SDK: &str = "x-amz-sdk-checksum-algorithm";
        type Row<'a> = (&'a [(&'static str, &'a str)], Option<Algorithm>);
        let table: &[Row<'_>] = &[
            (&[CRC], Some(Algorithm::Crc32)),
            (&[CRC, (SDK, "crc32"), ("x-amz-checksum-type", "x")], Some(Algorithm::Crc32)),
            (
                &[("x-amz-trailer", "X-Amz-Checksum-XXHash3"), (SDK, "XXHASH3")],
                Some(Algorithm::Xxhash3),
            ),
            (&[CRC, CRC], None),
            (&[CRC, ("x-amz-checksum-sha1", "")], None),
            (&[CRC, ("x-amz-trailer", "x-amz-checksum-crc32")], None),
            (&[CRC, (SDK, "SHA1")], None),
            (&[(SDK, "CRC32")], None),
            (&[("x-amz-checksum-crc16", "AAAAAA==")], None),
            (&[("x-amz-checksum-md5", "AAAAAA==")], None),
            (&[("x-amz-checksum-crc32", "")], None),
            (&[("x-amz-trailer", "x-amz-meta-a")], None),
        ];
        for (headers, expected) in table {
            let mut request = http::Request::new(());
            for (name, value) in *headers {
                let name = HeaderName::from_static(name);
                request.headers_mut().append(name, value.parse().unwrap());
            }
            let declared = Declared::read(&request.into_parts().0, &UNSIGNED);
            let refusal = declared.as_ref().err().map(Error::kind);
            assert_eq!(refusal, expected.is_none().then_some(Kind::BadRequest), "{headers:?}");
            assert_eq!(declared.ok().and_then(|found| found.algorithm()), *expected);
        }
    }

    const UNSIGNED: PayloadSignature =
        PayloadSignature { claim: SignedPayload::Unsigned, chunks: None };

    /// A payload, its outcome, and the channel of its frames.
    fn payload(declared: Declared) -> (Payload, PayloadOutcome, mpsc::UnboundedSender<Bytes>) {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let frames = futures_util::stream::poll_fn(move |cx| rx.poll_recv(cx));
        let body = StreamBody::new(frames.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes))));
        let body = RequestBody::new(body, Clock::seeded(1), &Settings::default());
        let (payload, outcome) = Payload::new(declared, &UNSIGNED, body);
        (payload, outcome, tx)
    }

    /// The frames that can be read now.
    fn ready_frames(payload: &mut Payload) -> Vec<Result<usize, BoxError>> {
        std::iter::from_fn(|| payload.next().now_or_never().flatten())
            .map(|item| item.map(|bytes| bytes.len()))
            .collect()
    }

    #[tokio::test]
    async fn only_the_last_frame_waits_for_the_verification() {
        let frame = Bytes::from(vec![7; FRAME]);
        let algorithm = Algorithm::Crc32c;
        let mut sum = ChecksumHasher::new(algorithm);
        (0..3).for_each(|_| sum.update(&frame));
        let wrong = Checksum::from_base64(algorithm, "AAAAAA==").unwrap();
        for (checksum, agrees) in [(sum.finish(), true), (wrong, false)] {
            let declared = Declared {
                len_bytes: Some(3 * FRAME as u64),
                checksum: Some(checksum),
                ..Declared::default()
            };
            let (mut payload, outcome, tx) = payload(declared);
            for _ in 0..2 {
                tx.send(frame.clone()).unwrap();
                assert!(
                    matches!(ready_frames(&mut payload)[..], [Ok(FRAME)]),
                    "it does not wait for the next frame"
                );
            }
            tx.send(frame.clone()).unwrap();
            assert!(
                ready_frames(&mut payload).is_empty(),
                "the last frame waits for the end of the body"
            );
            drop(tx);
            let last = ready_frames(&mut payload);
            assert!(
                matches!((agrees, &last[..]), (true, [Ok(FRAME)]) | (false, [Err(_)])),
                "{last:?}"
            );
            assert_eq!(
                outcome.refusal().map(|error| error.kind()),
                (!agrees).then_some(Kind::BadDigest)
            );
        }
    }

    #[tokio::test]
    async fn without_a_length_any_frame_may_be_the_last() {
        let (mut payload, _, tx) = payload(Declared::default());
        for (sent, expected) in [(10, None), (11, Some(10)), (12, Some(11))] {
            tx.send(Bytes::from(vec![0; sent])).unwrap();
            assert_eq!(ready_frames(&mut payload).pop().map(Result::unwrap), expected);
        }
        drop(tx);
        assert_eq!(ready_frames(&mut payload).pop().map(Result::unwrap), Some(12));
    }
}
