//! `harness dead-letters`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Done;
use super::output::{Output, cut, failure_text, table, time};
use super::runs::{RetryRun, run_json};
use crate::host::{Doubt, Host, HostError};
use crate::store::{DeadLettersOf, FailedDelivery};

/// How many are listed where nothing is said.
const USUAL: u32 = 50;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  harness dead-letters
  harness dead-letters show ID
  harness dead-letters retry ID
  harness dead-letters dismiss ID

A dead letter is a run that failed or is uncertain, or a delivery that was acknowledged and could not be read. It waits
for a person: `retry` it once the cause is mended, or `dismiss` it.")]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Args)]
struct Listing {
    /// How many of each, oldest first
    #[arg(long, value_name = "N", default_value_t = USUAL)]
    limit: u32,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them, with the reason
    #[command(after_help = "Examples:
  harness dead-letters list
  harness dead-letters list --json \\
    | jq '.[] | {id, kind, code: .failure.code}'")]
    List(Listing),
    /// Show one: what failed, what to do, and who can
    #[command(after_help = "Examples:
  harness dead-letters show ID
  harness dead-letters show ID --json")]
    Show(Id),
    /// Have one done again: a run from the step that failed, a delivery from its first reading
    #[command(after_help = "Examples:
  harness dead-letters retry ID

An uncertain run needs a word on what happened: `harness runs retry ID --repeat` or `--as-done OUTPUT`.")]
    Retry(Id),
    /// Give some up: nothing more is done about them, and they are deleted for their age like what ended well
    #[command(after_help = "Examples:
  harness dead-letters dismiss ID
  harness dead-letters dismiss ID OTHER-ID
  harness dead-letters dismiss --all --connection demo
  harness dead-letters dismiss --all --json | jq '.runs | length'

It asks nothing and deletes nothing at once: until then `runs retry ID` and `dead-letters retry ID` still take one up.
Where an ID is none of a dead letter, nothing is dismissed.")]
    Dismiss(Dismiss),
}

#[derive(Debug, Args)]
struct Dismiss {
    /// Runs and deliveries
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All there are
    #[arg(long)]
    all: bool,
    /// With --all: only those of this connection
    #[arg(long, value_name = "NAME", requires = "all")]
    connection: Option<String>,
}

#[derive(Debug, Args)]
struct Id {
    /// The run or the delivery
    id: String,
}

impl DeadLetters {
    pub(super) fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            None => list(host, output, self.listing.limit),
            Some(Command::List(listing)) => list(host, output, listing.limit),
            Some(Command::Show(Id { id })) => show(host, output, &id),
            Some(Command::Retry(Id { id })) => retry(host, output, id),
            Some(Command::Dismiss(dismiss)) => dismiss.run(host, output),
        }
    }
}

fn list(host: &Host, output: &Output, limit: u32) -> Done {
    let mut json: Vec<Value> = Vec::new();
    let of_all: u64 = host.store().dead_letters()?.iter().map(|(_, _, count)| count).sum();
    for run in host.store().dead_runs(limit)? {
        let mut one = run_json(&run);
        one["kind"] = "run".into();
        json.push(one);
    }
    for delivery in host.store().failed_deliveries(limit)? {
        json.push(delivery_json(host, &delivery)?);
    }
    let since = |one: &Value| one["started-at-ms"].as_u64().or(one["received-at-ms"].as_u64());
    json.sort_by_key(since);
    let row = |one: &Value| {
        let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
        let of = if one["kind"] == "run" { text("flow") } else { text("connection") };
        let why = one["failure"]["message"].as_str().unwrap_or("-");
        vec![text("id"), text("kind"), of, text("state"), time(since(one)), cut(why, 80)]
    };
    let rows: Vec<Vec<String>> = json.iter().map(row).collect();
    output.result(&Value::Array(json), || {
        if rows.is_empty() {
            return "no dead letters".into();
        }
        table(&["ID", "KIND", "OF", "STATE", "SINCE", "REASON"], &rows)
    });
    if of_all > rows.len() as u64 {
        output.note(&format!("these are {} of {of_all}; --limit N shows more", rows.len()));
    }
    Ok(0)
}

fn delivery_json(host: &Host, delivery: &FailedDelivery) -> Result<Value, HostError> {
    let connection = host.store().connection_by_id(&delivery.connection)?.map(|connection| connection.name);
    Ok(json!({
        "id": delivery.id,
        "kind": "delivery",
        "state": if delivery.dismissed { "dismissed" } else { "failed" },
        "connection": connection,
        "registration": delivery.registration,
        "service-id": delivery.service_id,
        "received-at-ms": delivery.received_at_ms,
        "attempts": delivery.attempts,
        "failure": delivery.failure,
    }))
}

fn show(host: &Host, output: &Output, id: &str) -> Done {
    let mut json = match host.store().run(id)? {
        Some(run) => {
            let mut json = run_json(&run);
            json["kind"] = "run".into();
            json
        }
        None => {
            let delivery = host.store().failed_delivery(id)?.ok_or_else(|| unknown(&[id.to_owned()]))?;
            delivery_json(host, &delivery)?
        }
    };
    let is_run = json["kind"] == "run";
    json["next"] =
        if is_run { format!("harness runs show {id}") } else { format!("harness dead-letters retry {id}") }.into();
    output.result(&json, || {
        let (kind, state) = (json["kind"].as_str().unwrap_or_default(), json["state"].as_str().unwrap_or_default());
        format!(
            "{kind} {id}: {state}\n{}\n  more: {}",
            failure_text(&json["failure"]),
            json["next"].as_str().unwrap_or_default()
        )
    });
    Ok(0)
}

fn retry(host: &Host, output: &Output, id: String) -> Done {
    if host.store().run(&id)?.is_some() {
        return RetryRun::of(id).run(host, output, Doubt::Open);
    }
    if !host.store().retry_delivery(&id, host.clock().now_ms())? {
        return Err(unknown(&[id]));
    }
    output.result(&json!({ "id": id, "kind": "delivery", "state": "pending" }), || {
        format!("delivery {id} is read again")
    });
    Ok(0)
}

impl Dismiss {
    fn run(self, host: &Host, output: &Output) -> Done {
        let which = match &self.connection {
            _ if !self.all => DeadLettersOf::Ids(&self.ids),
            Some(name) => DeadLettersOf::Connection(name),
            None => DeadLettersOf::Everything,
        };
        let dismissed = host.store().dismiss(which, host.clock().now_ms())?;
        if !dismissed.unknown.is_empty() {
            return Err(unknown(&dismissed.unknown));
        }
        let (runs, deliveries) = (&dismissed.runs, &dismissed.deliveries);
        if let (Some(name), true) = (&self.connection, runs.is_empty() && deliveries.is_empty()) {
            // A name that was mistyped is no success.
            host.connection(name)?;
        }
        output.result(&json!({ "runs": runs, "deliveries": deliveries }), || {
            let line = |kind: &str, id: &String| format!("{kind} {id} is dismissed");
            let runs = runs.iter().map(|id| line("run", id));
            let lines: Vec<_> = runs.chain(deliveries.iter().map(|id| line("delivery", id))).collect();
            if lines.is_empty() { "no dead letters".into() } else { lines.join("\n") }
        });
        Ok(0)
    }
}

fn unknown(ids: &[String]) -> HostError {
    let message = match ids {
        [id] => format!("there is no dead letter `{id}`"),
        ids => format!("there are no dead letters `{}`", ids.join("`, `")),
    };
    HostError::bad_input("dead-letter-unknown", message, "`harness dead-letters` lists them.")
}
