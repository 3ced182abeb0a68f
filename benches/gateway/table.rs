//! Results as Markdown: a table of all operations and contestants, and the goals with the measured
//! values.

use std::fmt::Write;

use crate::contestant::Name;
use crate::load::Op;
use crate::side::{Results, Sample};

/// A goal: a measured ratio with an upper bound. The ratio is None if one of its sides was not
/// measured.
struct Goal {
    what: &'static str,
    ratio: Option<f64>,
    max: f64,
}

/// The middle value, or the mean of the two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[half]),
        _ => Some(f64::midpoint(values[half - 1], values[half])),
    }
}

/// The median of the rounds' ratios; a round with too little work for the kernel's clock is left
/// out (docs/decisions/0022-how-benchmarks-are-made-comparable.md).
fn ratio(own: &[f64], other: &[f64]) -> Option<f64> {
    let rounds = own.iter().zip(other).filter(|(own, other)| **own > 0.0 && **other > 0.0);
    median(rounds.map(|(own, other)| own / other).collect())
}

impl Results {
    /// A value of each round.
    fn rounds(&self, op: Op, name: Name, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.get(&(op, name)).into_iter().flatten().map(value).collect()
    }

    /// CPU in the operation's unit: seconds per GiB, or microseconds per request.
    fn cpu(&self, op: Op, name: Name) -> Vec<f64> {
        self.rounds(
            op,
            name,
            |sample| if op.is_bulk() { sample.per_gib() } else { sample.per_request() },
        )
    }

    fn ratio(&self, op: Op, name: Name, other: Name) -> Option<f64> {
        ratio(&self.cpu(op, name), &self.cpu(op, other))
    }

    fn goals(&self) -> Vec<Goal> {
        let against =
            |what, op, name, max| Goal { what, ratio: self.ratio(op, name, Name::Nginx), max };
        let nginx = self.cpu(Op::Upload, Name::Nginx).into_iter().zip(&self.sha256);
        let with_hash: Vec<f64> = nginx.map(|(nginx, pass)| nginx + pass).collect();
        let upload = ratio(&self.cpu(Op::Upload, Name::Ratchet), &with_hash);
        let s3s = self.ratio(Op::Upload, Name::Ratchet, Name::S3sProxy);
        vec![
            Goal { what: "verified upload / (nginx + one SHA-256 pass)", ratio: upload, max: 1.0 },
            Goal { what: "verified upload / s3s-proxy", ratio: s3s, max: 0.5 },
            against("download / nginx", Op::Download, Name::Ratchet, 1.0),
            against("4 KiB put / nginx", Op::Put4k, Name::Ratchet, 2.5),
            against("4 KiB get / nginx", Op::Get4k, Name::Ratchet, 2.5),
            against("HEAD / nginx", Op::Head, Name::Ratchet, 2.5),
            against("embedded: verified upload / nginx", Op::Upload, Name::RatchetDir, 5.5),
            against("embedded: download / nginx", Op::Download, Name::RatchetDir, 1.2),
            against("embedded: 4 KiB put / nginx", Op::Put4k, Name::RatchetDir, 15.0),
            against("embedded: HEAD / nginx", Op::Head, Name::RatchetDir, 2.5),
            Goal {
                what: "embedded: peak RSS / 64 MiB",
                ratio: self.peak_mib.get(&Name::RatchetDir).map(|mib| mib / 64.0),
                max: 1.0,
            },
        ]
    }
}

/// A measured value beside its bound, as the last three cells of a row.
pub fn verdict(value: f64, max: Option<f64>, unit: &str) -> String {
    let met = max.map_or("", |max| if value <= max { "met" } else { "**not met**" });
    let max = max.map_or("–".to_owned(), |max| format!("{max}{unit}"));
    format!("{max} | {value:.3}{unit} | {met} |")
}

/// All tables. Throughput is in MiB/s or requests/s, times are in milliseconds; each is the median
/// of the rounds.
pub fn markdown(results: &Results) -> String {
    let mut out = String::from(
        "| operation | through | throughput | CPU | / nginx | p50 | p99 |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (op, name) in results.samples.keys() {
        line(&mut out, results, *op, *name);
    }
    for (what, passes) in [
        ("SHA-256 pass", &results.sha256),
        ("SHA-256 pass, several at once", &results.sha256_together),
    ] {
        if let Some(pass) = median(passes.clone()) {
            writeln!(out, "| {what} | – | – | {pass:.3} s/GiB | – | – | – |").ok();
        }
    }
    out.push_str("\n| through | peak RSS |\n| --- | ---: |\n");
    for (name, mib) in &results.peak_mib {
        writeln!(out, "| {} | {mib:.1} MiB |", name.text()).ok();
    }
    let goals = results.goals();
    if goals.iter().any(|goal| goal.ratio.is_some()) {
        out.push_str("\n| goal (CPU) | at most | measured | |\n| --- | ---: | ---: | --- |\n");
    }
    for Goal { what, ratio, max } in goals {
        let Some(ratio) = ratio else { continue };
        writeln!(out, "{}", goal(what, ratio, max)).ok();
    }
    for why in &results.skipped {
        writeln!(out, "\n{why}").ok();
    }
    out
}

/// The row of a goal: what is measured, the most it may be, and what it is.
pub fn goal(what: &str, measured: f64, max: f64) -> String {
    let met = if measured <= max { "met" } else { "**not met**" };
    format!("| {what} | {max:.2} | {measured:.2} | {met} |")
}

fn line(out: &mut String, results: &Results, op: Op, name: Name) {
    let value = |of: &dyn Fn(&Sample) -> f64| median(results.rounds(op, name, of)).unwrap_or(0.0);
    let rate = if op.is_bulk() {
        format!(
            "{:.0} MiB/s",
            value(&|sample| sample.figures.bytes as f64 / sample.figures.seconds) / 1_048_576.0
        )
    } else {
        format!(
            "{:.0} /s",
            value(&|sample| sample.figures.requests as f64 / sample.figures.seconds)
        )
    };
    let cpu = median(results.cpu(op, name)).unwrap_or(0.0);
    let cpu = if op.is_bulk() { format!("{cpu:.3} s/GiB") } else { format!("{cpu:.1} µs") };
    let ratio = results
        .ratio(op, name, Name::Nginx)
        .map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
    let p50 = value(&|sample| sample.figures.p50_us) / 1000.0;
    let p99 = value(&|sample| sample.figures.p99_us) / 1000.0;
    // Writing to a String cannot fail.
    writeln!(
        out,
        "| {} | {} | {rate} | {cpu} | {ratio} | {p50:.2} ms | {p99:.2} ms |",
        op.name(),
        name.text()
    )
    .ok();
}
