//! File modes: only the owner can read a store.
//!
//! Guarantees: directories have mode 0700 and files 0600, whatever the umask (umask(2)), and never
//! had a wider one. The modes of a store that was created with wider ones are repaired when it is
//! opened, and an interrupted repair continues at the next opening: a directory gets [`DIRECTORY`]
//! last, so the files in a directory with that mode need no check. Symbolic links are not followed.
//! A file system without modes, or a directory of another user, causes one warning, and is used.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;

/// A directory that only the owner can enter, with files that may still have wider modes: the
/// sticky bit is the mark, and has no effect for the owner.
const REPAIRING: u32 = 0o1700;

/// All that chmod(2) can set.
const SETTABLE: u32 = 0o7777;

/// Creates a new file and opens it for writing. **Errors**: `AlreadyExists`.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE).open(path)?;
    // The umask may have cleared bits of the owner.
    if file.metadata()?.mode() & SETTABLE != FILE {
        // The warning about a file system without modes was logged when the store was opened.
        file.set_permissions(Permissions::from_mode(FILE)).ok();
    }
    Ok(file)
}

/// Creates a file, or sets the mode of an existing one. Follows symbolic links.
pub(super) fn create_or_restrict_file(path: &Path) -> io::Result<()> {
    match create_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => return created.map(drop),
    }
    match fs::metadata(path) {
        // A symbolic link whose target does not exist yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        metadata => set_mode(path, metadata?.mode(), FILE).map(drop),
    }
}

/// Creates a directory and missing directories above it, all with mode [`DIRECTORY`]: under a umask
/// of 0, other users could otherwise replace them.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_directory(parent)?;
    }
    match DirBuilder::new().mode(DIRECTORY).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            return Ok(());
        }
        created => created?,
    }
    set_mode(path, fs::metadata(path)?.mode(), DIRECTORY).map(drop)
}

/// Repairs the modes of the directories and files of one store.
#[derive(Debug, Default)]
pub(super) struct ModeRepair {
    warned: bool,
}

impl ModeRepair {
    /// Restricts a directory to its owner, without the files in it. Follows symbolic links.
    pub fn restrict_directory(&mut self, directory: &Path) -> io::Result<()> {
        self.set(directory, fs::metadata(directory)?.mode(), DIRECTORY).map(drop)
    }

    /// Repairs a directory in the store, and the files in it unless they were repaired before;
    /// creates it if it is missing.
    pub fn repair_directory(&mut self, directory: &Path) -> io::Result<()> {
        let metadata = match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return create_directory(directory);
            }
            metadata => metadata?,
        };
        // First nobody else can enter it; the final mode comes last, as it says that all is done.
        if !metadata.is_dir()
            || metadata.mode() & SETTABLE == DIRECTORY
            || !self.set(directory, metadata.mode(), REPAIRING)?
            || !self.repair_files(directory)?
        {
            return Ok(());
        }
        self.set(directory, REPAIRING, DIRECTORY).map(drop)
    }

    /// Repairs one file, if it exists. Returns whether it has its mode now.
    fn repair_file(&mut self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => self.set(path, metadata.mode(), FILE),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(true),
        }
    }

    /// Returns whether all files of the directory have their mode now.
    fn repair_files(&mut self, directory: &Path) -> io::Result<bool> {
        let mut all = true;
        for entry in fs::read_dir(directory)? {
            all &= self.repair_file(&entry?.path())?;
        }
        Ok(all)
    }

    /// As [`set_mode`], with a warning the first time that it is not possible.
    fn set(&mut self, path: &Path, mode: u32, target: u32) -> io::Result<bool> {
        let done = set_mode(path, mode, target)?;
        if !done && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                path = %path.display(),
                mode = format!("{:04o}", mode & SETTABLE),
                "other users of this machine may be able to read the store: its mode cannot be changed; the user that runs the \
                 gateway must own the directory, on a file system with modes or one that is mounted for this user only"
            );
        }
        Ok(done)
    }
}

/// Changes the mode of a path from `mode` to `target`. Returns whether it has the target mode now;
/// false if the file system has no modes or another user owns the path.
fn set_mode(path: &Path, mode: u32, target: u32) -> io::Result<bool> {
    if mode & SETTABLE == target {
        return Ok(true);
    }
    match fs::set_permissions(path, Permissions::from_mode(target)) {
        // Some file systems report success and keep another mode.
        Ok(()) => Ok(fs::metadata(path)?.mode() & SETTABLE == target),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::Unsupported
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & SETTABLE
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A directory of mode 0755 with two files of mode 0644.
    fn with_wide_modes(home: &Path) -> std::path::PathBuf {
        let directory = home.join("wide");
        fs::create_dir(&directory).unwrap();
        for name in ["a", "b"] {
            fs::write(directory.join(name), name).unwrap();
            chmod(&directory.join(name), 0o644);
        }
        chmod(&directory, 0o755);
        directory
    }

    #[test]
    fn new_directories_and_files_are_readable_by_their_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a/b");
        create_directory(&directory).unwrap();
        create_directory(&directory).unwrap();
        assert_eq!((mode(&home.path().join("a")), mode(&directory)), (DIRECTORY, DIRECTORY));
        let file = directory.join("file");
        create_file(&file).unwrap();
        assert_eq!(mode(&file), FILE);
        assert_eq!(create_file(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn wide_modes_are_repaired_also_after_an_interrupted_repair() {
        for begun in [0o755, REPAIRING, 0o2755, 0] {
            let home = tempfile::tempdir().unwrap();
            let directory = with_wide_modes(home.path());
            chmod(&directory.join("a"), FILE);
            chmod(&directory, begun);
            ModeRepair::default().repair_directory(&directory).unwrap();
            let modes = [mode(&directory), mode(&directory.join("a")), mode(&directory.join("b"))];
            assert_eq!(modes, [DIRECTORY, FILE, FILE], "from {begun:o}");
        }
    }

    #[test]
    fn files_of_a_repaired_directory_are_not_checked_again() {
        let home = tempfile::tempdir().unwrap();
        let directory = with_wide_modes(home.path());
        chmod(&directory, DIRECTORY);
        ModeRepair::default().repair_directory(&directory).unwrap();
        assert_eq!(mode(&directory.join("a")), 0o644);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let (directory, outside) = (with_wide_modes(home.path()), home.path().join("outside"));
        fs::write(&outside, "other").unwrap();
        chmod(&outside, 0o644);
        std::os::unix::fs::symlink(&outside, directory.join("link")).unwrap();
        ModeRepair::default().repair_directory(&directory).unwrap();
        assert_eq!((mode(&outside), mode(&directory)), (0o644, DIRECTORY));
    }

    /// The kernel refuses to change modes below /proc, also for root.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_mode_that_cannot_be_changed_causes_a_warning_and_no_error() {
        let mut repair = ModeRepair::default();
        repair.restrict_directory(Path::new("/proc/self/fdinfo")).unwrap();
        assert!(repair.warned);
    }
}
