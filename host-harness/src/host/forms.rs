//! Forms as people fill them in: fields and secrets, each where it belongs, tidied and checked.

use serde_json::{Map, Value, json};

use super::input::{self, Filled};
use super::{FieldProblem, HostError, Problem};
use crate::authorize::Scheme;
use crate::plugin::contract::connection as contract;
use crate::plugin::{AuthMethod, Manifest, secret_fields};
use crate::vault::Secret;

/// What people copy along with a secret: pairs of quotes.
const QUOTES: [(char, char); 8] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{ab}', '\u{bb}'),
    ('<', '>'),
];

/// Secrets by the names of their fields.
pub type Secrets = Vec<(String, Secret)>;

/// What a person filled in: fields that are not secret as text, and secrets.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// The fields that are not secret.
    pub fields: Vec<(String, String)>,
    /// The secrets.
    pub secrets: Secrets,
}

/// A form that was read.
#[derive(Debug)]
pub(super) struct ReadForm {
    /// Its fields without the secrets.
    pub(super) fields: Map<String, Value>,
    /// Its secrets.
    pub(super) secrets: Secrets,
    /// What was put right in them.
    pub(super) notes: Vec<String>,
}

/// The form to be read, and how it is spoken of.
pub(super) struct Form<'a> {
    /// Its JSON Schema.
    pub(super) schema: &'a Value,
    /// What it is called.
    pub(super) what: String,
    /// How to find out what belongs into it.
    pub(super) remedy: String,
}

impl Form<'_> {
    /// Reads what a person filled in, together with fields that are known already.
    pub(super) fn read(&self, known: Map<String, Value>, given: Entries) -> Result<ReadForm, HostError> {
        let names = secret_fields(self.schema);
        let Entries { fields, secrets } = given;
        if let Some((key, _)) = fields.iter().find(|(key, _)| names.contains(&key.as_str())) {
            return Err(HostError::bad_input(
                "secret-in-arguments",
                format!("`{key}` is a secret and must not stand among the arguments, where others can read it"),
                format!(
                    "Put it into a file and give --secret {key}=@FILE, or pipe it in with --secret {key}=-. Replace the one that was shown."
                ),
            ));
        }
        if let Some((key, _)) = secrets.iter().find(|(key, _)| !names.contains(&key.as_str())) {
            return Err(HostError::bad_input(
                "not-a-secret",
                format!("`{key}` is not a secret of {}", self.what),
                format!("Its secrets: {}. Other fields are given with --set {key}=….", names.join(", ")),
            ));
        }
        let (secrets, mut notes) = tidied(secrets)?;
        notes.extend(mistakes(self.schema, &secrets)?);
        let mut form = known;
        for (key, value) in input::form(self.schema, &fields)? {
            form.insert(key, value);
        }
        let whole = Filled::new(&form, &secrets)?;
        input::check(self.schema, whole.value(), &self.what, &self.remedy, &names)?;
        Ok(ReadForm { fields: form, secrets, notes })
    }
}

/// Takes off what came along when secrets were copied, and says so: the connector never sees them.
pub(super) fn tidied(secrets: Secrets) -> Result<(Secrets, Vec<String>), HostError> {
    let (mut tidy, mut notes) = (Vec::new(), Vec::new());
    for (key, secret) in secrets {
        let mut text = secret.expose();
        let (mut blanks, mut quotes) = (false, false);
        loop {
            let trimmed = text.trim_matches(is_blank);
            blanks |= trimmed.len() != text.trim_end_matches(['\r', '\n']).len();
            let pair = QUOTES.iter().find_map(|(open, close)| trimmed.strip_prefix(*open)?.strip_suffix(*close));
            text = match pair {
                Some(inner) if !inner.is_empty() => inner,
                _ => {
                    text = trimmed;
                    break;
                }
            };
            quotes = true;
        }
        if text.is_empty() {
            let message = format!("the secret `{key}` is empty");
            return Err(HostError::BadInput(Problem::new("secret-empty", message, "Give the secret itself.").at(&key)));
        }
        if text.chars().any(char::is_control) {
            let message = format!("`{key}` holds a line break or another control character");
            let remedy = format!("Give the secret alone, on one line: --secret {key}=@FILE.");
            return Err(HostError::BadInput(Problem::new("secret-unfit", message, remedy).at(&key)));
        }
        match (blanks, quotes) {
            (true, true) => notes.push(format!("White space and quotes around the secret `{key}` were taken off")),
            (true, false) => notes.push(format!("White space around the secret `{key}` was taken off")),
            (false, true) => notes.push(format!("Quotes around the secret `{key}` were taken off")),
            (false, false) => {}
        }
        tidy.push((key, Secret::new(text)));
    }
    Ok((tidy, notes))
}

