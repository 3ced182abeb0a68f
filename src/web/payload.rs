//! The body of an S3 request as its sender meant it: out of its framing, and what it says of itself
//! verified.
//!
//! Guarantees: the last bytes go out only once length, digests, checksums and signatures agree; a
//! body that does not agree fails before, so that whoever stores it stores nothing (DESIGN §12.6).
//! Only what is asked for is hashed, once; the last frame is held, and no other where the length is
//! known before. It does not know what the bytes are for. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>.

use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, header, request};

use super::auth::Identity;
use super::aws_chunked::Decoder;
use super::body::RequestBody;
use super::error::{Error, Kind};
use super::reply::BoxError;
use crate::digest::batch::BodyHasher;
use crate::digest::{Algorithm, Checksum, ChecksumHasher, PassedSha256, Sha256, Wanted};
use crate::metric_names::{DECODED_LENGTH, TRAILER};
use crate::sigv4::{SignedPayload, StreamForm};

const MD5: HeaderName = HeaderName::from_static("content-md5");

/// What a request's head says of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Without framing; None where the head does not say.
    pub len_bytes: Option<u64>,
    /// Signed, or as a checksum.
    pub sha256: Option<Sha256>,
    pub md5: Option<[u8; 16]>,
    pub checksum: Option<Checksum>,
    /// Whose value comes behind the body.
    pub trailer: Option<Algorithm>,
}

impl Declared {
    /// **Errors**: `BadRequest`, `InvalidDigest`.
    pub fn read(head: &request::Parts, identity: &Identity) -> Result<Self, Error> {
        let headers = &head.headers;
        let framed = matches!(identity.payload, SignedPayload::Streaming(_));
        let name = if framed { DECODED_LENGTH } else { header::CONTENT_LENGTH };
        let number =
            |text: &str| text.parse().map_err(|_| Error::bad(format!("{name} is no number")));
        let checksum = checksum(headers)?;
        let of_checksum = checksum.as_ref().filter(|sum| sum.algorithm() == Algorithm::Sha256);
        let of_checksum = of_checksum.and_then(|sum| Sha256::from_base64(&sum.base64()));
        let signed = identity.payload_sha256();
        if signed.is_some() && of_checksum.is_some() && signed != of_checksum {
            return Err(Error::bad(
                "x-amz-content-sha256 and x-amz-checksum-sha256 name different bytes",
            ));
        }
        Ok(Self {
            len_bytes: text(headers, &name)?.map(number).transpose()?,
            sha256: signed.or(of_checksum),
            md5: text(headers, &MD5)?.map(md5_of).transpose()?,
            checksum,
            trailer: text(headers, &TRAILER)?.map(trailer).transpose()?,
        })
    }

    /// The algorithm of the client's checksum, wherever its value stands.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.checksum.as_ref().map(Checksum::algorithm).or(self.trailer)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let text = headers.get(name).map(|value| value.to_str().map(str::trim));
    text.transpose().map_err(|_| Error::bad(format!("{name} is not plain text")))
}

fn md5_of(text: &str) -> Result<[u8; 16], Error> {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Error::new(Kind::InvalidDigest, "Content-MD5 is not the Base64 of an MD5"))
}

fn trailer(text: &str) -> Result<Algorithm, Error> {
    let found = Algorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.header().as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| Error::bad(format!("the trailer {text:?} is none of the checksums")))
}

/// The checksum that the head carries. `x-amz-checksum-type`, `-algorithm` and `-mode` are none.
fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Error> {
    let mut found = None;
    for algorithm in Algorithm::ALL {
        let Some(text) = text(headers, &algorithm.header())? else { continue };
        if found.is_some() {
            return Err(Error::bad("there must be one x-amz-checksum- header at most"));
        }
        let malformed =
            || Error::bad(format!("the value of {} is no {algorithm}", algorithm.header()));
        found = Some(Checksum::from_base64(algorithm, text).ok_or_else(malformed)?);
    }
    Ok(found)
}

/// The algorithm that a request names for what comes later. **Errors**: `BadRequest`.
pub fn named_algorithm(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Algorithm>, Error> {
    let parse =
        |text: &str| Algorithm::from_str(text).map_err(|error| Error::bad(error.to_string()));
    text(headers, name)?.map(parse).transpose()
}

/// What the verification came to; shared with the payload.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    findings: Arc<Mutex<VerdictState>>,
    sha256: PassedSha256,
}

#[derive(Debug, Default)]
struct VerdictState {
    failure: Option<Error>,
    checksum: Option<Checksum>,
}

impl Verdict {
    /// Why the body failed, if that was its own fault. Given out once.
    pub fn failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    /// The client's checksum, once the body was read to its end.
    pub fn checksum(&self) -> Option<Checksum> {
        self.lock().checksum.clone()
    }

