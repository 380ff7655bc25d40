//! ADF to Markdown, for reading back.

use super::DEEPEST;
use serde_json::Value;

/// Converts a document. What Markdown has no form for keeps its words; what has none is left out.
pub fn to_markdown(document: &Value) -> String {
    let mut out = String::new();
    blocks(document, &mut out, 0);
    let trimmed = out.trim_matches('\n');
    trimmed.to_owned()
}

fn content(node: &Value) -> impl Iterator<Item = &Value> {
    node.get("content").and_then(Value::as_array).into_iter().flatten()
}

fn kind(node: &Value) -> &str {
    node.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn attribute<'v>(node: &'v Value, name: &str) -> Option<&'v Value> {
    node.get("attrs")?.get(name)
}

fn blocks(node: &Value, out: &mut String, level: usize) {
    if level > DEEPEST {
        return;
    }
    for (at, block) in content(node).enumerate() {
        if at > 0 {
            out.push_str("\n\n");
        }
        one(block, out, level);
    }
}

fn one(node: &Value, out: &mut String, level: usize) {
    match kind(node) {
        "paragraph" => out.push_str(&escaped_start(&inline(node, level))),
        "heading" => {
            let depth = attribute(node, "level").and_then(Value::as_u64).unwrap_or(1).clamp(1, 6);
            out.extend(std::iter::repeat_n('#', usize::try_from(depth).unwrap_or(1)));
            out.push(' ');
            out.push_str(&inline(node, level).replace('\n', " "));
        }
        "bulletList" => list(node, out, level, |_| "- ".to_owned()),
        "orderedList" => {
            let first = attribute(node, "order").and_then(Value::as_u64).unwrap_or(1);
            list(node, out, level, |at| format!("{}. ", first.saturating_add(at)));
        }
        "taskList" | "decisionList" => tasks(node, out, level),
        "codeBlock" => code(node, out),
        "rule" => out.push_str("---"),
        "blockquote" | "panel" => {
            let mut quoted = String::new();
            blocks(node, &mut quoted, level + 1);
            out.push_str(&prefixed(&quoted, "> ", "> "));
        }
        "table" => table(node, out, level),
        "mediaSingle" | "mediaGroup" | "media" => {
            let alt = attribute(node, "alt").and_then(Value::as_str).unwrap_or("attachment");
            out.push_str(&format!("[{}]", escaped(alt)));
        }
        _ if node.get("text").is_some() || content(node).any(|child| child.get("text").is_some()) => {
            out.push_str(&inline(node, level));
        }
        _ => blocks(node, out, level + 1),
    }
}

fn list(node: &Value, out: &mut String, level: usize, sign: impl Fn(u64) -> String) {
    for (at, item) in (0u64..).zip(content(node)) {
        if at > 0 {
            out.push('\n');
        }
        let sign = sign(at);
        let mut inner = String::new();
        let mut first = true;
        if level < DEEPEST {
            for block in content(item) {
                if !first {
                    // A list directly below its item stays tight.
                    inner.push_str(if kind(block).ends_with("List") { "\n" } else { "\n\n" });
                }
                one(block, &mut inner, level + 1);
                first = false;
            }
        }
        out.push_str(&prefixed(&inner, &sign, &" ".repeat(sign.len())));
    }
}

fn tasks(node: &Value, out: &mut String, level: usize) {
    for (at, item) in content(node).enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if kind(item) == "taskList" {
            let mut inner = String::new();
            if level < DEEPEST {
                tasks(item, &mut inner, level + 1);
            }
            out.push_str(&prefixed(&inner, "  ", "  "));
        } else {
            let done = attribute(item, "state").is_some_and(|state| state == "DONE" || state == "DECIDED");
            out.push_str(if done { "- [x] " } else { "- [ ] " });
            out.push_str(&inline(item, level).replace('\n', " "));
        }
    }
}

fn code(node: &Value, out: &mut String) {
    let text: String = content(node).filter_map(|child| child.get("text")?.as_str()).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let language = attribute(node, "language").and_then(Value::as_str).unwrap_or_default();
    let language: String = language.chars().filter(|c| !c.is_control() && *c != '`').collect();
    out.push_str(&format!("{fence}{language}\n{text}\n{fence}"));
}

