//! Action cards. A card is one type in one file; adding one adds the file and a line in [`CARDS`].

mod add_comment;
mod call_api;
mod create_issue;
mod get_issue;
mod search_issues;
mod update_issue;

pub(crate) mod issue_choices;

#[cfg(not(target_arch = "wasm32"))]
use crate::catalog::shape;
use crate::catalog::{no_options, refuse_lacking, unknown_card};
use crate::connection;
use crate::contract::{Call, Choice, ChoiceQuery, Continuation, Error, Failure, FailureClass, Invoked, Step};
use crate::form::{self, Misfit, Read};
use crate::host::Host;
use crate::jira::client::Client;
use crate::jira::scope::{self, Needs};
use crate::json;
use schemars::JsonSchema;
use serde_json::{Value, json};

/// What a host may conclude about running a card; see `behaviour` in `wit/manifest.schema.json`.
#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the component holds the manifest made of it"))]
pub(crate) struct Behaviour {
    pub(crate) read_only: bool,
    pub(crate) destructive: bool,
    pub(crate) idempotent: bool,
    pub(crate) idempotency_key: &'static str,
}

/// What one call of a card came to.
pub(crate) enum Progress {
    /// The output, as JSON.
    Done(String),
    More(Continuation),
}

impl Progress {
    /// Done, with a card's own output and no other's.
    pub(crate) fn done<A: Action>(output: &A::Output<'_>) -> Self {
        Self::Done(json::Write::write(output))
    }
}

/// A page of choices, and how to ask for the next.
pub(crate) type Page = (Vec<Choice>, Option<String>);

/// An action card: its input, its output, its sample and what it does.
#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the component holds the manifest made of it"))]
pub(crate) trait Action {
    const ID: &'static str;
    const TITLE: &'static str;
    const DESCRIPTION: &'static str;
    const BEHAVIOUR: Behaviour;
    /// The fields that have options, as JSON Pointers.
    const OPTIONS: &'static [&'static str] = &[];
    /// The fields that decide the schema, as JSON Pointers.
    const DYNAMIC: &'static [&'static str] = &[];
    /// Where in the output the lasting id stands of what the card made, as a JSON Pointer.
    const OBJECT: Option<&'static str> = None;
    /// The scopes it needs of a credential that has some.
    const SCOPES: Needs;
    type Input: Read + JsonSchema;
    type Output<'t>: json::Write + JsonSchema;

    /// An input and the output it may give.
    fn sample() -> (Value, Value);

    /// Runs the card, or goes on with it.
    fn run(client: &mut Client<'_>, input: Self::Input, state: Option<String>) -> Result<Progress, Error>;

    /// What a field may hold.
    fn options(_: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
        Err(no_options(query))
    }

    /// The input's schema once some inputs are known; `schema` is the static one.
    fn narrow(_: &mut Client<'_>, _: &Value, schema: Value) -> Result<Value, Error> {
        Ok(schema)
    }
}

