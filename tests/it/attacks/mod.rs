//! Attacks that must fail: by accounts with narrow grants and without any account, through a
//! gateway process on a directory, on SeaweedFS and, if `minio` is on the PATH, on MinIO.

mod forms;
mod keys;
mod random;
mod reach;
mod store_key;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use ratchet::clock::Clock;
use ratchet::sigv4::Payload;

use crate::support::minio::{self, Minio};
use crate::support::process;
use crate::support::request::{AccessKey, signed_head};
use crate::support::response::{Response, exchange_and_close};

/// Accounts that may do everything, write to every bucket, and write below `mine/` of one bucket.
const ROOT: AccessKey = ("AKROOT", "root-secret-0123");
const WIDE: AccessKey = ("AKWIDE", "wide-secret-0123");
const NARROW: AccessKey = ("AKNARROW", "narrow-secret-0123");

/// A gateway on one store, with the bucket that the narrow account writes in.
struct Setup {
    gateway: process::Gateway,
    bucket: String,
    store: &'static str,
    /// The server behind the gateway; it ends with this.
    minio: Option<Minio>,
}

/// One gateway for each store that is available.
async fn setups(home: &Path) -> Vec<Setup> {
    let mut setups = vec![
        Setup::new(home, "dir", &format!("dir:{}", home.join("store").display()), None, None).await,
    ];
    match std::env::var("RATCHET_TEST_S3") {
        Ok(endpoint) => {
            setups.push(Setup::new(home, "SeaweedFS", &format!("s3+{endpoint}"), None, None).await)
        }
        Err(_) => println!("SKIP on s3: RATCHET_TEST_S3 names no server"),
    }
    if let Some(minio) = Minio::start(&home.join("minio")).await {
        assert!(minio.is_administered_directly().await);
        let endpoint = format!("s3+http://{}", minio.address);
        setups.push(Setup::new(home, "MinIO", &endpoint, Some(minio::ROOT), Some(minio)).await);
    }
    setups
}

impl Setup {
    async fn new(
        home: &Path,
        store: &'static str,
        store_setting: &str,
        store_key: Option<AccessKey>,
        minio: Option<Minio>,
    ) -> Self {
        let bucket = format!("b{}", Clock::system().random_id());
        let account = |name: &str, (id, secret): AccessKey, rights: &str| {
            format!(
                "[[account]]\nname = \"{name}\"\n{rights}\n[[account.key]]\nid = \"{id}\"\nsecret = \"{secret}\"\n"
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
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--store", store_setting, "--config"])
            .arg(file);
        command.env("AWS_REGION", "us-east-1").stderr(std::process::Stdio::null());
        if let Some((id, secret)) = store_key {
            command.envs([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)]);
        }
        let setup = Self { gateway: process::Gateway::spawn(command), bucket, store, minio };
        let created = setup.request(ROOT, "PUT", &format!("/{}", setup.bucket), &[], b"").await;
        assert_eq!(created.status, 200, "{store}: {created:?}");
        setup
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    async fn request(
        &self,
        key: AccessKey,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let head = signed_head(
            self.address(),
            key,
            (method, target),
            headers,
            Payload::Unsigned,
            body.len(),
        );
        exchange_and_close(self.address(), &head, body).await
    }

    /// Asserts that the gateway itself refuses a request with this status and code, and still
    /// serves the next one.
    async fn refuses(
        &self,
        key: AccessKey,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        expected: (u16, &str),
    ) {
        let response = self.request(key, method, target, headers, body).await;
        let what = format!("{}: {method} {target} {headers:?}: {response:?}", self.store);
        let code = if method == "HEAD" { expected.1.to_owned() } else { response.code() };
        assert_eq!((response.status, code.as_str()), expected, "{what}");
        assert_eq!(response.header("x-amz-request-id").map(str::len), Some(32), "{what}");
        assert_eq!(
            self.request(ROOT, "HEAD", &format!("/{}", self.bucket), &[], b"").await.status,
            200,
            "{what}"
        );
        if let Some(minio) = &self.minio {
            assert!(minio.is_administered_directly().await, "{what}");
        }
    }

    /// The keys in the bucket.
    async fn keys(&self) -> Vec<String> {
        let response =
            self.request(ROOT, "GET", &format!("/{}?list-type=2", self.bucket), &[], b"").await;
        let text = String::from_utf8(response.body).unwrap();
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }
}
