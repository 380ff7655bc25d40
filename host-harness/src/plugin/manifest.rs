//! The manifest of a connector, typed. Members that are not known are ignored; the JSON as the
//! connector gave it is kept beside.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use jsonschema::Validator;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::outline::Outline;
use crate::authorize::{Rejection, Scheme};

static SCHEMA: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("../../../wit/manifest.schema.json")).map_err(|error| error.to_string())?;
    jsonschema::validator_for(&schema).map_err(|error| error.to_string())
});

/// The version of `workflow:connector` that this host speaks.
const SPOKEN: &str = "0.1.0";

/// Why a manifest is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON.
    #[error("the manifest is not JSON: {0}")]
    NotJson(String),
    /// It was written for a newer contract.
    #[error(
        "the connector was written for workflow:connector {wanted}, and this host speaks {SPOKEN}: use a newer host, or a connector for {SPOKEN}"
    )]
    Newer {
        /// The version it was written for.
        wanted: String,
    },
    /// It does not obey the schema.
    #[error("the manifest does not obey wit/manifest.schema.json at `{at}`: {reason}")]
    NotValid {
        /// Where, as a JSON Pointer.
        at: String,
        /// What is wrong there.
        reason: String,
    },
    /// A schema in it cannot be used.
    #[error("the manifest's JSON Schema `{which}` cannot be used: {reason}")]
    BadSchema {
        /// Which one.
        which: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two things have the same id.
    #[error("the manifest has two entries with the id `{0}`")]
    Twice(String),
}

/// What a connector can do. Cheap to clone.
#[derive(Clone)]
pub struct Manifest {
    read: Arc<Read>,
    raw: Arc<Value>,
    /// Of each card; built when its first output is checked, for most runs need one.
    outputs: ByCard<OutputCheck>,
    /// The same for inputs.
    inputs: ByCard<Validator>,
}

/// What is built of a card's schema, by card; none where the schema cannot be used.
type ByCard<T> = Arc<HashMap<String, OnceLock<Option<T>>>>;

/// What outputs are held to.
struct OutputCheck {
    validator: Validator,
    outline: Outline,
}

impl OutputCheck {
    fn of(schema: &Value) -> Option<Self> {
        Some(Self { validator: jsonschema::draft202012::new(schema).ok()?, outline: Outline::of(schema) })
    }

    fn obeys(&self, output: &Value) -> Result<(), String> {
        if self.validator.is_valid(output) {
            return Ok(());
        }
        match self.validator.iter_errors(output).next() {
            None => Ok(()),
            // The value itself may be long, and is none of the log's business.
            Some(error) => Err(format!("{} at `{}`", error.masked(), error.instance_path())),
        }
    }
}

/// Why the text of an output is none.
pub(super) enum BadOutput {
    NotJson(serde_json::Error),
    /// It breaks the card's schema: where and how.
    Breaks(String),
}

/// The manifest's own members; `Manifest` gives access to them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Read {
    /// The version of `workflow:connector` it was written for.
    pub contract: String,
    /// Who it is.
    pub connector: ConnectorInfo,
    /// The ways to authorize.
    pub auth_methods: Vec<AuthMethod>,
    /// The cards.
    pub cards: Vec<Card>,
    /// What to know about deliveries.
    #[serde(default)]
    pub deliveries: Deliveries,
}

/// Who a connector is.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ConnectorInfo {
    /// Its id, in kebab case.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// Where to read more.
    pub documentation: Option<String>,
}

/// One way to authorize.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuthMethod {
    /// Its id, in kebab case.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// The form: a JSON Schema of type object; secrets have `writeOnly: true`.
    pub form: Value,
    /// What an operator fills in once for all connections: a JSON Schema like the form.
    pub app: Option<Value>,
    /// What the host does with the form.
    pub scheme: Scheme,
    /// Whether the form names no site, so that a person chooses one of those that the credential reaches.
    #[serde(default)]
    pub discovers_sites: bool,
    /// How the service says no, beyond status 401.
    #[serde(default)]
    pub rejections: Vec<Rejection>,
}

impl AuthMethod {
    /// The names of the form's secret fields.
    pub fn secrets(&self) -> Vec<&str> {
        secret_fields(&self.form)
    }

    /// The names of the form's fields that say something of its secret, such as when it expires: with another secret
    /// they are asked for anew, and what was said of the former is forgotten.
    pub fn said_of_secrets(&self) -> Vec<&str> {
        let fields = self.form.get("properties").and_then(Value::as_object).into_iter().flatten();
        fields.filter(|(_, field)| field[SAID_OF_SECRET] == true).map(|(name, _)| name.as_str()).collect()
    }

