//! What a backup of a directory keeps: links, names of any bytes, special files, owners, extended
//! attributes and mode bits; and what it says about what it cannot keep.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lgetxattr, makedev, mknodat,
    setxattr, utimensat,
};

use crate::support::client::{Setup, on_each_store, text, without_root};
use crate::support::lab::pattern;

/// The attributes of one path that must come back.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    device: u64,
    names: u64,
    link: Option<OsString>,
    xattr: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

fn seen(path: &Path) -> Seen {
    let meta = fs::symlink_metadata(path).unwrap();
    let mut buffer = vec![0; 64 << 10];
    let xattr = lgetxattr(path, "user.note", buffer.as_mut_slice()).ok();
    Seen {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        modified: (meta.mtime(), meta.mtime_nsec()),
        device: meta.rdev(),
        names: if meta.is_dir() { 0 } else { meta.nlink() },
        link: fs::read_link(path).ok().map(OsString::from),
        xattr: xattr.map(|len| buffer[..len].to_vec()),
        bytes: if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() },
    }
}

fn tree(root: &Path) -> BTreeMap<OsString, Seen> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(root).unwrap().as_os_str().to_owned(), seen(&path));
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                todo.push(path);
            }
        }
    }
    found
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Everything that a Linux directory can have, as far as this user may make it.
fn make_tree(root: &Path) {
    let odd = OsStr::from_bytes(b"caf\xe9");
    fs::create_dir_all(root.join(odd)).unwrap();
    fs::write(root.join(odd).join(OsStr::from_bytes(b"\xff")), b"odd").unwrap();
    fs::write(root.join("caf‛E9"), b"as the odd one is escaped").unwrap();
    fs::write(root.join("new\nline ‛"), b"line").unwrap();
    fs::write(root.join("first"), pattern((8 << 20) + 1, 1)).unwrap();
    fs::hard_link(root.join("first"), root.join("second")).unwrap();
    fs::hard_link(root.join("first"), root.join(odd).join("third")).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    for (name, target) in
        [("link", "first"), ("to-nowhere", "no such"), ("out", "/etc/passwd"), ("loop", "loop")]
    {
        symlink(target, root.join(name)).unwrap();
    }
    symlink(OsStr::from_bytes(b"\xfe\xfe"), root.join("odd-target")).unwrap();
    symlink("n/".repeat(2000), root.join("long-target")).unwrap();
    fs::create_dir_all(root.join("shared")).unwrap();
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    drop(UnixListener::bind(root.join("socket")).unwrap());
    for (name, mode) in [("empty", 0o4711), ("first", 0o2755), ("new\nline ‛", 0o1644)] {
        set_mode(&root.join(name), mode);
    }
    set_mode(&root.join("shared"), 0o3777);
    let xattrs: [(&str, &[u8]); 2] = [("first", b"\0\xff note"), ("caf‛E9", &[7; 3000])];
    for (name, value) in xattrs {
        // A file system without extended attributes keeps the rest.
        setxattr(root.join(name), "user.note", value, XattrFlags::empty()).ok();
    }
    if is_root() {
        chown(root.join("first"), Some(1234), Some(4321)).unwrap();
        set_mode(&root.join("first"), 0o6755);
        lchown(root.join("link"), Some(1234), Some(4321)).unwrap();
        let device = FileType::CharacterDevice;
        let made =
            mknodat(CWD, root.join("null"), device, Mode::from_raw_mode(0o666), makedev(1, 3));
        if made.is_err() {
            println!("SKIP devices: this user may not make them");
        }
    }
    let old = Timespec { tv_sec: -86_400, tv_nsec: 5 };
    let times = Timestamps { last_access: old, last_modification: old };
    for name in ["link", "fifo", "first", "shared"] {
        utimensat(CWD, root.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

fn assert_same(from: &Path, to: &Path) {
    let (mut from, mut to) = (tree(from), tree(to));
    for (path, seen) in &from {
        let back = to.remove(path);
        assert!(
            back.as_ref() == Some(seen),
            "{path:?}: {:?}",
            back.map(|b| (b.mode, b.owner, b.names, b.link, b.modified))
        );
    }
    assert!(to.is_empty(), "{:?}", to.keys());
    from.clear();
}

#[test]
fn everything_in_a_directory_comes_back() {
    on_each_store(|setup| {
        let (from, to) = (setup.home.path().join("from"), setup.home.path().join("to"));
        make_tree(&from);
        let target = setup.target("tree/");
        let count = tree(&from).len();
        let report = setup.gateway.json(&["backup", text(&from), &target]);
        assert_eq!(
            (&report["done"], &report["leftOut"]),
            (&count.into(), &serde_json::json!([])),
            "{report}"
        );
        let again = setup.gateway.json(&["backup", text(&from), &target]);
        assert_eq!((&again["done"], &again["bytesMoved"]), (&count.into(), &0.into()), "{again}");
        // The second time everything is there already.
        for _ in 0..2 {
            let report = setup.gateway.json(&["restore", &target, text(&to)]);
            assert_eq!(
                (&report["done"], &report["failed"]),
                (&count.into(), &serde_json::json!([])),
                "{report}"
            );
            assert_same(&from, &to);
        }
        let first = fs::metadata(to.join("first")).unwrap().ino();
        assert_eq!(fs::metadata(to.join("second")).unwrap().ino(), first);
        // A part of the tree, and one link alone.
        let part = setup.home.path().join("part");
        setup.gateway.json(&["restore", &setup.target("tree/caf‛E9‛/"), text(&part)]);
        assert!(fs::read(part.join("third")).unwrap() == fs::read(from.join("first")).unwrap());
        let alone = setup.home.path().join("alone");
        setup.gateway.json(&["restore", &setup.target("tree/to-nowhere"), text(&alone)]);
        assert_eq!(fs::read_link(&alone).unwrap(), Path::new("no such"));
    });
}

#[test]
fn changed_attributes_are_kept_without_sending_the_bytes_again() {
    on_each_store(|setup| {
        let (from, to) = (setup.home.path().join("from"), setup.home.path().join("to"));
        fs::create_dir_all(from.join("dir")).unwrap();
        let (file, single) = (from.join("dir/file"), setup.target("tree/dir/file"));
        fs::write(&file, pattern(9 << 20, 2)).unwrap();
        fs::write(from.join("empty"), b"").unwrap();
        // Back to the first mode too: the newest backup counts, not the newest other one.
        for mode in [0o600, 0o640, 0o600] {
            for path in [&file, &from.join("empty")] {
                set_mode(path, mode);
            }
            set_mode(&from.join("dir"), mode | 0o100);
            let changed = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + u64::from(mode));
            File::open(&file).unwrap().set_modified(changed).unwrap();
            let report = setup.gateway.json(&["backup", text(&from), &setup.target("tree/")]);
            let moved = report["bytesMoved"].as_u64().unwrap();
            assert!(mode == 0o600 || moved < 1000, "{moved} bytes for a mode");
            setup.gateway.json(&["restore", &setup.target("tree/"), text(&to)]);
            assert_same(&from, &to);
            let alone = setup.home.path().join("alone");
            setup.gateway.json(&["restore", &single, text(&alone)]);
            assert_eq!(seen(&alone), seen(&file));
        }
    });
}

#[test]
fn an_empty_file_that_was_something_else_meanwhile_is_backed_up_again() {
    on_each_store(|setup| {
        let (file, target) = (setup.file("file", b""), setup.target("key"));
        for bytes in [b"".as_slice(), b"x", b"", b"x", b""] {
            let modified = fs::metadata(&file).unwrap().modified().unwrap();
            fs::write(&file, bytes).unwrap();
            File::open(&file).unwrap().set_modified(modified).unwrap();
            setup.gateway.json(&["backup", text(&file), &target]);
            assert_eq!(setup.restored("key"), bytes);
        }
    });
}

#[test]
fn what_cannot_be_kept_is_counted_with_its_reason() {
    on_each_store(|setup| {
        let from = setup.home.path().join("from");
        let mut deep = from.clone();
        for _ in 0..6 {
            deep.push("n".repeat(200));
        }
        fs::create_dir_all(&deep).unwrap();
        fs::write(from.join("file"), b"content").unwrap();
        fs::create_dir(from.join(".ratchet-attributes")).unwrap();
        let target = setup.target("tree/");
        let output = setup.gateway.run(&["backup", text(&from), &target]);
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stdout.contains("6 sent, 0 there already, 0 skipped, 2 left out, 0 failed"),
            "{stdout}{stderr}"
        );
        assert!(stderr.contains("S3 allows 1024"), "{stderr}");
        assert!(stderr.contains("the name is that of the attributes"), "{stderr}");
    });
}

/// An account of the store could name links and files so that a file is written through a link.
#[test]
fn no_file_is_written_through_a_restored_link() {
    on_each_store(|setup| {
        let outside = setup.home.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let one = setup.home.path().join("one");
        fs::create_dir(&one).unwrap();
        symlink(&outside, one.join("sub")).unwrap();
        setup.gateway.json(&["backup", text(&one), &setup.target("tree/")]);
        let file = setup.file("file", b"through");
        setup.gateway.json(&["backup", text(&file), &setup.target("tree/sub/file")]);
        let to = setup.home.path().join("to");
        let (code, stderr) = setup.gateway.refused(&["restore", &setup.target("tree/"), text(&to)]);
        assert_eq!((code, stderr.contains("is a directory")), (Some(1), true), "{stderr}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(fs::read(to.join("sub/file")).unwrap(), b"through");
        // A link that lies there already is not followed either.
        fs::remove_dir_all(&to).unwrap();
        fs::create_dir(&to).unwrap();
        symlink(&outside, to.join("sub")).unwrap();
        let (code, stderr) = setup.gateway.refused(&["restore", &setup.target("tree/"), text(&to)]);
        assert_eq!((code, stderr.contains("must be a directory")), (Some(1), true), "{stderr}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    });
}

/// Only where the test may become another user.
#[test]
fn without_root_files_belong_to_whoever_restores_them() {
    if !is_root() {
        println!("SKIP owners: only root can make files of others");
        return;
    }
    on_each_store(|setup: &Setup| {
        let from = setup.home.path().join("from");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("theirs"), b"content").unwrap();
        chown(from.join("theirs"), Some(1234), Some(1234)).unwrap();
        set_mode(&from.join("theirs"), 0o4755);
        setup.gateway.json(&["backup", text(&from), &setup.target("tree/")]);
        set_mode(setup.home.path(), 0o777);
        let to = setup.home.path().join("to");
        let client = setup.gateway.client(&["restore", &setup.target("tree/"), text(&to)]);
        let Some(output) = without_root(&client) else { return };
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("set-id bit is left out: it belongs to another user"), "{stderr}");
        assert!(stderr.contains("only root can give files away"), "{stderr}");
        let meta = fs::metadata(to.join("theirs")).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o7777), (65534, 0o755));
    });
}
