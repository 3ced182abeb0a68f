//! Whether a store keeps what the gateway builds on: tried on the store itself.
//!
//! Guarantees: what it makes is under a random prefix and removed again. A store that fails a required check loses
//! updates, and with them acknowledged chunks: it must not be used. Source: DESIGN §8; BACKENDS.md §1.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Attributes, Body, Bucket, ChosenPart, Error, GetOptions, Key, Kind, ListOptions, PartNumber, PartTarget, PutMode,
    PutOptions, Read, Result, Store, UploadTarget,
};
use crate::digest::Sha256;

/// Writers that race at the same time, and how often each increments.
const WRITERS: usize = 8;
const INCREMENTS: usize = 4;

/// One thing that was tried.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Check {
    pub name: &'static str,
    pub passed: bool,
    pub detail: String,
}

/// Tries everything in a bucket that exists. `id` is random. **Errors**: only where the store cannot be reached.
pub async fn probe(store: &Arc<dyn Store>, bucket: &Bucket, id: &str) -> Result<Vec<Check>> {
    let probe = Probe { store: Arc::clone(store), bucket: bucket.clone(), prefix: format!("v1/probe/{id}/") };
    // A store that does not answer at all is no matter of its rules.
    probe.put("first", "0", PutMode::Overwrite).await?;
    let mut checks = vec![
        check("create-only puts have one winner", probe.create_race().await),
        check("no If-Match update is lost", probe.update_race().await),
        check("a write is read back at once", probe.read_after_write().await),
        check("a write is listed at once", probe.list_after_write().await),
    ];
    checks.push(check("parts become an object", probe.multipart().await));
    probe.tidy().await?;
    Ok(checks)
}

fn check(name: &'static str, outcome: std::result::Result<String, String>) -> Check {
    match outcome {
        Ok(detail) => Check { name, passed: true, detail },
        Err(detail) => Check { name, passed: false, detail },
    }
}

#[derive(Clone)]
struct Probe {
    store: Arc<dyn Store>,
    bucket: Bucket,
    prefix: String,
}

type Outcome = std::result::Result<String, String>;

fn text(error: Error) -> String {
    error.to_string()
}

impl Probe {
    fn key(&self, name: &str) -> Key {
        Key(format!("{}{name}", self.prefix))
    }

    async fn put(&self, name: &str, value: &str, mode: PutMode) -> Result<super::Written> {
        let body = Body::from(Bytes::copy_from_slice(value.as_bytes()));
        self.store.put(&self.bucket, &self.key(name), body, PutOptions { mode, ..PutOptions::default() }).await
    }

    async fn read(&self, name: &str) -> Result<(super::ETag, String)> {
        let opened = self.store.get(&self.bucket, &self.key(name), Read::Whole, GetOptions::default()).await;
        let (head, body) = opened?;
        Ok((head.etag, String::from_utf8_lossy(&body.collect(64).await?).into_owned()))
    }

    async fn create_race(&self) -> Outcome {
        let writers = (0..WRITERS).map(|writer| self.until_decided(writer));
        let won = join_all(writers).await.into_iter().collect::<Result<Vec<bool>>>().map_err(text)?;
        let winners = won.into_iter().filter(|won| *won).count();
        if winners == 1 { Ok(format!("{WRITERS} writers")) } else { Err(format!("{winners} of {WRITERS} writers won")) }
    }

    async fn until_decided(&self, writer: usize) -> Result<bool> {
        loop {
            match self.put("create", &writer.to_string(), PutMode::CreateOnly).await {
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == Kind::Precondition => return Ok(false),
                Err(error) if matches!(error.kind(), Kind::Conflict | Kind::SlowDown) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn update_race(&self) -> Outcome {
        let writers = (0..WRITERS).map(|_| async {
            for _ in 0..INCREMENTS {
                self.increment().await?;
            }
            Ok(())
        });
        join_all(writers).await.into_iter().collect::<Result<()>>().map_err(text)?;
        let (_, value) = self.read("first").await.map_err(text)?;
        let wanted = WRITERS * INCREMENTS;
        if value == wanted.to_string() {
            Ok(format!("{wanted} updates"))
        } else {
            Err(format!("{wanted} updates left {value}"))
        }
    }

    async fn increment(&self) -> Result<()> {
        loop {
            let (etag, value) = self.read("first").await?;
            let value: u64 = value.parse().unwrap_or(0);
            match self.put("first", &(value + 1).to_string(), PutMode::IfMatch(etag)).await {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), Kind::Precondition | Kind::Conflict | Kind::SlowDown) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn read_after_write(&self) -> Outcome {
        for round in 0..4 {
            self.put("read", &round.to_string(), PutMode::Overwrite).await.map_err(text)?;
            let (_, value) = self.read("read").await.map_err(text)?;
            if value != round.to_string() {
                return Err(format!("wrote {round}, read {value}"));
            }
        }
        Ok(String::new())
    }

    async fn list_after_write(&self) -> Outcome {
        self.put("list", "", PutMode::Overwrite).await.map_err(text)?;
        let options = ListOptions { prefix: self.prefix.clone(), ..ListOptions::default() };
        let page = self.store.list(&self.bucket, &options).await.map_err(text)?;
        let listed = page.objects.iter().any(|object| object.key == self.key("list"));
        if listed { Ok(format!("{} keys", page.objects.len())) } else { Err("it is not in the list".to_owned()) }
    }

    async fn multipart(&self) -> Outcome {
        let (key, bytes) = (self.key("parts"), Bytes::from_static(b"part"));
        let upload = self.store.create_upload(&self.bucket, &key, &Attributes::default()).await.map_err(text)?;
        let target = UploadTarget { bucket: &self.bucket, key: &key, upload: &upload };
        let number = PartNumber::new(1).ok_or("1 is a part number")?;
        let part = PartTarget { upload: target, number };
        let sha256 = Sha256::of(&bytes);
        let written = self.store.put_part(part, bytes.clone().into(), Some(sha256).into()).await.map_err(text)?;
        let chosen = [ChosenPart { number, etag: written.etag, sha256: Some(written.sha256) }];
        self.store.complete(target, &chosen, bytes.len() as u64).await.map_err(text)?;
        let (_, value) = self.read("parts").await.map_err(text)?;
        if value.as_bytes() == bytes { Ok(String::new()) } else { Err(format!("it reads {value:?}")) }
    }

    async fn tidy(&self) -> Result<()> {
        let options = ListOptions { prefix: self.prefix.clone(), ..ListOptions::default() };
        for object in self.store.list(&self.bucket, &options).await?.objects {
            self.store.delete(&self.bucket, &object.key, None).await?;
        }
        Ok(())
    }
}