    /// The SHA-256 that was declared, once the body was found to have it.
    pub fn sha256(&self) -> PassedSha256 {
        self.sha256.clone()
    }

    fn lock(&self) -> MutexGuard<'_, VerdictState> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The decoded, verified bytes.
pub struct Payload {
    body: RequestBody,
    decoder: Option<Decoder>,
    /// Framed bytes that are still to be decoded.
    input: Bytes,
    declared: Declared,
    seen_bytes: u64,
    digests: BodyHasher,
    checksum: Option<ChecksumHasher>,
    /// The newest bytes, where none may come behind them.
    held: Option<Bytes>,
    ended: bool,
    verdict: Verdict,
}

impl Payload {
    /// `declared` is what is to be verified: a caller that compares a digest itself takes it out.
    pub fn new(declared: Declared, identity: &Identity, body: RequestBody) -> (Self, Verdict) {
        let decoder = match identity.payload {
            SignedPayload::Streaming(StreamForm::UnsignedTrailer) => Some(Decoder::new(None)),
            SignedPayload::Streaming(StreamForm::Signed | StreamForm::SignedTrailer) => {
                Some(Decoder::new(identity.chunks.clone()))
            }
            SignedPayload::Hash(_) | SignedPayload::Unsigned => None,
        };
        let verdict = Verdict::default();
        let of_sha256 =
            |algorithm: Algorithm| algorithm == Algorithm::Sha256 && declared.sha256.is_some();
        let payload = Self {
            body,
            decoder,
            input: Bytes::new(),
            seen_bytes: 0,
            digests: BodyHasher::new(Wanted {
                sha256: declared.sha256.is_some(),
                md5: declared.md5.is_some(),
            }),
            checksum: declared
                .algorithm()
                .filter(|algorithm| !of_sha256(*algorithm))
                .map(ChecksumHasher::new),
            declared,
            held: None,
            ended: false,
            verdict: verdict.clone(),
        };
        (payload, verdict)
    }

    fn fail(&mut self, error: Error) -> BoxError {
        self.ended = true;
        let text = error.to_string();
        self.verdict.lock().failure = Some(error);
        text.into()
    }

    /// Takes decoded bytes in, and lets them out where more must come, else those before them.
    fn accept(&mut self, bytes: Bytes) -> Result<Option<Bytes>, Error> {
        self.seen_bytes += bytes.len() as u64;
        if self.declared.len_bytes.is_some_and(|len| self.seen_bytes > len) {
            return Err(Error::bad("the body is longer than it was said to be"));
        }
        self.digests.push(&bytes);
        self.checksum.iter_mut().for_each(|checksum| checksum.update(&bytes));
        let more = self.declared.len_bytes.is_some_and(|len| self.seen_bytes < len);
        Ok(if more { Some(bytes) } else { self.held.replace(bytes) })
    }

    /// The end of the body has come: everything must agree.
    fn verify(&mut self) -> Result<(), Error> {
        let trailers = self.decoder.as_mut().map(Decoder::finish).transpose()?.unwrap_or_default();
        if let Some(len) = self.declared.len_bytes.filter(|len| *len != self.seen_bytes) {
            let what = format!("the body ended after {} of {len} bytes", self.seen_bytes);
            return Err(Error::new(Kind::IncompleteBody, what));
        }
        let digests = self.digests.finish();
        if digests.sha256 != self.declared.sha256 {
            return Err(Error::new(Kind::PayloadMismatch, "the body is not what its SHA-256 says"));
        }
        if digests.md5 != self.declared.md5 {
            return Err(Error::new(Kind::BadDigest, "the body is not what Content-MD5 says"));
        }
        let of_trailer = |algorithm: Algorithm| {
            let absent = || Error::bad(format!("the trailer {} is absent", algorithm.header()));
            let text = trailers.get(algorithm.header().as_str()).ok_or_else(absent)?;
            Checksum::from_base64(algorithm, text)
                .ok_or_else(|| Error::bad(format!("the trailer is no {algorithm}")))
        };
        let declared = match (&self.declared.checksum, self.declared.trailer) {
            (Some(checksum), _) => Some(checksum.clone()),
            (None, trailer) => trailer.map(of_trailer).transpose()?,
        };
        let found = self.checksum.take().map(ChecksumHasher::finish);
        if let (Some(found), Some(declared)) = (&found, &declared)
            && found != declared
        {
            let what = format!("the body's {} is not the one that was sent", declared.algorithm());
            return Err(Error::new(Kind::BadDigest, what));
        }
        self.verdict.lock().checksum = declared;
        if let Some(sha256) = digests.sha256 {
            self.verdict.sha256.set(sha256);
        }
        Ok(())
    }

