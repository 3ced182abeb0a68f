//! File modes of the embedded store: only its owner can read it, whatever the umask of the gateway
//! is and whichever version created the store.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::process::{Gateway, PROGRAM};

const MIB: usize = 1 << 20;

/// The user that gateways run as if the tests run as root, because modes do not restrict root.
const NOBODY: u32 = 65534;

/// A directory with a store in it.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        chown_to_gateway(home.path());
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

    /// Sends a request that must succeed, with the store's own key. The body of the response.
    fn send(&self, gateway: &Gateway, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
        let text = fs::read_to_string(self.store().join("credentials")).unwrap();
        let values: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(_, value)| value)
            .collect();
        let (status, response) = gateway.s3((values[0], values[1]), method, target, body);
        assert!(status < 300, "{method} {target}: {status} {}", String::from_utf8_lossy(&response));
        response
    }

    /// Creates an object in the index, one in a file, one made of a part, and an unfinished upload.
    fn fill(&self, gateway: &Gateway) {
        self.send(gateway, "PUT", "/bucket", b"");
        self.send(gateway, "PUT", "/bucket/small", b"small");
        self.send(gateway, "PUT", "/bucket/large", &vec![7; MIB]);
        for key in ["complete", "unfinished"] {
            let created = self.send(gateway, "POST", &format!("/bucket/{key}?uploads="), b"");
            let created = String::from_utf8(created).unwrap();
            let id =
                created.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0;
            self.send(
                gateway,
                "PUT",
                &format!("/bucket/{key}?partNumber=1&uploadId={id}"),
                &vec![8; 5 * MIB],
            );
            if key == "complete" {
                let parts = format!("/bucket/{key}?uploadId={id}");
                let listed = String::from_utf8(self.send(gateway, "GET", &parts, b"")).unwrap();
                let etag = listed.split_once("<ETag>").unwrap().1.split_once("</ETag>").unwrap().0;
                let document = format!(
                    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
                     </CompleteMultipartUpload>"
                );
                self.send(gateway, "POST", &parts, document.as_bytes());
            }
        }
    }

    fn check_content(&self, gateway: &Gateway) {
        assert_eq!(self.send(gateway, "GET", "/bucket/small", b""), b"small");
        assert!(self.send(gateway, "GET", "/bucket/large", b"") == vec![7; MIB]);
        assert!(self.send(gateway, "GET", "/bucket/complete", b"") == vec![8; 5 * MIB]);
    }

    /// All files and directories of the store, its own directory included.
    fn all_paths(&self) -> Vec<PathBuf> {
        let mut all = vec![self.store()];
        let mut next = 0;
        while next < all.len() {
            if all[next].is_dir() {
                all.extend(fs::read_dir(&all[next]).unwrap().map(|entry| entry.unwrap().path()));
            }
            next += 1;
        }
        all
    }

    fn check_modes(&self, what: &str) {
        let all = self.all_paths();
        // The store's directory, `data`, `incoming` and 256 shards; the index and the credentials;
        // the files of three bodies.
        assert!(all.len() >= 259 + 2 + 3, "{what}: {} entries", all.len());
        for path in all {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), expected, "{what}: {} has {:o}", path.display(), mode(&path));
        }
    }
}

/// Gives a file to the user that gateways run as.
fn chown_to_gateway(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn only_the_owner_can_read_a_store_whatever_the_umask() {
    for umask in ["000", "077", "0777"] {
        let home = Home::new();
        for start in ["first", "second"] {
            let mut gateway = home.serve(umask);
            if start == "first" {
                home.fill(&gateway);
            }
            home.check_content(&gateway);
            home.check_modes(&format!("umask {umask}, {start} start"));
            gateway.kill();
        }
        assert_eq!(
            mode(&home.0.path().join("above")),
            0o700,
            "the parent directory, created under umask {umask}"
        );
    }
}

#[test]
fn wider_modes_are_corrected_at_start_also_after_an_interruption() {
    let home = Home::new();
    let mut gateway = home.serve("022");
    home.fill(&gateway);
    gateway.kill();
    // The modes of older versions.
    for path in home.all_paths() {
        set_mode(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    let left_by_a_crash = home.store().join("incoming/left-by-a-crash");
    fs::write(&left_by_a_crash, "x").unwrap();
    chown_to_gateway(&left_by_a_crash);
    let mut gateway = home.serve("022");
    home.check_content(&gateway);
    home.check_modes("an old store");
    gateway.kill();
    // An interrupted correction: some directories are closed to others but their files still have
    // the old modes; other directories were not reached.
    for path in
        home.all_paths().into_iter().filter(|path| path.starts_with(home.store().join("data")))
    {
        let number = u32::from(path.file_name().unwrap().as_encoded_bytes()[0]);
        let directory = [0o1700, 0o755][number as usize % 2];
        set_mode(&path, if path.is_dir() { directory } else { 0o644 });
    }
    let gateway = home.serve("022");
    home.check_content(&gateway);
    home.check_modes("an interrupted correction");
}

#[test]
fn a_directory_of_another_user_is_used_with_a_warning() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP a directory of another user: only root can create one");
        return;
    }
    let home = Home::new();
    fs::create_dir_all(home.store()).unwrap();
    set_mode(&home.0.path().join("above"), 0o755);
    set_mode(&home.store(), 0o777);
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
    home.fill(&gateway);
    home.check_content(&gateway);
    let logged = fs::read_to_string(log).unwrap();
    let warnings: Vec<&str> = logged.lines().filter(|line| line.contains("WARN")).collect();
    assert!(
        warnings.len() == 1
            && warnings[0].contains("0777")
            && warnings[0].contains("own the directory"),
        "{logged}"
    );
    assert_eq!(mode(&home.store().join("index.redb")), 0o600);
}
