//! What both fronts share of HTTP: who asks, how a body comes in and goes out, and what is written
//! down of it.
//!
//! Guarantees: a request's id is on every answer and every log line of it; a client that sends too
//! slowly is cut off; a body that was not read to its end closes the connection by an explicit
//! `Connection: close`. It knows no route and no rule of a session. Source: RFC 9110, RFC 9530,
//! DESIGN §10.

mod access_log;
mod admission;
mod answer_memory;
mod auth;
mod aws_chunked;
#[cfg(any(test, feature = "testing"))]
pub mod bench;
mod body;
mod digest_field;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod metrics;
mod payload;
mod reply;
mod smuggling;
mod target;
mod throttle;

pub use access_log::AccessLog;
pub use admission::{Admission, Permit};
pub use auth::{PayloadSignature, authenticate, authenticate_policy};
pub use body::{Progress, RequestBody};
pub use digest_field::{content_digest, print_sha256};
pub use error::{Error, Kind};
pub use metrics::Metrics;
pub use payload::{Declared, Payload, PayloadOutcome, named_algorithm};
pub use reply::{BoxError, Reply, ReplyBody, full, streamed};
pub use smuggling::refuse_smuggling;
pub use target::{Query, bucket_name_fits, bucket_of_host, key_fits, segments};

use std::time::Duration;

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most that a client may pause in mid-body.
    pub body_idle: Duration,
    /// A body must bring `body_min_bytes` in each of these, counted while we wait for the client.
    pub body_window: Duration,
    pub body_min_bytes: u64,
    /// How far a signature's date may be off.
    pub max_skew: Duration,
    /// Signed requests that are served at once, and those of one account.
    pub max_requests: usize,
    pub max_account_requests: usize,
    /// Places that each account has beside those of `max_requests`, for itself alone.
    pub kept_account_requests: usize,
    /// Answers of one account that only send what they have.
    pub max_account_sending: usize,
    /// Bytes of bodies that one account moves per second through this gateway, in and out together;
    /// None: no limit.
    pub max_account_bytes_per_s: Option<u64>,
    /// How long one more waits before it is refused.
    pub queue_timeout: Duration,
    /// Host below which every name is a bucket.
    pub domain: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_idle: Duration::from_secs(30),
            body_window: Duration::from_secs(60),
            body_min_bytes: 64 << 10,
            max_skew: Duration::from_secs(900),
            max_requests: 2048,
            max_account_requests: 512,
            kept_account_requests: 16,
            max_account_sending: 256,
            max_account_bytes_per_s: None,
            queue_timeout: Duration::from_secs(5),
            domain: None,
        }
    }
}
