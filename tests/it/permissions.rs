//! Who may read the embedded store: nobody but its owner, whatever umask the gateway was started
//! with, and however the store was made.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Gateway, PROGRAM};

const MIB: usize = 1 << 20;

/// The user that gateways run as where the tests are root's: modes do not bind root.
const NOBODY: u32 = 65534;

/// A directory for stores, and the key of the store in it.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        give_away(home.path());
        Self(home)
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("above/store")
    }

    fn serve(&self, umask: &str) -> Gateway {
        let mut command = Command::new("sh");
        let script =
            format!("umask {umask}; exec \"$0\" serve --listen 127.0.0.1:0 --store \"$1\"");
        command.args(["-c", &script, PROGRAM, &format!("dir:{}", self.store().display())]);
        command.current_dir(self.0.path()).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Gateway::spawn(command)
    }

    fn ask(&self, gateway: &Gateway, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
        let text = fs::read_to_string(self.store().join("credentials")).unwrap();
        let values: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(_, value)| value)
            .collect();
        let (status, answer) = gateway.s3((values[0], values[1]), method, target, body);
        assert!(status < 300, "{method} {target}: {status} {}", String::from_utf8_lossy(&answer));
        answer
    }

    /// One object in the index, one in a file, one of a part, and a part that waits for more.
    fn use_store(&self, gateway: &Gateway) {
        self.ask(gateway, "PUT", "/bucket", b"");
        self.ask(gateway, "PUT", "/bucket/small", b"small");
        self.ask(gateway, "PUT", "/bucket/large", &vec![7; MIB]);
        for key in ["whole", "begun"] {
            let told = self.ask(gateway, "POST", &format!("/bucket/{key}?uploads="), b"");
            let told = String::from_utf8(told).unwrap();
            let id = told.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0;
            self.ask(
                gateway,
                "PUT",
                &format!("/bucket/{key}?partNumber=1&uploadId={id}"),
                &vec![8; 5 * MIB],
            );
            if key == "whole" {
                let parts = format!("/bucket/{key}?uploadId={id}");
                let told = String::from_utf8(self.ask(gateway, "GET", &parts, b"")).unwrap();
                let tag = told.split_once("<ETag>").unwrap().1.split_once("</ETag>").unwrap().0;
                let document = format!(
                    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>\
                     </CompleteMultipartUpload>"
                );
                self.ask(gateway, "POST", &parts, document.as_bytes());
            }
        }
    }

    fn holds_what_was_put(&self, gateway: &Gateway) {
        assert_eq!(self.ask(gateway, "GET", "/bucket/small", b""), b"small");
        assert!(self.ask(gateway, "GET", "/bucket/large", b"") == vec![7; MIB]);
        assert!(self.ask(gateway, "GET", "/bucket/whole", b"") == vec![8; 5 * MIB]);
    }

    /// Everything of the store, itself included.
    fn all(&self) -> Vec<PathBuf> {
        let mut all = vec![self.store()];
        let mut at = 0;
        while at < all.len() {
            if all[at].is_dir() {
                all.extend(fs::read_dir(&all[at]).unwrap().map(|entry| entry.unwrap().path()));
            }
            at += 1;
        }
        all
    }

    fn is_its_owners_alone(&self, what: &str) {
        let all = self.all();
        // The store, `data`, `incoming`, 256 shards; the index and the key; the files of three
        // bodies.
        assert!(all.len() >= 259 + 2 + 3, "{what}: {} entries", all.len());
        for path in all {
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), wanted, "{what}: {} has {:o}", path.display(), mode(&path));
        }
    }
}

/// To the user that gateways run as.
fn give_away(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn with_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn whatever_the_umask_a_store_is_its_owners_alone() {
    for umask in ["000", "077", "0777"] {
        let home = Home::new();
        for start in ["first", "second"] {
            let mut gateway = home.serve(umask);
            if start == "first" {
                home.use_store(&gateway);
            }
            home.holds_what_was_put(&gateway);
            home.is_its_owners_alone(&format!("umask {umask}, {start} start"));
            gateway.kill();
        }
        assert_eq!(
            mode(&home.0.path().join("above")),
            0o700,
            "made for the store, under umask {umask}"
        );
    }
}

#[test]
fn a_store_with_wider_modes_is_mended_at_start_also_after_an_interruption() {
    let home = Home::new();
    let mut gateway = home.serve("022");
    home.use_store(&gateway);
    gateway.kill();
    // As older versions made it.
    for path in home.all() {
        with_mode(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    let left_by_a_crash = home.store().join("incoming/left-by-a-crash");
    fs::write(&left_by_a_crash, "x").unwrap();
    give_away(&left_by_a_crash);
    let mut gateway = home.serve("022");
    home.holds_what_was_put(&gateway);
    home.is_its_owners_alone("an old store");
    gateway.kill();
    // Interrupted: nobody gets into some of the directories any more, whose files are still as they
    // were; others were not looked at yet.
    for path in home.all().into_iter().filter(|path| path.starts_with(home.store().join("data"))) {
        let number = u32::from(path.file_name().unwrap().as_encoded_bytes()[0]);
        let directory = [0o1700, 0o755][number as usize % 2];
        with_mode(&path, if path.is_dir() { directory } else { 0o644 });
    }
    let gateway = home.serve("022");
    home.holds_what_was_put(&gateway);
    home.is_its_owners_alone("an interrupted mend");
}

#[test]
fn a_directory_of_another_user_is_warned_of_and_used() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP a foreign directory: only root can make one");
        return;
    }
    let home = Home::new();
    fs::create_dir_all(home.store()).unwrap();
    with_mode(&home.0.path().join("above"), 0o755);
    with_mode(&home.store(), 0o777);
    let log = home.0.path().join("log");
    let mut command = Command::new(PROGRAM);
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        &format!("dir:{}", home.store().display()),
    ]);
    command
        .env_clear()
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .uid(NOBODY)
        .gid(NOBODY);
    let gateway = Gateway::spawn(command);
    home.use_store(&gateway);
    home.holds_what_was_put(&gateway);
    let said = fs::read_to_string(log).unwrap();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("WARN")).collect();
    assert!(
        warnings.len() == 1
            && warnings[0].contains("0777")
            && warnings[0].contains("own the directory"),
        "{said}"
    );
    assert_eq!(mode(&home.store().join("index.redb")), 0o600);
}
