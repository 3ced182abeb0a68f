//! Verifies everything below a prefix.

use futures_util::{StreamExt, stream};

use super::{Filter, TreeReport, by_size};
use crate::client::{
    Error, Progress, Result, Target, Transport,
    remote::current_below,
    verify::{Verification, verify_current},
};

/// Objects up to this length are read several at a time.
const SMALL_BYTES: u64 = 8 << 20;

/// Verifies each object below the target's prefix, the attribute entries among them too, but for
/// what the filter excludes.
pub async fn verify_tree(
    transport: &Transport,
    target: &Target,
    jobs: usize,
    filter: &Filter,
    progress: &Progress,
) -> Result<TreeReport> {
    progress.begin_count();
    let (mut objects, _) = current_below(transport, target).await?;
    if objects.is_empty() {
        return Err(Error::NotDone(format!("there is no object below {target}")));
    }
    objects.retain(|current| !filter.excludes_key(&current.target.key, &target.key));
    objects.iter().for_each(|current| progress.count(current.size));
    progress.end_count();
    let mut report = TreeReport::naming(progress);
    for (objects, max_concurrent) in by_size(objects, SMALL_BYTES, jobs, |current| current.size) {
        let checks = stream::iter(objects).map(|current| async move {
            let key = current.target.key.clone();
            let progress = &progress.file(&key, current.size);
            (key, verify_current(transport, current, jobs, progress).await)
        });
        let mut checks = std::pin::pin!(checks.buffer_unordered(max_concurrent));
        while let Some((key, outcome)) = checks.next().await {
            report.add_verification(key, outcome);
        }
    }
    report.add_progress(progress);
    Ok(report)
}

impl TreeReport {
    fn add_verification(&mut self, key: String, outcome: Result<Verification>) {
        match outcome {
            Ok(found) if found.bad.is_empty() => {
                self.name(&key, "as recorded");
                self.done += 1;
                self.unchecked.extend(found.unchecked.then_some(key));
            }
            Ok(found) => {
                let reasons: Vec<String> = found.reasons.into_values().collect();
                self.failed.push((key, reasons.join("; ")));
            }
            Err(error) => self.add(key, Err(error)),
        }
    }
}
