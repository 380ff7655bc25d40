//! One OpenAPI document: its operations, and validators for their answers.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use crate::built;

/// An OpenAPI 3.0 document. Validators are made when they are first asked for.
pub(crate) struct Document {
    content: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// Schemas whose members are null in recorded answers, though the document does not say so: a change
/// from or to nothing.
const NULLABLE: [&str; 1] = ["ChangeDetails"];

/// What a document says of one answer.
pub(crate) enum Listed {
    /// The operation is there, this status is not.
    Not,
    /// The status is there, without a body or without a schema for it.
    WithoutSchema,
    /// The status is there.
    WithSchema(Arc<Validator>),
}

impl Document {
    /// Reads a document from the shared data; none where it is not there.
    pub(crate) fn load(name: &str) -> Option<Self> {
        let path = built::root().join("../shared/data/jira/openapi").join(name);
        let bytes = std::fs::read(&path).ok()?;
        let bytes = if name.ends_with(".gz") { unpack(&bytes, &path) } else { bytes };
        let content = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Some(Self { content, validators: Mutex::default() })
    }

    /// What it says of an answer; none where it has no such operation.
    pub(crate) fn answer(&self, method: &str, path: &str, status: u16) -> Option<Listed> {
        let (template, item) = self.template(path)?;
        let operation = item.get(method.to_lowercase())?;
        let responses = &operation["responses"];
        let Some(response) = responses.get(status.to_string()).or_else(|| responses.get("default")) else {
            return Some(Listed::Not);
        };
        let Some(schema) = response.pointer("/content/application~1json/schema") else {
            return Some(Listed::WithoutSchema);
        };
        let key = format!("{method} {template} {status}");
        let mut validators = self.validators.lock().expect("no test panicked while it made a validator");
        let validator = validators.entry(key).or_insert_with(|| Arc::new(self.validator(schema)));
        Some(Listed::WithSchema(Arc::clone(validator)))
    }

    /// The shape of a refusal, taken by its word: no other members, and at least one of its own.
    pub(crate) fn refusal(&self) -> Option<Arc<Validator>> {
        let mut validators = self.validators.lock().expect("no test panicked while it made a validator");
        if let Some(validator) = validators.get("refusal") {
            return Some(Arc::clone(validator));
        }
        let mut schema = self.content.pointer("/components/schemas/ErrorCollection")?.clone();
        loosen(&mut schema);
        schema["additionalProperties"] = Value::Bool(false);
        schema["minProperties"] = json!(1);
        let validator = Arc::new(jsonschema::options().with_draft(Draft::Draft4).build(&schema).ok()?);
        validators.insert("refusal".to_owned(), Arc::clone(&validator));
        Some(validator)
    }

    /// The path template that fits: the one with the fewest parameters where several do.
    fn template(&self, path: &str) -> Option<(&str, &Value)> {
        let segments: Vec<_> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<_> = template.split('/').collect();
            parts.len() == segments.len()
                && parts.iter().zip(&segments).all(|(part, segment)| part.starts_with('{') || part == segment)
        };
        let paths = self.content["paths"].as_object()?.iter().map(|(template, item)| (template.as_str(), item));
        paths.filter(|(template, _)| fits(template)).min_by_key(|(template, _)| template.matches('{').count())
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut components = BTreeMap::new();
        let mut root = schema.clone();
        self.collect(schema, &mut components);
        loosen(&mut root);
        for (name, component) in &mut components {
            if NULLABLE.contains(&name.as_str()) {
                let properties = component.get_mut("properties").and_then(Value::as_object_mut);
                let properties = properties.into_iter().flat_map(|properties| properties.values_mut());
                properties.for_each(|property| property["nullable"] = Value::Bool(true));
            }
            loosen(component);
        }
        let whole = json!({"allOf": [root], "components": {"schemas": components}});
        jsonschema::options()
            // OpenAPI 3.0 schemas are of this age: `$ref` stands alone, `exclusiveMinimum` is a boolean.
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .with_format("date-time", is_date_time)
            .build(&whole)
            .unwrap_or_else(|error| panic!("a schema of the document cannot be used: {error}"))
    }

    /// The schemas that `schema` refers to, and those that these refer to.
    fn collect(&self, schema: &Value, found: &mut BTreeMap<String, Value>) {
        match schema {
            Value::Object(members) => {
                let name = members.get("$ref").and_then(Value::as_str);
                if let Some(name) = name.and_then(|name| name.strip_prefix("#/components/schemas/"))
                    && !found.contains_key(name)
                {
                    let component = self.content["components"]["schemas"][name].clone();
                    found.insert(name.to_owned(), component.clone());
                    self.collect(&component, found);
                }
                members.values().for_each(|member| self.collect(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, found)),
            _ => {}
        }
    }
}

fn unpack(bytes: &[u8], path: &Path) -> Vec<u8> {
    let mut unpacked = Vec::new();
    let read = flate2::read::GzDecoder::new(bytes).read_to_end(&mut unpacked);
    read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    unpacked
}

/// Makes a schema of the document one that real answers obey: objects may carry more than it
/// lists (recorded answers do), and `nullable` is put into JSON Schema's own words. `example`
/// values are not schemas.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("example");
            if members.get("additionalProperties") == Some(&Value::Bool(false)) {
                members.remove("additionalProperties");
            }
            if members.remove("nullable") == Some(Value::Bool(true)) {
                if let Some(kind) = members.get("type").cloned() {
                    members.insert("type".to_owned(), json!([kind, "null"]));
                }
                if let Some(Value::Array(allowed)) = members.get_mut("enum") {
                    allowed.push(Value::Null);
                }
            }
            members.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

/// A date and time as Jira writes it: with milliseconds, and with an offset that needs no colon.
fn is_date_time(text: &str) -> bool {
    let Some((date, rest)) = text.split_once('T') else { return false };
    let digits = |text: &str, lengths: &[usize]| {
        let parts: Vec<_> = text.split(['-', ':', '.']).collect();
        parts.len() == lengths.len()
            && parts.iter().zip(lengths).all(|(part, &n)| part.len() == n && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let (time, offset) = match rest.find(['Z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => return false,
    };
    let offset = offset.trim_start_matches(['Z', '+', '-']).replace(':', "");
    digits(date, &[4, 2, 2])
        && (digits(time, &[2, 2, 2]) || digits(time, &[2, 2, 2, 3]))
        && (offset.is_empty() || digits(&offset, &[4]))
}

#[test]
fn dates_of_recorded_answers_pass_and_half_dates_do_not() {
    for date in ["2022-01-15T20:44:54.989-0500", "2022-01-15T20:44:54Z", "2022-01-15T20:44:54.989+01:00"] {
        assert!(is_date_time(date), "{date}");
    }
    for date in ["2022-01-15", "2022-01-15 20:44:54Z", "yesterdayTnoonZ", "2022-01-15T20:44:54"] {
        assert!(!is_date_time(date), "{date}");
    }
}
