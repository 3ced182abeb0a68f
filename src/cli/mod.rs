//! The command line: each command has a variant of `Command` and a file with its arguments.
//!
//! Guarantees: the exit code is 0 for done, 1 for not all done, 2 for wrong use, 3 for an
//! unreachable server (docs/operations.md#exit-codes); stdout has data only, messages go to stderr.
//! It does no work itself: `app` runs the gateway, `client` backs up and restores.

mod abort;
mod backup;
mod cat;
mod check;
mod completions;
mod config;
mod connection;
mod doctor;
mod du;
mod examples;
mod failure;
mod gc;
mod human;
mod interrupt;
mod ls;
mod man;
mod materialize;
mod mb;
mod pace;
mod restore;
mod rm;
mod serve;
mod snapshot;
mod status;
mod store;
mod talk;
mod tree;
mod verify;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::escape::{error_chain, escaped};
use interrupt::{INTERRUPTED, unless_interrupted};

/// The exit code for arguments or settings that are not valid.
const WRONG_USE: u8 = 2;

/// Resumable, verified uploads to any S3 store.
#[derive(Debug, Parser)]
#[command(name = "ratchet", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    anywhere: Anywhere,
    #[command(subcommand)]
    command: Command,
}

/// What may stand before the command as well as after it. Where a command has an option of the same
/// name, that one takes the value.
#[derive(Debug, clap::Args)]
struct Anywhere {
    /// The gateway, for commands that ask one.
    #[arg(long, value_name = "URL", global = true)]
    endpoint: Option<String>,
    /// Print JSON objects on stdout, for commands that print results.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    #[command(after_help = examples::SERVE)]
    Serve(serve::Args),
    /// Back up a file, a directory or stdin; run it again to resume.
    #[command(after_help = examples::BACKUP)]
    Backup(backup::Args),
    /// Restore a file or a directory, checking every chunk; run it again to resume.
    #[command(after_help = examples::RESTORE)]
    Restore(restore::Args),
    /// Write objects to stdout, checking every chunk.
    #[command(after_help = examples::CAT)]
    Cat(cat::Args),
    /// List buckets, or the objects and backups below a target.
    #[command(after_help = examples::LS)]
    Ls(ls::Args),
    /// Show how much the objects below a target hold, need and were sent, and what they share.
    #[command(after_help = examples::DU)]
    Du(du::Args),
    /// Show what is stored and what is missing of a backup, and whether its object is there.
    #[command(after_help = examples::STATUS)]
    Status(status::Args),
    /// Read a file, or everything below a prefix, and check it.
    #[command(after_help = examples::VERIFY)]
    Verify(verify::Args),
    /// Abort a backup and free its storage.
    #[command(after_help = examples::ABORT)]
    Abort(abort::Args),
    /// Remove an object, or everything below a prefix.
    #[command(after_help = examples::RM)]
    Rm(rm::Args),
    /// Make plain objects of those that an S3 store keeps in blobs.
    #[command(after_help = examples::MATERIALIZE)]
    Materialize(materialize::Args),
    /// Make a bucket.
    #[command(after_help = examples::MB)]
    Mb(mb::Args),
    /// Free the storage of abandoned uploads once; `serve` does so regularly.
    #[command(after_help = examples::GC)]
    Gc(gc::Args),
    /// Check that a store has the properties that the gateway depends on.
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::Args),
    /// Copy the directory of an embedded store, also while a gateway runs on it.
    #[command(after_help = examples::SNAPSHOT)]
    Snapshot(snapshot::Args),
    /// Compare the index of an embedded store with its files.
    #[command(after_help = examples::CHECK)]
    Check(check::Args),
    /// Check the settings of a gateway, or show them and where each comes from.
    #[command(after_help = examples::CONFIG)]
    Config(config::Args),
    /// Print the completions of a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::Args),
    /// Print the manual page, or write the pages of all commands.
    #[command(after_help = examples::MAN)]
    Man(man::Args),
}

