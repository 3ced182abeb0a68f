//! Options that commands have in common.

use std::process::{Command, Stdio};

use crate::support::client::{on_each_store, text};
use crate::support::process::{KEY, PROGRAM};

fn program(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::null());
    command.envs([("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)]);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn endpoint_and_json_stand_before_or_after_the_command() {
    on_each_store(|setup| {
        let (url, file) = (setup.gateway.url.as_str(), setup.file("file", b"content"));
        let target = setup.target("key");
        setup.gateway.json(&["backup", text(&file), &target]);
        let orders: [&[&str]; 3] = [
            &["--endpoint", url, "--json", "ls", &target],
            &["--json", "ls", &target, "--endpoint", url],
            &["ls", "--endpoint", url, "--json", &target],
        ];
        for args in orders {
            let (code, stdout, stderr) = program(args);
            assert_eq!(code, Some(0), "{args:?}: {stderr}");
            let row: serde_json::Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(row["key"], "key");
        }
        for useless in [
            ["--json", "serve", "--print-config"].as_slice(),
            &["--endpoint", url, "gc", "--dry-run"],
            &["check", "--endpoint", url],
        ] {
            let (code, _, stderr) = program(useless);
            assert_eq!((code, stderr.contains("of no use")), (Some(2), true), "{stderr}");
        }
        let open = ["backup", "--stdin-from-command", "head -c 20000000 /dev/zero; false", &target];
        assert_eq!(setup.gateway.refused(&open).0, Some(1));
        let (code, stdout, stderr) = program(&["--json", "abort", "--endpoint", url, &target]);
        assert_eq!(code, Some(0), "{stderr}");
        let aborted: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert!(aborted["backupId"].is_string() && aborted["state"] == "aborted", "{stdout}");
    });
}

#[test]
fn verbose_names_each_file_and_quiet_says_nothing() {
    on_each_store(|setup| {
        let dir = setup.home.path().join("dir");
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("sub/file"), b"content").unwrap();
        let (target, back) = (setup.target("dir/"), setup.home.path().join("back"));
        let commands: [(&[&str], &str); 3] = [
            (&["backup", text(&dir), &target], "sub/file: done"),
            (&["verify", &target], "dir/sub/file: as recorded"),
            (&["restore", &target, text(&back)], "dir/sub/file: done"),
        ];
        for (args, named) in commands {
            let run = |option| {
                let output = setup.gateway.run(&[args, &[option]].concat());
                assert_eq!(output.status.code(), Some(0), "{args:?} {option}");
                let text = |bytes| String::from_utf8(bytes).unwrap();
                (text(output.stdout), text(output.stderr))
            };
            let (stdout, stderr) = run("-v");
            assert!(stderr.contains(named), "{args:?}: {stderr}");
            assert_eq!(stdout.lines().count(), 1, "{stdout}");
            assert_eq!(run("-q").0, "", "{args:?}");
            assert!(!run("--retry-for=600").1.contains(named));
        }
        let (code, _) = setup.gateway.refused(&["verify", &target, "-v", "-q"]);
        assert_eq!(code, Some(2));
        // What failed is said all the same.
        let (code, stderr) = setup.gateway.refused(&["verify", "-q", &setup.target("none")]);
        assert_eq!((code, stderr.is_empty()), (Some(1), false));
    });
}
