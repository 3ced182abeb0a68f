//! The scenes of the interleaving tests: the state of the store before two operations run, the
//! operations, and what their clients received.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use ratchet::digest::Sha256;
use ratchet::gc::Mode;
use ratchet::store::{Body, ETag, PutOptions};
use ratchet::upload::{
    Admission, ChosenEntry, Created, Error, ListQuery, PartAdmission, PartClaim, Session, Uploads,
};

use super::fleet::{CHUNK, DAY, Fleet, MINUTE, chosen, chunk, new_backup, new_upload, part_number};

/// The object under the target before any operation.
pub const OLD_OBJECT: &[u8] = b"an older object";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Put,
    Finalize,
    Abort,
    Expire,
    Forget,
}

use Operation::{Abort, Create, Expire, Finalize, Forget, Put};

/// The state of the store before the operations begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// No session.
    NoSession,
    /// A session without its last chunk, idle for so long that it may be expired or adopted.
    Idle,
    /// As `Idle`, with all chunks.
    AllChunks,
    /// As `Idle`, and the successor of an aborted upload whose parts it may adopt.
    Successor,
    /// As `Successor`, of an upload whose client may go on. The operation that is delayed is on the
    /// alias, the other one on its successor.
    Alias,
    /// As `Alias`, the other way round.
    Owner,
    /// Aborted by its client; its parts are kept for a successor for another half minute.
    PartsKept,
    /// Aborted so long ago that its parts may be freed.
    Aborted,
    /// Freed so long ago that its records may be removed.
    Freed,
    /// Complete, and its object replaced so long ago that its records may be removed.
    Replaced,
}

/// The kind of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// Created over the chunk API; each chunk is a part.
    Chunks,
    /// Created over the chunk API with an id that the client chose; four staged chunks make a part.
    Staged,
    /// An S3 upload.
    Parts,
}

impl Scene {
    /// Whether the next sweep removes the records of the session.
    pub fn is_forgotten_next(self) -> bool {
        matches!(self, Self::Freed | Self::Replaced)
    }
}

/// One interleaving: `running` is delayed for `hold` before its store call number `call`, and
/// `starting` runs meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub running: Operation,
    pub starting: Operation,
    pub scene: Scene,
    pub kind: SessionKind,
    pub call: u64,
    pub hold: Duration,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { running, starting, scene, kind, call, hold } = self;
        write!(
            f,
            "{running:?} x {starting:?}, {scene:?} {kind:?}, delayed for {hold:?} before call {call}"
        )
    }
}

/// A chunk or part that was acknowledged.
pub struct Acknowledged {
    pub session: Session,
    pub index: u64,
    pub sha256: Sha256,
    /// Whether its session was open when the acknowledgement arrived.
    pub session_was_open: bool,
}

/// What the clients received.
#[derive(Default)]
pub struct Outcomes {
    /// The contents that finalizes should produce, and whether one of them was acknowledged.
    pub requested: Vec<Bytes>,
    pub finalized: bool,
    pub chunks: Vec<Acknowledged>,
    pub aborted: Vec<Session>,
    pub created: Vec<Session>,
}

pub struct World {
    pub fleet: Fleet,
    pub case: Case,
    /// `None`: the session that a listing of the target shows.
    id: Option<String>,
    /// The session of the operation that starts meanwhile, where it is another one.
    other_id: Option<String>,
    pub outcomes: Mutex<Outcomes>,
}

impl World {
    pub async fn new(case: Case) -> Self {
        let min_part_bytes = if case.kind == SessionKind::Staged { 4 * CHUNK as u64 } else { 1 };
        let mut world = Self {
            fleet: Fleet::new(min_part_bytes).await,
            case,
            id: None,
            other_id: None,
            outcomes: Mutex::default(),
        };
        if case.scene != Scene::NoSession {
            let session = world.set_up().await.unwrap();
            world.id = Some(session.root().backup_id.to_string());
        }
        if let Scene::Alias | Scene::Owner = case.scene {
            let second = world.join(world.id.clone().unwrap()).await.unwrap();
            world.other_id = Some(second);
            if case.scene == Scene::Owner {
                std::mem::swap(&mut world.id, &mut world.other_id);
            }
        }
        let old = Body::from(OLD_OBJECT.to_vec());
        world.fleet.store.put(&"b".into(), &"k".into(), old, PutOptions::default()).await.unwrap();
        let wait = match case.scene {
            Scene::NoSession => Duration::ZERO,
            Scene::PartsKept => DAY - MINUTE / 2,
            Scene::Aborted => 16 * MINUTE,
            Scene::Alias | Scene::Owner => MINUTE,
            Scene::Idle | Scene::AllChunks | Scene::Successor | Scene::Freed | Scene::Replaced => {
                8 * DAY
            }
        };
        world.fleet.clock.pause(wait).await;
        world
    }

