//! Prepares a load: creates buckets, objects to read, and the uploads and backups of parts and
//! chunks.

use std::io;
use std::time::Duration;

use ratchet::digest::Sha256;

use crate::load::{self, Amount, BODIES, KEYS, LARGE_PARTS, Op, PART, Target};
use crate::wire::{Client, Request};

pub const BUCKET: &str = "bench";

/// A client that prepares a load and cleans up after it.
pub struct Setup {
    client: Client,
    host: String,
}

impl Setup {
    pub fn new(host: &str) -> Self {
        Self { client: Client::new(host), host: host.to_owned() }
    }

    fn call(&mut self, method: &'static str, path: &str, body: &[u8]) -> io::Result<String> {
        let request =
            Request { method, path, body, sha256: Some(Sha256::of(body)), ..Request::default() };
        Ok(self.client.call(&request)?.require_success()?.text())
    }

    /// Creates the bucket, the small objects, and the large one, which is uploaded in parts.
    pub fn create_objects(&mut self) -> io::Result<()> {
        self.bucket(BUCKET)?;
        let amount = Amount { connections: 8, requests: KEYS, max_duration: Duration::MAX };
        load::run(&Target { host: &self.host, bucket: BUCKET, upload: "" }, Op::Put4k, amount, 0)?;
        let upload = self.create_upload("large")?;
        let mut etags = Vec::new();
        for number in 1..=LARGE_PARTS {
            etags.push(self.part(&upload, number)?);
        }
        self.complete(&upload, &etags)
    }

    pub fn bucket(&mut self, bucket: &str) -> io::Result<()> {
        self.call("PUT", &format!("/{bucket}"), b"").map(drop)
    }

    /// Begins a multipart upload: `KEY?uploadId=…`.
    pub fn create_upload(&mut self, key: &str) -> io::Result<String> {
        let document = self.call("POST", &format!("/{BUCKET}/{key}?uploads="), b"")?;
        let id = document.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<'));
        let (id, _) = id.ok_or_else(|| io::Error::other(format!("no upload id: {document}")))?;
        let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        Ok(format!("{key}?uploadId={id}"))
    }

    fn part(&mut self, upload: &str, number: u64) -> io::Result<String> {
        let (bytes, digest) = BODIES.part(number);
        let path = format!("/{BUCKET}/{upload}&partNumber={number}");
        let request = Request {
            method: "PUT",
            path: &path,
            body: bytes,
            sha256: Some(*digest),
            ..Request::default()
        };
        let response = self.client.call(&request)?.require_success()?;
        Ok(response.header("etag").unwrap_or_default().trim_matches('"').to_owned())
    }

    fn complete(&mut self, upload: &str, etags: &[String]) -> io::Result<()> {
        let part = |(at, etag)| {
            format!("<Part><PartNumber>{}</PartNumber><ETag>\"{etag}\"</ETag></Part>", at + 1)
        };
        let parts: String = etags.iter().enumerate().map(part).collect();
        let document = format!(
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>"
        );
        self.call("POST", &format!("/{BUCKET}/{upload}"), document.as_bytes()).map(drop)
    }

    /// Removes an upload's parts. After an abort the gateway would keep them for a while; with a
    /// completed object that is deleted, its parts are removed.
    pub fn discard(&mut self, upload: &str) -> io::Result<()> {
        let document = self.call("GET", &format!("/{BUCKET}/{upload}"), b"")?;
        let tags = document.split("<ETag>").skip(1).filter_map(|rest| rest.split_once('<'));
        let tags: Vec<String> = tags
            .map(|(tag, _)| tag.replace("&quot;", "").replace("&#34;", "").replace('"', ""))
            .collect();
        if tags.is_empty() {
            return Ok(());
        }
        self.complete(upload, &tags)?;
        let key = upload.split('?').next().unwrap_or_default();
        self.call("DELETE", &format!("/{BUCKET}/{key}"), b"").map(drop)
    }

    /// Creates a backup of so many chunks.
    pub fn backup(&mut self, key: &str, chunks: u64) -> io::Result<String> {
        let size = chunks * PART as u64;
        self.create_backup(
            &serde_json::json!({"bucket": BUCKET, "key": key, "chunkSize": PART, "size": size}),
        )
    }

    /// Creates a backup with this request.
    pub fn create_backup(&mut self, request: &serde_json::Value) -> io::Result<String> {
        let body = request.to_string();
        let created = self.call("POST", "/_ratchet/v1/backups", body.as_bytes())?;
        let created: serde_json::Value =
            serde_json::from_str(&created).map_err(io::Error::other)?;
        Ok(created["backupId"].as_str().unwrap_or_default().to_owned())
    }

    pub fn abort_backup(&mut self, id: &str) -> io::Result<()> {
        self.call("DELETE", &format!("/_ratchet/v1/backups/{id}"), b"").map(drop)
    }

    /// Creates the upload or backup of an operation's requests, if it has one.
    pub fn open(&mut self, op: Op, key: &str, requests: u64) -> io::Result<String> {
        match op {
            Op::Upload => self.create_upload(key),
            Op::Chunk => self.backup(key, requests),
            Op::Download | Op::Range | Op::Put4k | Op::Get4k | Op::Head | Op::List => {
                Ok(String::new())
            }
        }
    }

    /// Removes the upload or backup.
    pub fn close(&mut self, op: Op, upload: &str) -> io::Result<()> {
        match op {
            Op::Upload => self.discard(upload),
            Op::Chunk => self.abort_backup(upload),
            Op::Download | Op::Range | Op::Put4k | Op::Get4k | Op::Head | Op::List => Ok(()),
        }
    }
}