/// What the connector says of texts that are pasted into the wrong field, where it is so: `x-mistakes` of the fields.
/// What can never be valid is refused.
fn mistakes(schema: &Value, secrets: &Secrets) -> Result<Vec<String>, HostError> {
    let mut notes = Vec::new();
    for (key, secret) in secrets {
        let known = schema.pointer(&format!("/properties/{key}/x-mistakes")).and_then(Value::as_array);
        let fits = |mistake: &&Value| {
            let pattern = json!({ "pattern": mistake["pattern"] });
            let text = Filled::alone(secret);
            jsonschema::draft202012::new(&pattern).is_ok_and(|pattern| pattern.is_valid(text.value()))
        };
        let Some(mistake) = known.into_iter().flatten().filter(|one| one["pattern"].is_string()).find(fits) else {
            continue;
        };
        let says = |member: &str| mistake[member].as_str().unwrap_or_default();
        if mistake["refused"] == true {
            return Err(HostError::BadInput(Problem::new("secret-mistaken", says("message"), says("remedy")).at(key)));
        }
        notes.push(format!("{} {}", says("message"), says("remedy")).trim().to_owned());
    }
    Ok(notes)
}

/// White space, and what looks like nothing at all.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// The auth method of a name; else which there are.
pub(crate) fn method_of<'a>(manifest: &'a Manifest, id: &str) -> Result<&'a AuthMethod, HostError> {
    manifest.auth_method(id).ok_or_else(|| {
        let known: Vec<_> = manifest.auth_methods.iter().map(|method| method.id.as_str()).collect();
        HostError::bad_input(
            "method-unknown",
            format!("{} has no auth method `{id}`", manifest.connector.name),
            format!("It has: {}.", known.join(", ")),
        )
    })
}

/// The names of the form's fields that belong to the credential and not to one connection, secrets included.
pub(super) fn fields_of_credential(method: &AuthMethod) -> Vec<&str> {
    let mut names = method.secrets();
    names.extend(method.scheme.fields());
    names
}

/// A form in two: what belongs to the connection, and what belongs to its credential.
pub(super) fn split(form: Map<String, Value>, scheme: &Scheme) -> (Value, Value) {
    let fields = scheme.fields();
    let (credentials, own): (Map<_, _>, Map<_, _>) =
        form.into_iter().partition(|(name, _)| fields.contains(&name.as_str()));
    (Value::Object(own), Value::Object(credentials))
}

/// The fields of a form as a connector spells them: those are kept, and not what was typed. Fields that the form does
/// not have, or that are secret, are no business of the connector's.
pub(super) fn spelled(method: &AuthMethod, prepared: &contract::Prepared) -> Map<String, Value> {
    let secrets = method.secrets();
    let known = method.form.get("properties").and_then(Value::as_object);
    let mut form = serde_json::from_str::<Map<String, Value>>(&prepared.form).unwrap_or_default();
    form.retain(|name, _| known.is_some_and(|known| known.contains_key(name)) && !secrets.contains(&name.as_str()));
    form
}

/// A form's schema without some of its fields, for those that are known to be there.
pub(super) fn without(schema: &Value, names: &[&str]) -> Value {
    let mut schema = schema.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !names.contains(&name.as_str()));
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name.as_str().is_none_or(|name| !names.contains(&name)));
    }
    schema
}

/// The members of an object; none of anything else.
pub(super) fn members(form: &Value) -> Map<String, Value> {
    form.as_object().cloned().unwrap_or_default()
}

/// Refuses fields that belong to a credential where only the connection's own are asked for.
pub(super) fn refuse_of_credential(method: &AuthMethod, given: &Entries, remedy: &str) -> Result<(), HostError> {
    let names = fields_of_credential(method);
    let keys = given.fields.iter().map(|(key, _)| key).chain(given.secrets.iter().map(|(key, _)| key));
    let wrong: Vec<&String> = keys.filter(|key| names.contains(&key.as_str())).collect();
    let Some(first) = wrong.first() else { return Ok(()) };
    let message = format!("`{first}` belongs to the credential, which other connections may share");
    let fields = wrong
        .iter()
        .map(|key| FieldProblem { pointer: format!("/{key}"), message: "it is the credential's".into() })
        .collect();
    Err(HostError::BadInput(Problem { fields, ..Problem::new("field-of-credential", message, remedy) }))
}

