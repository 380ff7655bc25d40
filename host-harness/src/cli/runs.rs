//! `harness runs`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Done;
use super::input;
use super::output::{Output, cut, failure_text, table, time};
use crate::engine::flow::{self, CompiledFlow};
use crate::host::{Doubt, Host, HostError, Retry};
use crate::store::{BEHIND, Cancelled, RunFilter, StoredRun, StoredStep};

/// How many are listed where nothing is said.
const USUAL: u32 = 50;
/// How much of an input or output is shown to people; with --json, all of it.
const MOST_SHOWN: usize = 500;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness runs list --state failed
  harness runs show ID
  harness runs retry ID
  harness runs cancel ID")]
pub(super) struct Runs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List runs, newest first
    #[command(after_help = "Examples:
  harness runs list
  harness runs list --state waiting --flow triage-new-bugs
  harness runs list --limit 500 --json | jq '.[] | {id, state, failure}'")]
    List(List),
    /// Show a run: its steps, inputs, outputs and failures, what it waits for, and where it comes from
    #[command(after_help = "Examples:
  harness runs show ID
  harness runs show ID --json | jq .steps")]
    Show(Id),
    /// Have a run go on from the step that failed, or have its event run the flow anew
    #[command(after_help = "Examples:
  harness runs retry ID
  harness runs retry ID --new-definition flows/triage.yaml
  harness runs retry ID --repeat
  harness runs retry ID --as-done @output.json
  harness runs retry ID --from-event
  harness runs retry --all --flow triage-new-bugs \\
    --code host.connector-timed-out

A running `harness serve` takes it up within ten seconds; without one, the next one does. Steps that are done stay
done. Where nobody knows whether a step did its work (`uncertain`), look at the service first, then say --repeat if it
did not, or --as-done with its output if it did. --from-event does every step again, in a new run that names this one.")]
    Retry(RetryRun),
    /// Stop a run before its next step; give up one that failed or is uncertain
    #[command(after_help = "Examples:
  harness runs cancel ID
  harness runs cancel ID --json

A step that is under way comes to its end first. A run that failed is no dead letter any more once it is cancelled.")]
    Cancel(Id),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Pending,
    Running,
    Waiting,
    Done,
    Skipped,
    Failed,
    Uncertain,
    Cancelled,
}

#[derive(Debug, Args)]
struct List {
    /// How many, newest first
    #[arg(long, value_name = "N", default_value_t = USUAL)]
    limit: u32,
    /// Only those in this state
    #[arg(long)]
    state: Option<State>,
    /// Only those of this flow
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
}

#[derive(Debug, Args)]
struct Id {
    /// Its id
    id: String,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Retriable {
    #[default]
    Failed,
}

#[derive(Debug, Args)]
pub(super) struct RetryRun {
    /// Its id
    #[arg(required_unless_present = "all")]
    id: Option<String>,
    /// All that failed, oldest first
    #[arg(long, conflicts_with_all = ["id", "repeat", "as_done", "from_event"])]
    all: bool,
    /// With --all: those in this state. Of one that is uncertain a person has to say what became of it
    #[arg(long, requires = "all", conflicts_with = "id", value_enum, default_value_t = Retriable::Failed)]
    state: Retriable,
    /// With --all: only those of this flow
    #[arg(long, requires = "all", conflicts_with = "id", value_name = "NAME")]
    flow: Option<String>,
    /// With --all: only those that failed with this code
    #[arg(long, requires = "all", conflicts_with = "id", value_name = "CODE")]
    code: Option<String>,
    /// Run the whole flow anew, as a new run
    #[arg(long)]
    from_event: bool,
    /// Do a step again of which nobody knows whether it did its work
    #[arg(long, conflicts_with = "as_done")]
    repeat: bool,
    /// Take a step as done of which nobody knows whether it did its work; this came out: JSON, @FILE or - for stdin
    #[arg(long, value_name = "OUTPUT")]
    as_done: Option<String>,
    /// Go on with the flow in this file instead of the one that the run began with
    #[arg(long, value_name = "FILE")]
    new_definition: Option<PathBuf>,
}

impl Runs {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            Command::List(list) => list.run(host, output),
            Command::Show(Id { id }) => show(host, output, &id),
            Command::Retry(retry) => {
                let doubt = retry.doubt()?;
                if let (Some(id), Doubt::AsDone(given)) = (&retry.id, &doubt) {
                    host.check_as_done(id, given).await?;
                }
                retry.run(host, output, doubt)
            }
            Command::Cancel(Id { id }) => {
                let outcome = host.cancel_run(&id)?;
                let (state, told) = match outcome {
                    Cancelled::Soon => ("cancelling", format!("run {id} stops before its next step")),
                    _ => ("cancelled", format!("run {id} is cancelled")),
                };
                output.result(&json!({ "id": id, "state": state }), || told);
                Ok(0)
            }
        }
    }
}

