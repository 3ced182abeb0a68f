//! The metrics of the gateway, and their text form for Prometheus.
//!
//! Guarantees: every metric but the number of requests in flight only grows; labels come from fixed
//! sets, so their number is bounded whatever clients send. Source:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Metrics, named by Prometheus' convention: counters end in `_total`.
const REQUESTS: &str = "ratchet_requests_total";
const BYTES_IN: &str = "ratchet_request_bytes_total";
const BYTES_OUT: &str = "ratchet_response_bytes_total";
const IN_FLIGHT: &str = "ratchet_requests_in_flight";
const CHUNKS_STORED: &str = "ratchet_chunks_stored_total";
const CHUNKS_KNOWN: &str = "ratchet_chunks_known_total";

/// The metrics of one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    in_flight: AtomicU64,
    chunks_stored: AtomicU64,
    chunks_known: AtomicU64,
}

impl Metrics {
    pub fn request_started(&self) {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that ended, whether or not its response was sent in full.
    pub fn request_ended(&self, op: &'static str, status: u16, bytes_in: u64, bytes_out: u64) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        self.0.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
        *self
            .0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((op, status))
            .or_default() += 1;
    }

    pub fn chunk_stored(&self) {
        self.0.chunks_stored.fetch_add(1, Ordering::Relaxed);
    }

    pub fn chunk_known(&self) {
        self.0.chunks_known.fetch_add(1, Ordering::Relaxed);
    }

    /// The text that `/metrics` responds with.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        header(&mut text, REQUESTS, "counter", "Requests by operation and status.");
        for ((op, status), count) in requests {
            writeln!(text, "{}{{op=\"{op}\",status=\"{status}\"}} {count}", REQUESTS)
                .expect(CANNOT_FAIL);
        }
        let metrics = [
            (BYTES_IN, "counter", "Bytes of request bodies read.", &self.0.bytes_in),
            (BYTES_OUT, "counter", "Bytes of response bodies sent.", &self.0.bytes_out),
            (IN_FLIGHT, "gauge", "Requests being served.", &self.0.in_flight),
            (CHUNKS_STORED, "counter", "Chunks stored.", &self.0.chunks_stored),
            (CHUNKS_KNOWN, "counter", "Chunks that were there already.", &self.0.chunks_known),
        ];
        for (name, kind, help, value) in metrics {
            header(&mut text, name, kind, help);
            writeln!(text, "{name} {}", value.load(Ordering::Relaxed)).expect(CANNOT_FAIL);
        }
        text
    }
}

const CANNOT_FAIL: &str = "writing to a String cannot fail";

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(CANNOT_FAIL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_text_contains_each_metric() {
        let metrics = Metrics::default();
        metrics.request_started();
        metrics.request_started();
        metrics.request_ended("put-chunk", 201, 8, 20);
        metrics.chunk_stored();
        let text = metrics.render();
        for line in [
            "ratchet_requests_total{op=\"put-chunk\",status=\"201\"} 1\n",
            "ratchet_request_bytes_total 8\n",
            "ratchet_response_bytes_total 20\n",
            "ratchet_requests_in_flight 1\n",
            "ratchet_chunks_stored_total 1\n",
            "ratchet_chunks_known_total 0\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
