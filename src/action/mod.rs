//! Action cards. A card is one type in one file; adding one adds the file and a line in [`CARDS`].

mod add_comment;
mod call_api;
mod create_issue;
mod get_issue;
mod search_issues;
mod update_issue;

pub(crate) mod issue_choices;

use crate::catalog::{no_options, shape, unknown_card};
use crate::contract::{Call, Choice, ChoiceQuery, Continuation, Error, Failure, FailureClass, Invoked, Step};
use crate::host::Host;
use crate::jira::client::Client;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// What a host may conclude about running a card; see `behaviour` in `wit/manifest.schema.json`.
pub(crate) struct Behaviour {
    pub(crate) read_only: bool,
    pub(crate) destructive: bool,
    pub(crate) idempotent: bool,
    pub(crate) idempotency_key: &'static str,
}

/// What one call of a card came to.
pub(crate) enum Progress<T> {
    Done(T),
    More(Continuation),
}

/// A page of choices, and how to ask for the next.
pub(crate) type Page = (Vec<Choice>, Option<String>);

/// An action card: its input, its output, its sample and what it does.
pub(crate) trait Action {
    const ID: &'static str;
    const TITLE: &'static str;
    const DESCRIPTION: &'static str;
    const BEHAVIOUR: Behaviour;
    /// The fields that have options, as JSON Pointers.
    const OPTIONS: &'static [&'static str] = &[];
    /// The fields that decide the schema, as JSON Pointers.
    const DYNAMIC: &'static [&'static str] = &[];
    type Input: DeserializeOwned + JsonSchema;
    type Output: Serialize + JsonSchema;

    /// An input and the output it may give.
    fn sample() -> (Value, Value);

    /// Runs the card, or goes on with it.
    fn run(client: &mut Client<'_>, input: Self::Input, state: Option<Value>) -> Result<Progress<Self::Output>, Error>;

    /// What a field may hold.
    fn options(_: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
        Err(no_options(query))
    }

    /// The input's schema once some inputs are known; `schema` is the static one.
    fn narrow(_: &mut Client<'_>, _: &Value, schema: Value) -> Result<Value, Error> {
        Ok(schema)
    }
}

/// Input and output schema once some inputs are known.
type Narrow = fn(&mut Client<'_>, &Value) -> Result<(Value, Value), Error>;
type Run = fn(&mut Client<'_>, Value, Option<Value>) -> Result<Step, Error>;

/// A card as the catalog lists it.
pub(crate) struct Card {
    pub(crate) id: &'static str,
    pub(crate) entry: fn() -> Value,
    pub(crate) options: fn(&mut Client<'_>, &ChoiceQuery) -> Result<Page, Error>,
    pub(crate) schema: Narrow,
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
    state: Option<Value>,
) -> Result<Invoked, Error> {
    let card = find(card).ok_or_else(|| unknown_card(card))?;
    let mut client = Client::open(host, call)?;
    let step = (card.run)(&mut client, input, state)?;
    Ok(Invoked { step, aside: client.into_aside() })
}

const fn card<A: Action>() -> Card {
    Card { id: A::ID, entry: entry::<A>, options: A::options, schema: schema::<A>, run: run::<A> }
}

fn entry<A: Action>() -> Value {
    let head = (A::ID, A::TITLE, A::DESCRIPTION);
    let schemas = (shape::of::<A::Input>(), shape::output::<A::Output>());
    entry_of(head, schemas, A::sample(), (A::OPTIONS, A::DYNAMIC), A::BEHAVIOUR)
}

/// Not generic, so that the component holds it once and not once per card.
fn entry_of(
    (id, title, description): (&str, &str, &str),
    (input, output): (Value, Value),
    (sample_input, sample_output): (Value, Value),
    (options, dynamic): (&[&str], &[&str]),
    behaviour: Behaviour,
) -> Value {
    json!({
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
    })
}

fn schema<A: Action>(client: &mut Client<'_>, input: &Value) -> Result<(Value, Value), Error> {
    Ok((A::narrow(client, input, shape::of::<A::Input>())?, shape::output::<A::Output>()))
}

fn run<A: Action>(client: &mut Client<'_>, input: Value, state: Option<Value>) -> Result<Step, Error> {
    let input: A::Input = serde_json::from_value(input).map_err(|fault| input_invalid(&fault.to_string()))?;
    match A::run(client, input, state)? {
        Progress::More(more) => Ok(Step::More(more)),
        Progress::Done(output) => serde_json::to_value(output).map(Step::Done).map_err(|fault| {
            let message = format!("The card's output could not be written: {fault}.");
            Failure::new(
                FailureClass::Protocol,
                "output-invalid",
                message,
                "Report this to the connector's maintainer.",
            )
            .uncertain()
        }),
    }
}

/// An input that does not fit the card's schema. Serde names the member in back quotes.
fn input_invalid(fault: &str) -> Error {
    let member = fault.split('`').nth(1).filter(|_| fault.contains("field `"));
    let message = format!("The input does not fit the card: {fault}.");
    let remedy = "Give an input that obeys the card's input schema.";
    match member {
        Some(member) => Failure::input("input-invalid", &format!("/{member}"), member, message, remedy).permanent(),
        None => Failure::new(FailureClass::Input, "input-invalid", message, remedy).permanent(),
    }
}

/// The issue property that carries the idempotency key of the call that made something: set in the same request.
pub(crate) const OPERATION_PROPERTY: &str = "workflow-connector.op";

/// The `properties` that record a call's idempotency key; none without a key.
pub(crate) fn operation(call: &Call) -> Option<Value> {
    call.idempotency_key.as_ref().map(|key| json!([{ "key": OPERATION_PROPERTY, "value": { "id": key } }]))
}

/// Members of an object, or none.
pub(crate) fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
