//! The examples of the documents, as they stand there: run in a shell into which the lines that
//! `serve` prints were pasted.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::client::text;
use crate::support::lab::pattern;
use crate::support::process::{Gateway, PROGRAM, exports, same_bytes};

/// The first block of shell lines after this text of a document.
fn block(document: &str, after: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let document = fs::read_to_string(path).unwrap();
    let (_, rest) = document.split_once(after).unwrap();
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn bash(home: &Path, script: &str) -> Output {
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(home).stdin(Stdio::null()).output().unwrap()
}

fn has_tools() -> bool {
    let found = ["curl", "openssl", "python3", "bash"].into_iter().all(|tool| {
        Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    if !found {
        println!("SKIP the examples with curl: curl, openssl, python3 or bash is not there");
    }
    found
}

#[test]
fn the_examples_with_curl_work_as_pasted_and_stop_at_their_first_error() {
    if !has_tools() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let log = fs::File::create(home.path().join("log")).unwrap();
    let mut serve = Command::new(PROGRAM);
    serve.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(home.path()).stderr(log);
    let _gateway = Gateway::spawn(serve);
    let exports = exports(&fs::read_to_string(home.path().join("log")).unwrap());
    let file = home.path().join("disk.img");
    fs::write(&file, pattern(20 << 20, 1)).unwrap();
    for (document, after) in
        [("README.md", "Or with nothing but curl"), ("docs/api.md", "## An example with curl")]
    {
        let example = block(document, after);
        let output =
            bash(home.path(), &format!("{exports}\nexport AWS_SECRET_ACCESS_KEY=x\n{example}"));
        assert!(!output.status.success(), "{document}: {output:?}");
        let left = fs::read_dir(home.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "{document} went on after its first error: {left:?}");
        // The second time everything is there already.
        for _ in 0..2 {
            let output = bash(home.path(), &format!("{exports}\n{example}"));
            assert!(output.status.success(), "{document}: {output:?}");
        }
        let back = home.path().join("back");
        let restore = format!(
            "{exports}\n{PROGRAM} restore s3://backups/disk.img {} && rm -f chunk.*",
            text(&back)
        );
        let output = bash(home.path(), &restore);
        assert!(output.status.success(), "{document}: {output:?}");
        assert!(same_bytes(&file, &back), "{document}");
        fs::remove_file(&back).unwrap();
    }
}
