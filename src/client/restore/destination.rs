//! Decides what a restore writes, before anything is asked of the gateway.
//!
//! Guarantees: only a regular file, or a name that is free, is ever replaced; what is no regular
//! file is written into. Symbolic links are followed as `cp` follows them. Source:
//! docs/clients.md#where-a-restore-writes.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, OFlags, access, fcntl_getfl, fcntl_setfl};

use crate::client::{Error, Progress, Result, Target};

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// What a restored file is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A regular file, which is replaced, or a name that is free.
    File(PathBuf),
    /// A device, a FIFO or an open descriptor, written in order.
    Stream(PathBuf),
    Stdout,
}

impl Destination {
    /// What the argument names: `-` is stdout, in a directory the last segment of the key names the
    /// file. **Errors**: `WrongUse` if it cannot be written.
    pub fn find(argument: &Path, target: &Target) -> Result<Self> {
        if argument == Path::new("-") {
            return Ok(Self::Stdout);
        }
        if !fs::metadata(argument).is_ok_and(|meta| meta.is_dir()) {
            return Self::of_file(argument);
        }
        let name = target.key.rsplit('/').next().unwrap_or_default();
        let mut parts = Path::new(name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(_)), None) => Self::of_file(&argument.join(name)),
            _ => Err(Error::WrongUse(format!(
                "{} is a directory, and the end of {target} is no name for a file in it; name the \
                 file",
                argument.display()
            ))),
        }
    }

    /// The path that is written; None for stdout.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Stream(path) => Some(path),
            Self::Stdout => None,
        }
    }

    fn of_file(path: &Path) -> Result<Self> {
        let refused = |what: &str| Error::WrongUse(format!("{} {what}", path.display()));
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
                    return Err(refused("does not exist; create the directory first"));
                }
                if let Ok(named) = fs::read_link(path) {
                    let what = format!(
                        "is a symbolic link to {}, which does not exist; remove the link, or name \
                         another place",
                        named.display()
                    );
                    return Err(refused(&what));
                }
                require_directory(path)?;
                return Ok(Self::File(path.to_owned()));
            }
            Err(error) => return Err(Error::io(path, "cannot be written")(error)),
        };
        let kind = meta.file_type();
        if kind.is_dir() {
            return Err(refused("is a directory, which a file cannot replace"));
        }
        if kind.is_socket() {
            return Err(refused("is a socket, to which nothing can be restored"));
        }
        if is_stdout(&meta) && (!kind.is_file() || names_descriptor(path)) {
            return Ok(Self::Stdout);
        }
        if !kind.is_file() || names_descriptor(path) {
            return Ok(Self::Stream(path.to_owned()));
        }
        let path = fs::canonicalize(path).map_err(Error::io(path, "cannot be written"))?;
        require_directory(&path)?;
        Ok(Self::File(path))
    }
}

/// **Errors**: if no file can be made beside `path`.
fn require_directory(path: &Path) -> Result<()> {
    let dir = directory_of(path);
    match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(Error::WrongUse(format!("{} is not a directory", dir.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::WrongUse(format!(
                "the directory {} does not exist; create it first",
                dir.display()
            )));
        }
        Err(error) => return Err(Error::io(dir, "cannot be read")(error)),
    }
    access(dir, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| Error::io(dir, "no file can be made in it")(error.into()))
}

/// The directory that the path lies in.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether this is what the process has as its stdout.
fn is_stdout(meta: &fs::Metadata) -> bool {
    rustix::fs::fstat(std::io::stdout().as_fd())
        .is_ok_and(|stdout| (stdout.st_dev, stdout.st_ino) == (meta.dev(), meta.ino()))
}

