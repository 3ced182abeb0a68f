//! Attacks that once worked, each made as it was made: by accounts with narrow grants and by
//! nobody, through a gateway process on a directory, on SeaweedFS and, where `minio` is on the
//! PATH, on MinIO.

mod forms;
mod keys;
mod minio;
mod random;
mod reach;
mod store_key;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use ratchet::clock::Clock;

use crate::gateway::{Key, Told, head_of_now, last_exchange};
use crate::process;
use minio::Minio;

/// Everything; write on every bucket; write below `mine/` of one bucket.
const ROOT: Key = ("AKROOT", "root-secret-0123");
const WIDE: Key = ("AKWIDE", "wide-secret-0123");
const NARROW: Key = ("AKNARROW", "narrow-secret-0123");

/// A gateway on one store, with the bucket that the narrow account writes in.
struct Place {
    gateway: process::Gateway,
    bucket: String,
    store: &'static str,
    /// What lies behind; it ends with the gateway.
    minio: Option<Minio>,
}

/// One place for each store that is to be had.
async fn places(home: &Path) -> Vec<Place> {
    let mut places = vec![
        Place::new(home, "dir", &format!("dir:{}", home.join("store").display()), None, None).await,
    ];
    match std::env::var("RATCHET_TEST_S3") {
        Ok(endpoint) => {
            places.push(Place::new(home, "SeaweedFS", &format!("s3+{endpoint}"), None, None).await)
        }
        Err(_) => println!("SKIP on s3: RATCHET_TEST_S3 names no server"),
    }
    if let Some(minio) = Minio::start(&home.join("minio")).await {
        assert!(minio.is_administered_directly().await);
        let endpoint = format!("s3+http://{}", minio.address);
        places.push(Place::new(home, "MinIO", &endpoint, Some(minio::ROOT), Some(minio)).await);
    }
    places
}

impl Place {
    async fn new(
        home: &Path,
        store: &'static str,
        choice: &str,
        of_store: Option<Key>,
        minio: Option<Minio>,
    ) -> Self {
        let bucket = format!("b{}", Clock::system().random_id());
        let account = |name: &str, (id, secret): Key, terms: &str| {
            format!(
                "[[account]]\nname = \"{name}\"\n{terms}\n[[account.key]]\nid = \"{id}\"\nsecret = \"{secret}\"\n"
            )
        };
        let grant = |bucket: &str, prefix: &str| {
            format!(
                "[[account.grant]]\nbucket = \"{bucket}\"\nprefix = \"{prefix}\"\naccess = \"write\"\n"
            )
        };
        let settings = [
            "[server]\ndomain = \"s3.test\"\n".to_owned(),
            account("root", ROOT, "root = true"),
            account("wide", WIDE, "") + &grant("*", ""),
            account("narrow", NARROW, "") + &grant(&bucket, "mine/"),
        ];
        let file = home.join(format!("{store}.toml"));
        std::fs::write(&file, settings.concat()).unwrap();
        let mut command = Command::new(process::PROGRAM);
        command.args(["serve", "--listen", "127.0.0.1:0", "--store", choice, "--config"]).arg(file);
        command.env("AWS_REGION", "us-east-1").stderr(std::process::Stdio::null());
        if let Some((id, secret)) = of_store {
            command.envs([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)]);
        }
        let place = Self { gateway: process::Gateway::spawn(command), bucket, store, minio };
        let made = place.ask(ROOT, "PUT", &format!("/{}", place.bucket), &[], b"").await;
        assert_eq!(made.status, 200, "{store}: {made:?}");
        place
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    async fn ask(
        &self,
        key: Key,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Told {
        let head = head_of_now(self.address(), key, (method, target), headers, body.len());
        last_exchange(self.address(), &head, body).await
    }

    /// As `ask`, and it must be refused with this status and code by the gateway itself, which then
    /// still serves.
    async fn refuses(
        &self,
        key: Key,
        ask: (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        wanted: (u16, &str),
    ) {
        let (method, target) = ask;
        let told = self.ask(key, method, target, headers, body).await;
        let what = format!("{}: {method} {target} {headers:?}: {told:?}", self.store);
        let code = if method == "HEAD" { wanted.1.to_owned() } else { told.code() };
        assert_eq!((told.status, code.as_str()), wanted, "{what}");
        assert_eq!(told.header("x-amz-request-id").map(str::len), Some(32), "{what}");
        assert_eq!(
            self.ask(ROOT, "HEAD", &format!("/{}", self.bucket), &[], b"").await.status,
            200,
            "{what}"
        );
        if let Some(minio) = &self.minio {
            assert!(minio.is_administered_directly().await, "{what}");
        }
    }

    /// The keys of the bucket.
    async fn keys(&self) -> Vec<String> {
        let told = self.ask(ROOT, "GET", &format!("/{}?list-type=2", self.bucket), &[], b"").await;
        let text = String::from_utf8(told.body).unwrap();
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }
}
