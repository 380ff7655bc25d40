//! Rich text as the two API versions write it: ADF in v3, wiki text in v2.

use serde_json::{Value, json};

/// Characters a rich text field holds.
pub(crate) const LIMIT: usize = 32_767;

const NODES: &[&str] = &[
    "blockCard",
    "blockquote",
    "bulletList",
    "caption",
    "codeBlock",
    "date",
    "decisionItem",
    "decisionList",
    "embedCard",
    "emoji",
    "expand",
    "hardBreak",
    "heading",
    "inlineCard",
    "listItem",
    "media",
    "mediaGroup",
    "mediaInline",
    "mediaSingle",
    "mention",
    "nestedExpand",
    "orderedList",
    "panel",
    "paragraph",
    "placeholder",
    "rule",
    "status",
    "table",
    "tableCell",
    "tableHeader",
    "tableRow",
    "taskItem",
    "taskList",
    "text",
];

/// Whether Jira accepts this as an ADF document: known nodes, no empty text, content in lists.
pub(crate) fn is_document(value: &Value) -> bool {
    value["type"] == "doc"
        && value["version"] == 1
        && value["content"].as_array().is_some_and(|nodes| nodes.iter().all(|node| is_block(node) && is_node(node, 0)))
}

fn is_block(node: &Value) -> bool {
    !matches!(node["type"].as_str(), Some("text" | "hardBreak" | "mention" | "emoji" | "listItem" | "tableRow"))
}

fn is_node(node: &Value, depth: usize) -> bool {
    let Some(kind) = node["type"].as_str() else { return false };
    if depth > 100 || !NODES.contains(&kind) {
        return false;
    }
    if kind == "text" {
        return node["text"].as_str().is_some_and(|text| !text.is_empty());
    }
    if kind == "heading" && !node["attrs"]["level"].as_u64().is_some_and(|level| (1..=6).contains(&level)) {
        return false;
    }
    match &node["content"] {
        Value::Null => true,
        Value::Array(nodes) => nodes.iter().all(|node| is_node(node, depth + 1)),
        _ => false,
    }
}

/// Stored rich text (a document or a string) as v3 shows it.
pub(crate) fn to_document(stored: &Value) -> Value {
    let Some(text) = stored.as_str() else { return stored.clone() };
    let paragraphs: Vec<Value> = text
        .replace("\r\n", "\n")
        .split("\n\n")
        .filter(|paragraph| !paragraph.is_empty())
        .map(|paragraph| {
            let mut content = Vec::new();
            for (place, line) in paragraph.split('\n').enumerate() {
                if place > 0 {
                    content.push(json!({"type": "hardBreak"}));
                }
                if !line.is_empty() {
                    content.push(json!({"type": "text", "text": line}));
                }
            }
            json!({"type": "paragraph", "content": content})
        })
        .collect();
    json!({"type": "doc", "version": 1, "content": paragraphs})
}

/// Stored rich text as v2 shows it.
pub(crate) fn to_text(stored: &Value) -> String {
    match stored {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        document => blocks(&document["content"], "").trim_end().to_owned(),
    }
}

fn blocks(content: &Value, prefix: &str) -> String {
    let mut out = String::new();
    for node in content.as_array().into_iter().flatten() {
        match node["type"].as_str().unwrap_or_default() {
            "heading" => {
                out += &format!("h{}. {}\n\n", node["attrs"]["level"].as_u64().unwrap_or(1), inline(&node["content"]));
            }
            "bulletList" => out += &(items(&node["content"], &format!("{prefix}*")) + "\n"),
            "orderedList" => out += &(items(&node["content"], &format!("{prefix}#")) + "\n"),
            "codeBlock" => out += &format!("{{code}}\n{}\n{{code}}\n\n", inline(&node["content"])),
            "blockquote" => {
                out += &format!("{{quote}}\n{}\n{{quote}}\n\n", blocks(&node["content"], prefix).trim_end())
            }
            "rule" => out += "----\n\n",
            "paragraph" => out += &(inline(&node["content"]) + "\n\n"),
            _ => out += &blocks(&node["content"], prefix),
        }
    }
    out
}

fn items(content: &Value, prefix: &str) -> String {
    let mut out = String::new();
    for item in content.as_array().into_iter().flatten() {
        let mut first = true;
        for block in item["content"].as_array().into_iter().flatten() {
            match block["type"].as_str().unwrap_or_default() {
                "bulletList" => out += &items(&block["content"], &format!("{prefix}*")),
                "orderedList" => out += &items(&block["content"], &format!("{prefix}#")),
                _ => {
                    let lead = if first { format!("{prefix} ") } else { String::new() };
                    out += &format!("{lead}{}\n", inline(&block["content"]));
                    first = false;
                }
            }
        }
    }
    out
}

fn inline(content: &Value) -> String {
    let mut out = String::new();
    for node in content.as_array().into_iter().flatten() {
        match node["type"].as_str().unwrap_or_default() {
            "hardBreak" => out.push('\n'),
            "mention" => out += &format!("[~accountid:{}]", node["attrs"]["id"].as_str().unwrap_or_default()),
            "emoji" => out += node["attrs"]["shortName"].as_str().unwrap_or_default(),
            "inlineCard" => out += &format!("[{}]", node["attrs"]["url"].as_str().unwrap_or_default()),
            _ => out += &marked(node),
        }
    }
    out
}

fn marked(node: &Value) -> String {
    let mut text = node["text"].as_str().unwrap_or_default().to_owned();
    for mark in node["marks"].as_array().into_iter().flatten() {
        text = match mark["type"].as_str().unwrap_or_default() {
            "strong" => format!("*{text}*"),
            "em" => format!("_{text}_"),
            "code" => format!("{{{{{text}}}}}"),
            "strike" => format!("-{text}-"),
            "link" => format!("[{text}|{}]", mark["attrs"]["href"].as_str().unwrap_or_default()),
            _ => text,
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_paragraphs_and_comes_back() {
        let document = to_document(&json!("one\ntwo\n\nthree"));
        assert!(is_document(&document));
        assert_eq!(to_text(&document), "one\ntwo\n\nthree");
    }

    #[test]
    fn empty_text_nodes_and_unknown_nodes_are_refused() {
        let doc = |node: Value| json!({"type": "doc", "version": 1, "content": [node]});
        assert!(!is_document(&doc(json!({"type": "paragraph", "content": [{"type": "text", "text": ""}]}))));
        assert!(!is_document(&doc(json!({"type": "marquee"}))));
        assert!(!is_document(&doc(json!({"type": "text", "text": "loose"}))));
        assert!(!is_document(&json!({"type": "doc", "content": []})));
    }

    #[test]
    fn lists_and_marks_are_written_as_wiki_text() {
        let document = json!({"type": "doc", "version": 1, "content": [
            {"type": "heading", "attrs": {"level": 2}, "content": [{"type": "text", "text": "Steps"}]},
            {"type": "bulletList", "content": [{"type": "listItem", "content": [
                {"type": "paragraph", "content": [{"type": "text", "text": "press", "marks": [{"type": "strong"}]}]}]}]}]});
        assert_eq!(to_text(&document), "h2. Steps\n\n* *press*");
    }
}
