//! `harness runs` and `harness events`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Done;
use super::output::{Output, cut, failure_text, table, time};
use crate::host::{Host, HostError};
use crate::store::{StoredRun, StoredStep};

/// How many are listed where nothing is said.
const USUAL: u32 = 50;

#[derive(Debug, Args)]
struct Listing {
    /// How many, newest first
    #[arg(long, value_name = "N", default_value_t = USUAL)]
    limit: u32,
}

#[derive(Debug, Args)]
struct Id {
    /// Its id
    id: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness runs list
  harness runs show ID")]
pub(super) struct Runs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// List runs, newest first
    #[command(after_help = "Examples:
  harness runs list
  harness runs list --limit 500 --json | jq '.[] | select(.state == \"failed\")'")]
    List(Listing),
    /// Show a run: its steps, inputs, outputs and failures
    #[command(after_help = "Examples:
  harness runs show ID
  harness runs show ID --json | jq .steps")]
    Show(Id),
}

impl Runs {
    pub(super) fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            RunsCommand::List(Listing { limit }) => {
                let runs = host.store().runs(limit)?;
                let json: Vec<Value> = runs.iter().map(run_json).collect();
                output.result(&Value::Array(json), || {
                    if runs.is_empty() {
                        return "no runs yet".into();
                    }
                    let row = |run: &StoredRun| {
                        let why = run.failure.as_ref().and_then(|it| it["message"].as_str()).unwrap_or_default();
                        vec![
                            run.id.clone(),
                            run.flow.clone(),
                            run.state.clone(),
                            time(Some(run.created_at_ms)),
                            cut(why, 60),
                        ]
                    };
                    table(&["ID", "FLOW", "STATE", "STARTED", ""], &runs.iter().map(row).collect::<Vec<_>>())
                });
                Ok(0)
            }
            RunsCommand::Show(Id { id }) => {
                let run = host.store().run(&id)?.ok_or_else(|| {
                    let message = format!("there is no run `{id}`");
                    HostError::bad_input("run-unknown", message, "`harness runs list` lists them.")
                })?;
                let steps = host.store().steps(&id)?;
                let mut json = run_json(&run);
                json["trace"] = host.trace_of_run(&run)?.to_string().into();
                json["steps"] = steps.iter().map(step_json).collect();
                json["definition"] = serde_json::from_str(&run.definition).unwrap_or_default();
                output.result(&json, || run_text(&run, &steps));
                Ok(0)
            }
        }
    }
}

fn run_json(run: &StoredRun) -> Value {
    json!({
        "id": run.id,
        "flow": run.flow,
        "state": run.state,
        "event": run.event,
        "event-id": run.event_id,
        "failure": run.failure,
        "started-at-ms": run.created_at_ms,
        "ended-at-ms": run.ended_at_ms,
        "due-at-ms": (run.state == "waiting").then_some(run.due_at_ms),
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

fn run_text(run: &StoredRun, steps: &[StoredStep]) -> String {
    let mut lines = vec![
        format!("run {} of `{}`: {}", run.id, run.flow, run.state),
        format!("  event    {} ({})", run.event, run.event_id),
        format!("  started  {}", time(Some(run.created_at_ms))),
        format!("  ended    {}", time(run.ended_at_ms)),
    ];
    if run.state == "waiting" {
        lines.push(format!("  goes on  {}", time(Some(run.due_at_ms))));
    }
    for step in steps {
        lines.push(format!(
            "step {}  {} on {}: {} ({} attempts)",
            step.id, step.card, step.connection, step.state, step.attempts
        ));
        for (name, value) in [("input", &step.input), ("output", &step.output)] {
            if let Some(value) = value {
                lines.push(format!("  {name:<6} {value}"));
            }
        }
        if let Some(failure) = &step.failure {
            lines.push(failure_text(failure));
        }
    }
    if let (Some(failure), true) = (&run.failure, steps.iter().all(|step| step.failure.is_none())) {
        lines.push(failure_text(failure));
    }
    lines.join("\n")
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness events list
  harness events show ID")]
pub(super) struct Events {
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    /// List events, newest first
    #[command(after_help = "Examples:
  harness events list
  harness events list --limit 10 --json

Deliveries that were refused, or that raised an alarm, brought no events: `harness subscriptions` counts them.")]
    List(Listing),
    /// Show an event with its payload and its runs
    #[command(after_help = "Examples:
  harness events show ID
  harness events show ID --json | jq .payload")]
    Show(Id),
}

impl Events {
    pub(super) fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            EventsCommand::List(Listing { limit }) => {
                let events = host.store().events(limit)?;
                let json: Vec<Value> =
                    events.iter().map(|event| host.event_json(event, false)).collect::<Result<_, HostError>>()?;
                let rows: Vec<Vec<String>> = json
                    .iter()
                    .map(|one| {
                        let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
                        let runs: Vec<&str> = one["runs"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter_map(|run| run["state"].as_str())
                            .collect();
                        let runs = if runs.is_empty() { "no flow".into() } else { runs.join(", ") };
                        vec![text("id"), text("card"), text("connection"), time(one["received-at-ms"].as_u64()), runs]
                    })
                    .collect();
                output.result(&Value::Array(json), || {
                    if rows.is_empty() {
                        return "no events yet".into();
                    }
                    table(&["ID", "EVENT", "CONNECTION", "RECEIVED", "RUNS"], &rows)
                });
                for connection in host.store().connections()? {
                    if !host.delivery_troubles(&connection)?.is_empty() {
                        let name = connection.name;
                        output.note(&format!(
                            "deliveries of `{name}` were refused or raised alarms: `harness subscriptions` says why"
                        ));
                    }
                }
                Ok(0)
            }
            EventsCommand::Show(Id { id }) => {
                let event = host.store().event(&id)?.ok_or_else(|| {
                    let message = format!("there is no event `{id}`");
                    HostError::bad_input("event-unknown", message, "`harness events list` lists them.")
                })?;
                output.value(&host.event_json(&event, true)?);
                Ok(0)
            }
        }
    }
}
