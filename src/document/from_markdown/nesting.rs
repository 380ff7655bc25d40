//! What may stand in what: ADF allows less than Markdown.

use super::super::{leaf, node, words};
use serde_json::Value;

/// What may stand in a quote or an item: paragraphs, lists and code. The rest keeps its words.
pub(super) fn fit(blocks: Vec<Value>) -> Vec<Value> {
    let mut fitting = Vec::new();
    for block in blocks {
        match block["type"].as_str().unwrap_or_default() {
            "paragraph" | "bulletList" | "orderedList" | "codeBlock" => fitting.push(block),
            "taskList" => fitting.push(without_tasks(block)),
            "heading" => {
                let mut inline = block["content"].as_array().cloned().unwrap_or_default();
                inline.iter_mut().for_each(strengthen);
                if !inline.is_empty() {
                    fitting.push(node("paragraph", inline));
                }
            }
            "blockquote" => fitting.extend(fit(children(&block))),
            "table" => {
                for row in children(&block) {
                    for cell in children(&row) {
                        fitting.extend(fit(children(&cell)).into_iter().filter(|p| !children(p).is_empty()));
                    }
                }
            }
            _ => {}
        }
    }
    fitting
}

/// An item begins with a paragraph or with code.
pub(super) fn fit_item(blocks: Vec<Value>) -> Vec<Value> {
    let tasks: Vec<Value> = blocks.iter().filter(|block| block["type"] == "taskList").cloned().collect();
    let others: Vec<Value> = blocks.into_iter().filter(|block| block["type"] != "taskList").collect();
    let mut content = fit(others);
    if !content.first().is_some_and(|first| matches!(first["type"].as_str(), Some("paragraph" | "codeBlock"))) {
        content.insert(0, node("paragraph", Vec::new()));
    }
    content.extend(tasks);
    content
}

fn children(node: &Value) -> Vec<Value> {
    node["content"].as_array().cloned().unwrap_or_default()
}

fn strengthen(node: &mut Value) {
    let marks = node["marks"].as_array().cloned().unwrap_or_default();
    let taken = marks.iter().any(|mark| mark["type"] == "strong" || mark["type"] == "code");
    if node["type"] == "text" && !taken {
        let mut marks = marks;
        marks.push(leaf("strong"));
        node["marks"] = Value::Array(marks);
    }
}

/// The words of a task and the task lists below it; none where it holds anything else.
pub(super) fn as_task(item: &Value) -> Option<(Vec<Value>, Vec<Value>)> {
    let mut inline = Vec::new();
    let mut nested = Vec::new();
    for block in item["content"].as_array()? {
        match block["type"].as_str()? {
            "paragraph" => {
                if !inline.is_empty() {
                    inline.push(leaf("hardBreak"));
                }
                inline.extend(block["content"].as_array()?.iter().cloned());
            }
            "taskList" => nested.push(block.clone()),
            _ => return None,
        }
    }
    Some((inline, nested))
}

/// An item of an ordinary list. A box it had is written out; task lists below it become ordinary too.
pub(super) fn plain_item(mut item: Value) -> Value {
    let sign = match item["task"].as_bool() {
        Some(true) => Some("[x] "),
        Some(false) => Some("[ ] "),
        None => None,
    };
    let mut content = item["content"].take().as_array().cloned().unwrap_or_default();
    if let Some(sign) = sign
        && let Some(inline) = content.first_mut().and_then(|block| block["content"].as_array_mut())
    {
        inline.insert(0, words(sign));
    }
    let content: Vec<Value> = content.into_iter().map(without_tasks).collect();
    node("listItem", content)
}

fn without_tasks(block: Value) -> Value {
    if block["type"] != "taskList" {
        return block;
    }
    let mut items: Vec<Value> = Vec::new();
    for child in block["content"].as_array().into_iter().flatten() {
        if child["type"] == "taskList" {
            let nested = without_tasks(child.clone());
            match items.last_mut().and_then(|item: &mut Value| item["content"].as_array_mut()) {
                Some(content) => content.push(nested),
                None => items.push(node("listItem", vec![node("paragraph", Vec::new()), nested])),
            }
        } else {
            let sign = if child["attrs"]["state"] == "DONE" { "[x] " } else { "[ ] " };
            let mut inline = vec![words(sign)];
            inline.extend(child["content"].as_array().cloned().unwrap_or_default());
            items.push(node("listItem", vec![node("paragraph", inline)]));
        }
    }
    node("bulletList", items)
}
