//! The socket in a store's directory, and what is said over it.
//!
//! Guarantees: only who may enter the directory can connect, as its mode is 0700. The words: the
//! client sends `hold`; the store answers `index NAME` with the name of a copy of its index under
//! `incoming/`, or `failed REASON`; the client sends `done`, or goes away; the store answers `held`
//! if nothing was removed since. Each is one line.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const NAME: &str = "snapshot.sock";

/// The longest line that either side reads.
const MAX_LINE_BYTES: u64 = 4 << 10;

pub(super) const HOLD: &str = "hold";
pub(super) const DONE: &str = "done";
pub(super) const HELD: &str = "held";
pub(super) const INDEX: &str = "index ";
pub(super) const FAILED: &str = "failed ";

/// Listens in the directory of a store whose index this process has locked.
pub(super) fn listen(directory: &Path) -> io::Result<UnixListener> {
    let path = directory.join(NAME);
    // A crash leaves its socket; the process that made it has ended, as it had the lock.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = with_short_path(directory, UnixListener::bind)?;
    // Whatever the umask is; until now the directory keeps others out.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

pub(super) fn connect(directory: &Path) -> io::Result<UnixStream> {
    with_short_path(directory, UnixStream::connect)
}

/// Removes the socket, once nobody listens on it.
pub(super) fn remove(directory: &Path) {
    // If this fails, the next opening removes it.
    fs::remove_file(directory.join(NAME)).ok();
}

/// Calls `f` with a path of the socket. The address of a socket has room for about 100 bytes
/// (unix(7)), so a longer path goes by way of a descriptor of the directory.
fn with_short_path<T>(directory: &Path, f: impl Fn(PathBuf) -> io::Result<T>) -> io::Result<T> {
    match f(directory.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let directory = File::open(directory)?;
            f(PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd())))
        }
        done => done,
    }
}

/// The next line, without its end; empty if the other side has gone.
pub(super) fn read_line(stream: &UnixStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE_BYTES)).read_line(&mut line)?;
    Ok(line.trim_end_matches('\n').to_owned())
}

pub(super) fn write_line(mut stream: &UnixStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

/// What a process that has the store open offers.
#[derive(Debug)]
pub(in super::super) struct Offer {
    stream: UnixStream,
    /// The name of the copy of the index, under `incoming/`.
    pub index: String,
}

/// Asks the process that has the store in this directory open for a copy of the index. None if no
/// process listens. Blocks until the copy is there. **Errors**: the process's reason.
pub(in super::super) fn ask(directory: &Path) -> io::Result<Option<Offer>> {
    let stream = match connect(directory) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    write_line(&stream, HOLD)?;
    let answer = read_line(&stream)?;
    match answer.strip_prefix(INDEX) {
        Some(index) if !index.contains('/') => Ok(Some(Offer { stream, index: index.to_owned() })),
        Some(_) | None => {
            let reason = answer.strip_prefix(FAILED).unwrap_or("it was stopped");
            Err(io::Error::other(format!("the process that runs on the store: {reason}")))
        }
    }
}

impl Offer {
    /// Ends the hold. Returns whether it held until now.
    pub fn release(self) -> bool {
        write_line(&self.stream, DONE).is_ok()
            && read_line(&self.stream).is_ok_and(|answer| answer == HELD)
    }
}
