//! A small file system that a test can fill.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const MIB: u64 = 1 << 20;

/// A file system in memory, mounted for one test, and a file on it that takes up space.
pub struct SmallDisk {
    home: tempfile::TempDir,
}

impl SmallDisk {
    /// None where the user must not mount file systems.
    pub fn mount(mib: u64) -> Option<Self> {
        let disk = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir(disk.path()).unwrap();
        let size = format!("size={mib}m");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "ratchet-test"])
            .arg(disk.path())
            .output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(disk);
        }
        println!("SKIP a full disk: this user may not mount a file system in memory");
        None
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().join("disk")
    }

    pub fn free_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Takes up all space except `free_bytes`.
    pub fn fill(&self, free_bytes: u64) {
        let mut ballast =
            fs::File::options().append(true).create(true).open(self.ballast()).unwrap();
        loop {
            let missing = self.free_bytes().saturating_sub(free_bytes).min(MIB);
            // The write can fail, because the store under test takes up space too.
            if missing == 0 || ballast.write_all(&vec![7; missing as usize]).is_err() {
                return;
            }
        }
    }

    /// Frees the space again.
    pub fn clear(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a process that is about to end may have a file open.
        Command::new("umount").arg("--lazy").arg(self.path()).status().ok();
    }
}