fn table(node: &Value, out: &mut String, level: usize) {
    for (at, row) in content(node).enumerate() {
        let cells: Vec<String> = content(row)
            .map(|cell| {
                let mut inner = String::new();
                blocks(cell, &mut inner, level + 1);
                inner.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
            })
            .collect();
        if at > 0 {
            out.push('\n');
        }
        out.push_str(&format!("| {} |", cells.join(" | ")));
        if at == 0 {
            out.push_str(&format!("\n|{}", " --- |".repeat(cells.len().max(1))));
        }
    }
}

fn inline(node: &Value, level: usize) -> String {
    let mut out = String::new();
    if let Some(text) = node.get("text").and_then(Value::as_str) {
        out.push_str(&marked(text, node));
    }
    for child in content(node) {
        match kind(child) {
            "text" => out.push_str(&marked(child.get("text").and_then(Value::as_str).unwrap_or_default(), child)),
            "hardBreak" => out.push_str("\\\n"),
            "mention" if attribute(child, "text").and_then(Value::as_str).is_none_or(str::is_empty) => {
                let id = attribute(child, "id").and_then(Value::as_str).unwrap_or_default();
                out.push_str(&format!("[~accountid:{id}]"));
            }
            "mention" | "status" | "emoji" | "placeholder" => {
                let text = attribute(child, "text").or_else(|| attribute(child, "shortName")).and_then(Value::as_str);
                out.push_str(&escaped(text.unwrap_or_default()));
            }
            "date" => {
                let ms = attribute(child, "timestamp").and_then(|at| at.as_str()?.parse::<u64>().ok());
                out.push_str(ms.map(crate::jira::timestamp::format).unwrap_or_default().get(..10).unwrap_or_default());
            }
            "inlineCard" => {
                if let Some(url) = attribute(child, "url").and_then(Value::as_str) {
                    out.push_str(&format!("<{}>", url.replace(['<', '>', ' ', '\n'], "")));
                }
            }
            _ if level < DEEPEST => out.push_str(&inline(child, level + 1)),
            _ => {}
        }
    }
    out
}

fn marked(text: &str, node: &Value) -> String {
    let marks: Vec<&Value> = node.get("marks").and_then(Value::as_array).into_iter().flatten().collect();
    let has = |name: &str| marks.iter().any(|mark| kind(mark) == name);
    let core = text.trim();
    if core.is_empty() {
        return text.to_owned();
    }
    let mut out = if has("code") {
        let fence = "`".repeat(core.split(|c| c != '`').map(str::len).max().unwrap_or(0) + 1);
        let pad = if core.starts_with('`') || core.ends_with('`') { " " } else { "" };
        format!("{fence}{pad}{core}{pad}{fence}")
    } else {
        escaped(core)
    };
    for (name, sign) in [("strike", "~~"), ("em", "*"), ("strong", "**")] {
        if has(name) && !has("code") {
            out = format!("{sign}{out}{sign}");
        }
    }
    if let Some(href) = marks.iter().find(|m| kind(m) == "link").and_then(|m| attribute(m, "href")?.as_str()) {
        out = format!("[{out}](<{}>)", href.replace(['<', '>', '\n'], ""));
    }
    // Marks hold only where they touch a word: the blanks go outside.
    let before = &text[..text.len() - text.trim_start().len()];
    let after = &text[text.trim_end().len()..];
    format!("{before}{out}{after}")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A paragraph whose first sign would make it another block.
fn escaped_start(text: &str) -> String {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && text[digits..].starts_with(['.', ')']) {
        return format!("{}\\{}", &text[..digits], &text[digits..]);
    }
    if text.starts_with(['#', '+', '-', '>', '=']) { format!("\\{text}") } else { text.to_owned() }
}

fn prefixed(text: &str, first: &str, rest: &str) -> String {
    let lines = text.split('\n').enumerate().map(|(at, line)| {
        let prefix = if at == 0 { first } else { rest };
        format!("{prefix}{line}").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