impl List {
    fn run(self, host: &Host, output: &Output) -> Done {
        let state = self.state.and_then(|state| state.to_possible_value());
        let state = state.as_ref().map(clap::builder::PossibleValue::get_name);
        let filter = RunFilter { state, flow: self.flow.as_deref(), limit: self.limit };
        let runs = host.store().runs_like(filter)?;
        output.result(&runs.iter().map(run_json).collect(), || {
            if runs.is_empty() {
                return "no such runs".into();
            }
            runs_table(&runs)
        });
        Ok(0)
    }
}

/// Runs for people, one a line.
pub(super) fn runs_table(runs: &[StoredRun]) -> String {
    let row = |run: &StoredRun| {
        let why = run.failure.as_ref().and_then(|it| it["message"].as_str()).unwrap_or_default();
        let why = match goes_on(run) {
            Some(when) if why.is_empty() => when,
            Some(when) => format!("{when}: {why}"),
            None => why.to_owned(),
        };
        vec![run.id.clone(), run.flow.clone(), run.state.clone(), time(Some(run.created_at_ms)), cut(&why, 80)]
    };
    table(&["ID", "FLOW", "STATE", "STARTED", ""], &runs.iter().map(row).collect::<Vec<_>>())
}

/// When a run that waits goes on.
fn goes_on(run: &StoredRun) -> Option<String> {
    match (run.state.as_str(), run.due_at_ms) {
        ("pending" | "waiting", BEHIND..) => Some("after another run of its key".into()),
        ("waiting", due) => Some(format!("until {}", time(Some(due)))),
        _ => None,
    }
}

fn show(host: &Host, output: &Output, id: &str) -> Done {
    let run = host.run(id)?;
    let steps = host.store().steps(id)?;
    let redone_as = host.store().redone_as(id)?;
    let mut json = run_json(&run);
    json["trace"] = host.trace_of_run(&run)?.to_string().into();
    json["steps"] = steps.iter().map(step_json).collect();
    json["definition"] = serde_json::from_str(&run.definition).unwrap_or_default();
    json["redone-as"] = json!(redone_as);
    let trace = json["trace"].as_str().unwrap_or_default().to_owned();
    output.result(&json, || run_text(&run, &steps, &redone_as, &trace));
    Ok(0)
}

impl RetryRun {
    pub(super) fn of(id: String) -> Self {
        Self {
            id: Some(id),
            all: false,
            state: Retriable::Failed,
            flow: None,
            code: None,
            from_event: false,
            repeat: false,
            as_done: None,
            new_definition: None,
        }
    }

    fn doubt(&self) -> Result<Doubt, HostError> {
        Ok(match (&self.as_done, self.repeat) {
            (Some(given), _) => Doubt::AsDone(input::json("--as-done", given)?),
            (None, true) => Doubt::Repeat,
            (None, false) => Doubt::Open,
        })
    }

    pub(super) fn run(self, host: &Host, output: &Output, doubt: Doubt) -> Done {
        let Some(id) = &self.id else { return self.all(host, output) };
        let definition = self.new_definition.as_deref().map(read_flow).transpose()?;
        let retried = host.retry_run(id, Retry { from_event: self.from_event, doubt, definition })?;
        let json = json!({ "id": retried.run, "again-of": retried.again_of, "from-step": retried.from_step });
        output.result(&json, || match (&retried.again_of, &retried.from_step) {
            (Some(before), _) => format!("run {} does run {before} anew", retried.run),
            (None, Some(step)) => format!("run {} goes on with the step `{step}`", retried.run),
            (None, None) => format!("run {} has no step left and comes to its end", retried.run),
        });
        Ok(0)
    }
}

