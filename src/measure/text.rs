//! The text form, version 0.0.4.

use std::fmt::{Display, Write};

use super::Histogram;
use super::histogram::BOUNDS;

const CANNOT_FAIL: &str = "writing to a String cannot fail";

/// A text that figures are added to, family by family.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// A figure that only grows. By Prometheus' convention the name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.value(name, "", value);
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.value(name, "", value);
    }

    /// A counter for each set of labels, written as `op="get",status="200"`.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) {
        self.family(name, "counter", help);
        for (labels, value) in values {
            self.value(name, &labels, value);
        }
    }

    /// A histogram for each set of labels. The name ends in `_seconds`.
    pub fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, &'a Histogram)>,
    ) {
        self.family(name, "histogram", help);
        for (labels, histogram) in values {
            let (below, total) = histogram.cumulative();
            for (bound, count) in BOUNDS.iter().zip(below) {
                let labels = format!("{labels},le=\"{bound}\"");
                self.value(&format!("{name}_bucket"), &labels, count);
            }
            self.value(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), total);
            self.value(&format!("{name}_sum"), &labels, histogram.sum_seconds());
            self.value(&format!("{name}_count"), &labels, total);
        }
    }

    pub fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(CANNOT_FAIL);
    }

    fn value(&mut self, name: &str, labels: &str, value: impl Display) {
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        writeln!(self.0, "{name}{open}{labels}{close} {value}").expect(CANNOT_FAIL);
    }
}
