//! Counters and histograms, and their text form for Prometheus.
//!
//! Guarantees: a value is counted without a lock; labels come from fixed sets, so their number is
//! bounded whatever clients send. Every room that has something to show implements [`Source`]; it
//! knows none of them. Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>

mod histogram;
mod text;

pub use histogram::Histogram;
pub use text::Text;

/// Something with figures of its own.
pub trait Source: Send + Sync {
    /// Adds its figures to the text.
    fn write(&self, text: &mut Text);
}
