//! Buckets, objects and uploads, under one lock.
//!
//! Guarantees: the condition of a put is checked and the object replaced under the same lock, so of
//! concurrent writers one wins. ETags are never used twice.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::HeaderMap;

use super::body::{Content, joined};

/// One object.
#[derive(Clone)]
pub struct Object {
    pub etag: String,
    pub content: Content,
    pub modified: SystemTime,
    /// Content type and user metadata.
    pub headers: HeaderMap,
}

/// The condition of a put.
pub enum Condition {
    None,
    Absent,
    Tagged(String),
}

/// Number, ETag and length of a part.
pub type Part = (u32, String, u64);

/// An error: S3's status and code.
pub type Refusal = (u16, &'static str);

struct Upload {
    bucket: String,
    key: String,
    headers: HeaderMap,
    parts: BTreeMap<u32, (String, Content)>,
}

#[derive(Default)]
struct Inner {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    uploads: BTreeMap<String, Upload>,
    count: u64,
}

/// Everything that is stored.
#[derive(Default)]
pub struct Objects(Mutex<Inner>);

/// One page of a listing: objects, rolled-up prefixes, and the name after which the next page
/// begins.
#[derive(Default)]
pub struct Page {
    pub objects: Vec<(String, Object)>,
    pub prefixes: Vec<String>,
    pub next: Option<String>,
}

impl Objects {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn buckets(&self) -> Vec<String> {
        self.lock().buckets.keys().cloned().collect()
    }

    /// Returns whether the bucket is new.
    pub fn create_bucket(&self, bucket: &str) -> bool {
        let mut inner = self.lock();
        let exists = inner.buckets.contains_key(bucket);
        inner.buckets.entry(bucket.to_owned()).or_default();
        !exists
    }

    pub fn delete_bucket(&self, bucket: &str) {
        self.lock().buckets.remove(bucket);
    }

    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.lock().buckets.contains_key(bucket)
    }

    pub fn get(&self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        let inner = self.lock();
        let objects = inner.buckets.get(bucket).ok_or((404, "NoSuchBucket"))?;
        objects.get(key).cloned().ok_or((404, "NoSuchKey"))
    }

    /// Returns the new ETag.
    pub fn put(
        &self,
        (bucket, key): (&str, &str),
        content: Content,
        headers: HeaderMap,
        condition: &Condition,
    ) -> Result<String, Refusal> {
        let mut inner = self.lock();
        let etag = inner.new_tag();
        let objects = inner.buckets.get_mut(bucket).ok_or((404, "NoSuchBucket"))?;
        match (condition, objects.get(key)) {
            (Condition::None, _) | (Condition::Absent, None) => {}
            (Condition::Absent, Some(_)) => return Err((412, "PreconditionFailed")),
            (Condition::Tagged(_), None) => return Err((404, "NoSuchKey")),
            (Condition::Tagged(tag), Some(object)) if *tag == object.etag => {}
            (Condition::Tagged(_), Some(_)) => return Err((412, "PreconditionFailed")),
        }
        let object = Object { etag: etag.clone(), content, modified: SystemTime::now(), headers };
        objects.insert(key.to_owned(), object);
        Ok(etag)
    }

    pub fn delete(&self, bucket: &str, key: &str) {
        if let Some(objects) = self.lock().buckets.get_mut(bucket) {
            objects.remove(key);
        }
    }

    pub fn list(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        after: &str,
        limit: usize,
    ) -> Result<Page, Refusal> {
        let inner = self.lock();
        let objects = inner.buckets.get(bucket).ok_or((404, "NoSuchBucket"))?;
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let mut page = Page::default();
        let mut last = String::new();
        for (key, object) in objects.range::<str, _>((from, Bound::Unbounded)) {
            let Some(rest) = key.strip_prefix(prefix) else { break };
            if page.objects.len() + page.prefixes.len() == limit {
                page.next = Some(last);
                break;
            }
            last.clone_from(key);
            match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                None => page.objects.push((key.clone(), object.clone())),
                Some(at) => {
                    let rolled = &key[..prefix.len() + at + delimiter.len()];
                    if page.prefixes.last().is_none_or(|before| before != rolled) {
                        page.prefixes.push(rolled.to_owned());
                    }
                }
            }
        }
        Ok(page)
    }

    pub fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        headers: HeaderMap,
    ) -> Result<String, Refusal> {
        let mut inner = self.lock();
        if !inner.buckets.contains_key(bucket) {
            return Err((404, "NoSuchBucket"));
        }
        let id = inner.new_tag();
        let upload = Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            headers,
            parts: BTreeMap::new(),
        };
        inner.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    pub fn put_part(&self, upload: &str, number: u32, content: Content) -> Result<String, Refusal> {
        let mut inner = self.lock();
        let etag = inner.new_tag();
        let upload = inner.uploads.get_mut(upload).ok_or((404, "NoSuchUpload"))?;
        upload.parts.insert(number, (etag.clone(), content));
        Ok(etag)
    }

    /// At most `limit` parts after number `after`, and whether there are more.
    pub fn parts(
        &self,
        upload: &str,
        after: u32,
        limit: usize,
    ) -> Result<(Vec<Part>, bool), Refusal> {
        let inner = self.lock();
        let upload = inner.uploads.get(upload).ok_or((404, "NoSuchUpload"))?;
        let following = upload.parts.range((Bound::Excluded(after), Bound::Unbounded));
        let mut parts: Vec<_> = following
            .take(limit + 1)
            .map(|(number, (etag, body))| (*number, etag.clone(), body.len_bytes()))
            .collect();
        let more = parts.len() > limit;
        parts.truncate(limit);
        Ok((parts, more))
    }

    /// Makes an object out of the parts with these numbers and ETags.
    pub fn complete(&self, upload: &str, chosen: &[(u32, String)]) -> Result<String, Refusal> {
        let mut inner = self.lock();
        let found = inner.uploads.get(upload).ok_or((404, "NoSuchUpload"))?;
        let part = |(number, etag): &(u32, String)| {
            found.parts.get(number).filter(|(stored, _)| stored == etag)
        };
        let parts: Option<Vec<_>> = chosen.iter().map(part).collect();
        let content =
            joined(parts.ok_or((400, "InvalidPart"))?.into_iter().map(|(_, content)| content));
        let upload = inner.uploads.remove(upload).ok_or((404, "NoSuchUpload"))?;
        let etag = format!("{}-{}", inner.new_tag(), chosen.len());
        let object = Object {
            etag: etag.clone(),
            content,
            modified: SystemTime::now(),
            headers: upload.headers,
        };
        inner.buckets.entry(upload.bucket).or_default().insert(upload.key, object);
        Ok(etag)
    }

    pub fn abort(&self, upload: &str) {
        self.lock().uploads.remove(upload);
    }
}

impl Inner {
    /// A new ETag or upload id. It does not look like an MD5, which clients would verify.
    fn new_tag(&mut self) -> String {
        self.count += 1;
        format!("null-{:027x}", self.count)
    }
}
