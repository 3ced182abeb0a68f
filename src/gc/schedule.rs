//! When a gateway sweeps.
//!
//! Guarantees: a gateway sweeps only some time after its start; over all gateways, a sweep begins
//! no sooner than the setting `every` after the end of the last one (by the lease); gateways do not
//! look at the lease at the same time.

use std::time::Duration;

use super::lease::LEASE_TIMEOUT;
use super::report::Report;
use super::sweep::{Mode, Result, Sweeper};

/// How long a gateway that has just started does not sweep: what its store's clock did before is
/// not known, and clients whose uploads the end of the last process interrupted come back first.
const STARTUP_GRACE: Duration = Duration::from_secs(3600);

impl Sweeper {
    /// Sweeps whenever a sweep is due, for ever. **Cancel**: safe at any point; the next sweep
    /// continues.
    pub async fn run(&self) {
        if !self.settings.enabled {
            return std::future::pending().await;
        }
        loop {
            match self.sweep_if_due().await {
                Ok(None) => {}
                Ok(Some(report)) if report.is_empty() => {
                    tracing::debug!(seen = report.seen, "swept: nothing to reclaim");
                }
                Ok(Some(report)) => {
                    let Report { seen, failed, bytes, entries, recipes, blobs, actions } = report;
                    tracing::info!(seen, failed, bytes, entries, recipes, blobs, ?actions, "swept");
                }
                Err(error) => {
                    tracing::warn!(%error, "a sweep was interrupted; the next one continues");
                }
            }
            // The gateway that holds the lease may die, so this one looks again sooner than a sweep
            // is due; with jitter, so that not all gateways look at the same time.
            let max_pause = self.settings.every.min(LEASE_TIMEOUT);
            self.clock.pause(max_pause / 2 + self.clock.jitter(max_pause / 2)).await;
        }
    }

    async fn sweep_if_due(&self) -> Result<Option<Report>> {
        // Takes a sample of the clock even when no sweep is due: a jump shows between two samples.
        self.trusted_time(self.uploads.store_time().await?);
        if self.clock.monotonic() < STARTUP_GRACE.min(self.settings.expire_after) {
            return Ok(None);
        }
        self.sweep(Mode::Due, |_| ()).await
    }
}
