//! Checks that a store has the semantics that the gateway depends on, by trying them.
//!
//! Guarantees: everything that it writes is below a random prefix, and removed again. A store that
//! fails a required check loses updates, and with them acknowledged chunks: it must not be used.
//! The other checks inform about optional features. Source: docs/architecture.md#probe;
//! docs/backends.md#the-start-up-probe.

mod conditions;
mod listing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

pub use conditions::Decides;
use conditions::{
    CONDITIONAL_COMPLETE, DELETE_BY_SIZE, DELETE_BY_TAG, DELETE_BY_TIME, by_size, by_time,
};

use super::{
    Attributes, Body, Bucket, ChosenPart, Completion, DeleteOptions, Error, GetOptions, GetRange,
    Key, Kind, ListOptions, PartNumber, PartTarget, PutMode, PutOptions, Result, ServerFacts,
    Store, UploadTarget,
};
use crate::clock::Clock;
use crate::digest::Sha256;

/// Concurrent writers, and how often each increments.
const WRITERS: usize = 8;
const INCREMENTS: usize = 4;

/// The check that decides whether uploads can be adopted
/// (docs/architecture.md#handing-over-a-store-upload).
pub const PARTIAL_COMPLETE: &str = "Complete takes the parts that it names, and no others";

/// The consequence of a failed check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The store cannot be used.
    Required,
    /// The gateway works without the feature.
    #[serde(rename = "told")]
    Informational,
    /// The gateway works, and its operator should correct the fault.
    Advised,
}

/// A check and its outcome.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Check {
    pub name: &'static str,
    pub weight: Weight,
    pub passed: bool,
    pub detail: String,
}

/// Runs all checks in an existing bucket. **Errors**: only if the store cannot be reached.
pub async fn probe(store: &Arc<dyn Store>, bucket: &Bucket, clock: &Clock) -> Result<Vec<Check>> {
    let probe = Probe {
        store: Arc::clone(store),
        bucket: bucket.clone(),
        prefix: format!("v1/probe/{}/", clock.random_id()),
    };
    // A store that cannot be reached fails no check: it is an error.
    probe.put("first", "0", PutMode::Overwrite).await?;
    let mut checks = vec![
        check("create-only puts have one winner", probe.create_race().await),
        check("no If-Match update is lost", probe.update_race().await),
        check("a write is read back at once", probe.read_after_write().await),
        check("a write is listed at once", probe.list_after_write().await),
        check("parts become an object", probe.multipart().await),
        informational(PARTIAL_COMPLETE, probe.partial_complete().await),
        informational(
            "a part that was replaced is not completed by its old tag",
            probe.stale_tag().await,
        ),
        informational(DELETE_BY_TAG, probe.delete_by_tag().await),
        informational(DELETE_BY_TIME, probe.delete_by(by_time()).await),
        informational(DELETE_BY_SIZE, probe.delete_by(by_size()).await),
        informational(CONDITIONAL_COMPLETE, probe.conditional_complete().await),
        informational("a listing in pages leaves out no key", probe.nested_listing().await),
        informational(
            "bytes that are not what their SHA-256 says are refused",
            probe.wrong_checksum().await,
        ),
        informational(
            "its clock and this machine's are at most a minute apart",
            probe.skew(clock).await,
        ),
    ];
    probe.remove_objects().await?;
    if let Some(facts) = store.inspect_server().await {
        checks.extend(server_checks(&facts));
    }
    Ok(checks)
}

/// What the operator should know about the server.
fn server_checks(facts: &ServerFacts) -> [Check; 2] {
    let names = match &facts.reserved[..] {
        [] => "minio, admin, rustfs (everywhere)".to_owned(),
        found => format!("minio, admin, rustfs (everywhere); this server: {}", found.join(", ")),
    };
    let key = match &facts.administers[..] {
        [] => Ok("docs/store-keys.md has the least rights for each server".to_owned()),
        apis => Err(format!(
            "the key opens {}: give the gateway a key with the least rights, see docs/store-keys.md",
            apis.join(" and ")
        )),
    };
    [
        informational("names that are no buckets", Ok(names)),
        Check {
            weight: Weight::Advised,
            ..check("the gateway's key does not administer the store", key)
        },
    ]
}

