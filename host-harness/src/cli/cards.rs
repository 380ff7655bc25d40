//! `harness card`, `options`, `schema` and `run`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Done;
use super::output::{Output, cut, table};
use super::{card_reference, input};
use crate::clock::new_id;
use crate::host::{CardSource, Host, HostError};
use crate::plugin::{CardKind, contract_json};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness card list --connection demo
  harness card show add-comment --connection demo
  harness card reference --connector connector.wasm > cards.md")]
pub(super) struct Cards {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List cards; of all connections where none is named
    #[command(after_help = "Examples:
  harness card list --connection demo
  harness card list --connector connector.wasm --json | jq '.[].id'")]
    List(From),
    /// Show a card: its fields, an example, what running it does; with --json its schemas
    #[command(after_help = "Examples:
  harness card show add-comment --connection demo
  harness card show add-comment --connector connector.wasm --json | jq .input")]
    Show(Show),
    /// Print a page of Markdown about all cards of a component
    #[command(after_help = "Examples:
  harness card reference --connector connector.wasm > cards.md
  harness card reference --connection demo > cards.md")]
    Reference(One),
}

#[derive(Debug, Args)]
struct From {
    /// The connection whose cards they are
    #[arg(long, value_name = "NAME", conflicts_with = "connector")]
    connection: Option<String>,
    /// The component whose cards they are
    #[arg(long, value_name = "COMPONENT")]
    connector: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Show {
    /// The card
    card: String,
    #[command(flatten)]
    from: From,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct One {
    /// The connection whose cards they are
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// The component whose cards they are
    #[arg(long, value_name = "COMPONENT")]
    connector: Option<PathBuf>,
}

impl Cards {
    /// Whether it looks at a component file, not at a connection.
    pub(super) fn is_of_component(&self) -> bool {
        match &self.command {
            Command::List(from) => from.connector.is_some(),
            Command::Show(show) => show.from.connector.is_some(),
            Command::Reference(one) => one.connector.is_some(),
        }
    }
}

impl From {
    fn sources(self, host: &Host) -> Result<Vec<CardSource>, HostError> {
        match (self.connection, self.connector) {
            (Some(name), _) => Ok(vec![CardSource::Connection(name)]),
            (None, Some(path)) => Ok(vec![CardSource::Component(path)]),
            (None, None) => {
                // Connections of one component have the same cards: each component once.
                let mut components: Vec<String> =
                    host.store().connections()?.into_iter().map(|one| one.component).collect();
                components.sort();
                components.dedup();
                if components.is_empty() {
                    return Err(HostError::bad_input(
                        "no-connections",
                        "there is no connection yet, so there are no cards",
                        "Name a component with --connector, or make a connection.",
                    ));
                }
                Ok(components.into_iter().map(|path| CardSource::Component(path.into())).collect())
            }
        }
    }
}

impl Cards {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        match self.command {
            Command::List(from) => list(host, output, from.sources(host)?).await,
            Command::Show(Show { card, from }) => {
                let connection = from.connection.clone().unwrap_or_else(|| "demo".to_owned());
                show(host, output, &card, &connection, from.sources(host)?).await
            }
            Command::Reference(one) => match (one.connection, one.connector) {
                (Some(name), _) => reference(host, output, CardSource::Connection(name)).await,
                (None, path) => reference(host, output, CardSource::Component(path.unwrap_or_default())).await,
            },
        }
    }
}

async fn list(host: &Host, output: &Output, sources: Vec<CardSource>) -> Done {
    let (mut json, mut rows) = (Vec::new(), Vec::new());
    for source in sources {
        let (plugin, lacking) = host.catalog(&source).await?;
        for card in &plugin.manifest().cards {
            let reason = lacking.iter().find(|(id, _)| *id == card.id).map(|(_, reason)| reason.clone());
            let kind = if card.kind == CardKind::Action { "action" } else { "event" };
            let available = if reason.is_some() { "not here" } else { "" };
            rows.push(vec![card.id.clone(), kind.into(), cut(&card.title, 60), available.into()]);
            json.push(json!({
                "id": card.id, "kind": kind, "title": card.title, "description": card.description,
                "connector": plugin.manifest().connector.id, "lacking": reason,
            }));
        }
    }
    output.result(&Value::Array(json), || table(&["CARD", "KIND", "TITLE", ""], &rows));
    Ok(0)
}

async fn show(host: &Host, output: &Output, id: &str, connection: &str, sources: Vec<CardSource>) -> Done {
    let mut known = Vec::new();
    for source in sources {
        let (plugin, lacking) = host.catalog(&source).await?;
        let raw =
            plugin.manifest().raw()["cards"].as_array().into_iter().flatten().find(|card| card["id"] == id).cloned();
        let Some(mut card) = raw else {
            known.extend(plugin.manifest().cards.iter().map(|card| card.id.clone()));
            continue;
        };
        let reason = lacking.into_iter().find(|(lacking, _)| lacking == id).map(|(_, reason)| reason);
        card["lacking"] = reason.into();
        output.result(&card, || card_reference::in_terminal(&card, connection));
        return Ok(0);
    }
    let remedy = format!("There are: {}.", known.join(", "));
    Err(HostError::bad_input("card-unknown", format!("there is no card `{id}`"), remedy))
}

/// Prints the page of the cards of a component.
async fn reference(host: &Host, output: &Output, source: CardSource) -> Done {
    let (plugin, _) = host.catalog(&source).await?;
    let page = card_reference::page(plugin.manifest().raw());
    output.result(&json!({ "markdown": page }), || page.clone());
    Ok(0)
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness options light-beacon colour --connection harbour
  harness options light-beacon colour --connection harbour \\
    --input '{\"name\": \"North pier\"}' --query red

`harness card show` says which fields of a card have values to choose from.")]
pub(super) struct Options {
    /// The card
    card: String,
    /// The field, by name or as a JSON Pointer
    field: String,
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// What is filled in already: JSON, @FILE or - for stdin
    #[arg(long, value_name = "JSON", default_value = "{}")]
    input: String,
    /// Narrow the list
    #[arg(long, value_name = "TEXT", default_value = "")]
    query: String,
    /// Go on where a page ended (its `next`)
    #[arg(long, value_name = "NEXT")]
    page: Option<String>,
}

impl Options {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let filled = object("--input", &self.input)?;
        let choices = host.options(&self.connection, &self.card, &self.field, &filled, &self.query, self.page).await?;
        let json = contract_json::choices(&choices);
        output.result(&json, || {
            let rows: Vec<Vec<String>> = choices
                .items
                .iter()
                .map(|one| vec![one.value.clone(), one.label.clone(), one.detail.clone()])
                .collect();
            table(&["VALUE", "LABEL", ""], &rows)
        });
        if let (Some(next), false) = (&choices.next, output.is_json()) {
            output.note(&format!("there is more: --page '{next}'"));
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness schema light-beacon --connection harbour \\
    --input '{\"name\": \"North pier\"}'
  harness schema light-beacon --connection harbour --input @input.json \\
    --json | jq .input.properties")]
pub(super) struct Schema {
    /// The card
    card: String,
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// What is filled in already: JSON, @FILE or - for stdin
    #[arg(long, value_name = "JSON", default_value = "{}")]
    input: String,
}

impl Schema {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let filled = object("--input", &self.input)?;
        let (input, out) = host.schema(&self.connection, &self.card, &filled).await?;
        output.value(&json!({ "input": input, "output": out }));
        Ok(0)
    }
}

fn object(flag: &str, given: &str) -> Result<Value, HostError> {
    let value = input::json(flag, given)?;
    if value.is_object() {
        return Ok(value);
    }
    Err(HostError::bad_input(
        "json",
        format!("{flag} must be a JSON object"),
        format!("Write {flag} '{{\"key\": \"value\"}}'."),
    ))
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  harness run call-api --connection demo --input '{\"path\": \"myself\"}'
  harness run add-comment --connection demo --input @comment.json
  jq .comment event.json | harness run add-comment --connection demo --input -

Exit codes: 0 done, 2 bad input (nothing was sent), 3 permanent failure, 4 come back later, 5 uncertain.")]
pub(super) struct Run {
    /// The action card
    card: String,
    /// The connection
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// The card's input: JSON, @FILE or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: String,
    /// The same for every attempt at the same piece of work [default: a new one]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Run {
    pub(super) async fn run(self, host: &Host, output: &Output) -> Done {
        let input = input::json("--input", &self.input)?;
        let key = self.idempotency_key.unwrap_or_else(|| new_id(&**host.clock()));
        let told = key.clone();
        let progress = |progress: &crate::plugin::contract::action::Progress| {
            let of = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
            output.note(&format!("{}{of}: {}", progress.done, progress.message));
        };
        match host.run_card(&self.connection, &self.card, &input, key, progress).await {
            Ok(ran) => {
                output.value(&ran.value());
                Ok(0)
            }
            Err(error) => {
                if error.kind() == "uncertain" {
                    output.note(&format!("idempotency key of this attempt: {told}"));
                }
                Err(error)
            }
        }
    }
}
