//! `harness quota`, `subscribe`, `subscriptions`, `unsubscribe` and `event decode`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Done;
use super::input;
use super::output::{Output, cut, table, time};
use crate::host::{CapturedDelivery, Ensuring, Host, HostError, NewSubscription};
use crate::plugin::contract_json;
use crate::quota::Standing;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness quota --connection demo
  harness quota --connection demo --json | jq .limits

Exit codes: 0 fine, 1 near the limit, 2 full, 3 everything else: it cannot be told.")]
pub(super) struct Quota {
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
}

impl Quota {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let quota = host.quota(&self.connection).await?;
        output.result(quota.to_json(), || {
            let mut lines = Vec::new();
            for one in &quota.allowances {
                let standing = Standing::of(one);
                lines.push(match (one.used, standing) {
                    (Some(used), Standing::Fine | Standing::Near | Standing::Full) => format!(
                        "{}: {used} of {} used, {} by us and {} by others: {}",
                        one.name,
                        one.limit,
                        one.ours,
                        used.saturating_sub(one.ours),
                        standing.word()
                    ),
                    _ => format!("{}: cannot check: {}", one.name, one.reason),
                });
            }
            if quota.allowances.is_empty() {
                lines.push("cannot check: the connector names no limit".into());
            }
            if quota.standing > Standing::Fine && quota.advice().next().is_some() {
                lines.push("registrations of others that might go:".into());
                for one in quota.advice() {
                    let seen = time(one.updated_at_ms);
                    lines.push(format!(
                        "  {}  {} ({}), changed {seen}: {}",
                        one.id,
                        cut(&one.name, 60),
                        one.host,
                        if one.hint.is_empty() { "unchanged for the longest time" } else { &one.hint }
                    ));
                }
            }
            lines.join("\n")
        });
        Ok(quota.standing.exit_code())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness subscribe beacon-lit --connection harbour \\
    --public-url https://hooks.example.com
  harness subscribe beacon-lit --connection harbour \\
    --public-url https://hooks.example.com --filter '{\"colours\": [\"red\"]}'

What comes is taken in by `harness serve` and listed by `harness events list`.")]
pub(super) struct Subscribe {
    /// The event card
    event: String,
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// The URL at which the service reaches `harness serve` [default: the one given before]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// What narrows the events: JSON, @FILE or - for stdin
    #[arg(long, value_name = "JSON", default_value = "{}")]
    filter: String,
}

impl Subscribe {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let filter = input::json("--filter", &self.filter)?;
        let new = NewSubscription { connection: &self.connection, card: &self.event, filter, flow: None };
        let subscription = host.keep_subscription(new).await?;
        let connection = host.connection(&self.connection)?;
        if !host.needs_registration(&connection).await? {
            let json = json!({
                "id": subscription.id, "card": subscription.card, "connection": self.connection,
                "filter": contract_json::value_of(&subscription.filter), "changes": [], "registrations": [],
            });
            output.result(&json, || subscription.id.clone());
            output.note("this event is not delivered: `harness serve` asks the service for it from time to time");
            return Ok(0);
        }
        let ensured = match host.ensure(&self.connection, Ensuring::Apply(self.public_url.as_deref())).await {
            Ok(ensured) => ensured,
            Err(error) => {
                // Where nothing was registered, nothing is left; where that is uncertain, the next `ensure` finds out.
                if error.kind() != "uncertain" {
                    host.store().delete_subscription(&subscription.id)?;
                }
                return Err(error);
            }
        };
        let shown = contract_json::ensured(&ensured);
        let json = json!({
            "id": subscription.id,
            "card": subscription.card,
            "connection": self.connection,
            "filter": contract_json::value_of(&subscription.filter),
            "changes": shown["changes"],
            "registrations": shown["registrations"],
            "allowances": shown["allowances"],
        });
        output.result(&json, || subscription.id.clone());
        for change in &ensured.changes {
            let (word, reason) = (contract_json::change_name(change.change), &change.reason);
            output.note(&format!("registration {} {word}: {reason}", change.registration));
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness subscriptions
  harness subscriptions --json | jq '.[] | {id, deliveries}'

Below the table, and in `deliveries` of --json, stands how many deliveries of the connection were refused because
their proof did not hold, with the last reason, and how many alarms there are: a delivery that came twice under one
id with different bodies, one that was acknowledged and could not be read.")]
pub(super) struct Subscriptions {}

pub(super) async fn list_subscriptions(host: &Host, output: &Output) -> Done {
    let mut json = Vec::new();
    for one in host.store().subscriptions(None)? {
        let connection = host.store().connection_by_id(&one.connection)?;
        let deliveries = connection.as_ref().map(|connection| host.delivery_troubles(connection)).transpose()?;
        let connection = connection.map(|connection| connection.name);
        let registrations: Vec<Value> = host
            .store()
            .registrations(&one.connection)?
            .iter()
            .filter(|registration| registration.covers.contains(&one.id))
            .map(contract_json::shown_registration)
            .collect();
        json.push(json!({
            "id": one.id,
            "card": one.card,
            "connection": connection,
            "filter": contract_json::value_of(&one.filter),
            "source": if one.flow.is_some() { "flow" } else { "manual" },
            "flow": one.flow,
            "registrations": registrations,
            "deliveries": deliveries.map(|troubles| troubles.to_json()),
            "created-at-ms": one.created_at_ms,
        }));
    }
    let rows: Vec<Vec<String>> = json
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            let registered: Vec<String> = one["registrations"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|it| {
                    let text = |name: &str| it[name].as_str().unwrap_or_default();
                    format!("{} ({})", text("id"), text("proof"))
                })
                .collect();
            let registered = if registered.is_empty() { "-".into() } else { registered.join(", ") };
            vec![
                text("id"),
                text("card"),
                text("connection"),
                text("flow"),
                registered,
                cut(&one["filter"].to_string(), 40),
            ]
        })
        .collect();
    let troubles = trouble_lines(host)?;
    output.result(&Value::Array(json), || {
        if rows.is_empty() {
            return "no subscriptions".into();
        }
        let table = table(&["ID", "EVENT", "CONNECTION", "FLOW", "REGISTRATION", "FILTER"], &rows);
        [vec![table], troubles].concat().join("\n")
    });
    Ok(0)
}

/// A line for each connection whose deliveries had troubles.
fn trouble_lines(host: &Host) -> Result<Vec<String>, HostError> {
    let mut lines = Vec::new();
    for connection in host.store().connections()? {
        let troubles = host.delivery_troubles(&connection)?;
        if let Some((at, reason)) = &troubles.last_refusal {
            let (name, refused, at) = (&connection.name, troubles.refused, time(Some(*at)));
            lines.push(format!("{name}: {refused} deliveries refused, the last at {at}: {reason}"));
        }
        if let Some(alarm) = troubles.alarms.first() {
            let (name, count, at) = (&connection.name, troubles.alarms.len(), time(Some(alarm.at_ms)));
            lines.push(format!("{name}: {count} alarms, the last at {at}: {}", alarm.message));
        }
    }
    Ok(lines)
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness unsubscribe ID")]
pub(super) struct Unsubscribe {
    /// The subscription, as `harness subscriptions` lists it
    id: String,
}

impl Unsubscribe {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let unknown = || {
            let message = format!("there is no subscription `{}`", self.id);
            HostError::bad_input("subscription-unknown", message, "`harness subscriptions` lists them.")
        };
        let subscription = host.store().subscription(&self.id)?.ok_or_else(unknown)?;
        let connection = host.store().connection_by_id(&subscription.connection)?.ok_or_else(unknown)?;
        host.store().delete_subscription(&self.id)?;
        let ensured = match host.store().endpoint(&connection.id)? {
            Some(_) => Some(host.ensure(&connection.name, Ensuring::Apply(None)).await.inspect_err(|_| {
                output.note("the subscription is ended here; what is registered at the service is seen to by the next `harness serve`");
            })?),
            None => None,
        };
        let changes = ensured.as_ref().map(|ensured| contract_json::ensured(ensured)["changes"].take());
        let json = json!({ "id": self.id, "changes": changes });
        output.result(&json, || format!("subscription {} is ended", self.id));
        for change in ensured.iter().flat_map(|ensured| &ensured.changes) {
            let (word, reason) = (contract_json::change_name(change.change), &change.reason);
            output.note(&format!("registration {} {word}: {reason}", change.registration));
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness event decode --connector connector.wasm --headers headers.json \\
    --body body.json")]
pub(super) struct Events {
    #[command(subcommand)]
    command: EventCommand,
}

#[derive(Debug, Subcommand)]
enum EventCommand {
    /// Read a captured delivery into its events, without verification and without any request
    #[command(after_help = "Examples:
  harness event decode --connector connector.wasm --headers headers.json \\
    --body body.json
  harness event decode --connector connector.wasm --headers headers.txt \\
    --body body.json --json | jq '.[].payload'

Headers are a JSON object, a JSON list of pairs, or lines `Name: value`.")]
    Decode(Decode),
}

#[derive(Debug, Args)]
struct Decode {
    /// The component
    #[arg(long, value_name = "COMPONENT")]
    connector: PathBuf,
    /// The file with the delivery's headers
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// The file with the delivery's body, byte for byte
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
}

impl Events {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let EventCommand::Decode(decode) = self.command;
        let headers = input::headers(&input::file(&decode.headers)?)?;
        let body = input::file(&decode.body)?;
        let events = host.decode_event(&decode.connector, CapturedDelivery { headers, body }).await?;
        output.value(&events);
        if events.as_array().is_some_and(Vec::is_empty) {
            output.note("there is no event of this connector in it");
        }
        Ok(0)
    }
}
