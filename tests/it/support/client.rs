//! A gateway on each store, with a directory and a bucket for the commands of the client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use ratchet::clock::Clock;

use super::process::{Gateway, stores};

/// A gateway, a directory for files, and a bucket that no other test uses.
pub struct Setup {
    pub home: tempfile::TempDir,
    pub gateway: Gateway,
    pub bucket: String,
    /// Whether the store is an embedded one.
    pub is_on_directory: bool,
}

pub fn on_each_store(test: impl Fn(&Setup)) {
    let store_home = tempfile::tempdir().unwrap();
    for store in stores(store_home.path()) {
        let bucket = format!("s3://b{}", Clock::system().random_id());
        test(&Setup {
            home: tempfile::tempdir().unwrap(),
            gateway: Gateway::start(&store),
            bucket,
            is_on_directory: store.starts_with("dir:"),
        });
    }
}

impl Setup {
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn target(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }

    pub fn restored(&self, key: &str) -> Vec<u8> {
        let restored_file = self.home.path().join("back");
        self.gateway.json(&["restore", &self.target(key), text(&restored_file)]);
        let bytes = fs::read(&restored_file).unwrap();
        fs::remove_file(&restored_file).unwrap();
        bytes
    }

    pub fn stored_chunks(&self, key: &str) -> u64 {
        let output = self.gateway.run(&["status", &self.target(key), "--json"]).stdout;
        let status: Option<serde_json::Value> = serde_json::from_slice(&output).ok();
        status.and_then(|status| status["stored"].as_u64()).unwrap_or(0)
    }
}

/// Runs a client as a user who is not root. None where the test may not become another user.
pub fn without_root(client: &Command) -> Option<Output> {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP another user: only root can become one");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(client.get_program()).args(client.get_args());
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let Ok(output) = command.output() else {
        println!("SKIP another user: there is no setpriv");
        return None;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("setpriv") || output.status.code() == Some(126) {
        println!("SKIP another user: {stderr}");
        return None;
    }
    Some(output)
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn wait(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
