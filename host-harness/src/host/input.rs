//! Checks inputs against JSON Schemas, and says plainly what is wrong where.

use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::{Map, Value};
use zeroize::Zeroize as _;

use super::error::{FieldProblem, HostError, Problem, pointer_to};
use crate::vault::Secret;

/// The most problems that are told at once.
const MOST_PROBLEMS: usize = 20;

/// Checks `instance`. Values below the top-level members in `secrets` are never shown.
pub(super) fn check(
    schema: &Value,
    instance: &Value,
    what: &str,
    remedy: &str,
    secrets: &[&str],
) -> Result<(), HostError> {
    let validator = jsonschema::draft202012::new(schema).map_err(|error| {
        HostError::other(
            "schema",
            format!("the schema of {what} cannot be used: {error}"),
            "Tell the connector's maintainer.",
        )
    })?;
    let mut fields: Vec<FieldProblem> = Vec::new();
    for error in validator.iter_errors(instance).take(MOST_PROBLEMS) {
        let mut pointer = error.instance_path().to_string();
        let top = pointer.split('/').nth(1).unwrap_or_default();
        let hidden = secrets.contains(&top) || (pointer.is_empty() && !secrets.is_empty());
        let message = match error.kind() {
            Kind::Required { property } => {
                let name = property.as_str().map_or_else(|| property.to_string(), str::to_owned);
                pointer.push_str(&pointer_to(&name));
                "it is required and missing".into()
            }
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                format!("there is no such member: {}", unexpected.join(", "))
            }
            _ if hidden => error.masked().to_string(),
            _ => shortened(error.to_string()),
        };
        fields.push(FieldProblem { pointer, message });
    }
    if fields.is_empty() {
        return Ok(());
    }
    let told: Vec<_> = fields
        .iter()
        .map(|field| format!("{}: {}", if field.pointer.is_empty() { "/" } else { &field.pointer }, field.message))
        .collect();
    let message = format!("{what} is not valid: {}", told.join("; "));
    Err(HostError::BadInput(Problem { fields, ..Problem::new("input-invalid", message, remedy) }))
}

/// Checks what is known of an input before its values are: the names of its members, and that none that is
/// required is missing.
pub(crate) fn check_members(schema: &Value, input: &Value, what: &str, remedy: &str) -> Result<(), HostError> {
    let known = schema.get("properties").and_then(Value::as_object);
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| input.get(name).is_none()).map(|name| (name, "it is required and missing"));
    let members = input.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    let unknown = members
        .filter(|name| closed && known.is_none_or(|known| !known.contains_key(*name)))
        .map(|name| (name, "there is no such member"));
    let fields: Vec<FieldProblem> = missing
        .chain(unknown)
        .map(|(name, message)| FieldProblem { pointer: pointer_to(name), message: message.into() })
        .collect();
    match fields.first() {
        None => Ok(()),
        Some(first) => {
            let message = format!("{what} is not valid: {}: {}", first.pointer, first.message);
            Err(HostError::BadInput(Problem { fields, ..Problem::new("input-invalid", message, remedy) }))
        }
    }
}

/// A form with its secrets in it, for as long as it is looked at; then they are overwritten.
pub(super) struct Filled(Value, Vec<String>);

impl Filled {
    /// Puts the secrets into the form.
    pub(super) fn new(form: &Map<String, Value>, secrets: &[(String, Secret)]) -> Result<Self, HostError> {
        let mut filled = Self(Value::Object(form.clone()), vec![]);
        for (key, secret) in secrets {
            if filled.0.get(key).is_some() {
                return Err(HostError::bad_input("form-twice", format!("`{key}` is given twice"), "Give it once."));
            }
            filled.0[key] = Value::String(secret.expose().to_owned());
            filled.1.push(key.clone());
        }
        Ok(filled)
    }

    /// One secret alone, as a text.
    pub(super) fn alone(secret: &Secret) -> Self {
        Self(Value::String(secret.expose().to_owned()), vec![])
    }

    /// The form.
    pub(super) fn value(&self) -> &Value {
        &self.0
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        if let Value::String(secret) = &mut self.0 {
            secret.zeroize();
        }
        for key in &self.1 {
            if let Some(Value::String(secret)) = self.0.get_mut(key) {
                secret.zeroize();
            }
        }
    }
}

fn shortened(text: String) -> String {
    if text.chars().count() <= 300 {
        return text;
    }
    let start: String = text.chars().take(200).collect();
    let end: Vec<char> = text.chars().rev().take(90).collect();
    format!("{start} … {}", end.into_iter().rev().collect::<String>())
}

/// Builds a form from `key=value` pairs: each value takes the type that its field has in the schema.
pub(super) fn form(schema: &Value, pairs: &[(String, String)]) -> Result<Map<String, Value>, HostError> {
    let mut form = Map::new();
    for (key, text) in pairs {
        let kind = schema.pointer(&format!("/properties/{key}/type")).and_then(Value::as_str).unwrap_or("string");
        let value = match kind {
            "string" => Value::String(text.clone()),
            _ => serde_json::from_str(text).map_err(|_| {
                let message = format!("`{key}` must be of type {kind}, and `{text}` is not");
                let remedy = format!("Give it as JSON: --set '{key}=…'.");
                HostError::BadInput(Problem::new("form-value", message, remedy).at(key))
            })?,
        };
        if form.insert(key.clone(), value).is_some() {
            return Err(HostError::bad_input("form-twice", format!("`{key}` is given twice"), "Give it once."));
        }
    }
    Ok(form)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_members_are_checked_before_their_values_are_known() {
        let schema = json!({ "properties": { "issue": {} }, "required": ["issue"], "additionalProperties": false });
        let told = |input: &Value| check_members(&schema, input, "the input", "").err().map(|error| error.to_string());
        assert_eq!(told(&json!({ "issue": "${{ event.x }}" })), None);
        assert!(told(&json!({})).is_some_and(|text| text.contains("/issue")));
        assert!(told(&json!({ "issue": 1, "isue": 2 })).is_some_and(|text| text.contains("/isue")));
    }

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["title", "token"], "additionalProperties": false,
            "properties": {
                "title": { "type": "string", "minLength": 2 }, "level": { "type": "integer" },
                "token": { "type": "string", "minLength": 8, "writeOnly": true },
            },
        })
    }

    fn problem(instance: &Value) -> Problem {
        match check(&schema(), instance, "the form", "Look.", &["token"]) {
            Err(HostError::BadInput(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_field_is_named_by_its_pointer() {
        let found = problem(&json!({ "token": "long enough" }));
        assert_eq!(found.fields[0].pointer, "/title");
        assert!(found.message.contains("/title"), "{}", found.message);
    }

    #[test]
    fn an_unknown_member_and_a_wrong_type_are_named() {
        assert!(problem(&json!({ "title": "ab", "token": "long enough", "x": 1 })).message.contains('x'));
        assert_eq!(problem(&json!({ "title": 7, "token": "long enough" })).fields[0].pointer, "/title");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let found = problem(&json!({ "title": "ab", "token": "canary" }));
        assert_eq!(found.fields[0].pointer, "/token");
        assert!(!serde_json::to_string(&found).unwrap().contains("canary"));
    }

    #[test]
    fn pairs_take_the_type_of_their_field() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let made = form(&schema(), &[pair("title", "12"), pair("level", "12")]).unwrap();
        assert_eq!(Value::Object(made), json!({ "title": "12", "level": 12 }));
        assert!(form(&schema(), &[pair("level", "high")]).is_err());
        assert!(form(&schema(), &[pair("title", "a"), pair("title", "b")]).is_err());
    }
}
