//! Tags of objects, by the AWS SDK.
//!
//! Guarantees: the tags are replaced as a whole. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html>.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Tag, Tagging};

use super::super::{Bucket, Error, Key, Kind, Result, Tags};
use super::error::from_sdk;

pub(super) async fn get(
    client: &Client,
    bucket: &Bucket,
    key: &Key,
    version: Option<&str>,
) -> Result<Tags> {
    let request = client.get_object_tagging().bucket(bucket.as_str()).key(key.as_str());
    let response = request.set_version_id(version.map(str::to_owned)).send().await;
    let response = response
        .map_err(|error| from_sdk(&format!("reading the tags of {bucket}/{key}"), error))?;
    let pairs = response.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned()));
    Ok(Tags(pairs.collect()))
}

pub(super) async fn put(client: &Client, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()> {
    let tag = |(name, value): (&String, &String)| Tag::builder().key(name).value(value).build();
    let all = tags.0.iter().map(tag).collect::<std::result::Result<_, _>>();
    let tagging = all.and_then(|all| Tagging::builder().set_tag_set(Some(all)).build());
    let tagging = tagging
        .map_err(|error| Error::new(Kind::Invalid, "the tags are incomplete").because(error))?;
    let request = client.put_object_tagging().bucket(bucket.as_str()).key(key.as_str());
    let response = request.tagging(tagging).send().await;
    response
        .map(drop)
        .map_err(|error| from_sdk(&format!("changing the tags of {bucket}/{key}"), error))
}
