//! The figures of the requests of a gateway, and the text of all figures.
//!
//! Guarantees: every figure but the number of requests in flight only grows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::measure::{Histogram, Source, Text};

/// The figures of one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// By operation.
    requests: Mutex<BTreeMap<&'static str, Requests>>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    in_flight: AtomicU64,
    chunks_stored: AtomicU64,
    chunks_known: AtomicU64,
    sources: Vec<Arc<dyn Source>>,
}

/// The requests of one operation.
#[derive(Clone, Default)]
struct Requests {
    /// By status.
    ended: BTreeMap<u16, u64>,
    seconds: Arc<Histogram>,
}

/// A request that ended, whether or not its response was sent in full.
#[derive(Clone, Copy, Debug)]
pub struct EndedRequest {
    pub op: &'static str,
    pub status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub took: Duration,
}

impl Metrics {
    /// The figures of these are shown after those of requests.
    pub fn with_sources(sources: Vec<Arc<dyn Source>>) -> Self {
        Self(Arc::new(Inner { sources, ..Inner::default() }))
    }

    pub fn request_started(&self) {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub fn request_ended(&self, ended: EndedRequest) {
        let EndedRequest { op, status, bytes_in, bytes_out, took } = ended;
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        self.0.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
        let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = requests.entry(op).or_default();
        *requests.ended.entry(status).or_default() += 1;
        requests.seconds.add(took);
    }

    pub fn chunk_stored(&self) {
        self.0.chunks_stored.fetch_add(1, Ordering::Relaxed);
    }

    pub fn chunk_known(&self) {
        self.chunks_known(1);
    }

    pub fn chunks_known(&self, count: u64) {
        self.0.chunks_known.fetch_add(count, Ordering::Relaxed);
    }

    /// The text that `/metrics` responds with.
    pub fn render(&self) -> String {
        let mut text = Text::default();
        let requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = requests.iter().flat_map(|(op, requests)| {
            let label = move |status: &u16| format!("op=\"{op}\",status=\"{status}\"");
            requests.ended.iter().map(move |(status, count)| (label(status), *count))
        });
        text.counters("ratchet_requests_total", "Requests by operation and status.", ended);
        let seconds = requests.iter();
        let seconds = seconds.map(|(op, requests)| (format!("op=\"{op}\""), &*requests.seconds));
        let help = "From the head of a request to the end of its response.";
        text.histograms("ratchet_request_seconds", help, seconds);
        let value = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let Inner { bytes_in, bytes_out, in_flight, chunks_stored, chunks_known, .. } = &*self.0;
        let help = "Bytes of request bodies read.";
        text.counter("ratchet_request_bytes_total", help, value(bytes_in));
        let help = "Bytes of response bodies sent.";
        text.counter("ratchet_response_bytes_total", help, value(bytes_out));
        text.gauge("ratchet_requests_in_flight", "Requests being served.", value(in_flight));
        text.counter("ratchet_chunks_stored_total", "Chunks stored.", value(chunks_stored));
        let help = "Chunks that were there already.";
        text.counter("ratchet_chunks_known_total", help, value(chunks_known));
        for source in &self.0.sources {
            source.write(&mut text);
        }
        text.finish()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Extra;

    impl Source for Extra {
        fn write(&self, text: &mut Text) {
            text.gauge("extra", "Of another room.", 7);
        }
    }

    #[test]
    fn rendered_text_contains_each_figure() {
        let metrics = Metrics::with_sources(vec![Arc::new(Extra)]);
        metrics.request_started();
        metrics.request_started();
        let took = Duration::from_millis(30);
        let (op, status) = ("put-chunk", 201);
        metrics.request_ended(EndedRequest { op, status, bytes_in: 8, bytes_out: 20, took });
        metrics.chunk_stored();
        let text = metrics.render();
        for line in [
            "ratchet_requests_total{op=\"put-chunk\",status=\"201\"} 1\n",
            "ratchet_request_seconds_bucket{op=\"put-chunk\",le=\"0.025\"} 0\n",
            "ratchet_request_seconds_bucket{op=\"put-chunk\",le=\"0.05\"} 1\n",
            "ratchet_request_seconds_bucket{op=\"put-chunk\",le=\"+Inf\"} 1\n",
            "ratchet_request_seconds_sum{op=\"put-chunk\"} 0.03\n",
            "ratchet_request_seconds_count{op=\"put-chunk\"} 1\n",
            "ratchet_request_bytes_total 8\n",
            "ratchet_response_bytes_total 20\n",
            "ratchet_requests_in_flight 1\n",
            "ratchet_chunks_stored_total 1\n",
            "ratchet_chunks_known_total 0\n",
            "# TYPE extra gauge\nextra 7\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
