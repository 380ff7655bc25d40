//! A JSON Schema as a list of fields that a person can read.

use serde_json::Value;

/// How deep fields of fields are listed; what lies deeper is in the schema.
const DEPTH: usize = 5;

/// One field of a card.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Where it stands: `items[].key`.
    pub(super) path: String,
    /// What it holds, in words: `list of text`.
    pub(super) kind: String,
    /// Whether it must be there wherever what holds it is there.
    pub(super) required: bool,
    /// What it means, in one line.
    pub(super) description: String,
}

/// The fields of a schema, those of objects and lists below their own line.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    collect(schema, schema, "", 0, &mut found);
    found
}

fn collect(root: &Value, schema: &Value, prefix: &str, depth: usize, found: &mut Vec<Field>) {
    let schema = resolved(root, schema);
    let Some(properties) = schema["properties"].as_object().filter(|_| depth < DEPTH) else { return };
    let needed = |name: &str| schema["required"].as_array().into_iter().flatten().any(|one| one == name);
    // Those that must be filled in come first, each group in the schema's own order.
    let (must, may): (Vec<_>, Vec<_>) = properties.iter().partition(|(name, _)| needed(name));
    for (name, property) in must.into_iter().chain(may) {
        let property = resolved(root, property);
        let path = format!("{prefix}{name}");
        let kind = kind(root, property);
        found.push(Field { path: path.clone(), kind, required: needed(name), description: description(property) });
        collect(root, property, &format!("{path}."), depth + 1, found);
        if let Some(items) = property.get("items") {
            collect(root, items, &format!("{path}[]."), depth + 1, found);
        }
    }
}

/// What a reference within the same document points at, or the schema itself.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn description(schema: &Value) -> String {
    let mut text = schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    for one in schema["oneOf"].as_array().into_iter().flatten() {
        if let (Some(value), Some(meaning)) = (one.get("const"), one["description"].as_str()) {
            text.push_str(&format!(" {}: {}", plain(value), meaning));
        }
    }
    let default = schema.get("default").filter(|value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    });
    if let Some(default) = default {
        text.push_str(&format!(" Left out: {}.", plain(default)));
    }
    text.trim().to_owned()
}

/// The values a schema allows, in words.
fn kind(root: &Value, schema: &Value) -> String {
    let mut kinds = Vec::new();
    gather(root, schema, 0, &mut kinds);
    if kinds.is_empty() { "anything".to_owned() } else { kinds.join(" or ") }
}

fn gather(root: &Value, schema: &Value, depth: usize, kinds: &mut Vec<String>) {
    let schema = resolved(root, schema);
    let mut add = |kind: String| {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    };
    if let Some(value) = schema.get("const") {
        return add(plain(value));
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(plain).for_each(add);
    }
    let choices = ["anyOf", "oneOf"].iter().find_map(|name| schema[*name].as_array());
    if let Some(choices) = choices.filter(|_| depth < DEPTH) {
        return choices.iter().for_each(|choice| gather(root, choice, depth + 1, kinds));
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    for one in types {
        add(match one {
            "string" => text_kind(schema),
            "integer" | "number" => number_kind(one, schema),
            "boolean" => "true or false".to_owned(),
            "array" => match schema.get("items").filter(|_| depth < DEPTH) {
                Some(items) => {
                    let mut inner = Vec::new();
                    gather(root, items, depth + 1, &mut inner);
                    format!("list of {}", if inner.is_empty() { "anything".to_owned() } else { inner.join(" or ") })
                }
                None => "list".to_owned(),
            },
            other => other.to_owned(),
        });
    }
}

fn text_kind(schema: &Value) -> String {
    match schema["format"].as_str() {
        Some(format) => format!("text ({format})"),
        None => "text".to_owned(),
    }
}

fn number_kind(kind: &str, schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!("{kind} {least} to {most}"),
        (Some(least), None) => format!("{kind} from {least}"),
        (None, Some(most)) => format!("{kind} to {most}"),
        (None, None) => kind.to_owned(),
    }
}

/// A value as a person writes it: a word without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(field: &Field) -> String {
        let required = if field.required { "!" } else { "" };
        format!("{}{required} = {}; {}", field.path, field.kind, field.description)
    }

    #[test]
    fn fields_are_listed_with_what_they_hold_and_what_they_mean() {
        let schema = json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "all": {"type": "boolean", "default": false, "description": "Whether\nall."},
                "mode": {"oneOf": [{"const": "a", "description": "One."}, {"const": "b", "description": "Two."}]},
                "name": {"type": ["string", "null"], "minLength": 1},
                "page": {"type": "integer", "minimum": 1, "maximum": 9},
                "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
                "text": {"anyOf": [{"type": "string"}, {"anyOf": [{"type": "object"}, {"type": "null"}]}]},
                "body": {"default": null},
            },
            "$defs": {"row": {"type": "object", "properties": {"key": {"type": "string", "format": "uri"}}}},
        });
        let lines: Vec<_> = fields(&schema).iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "name! = text or null; ",
                "all = true or false; Whether all. Left out: false.",
                "body = anything; ",
                "mode = a or b; a: One. b: Two.",
                "page = integer 1 to 9; ",
                "rows = list of object; ",
                "rows[].key = text (uri); ",
                "text = text or object or null; ",
            ]
        );
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let schema = json!({
            "properties": {"child": {"$ref": "#"}},
            "anyOf": [{"$ref": "#"}],
        });
        assert_eq!(fields(&schema).len(), DEPTH);
    }
}