fn check(name: &'static str, outcome: std::result::Result<String, String>) -> Check {
    match outcome {
        Ok(detail) => Check { name, weight: Weight::Required, passed: true, detail },
        Err(detail) => Check { name, weight: Weight::Required, passed: false, detail },
    }
}

fn informational(name: &'static str, outcome: Outcome) -> Check {
    Check { weight: Weight::Informational, ..check(name, outcome) }
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
        Key::from(format!("{}{name}", self.prefix))
    }

    async fn put(&self, name: &str, value: &str, mode: PutMode) -> Result<super::Written> {
        let body = Body::from(Bytes::copy_from_slice(value.as_bytes()));
        self.store
            .put(&self.bucket, &self.key(name), body, PutOptions { mode, ..PutOptions::default() })
            .await
    }

    async fn read(&self, name: &str) -> Result<(super::ETag, String)> {
        let opened = self
            .store
            .get(&self.bucket, &self.key(name), GetRange::Whole, GetOptions::default())
            .await;
        let (head, body) = opened?;
        Ok((head.etag, String::from_utf8_lossy(&body.collect(64).await?).into_owned()))
    }

    async fn create_race(&self) -> Outcome {
        let writers = (0..WRITERS).map(|writer| self.create_until_decided(writer));
        let outcomes =
            join_all(writers).await.into_iter().collect::<Result<Vec<bool>>>().map_err(text)?;
        let winners = outcomes.into_iter().filter(|won| *won).count();
        if winners == 1 {
            Ok(format!("{WRITERS} writers"))
        } else {
            Err(format!("{winners} of {WRITERS} writers won"))
        }
    }

    async fn create_until_decided(&self, writer: usize) -> Result<bool> {
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
        let updates = WRITERS * INCREMENTS;
        if value == updates.to_string() {
            Ok(format!("{updates} updates"))
        } else {
            Err(format!("{updates} updates resulted in {value}"))
        }
    }

    async fn increment(&self) -> Result<()> {
        loop {
            let (etag, value) = self.read("first").await?;
            let value: u64 = value.parse().unwrap_or(0);
            match self.put("first", &(value + 1).to_string(), PutMode::IfMatch(etag)).await {
                Ok(_) => return Ok(()),
                Err(error)
                    if matches!(
                        error.kind(),
                        Kind::Precondition | Kind::Conflict | Kind::SlowDown
                    ) => {}
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
        if listed {
            Ok(format!("{} keys", page.objects.len()))
        } else {
            Err("it is not in the list".to_owned())
        }
    }

    async fn multipart(&self) -> Outcome {
        let (key, bytes) = (self.key("parts"), Bytes::from_static(b"part"));
        let upload = self
            .store
            .create_upload(&self.bucket, &key, &Attributes::default())
            .await
            .map_err(text)?;
        let target = UploadTarget { bucket: &self.bucket, key: &key, upload: &upload };
        let number = PartNumber::new(1).ok_or("1 is a part number")?;
        let part = PartTarget { upload: target, number };
        let sha256 = Sha256::of(&bytes);
        let written = self
            .store
            .put_part(part, bytes.clone().into(), Some(sha256).into())
            .await
            .map_err(text)?;
        let chosen = [ChosenPart { number, etag: written.etag, sha256: Some(written.sha256) }];
        self.store
            .complete(target, &chosen, &Completion::of(bytes.len() as u64))
            .await
            .map_err(text)?;
        let (_, value) = self.read("parts").await.map_err(text)?;
        if value.as_bytes() == bytes {
            Ok(String::new())
        } else {
            Err(format!("it reads {value:?}"))
        }
    }

    /// Stores one part of an upload for each number and text.
    async fn put_parts(
        &self,
        target: UploadTarget<'_>,
        texts: &[(u32, &'static str)],
    ) -> Result<Vec<ChosenPart>> {
        let mut chosen = Vec::new();
        for (at, text) in texts {
            let number =
                PartNumber::new(*at).ok_or_else(|| Error::new(Kind::Invalid, "no part number"))?;
            let sha256 = Some(Sha256::of(text.as_bytes()));
            let body = Body::from(Bytes::from_static(text.as_bytes()));
            let written = self
                .store
                .put_part(PartTarget { upload: target, number }, body, sha256.into())
                .await?;
            chosen.push(ChosenPart { number, etag: written.etag, sha256 });
        }
        Ok(chosen)
    }

    async fn partial_complete(&self) -> Outcome {
        let key = self.key("left-out");
        let upload = self
            .store
            .create_upload(&self.bucket, &key, &Attributes::default())
            .await
            .map_err(text)?;
        let target = UploadTarget { bucket: &self.bucket, key: &key, upload: &upload };
        let parts =
            self.put_parts(target, &[(1, "left out"), (2, "chosen")]).await.map_err(text)?;
        let completed =
            self.store.complete(target, &parts[1..], &Completion::of("chosen".len() as u64)).await;
        let outcome = match completed {
            Ok(_) => match self.read("left-out").await.map_err(text)? {
                (_, found) if found == "chosen" => Ok(String::new()),
                (_, found) => Err(format!("it reads {found:?}")),
            },
            Err(error) => Err(text(error)),
        };
        self.store.abort(target).await.ok();
        outcome
    }

    async fn stale_tag(&self) -> Outcome {
        let key = self.key("stale");
        let upload = self
            .store
            .create_upload(&self.bucket, &key, &Attributes::default())
            .await
            .map_err(text)?;
        let target = UploadTarget { bucket: &self.bucket, key: &key, upload: &upload };
        let parts = self.put_parts(target, &[(1, "old"), (1, "new")]).await.map_err(text)?;
        let outcome = match self
            .store
            .complete(target, &parts[..1], &Completion::of("old".len() as u64))
            .await
        {
            Ok(_) => Err("it is completed".to_owned()),
            Err(error) if error.kind() == Kind::InvalidPart => Ok(String::new()),
            Err(error) => Err(text(error)),
        };
        self.store.abort(target).await.ok();
        outcome
    }

    async fn wrong_checksum(&self) -> Outcome {
        let options = PutOptions { sha256: Some(Sha256::of(b"other")), ..PutOptions::default() };
        let body = Body::from(Bytes::from_static(b"bytes"));
        match self.store.put(&self.bucket, &self.key("wrong"), body, options).await {
            Ok(_) => Err("they are stored; the gateway checks by itself".to_owned()),
            Err(error) if error.kind() == Kind::Checksum => Ok(String::new()),
            Err(error) => Err(text(error)),
        }
    }

    async fn skew(&self, clock: &Clock) -> Outcome {
        let head = self.store.head(&self.bucket, &self.key("first")).await.map_err(text)?;
        let now = clock.wall();
        let apart = now
            .duration_since(head.date)
            .or_else(|_| head.date.duration_since(now))
            .unwrap_or_default();
        let detail = format!("{} s", apart.as_secs());
        if apart <= Duration::from_secs(60) { Ok(detail) } else { Err(detail) }
    }

    async fn remove_objects(&self) -> Result<()> {
        let options = ListOptions { prefix: self.prefix.clone(), ..ListOptions::default() };
        for object in self.store.list(&self.bucket, &options).await?.objects {
            self.store.delete(&self.bucket, &object.key, &DeleteOptions::default()).await?;
        }
        Ok(())
    }
}
