//! Flow files: what a person writes, checked when it is read.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::expression::{Expression, ExpressionError, Scope, Template};
use crate::clock::LONGEST_WAIT;

/// A flow as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flow {
    /// Its name, unique among the flows of a host.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What starts it.
    pub on: Trigger,
    /// What it does, in this order.
    pub steps: Vec<Step>,
    /// How its steps are tried again, where they do not say it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// What starts a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trigger {
    /// The event card.
    pub event: String,
    /// The connection, by name.
    pub connection: String,
    /// What narrows the events: obeys the card's filter schema.
    #[serde(default = "empty_object")]
    pub filter: Value,
    /// A condition over `event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Which runs go one after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// Which runs go one after another, in the order in which their events happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Order {
    /// An expression over `event`: runs for which it has the same value go one after another.
    pub key: String,
    /// The flows of one group on one connection share their keys; without one, a flow has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What becomes of a run whose event comes when the run of a later one is done.
    #[serde(default)]
    pub late: Late,
}

/// What becomes of a run that comes too late for its turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Late {
    /// It runs all the same.
    #[default]
    Run,
    /// It is skipped: what a later event made of the thing stays.
    Skip,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Its name in expressions: `steps.ID.output`.
    pub id: String,
    /// The action card.
    pub action: String,
    /// The connection, by name.
    pub connection: String,
    /// A condition; where it is false the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The card's input; its strings may hold `${{ expressions }}`.
    #[serde(default = "empty_object")]
    pub input: Value,
    /// How it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// How a step is tried again after a failure that passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Retry {
    /// How often it is tried in all.
    pub attempts: u32,
    /// The wait after the first failure.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    pub first: Duration,
    /// By what each wait is longer than the one before.
    pub factor: f64,
    /// The longest wait of ours; a service may ask for a longer one.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    pub at_most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, first: Duration::from_secs(2), factor: 2.0, at_most: Duration::from_secs(30) }
    }
}

impl Retry {
    /// The wait after so many failures (from 1): the greater of ours and the service's, and up to
    /// 30 % more, so that many that wait do not come back at once; [`LONGEST_WAIT`] at most. `draw` lies in 0..1.
    pub fn wait(&self, failures: u32, asked: Duration, draw: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let ours = self.first.as_secs_f64() * self.factor.powi(exponent);
        let ours = if ours.is_finite() { ours } else { f64::MAX };
        let wait = ours.min(self.at_most.as_secs_f64()).max(asked.as_secs_f64()) * (1.0 + 0.3 * draw.clamp(0.0, 1.0));
        Duration::try_from_secs_f64(wait).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

fn read_duration<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(source)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom(format!("`{text}` is no duration: write one such as `2s`, `500ms` or `1m 30s`"))
    })
}

fn write_duration<S: Serializer>(duration: &Duration, sink: S) -> Result<S::Ok, S::Error> {
    sink.serialize_str(&humantime::format_duration(*duration).to_string())
}

/// Why a flow is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The file or folder could not be read.
    #[error("{path} could not be read: {source}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no YAML or JSON, or not of a flow's shape.
    #[error("{path} is no flow: {reason}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// Its shape is right and something in it is not.
    #[error("{path}, {place}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Where: `steps.label.when`, `steps.label.input/summary`.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

/// A flow whose expressions are parsed.
#[derive(Debug)]
pub struct CompiledFlow {
    /// As it is written.
    pub flow: Flow,
    /// The trigger's condition.
    pub when: Option<Expression>,
    /// What its runs are put in order by.
    pub key: Option<Expression>,
    /// The steps' conditions and inputs, in their order.
    pub steps: Vec<CompiledStep>,
}

/// A step whose expressions are parsed.
#[derive(Debug)]
pub struct CompiledStep {
    /// Its condition.
    pub when: Option<Expression>,
    /// Its input.
    pub input: Template,
}

impl CompiledFlow {
    /// Parses the expressions of a flow and checks its names. The error says where and what.
    pub fn compile(flow: Flow) -> Result<Self, (String, String)> {
        Self::compile_all(flow).map_err(|mut problems| problems.swap_remove(0))
    }