    /// The names of the app form's secret fields.
    pub fn app_secrets(&self) -> Vec<&str> {
        self.app.as_ref().map(secret_fields).unwrap_or_default()
    }
}

/// The keyword of a form's field that says something of its secret.
const SAID_OF_SECRET: &str = "x-of-secret";

/// The names of a form's secret fields.
pub(crate) fn secret_fields(form: &Value) -> Vec<&str> {
    let properties = form.get("properties").and_then(Value::as_object);
    let is_secret = |field: &Value| field.get("writeOnly") == Some(&Value::Bool(true));
    properties.into_iter().flatten().filter(|(_, field)| is_secret(field)).map(|(name, _)| name.as_str()).collect()
}

/// What a card does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardKind {
    /// It does something.
    Action,
    /// It reports what happened.
    Event,
}

/// A card.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Card {
    /// Its id, in kebab case.
    pub id: String,
    /// What it does.
    pub kind: CardKind,
    /// Its name for people.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// Of an action: the JSON Schema of its input.
    pub input: Option<Value>,
    /// Of an event: the JSON Schema of what narrows a subscription.
    pub filter: Option<Value>,
    /// The JSON Schema of its output or payload.
    pub output: Value,
    /// The fields, as JSON Pointers, whose values can be listed.
    #[serde(default)]
    pub options: Vec<String>,
    /// The fields, as JSON Pointers, that decide what `schema` answers.
    #[serde(default)]
    pub dynamic: Vec<String>,
    /// An example: `{"input", "output"}`.
    pub sample: Value,
    /// Of an action: what a host may conclude about running it.
    pub behaviour: Option<Behaviour>,
    /// Of an action: where in its output, as a JSON Pointer, the lasting id stands of what it made or changed.
    #[serde(default)]
    pub object: Option<String>,
    /// Of an event: how it can be brought.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// The scopes it needs: any of the lists.
    #[serde(default)]
    pub scopes: Vec<Vec<String>>,
}

/// How an event can be brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// By a delivery to a callback URL.
    Delivery,
    /// By asking the service.
    Poll,
}

/// What a host may conclude about running an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Behaviour {
    /// It changes nothing at the service.
    pub read_only: bool,
    /// It may remove what it cannot bring back.
    pub destructive: bool,
    /// Running it twice does what running it once does.
    pub idempotent: bool,
    /// What it does with an idempotency key.
    pub idempotency_key: IdempotencyKey,
}

/// What a card does with an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdempotencyKey {
    /// A second run with the same key does nothing anew.
    Honoured,
    /// It is written along.
    Recorded,
    /// It has no effect.
    Ignored,
}

/// What to know about deliveries before any code of the connector runs.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Deliveries {
    /// The kinds of proof that `ensure` may answer with.
    pub proofs: Vec<String>,
    /// The header that is the same in every attempt to bring one delivery.
    pub id_header: Option<String>,
    /// The header that counts the attempts.
    pub attempt_header: Option<String>,
    /// Whether `answer` has to be asked.
    pub handshake: bool,
    /// Where, in the body of the request that registers, the signing secret stands: at the first of these that holds
    /// the placeholder.
    #[serde(deserialize_with = "one_or_several")]
    pub secret_pointer: Vec<String>,
    /// Whether all registrations of an app share one URL.
    pub app_wide: bool,
    /// For an app-wide URL: where a proved delivery says which connection it is for.
    pub routing: Vec<Routing>,
}

/// One text, or a list of them.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Pointers {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Pointers::deserialize(deserializer)? {
        Pointers::One(one) => vec![one],
        Pointers::Several(several) => several,
    })
}

/// One routing key of deliveries.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Routing {
    /// A JSON Pointer into the body.
    pub pointer: String,
    /// A JSON Pointer into the connection's settings.
    pub setting: String,
}

