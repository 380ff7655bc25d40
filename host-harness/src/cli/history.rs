//! `harness events`.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Done;
use super::output::{Output, table, time};
use crate::host::{Host, HostError};

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
                let event = host.store().event_called(&id)?.ok_or_else(|| {
                    let message = format!("there is no event `{id}`");
                    HostError::bad_input("event-unknown", message, "`harness events list` lists them.")
                })?;
                output.value(&host.event_json(&event, true)?);
                Ok(0)
            }
        }
    }
}
