//! Ctrl-C while a command moves files.
//!
//! Guarantees: the command ends with exit code 130 and says how to go on; what is under way is
//! dropped, and what is done stays done. A program that was started with Ctrl-C switched off, as
//! shells start what runs in the background, leaves it off.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure;
use crate::clock::Clock;

/// The exit code of what SIGINT ended, as shells have it: 128 and the signal's number.
pub const INTERRUPTED: u8 = 130;

/// How long the command may take to notice: a thread may wait for a disk or a FIFO.
const GRACE: Duration = Duration::from_secs(1);

/// The bit of SIGINT in the set of signals that a process ignores.
const SIGINT_BIT: u64 = 1 << 1;

/// Runs a command until it ends or Ctrl-C is pressed. Returns the exit code.
pub async fn unless_interrupted(command: impl Future<Output = u8>) -> u8 {
    if is_ignored() {
        return command.await;
    }
    let (Ok(interrupts), Ok(watched)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::interrupt()))
    else {
        return command.await;
    };
    tokio::spawn(end_anyhow(watched));
    tokio::select! {
        code = command => return code,
        () = interrupted(interrupts) => {}
    }
    say_stopped();
    INTERRUPTED
}

async fn interrupted(mut interrupts: Signal) {
    interrupts.recv().await;
}

/// Ends the process if the command does not notice that it is interrupted.
async fn end_anyhow(interrupts: Signal) {
    interrupted(interrupts).await;
    Clock::system().pause(GRACE).await;
    say_stopped();
    std::process::exit(INTERRUPTED.into());
}

fn say_stopped() {
    failure::report_text("stopped; run it again to go on", "interrupted", None);
}

/// Whether the process was started with SIGINT ignored. Source: proc(5), *SigIgn*.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & SIGINT_BIT != 0)
}
