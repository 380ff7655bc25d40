//! Checks a flow against the cards it names, before anything runs: everything that is wrong, each with its place.

use std::path::PathBuf;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind as Kind;
use serde::Serialize;
use serde_json::Value;

use super::expression::{Expression, Template};
use super::flow::{CompiledFlow, CompiledStep, Flow};
use super::shape::{Found, Shapes};
use crate::host::{Host, HostError, card_of_kind, check_filter};
use crate::plugin::{CardKind, Plugin};

/// The most problems of one input that are told.
const MOST_PROBLEMS: usize = 50;

/// Something wrong in a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowProblem {
    /// Where: `steps.label.input/summary`.
    pub place: String,
    /// What.
    pub message: String,
    /// Whether the flow may be meant so: then it runs, and may fail for some events.
    pub warning: bool,
}

impl FlowProblem {
    /// A mistake at a place.
    pub fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), warning: false }
    }
}

/// Where the cards of a flow's connections are looked up: in the connections of that name, or in components that stand
/// in for them.
#[derive(Debug, Clone, Default)]
pub struct Cards {
    /// Components by the connection they stand in for; one without a name stands in for all others.
    pub components: Vec<(Option<String>, PathBuf)>,
}

impl Cards {
    pub(super) async fn of(&self, host: &Host, connection: &str) -> Result<Plugin, HostError> {
        let named = self.components.iter().find(|(name, _)| name.as_deref() == Some(connection));
        match named.or_else(|| self.components.iter().find(|(name, _)| name.is_none())) {
            Some((_, path)) => host.load(path).await,
            None => Ok(host.session_of(connection).await?.plugin.clone()),
        }
    }
}

/// Everything that is wrong in a flow. Nothing is sent to a service.
pub async fn check_flow(host: &Arc<Host>, cards: &Cards, flow: Flow) -> Vec<FlowProblem> {
    let problem = |place: String, message: String| FlowProblem::at(place, message);
    let compiled = match CompiledFlow::compile_all(flow) {
        Ok(compiled) => compiled,
        Err(wrong) => return wrong.into_iter().map(|(place, reason)| problem(place, reason)).collect(),
    };
    let mut problems = Vec::new();
    let mut shapes = Shapes::default();
    let trigger = &compiled.flow.on;
    match cards.of(host, &trigger.connection).await {
        Err(error) => problems.push(problem("on.connection".into(), error.to_string())),
        Ok(plugin) => match card_of_kind(&plugin, &trigger.event, CardKind::Event) {
            Err(error) => problems.push(problem("on.event".into(), told(&error))),
            Ok(card) => {
                shapes.event(card.output.clone(), card.sample["output"].clone());
                if let Err(error) = check_filter(&plugin, &trigger.event, &trigger.filter) {
                    problems.extend(of_fields("on.filter", &error));
                }
            }
        },
    }
    let conditions = [("on.when", &compiled.when), ("on.order.key", &compiled.key)];
    for (place, expression) in conditions {
        problems.extend(expression.iter().flat_map(|one| names(&shapes, place, one)));
    }
    for (step, parsed) in compiled.flow.steps.iter().zip(&compiled.steps) {
        let place = |what: &str| format!("steps.{}.{what}", step.id);
        problems.extend(parsed.when.iter().flat_map(|one| names(&shapes, &place("when"), one)));
        parsed.input.visit("", &mut |pointer, one| {
            problems.extend(names(&shapes, &place(&format!("input{pointer}")), one));
        });
        match cards.of(host, &step.connection).await {
            Err(error) => problems.push(problem(place("connection"), error.to_string())),
            Ok(plugin) => match card_of_kind(&plugin, &step.action, CardKind::Action) {
                Err(error) => problems.push(problem(place("action"), told(&error))),
                Ok(card) => {
                    if let Some(schema) = &card.input {
                        problems.extend(inputs(&shapes, &place("input"), schema, &step.input, parsed));
                    }
                    shapes.step(&step.id, card.output.clone(), card.sample["output"].clone());
                }
            },
        }
    }
    problems.extend(skipped_outputs(&compiled));
    problems
}

/// Where a step reads the output of one that may be skipped, and does not ask whether it was.
fn skipped_outputs(flow: &CompiledFlow) -> Vec<FlowProblem> {
    let mut warnings = Vec::new();
    let may_be_skipped = |id: &String| flow.flow.steps.iter().find(|step| step.id == *id && step.when.is_some());
    for (step, parsed) in flow.flow.steps.iter().zip(&flow.steps) {
        let asked = parsed.when.as_ref().map(Expression::asks_of_steps).unwrap_or_default();
        let mut look = |place: String, one: &Expression| {
            let here = one.asks_of_steps();
            let open = one.reads_of_steps().into_iter().filter(|id| !asked.contains(id) && !here.contains(id));
            for other in open.filter_map(|id| may_be_skipped(&id)).filter(|other| other.when != step.when) {
                let (id, text) = (&other.id, one.text());
                let message = format!(
                    "`{text}` fails where the step `{id}` was skipped, since its output is null then; to skip this \
                     one too, give it `when: steps.{id}.output != null`"
                );
                warnings.push(FlowProblem { warning: true, ..FlowProblem::at(place.clone(), message) });
            }
        };
        if let Some(when) = &parsed.when {
            look(format!("steps.{}.when", step.id), when);
        }
        parsed.input.visit("", &mut |pointer, one| look(format!("steps.{}.input{pointer}", step.id), one));
    }
    warnings
}

