//! `ratchet config`, `completions`, `man`, and what `--help` says.

use std::fs;
use std::process::Command;

use crate::support::client::text;
use crate::support::process::PROGRAM;

fn ratchet(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_names_every_fault_of_the_file_and_the_variables() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ratchet.toml");
    fs::write(&file, "listen = \"nowhere\"\nlisten_on = 1\n[gc]\nevery_s = 0\n").unwrap();
    let path = text(&file);
    let variables = [("RATCHET_CONFIG", path), ("RATCHET_LOG_FORMAT", "xml")];
    let (code, stdout, stderr) = ratchet(&["config", "check"], &variables);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    let faults =
        ["toml:1: listen", "toml:2: unknown key", "toml:4: gc.every_s", "RATCHET_LOG_FORMAT"];
    for fault in faults {
        assert!(stderr.contains(fault), "{fault}: {stderr}");
    }
    assert_eq!(stderr.lines().count(), 4, "{stderr}");
    let (code, stdout, _) = ratchet(&["--json", "config", "check"], &variables);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, Some(2));
    assert_eq!(report["valid"], false);
    assert_eq!(report["faults"].as_array().unwrap().len(), 4, "{report}");
    // What is valid by itself may lack something else.
    let s3 = ["config", "check", "--store", "s3+http://127.0.0.1:9000"];
    let (code, _, stderr) = ratchet(&s3, &[]);
    assert_eq!((code, stderr.contains("access key of its own")), (Some(2), true), "{stderr}");
    let (code, stdout, stderr) = ratchet(&["config", "check"], &[("RATCHET_PORT", "x")]);
    assert_eq!((code, stdout.as_str()), (Some(0), "the settings are valid\n"));
    assert!(stderr.contains("RATCHET_PORT is no setting"), "{stderr}");
    let (code, _, stderr) = ratchet(&["config", "check"], &[("RATCHET_LISTN", "x")]);
    assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("did you mean RATCHET_LISTEN?"), "{stderr}");
}

#[test]
fn show_prints_settings_with_their_origin_and_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ratchet.toml");
    let account = "[[account]]\nname = \"nas\"\nroot = true\n[[account.key]]\nid = \"NAS1\"\n\
                   secret = \"a-very-secret-word\"\n";
    fs::write(&file, format!("[gc]\nevery_s = 60\n{account}")).unwrap();
    let path = text(&file);
    let show = ["config", "show", "--config", path, "--listen", "127.0.0.1:1"];
    let variables = [("RATCHET_LOG_LEVEL", "debug"), ("RATCHET_CORS_ORIGINS", "https://a.example")];
    let (code, stdout, stderr) = ratchet(&show, &variables);
    assert_eq!(code, Some(0), "{stderr}");
    let line = |start: &str| stdout.lines().find(|line| line.starts_with(start)).unwrap();
    for (start, end) in [
        ("listen = \"127.0.0.1:1\"", "# flag --listen".to_owned()),
        ("state_bucket = ", "# default".to_owned()),
        ("gc.every_s = 60", format!("# {path}:2")),
        ("log.level = \"debug\"", "# environment variable RATCHET_LOG_LEVEL".to_owned()),
        ("[[account]]", format!("# {path}:3")),
        ("key = [{ id = \"NAS1\" }]", String::new()),
        ("[[cors]]", "# environment variable RATCHET_CORS_ORIGINS".to_owned()),
    ] {
        assert!(line(start).ends_with(&end), "{}", line(start));
    }
    assert!(!stdout.contains("very-secret"), "{stdout}");
    // The singles may be pasted into a file.
    let singles: String =
        stdout.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    fs::write(&file, singles).unwrap();
    let (code, _, stderr) = ratchet(&["config", "check", "--config", path], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    let (_, stdout, _) = ratchet(&["config", "show", "--json"], &[]);
    for line in stdout.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["origin"], "default", "{row}");
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, stdout, _) = ratchet(&["completions", shell], &[]);
        assert_eq!(code, Some(0));
        assert!(stdout.contains("backup") && stdout.contains("limit-rate"), "{shell}");
    }
    assert_eq!(ratchet(&["completions", "tcsh"], &[]).0, Some(2));
    let (code, page, _) = ratchet(&["man"], &[]);
    assert_eq!((code, page.contains(".TH ratchet 1")), (Some(0), true), "{page}");
    let home = tempfile::tempdir().unwrap();
    let pages = home.path().join("man1");
    assert_eq!(ratchet(&["man", text(&pages)], &[]).0, Some(0));
    for name in ["ratchet.1", "ratchet-backup.1", "ratchet-config-show.1"] {
        assert!(fs::read_to_string(pages.join(name)).unwrap().contains(".SH"), "{name}");
    }
    let (code, _, stderr) = ratchet(&["man", "/dev/null/pages"], &[]);
    assert_eq!((code, stderr.contains("/dev/null/pages")), (Some(1), true), "{stderr}");
}

#[test]
fn help_ends_with_examples_and_variables() {
    for (command, example, variable) in [
        ("backup", "ratchet backup disk.img s3://backups/disk.img", "AWS_ENDPOINT_URL_S3"),
        ("restore", "ratchet restore --range -1048576", "HTTPS_PROXY"),
        ("serve", "ratchet serve --listen", "RATCHET_CONFIG"),
    ] {
        let (code, stdout, _) = ratchet(&[command, "--help"], &[]);
        assert_eq!(code, Some(0));
        assert!(stdout.contains(example) && stdout.contains(variable), "{stdout}");
    }
}
