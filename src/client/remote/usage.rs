//! What objects are made of in the store, asked of the gateway page by page.

use crate::api::{ObjectUsage, UsagePage};
use crate::client::{
    Result, Target, Transport,
    transport::{ApiRequest, encoded},
};

/// The most objects of one page.
const MAX_LIMIT: usize = 1000;

/// Hands the objects whose key begins with the target's to `each`, by key. **Errors**: also if
/// there is no such bucket, and those of `each`.
pub(in crate::client) async fn for_each_usage(
    transport: &Transport,
    target: &Target,
    mut each: impl FnMut(ObjectUsage) -> Result<()>,
) -> Result<()> {
    let first_page = path(target, MAX_LIMIT);
    let mut page = first_page.clone();
    loop {
        let UsagePage { objects, next } = transport.send_for_json(&ApiRequest::get(page)).await?;
        objects.into_iter().try_for_each(&mut each)?;
        let Some(next) = next else { return Ok(()) };
        page = format!("{first_page}&after={}", encoded(&next));
    }
}

/// The object with exactly the target's key; None if there is none.
pub(in crate::client) async fn usage_of_key(
    transport: &Transport,
    target: &Target,
) -> Result<Option<ObjectUsage>> {
    // No key with this prefix sorts before it.
    let request = ApiRequest::get(path(target, 1));
    let page: UsagePage = transport.send_for_json(&request).await?;
    Ok(page.objects.into_iter().find(|object| object.key == target.key))
}

fn path(Target { bucket, key }: &Target, limit: usize) -> String {
    format!("/usage?bucket={}&prefix={}&limit={limit}", encoded(bucket), encoded(key))
}
