//! `ratchet man`: prints the manual page, or writes the pages of all commands to a directory.

use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Cli;
use super::connection::print;
use super::failure;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A directory, which is made if it is missing; without it the page of `ratchet` is printed.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Prints or writes. Returns the exit code.
pub fn run(args: &Args) -> u8 {
    let outcome = match &args.directory {
        Some(directory) => write_all(directory),
        None => print_page(),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            let place = args.directory.as_deref().unwrap_or(Path::new("-")).display();
            failure::note(format_args!("{place}: {error}"));
            1
        }
    }
}

fn write_all(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)
}

fn print_page() -> std::io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    print(String::from_utf8_lossy(&page).trim_end());
    Ok(())
}
