//! Cards: listing them, filling them in, running them.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{Host, HostError, Session, input};
use crate::clock::bounded_ms;
use crate::plugin::contract::{action, catalog};
use crate::plugin::contract_json::value_of;
use crate::plugin::{Card, CardKind, Plugin, read_json};

/// How many calls one run of a card may take.
const MOST_CALLS: u32 = 10_000;

/// Where cards are looked up.
#[derive(Debug, Clone)]
pub enum CardSource {
    /// A connection, by name.
    Connection(String),
    /// A component.
    Component(PathBuf),
}

/// What a card came to.
#[derive(Debug)]
pub struct Ran {
    /// Its output: JSON that obeys the card's schema, as the connector wrote it.
    pub output: String,
}

impl Ran {
    /// The output, taken apart.
    pub fn value(&self) -> Value {
        // What is not JSON was no output.
        read_json(&self.output).unwrap_or_default()
    }
}

impl Host {
    /// The connector of a source, with what the connection's deployment lacks: pairs of card and reason.
    pub async fn catalog(&self, source: &CardSource) -> Result<(Plugin, Vec<(String, String)>), HostError> {
        match source {
            CardSource::Component(path) => Ok((self.load(path).await?, vec![])),
            CardSource::Connection(name) => {
                let connection = self.connection(name)?;
                let plugin = self.plugin_of(&connection).await?;
                let described = plugin.describe(Some(&super::session::contract_connection(&connection, None))).await?;
                let lacking = described.lacking.into_iter().map(|lack| (lack.card, lack.reason)).collect();
                Ok((plugin, lacking))
            }
        }
    }

    /// The values that a field of a card may hold.
    pub async fn options(
        &self,
        connection: &str,
        card: &str,
        field: &str,
        filled: &Value,
        text: &str,
        page: Option<String>,
    ) -> Result<catalog::Choices, HostError> {
        let session = self.session_of(connection).await?;
        let known = card_of(&session.plugin, card)?;
        let field = if field.starts_with('/') { field.to_owned() } else { format!("/{field}") };
        if !known.options.contains(&field) {
            return Err(HostError::bad_input(
                "field-without-options",
                format!("the field `{field}` of `{card}` has no list to choose from"),
                match known.options.as_slice() {
                    [] => "This card has none.".to_owned(),
                    fields => format!("These have: {}.", fields.join(", ")),
                },
            ));
        }
        let query =
            catalog::ChoiceQuery { card: card.into(), field, input: filled.to_string(), text: text.into(), page };
        let call = self.call(&session, None)?;
        let choices = session.plugin.options(&session.access, &call, &query).await;
        self.settle(&session, choices, |choices| &choices.aside)
    }

    /// The schema of a card once some of its input is known: its input and output, as JSON Schemas.
    pub async fn schema(&self, connection: &str, card: &str, filled: &Value) -> Result<(Value, Value), HostError> {
        let session = self.session_of(connection).await?;
        card_of(&session.plugin, card)?;
        let call = self.call(&session, None)?;
        let schema = session.plugin.schema(&session.access, &call, card, &filled.to_string()).await;
        let schema = self.settle(&session, schema, |schema| &schema.aside)?;
        Ok((value_of(&schema.input), value_of(&schema.output)))
    }

    /// Runs an action card to its end. `key` is the same for every attempt at the same piece of work.
    pub async fn run_card(
        &self,
        connection: &str,
        card: &str,
        input: &Value,
        key: String,
        mut progress: impl FnMut(&action::Progress),
    ) -> Result<Ran, HostError> {
        let session = self.session_of(connection).await?;
        check_action(&session.plugin, card, input)?;
        self.doing(format!("running `{card}`"));
        let text = input.to_string();
        let mut state = None;
        for _ in 0..MOST_CALLS {
            match self.act(&session, card, &text, state.as_deref(), key.clone()).await? {
                action::Step::Done(output) => return Ok(Ran { output }),
                action::Step::More(next) => {
                    progress(&next.progress);
                    self.doing(next.progress.message.clone());
                    self.clock.sleep(Duration::from_millis(bounded_ms(next.after_ms))).await;
                    state = Some(next.state);
                    // A sleep of no time at all gives nobody else a turn, and no chance to stop.
                    tokio::task::yield_now().await;
                }
            }
        }
        Err(endless(card))
    }

    /// One call of an action card, whose input was checked.
    pub(crate) async fn invoke(
        &self,
        session: &Session,
        card: &str,
        input: &Value,
        state: Option<&str>,
        key: String,
    ) -> Result<action::Step, HostError> {
        self.act(session, card, &input.to_string(), state, key).await
    }

    async fn act(
        &self,
        session: &Session,
        card: &str,
        input: &str,
        state: Option<&str>,
        key: String,
    ) -> Result<action::Step, HostError> {
        let call = self.call(session, Some(key))?;
        let invoked = session.plugin.invoke(&session.access, &call, card, input, state).await;
        Ok(self.settle(session, invoked, |invoked| &invoked.aside)?.step)
    }
}

fn endless(card: &str) -> HostError {
    HostError::other(
        "card-endless",
        format!("`{card}` was not done after {MOST_CALLS} calls, and was given up"),
        "Look at the service what it has done so far, and tell the connector's maintainer.",
    )
}

/// The card of an id; the error names those there are.
pub(crate) fn card_of<'a>(plugin: &'a Plugin, id: &str) -> Result<&'a Card, HostError> {
    plugin.manifest().card(id).ok_or_else(|| {
        let known: Vec<_> = plugin.manifest().cards.iter().map(|card| card.id.as_str()).collect();
        HostError::bad_input(
            "card-unknown",
            format!("{} has no card `{id}`", plugin.manifest().connector.name),
            format!("It has: {}.", known.join(", ")),
        )
    })
}

/// The card of an id, which must be of this kind.
pub(crate) fn card_of_kind<'a>(plugin: &'a Plugin, id: &str, kind: CardKind) -> Result<&'a Card, HostError> {
    let card = card_of(plugin, id)?;
    if card.kind == kind {
        return Ok(card);
    }
    let (is, remedy) = match card.kind {
        CardKind::Action => ("an action card", "Run it with `harness run`, or as a step of a flow."),
        CardKind::Event => ("an event card", "Subscribe to it with `harness subscribe`, or start a flow with it."),
    };
    Err(HostError::bad_input("card-kind", format!("`{id}` is {is}"), remedy))
}

/// Checks an input before anything is sent.
pub(crate) fn check_action(plugin: &Plugin, card: &str, input: &Value) -> Result<(), HostError> {
    let card = card_of_kind(plugin, card, CardKind::Action)?;
    // Most inputs are good, and words are only made where one is not.
    if plugin.manifest().takes(&card.id, input) {
        return Ok(());
    }
    let Some(schema) = &card.input else { return Ok(()) };
    let remedy = format!("`harness card show {}` shows the input it takes.", card.id);
    input::check(schema, input, &format!("the input of `{}`", card.id), &remedy, &[])
}
