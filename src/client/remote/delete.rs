//! Deletes objects by way of the gateway's S3 front. The records of their backups stay.

use quick_xml::escape::partial_escape;

use super::object::{MAX_DOCUMENT_BYTES, object_path};
use crate::client::{Error, Result, Target, Transport, transport::ApiRequest, xml::Element};

/// The most keys, and about the most bytes of them, that one request has.
const MAX_KEYS: usize = 1000;
const MAX_KEY_BYTES: usize = 512 << 10;

/// Deletes the objects of these keys, some at a time. `tell` is called with each key, and with the
/// reason if it is still there. A key that has no object counts as deleted. **Errors**: of a
/// request that failed as a whole; then the rest was not tried.
pub(in crate::client) async fn delete_objects(
    transport: &Transport,
    bucket: &str,
    keys: &[String],
    mut tell: impl FnMut(&str, Option<String>),
) -> Result<()> {
    // XML has no way to write control characters.
    let (single, together): (Vec<&String>, Vec<&String>) =
        keys.iter().partition(|key| key.chars().any(char::is_control));
    for key in single {
        let target = Target { bucket: bucket.to_owned(), key: key.clone() };
        match delete_one(transport, &target).await {
            Err(Error::S3 { message, .. }) => tell(key, Some(message)),
            outcome => outcome.map(|()| tell(key, None))?,
        }
    }
    let mut rest = together.as_slice();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_len(rest));
        let failed = delete_batch(transport, bucket, batch).await?;
        for key in batch {
            let reason = failed.iter().find(|(failed, _)| failed == *key);
            tell(key, reason.map(|(_, reason)| reason.clone()));
        }
        rest = after;
    }
    Ok(())
}

/// How many of these keys one request takes. **Shape**: at least 1.
fn batch_len(keys: &[&String]) -> usize {
    let mut bytes = 0;
    let fits = keys.iter().take(MAX_KEYS).take_while(|key| {
        bytes += key.len();
        bytes <= MAX_KEY_BYTES
    });
    fits.count().max(1)
}

async fn delete_one(transport: &Transport, target: &Target) -> Result<()> {
    let request = ApiRequest::s3(http::Method::DELETE, object_path(target));
    transport.send(&request, MAX_DOCUMENT_BYTES).await.map(drop)
}

/// The keys that could not be deleted, each with the reason.
async fn delete_batch(
    transport: &Transport,
    bucket: &str,
    keys: &[&String],
) -> Result<Vec<(String, String)>> {
    let mut document = "<Delete><Quiet>true</Quiet>".to_owned();
    for key in keys {
        document.push_str(&format!("<Object><Key>{}</Key></Object>", partial_escape(key.as_str())));
    }
    document.push_str("</Delete>");
    let path = format!("/{bucket}?delete");
    let request = ApiRequest::s3_document(http::Method::POST, path, document);
    let answer = transport.send(&request, MAX_DOCUMENT_BYTES).await?;
    let result = Element::parse(&answer).filter(|root| root.name() == "DeleteResult");
    let result = result.ok_or_else(|| transport.not_chunk_api(200))?;
    let failed = result.all("Error").map(|error| {
        let text = |name| error.text_of(name).to_owned();
        let reason = Some(text("Message")).filter(|text| !text.is_empty());
        (text("Key"), reason.unwrap_or_else(|| text("Code")))
    });
    Ok(failed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_a_thousand_keys_or_what_fits_its_document() {
        let (short, long) = ("k".to_owned(), "k".repeat(1024));
        assert_eq!(batch_len(&[&short; 1001]), 1000);
        assert_eq!(batch_len(&[&short; 7]), 7);
        assert_eq!(batch_len(&[&long; 1000]), 512);
        assert_eq!(batch_len(&[&"k".repeat(MAX_KEY_BYTES + 1)]), 1);
    }
}
