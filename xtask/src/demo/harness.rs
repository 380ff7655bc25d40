//! The workflow host's own program, driven as a person drives it.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

use super::story::Step;
use crate::native;
use crate::scene::{Running, Scene};
use crate::workspace::Workspace;

/// `harness` with a home of its own.
pub(super) struct Harness<'a> {
    workspace: &'a Workspace,
    scene: &'a Scene,
    home: PathBuf,
}

/// What one command answered.
pub(super) struct Reply {
    /// The exit code: 0 done, 2 bad input, 3 permanent, 4 transient, 5 uncertain, 1 other.
    pub(super) code: Option<i32>,
    /// The JSON it printed; null if it printed none.
    pub(super) value: Value,
    stderr: String,
}

impl Reply {
    /// The result, if there is one.
    pub(super) fn done(self) -> Result<Value> {
        if self.code == Some(0) {
            return Ok(self.value);
        }
        bail!("{}", self.failure())
    }

    /// The failure in the command's own words.
    pub(super) fn failure(&self) -> String {
        let error = &self.value["error"];
        let (message, remedy) = (error["message"].as_str(), error["remedy"].as_str());
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        match (message, remedy) {
            (Some(message), Some(remedy)) => format!("{message}. {remedy} ({code})").replace("..", "."),
            (Some(message), None) => format!("{message} ({code})"),
            _ => format!("{code}: {}", self.stderr.trim()),
        }
    }
}

impl<'a> Harness<'a> {
    pub(super) fn new(workspace: &'a Workspace, scene: &'a Scene, home: PathBuf) -> Self {
        Self { workspace, scene, home }
    }

    /// Shows and runs a command.
    pub(super) fn call(&self, step: &mut Step, arguments: &[&str]) -> Result<Reply> {
        self.call_with(step, arguments, "")
    }

    /// Shows and runs a command that reads a secret from its stdin, where no list of
    /// processes and no shell history shows it.
    pub(super) fn call_with(&self, step: &mut Step, arguments: &[&str], input: &str) -> Result<Reply> {
        step.command(&["harness"], arguments);
        let waiting = step.waiting("working");
        let reply = self.quietly(arguments, input)?;
        drop(waiting);
        // A card prints its output as JSON to people too.
        if arguments.first() == Some(&"run") && reply.code == Some(0) {
            step.output(&format!("{:#}", reply.value));
        }
        Ok(reply)
    }

    /// Shows and runs a command that changes nothing: once as a person sees it, once as JSON to judge it by.
    pub(super) fn look(&self, step: &mut Step, arguments: &[&str]) -> Result<Reply> {
        step.command(&["harness"], arguments);
        let seen = self.scene.run(self.command().args(arguments), "")?;
        step.output(&String::from_utf8_lossy(&seen.stdout));
        self.quietly(arguments, "")
    }

    /// Runs a command that was shown already, or that only looks something up.
    pub(super) fn quietly(&self, arguments: &[&str], input: &str) -> Result<Reply> {
        let output = self.scene.run(self.command().arg("--json").args(arguments), input)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        Ok(Reply {
            code: output.status.code(),
            value: serde_json::from_str(stdout.trim()).unwrap_or(Value::Null),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts `harness serve` and waits until it listens.
    pub(super) fn serve(&self, step: &mut Step, arguments: &[&str]) -> Result<Running> {
        step.command(&["harness"], arguments);
        let _waiting = step.waiting("starting");
        self.scene.start("harness-serve", self.command().arg("--json").args(arguments)).context("harness serve")
    }

    fn command(&self) -> Command {
        let mut command = native::command(self.workspace, "harness");
        command.arg("--home").arg(&self.home);
        command
    }
}