/// Whether the path, or a link that it leads to, is an entry of `/proc/…/fd`: whoever opened that
/// file goes on writing to it, so it must not be replaced.
fn names_descriptor(path: &Path) -> bool {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(link) = fs::read_link(&path) else { return false };
        let Ok(dir) = fs::canonicalize(directory_of(&path)) else { return false };
        if dir.starts_with("/proc") && dir.ends_with("fd") {
            return true;
        }
        path = dir.join(link);
    }
    false
}

/// Opens what is written in order. `size` is the number of bytes that will be written.
/// **Errors**: `NotDone` if a block device has less room than that.
pub(super) fn open_stream(path: &Path, size: u64, progress: &Progress) -> Result<File> {
    let failed = || Error::io(path, "cannot be opened for writing");
    let mut options = OpenOptions::new();
    options.write(true);
    let meta = fs::metadata(path).map_err(failed())?;
    // A regular file here is one that another program has open: its bytes stay.
    options.append(meta.is_file());
    if meta.file_type().is_fifo() {
        return open_fifo(path, &options, progress).map_err(failed());
    }
    let mut file = options.open(path).map_err(failed())?;
    if meta.file_type().is_block_device() {
        let room = file.seek(SeekFrom::End(0)).map_err(failed())?;
        if room < size {
            return Err(Error::NotDone(format!(
                "{} has {room} bytes, and the file has {size}",
                path.display()
            )));
        }
        file.rewind().map_err(failed())?;
    }
    Ok(file)
}

/// Opens a FIFO once a program reads it.
fn open_fifo(path: &Path, options: &OpenOptions, progress: &Progress) -> std::io::Result<File> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    match options.clone().custom_flags(nonblocking).open(path) {
        // This descriptor is used: if it were closed, a program that waits would see the end of the
        // file and leave.
        Ok(file) => {
            let flags = fcntl_getfl(&file)?;
            fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
            Ok(file)
        }
        Err(error) if error.raw_os_error() == Some(NO_READER) => {
            progress.print(&format!("{}: waiting until a program reads it", path.display()));
            options.open(path)
        }
        Err(error) => Err(error),
    }
}

/// `ENXIO`: no program has the FIFO open for reading.
const NO_READER: i32 = rustix::io::Errno::NXIO.raw_os_error();

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_program_that_waits_at_a_fifo_gets_what_is_written() {
        let home = tempfile::tempdir().unwrap();
        let fifo = home.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for _ in 0..20 {
            let path = fifo.clone();
            let reader = std::thread::spawn(move || fs::read(path).unwrap());
            let mut file = open_stream(&fifo, 7, &Progress::silent()).unwrap();
            assert!(!fcntl_getfl(&file).unwrap().contains(OFlags::NONBLOCK));
            file.write_all(b"content").unwrap();
            drop(file);
            assert_eq!(reader.join().unwrap(), b"content");
        }
    }

    #[test]
    fn links_lead_to_the_file_that_they_name() {
        let home = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(home.path()).unwrap();
        let at = |name: &str| real.join(name);
        fs::write(at("file"), b"").unwrap();
        fs::create_dir(at("dir")).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("dir", at("to-dir")).unwrap();
        let target = Target::parse("s3://b/a/name").unwrap();
        let found = |name: &str| Destination::find(&at(name), &target);
        let file = |name: &str| Destination::File(at(name));
        assert_eq!(found("file").unwrap(), file("file"));
        assert_eq!(found("link").unwrap(), file("file"));
        assert_eq!(found("free").unwrap(), file("free"));
        assert_eq!(found("dir").unwrap(), file("dir/name"));
        assert_eq!(found("to-dir").unwrap(), file("to-dir/name"));
        for refused in ["dangling", "missing/file", "free/", "file/x"] {
            assert!(found(refused).is_err(), "{refused}");
        }
        fs::create_dir(at("dir/name")).unwrap();
        assert!(found("dir").is_err(), "the name in the directory is a directory itself");
        let dots = Target { bucket: "b".to_owned(), key: "a/.".to_owned() };
        assert!(Destination::find(&at("dir"), &dots).is_err());
    }
}
