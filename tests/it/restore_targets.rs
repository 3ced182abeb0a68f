//! What a restore writes: files, links, directories, devices, FIFOs; what it refuses; and what it
//! leaves behind after a failure.

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::support::client::{Setup, on_each_store, text, wait};
use crate::support::lab::pattern;
use crate::support::process::Gateway;
use crate::support::small_disk::SmallDisk;

/// Backs these bytes up to `s3://…/dir/name`.
fn backed_up(setup: &Setup, bytes: &[u8]) -> String {
    let (file, target) = (setup.file("source", bytes), setup.target("dir/name"));
    setup.gateway.json(&["backup", text(&file), &target]);
    target
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_no_regular_file_is_written_into() {
    on_each_store(|setup| {
        let bytes = pattern((16 << 20) + 5, 1);
        let target = backed_up(setup, &bytes);
        let fifo = setup.home.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let child = setup
            .gateway
            .client(&["restore", &target, text(&fifo)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut received = Vec::new();
        File::open(&fifo).unwrap().read_to_end(&mut received).unwrap();
        let (code, stdout, stderr) = wait(child);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains("fifo restored"), "{stdout}");
        assert!(received == bytes && fs::metadata(&fifo).unwrap().file_type().is_fifo());

        // A device node of the test's own: a fault would replace the machine's.
        let null = setup.home.path().join("null");
        let made = mknodat(
            CWD,
            &null,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            makedev(1, 3),
        );
        if made.is_ok() && File::options().write(true).open(&null).is_ok() {
            setup.gateway.json(&["restore", &target, text(&null)]);
            assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
            let link = setup.home.path().join("to-null");
            symlink(&null, &link).unwrap();
            setup.gateway.json(&["restore", &target, text(&link)]);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        } else {
            println!("SKIP a device node: this user may not make one");
        }
        assert!(names_in(setup.home.path()).iter().all(|name| !name.contains("ratchet-part")));
    });
}

#[test]
fn dev_stdout_is_stdout_whatever_it_is() {
    on_each_store(|setup| {
        let bytes = pattern((8 << 20) + 5, 2);
        let target = backed_up(setup, &bytes);
        let piped = setup.gateway.run(&["restore", &target, "/dev/stdout"]);
        assert!(piped.status.success() && piped.stdout == bytes, "{:?}", piped.stderr);
        // A file that already has bytes of another command before the restored ones.
        for path in ["/dev/stdout", "/proc/self/fd/1"] {
            let redirected = setup.home.path().join("redirected");
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&redirected)
                .unwrap();
            file.write_all(b"before").unwrap();
            let mut command = setup.gateway.client(&["restore", &target, path]);
            let child = command.stdout(file.try_clone().unwrap()).stderr(Stdio::piped()).spawn();
            let (code, _, stderr) = wait(child.unwrap());
            assert_eq!(code, Some(0), "{stderr}");
            file.write_all(b"after").unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            let mut found = Vec::new();
            file.read_to_end(&mut found).unwrap();
            assert!(found == [b"before".as_slice(), &bytes, b"after"].concat(), "{path}");
            assert_eq!(fs::metadata(&redirected).unwrap().ino(), file.metadata().unwrap().ino());
        }
    });
}

#[test]
fn links_are_followed_and_a_directory_takes_the_file() {
    on_each_store(|setup| {
        let bytes = pattern(1000, 3);
        let target = backed_up(setup, &bytes);
        let home = setup.home.path();
        fs::create_dir(home.join("elsewhere")).unwrap();
        let (real, link) = (home.join("elsewhere/real"), home.join("link"));
        fs::write(&real, b"old").unwrap();
        symlink("elsewhere/real", &link).unwrap();
        setup.gateway.json(&["restore", &target, text(&link)]);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read(&real).unwrap() == bytes);

        let dir = home.join("into");
        fs::create_dir(&dir).unwrap();
        for to in [text(&dir).to_owned(), format!("{}/", dir.display())] {
            let output = setup.gateway.run(&["restore", &target, &to]);
            let stdout = String::from_utf8(output.stdout).unwrap();
            assert!(stdout.contains("into/name restored"), "{stdout}");
            assert!(fs::read(dir.join("name")).unwrap() == bytes);
        }
        fs::remove_file(dir.join("name")).unwrap();
        fs::create_dir(dir.join("name")).unwrap();
        symlink("nowhere", home.join("dangling")).unwrap();
        let refused = [
            (dir, "is a directory, which a file cannot replace"),
            (home.join("dangling"), "is a symbolic link to nowhere, which does not exist"),
            (home.join("no/such/file"), "does not exist; create it first"),
            (home.join("elsewhere/real/x"), "elsewhere/real"),
            (home.join("new/"), "create the directory first"),
        ];
        for (to, reason) in refused {
            let (code, stderr) = setup.gateway.refused(&["restore", &target, text(&to)]);
            assert!(matches!(code, Some(1 | 2)) && stderr.contains(reason), "{to:?}: {stderr}");
        }
        assert_eq!(names_in(&home.join("elsewhere")), ["real"]);
        let (code, stderr) =
            setup.gateway.refused(&["restore", &setup.target("dir/"), text(&real)]);
        assert_eq!((code, stderr.contains("is no directory")), (Some(2), true), "{stderr}");
    });
}