    /// The same, with everything that is wrong: places and reasons, at least one.
    pub fn compile_all(flow: Flow) -> Result<Self, Vec<(String, String)>> {
        let mut problems: Vec<(String, String)> = Vec::new();
        let mut wrong = |place: &str, reason: String| problems.push((place.to_owned(), reason));
        if !is_name(&flow.name) {
            wrong("name", format!("`{}` is no name: use letters, digits, `-` and `_`, at most 64", flow.name));
        }
        if flow.steps.is_empty() {
            wrong("steps", "there is no step: add one with `id`, `action`, `connection` and `input`".into());
        }
        let condition = |text: Option<&String>, variables: &[&str], steps: &[&str]| {
            let Some(text) = text else { return Ok(None) };
            let expression = Expression::parse(text)?;
            expression.check_names(variables, steps)?;
            Ok::<_, ExpressionError>(Some(expression))
        };
        let order = flow.on.order.as_ref();
        let when = taken(&mut wrong, "on.when", condition(flow.on.when.as_ref(), &["event"], &[]));
        let key = taken(&mut wrong, "on.order.key", condition(order.map(|order| &order.key), &["event"], &[]));
        if let Some(group) = order.and_then(|order| order.group.as_ref()).filter(|group| !is_name(group)) {
            wrong("on.order.group", format!("`{group}` is no name: use letters, digits, `-` and `_`, at most 64"));
        }
        if !flow.on.filter.is_object() {
            wrong("on.filter", "it must be an object".into());
        }
        let mut steps = Vec::new();
        let mut before: Vec<&str> = Vec::new();
        for step in &flow.steps {
            let place = |what: &str| format!("steps.{}{what}", step.id);
            if !is_name(&step.id) {
                wrong("steps", format!("`{}` is no id: use letters, digits, `-` and `_`, at most 64", step.id));
            }
            if before.contains(&step.id.as_str()) {
                wrong(&place(""), "another step has the same id".into());
            }
            if let Err(reason) = check_retry(step.retry.as_ref()) {
                wrong(&place(".retry"), reason);
            }
            let variables = ["event", "steps", "run"];
            let when = taken(&mut wrong, &place(".when"), condition(step.when.as_ref(), &variables, &before));
            let input = Template::parse_all(&step.input, "", &mut |pointer, error| {
                wrong(&place(&format!(".input{pointer}")), error.to_string());
            });
            input.visit("", &mut |pointer, expression| {
                if let Err(error) = expression.check_names(&variables, &before) {
                    wrong(&place(&format!(".input{pointer}")), error.to_string());
                }
            });
            before.push(&step.id);
            steps.push(CompiledStep { when, input });
        }
        if let Err(reason) = check_retry(flow.retry.as_ref()) {
            wrong("retry", reason);
        }
        if problems.is_empty() { Ok(Self { when, key, steps, flow }) } else { Err(problems) }
    }

    /// What its run for an event is put in order by, and whether it is skipped where it comes too late.
    pub(crate) fn order_of(&self, event: &Value) -> Result<Option<(String, bool)>, ExpressionError> {
        let (Some(key), Some(order)) = (&self.key, &self.flow.on.order) else { return Ok(None) };
        let mut scope = Scope::default();
        scope.set("event", event);
        let group = match &order.group {
            Some(group) => format!("group {group}"),
            None => format!("flow {}", self.flow.name),
        };
        let key = key.evaluate(&scope)?;
        Ok(Some((format!("{group} / {} / {key}", self.flow.on.connection), order.late == Late::Skip)))
    }

    /// How a step is tried again.
    pub fn retry_of(&self, position: usize) -> Retry {
        let own = self.flow.steps.get(position).and_then(|step| step.retry.clone());
        own.or_else(|| self.flow.retry.clone()).unwrap_or_default()
    }
}

/// The expression, or a note of what is wrong with it.
fn taken(
    wrong: &mut dyn FnMut(&str, String),
    place: &str,
    parsed: Result<Option<Expression>, ExpressionError>,
) -> Option<Expression> {
    parsed.unwrap_or_else(|error| {
        wrong(place, error.to_string());
        None
    })
}

fn check_retry(retry: Option<&Retry>) -> Result<(), String> {
    match retry {
        Some(retry) if retry.attempts == 0 || retry.attempts > 100 => {
            Err("`attempts` must lie between 1 and 100".into())
        }
        Some(retry) if retry.first > LONGEST_WAIT || retry.at_most > LONGEST_WAIT => {
            Err("`first` and `at-most` must be at most 30 days".into())
        }
        Some(retry) if !(1.0..=100.0).contains(&retry.factor) => Err("`factor` must lie between 1 and 100".into()),
        _ => Ok(()),
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Reads a flow as it is written; its expressions are not looked at.
pub fn read(path: &Path, text: &str) -> Result<Flow, FlowError> {
    serde_saphyr::from_str(text).map_err(|error| FlowError::Shape { path: path.into(), reason: error.to_string() })
}

/// Reads one flow from a text, YAML or JSON. `path` is for the errors.
pub fn parse(path: &Path, text: &str) -> Result<CompiledFlow, FlowError> {
    let flow = read(path, text)?;
    CompiledFlow::compile(flow).map_err(|(place, reason)| FlowError::Content { path: path.into(), place, reason })
}

/// The largest flow file, in bytes.
const LARGEST: u64 = 1 << 20;

/// The text of a flow's file. Only of a regular file: another could have no end, or wait for a writer for ever.
pub fn read_file(path: &Path) -> Result<String, FlowError> {
    let read = || {
        let refused = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        if !std::fs::metadata(path)?.is_file() {
            return refused("it is no regular file; write the flow into one");
        }
        let mut text = Vec::new();
        std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LARGEST {
            return refused("it is larger than 1 MiB, which no flow is");
        }
        String::from_utf8(text).or_else(|_| refused("it is no text in UTF-8"))
    };
    read().map_err(|source| FlowError::Unreadable { path: path.to_owned(), source })
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> FlowError {
    let path = path.to_owned();
    move |source| FlowError::Unreadable { path, source }
}

/// The flow files of a folder: those that end in `.yaml`, `.yml` or `.json`, in the order of their names.
pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>, FlowError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads every flow of a folder.
pub fn read_folder(folder: &Path) -> Result<Vec<(PathBuf, CompiledFlow)>, FlowError> {
    let mut flows: Vec<(PathBuf, CompiledFlow)> = Vec::new();
    for path in files_in(folder)? {
        let text = read_file(&path)?;
        let flow = parse(&path, &text)?;
        if let Some((other, _)) = flows.iter().find(|(_, known)| known.flow.name == flow.flow.name) {
            let reason = format!("{} has a flow of the same name", other.display());
            return Err(FlowError::Content { path, place: "name".into(), reason });
        }
        flows.push((path, flow));
    }
    Ok(flows)
}
