//! `harness flow`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Done;
use super::input;
use super::output::{Output, cut};
use super::runs::read_flow;
use crate::engine::flow;
use crate::engine::{Cards, FlowProblem, Rehearsed, check_flow, rehearse};
use crate::host::{Host, HostError};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness flow check flows/*.yaml
  harness flow test flows/triage.yaml")]
pub(super) struct Flows {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check flows against the cards they name, before anything runs: all problems at once, each with its place
    #[command(after_help = "Examples:
  harness flow check flows/*.yaml
  harness flow check flows/triage.yaml --component connector.wasm
  harness flow check flows/sync.yaml --component demo=one.wasm \\
    --component other=two.wasm --json

Connections, cards and filters must exist, inputs must fit the cards' schemas, and expressions may only name what is
there. With --component no connection is needed. Nothing is sent. Exit codes: 0 no problem, 2 problems.")]
    Check(Check),
    /// Go through a flow with a sample event and show what it would do; nothing is sent
    #[command(after_help = "Examples:
  harness flow test flows/triage.yaml
  harness flow test flows/triage.yaml --event @event.json
  harness events show ID --json | jq .payload \\
    | harness flow test flows/triage.yaml --event - --json

What a step would bring is taken from its card's sample. Exit codes: 0 it would go well, 2 there are problems.")]
    Test(Test),
}

#[derive(Debug, Args)]
struct Components {
    /// Look cards up in a component, not in a connection: FILE for all connections, or NAME=FILE for one
    #[arg(long, value_name = "[NAME=]FILE", value_parser = component)]
    component: Vec<(Option<String>, PathBuf)>,
}

#[derive(Debug, Args)]
struct Check {
    /// The files, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    components: Components,
}

#[derive(Debug, Args)]
struct Test {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The event's payload: JSON, @FILE or - for stdin [default: the sample of the event's card]
    #[arg(long, value_name = "SAMPLE")]
    event: Option<String>,
    #[command(flatten)]
    components: Components,
}

fn component(text: &str) -> Result<(Option<String>, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !name.contains('/') => Ok((Some(name.into()), file.into())),
        _ => Ok((None, text.into())),
    }
}

impl Flows {
    /// Whether it looks cards up in component files.
    pub(super) fn is_of_component(&self) -> bool {
        let components = match &self.command {
            Command::Check(check) => &check.components,
            Command::Test(test) => &test.components,
        };
        !components.component.is_empty()
    }

    pub(super) async fn run(self, host: &Arc<Host>, output: &Output) -> Done {
        match self.command {
            Command::Check(check) => check.run(host, output).await,
            Command::Test(test) => test.run(host, output).await,
        }
    }
}

impl Check {
    async fn run(self, host: &Arc<Host>, output: &Output) -> Done {
        let cards = Cards { components: self.components.component };
        let (mut json, mut lines, mut count) = (Vec::new(), Vec::new(), 0);
        let mut names: Vec<(String, PathBuf)> = Vec::new();
        for file in files_of(self.files)? {
            let shown = file.display().to_string();
            let mut problems = match flow::read_file(&file).and_then(|text| flow::read(&file, &text)) {
                Ok(read) => {
                    let twice = names.iter().find(|(name, _)| *name == read.name).map(|(_, other)| {
                        FlowProblem::at("name", format!("{} has a flow of the same name", other.display()))
                    });
                    names.push((read.name.clone(), file.clone()));
                    let mut problems = check_flow(host, &cards, read).await;
                    problems.extend(twice);
                    problems
                }
                Err(error) => vec![FlowProblem::at("", error.to_string())],
            };
            problems.dedup();
            let mistakes = problems.iter().filter(|one| !one.warning).count();
            count += mistakes;
            lines.push(match mistakes {
                0 => format!("{shown}: no problem"),
                1 => format!("{shown}: 1 problem"),
                many => format!("{shown}: {many} problems"),
            });
            lines.extend(problems.iter().map(problem_text));
            json.push(json!({ "file": shown, "problems": problems }));
        }
        output.result(&Value::Array(json), || lines.join("\n"));
        Ok(if count == 0 { 0 } else { 2 })
    }
}

/// The files, and of a folder those that `serve` would read of it.
fn files_of(given: Vec<PathBuf>) -> Result<Vec<PathBuf>, HostError> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let unusable = |message: String| HostError::bad_input("flow", message, "Name flow files, or a folder of them.");
        let found = flow::files_in(&path).map_err(|error| unusable(error.to_string()))?;
        if found.is_empty() {
            return Err(unusable(format!("{} holds no .yaml, .yml or .json file", path.display())));
        }
        files.extend(found);
    }
    Ok(files)
}

fn problem_text(problem: &FlowProblem) -> String {
    let warning = if problem.warning { "warning: " } else { "" };
    match problem.place.as_str() {
        "" => format!("  {warning}{}", problem.message),
        place => format!("  {warning}{place}: {}", problem.message),
    }
}

impl Test {
    async fn run(self, host: &Arc<Host>, output: &Output) -> Done {
        let flow = read_flow(&self.file)?;
        let event = self.event.map(|given| input::json("--event", &given)).transpose()?;
        let cards = Cards { components: self.components.component };
        let mut rehearsed = rehearse(host, &cards, &flow, event).await?;
        rehearsed.problems.dedup();
        let json = serde_json::to_value(&rehearsed)
            .map_err(|error| HostError::other("json", error.to_string(), "Tell the host's maintainers."))?;
        output.result(&json, || rehearsed_text(&rehearsed));
        Ok(if rehearsed.problems.is_empty() { 0 } else { 2 })
    }
}

/// What a condition came to, for people.
fn outcome(rehearsed: &Rehearsed, place: &str, runs: bool, otherwise: &str) -> String {
    match (rehearsed.problems.iter().any(|problem| problem.place == place), runs) {
        (true, _) => "no value: the run fails here (see below)".into(),
        (false, true) => "true: it runs".into(),
        (false, false) => format!("false: {otherwise}"),
    }
}

fn rehearsed_text(rehearsed: &Rehearsed) -> String {
    let mut lines = vec![
        format!("flow `{}`", rehearsed.flow),
        format!("  event    {}", cut(&rehearsed.event.to_string(), 200)),
        format!("  on.when  {}", outcome(rehearsed, "on.when", rehearsed.runs, "it does not run")),
    ];
    lines.extend(rehearsed.order_key.as_ref().map(|key| format!("  key      {key}")));
    for step in &rehearsed.steps {
        lines.push(format!("step {}  {} on {}", step.id, step.action, step.connection));
        let place = format!("steps.{}.when", step.id);
        lines.push(format!("  when   {}", outcome(rehearsed, &place, step.runs, "it is skipped")));
        lines.extend(step.input.as_ref().map(|input| format!("  input  {input}")));
        lines.extend(step.output.as_ref().map(|output| format!("  output {output} (the card's sample)")));
    }
    match rehearsed.problems.len() {
        0 => lines.push("no problem; nothing was sent".into()),
        many => {
            lines.push(format!("{many} problems; nothing was sent"));
            lines.extend(rehearsed.problems.iter().map(problem_text));
        }
    }
    lines.join("\n")
}
