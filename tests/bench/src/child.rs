//! This program as its own child: another process on the other core.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::machine;

/// A child that runs until it is dropped: it ends when its stdin does.
pub(crate) struct Part {
    child: Child,
    stdin: Option<ChildStdin>,
    /// The first line it printed.
    pub(crate) greeting: String,
}

impl Part {
    /// Starts a part and waits for its first line.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("this program does not know its own path")?;
        Self::from(Command::new(program).args(arguments))
    }

    /// Starts a command and waits for its first line.
    pub(crate) fn from(command: &mut Command) -> Result<Self> {
        command.env(machine::CORES, machine::cores_for_child());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start")?;
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut part = Self { child, stdin, greeting: String::new() };
        lines.read_line(&mut part.greeting)?;
        if part.greeting.is_empty() {
            bail!("{command:?} ended before it was ready; what it said is above");
        }
        // Read on, or the pipe fills up and the child waits for us.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok(part)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends this process, a child, when its stdin ends: when the parent does.
pub(crate) fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}
