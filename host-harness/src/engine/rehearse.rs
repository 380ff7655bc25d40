//! Goes through a flow with a sample event: what would be put in where. Nothing is sent to a service.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::check::{Cards, FlowProblem, of_fields};
use super::expression::Scope;
use super::flow::CompiledFlow;
use crate::host::{Host, HostError, card_of_kind, check_action};
use crate::plugin::CardKind;

/// What a flow would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rehearsed {
    /// The flow's name.
    pub flow: String,
    /// The event it was gone through with.
    pub event: Value,
    /// Whether it would run: what `on.when` came to, true where there is none.
    pub runs: bool,
    /// What its runs are put in order by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_key: Option<String>,
    /// The steps, up to the first that could not be filled in.
    pub steps: Vec<RehearsedStep>,
    /// What is wrong.
    pub problems: Vec<FlowProblem>,
}

/// What a step would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RehearsedStep {
    /// Its id.
    pub id: String,
    /// The action card.
    pub action: String,
    /// The connection, by name.
    pub connection: String,
    /// Whether it would run: what `when` came to, true where there is none.
    pub runs: bool,
    /// What would be put in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The card's sample, which stands in for what would come out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// Goes through a flow. Without an event, with the event card's sample.
pub async fn rehearse(
    host: &Arc<Host>,
    cards: &Cards,
    flow: &CompiledFlow,
    event: Option<Value>,
) -> Result<Rehearsed, HostError> {
    let trigger = &flow.flow.on;
    let plugin = cards.of(host, &trigger.connection).await?;
    let card = card_of_kind(&plugin, &trigger.event, CardKind::Event)?;
    let event = event.unwrap_or_else(|| card.sample["output"].clone());
    let mut rehearsed =
        Rehearsed { flow: flow.flow.name.clone(), runs: true, order_key: None, steps: vec![], problems: vec![], event };
    if let Err(reason) = plugin.manifest().check_output(&card.id, &rehearsed.event) {
        rehearsed.wrong("event", format!("it is no payload of `{}`: {reason}", card.id));
    }
    let mut scope = Scope::default();
    scope.set("event", &rehearsed.event);
    scope.set("run", &json!({ "id": "rehearsal" }));
    match flow.when.as_ref().map_or(Ok(true), |when| when.holds(&scope)) {
        Ok(runs) => rehearsed.runs = runs,
        Err(error) => rehearsed.wrong("on.when", error.to_string()),
    }
    match flow.order_of(&rehearsed.event) {
        Ok(order) => rehearsed.order_key = order.map(|(key, _)| key),
        Err(error) => rehearsed.wrong("on.order.key", error.to_string()),
    }
    let mut outputs = Map::new();
    for (definition, parsed) in flow.flow.steps.iter().zip(&flow.steps) {
        scope.set("steps", &Value::Object(outputs.clone()));
        let place = |what: &str| format!("steps.{}.{what}", definition.id);
        let mut step = RehearsedStep {
            id: definition.id.clone(),
            action: definition.action.clone(),
            connection: definition.connection.clone(),
            runs: true,
            input: None,
            output: None,
        };
        let plugin = cards.of(host, &definition.connection).await?;
        let card = card_of_kind(&plugin, &definition.action, CardKind::Action)?;
        match parsed.when.as_ref().map_or(Ok(true), |when| when.holds(&scope)) {
            Ok(runs) => step.runs = runs,
            Err(error) => rehearsed.wrong(&place("when"), error.to_string()),
        }
        if step.runs {
            match parsed.input.fill(&scope) {
                Ok(input) => {
                    if let Err(error) = check_action(&plugin, &card.id, &input) {
                        rehearsed.problems.extend(of_fields(&place("input"), &error));
                    }
                    step.input = Some(input);
                    step.output = card.sample.get("output").cloned();
                }
                Err(error) => rehearsed.wrong(&place("input"), error.to_string()),
            }
        }
        if !step.runs {
            scope.skipped(&step.id);
        }
        let output = step.output.clone().unwrap_or(Value::Null);
        outputs.insert(step.id.clone(), json!({ "output": output }));
        rehearsed.steps.push(step);
    }
    Ok(rehearsed)
}

impl Rehearsed {
    fn wrong(&mut self, place: &str, message: String) {
        self.problems.push(FlowProblem::at(place, message));
    }
}
