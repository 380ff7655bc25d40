//! Values in a query: `{name}` in JQL stands for a value that is given beside it, and stays a literal whatever is in it.
//!
//! Source: Atlassian, "Use advanced search with JQL", on strings and reserved characters. Braces are reserved: outside
//! quotes no query has them.

use crate::contract::{Error, Failure};
use crate::field::pointer;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The query with the values in their places. Without values it stays as it is.
pub(crate) fn fill(jql: &str, values: &Map<String, Value>) -> Result<String, Error> {
    let (mut filled, mut used) = (String::with_capacity(jql.len() + 32), BTreeSet::new());
    let (mut rest, mut quote) = (jql, None);
    while let (false, Some(letter)) = (values.is_empty(), rest.chars().next()) {
        let mut length = letter.len_utf8();
        match quote {
            Some(_) if letter == '\\' => length += rest[length..].chars().next().map_or(0, char::len_utf8),
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            None if letter == '{' => {
                let name = rest[1..].split_once('}').map(|(name, _)| name);
                let name = name.ok_or_else(|| refused("/jql", "JQL", "A place for a value has no `}`."))?;
                let value = values.get(name).ok_or_else(|| {
                    refused("/jql", "JQL", &format!("No value is given for the place {{{name}}} in the query."))
                })?;
                filled.push_str(&literal(name, value)?);
                used.insert(name);
                rest = &rest[name.len() + 2..];
                continue;
            }
            _ => {}
        }
        filled.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    filled.push_str(rest);
    match values.keys().find(|name| !used.contains(name.as_str())) {
        Some(name) => {
            let message = format!("The query has no place {{{name}}} outside quotes.");
            Err(refused(&pointer("/values", name), name, &message))
        }
        None => Ok(filled),
    }
}

/// A value as JQL has it: a text in quotes, a number, a list of these in parentheses.
fn literal(name: &str, value: &Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(quoted(text)),
        Value::Number(number) => Ok(number.to_string()),
        Value::Array(values) if !values.is_empty() && !values.iter().any(Value::is_array) => {
            let literals: Vec<String> = values.iter().map(|value| literal(name, value)).collect::<Result<_, _>>()?;
            Ok(format!("({})", literals.join(", ")))
        }
        _ => {
            let message = "A value is a text, a number, or a list of these that is not empty.";
            Err(refused(&pointer("/values", name), name, message))
        }
    }
}

/// A text in quotes. What would end it, and what controls, is escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ if letter.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn refused(at: &str, name: &str, message: &str) -> Error {
    let remedy = "Write {name} where the value belongs, without quotes around it, and give the value under that name.";
    Failure::input("jql-value", at, name, message.to_owned(), remedy).permanent()
}

#[cfg(test)]
mod tests {
    use super::fill;
    use serde_json::{Value, json};

    fn filled(jql: &str, values: &Value) -> Result<String, String> {
        fill(jql, values.as_object().expect("an object")).map_err(|error| error.failure().fields[0].pointer.clone())
    }

    #[test]
    fn values_stand_in_their_places_as_literals() {
        let values = json!({"text": "a\" OR project = PRIV \\", "keys": ["A-1", 7], "number": 3});
        assert_eq!(
            filled("summary ~ {text} AND key in {keys} AND votes > {number}", &values).as_deref(),
            Ok(r#"summary ~ "a\" OR project = PRIV \\" AND key in ("A-1", 7) AND votes > 3"#)
        );
        let odd = json!({"v": "\n\r\t\u{0}\u{7f}'ä🔑{v}"});
        assert_eq!(
            filled("a = {v} or b = {v}", &odd).as_deref().map(|jql| jql.matches(r"\n\r\t\u0000\u007f'ä🔑{v}").count()),
            Ok(2)
        );
    }

    #[test]
    fn quoted_braces_are_no_places() {
        let values = json!({"v": "x"});
        assert_eq!(
            filled(r#"a ~ "{v} \" {v}" and b ~ '{v}' and c = {v}"#, &values).as_deref(),
            Ok(r#"a ~ "{v} \" {v}" and b ~ '{v}' and c = "x""#)
        );
        assert_eq!(filled(r#"a ~ "{v}""#, &values), Err("/values/v".to_owned()));
        assert_eq!(filled("a = {b}", &json!({})).as_deref(), Ok("a = {b}"), "without values nothing is looked into");
    }

    #[test]
    fn what_has_no_place_or_no_value_is_refused_by_name() {
        for (jql, values, at) in [
            ("a = {b}", json!({"v": "x"}), "/jql"),
            ("a = {v", json!({"v": "x"}), "/jql"),
            ("a = 1", json!({"v": "x"}), "/values/v"),
            ("a = {v}", json!({"v": null}), "/values/v"),
            ("a in {v}", json!({"v": []}), "/values/v"),
            ("a in {v}", json!({"v": [["x"]]}), "/values/v"),
        ] {
            assert_eq!(filled(jql, &values), Err(at.to_owned()), "{jql}");
        }
    }
}