/// A refusal with the names that there are.
fn told(error: &HostError) -> String {
    match error {
        HostError::BadInput(problem) => format!("{}. {}", problem.message, problem.remedy),
        other => other.to_string(),
    }
}

/// The problems of a refused value, each with its place.
pub(super) fn of_fields(place: &str, error: &HostError) -> Vec<FlowProblem> {
    match error {
        HostError::BadInput(problem) if !problem.fields.is_empty() => problem
            .fields
            .iter()
            .map(|field| FlowProblem::at(format!("{place}{}", field.pointer), field.message.clone()))
            .collect(),
        other => vec![FlowProblem::at(place, other.to_string())],
    }
}

/// The names in an expression that lead nowhere.
fn names(shapes: &Shapes, place: &str, expression: &Expression) -> Vec<FlowProblem> {
    let lost = |path: Vec<String>| match shapes.find(&path) {
        Found::Nothing { at, known } => Some(FlowProblem::at(
            place,
            format!(
                "`{}` names `{}`, which is not there; there are: {}",
                expression.text(),
                path[..=at].join("."),
                known.join(", ")
            ),
        )),
        Found::Shape(_) | Found::Anything => None,
    };
    expression.paths().into_iter().filter_map(lost).collect()
}

/// What is wrong with an input: what is written is held against the schema, of what an expression will give its type.
fn inputs(shapes: &Shapes, place: &str, schema: &Value, written: &Value, parsed: &CompiledStep) -> Vec<FlowProblem> {
    let mut open: Vec<String> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let mut problems = Vec::new();
    let mut instance = written.clone();
    expressions(&parsed.input, "", &mut |pointer, whole| match whole {
        None => texts.push(pointer.to_owned()),
        Some(expression) => {
            // Where the type is known, something of this type stands in for the value.
            let known = expression.as_path().and_then(|path| match shapes.find(&path) {
                Found::Shape(shape) => shape.example(),
                Found::Nothing { .. } | Found::Anything => None,
            });
            match (known, instance.pointer_mut(pointer)) {
                (Some(example), Some(part)) => {
                    *part = example;
                    texts.push(pointer.to_owned());
                }
                _ => open.push(pointer.to_owned()),
            }
        }
    });
    let Ok(validator) = jsonschema::draft202012::new(schema) else { return problems };
    for error in validator.iter_errors(&instance) {
        let at = error.instance_path().to_string();
        let is_open = |pointer: &String| at == *pointer || at.starts_with(&format!("{pointer}/"));
        let holds_open = |pointer: &String| pointer.starts_with(&format!("{at}/"));
        // What the value will be is not known; what kind of value may be.
        let by_kind = matches!(error.kind(), Kind::Type { .. });
        let of_object =
            matches!(error.kind(), Kind::Required { .. } | Kind::AdditionalProperties { .. } | Kind::Type { .. });
        if open.iter().any(is_open)
            || (texts.iter().any(is_open) && !by_kind)
            || (open.iter().chain(&texts).any(holds_open) && !of_object)
        {
            continue;
        }
        let (more, message) = match error.kind() {
            Kind::Required { property } => {
                (format!("/{}", property.as_str().unwrap_or_default()), "it is required and missing".to_owned())
            }
            Kind::AdditionalProperties { unexpected } => {
                let known = schema.get("properties").and_then(Value::as_object).filter(|_| at.is_empty());
                let known = known.map(|known| known.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
                let known = known.map(|known| format!("; there are: {known}")).unwrap_or_default();
                (String::new(), format!("there is no such member: {}{known}", unexpected.join(", ")))
            }
            _ if texts.iter().any(is_open) => {
                (String::new(), format!("it will be of another type: {}", error.masked()))
            }
            _ => (String::new(), error.to_string()),
        };
        problems.push(FlowProblem::at(format!("{place}{at}{more}"), message));
        if problems.len() >= MOST_PROBLEMS {
            break;
        }
    }
    problems
}

/// Shows where expressions stand in a template: alone, or within a text.
fn expressions<'a>(template: &'a Template, pointer: &str, visit: &mut dyn FnMut(&str, Option<&'a Expression>)) {
    match template {
        Template::Plain(_) => {}
        Template::Whole(expression) => visit(pointer, Some(expression)),
        Template::Text(_) => visit(pointer, None),
        Template::List(items) => {
            items.iter().enumerate().for_each(|(at, item)| expressions(item, &format!("{pointer}/{at}"), visit));
        }
        Template::Object(members) => members.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            expressions(value, &format!("{pointer}/{key}"), visit);
        }),
    }
}