/// The gateway is not there, so whatever is said was found out without it.
#[test]
fn the_target_is_checked_before_the_gateway_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    gateway.kill();
    let missing = home.path().join("no/file");
    let (code, stderr) = gateway.refused(&["restore", "s3://bucket/key", text(&missing)]);
    assert_eq!((code, stderr.contains("does not exist")), (Some(2), true), "{stderr}");
}

#[test]
fn a_file_that_does_not_fit_is_refused_before_a_byte_is_fetched() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let file = home.path().join("file");
    fs::write(&file, pattern(24 << 20, 4)).unwrap();
    gateway.json(&["backup", text(&file), "s3://bucket/key"]);
    let to = disk.path().join("back");
    let (code, stderr) = gateway.refused(&["restore", "s3://bucket/key", text(&to)]);
    assert_eq!((code, stderr.contains("bytes left, and")), (Some(1), true), "{stderr}");
    assert!(names_in(&disk.path()).is_empty());
}

#[test]
fn a_part_file_stays_only_if_the_next_restore_can_use_it() {
    on_each_store(|setup| {
        let target = backed_up(setup, &pattern(1000, 5));
        let to = setup.home.path().join("to");
        fs::create_dir(&to).unwrap();
        let file = to.join("file");
        let (code, _) = setup.gateway.refused(&["restore", &setup.target("none"), text(&file)]);
        assert_eq!((code, names_in(&to).len()), (Some(1), 0));
        let args = ["restore", &target, text(&file), "--range", "2000-3000"];
        assert_eq!((setup.gateway.refused(&args).0, names_in(&to).len()), (Some(2), 0));
        // The object goes by other means than the gateway's records.
        let path = format!("/{}/dir/name", setup.bucket.strip_prefix("s3://").unwrap());
        let key = crate::support::process::KEY;
        assert_eq!(setup.gateway.s3(key, "DELETE", &path, b"").0, 204);
        let (code, stderr) = setup.gateway.refused(&["restore", &target, text(&file)]);
        assert_eq!(
            (code, stderr.contains("was removed since"), names_in(&to).len()),
            (Some(1), true, 0),
            "{stderr}"
        );
    });
}

#[test]
fn a_single_file_keeps_mode_and_time() {
    on_each_store(|setup| {
        let file = setup.file("file", b"content");
        let changed = UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789);
        File::open(&file).unwrap().set_modified(changed).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let target = setup.target("single");
        setup.gateway.json(&["backup", text(&file), &target]);
        let back = setup.home.path().join("back");
        for _ in 0..2 {
            setup.gateway.json(&["restore", &target, text(&back)]);
            let meta = fs::metadata(&back).unwrap();
            assert_eq!((meta.mode() & 0o7777, meta.modified().unwrap()), (0o640, changed));
        }
        // What has no mode of its own takes that of the file which it replaces.
        let mut command = setup.gateway.client(&["backup", "-", &setup.target("piped")]);
        command.stdin(File::open(&file).unwrap());
        assert!(command.output().unwrap().status.success());
        let replaced = setup.home.path().join("replaced");
        File::options().write(true).create_new(true).mode(0o600).open(&replaced).unwrap();
        setup.gateway.json(&["restore", &setup.target("piped"), text(&replaced)]);
        assert_eq!(fs::metadata(&replaced).unwrap().mode() & 0o7777, 0o600);
    });
}
