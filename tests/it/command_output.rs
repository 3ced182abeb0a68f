//! Backups of what a command prints: complete only if the command succeeded.

use std::fs;

use crate::support::client::{Setup, on_each_store, text};
use crate::support::lab::pattern;

fn back_up(setup: &Setup, command: &str) -> (Option<i32>, String) {
    let target = setup.target("dump");
    let output = setup.gateway.run(&["backup", "--stdin-from-command", command, &target]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn complete(setup: &Setup) -> usize {
    let listed = setup.gateway.run(&["ls", "--all", &setup.target("dump")]).stdout;
    let listed = String::from_utf8(listed).unwrap();
    // The second one's object has replaced the first one's.
    listed.lines().filter(|line| line.contains(" complete ")).count()
}

#[test]
fn a_command_that_fails_leaves_no_complete_backup() {
    on_each_store(|setup| {
        let bytes = pattern((18 << 20) + 7, 1);
        let file = setup.file("file", &bytes);
        let path = text(&file);
        for command in [
            format!("head -c 10000000 '{path}'; exit 7"),
            format!("cat '{path}'; kill -9 $$"),
            format!("(cat '{path}'; exit 3) | cat"),
            "exit 1".to_owned(),
            "no-such-command-anywhere".to_owned(),
        ] {
            let (code, stderr) = back_up(setup, &command);
            assert_eq!((code, complete(setup)), (Some(1), 0), "{command}: {stderr}");
            assert!(stderr.contains("not stored as a complete backup"), "{stderr}");
        }
        let (code, stderr) = back_up(setup, &format!("cat '{path}' | cat"));
        assert_eq!(code, Some(0), "{stderr}");
        assert!(setup.restored("dump") == bytes);
        // A failure afterwards: the older backup stays what is restored.
        let other = pattern(18 << 20, 2);
        fs::write(&file, &other).unwrap();
        assert_eq!(back_up(setup, &format!("cat '{path}'; false")).0, Some(1));
        assert!(setup.restored("dump") == bytes);
        // The open backup of the failed run has other content than this one.
        let third = pattern(18 << 20, 3);
        fs::write(&file, &third).unwrap();
        let (code, stderr) = back_up(setup, &format!("cat '{path}'; false"));
        assert_eq!((code, stderr.contains("fresh backup")), (Some(1), true), "{stderr}");
        // No output is an empty file, if the command says so.
        assert_eq!(back_up(setup, "true").0, Some(0));
        assert_eq!(setup.restored("dump"), b"");
    });
}

#[test]
fn a_command_takes_the_place_of_the_source() {
    on_each_store(|setup| {
        let (file, target) = (setup.file("file", b"x"), setup.target("dump"));
        let wrong: [&[&str]; 4] = [
            &["backup", "--stdin-from-command", "true", text(&file), &target],
            &["backup", "--stdin-from-command", "true"],
            &["backup", &target],
            &["backup", "--stdin-from-command", "true", "s3://bucket/prefix/"],
        ];
        for args in wrong {
            let (code, stderr) = setup.gateway.refused(args);
            assert_eq!(code, Some(2), "{args:?}: {stderr}");
        }
    });
}
