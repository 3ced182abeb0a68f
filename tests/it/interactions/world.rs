//! What an interleaving plays in: the scenes, the operations, and what clients were told.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use ratchet::digest::Sha256;
use ratchet::gc::Mode;
use ratchet::store::{Body, ETag, PutOptions};
use ratchet::upload::{
    Admission, ChosenEntry, Created, Error, ListQuery, PartAdmission, PartClaim, Session, Uploads,
};

use super::Operation::{self, Abort, Create, Expire, Finalize, Forget, Put};
use super::{Case, Scene, Sort};
use crate::room::{CHUNK, DAY, MINUTE, Room, backup, chunk, number, upload};

/// What is there before anything else.
pub const OLD: &[u8] = b"an older object";

/// A chunk or part that was acknowledged.
pub struct Acknowledged {
    pub session: Session,
    pub index: u64,
    pub sha256: Sha256,
    /// Whether its session was open when the answer came.
    pub open: bool,
}

/// What clients were told.
#[derive(Default)]
pub struct Told {
    /// What finalizes asked for, and whether one was acknowledged.
    pub asked: Vec<Bytes>,
    pub finalized: bool,
    pub chunks: Vec<Acknowledged>,
    pub aborted: Vec<Session>,
    pub created: Vec<Session>,
}

pub struct World {
    pub room: Room,
    pub case: Case,
    /// None: whichever is found at the target.
    id: Option<String>,
    pub told: Mutex<Told>,
}

impl World {
    pub async fn new(case: Case) -> Self {
        let least = if case.sort == Sort::Staged { 4 * CHUNK as u64 } else { 1 };
        let mut world =
            Self { room: Room::new(least).await, case, id: None, told: Mutex::default() };
        if case.scene != Scene::Fresh {
            let session = world.set().await.unwrap();
            world.id = Some(session.root().backup_id.clone());
        }
        let old = Body::from(OLD.to_vec());
        world.room.store.put(&"b".into(), &"k".into(), old, PutOptions::default()).await.unwrap();
        let wait = match case.scene {
            Scene::Fresh => Duration::ZERO,
            Scene::Kept => DAY - MINUTE / 2,
            Scene::Aborted => 16 * MINUTE,
            Scene::Idle | Scene::Whole | Scene::Heir | Scene::Freed | Scene::Replaced => 8 * DAY,
        };
        world.room.clock.pause(wait).await;
        world
    }

    fn chunks(&self) -> u64 {
        if self.case.sort == Sort::Staged { 6 } else { 3 }
    }

    fn file(&self) -> Bytes {
        (0..self.chunks()).flat_map(chunk).collect()
    }

    /// Makes the session of the scene.
    async fn set(&self) -> Result<Session, Error> {
        let (gateway, scene) = (self.room.gateway(), self.case.scene);
        let mut session = self.create(&gateway).await?.1;
        let whole = matches!(scene, Scene::Whole | Scene::Replaced);
        for index in 0..self.chunks() - u64::from(!whole) {
            self.bring(&session, index, chunk(index).into()).await?;
        }
        match scene {
            Scene::Fresh | Scene::Idle | Scene::Whole => {}
            Scene::Heir => {
                session.abort_and_keep("the client went away").await?;
                session = self.create(&gateway).await?.1;
                self.bring(&session, 0, chunk(0).into()).await?;
            }
            Scene::Kept => session.abort_and_keep("the client went away").await?,
            Scene::Aborted => session.abort("the client asked for it").await?,
            Scene::Freed => {
                session.abort("the client asked for it").await?;
                self.room.clock.pause(16 * MINUTE).await;
                assert_eq!(self.room.sweep().await.actions.get("free"), Some(&1));
            }
            Scene::Replaced => drop(session.finalize(None).await?),
        }
        // What is put together in the background.
        self.room.clock.pause(MINUTE).await;
        Ok(session)
    }

    async fn create(&self, gateway: &Uploads) -> Result<(Created, Session), Error> {
        let new = backup("k", self.chunks() as usize);
        match self.case.sort {
            Sort::Chunks => gateway.create("home", new).await,
            Sort::Staged => gateway.create_as("home", "own", new).await,
            Sort::Parts => gateway
                .create_upload("home", upload("k"))
                .await
                .map(|session| (Created::New, session)),
        }
    }

    async fn bring(&self, session: &Session, index: u64, bytes: Bytes) -> Result<(), Error> {
        let (sha256, len_bytes) = (Sha256::of(&bytes), bytes.len() as u64);
        let ticket = if self.case.sort == Sort::Parts {
            let claim = PartClaim { sha256: Some(sha256), md5: None, len_bytes };
            match session.admit_part(number(index as u32 + 1), claim).await? {
                PartAdmission::Known(_) => return Ok(()),
                PartAdmission::Wanted(ticket) => ticket,
            }
        } else {
            match session.admit(index, sha256, len_bytes).await? {
                Admission::Known => return Ok(()),
                Admission::Wanted(ticket) => ticket,
            }
        };
        ticket.store(bytes.into()).await.map(drop)
    }