impl Manifest {
    /// Reads a manifest and checks it, with every JSON Schema in it.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let raw: Value = serde_json::from_str(text).map_err(|error| ManifestError::NotJson(error.to_string()))?;
        let wanted = raw.get("contract").and_then(Value::as_str).unwrap_or_default();
        if version(wanted).is_some_and(|wanted| Some(wanted) > version(SPOKEN)) {
            return Err(ManifestError::Newer { wanted: wanted.to_owned() });
        }
        let schema = SCHEMA.as_ref().map_err(|reason| ManifestError::BadSchema {
            which: "wit/manifest.schema.json".into(),
            reason: reason.clone(),
        })?;
        if let Some(error) = schema.iter_errors(&raw).next() {
            return Err(ManifestError::NotValid { at: error.instance_path().to_string(), reason: error.to_string() });
        }
        let manifest = Self::read(raw)?;
        manifest.check_schemas()?;
        manifest.check_ids()?;
        Ok(manifest)
    }

    /// Reads a manifest that [`Manifest::parse`] accepted before.
    pub(crate) fn checked_before(text: &str) -> Result<Self, ManifestError> {
        Self::read(serde_json::from_str(text).map_err(|error| ManifestError::NotJson(error.to_string()))?)
    }

    fn read(raw: Value) -> Result<Self, ManifestError> {
        let read = Read::deserialize(&raw)
            .map_err(|error| ManifestError::NotValid { at: String::new(), reason: error.to_string() })?;
        let (outputs, inputs) = (unbuilt(&read.cards), unbuilt(&read.cards));
        Ok(Self { read: Arc::new(read), raw: Arc::new(raw), outputs, inputs })
    }

    /// The manifest as the connector gave it.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// The card of this id.
    pub fn card(&self, id: &str) -> Option<&Card> {
        self.cards.iter().find(|card| card.id == id)
    }

    /// Whether a card's output, or an event's payload, obeys the card's schema; else where and why not.
    pub(crate) fn check_output(&self, card: &str, output: &Value) -> Result<(), String> {
        self.output_check(card)?.map_or(Ok(()), |check| check.obeys(output))
    }

    /// The same of its text, without making a tree of what the schema leaves open.
    pub(super) fn check_output_text(&self, card: &str, text: &str) -> Result<(), BadOutput> {
        match self.output_check(card).map_err(BadOutput::Breaks)? {
            None => Outline::anything().read(text).map(drop).map_err(BadOutput::NotJson),
            Some(check) => {
                let parts = check.outline.read(text).map_err(BadOutput::NotJson)?;
                check.obeys(&parts).map_err(BadOutput::Breaks)
            }
        }
    }

    /// None of a card that there is not.
    fn output_check(&self, card: &str) -> Result<Option<&OutputCheck>, String> {
        let (Some(kept), Some(card)) = (self.outputs.get(card), self.card(card)) else { return Ok(None) };
        let built = kept.get_or_init(|| OutputCheck::of(&card.output)).as_ref();
        built.map(Some).ok_or_else(|| "its schema cannot be used".into())
    }

    /// Whether a card takes an input.
    pub(crate) fn takes(&self, card: &str, input: &Value) -> bool {
        let (Some(kept), Some(card)) = (self.inputs.get(card), self.card(card)) else { return false };
        let Some(schema) = &card.input else { return true };
        let built = kept.get_or_init(|| jsonschema::draft202012::new(schema).ok());
        built.as_ref().is_some_and(|validator| validator.is_valid(input))
    }

    /// The auth method of this id.
    pub fn auth_method(&self, id: &str) -> Option<&AuthMethod> {
        self.auth_methods.iter().find(|method| method.id == id)
    }

    fn check_schemas(&self) -> Result<(), ManifestError> {
        let forms = self.auth_methods.iter().map(|method| (format!("{}: form", method.id), &method.form));
        let cards = self.cards.iter().flat_map(|card| {
            let all =
                [("input", card.input.as_ref()), ("filter", card.filter.as_ref()), ("output", Some(&card.output))];
            all.into_iter().filter_map(|(what, schema)| Some((format!("{}: {what}", card.id), schema?)))
        });
        for (which, schema) in forms.chain(cards) {
            check_schema(schema).map_err(|reason| ManifestError::BadSchema { which, reason })?;
        }
        Ok(())
    }

    fn check_ids(&self) -> Result<(), ManifestError> {
        let methods = self.auth_methods.iter().map(|method| format!("auth method {}", method.id));
        let cards = self.cards.iter().map(|card| format!("card {}", card.id));
        let mut seen = std::collections::HashSet::new();
        match methods.chain(cards).find(|id| !seen.insert(id.clone())) {
            Some(twice) => Err(ManifestError::Twice(twice)),
            None => Ok(()),
        }
    }
}

fn unbuilt<T>(cards: &[Card]) -> ByCard<T> {
    Arc::new(cards.iter().map(|card| (card.id.clone(), OnceLock::new())).collect())
}

/// A version as numbers, so that versions can be compared.
fn version(text: &str) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Whether a JSON Schema can be used. References to other documents cannot: nothing is fetched.
pub(crate) fn check_schema(schema: &Value) -> Result<(), String> {
    jsonschema::draft202012::new(schema).map(drop).map_err(|error| error.to_string())
}

impl std::ops::Deref for Manifest {
    type Target = Read;

    fn deref(&self) -> &Read {
        &self.read
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({} {})", self.connector.id, self.connector.version)
    }
}

#[cfg(test)]
#[path = "manifest_test.rs"]
mod tests;
