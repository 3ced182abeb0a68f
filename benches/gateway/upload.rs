//! What surrounds the load: buckets, objects to read, and the uploads and backups that parts and
//! chunks belong to.

use std::io;
use std::time::Duration;

use ratchet::digest::Sha256;

use crate::load::{self, Amount, BODIES, KEYS, LARGE_PARTS, Op, PART, Target};
use crate::wire::{Ask, Caller};

pub const BUCKET: &str = "bench";

/// A client that makes things ready.
pub struct Setup {
    caller: Caller,
    host: String,
}

impl Setup {
    pub fn new(host: &str) -> Self {
        Self { caller: Caller::new(host), host: host.to_owned() }
    }

    fn call(&mut self, method: &'static str, path: &str, body: &[u8]) -> io::Result<String> {
        let ask = Ask { method, path, body, sha256: Some(Sha256::of(body)), ..Ask::default() };
        Ok(self.caller.call(&ask)?.good()?.text())
    }

    /// The bucket, the small objects, and the large one, which comes in parts.
    pub fn objects(&mut self) -> io::Result<()> {
        self.bucket(BUCKET)?;
        let amount = Amount { connections: 8, requests: KEYS, at_most: Duration::MAX };
        load::run(&Target { host: &self.host, bucket: BUCKET, upload: "" }, Op::Put4k, amount, 0)?;
        let upload = self.begin("large")?;
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
    pub fn begin(&mut self, key: &str) -> io::Result<String> {
        let document = self.call("POST", &format!("/{BUCKET}/{key}?uploads="), b"")?;
        let id = document.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<'));
        let (id, _) = id.ok_or_else(|| io::Error::other(format!("no upload id: {document}")))?;
        let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        Ok(format!("{key}?uploadId={id}"))
    }

    fn part(&mut self, upload: &str, number: u64) -> io::Result<String> {
        let (bytes, digest) = BODIES.part(number);
        let path = format!("/{BUCKET}/{upload}&partNumber={number}");
        let ask = Ask {
            method: "PUT",
            path: &path,
            body: bytes,
            sha256: Some(*digest),
            ..Ask::default()
        };
        let answer = self.caller.call(&ask)?.good()?;
        Ok(answer.header("etag").unwrap_or_default().trim_matches('"').to_owned())
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

    /// Frees an upload's parts. An abort would have the gateway keep them for a while: a complete
    /// object that is deleted takes its parts along.
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

    /// Begins a backup of so many chunks.
    pub fn backup(&mut self, key: &str, chunks: u64) -> io::Result<String> {
        let size = chunks * PART as u64;
        self.backup_as(
            &serde_json::json!({"bucket": BUCKET, "key": key, "chunkSize": PART, "size": size}),
        )
    }

    /// Begins a backup on these terms.
    pub fn backup_as(&mut self, terms: &serde_json::Value) -> io::Result<String> {
        let body = terms.to_string();
        let told = self.call("POST", "/_ratchet/v1/backups", body.as_bytes())?;
        let told: serde_json::Value = serde_json::from_str(&told).map_err(io::Error::other)?;
        Ok(told["backupId"].as_str().unwrap_or_default().to_owned())
    }

    pub fn abort_backup(&mut self, id: &str) -> io::Result<()> {
        self.call("DELETE", &format!("/_ratchet/v1/backups/{id}"), b"").map(drop)
    }

    /// What the requests of an operation belong to, if anything: an upload, a backup.
    pub fn open(&mut self, op: Op, key: &str, requests: u64) -> io::Result<String> {
        match op {
            Op::Upload => self.begin(key),
            Op::Chunk => self.backup(key, requests),
            Op::Download | Op::Range | Op::Put4k | Op::Get4k | Op::Head | Op::List => {
                Ok(String::new())
            }
        }
    }

    /// Frees it.
    pub fn close(&mut self, op: Op, upload: &str) -> io::Result<()> {
        match op {
            Op::Upload => self.discard(upload),
            Op::Chunk => self.abort_backup(upload),
            Op::Download | Op::Range | Op::Put4k | Op::Get4k | Op::Head | Op::List => Ok(()),
        }
    }
}