    /// The session that the scene began with, or the one that a listing of the target shows.
    async fn session(&self, gateway: &Uploads) -> Result<Session, Error> {
        let query = ListQuery {
            bucket: Some("b".into()),
            key: Some("k".into()),
            limit: 1000,
            ..ListQuery::default()
        };
        let id = match &self.id {
            Some(id) => id.clone(),
            None => {
                let listed = gateway.list("home", &query).await?.roots;
                let found = listed.first().map(|root| root.backup_id.clone());
                found.ok_or_else(|| Error::NoSuchBackup("none is listed".to_owned()))?
            }
        };
        gateway.open("home", &id).await
    }

    pub async fn run(&self, operation: Operation, gateway: Uploads) -> Result<(), Error> {
        match operation {
            Create => {
                let (_, session) = self.create(&gateway).await?;
                self.told.lock().unwrap().created.push(session);
            }
            Put => {
                let session = self.session(&gateway).await?;
                let (index, bytes) = match self.case.scene {
                    Scene::Fresh => (0, chunk(0)),
                    // Other bytes than are recorded: refused, or in an S3 upload the last ones win.
                    Scene::Whole => (0, chunk(100)),
                    Scene::Heir => (1, chunk(1)),
                    Scene::Idle | Scene::Kept | Scene::Aborted | Scene::Freed | Scene::Replaced => {
                        (self.chunks() - 1, chunk(self.chunks() - 1))
                    }
                };
                let sha256 = Sha256::of(&bytes);
                self.bring(&session, index, bytes.into()).await?;
                let now = self.room.gateway().open("home", &session.root().backup_id).await;
                let open = now.is_ok_and(|session| session.root().is_open());
                self.told.lock().unwrap().chunks.push(Acknowledged {
                    session,
                    index,
                    sha256,
                    open,
                });
            }
            Finalize => {
                self.finalize(&self.session(&gateway).await?).await?;
                // Told again what it was told before the object was replaced: then the newer one
                // stays.
                self.told.lock().unwrap().finalized |= self.case.scene != Scene::Replaced;
            }
            Abort => {
                let session = self.session(&gateway).await?;
                if self.case.sort == Sort::Parts && self.case.scene != Scene::Kept {
                    session.abort_and_keep("the client asked for it").await?;
                } else {
                    session.abort("the client asked for it").await?;
                }
                self.told.lock().unwrap().aborted.push(session);
            }
            Expire => self.sweep(&gateway).await?,
            Forget if self.case.scene.is_forgotten_next() || self.case.running == Forget => {
                self.sweep(&gateway).await?
            }
            Forget => {
                // It must first have come to an end.
                if let Ok(session) = self.session(&gateway).await {
                    session.abort("the client asked for it").await.ok();
                }
                for _ in 0..2 {
                    self.room.clock.pause(8 * DAY).await;
                    self.sweep(&gateway).await?;
                }
            }
        }
        Ok(())
    }

    /// Sweeps, if need be once the lease of the one that sweeps is over.
    async fn sweep(&self, gateway: &Uploads) -> Result<(), Error> {
        if self.case.scene == Scene::Kept {
            self.room.clock.pause(MINUTE).await;
        }
        let sweeper = self.room.sweeper(gateway.clone());
        loop {
            match sweeper.sweep(Mode::Now, |_| ()).await? {
                Some(report) => break assert_eq!(report.failed, 0, "a session was not swept"),
                None => self.room.clock.pause(6 * MINUTE).await,
            }
        }
        Ok(())
    }

    async fn finalize(&self, session: &Session) -> Result<(), Error> {
        if self.case.sort == Sort::Parts {
            let entries = session.part_entries().await?;
            let known: Vec<Vec<u8>> = [0, 1, 2, 100].map(chunk).into();
            let bytes = entries
                .iter()
                .filter_map(|entry| known.iter().find(|known| Sha256::of(known) == entry.sha256));
            self.told.lock().unwrap().asked.push(bytes.flatten().copied().collect());
            let mut chosen: Vec<ChosenEntry> = entries
                .into_iter()
                .map(|entry| ChosenEntry {
                    number: number(u32::from(entry.number)),
                    etag: entry.etag,
                })
                .collect();
            if chosen.is_empty() {
                chosen.push(ChosenEntry { number: number(1), etag: ETag("none".to_owned()) });
            }
            session.complete_parts(&chosen).await?;
        } else {
            self.told.lock().unwrap().asked.push(self.file());
            session.finalize(None).await?;
        }
        Ok(())
    }

    /// Goes on with what a create handed out, or with a backup of its own.
    pub async fn next_client(&self, gateway: &Uploads) -> Result<(), Error> {
        let created = self
            .told
            .lock()
            .unwrap()
            .created
            .last()
            .map(|session| session.root().backup_id.clone());
        let handed_out = match created {
            Some(id) => {
                gateway.open("home", &id).await.ok().filter(|session| session.root().is_open())
            }
            None => None,
        };
        let session = match (handed_out, self.case.sort) {
            (Some(session), _) => session,
            (None, Sort::Parts) => self.create(gateway).await?.1,
            (None, _) => gateway.create("home", backup("k", self.chunks() as usize)).await?.1,
        };
        for index in 0..self.chunks() {
            self.bring(&session, index, chunk(index).into()).await?;
        }
        self.finalize(&session).await?;
        self.told.lock().unwrap().finalized = true;
        Ok(())
    }
}
