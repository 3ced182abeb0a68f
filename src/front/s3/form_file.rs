//! The file of a form: its bytes, up to the first delimiter, and a check of what follows it.
//!
//! Guarantees: what follows the file is bounded and is read before the last bytes of the file are
//! passed on; a form that is malformed, cut off, or whose file does not have an allowed length,
//! fails, so that a store keeps nothing of it. Source: RFC 2046 §5.1.1;
//! docs/decisions/0025-the-file-of-a-form-has-no-length.md.

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;

use super::error::S3Error;
use super::form::malformed;
use crate::web::{BoxError, RequestBody};

/// The most that may follow the file: the last delimiter, and fields that are ignored.
pub const MAX_TAIL_BYTES: u64 = 64 << 10;

/// The bytes of the file.
pub struct File {
    body: RequestBody,
    /// A line end, two dashes and the boundary.
    delimiter: Vec<u8>,
    /// Bytes that were received and not passed on.
    held: BytesMut,
    state: State,
    passed_bytes: u64,
    allowed: RangeInclusive<u64>,
    refusal: FileRefusal,
}

enum State {
    Streaming,
    /// The delimiter was found; these are the last bytes before it.
    Ending(Bytes),
    Ended,
}

/// Why the file was refused while it was read.
#[derive(Clone, Debug, Default)]
pub struct FileRefusal(Arc<OnceLock<S3Error>>);

impl FileRefusal {
    pub fn get(&self) -> Option<S3Error> {
        self.0.get().cloned()
    }
}

impl File {
    /// `held`: what was received of the file.
    pub fn new(body: RequestBody, delimiter: Vec<u8>, held: BytesMut) -> Self {
        Self {
            body,
            delimiter,
            held,
            state: State::Streaming,
            passed_bytes: 0,
            allowed: 0..=u64::MAX,
            refusal: FileRefusal::default(),
        }
    }

    /// The same file, which fails unless its length is allowed.
    pub fn limited(mut self, allowed: RangeInclusive<u64>) -> (Self, FileRefusal) {
        self.allowed = allowed;
        let refusal = self.refusal.clone();
        (self, refusal)
    }

    fn refuse<T>(&self, error: S3Error) -> Poll<Option<Result<T, BoxError>>> {
        let cause = error.message().to_owned();
        // If there is a first refusal already, it is the cause of this one.
        self.refusal.0.set(error).ok();
        Poll::Ready(Some(Err(cause.into())))
    }

    /// The next bytes of the file in what was received. None: more must be received.
    fn next_held(&mut self) -> Option<Bytes> {
        let keep = self.delimiter.len() - 1;
        match find(&self.held, &self.delimiter) {
            Some(at) => {
                self.state = State::Ending(self.held.split_to(at).freeze());
                None
            }
            // The delimiter may begin in the bytes that are kept.
            None if self.held.len() > keep => {
                Some(self.held.split_to(self.held.len() - keep).freeze())
            }
            None => None,
        }
    }

    /// **Errors**: the file or the form is not as it must be at its end.
    fn check_end(&self, file_bytes: u64) -> Result<(), S3Error> {
        require_end(&self.held, &self.delimiter)?;
        require_length(file_bytes, &self.allowed)
    }
}

/// **Errors**: `EntityTooSmall`, `EntityTooLarge`.
fn require_length(bytes: u64, allowed: &RangeInclusive<u64>) -> Result<(), S3Error> {
    require_possible_length(&(bytes..=bytes), allowed)
        .map_err(|error| error.with_element("ProposedSize", bytes))
}

/// Checks that a file which has one of these lengths can have an allowed one. **Errors**:
/// `EntityTooSmall`, `EntityTooLarge`.
pub fn require_possible_length(
    possible: &RangeInclusive<u64>,
    allowed: &RangeInclusive<u64>,
) -> Result<(), S3Error> {
    let refused = |code, name, limit: &u64| {
        let message = "the file does not have an allowed length";
        let error = S3Error::new(http::StatusCode::BAD_REQUEST, code, message);
        Err(error.with_element(name, limit))
    };
    if possible.end() < allowed.start() {
        refused("EntityTooSmall", "MinSizeAllowed", allowed.start())
    } else if possible.start() > allowed.end() {
        refused("EntityTooLarge", "MaxSizeAllowed", allowed.end())
    } else {
        Ok(())
    }
}

/// Checks what follows a file: parts, which are ignored, and the last delimiter. Its line end may
/// be missing, and anything may follow it. **Errors**: `MalformedPOSTRequest`.
fn require_end(mut tail: &[u8], delimiter: &[u8]) -> Result<(), S3Error> {
    loop {
        let Some(at) = find(tail, delimiter) else {
            return Err(malformed("it does not end after its file"));
        };
        tail = &tail[at + delimiter.len()..];
        if tail.starts_with(b"--") {
            return Ok(());
        }
        let padding = tail.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !tail[padding..].starts_with(b"\r\n") {
            return Err(malformed("a delimiter after its file does not end its line"));
        }
    }
}

/// Where the delimiter begins.
pub fn find(haystack: &[u8], delimiter: &[u8]) -> Option<usize> {
    let first = *delimiter.first()?;
    let mut from = 0;
    loop {
        // Most bytes are no line end, and are passed over quickly.
        let at = from + haystack.get(from..)?.iter().position(|byte| *byte == first)?;
        if haystack[at..].starts_with(delimiter) {
            return Some(at);
        }
        from = at + 1;
    }
}

impl Stream for File {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &this.state {
                State::Streaming => {
                    if let Some(bytes) = this.next_held() {
                        this.passed_bytes += bytes.len() as u64;
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    if matches!(this.state, State::Ending(_)) {
                        continue;
                    }
                }
                State::Ending(_) if this.held.len() as u64 > MAX_TAIL_BYTES => {
                    return this.refuse(malformed("too much follows its file"));
                }
                State::Ending(_) => {}
                State::Ended => return Poll::Ready(None),
            }
            match ready!(Pin::new(&mut this.body).poll_next(cx)) {
                Some(Ok(frame)) => this.held.extend_from_slice(&frame),
                Some(Err(cause)) => return Poll::Ready(Some(Err(cause))),
                None => {
                    let State::Ending(last) = &this.state else {
                        return this.refuse(malformed("it does not end after its file"));
                    };
                    let last = last.clone();
                    if let Err(error) = this.check_end(this.passed_bytes + last.len() as u64) {
                        return this.refuse(error);
                    }
                    this.state = State::Ended;
                    if !last.is_empty() {
                        return Poll::Ready(Some(Ok(last)));
                    }
                }
            }
        }
    }
}
