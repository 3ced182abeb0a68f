//! A process that is measured: started, observed through `/proc`, and stopped.
//!
//! Guarantees: it and its children are stopped on drop, also after a failure, by their ids. CPU is
//! the time of all threads of the process and of its children, peak memory the sum of their
//! `VmHWM`. Linux only.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ticks of `/proc/PID/stat` in a second: the kernel's USER_HZ, 100 on every Linux that Rust runs
/// on.
const TICKS: f64 = 100.0;
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server.
pub struct Process {
    child: Child,
    /// `ADDRESS:PORT`.
    pub host: String,
}

/// What a command took.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_mib: f64,
}

impl Drop for Process {
    fn drop(&mut self) {
        // TERM first: a master stops its workers, a server removes its files. It may have ended
        // already.
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
    /// Starts a program that prints `ready http://…` on stdout. Its stderr is read; the last line
    /// of it is in the error if the program does not get ready.
    pub fn ready(mut command: Command) -> io::Result<Self> {
        let mut child =
            command.stdout(Stdio::piped()).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let mut process = Self { child, host: String::new() };
        let last_line = std::thread::spawn(move || {
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
            last_line.join().unwrap_or_default()
        )))
    }

    /// Starts what listens on `host` sooner or later.
    pub fn listening(mut command: Command, host: &str) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut process = Self { child, host: host.to_owned() };
        let until = Instant::now() + START_TIMEOUT;
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
    pub fn without_output(mut command: Command) -> io::Result<Self> {
        Ok(Self { child: command.spawn()?, host: String::new() })
    }

    /// Runs a command to its end, which must be a success.
    pub fn run(mut command: Command) -> io::Result<Ran> {
        let mut errors = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.try_clone()?);
        let started = Instant::now();
        let mut process = Self::without_output(command)?;
        let mut peak_mib = 0.0;
        // An ended process whose parent did not wait for it still shows its CPU, but no memory.
        while !process.has_ended() {
            peak_mib = process.peak_mib().max(peak_mib);
            std::thread::sleep(Duration::from_millis(5));
        }
        let (seconds, cpu_seconds) = (started.elapsed().as_secs_f64(), process.cpu_seconds());
        if process.child.wait()?.success() {
            return Ok(Ran { seconds, cpu_seconds, peak_mib });
        }
        let mut text = String::new();
        errors.rewind()?;
        errors.read_to_string(&mut text)?;
        Err(io::Error::other(text.lines().last().unwrap_or("it failed").to_owned()))
    }

    /// Whether the process has ended; its parent need not have waited for it yet.
    pub fn has_ended(&self) -> bool {
        stat(self.child.id()).first().is_none_or(|state| state == "Z")
    }

    /// CPU seconds so far, user and system.
    pub fn cpu_seconds(&self) -> f64 {
        self.family().iter().map(|id| ticks(*id)).sum::<f64>() / TICKS
    }

    /// Peak resident memory in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.family().iter().map(|id| peak_kib(*id)).sum::<f64>() / 1024.0
    }

    /// The ids of the process and its children.
    fn family(&self) -> Vec<u32> {
        let own = self.child.id();
        let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|id| *id == own || parent(*id) == Some(own)).collect()
    }
}

/// The fields of `/proc/ID/stat` after the program's name, which is in parentheses and may contain
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

/// The time of a process and of its children that have ended: a script waits for the program that it
/// starts.
fn ticks(id: u32) -> f64 {
    stat(id).iter().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum()
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

/// A currently free port of 127.0.0.1.
pub fn free_host() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
