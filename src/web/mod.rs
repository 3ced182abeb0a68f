//! HTTP as every front needs it: authentication, admission, bodies in and out, access log, metrics.
//!
//! Guarantees: a client that sends too slowly is disconnected; every access log line has the id of
//! its request. It knows no route and no rule of a session. Source: RFC 9110, RFC 9530,
//! docs/architecture.md#envelope.

mod access_log;
mod admission;
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
mod response_memory;
mod smuggling;
mod target;
mod throttle;

pub use access_log::{AccessLog, Subject};
pub use admission::{Admission, Permit};
pub use auth::{PayloadSignature, authenticate, authenticate_policy};
pub use body::{Progress, RequestBody};
pub use digest_field::{content_digest, print_sha256};
pub use error::{Detail, Error, Kind};
pub use metrics::{EndedRequest, Metrics};
pub use payload::{Declared, Payload, PayloadOutcome, checksum_header, named_algorithm};
pub use reply::{
    BoxError, Reply, ReplyBody, close_after, close_after_on_every_hop, full, streamed,
    waits_for_continue,
};
pub use smuggling::refuse_smuggling;
pub use target::{Query, bucket_name_fits, bucket_of_host, key_fits, percent_decoded, segments};

use std::time::Duration;

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The longest pause of a client in the middle of a body.
    pub body_idle: Duration,
    /// At least `body_min_bytes` of a body must arrive in each window; only time spent waiting for
    /// the client counts.
    pub body_window: Duration,
    pub body_min_bytes: u64,
    /// The largest accepted difference between the date of a signature and the clock.
    pub max_skew: Duration,
    /// Signed requests served at the same time: of all accounts, and of one account.
    pub max_requests: usize,
    pub max_account_requests: usize,
    /// Permits that each account has for itself alone, in addition to `max_requests`.
    pub kept_account_requests: usize,
    /// Long responses of one account that are only being sent.
    pub max_account_sending: usize,
    /// Bytes per second of request and response bodies together, per account and gateway; None: no
    /// limit.
    pub max_account_bytes_per_s: Option<u64>,
    /// How long a request waits for a permit before it is refused.
    pub queue_timeout: Duration,
    /// Domain whose subdomains name buckets (virtual-hosted requests).
    pub domain: Option<String>,
    /// Whether clients reach the gateway by TLS without a proxy in between.
    pub serves_tls: bool,
    /// The region that signatures must name; None: any.
    pub region: Option<String>,
    /// Whether signature version 2 is accepted in the `Authorization` header.
    pub signature_v2: bool,
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
            serves_tls: false,
            region: None,
            signature_v2: false,
        }
    }
}
