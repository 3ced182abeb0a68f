//! A command whose output is backed up.
//!
//! Guarantees: a command that does not end with exit code 0 is an error, and so is one of a pipe in
//! it; the command is killed when it is no longer read.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, ChildStdout, Command};

use crate::client::{Error, Result};

/// A running command.
pub(in crate::client) struct RunningCommand {
    child: Child,
    text: String,
}

impl RunningCommand {
    /// Starts the command in a shell. Its stdin and stderr are those of this process.
    pub fn start(text: &str) -> Result<(Self, ChildStdout)> {
        // Not every `sh` can report the failure of a command at the front of a pipe.
        let with_bash = spawn(Command::new("bash").args(["-o", "pipefail", "-c", text]));
        let child = match with_bash {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let script = format!("(set -o pipefail) 2>/dev/null && set -o pipefail\n{text}");
                spawn(Command::new("sh").args(["-c", &script]))
            }
            started => started,
        };
        let mut child = child.map_err(Error::io(Path::new("sh"), "cannot be started"))?;
        let stdout = child.stdout.take().expect("the command was started with a pipe as stdout");
        Ok((Self { child, text: text.to_owned() }, stdout))
    }

    /// Waits for the end. **Errors**: `NotDone` if the command failed.
    pub async fn require_success(mut self) -> Result<()> {
        let ended = self.child.wait().await;
        let ended = ended.map_err(Error::io(Path::new("sh"), "cannot be waited for"))?;
        if ended.success() {
            return Ok(());
        }
        Err(Error::NotDone(format!(
            "the command {:?} failed ({ended}), so its output was not stored as a complete backup; \
             run it again when the command works",
            self.text
        )))
    }
}

fn spawn(command: &mut Command) -> std::io::Result<Child> {
    command.stdout(Stdio::piped()).kill_on_drop(true).spawn()
}