/// The settings that are kept after a form was changed: what the form says differently than before is taken over,
/// what was found out since stays.
pub(super) fn settings_after(kept: &str, before: &str, now: &str) -> String {
    let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
    let (mut settings, before, now) = (read(kept), read(before), read(now));
    settings.retain(|name, _| now.contains_key(name) || !before.contains_key(name));
    for (name, value) in now {
        if before.get(&name) != Some(&value) {
            settings.insert(name, value);
        }
    }
    json!(settings).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secrets {
        vec![("token".to_owned(), Secret::new(text))]
    }

    #[test]
    fn what_came_along_with_a_copied_secret_is_taken_off_and_said() {
        for (typed, words) in [
            ("abc", None),
            ("abc\n", None),
            (" abc\r\n", Some("White space around")),
            ("\u{feff}abc\u{200b}", Some("White space around")),
            ("\"abc\"", Some("Quotes around")),
            ("\u{201c}abc\u{201d}", Some("Quotes around")),
            (" 'abc' \n", Some("White space and quotes around")),
            ("' abc '", Some("White space and quotes around")),
        ] {
            let (tidy, notes) = tidied(secret(typed)).unwrap();
            assert_eq!(tidy[0].1.expose(), "abc", "{typed:?}");
            let told = notes.first().map(String::as_str).unwrap_or_default();
            assert!(told.starts_with(words.unwrap_or_default()) && notes.is_empty() == words.is_none(), "{typed:?}");
            assert!(!told.contains("abc"));
        }
    }

    #[test]
    fn a_quote_that_is_part_of_a_secret_stays() {
        for typed in ["a\"b", "\"ab", "ab'", "'", "\"\""] {
            assert_eq!(tidied(secret(typed)).unwrap().0[0].1.expose(), typed);
        }
    }

    #[test]
    fn a_text_of_another_kind_is_told_in_the_connectors_words_and_refused_only_where_it_says_so() {
        let schema = json!({ "properties": { "token": { "x-mistakes": [
            { "pattern": "^Bearer ", "message": "With a word before it.", "remedy": "Leave it out.", "refused": true },
            { "pattern": "^KEY-", "message": "It looks like a key.", "remedy": "Use a token." },
            { "pattern": "(", "message": "A pattern that is none.", "remedy": "" },
        ] } } });
        let looked = |text: &str| mistakes(&schema, &secret(text));
        assert_eq!(looked("KEY-canary").unwrap(), ["It looks like a key. Use a token."]);
        assert!(looked("canary").unwrap().is_empty());
        let refused = looked("Bearer canary").unwrap_err().to_json();
        assert_eq!((&refused["code"], &refused["remedy"]), (&json!("host.secret-mistaken"), &json!("Leave it out.")));
        assert!(!refused.to_string().contains("canary"), "{refused}");
    }

    #[test]
    fn an_empty_secret_and_one_of_two_lines_are_refused_without_being_shown() {
        for typed in ["", " \n", "\u{feff}", "canary\nother", "canary\u{7}x"] {
            let error = tidied(secret(typed)).unwrap_err();
            assert!(!error.to_json().to_string().contains("canary"), "{typed:?}");
        }
    }

    #[test]
    fn a_change_of_a_form_keeps_what_was_found_out_since() {
        let after = settings_after(
            r#"{"base":"https://a/","version":"9.12","old":1}"#,
            r#"{"base":"https://a/","old":1}"#,
            r#"{"base":"https://a/b/","new":2}"#,
        );
        let after: Value = serde_json::from_str(&after).unwrap();
        assert_eq!(after, json!({"base": "https://a/b/", "version": "9.12", "new": 2}));
        let found = settings_after(r#"{"base":"x","edge":"y"}"#, r#"{"base":"x"}"#, r#"{"base":"x"}"#);
        assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), json!({"base": "x", "edge": "y"}));
    }

    #[test]
    fn a_schema_without_some_fields_asks_for_the_others_only() {
        let schema = json!({"required": ["a", "b"], "properties": {"a": {}, "b": {}}});
        assert_eq!(without(&schema, &["b"]), json!({"required": ["a"], "properties": {"a": {}}}));
    }
}
