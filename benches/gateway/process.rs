//! A process that is measured: started, watched over `/proc`, and stopped again.
//!
//! Guarantees: it and its children are ended on drop, on failure too, by their ids. CPU is what all
//! threads of the process and of its children have used, peak memory the sum of their `VmHWM`.
//! Linux only.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ticks of `/proc/PID/stat` in a second: the kernel's USER_HZ, 100 on every Linux that Rust runs
/// on.
const TICKS: f64 = 100.0;
const START: Duration = Duration::from_secs(30);

/// A running server.
pub struct Process {
    child: Child,
    /// `ADDRESS:PORT`.
    pub host: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        // TERM first: a master ends its workers, a server its own files. It may be dead already.
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).ok();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Process {
    /// Starts what prints `ready http://…` on stdout. What it says on stderr is read away; its last
    /// line is told where it does not get ready.
    pub fn ready(mut command: Command) -> io::Result<Self> {
        let mut child =
            command.stdout(Stdio::piped()).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let mut process = Self { child, host: String::new() };
        let said = std::thread::spawn(move || {
            let lines = err.map(|err| BufReader::new(err).lines().map_while(Result::ok));
            lines.and_then(Iterator::last).unwrap_or_default()
        });
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line)?;
        }
        if let Some(host) = line.trim().strip_prefix("ready http://") {
            process.host = host.to_owned();
            return Ok(process);
        }
        drop(process);
        Err(io::Error::other(format!(
            "{:?} is not ready: {}",
            command.get_program(),
            said.join().unwrap_or_default()
        )))
    }

    /// Starts what listens on `host` sooner or later.
    pub fn listening(mut command: Command, host: &str) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut process = Self { child, host: host.to_owned() };
        let until = Instant::now() + START;
        while TcpStream::connect(host).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "{:?} ended: {status}",
                    command.get_program()
                )));
            }
            if Instant::now() > until {
                return Err(io::Error::other(format!(
                    "{:?} does not listen on {host}",
                    command.get_program()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// Starts what nobody waits for.
    pub fn unwatched(mut command: Command) -> io::Result<Self> {
        Ok(Self { child: command.spawn()?, host: String::new() })
    }

    /// Whether there is no such process any more, or only what its parent has not asked about yet.
    pub fn has_ended(&self) -> bool {
        stat(self.child.id()).first().is_none_or(|state| state == "Z")
    }

    /// CPU seconds used so far, of user and system together.
    pub fn cpu_seconds(&self) -> f64 {
        self.family().iter().map(|id| ticks(*id)).sum::<f64>() / TICKS
    }

    /// Peak resident memory in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.family().iter().map(|id| peak_kib(*id)).sum::<f64>() / 1024.0
    }

    /// Itself and its children.
    fn family(&self) -> Vec<u32> {
        let own = self.child.id();
        let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|id| *id == own || parent(*id) == Some(own)).collect()
    }
}

/// The fields of `/proc/ID/stat` behind the program's name, which stands in brackets and may hold
/// spaces.
fn stat(id: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn parent(id: u32) -> Option<u32> {
    stat(id).get(1)?.parse().ok()
}

fn ticks(id: u32) -> f64 {
    stat(id).iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
}

fn peak_kib(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// CPU seconds of the calling thread so far.
pub fn thread_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

/// An address of 127.0.0.1 that was free a moment ago.
pub fn free_host() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