    fn chunks(&self) -> u64 {
        if self.case.kind == SessionKind::Staged { 6 } else { 3 }
    }

    fn file(&self) -> Bytes {
        (0..self.chunks()).flat_map(chunk).collect()
    }

    /// Creates the session of the scene and brings it into its state.
    async fn set_up(&self) -> Result<Session, Error> {
        let (gateway, scene) = (self.fleet.gateway(), self.case.scene);
        let mut session = self.create(&gateway).await?.1;
        let all_chunks = matches!(scene, Scene::AllChunks | Scene::Replaced);
        for index in 0..self.chunks() - u64::from(!all_chunks) {
            self.put(&session, index, chunk(index).into()).await?;
        }
        match scene {
            Scene::NoSession | Scene::Idle | Scene::AllChunks | Scene::Alias | Scene::Owner => {}
            Scene::Successor => {
                session.abort_and_keep("the client went away").await?;
                session = self.create(&gateway).await?.1;
                self.put(&session, 0, chunk(0).into()).await?;
            }
            Scene::PartsKept => session.abort_and_keep("the client went away").await?,
            Scene::Aborted => session.abort("the client asked for it").await?,
            Scene::Freed => {
                session.abort("the client asked for it").await?;
                self.fleet.clock.pause(16 * MINUTE).await;
                assert_eq!(self.fleet.sweep().await.actions.get("free"), Some(&1));
            }
            Scene::Replaced => drop(session.finalize(None).await?),
        }
        // Staged chunks are assembled in the background within this time.
        self.fleet.clock.pause(MINUTE).await;
        Ok(session)
    }

    /// Creates a second upload, which adopts the first one. Its client sends the first part only.
    async fn join(&self, first: String) -> Result<String, Error> {
        let gateway = self.fleet.gateway();
        let first = gateway.open(&"home".into(), &first.into()).await?;
        self.fleet.clock.pause(6 * MINUTE).await;
        let second = self.create(&gateway).await?.1;
        self.put(&second, 0, chunk(0).into()).await?;
        self.fleet.clock.pause(MINUTE).await;
        assert_eq!(first.fresh_root().await?.status.word(), "superseded");
        Ok(second.root().backup_id.to_string())
    }

    async fn create(&self, gateway: &Uploads) -> Result<(Created, Session), Error> {
        let new = new_backup("k", self.chunks() as usize);
        match self.case.kind {
            SessionKind::Chunks => gateway.create(&"home".into(), new).await,
            SessionKind::Staged => gateway.create_as(&"home".into(), &"own".into(), new).await,
            SessionKind::Parts => gateway
                .create_upload(&"home".into(), new_upload("k"))
                .await
                .map(|session| (Created::New, session)),
        }
    }

    async fn put(&self, session: &Session, index: u64, bytes: Bytes) -> Result<(), Error> {
        let (sha256, len_bytes) = (Sha256::of(&bytes), bytes.len() as u64);
        let permit = if self.case.kind == SessionKind::Parts {
            let claim = PartClaim { sha256: Some(sha256), len_bytes, ..PartClaim::default() };
            match session.admit_part(part_number(index as u32 + 1), claim).await? {
                PartAdmission::Known(_) => return Ok(()),
                PartAdmission::Wanted(permit) => permit,
            }
        } else {
            match session.admit(index, sha256, len_bytes).await? {
                Admission::Known => return Ok(()),
                Admission::Wanted(permit) => permit,
            }
        };
        permit.store(bytes.into()).await.map(drop)
    }

    /// The session of the scene, or the one that a listing of the target shows.
    async fn session(&self, gateway: &Uploads, starting: bool) -> Result<Session, Error> {
        let query = ListQuery {
            bucket: Some("b".into()),
            key: Some("k".into()),
            limit: 1000,
            ..ListQuery::default()
        };
        let other = self.other_id.as_ref().filter(|_| starting);
        let id = match other.or(self.id.as_ref()) {
            Some(id) => id.clone(),
            None => {
                let listed = gateway.list(&"home".into(), &query).await?.roots;
                let found = listed.first().map(|root| root.backup_id.clone());
                found.ok_or_else(|| Error::NoSuchBackup("none is listed".into()))?.to_string()
            }
        };
        gateway.open(&"home".into(), &id.clone().into()).await
    }

