//! A wall clock that a test sets for a process, by the library libfaketime.
//! `scripts/debian.sh libfaketime` unpacks it below `target/debian`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The wall clock of the processes that it was given to.
pub struct FakeClock {
    library: PathBuf,
    home: tempfile::TempDir,
}

impl FakeClock {
    /// `None` if the library is not installed.
    pub fn new() -> Option<Self> {
        let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian/usr/lib");
        let directories = std::fs::read_dir(libraries).into_iter().flatten().flatten();
        let found = directories
            .map(|directory| directory.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.exists());
        let Some(library) = found else {
            println!("SKIP clock jumps: scripts/debian.sh libfaketime has not been run");
            return None;
        };
        let clock = Self { library, home: tempfile::tempdir().unwrap() };
        clock.set(0);
        Some(clock)
    }

    /// Sets the clock so many seconds after the machine's, or before it.
    pub fn set(&self, offset_s: i64) {
        let (next, now) = (self.home.path().join("next"), self.home.path().join("now"));
        std::fs::write(&next, format!("{offset_s:+}")).unwrap();
        std::fs::rename(next, now).unwrap();
    }

    /// Makes a command use this clock.
    pub fn give_to(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.home.path().join("now"));
        command.envs([
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]);
    }
}
