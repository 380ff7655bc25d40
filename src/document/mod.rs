//! Rich text: Markdown and plain text to Atlassian's document format (ADF), and from that to Markdown and wiki markup.
//!
//! Source: Atlassian, "Atlassian Document Format", and its JSON schema of the full format.

mod from_markdown;
mod to_markdown;
mod to_wiki;

pub use from_markdown::from_markdown;
pub(crate) use to_markdown::markdown_of;
pub use to_markdown::to_markdown;
pub use to_wiki::to_wiki;

use crate::contract::{Error, Failure};
use crate::jira::deployment::Deployment;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// No document nests deeper: neither ours nor one that is passed on.
pub const DEEPEST: usize = 40;
/// The longest text Jira takes in a field.
const LONGEST: usize = 32_767;

/// A text for people: a string is Markdown; an object names its format, or is a document in ADF.
#[derive(Clone, Debug)]
pub struct RichText(Value);

impl JsonSchema for RichText {
    fn schema_name() -> Cow<'static, str> {
        "RichText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "title": "Markdown" },
                {
                    "type": "object",
                    "title": "With its format",
                    "required": ["format", "content"],
                    "additionalProperties": false,
                    "properties": {
                        "format": { "enum": ["markdown", "plain", "adf"] },
                        "content": { "type": ["string", "object"] }
                    }
                },
                {
                    "type": "object",
                    "title": "Document (ADF)",
                    "required": ["type", "version", "content"],
                    "properties": {
                        "type": { "const": "doc" },
                        "version": { "const": 1 },
                        "content": { "type": "array" }
                    }
                }
            ]
        })
    }
}

impl RichText {
    /// What a person wrote. Whether it is a text is found out when it is used.
    pub(crate) fn of(value: Value) -> Self {
        Self(value)
    }

    /// Whether an object is a text rather than a value of another kind.
    pub(crate) fn is_formatted(members: &Map<String, Value>) -> bool {
        (members.contains_key("format") && members.contains_key("content"))
            || members.get("type") == Some(&json!("doc"))
    }

    /// As a deployment takes it: Cloud a document, Data Center wiki markup. `pointer` and `name` say where the text is in
    /// the input.
    pub(crate) fn encode(&self, deployment: Deployment, pointer: &str, name: &str) -> Result<Value, Error> {
        let document = self.to_adf(pointer, name)?;
        Ok(if deployment.is_cloud() { document } else { Value::String(to_wiki(&document)) })
    }

    /// As a document.
    fn to_adf(&self, pointer: &str, name: &str) -> Result<Value, Error> {
        let refuse = |message: String, remedy: &str| {
            Err(Failure::input("document-invalid", pointer, name, message, remedy).permanent())
        };
        let too_long = |text: &str| text.chars().count() > LONGEST;
        let (format, content) = match &self.0 {
            Value::String(_) => ("markdown", &self.0),
            Value::Object(members) if members.get("type") == Some(&json!("doc")) => ("adf", &self.0),
            Value::Object(members) => match (members.get("format").and_then(Value::as_str), members.get("content")) {
                (Some(format), Some(content)) => (format, content),
                _ => {
                    return refuse(
                        format!("{name} is neither text nor a document."),
                        "Give a string, or format and content.",
                    );
                }
            },
            _ => {
                return refuse(
                    format!("{name} is neither text nor a document."),
                    "Give a string, or format and content.",
                );
            }
        };
        match (format, content) {
            ("markdown" | "plain", Value::String(text)) if too_long(text) => {
                refuse(format!("{name} is longer than {LONGEST} characters."), "Shorten it, or attach it as a file.")
            }
            ("markdown", Value::String(text)) => Ok(from_markdown(text)),
            ("plain", Value::String(text)) => Ok(from_plain(text)),
            ("adf", document) => match check(document) {
                Ok(()) => Ok(document.clone()),
                Err(why) => refuse(format!("{name}: {why}"), "Give a document as Atlassian's document format has it."),
            },
            _ => refuse(format!("{name} has an unknown format or content."), "Use the format markdown, plain or adf."),
        }
    }
}

/// A document of plain text: an empty line parts paragraphs, every other line break is kept.
pub fn from_plain(text: &str) -> Value {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.trim_matches('\n')).filter(|p| !p.is_empty());
    let content: Vec<Value> = paragraphs
        .map(|paragraph| {
            let mut inline = Vec::new();
            for (at, line) in paragraph.split('\n').enumerate() {
                if at > 0 {
                    inline.push(leaf("hardBreak"));
                }
                if !line.is_empty() {
                    inline.push(words(line));
                }
            }
            node("paragraph", inline)
        })
        .collect();
    doc(content)
}

/// A node without content or attributes, and any mark.
fn leaf(kind: &str) -> Value {
    let mut members = Map::new();
    members.insert("type".to_owned(), Value::String(kind.to_owned()));
    Value::Object(members)
}

/// A node with content.
fn node(kind: &str, content: Vec<Value>) -> Value {
    let mut node = leaf(kind);
    node["content"] = Value::Array(content);
    node
}

/// A node with attributes.
fn with(attribute: &str, value: Value, mut node: Value) -> Value {
    node["attrs"][attribute] = value;
    node
}

/// Words without marks.
fn words(text: &str) -> Value {
    let mut words = leaf("text");
    words["text"] = Value::String(text.to_owned());
    words
}

/// A whole document; an empty one has an empty paragraph, as Jira's editor writes it.
fn doc(mut content: Vec<Value>) -> Value {
    if content.is_empty() {
        content.push(node("paragraph", Vec::new()));
    }
    json!({ "type": "doc", "version": 1, "content": content })
}

/// Checks what would be refused anyway, without knowing every node: Jira does the rest.
fn check(document: &Value) -> Result<(), String> {
    let whole = document.get("type") == Some(&json!("doc"))
        && document.get("version") == Some(&json!(1))
        && document.get("content").is_some_and(Value::is_array);
    if !whole {
        return Err("a document has type doc, version 1 and a list as content.".to_owned());
    }
    depth(document, 0)
}

fn depth(node: &Value, level: usize) -> Result<(), String> {
    if level > DEEPEST {
        return Err(format!("the document nests deeper than {DEEPEST}."));
    }
    if !node.get("type").is_some_and(Value::is_string) {
        return Err("every node of a document has a type.".to_owned());
    }
    match node.get("content") {
        None => Ok(()),
        Some(Value::Array(nodes)) => nodes.iter().try_for_each(|node| depth(node, level + 1)),
        Some(_) => Err("the content of a node is a list.".to_owned()),
    }
}

#[cfg(test)]
mod tests;