    /// `starting`: the operation is the one that starts while another is delayed.
    pub async fn run(
        &self,
        operation: Operation,
        gateway: Uploads,
        starting: bool,
    ) -> Result<(), Error> {
        match operation {
            Create => {
                let (_, session) = self.create(&gateway).await?;
                self.outcomes.lock().unwrap().created.push(session);
            }
            Put => {
                let session = self.session(&gateway, starting).await?;
                let (index, bytes) = match self.case.scene {
                    Scene::NoSession => (0, chunk(0)),
                    // Other bytes than recorded: refused, except in an S3 upload, where the last
                    // bytes win.
                    Scene::AllChunks => (0, chunk(100)),
                    Scene::Successor => (1, chunk(1)),
                    Scene::Idle
                    | Scene::Alias
                    | Scene::Owner
                    | Scene::PartsKept
                    | Scene::Aborted
                    | Scene::Freed
                    | Scene::Replaced => (self.chunks() - 1, chunk(self.chunks() - 1)),
                };
                let sha256 = Sha256::of(&bytes);
                self.put(&session, index, bytes.into()).await?;
                let now =
                    self.fleet.gateway().open(&"home".into(), &session.root().backup_id).await;
                // A finalize waits for a put that replaces a part.
                let session_was_open = now.is_ok_and(|session| session.root().status.is_usable());
                self.outcomes.lock().unwrap().chunks.push(Acknowledged {
                    session,
                    index,
                    sha256,
                    session_was_open,
                });
            }
            Finalize => {
                self.finalize(&self.session(&gateway, starting).await?).await?;
                // In `Replaced` the finalize only repeats its old response, and the newer object
                // stays.
                self.outcomes.lock().unwrap().finalized |= self.case.scene != Scene::Replaced;
            }
            Abort => {
                let session = self.session(&gateway, starting).await?;
                if self.case.kind == SessionKind::Parts && self.case.scene != Scene::PartsKept {
                    session.abort_and_keep("the client asked for it").await?;
                } else {
                    session.abort("the client asked for it").await?;
                }
                self.outcomes.lock().unwrap().aborted.push(session);
            }
            Expire => self.sweep(&gateway).await?,
            Forget if self.case.scene.is_forgotten_next() || self.case.running == Forget => {
                self.sweep(&gateway).await?
            }
            Forget => {
                // Only a session that has ended is forgotten.
                if let Ok(session) = self.session(&gateway, starting).await {
                    session.abort("the client asked for it").await.ok();
                }
                for _ in 0..2 {
                    self.fleet.clock.pause(8 * DAY).await;
                    self.sweep(&gateway).await?;
                }
            }
        }
        Ok(())
    }

    /// Sweeps; waits for the end of the lease if another gateway holds it.
    async fn sweep(&self, gateway: &Uploads) -> Result<(), Error> {
        if self.case.scene == Scene::PartsKept {
            self.fleet.clock.pause(MINUTE).await;
        }
        let sweeper = self.fleet.sweeper(gateway.clone());
        loop {
            match sweeper.sweep(Mode::Now, |_| ()).await? {
                Some(report) => break assert_eq!(report.failed, 0, "a session was not swept"),
                None => self.fleet.clock.pause(6 * MINUTE).await,
            }
        }
        Ok(())
    }

    async fn finalize(&self, session: &Session) -> Result<(), Error> {
        if self.case.kind == SessionKind::Parts {
            let entries = session.part_entries().await?;
            let known: Vec<Vec<u8>> = [0, 1, 2, 100].map(chunk).into();
            let bytes = entries
                .iter()
                .filter_map(|entry| known.iter().find(|known| Sha256::of(known) == entry.sha256()));
            self.outcomes.lock().unwrap().requested.push(bytes.flatten().copied().collect());
            let mut chosen = chosen(&entries);
            if chosen.is_empty() {
                chosen.push(ChosenEntry {
                    number: part_number(1),
                    etag: ETag("none".to_owned()),
                    checksum: None,
                });
            }
            session.complete_parts(&chosen).await?;
        } else {
            self.outcomes.lock().unwrap().requested.push(self.file());
            session.finalize(None).await?;
        }
        Ok(())
    }

    /// A client that comes afterwards: it uploads all chunks and finalizes, in the session that the
    /// last create returned if that is still open, or in a new one.
    pub async fn next_client(&self, gateway: &Uploads) -> Result<(), Error> {
        let created = self
            .outcomes
            .lock()
            .unwrap()
            .created
            .last()
            .map(|session| session.root().backup_id.clone());
        let created_session = match created {
            Some(id) => gateway
                .open(&"home".into(), &id)
                .await
                .ok()
                .filter(|session| session.root().is_open()),
            None => None,
        };
        let session = match (created_session, self.case.kind) {
            (Some(session), _) => session,
            (None, SessionKind::Parts) => self.create(gateway).await?.1,
            (None, _) => {
                gateway.create(&"home".into(), new_backup("k", self.chunks() as usize)).await?.1
            }
        };
        for index in 0..self.chunks() {
            self.put(&session, index, chunk(index).into()).await?;
        }
        self.finalize(&session).await?;
        self.outcomes.lock().unwrap().finalized = true;
        Ok(())
    }
}