impl RetryRun {
    /// Every run that failed and is meant. One that cannot go on keeps none of the others from it.
    fn all(&self, host: &Host, output: &Output) -> Done {
        let Retriable::Failed = self.state;
        let meant = |run: &StoredRun| {
            let code = run.failure.as_ref().and_then(|failure| failure["code"].as_str());
            run.state == "failed"
                && self.flow.as_ref().is_none_or(|flow| *flow == run.flow)
                && self.code.as_ref().is_none_or(|wanted| Some(wanted.as_str()) == code)
        };
        let (mut retried, mut left) = (Vec::new(), Vec::new());
        for run in host.store().dead_runs(u32::MAX)?.into_iter().filter(meant) {
            let definition = self.new_definition.as_deref().map(read_flow).transpose()?;
            match host.retry_run(&run.id, Retry { from_event: false, doubt: Doubt::Open, definition }) {
                Ok(again) => retried.push(again.run),
                Err(error) => left.push(json!({ "id": run.id, "error": error.to_json() })),
            }
        }
        let json = json!({ "retried": retried, "left": left });
        output.result(&json, || {
            let mut lines = vec![format!("{} runs go on, {} stay as they are", retried.len(), left.len())];
            let told = |one: &Value| format!("  {}: {}", text_of(&one["id"]), text_of(&one["error"]["message"]));
            lines.extend(left.iter().map(told));
            lines.join("\n")
        });
        Ok(if left.is_empty() { 0 } else { 3 })
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The flow in a file.
pub(super) fn read_flow(path: &Path) -> Result<CompiledFlow, HostError> {
    flow::read_file(path)
        .and_then(|text| flow::parse(path, &text))
        .map_err(|error| HostError::bad_input("flow", error.to_string(), "`harness flow check FILE` says all at once."))
}

/// A run as JSON, without its steps.
pub(super) fn run_json(run: &StoredRun) -> Value {
    let waits = matches!(run.state.as_str(), "pending" | "waiting");
    json!({
        "id": run.id,
        "flow": run.flow,
        "state": run.state,
        "event": run.event,
        "event-id": run.event_id,
        "failure": run.failure,
        "started-at-ms": run.created_at_ms,
        "ended-at-ms": run.ended_at_ms,
        "due-at-ms": (run.state == "waiting" && run.due_at_ms < BEHIND).then_some(run.due_at_ms),
        "waits-for-its-turn": waits && run.due_at_ms >= BEHIND,
        "key": run.order_key,
        "cancelling": run.cancel && run.ended_at_ms.is_none(),
        "again-of": run.again_of,
        "caused-by": run.cause,
    })
}

fn step_json(step: &StoredStep) -> Value {
    json!({
        "id": step.id,
        "action": step.card,
        "connection": step.connection,
        "state": step.state,
        "attempts": step.attempts,
        "input": step.input,
        "output": step.output,
        "failure": step.failure,
        "began-at-ms": step.began_at_ms,
        "ended-at-ms": step.ended_at_ms,
    })
}

fn run_text(run: &StoredRun, steps: &[StoredStep], redone_as: &[String], trace: &str) -> String {
    let mut lines = vec![
        format!("run {} of `{}`: {}", run.id, run.flow, run.state),
        format!("  event    {} ({})", run.event, run.event_id),
        format!("  started  {}", time(Some(run.created_at_ms))),
        format!("  ended    {}", time(run.ended_at_ms)),
        format!("  trace    {trace}"),
    ];
    lines.extend(goes_on(run).map(|when| format!("  waits    {when}")));
    lines.extend(run.order_key.as_ref().map(|key| format!("  key      {key}")));
    lines.extend(run.cause.as_ref().map(|cause| format!("  caused by run {cause}")));
    lines.extend(run.again_of.as_ref().map(|before| format!("  does run {before} anew")));
    lines.extend(redone_as.iter().map(|later| format!("  done anew as run {later}")));
    if run.cancel && run.ended_at_ms.is_none() {
        lines.push("  stops before its next step".into());
    }
    for step in steps {
        lines.push(format!(
            "step {}  {} on {}: {} ({} attempts)",
            step.id, step.card, step.connection, step.state, step.attempts
        ));
        for (name, value) in [("input", &step.input), ("output", &step.output)] {
            if let Some(value) = value {
                lines.push(format!("  {name:<6} {}", cut(&value.to_string(), MOST_SHOWN)));
            }
        }
        if let Some(failure) = &step.failure {
            lines.push(failure_text(failure));
            lines.extend(known_text(failure));
        }
    }
    if let (Some(failure), true) = (&run.failure, steps.iter().all(|step| step.failure.is_none())) {
        lines.push(failure_text(failure));
    }
    lines.join("\n")
}

/// What is known of a step in doubt.
fn known_text(failure: &Value) -> Option<String> {
    let known = failure.get("known")?;
    let text = |name: &str| known[name].as_str().unwrap_or("-");
    Some(format!(
        "  known: it began at {}, idempotency key {}, writes that had left: {}",
        time(known["began-at-ms"].as_u64()),
        text("idempotency-key"),
        text("writes-sent")
    ))
}
