//! Who may read a store: its owner alone.
//!
//! Guarantees: directories have mode 0700 and files 0600, whatever the umask (umask(2)), and never
//! had a wider one. A store that was made with wider modes is mended when it is opened, and a mend
//! that was interrupted goes on at the next opening: a directory gets [`DIRECTORY`] last, so one
//! that has it needs no look at its files. Links are not followed. A file system that keeps no
//! modes, or a directory of another user, is warned of once, and used all the same.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;

/// A directory that nobody else gets into any more, with files that may still have wider modes: the
/// sticky bit is the mark, and changes nothing for the owner.
const UNDER_WAY: u32 = 0o1700;

/// All that chmod(2) can set.
const SETTABLE: u32 = 0o7777;

/// Makes a new file and opens it for writing. **Errors**: `AlreadyExists`.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE).open(path)?;
    // A umask may have taken bits of the owner's away.
    if file.metadata()?.mode() & SETTABLE != FILE {
        // A file system that keeps no modes was warned of when the store was opened.
        file.set_permissions(Permissions::from_mode(FILE)).ok();
    }
    Ok(file)
}

/// Makes a file where there is none; else gives the one that is there its mode. A link to it is
/// followed.
pub(super) fn own_file(path: &Path) -> io::Result<()> {
    match create_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(drop),
    }
    match fs::metadata(path) {
        // A link that leads nowhere yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        found => set(path, found?.mode(), FILE).map(drop),
    }
}

/// Makes a directory where there is none, and those above it: what a umask of 0 would let others
/// replace is no place for a store.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        create_directory(above)?;
    }
    match DirBuilder::new().mode(DIRECTORY).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            return Ok(());
        }
        made => made?,
    }
    set(path, fs::metadata(path)?.mode(), DIRECTORY).map(drop)
}

/// Gives directories and files of one store their modes.
#[derive(Debug, Default)]
pub(super) struct Mender {
    warned: bool,
}

impl Mender {
    /// The store's own directory, by whatever link it is reached: nobody else gets in from now on.
    pub fn shut(&mut self, directory: &Path) -> io::Result<()> {
        self.set(directory, fs::metadata(directory)?.mode(), DIRECTORY).map(drop)
    }

    /// A directory in it, made where it is missing, and the files in that where they may not have
    /// been looked at yet.
    pub fn mend(&mut self, directory: &Path) -> io::Result<()> {
        let found = match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return create_directory(directory);
            }
            found => found?,
        };
        // First nobody gets in any more; last comes the mark that all is done.
        if !found.is_dir()
            || found.mode() & SETTABLE == DIRECTORY
            || !self.set(directory, found.mode(), UNDER_WAY)?
            || !self.mend_files(directory)?
        {
            return Ok(());
        }
        self.set(directory, UNDER_WAY, DIRECTORY).map(drop)
    }

    /// One file, where it is there.
    fn mend_file(&mut self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => self.set(path, found.mode(), FILE),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(true),
        }
    }

    /// Whether all of them have their mode now.
    fn mend_files(&mut self, directory: &Path) -> io::Result<bool> {
        let mut all = true;
        for entry in fs::read_dir(directory)? {
            all &= self.mend_file(&entry?.path())?;
        }
        Ok(all)
    }

    /// As [`set`], with a warning the first time that it cannot be done.
    fn set(&mut self, path: &Path, found: u32, wanted: u32) -> io::Result<bool> {
        let done = set(path, found, wanted)?;
        if !done && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                path = %path.display(),
                mode = format!("{:04o}", found & SETTABLE),
                "other users of this machine may be able to read the store: its mode cannot be changed; have the user that \
                 runs the gateway own the directory, on a file system that keeps modes, or mount that one for this user only"
            );
        }
        Ok(done)
    }
}

/// Whether the path has the wanted mode now; not so where the file system keeps no modes or another
/// user owns it.
fn set(path: &Path, found: u32, wanted: u32) -> io::Result<bool> {
    if found & SETTABLE == wanted {
        return Ok(true);
    }
    match fs::set_permissions(path, Permissions::from_mode(wanted)) {
        // It may take the change and keep another mode all the same.
        Ok(()) => Ok(fs::metadata(path)?.mode() & SETTABLE == wanted),
        Err(error) if refuses(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn refuses(error: &io::Error) -> bool {
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

    fn with_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A directory of mode 0755 with two files of mode 0644.
    fn old(home: &Path) -> std::path::PathBuf {
        let directory = home.join("old");
        fs::create_dir(&directory).unwrap();
        for name in ["a", "b"] {
            fs::write(directory.join(name), name).unwrap();
            with_mode(&directory.join(name), 0o644);
        }
        with_mode(&directory, 0o755);
        directory
    }

    #[test]
    fn what_is_made_is_its_owners_alone_and_made_once() {
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
    fn an_old_directory_is_mended_also_where_the_last_mend_was_interrupted() {
        for begun in [0o755, UNDER_WAY, 0o2755, 0] {
            let home = tempfile::tempdir().unwrap();
            let directory = old(home.path());
            with_mode(&directory.join("a"), FILE);
            with_mode(&directory, begun);
            Mender::default().mend(&directory).unwrap();
            let modes = [mode(&directory), mode(&directory.join("a")), mode(&directory.join("b"))];
            assert_eq!(modes, [DIRECTORY, FILE, FILE], "from {begun:o}");
        }
    }

    #[test]
    fn a_mended_directory_is_not_walked_again() {
        let home = tempfile::tempdir().unwrap();
        let directory = old(home.path());
        with_mode(&directory, DIRECTORY);
        Mender::default().mend(&directory).unwrap();
        assert_eq!(mode(&directory.join("a")), 0o644);
    }

    #[test]
    fn a_link_that_somebody_left_there_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let (directory, outside) = (old(home.path()), home.path().join("outside"));
        fs::write(&outside, "theirs").unwrap();
        with_mode(&outside, 0o644);
        std::os::unix::fs::symlink(&outside, directory.join("link")).unwrap();
        Mender::default().mend(&directory).unwrap();
        assert_eq!((mode(&outside), mode(&directory)), (0o644, DIRECTORY));
    }

    /// All files of /proc and the directory are the kernel's: it refuses, also root.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_cannot_be_changed_is_warned_of_once_and_used_all_the_same() {
        let mut mender = Mender::default();
        mender.shut(Path::new("/proc/self/fdinfo")).unwrap();
        assert!(mender.warned);
    }
}
