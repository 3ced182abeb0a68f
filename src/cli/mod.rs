//! The command line: each command has a variant of `Command` and a file with its arguments.
//!
//! Guarantees: the exit code is 0 for done, 1 for not all done, 2 for wrong use, 3 for an
//! unreachable server (docs/operations.md#exit-codes); stdout has data only, messages go to stderr.
//! It does no work itself: `app` runs the gateway, `client` backs up and restores.

mod abort;
mod backup;
mod check;
mod connection;
mod doctor;
mod failure;
mod gc;
mod human;
mod interrupt;
mod ls;
mod restore;
mod serve;
mod snapshot;
mod status;
mod store;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use crate::escape::{error_chain, escaped};
use interrupt::{INTERRUPTED, unless_interrupted};

/// Resumable, verified uploads to any S3 store.
#[derive(Debug, Parser)]
#[command(name = "ratchet", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::Args),
    /// Back up a file, a directory or stdin; run it again to resume.
    Backup(backup::Args),
    /// Restore a file or a directory, checking every chunk; run it again to resume.
    Restore(restore::Args),
    /// List buckets, or the objects and backups below a target.
    Ls(ls::Args),
    /// Show what is stored and what is missing of a backup, and whether its object is there.
    Status(status::Args),
    /// Read a file, or everything below a prefix, and check it.
    Verify(verify::Args),
    /// Abort a backup and free its storage.
    Abort(abort::Args),
    /// Free the storage of abandoned uploads once; `serve` does so regularly.
    Gc(gc::Args),
    /// Check that a store has the properties that the gateway depends on.
    Doctor(doctor::Args),
    /// Copy the directory of an embedded store, also while a gateway runs on it.
    Snapshot(snapshot::Args),
    /// Compare the index of an embedded store with its files.
    Check(check::Args),
}

/// Parses the arguments and runs the command.
pub fn run() -> ExitCode {
    // Before the arguments are parsed: their errors are printed so too.
    failure::print_as_json(std::env::args_os().any(|argument| argument == "--json"));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && failure::prints_json() => {
            failure::report_text(error.to_string().trim_end(), failure::WRONG_USE, None);
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    let mut builder = Builder::new_multi_thread();
    if matches!(cli.command, Command::Serve(_)) {
        // Connections are served by threads of their own, see `server`.
        builder.worker_threads(1);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ratchet: the threads of the program cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match cli.command {
        Command::Serve(args) => runtime.block_on(serve::run(args)),
        Command::Backup(args) => runtime.block_on(unless_interrupted(backup::run(args))),
        Command::Restore(args) => runtime.block_on(unless_interrupted(restore::run(args))),
        Command::Ls(args) => runtime.block_on(ls::run(args)),
        Command::Status(args) => runtime.block_on(status::run(args)),
        Command::Verify(args) => runtime.block_on(unless_interrupted(verify::run(args))),
        Command::Abort(args) => runtime.block_on(abort::run(args)),
        Command::Gc(args) => runtime.block_on(gc::run(args)),
        Command::Doctor(args) => runtime.block_on(doctor::run(args)),
        Command::Snapshot(args) => runtime.block_on(snapshot::run(args)),
        Command::Check(args) => runtime.block_on(check::run(args)),
    };
    if code == INTERRUPTED {
        // A thread may wait for stdin, and would be waited for.
        runtime.shutdown_background();
    }
    ExitCode::from(code)
}

/// An error and its causes in one line for a terminal, whatever a server or a file put into it.
fn chain(error: &dyn std::error::Error) -> String {
    escaped(error_chain(error))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_is_printed_in_one_line_without_control_characters() {
        let error = std::io::Error::other("no \r\nratchet: forged \u{1b}[2J\u{202e}\u{85}");
        assert_eq!(
            super::chain(&error),
            "no \\u{d}\\u{a}ratchet: forged \\u{1b}[2J\\u{202e}\\u{85}"
        );
    }
}