    /// The next decoded bytes of what has arrived.
    fn decoded(&mut self) -> Result<Option<Bytes>, Error> {
        match &mut self.decoder {
            Some(decoder) => decoder.next(&mut self.input),
            None => Ok(Some(std::mem::take(&mut self.input)).filter(|bytes| !bytes.is_empty())),
        }
    }
}

impl Stream for Payload {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.ended {
            ready!(this.digests.poll_idle(cx));
            let out = match this.decoded() {
                Ok(Some(bytes)) if bytes.is_empty() => continue,
                Ok(Some(bytes)) => this.accept(bytes),
                Ok(None) => match ready!(Pin::new(&mut this.body).poll_next(cx)) {
                    Some(Ok(frame)) => {
                        this.input = frame;
                        continue;
                    }
                    Some(Err(cause)) => {
                        this.ended = true;
                        return Poll::Ready(Some(Err(cause)));
                    }
                    None => {
                        let verified = this.verify();
                        this.ended = true;
                        verified.map(|()| this.held.take())
                    }
                },
                Err(error) => Err(error),
            };
            match out {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(this.fail(error)))),
            }
        }
        Poll::Ready(None)
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload").field("declared", &self.declared).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::sync::mpsc;

    use super::super::Settings;
    use super::*;
    use crate::accounts::{AccountSettings, Accounts, KeySettings, Settings as AccountsSettings};
    use crate::clock::Clock;

    const FRAME: usize = 64 << 10;

    fn identity() -> Identity {
        let keys = vec![KeySettings {
            id: "AKTEST".to_owned(),
            secret: "secret-secret-secret".to_owned().into(),
        }];
        let accounts =
            vec![AccountSettings { name: "test".to_owned(), root: true, keys, grants: Vec::new() }];
        let accounts = Accounts::new(&AccountsSettings { accounts }).unwrap();
        let account = accounts.credentials("AKTEST").account.unwrap();
        Identity { account, payload: SignedPayload::Unsigned, chunks: None }
    }

    /// A payload, and what sends its frames.
    fn payload(declared: Declared) -> (Payload, Verdict, mpsc::UnboundedSender<Bytes>) {
        let (sender, mut frames) = mpsc::unbounded_channel();
        let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
        let body = StreamBody::new(frames.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes))));
        let body = RequestBody::new(body, Clock::seeded(1), &Settings::default());
        let (payload, verdict) = Payload::new(declared, &identity(), body);
        (payload, verdict, sender)
    }

    /// What has come out by now.
    fn out(payload: &mut Payload) -> Vec<Result<usize, BoxError>> {
        std::iter::from_fn(|| payload.next().now_or_never().flatten())
            .map(|item| item.map(|bytes| bytes.len()))
            .collect()
    }

    #[tokio::test]
    async fn only_the_last_frame_waits_for_the_verdict() {
        let frame = Bytes::from(vec![7; FRAME]);
        let good = Algorithm::Crc32c;
        let mut sum = ChecksumHasher::new(good);
        (0..3).for_each(|_| sum.update(&frame));
        let bad = Checksum::from_base64(good, "AAAAAA==").unwrap();
        for (checksum, agrees) in [(sum.finish(), true), (bad, false)] {
            let declared = Declared {
                len_bytes: Some(3 * FRAME as u64),
                checksum: Some(checksum),
                ..Declared::default()
            };
            let (mut payload, verdict, client) = payload(declared);
            for _ in 0..2 {
                client.send(frame.clone()).unwrap();
                assert!(
                    matches!(out(&mut payload)[..], [Ok(FRAME)]),
                    "it does not wait for the next"
                );
            }
            client.send(frame.clone()).unwrap();
            assert!(
                out(&mut payload).is_empty(),
                "none of the last goes out before the body's end"
            );
            drop(client);
            let last = out(&mut payload);
            assert!(
                matches!((agrees, &last[..]), (true, [Ok(FRAME)]) | (false, [Err(_)])),
                "{last:?}"
            );
            assert_eq!(
                verdict.failure().map(|error| error.kind()),
                (!agrees).then_some(Kind::BadDigest)
            );
        }
    }

    #[tokio::test]
    async fn without_a_length_any_frame_may_be_the_last() {
        let (mut payload, _, client) = payload(Declared::default());
        for (sent, wanted) in [(10, None), (11, Some(10)), (12, Some(11))] {
            client.send(Bytes::from(vec![0; sent])).unwrap();
            assert_eq!(out(&mut payload).pop().map(Result::unwrap), wanted);
        }
        drop(client);
        assert_eq!(out(&mut payload).pop().map(Result::unwrap), Some(12));
    }
}
