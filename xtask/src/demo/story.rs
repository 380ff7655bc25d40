//! How the demonstration is told: steps, the commands run in them, the evidence.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The whole story, printed while it happens and kept for `--json`.
pub(super) struct Story {
    json: bool,
    started: Instant,
    steps: Vec<Told>,
}

/// One step as it was told.
#[derive(Default, Serialize)]
struct Told {
    title: String,
    passed: bool,
    seconds: f64,
    commands: Vec<String>,
    evidence: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// A step while it happens.
pub(super) struct Step {
    json: bool,
    told: Told,
}

impl Story {
    pub(super) fn begin(json: bool) -> Self {
        Self { json, started: Instant::now(), steps: Vec::new() }
    }

    pub(super) fn say(&self, text: &str) {
        print(self.json, text);
    }

    /// Tells one step. A failed step ends the story.
    pub(super) fn step<T>(&mut self, title: &str, why: &str, act: impl FnOnce(&mut Step) -> Result<T>) -> Result<T> {
        let number = self.steps.len() + 1;
        self.say(&format!("\n{number:2}. {title}\n    {why}"));
        let started = Instant::now();
        let mut step = Step { json: self.json, told: Told { title: title.to_owned(), ..Told::default() } };
        let outcome = act(&mut step);
        step.told.seconds = started.elapsed().as_secs_f64();
        step.told.passed = outcome.is_ok();
        step.told.failure = outcome.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(failure) = &step.told.failure {
            self.say(&format!("    ✗ {failure}"));
        }
        self.steps.push(step.told);
        outcome
    }

    /// Says in plain words what was proved or what failed, and gives the exit code.
    pub(super) fn end(&self, outcome: &Result<(), String>) -> Result<ExitCode> {
        let seconds = self.started.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => self.say(&format!("\n{PROVED}\n\nAll {} steps in {seconds:.0} s.", self.steps.len())),
            Err(failure) => {
                let place = self.steps.last().map_or("the start", |step| step.title.as_str());
                self.say(&format!("\nNot proved. The step “{place}” failed:\n    {failure}"));
            }
        }
        if self.json {
            let proved: Vec<_> = match outcome {
                Ok(()) => PROVED.lines().filter_map(|line| line.trim_start().strip_prefix("· ")).collect(),
                Err(_) => Vec::new(),
            };
            let document = serde_json::json!({
                "passed": outcome.is_ok(),
                "seconds": seconds,
                "steps": self.steps,
                "proved": proved,
                "failure": outcome.as_ref().err(),
            });
            println!("{document}");
        }
        Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// How much is shown of what a command prints.
const MOST_LINES: usize = 16;

const PROVED: &str = "What you saw proved, with the real programs:
  · The connector is one file. It asks its host for HTTP, clocks and randomness, and for nothing else.
  · A site, an e-mail address and an API token are enough to connect. The token stayed with the host: the connector never held it.
  · An issue created in Jira came back as a signed webhook, was checked, started a flow, and the flow changed the issue in Jira.
  · Whoever forges a delivery is turned away, and nothing starts.
  · A delivery that arrives twice starts nothing twice.
  · A revoked token costs at most two failed sign-ins; then the host stops asking, so that Jira does not lock the account.";

impl Step {
    /// Shows a command as a person would type it.
    pub(super) fn command(&mut self, program: &[&str], arguments: &[&str]) {
        let words: Vec<_> = program.iter().chain(arguments).map(|word| quoted(word)).collect();
        let line = words.join(" ");
        print(self.json, &format!("    $ {line}"));
        self.told.commands.push(line);
    }

    /// Something a person can see for themselves, on the way to the proof.
    pub(super) fn shows(&self, text: &str) {
        print(self.json, &format!("      {text}"));
    }

    /// What a command printed; of much, the beginning.
    pub(super) fn output(&self, text: &str) {
        let lines: Vec<_> = text.trim_end().lines().collect();
        for line in lines.iter().take(MOST_LINES) {
            self.shows(line);
        }
        if lines.len() > MOST_LINES {
            self.shows(&format!("… and {} lines more", lines.len() - MOST_LINES));
        }
    }

    /// The evidence of this step.
    pub(super) fn proved(&mut self, text: &str) {
        print(self.json, &format!("    ✓ {text}"));
        self.told.evidence.push(text.to_owned());
    }

    /// A line that moves while something takes its time.
    pub(super) fn waiting(&self, what: &str) -> Waiting {
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("    {spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Waiting(bar)
    }
}

/// Takes the moving line away when dropped.
pub(super) struct Waiting(ProgressBar);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn print(to_stderr: bool, text: &str) {
    if to_stderr {
        eprintln!("{text}");
    } else {
        println!("{text}");
    }
}

/// A word as a shell needs it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@,+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("token=-"), "token=-");
        assert_eq!(quoted(r#"{"a": "it's"}"#), r#"'{"a": "it'\''s"}'"#);
        assert_eq!(quoted(""), "''");
    }
}