/// The input's schema once some inputs are known.
type Narrow = fn(&mut Client<'_>, &Value, Value) -> Result<Value, Error>;
type Run = fn(&mut Client<'_>, Value, Option<String>) -> Result<Progress, Error>;

/// A card as the catalog lists it.
pub(crate) struct Card {
    pub(crate) id: &'static str,
    pub(crate) scopes: Needs,
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) entry: fn() -> Value,
    #[cfg(test)]
    pub(crate) read: fn(Value) -> Result<(), Misfit>,
    pub(crate) options: fn(&mut Client<'_>, &ChoiceQuery) -> Result<Page, Error>,
    pub(crate) narrow: Narrow,
    run: Run,
}

/// Every action card.
pub(crate) const CARDS: &[Card] = &[
    card::<create_issue::CreateIssue>(),
    card::<update_issue::UpdateIssue>(),
    card::<get_issue::GetIssue>(),
    card::<search_issues::SearchIssues>(),
    card::<add_comment::AddComment>(),
    card::<call_api::CallApi>(),
];

pub(crate) fn find(id: &str) -> Option<&'static Card> {
    CARDS.iter().find(|card| card.id == id)
}

/// Runs a card on an input, or goes on with it where a state is given.
pub fn invoke(
    host: &mut dyn Host,
    call: &Call,
    card: &str,
    input: Value,
    state: Option<String>,
) -> Result<Invoked, Error> {
    let card = find(card).ok_or_else(|| unknown_card(card))?;
    refuse_lacking(&call.connection.settings, card.id)?;
    let mut client = Client::open(host, call)?;
    let ran = (card.run)(&mut client, input, state).map_err(|error| with_scopes(error, call, card.scopes));
    let step = match ran? {
        Progress::Done(output) => Step::Done(output),
        Progress::More(more) => Step::More(more),
    };
    Ok(Invoked { step, aside: client.into_aside() })
}

/// Names the scopes that are missing, where Jira only says that some are.
pub(crate) fn with_scopes(mut error: Error, call: &Call, needs: Needs) -> Error {
    if let Error::Permanent(failure) | Error::PermanentUncertain(failure) = &mut error
        && failure.class == FailureClass::Scope
        && let Some(missing) = scope::missing(needs, call.granted_scopes.as_deref().unwrap_or_default())
    {
        failure.message = format!("The credential was accepted but lacks what this needs: {missing}.");
        failure.remedy = connection::widened(&call.connection.settings).to_owned();
    }
    error
}

const fn card<A: Action>() -> Card {
    Card {
        id: A::ID,
        scopes: A::SCOPES,
        #[cfg(not(target_arch = "wasm32"))]
        entry: entry::<A>,
        #[cfg(test)]
        read: |input| form::read::<A::Input>(input).map(|_| ()),
        options: A::options,
        narrow: A::narrow,
        run: run::<A>,
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn entry<A: Action>() -> Value {
    let head = (A::ID, A::TITLE, A::DESCRIPTION);
    let schemas = (shape::of::<A::Input>(), shape::output::<A::Output<'_>>());
    entry_of(head, schemas, A::sample(), (A::OPTIONS, A::DYNAMIC), A::BEHAVIOUR, (A::OBJECT, A::SCOPES))
}

#[cfg(not(target_arch = "wasm32"))]
fn entry_of(
    (id, title, description): (&str, &str, &str),
    (input, output): (Value, Value),
    (sample_input, sample_output): (Value, Value),
    (options, dynamic): (&[&str], &[&str]),
    behaviour: Behaviour,
    (object, scopes): (Option<&str>, Needs),
) -> Value {
    let mut entry = json!({
        "id": id,
        "kind": "action",
        "title": title,
        "description": description,
        "input": input,
        "output": output,
        "options": options,
        "dynamic": dynamic,
        "sample": { "input": sample_input, "output": sample_output },
        "behaviour": {
            "read-only": behaviour.read_only,
            "destructive": behaviour.destructive,
            "idempotent": behaviour.idempotent,
            "idempotency-key": behaviour.idempotency_key
        }
    });
    if let Some(object) = object {
        entry["object"] = json!(object);
    }
    if !scopes.is_empty() {
        entry["scopes"] = json!(scopes);
    }
    entry
}

fn run<A: Action>(client: &mut Client<'_>, input: Value, state: Option<String>) -> Result<Progress, Error> {
    A::run(client, form::read(input).map_err(input_invalid)?, state)
}

/// An input that does not fit the card's schema.
fn input_invalid(misfit: Misfit) -> Error {
    let message = format!("The input does not fit the card: {}.", misfit.why);
    let remedy = "Give an input that obeys the card's input schema.";
    match misfit.member {
        Some(member) => {
            let pointer = crate::field::pointer("", &member);
            Failure::input("input-invalid", &pointer, &member, message, remedy).permanent()
        }
        None => Failure::new(FailureClass::Input, "input-invalid", message, remedy).permanent(),
    }
}

/// The issue property that carries the idempotency key of the call that made something: set in the same request.
pub(crate) const OPERATION_PROPERTY: &str = "workflow-connector.op";

/// The `properties` that record a call's idempotency key; none without a key.
pub(crate) fn operation(call: &Call) -> Option<Value> {
    call.idempotency_key.as_ref().map(|key| json!([{ "key": OPERATION_PROPERTY, "value": { "id": key } }]))
}

#[cfg(test)]
mod tests;