impl Command {
    /// The option of `Anywhere` that was given and that the command has no use for.
    fn useless(&self, anywhere: &Anywhere) -> Option<&'static str> {
        let (asks_gateway, prints_results) = match self {
            Self::Serve(_) | Self::Completions(_) | Self::Man(_) => (false, false),
            Self::Backup(_)
            | Self::Restore(_)
            | Self::Cat(_)
            | Self::Ls(_)
            | Self::Du(_)
            | Self::Status(_)
            | Self::Verify(_)
            | Self::Abort(_)
            | Self::Rm(_)
            | Self::Materialize(_)
            | Self::Mb(_)
            | Self::Doctor(_) => (true, true),
            Self::Gc(_) | Self::Snapshot(_) | Self::Check(_) | Self::Config(_) => (false, true),
        };
        if anywhere.endpoint.is_some() && !asks_gateway {
            return Some("--endpoint");
        }
        (anywhere.json && !prints_results).then_some("--json")
    }
}

/// The arguments. **Errors**: also if they do not fit together.
fn parse() -> Result<Cli, clap::Error> {
    let cli = Cli::try_parse()?;
    if let Some(option) = cli.command.useless(&cli.anywhere) {
        let text = format!("{option} is of no use to this command; leave it out");
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, text));
    }
    Ok(cli)
}

/// Parses the arguments and runs the command.
pub fn run() -> ExitCode {
    // Before the arguments are parsed: their errors are printed so too.
    failure::print_as_json(std::env::args_os().any(|argument| argument == "--json"));
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && failure::prints_json() => {
            failure::report_text(error.to_string().trim_end(), failure::WRONG_USE, None);
            return ExitCode::from(WRONG_USE);
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
        Command::Cat(args) => runtime.block_on(unless_interrupted(cat::run(args))),
        Command::Ls(args) => runtime.block_on(ls::run(args)),
        Command::Du(args) => runtime.block_on(du::run(args)),
        Command::Status(args) => runtime.block_on(status::run(args)),
        Command::Verify(args) => runtime.block_on(unless_interrupted(verify::run(args))),
        Command::Abort(args) => runtime.block_on(abort::run(args)),
        Command::Rm(args) => runtime.block_on(unless_interrupted(rm::run(args))),
        Command::Materialize(args) => runtime.block_on(unless_interrupted(materialize::run(args))),
        Command::Mb(args) => runtime.block_on(mb::run(args)),
        Command::Gc(args) => runtime.block_on(gc::run(args)),
        Command::Doctor(args) => runtime.block_on(doctor::run(args)),
        Command::Snapshot(args) => runtime.block_on(snapshot::run(args)),
        Command::Check(args) => runtime.block_on(check::run(args)),
        Command::Config(args) => config::run(args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
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
    use super::*;

    /// The words of an example, as a shell would split them.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('\'').enumerate();
        let words = quoted.flat_map(|(at, text)| match at % 2 {
            0 => text.split_whitespace().map(str::to_owned).collect(),
            _ => vec![text.to_owned()],
        });
        words.take_while(|word| !matches!(word.as_str(), ">" | "|" | "#")).collect()
    }

    #[test]
    fn every_command_has_examples_that_are_valid_and_names_its_variables() {
        let program = Cli::command();
        for command in program.get_subcommands() {
            let help = command.get_after_help().expect("a command has examples").to_string();
            let examples = help.lines().filter_map(|line| line.strip_prefix("  ratchet "));
            let mut count = 0;
            for example in examples {
                let line = words(&format!("ratchet {example}"));
                let parsed = Cli::try_parse_from(&line);
                assert!(parsed.is_ok(), "{line:?}: {}", parsed.unwrap_err());
                count += 1;
            }
            assert!(count > 0, "{} has no example", command.get_name());
        }
        program.debug_assert();
    }

    #[test]
    fn an_error_is_printed_in_one_line_without_control_characters() {
        let error = std::io::Error::other("no \r\nratchet: forged \u{1b}[2J\u{202e}\u{85}");
        assert_eq!(
            super::chain(&error),
            "no \\u{d}\\u{a}ratchet: forged \\u{1b}[2J\\u{202e}\\u{85}"
        );
    }
}
