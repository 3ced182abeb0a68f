//! What a store's listing leaves out.
//!
//! Guarantees: nothing that it writes is left, also what the listing does not show. Source:
//! docs/backends.md#listing-with-start-after.

use super::super::{DeleteConditions, Key, ListOptions, PutMode, Result};
use super::{Outcome, Probe, text};

impl Probe {
    /// Lists keys of which some lie below others, one on each page.
    pub(super) async fn nested_listing(&self) -> Outcome {
        const NAMES: [&str; 5] = ["list-a", "list-a/b", "list-b", "list-c", "list-c/d"];
        let listed = self.list_one_by_one(&NAMES).await.map_err(text);
        // Those below others first, and by name: a listing may not show all of them.
        for name in NAMES.iter().rev() {
            self.delete(name, DeleteConditions::default()).await.ok();
        }
        let listed = listed?;
        let left_out: Vec<&str> = NAMES
            .into_iter()
            .filter(|name| !listed.contains(&self.key(name)))
            .map(|name| name.trim_start_matches("list-"))
            .collect();
        if left_out.is_empty() {
            return Ok(format!("{} keys, one on each page", NAMES.len()));
        }
        let left_out = left_out.join(" and ");
        Err(format!("of a, a/b, b, c and c/d, one on each page, it leaves out {left_out}"))
    }

    async fn list_one_by_one(&self, names: &[&str]) -> Result<Vec<Key>> {
        for name in names {
            self.put(name, "1", PutMode::Overwrite).await?;
        }
        let prefix = format!("{}list-", self.prefix);
        let mut options = ListOptions { prefix, limit: 1, ..ListOptions::default() };
        let mut listed = Vec::new();
        for _ in 0..2 * names.len() {
            let page = self.store.list(&self.bucket, &options).await?;
            listed.extend(page.objects.into_iter().map(|object| object.key));
            let Some(next) = page.next else { break };
            options.continue_at(next);
        }
        Ok(listed)
    }
}
