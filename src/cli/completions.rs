//! `ratchet completions`: prints the completions of a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::connection::print;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints them. Returns the exit code.
pub fn run(args: &Args) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ratchet", &mut script);
    print(String::from_utf8_lossy(&script).trim_end());
    0
}
