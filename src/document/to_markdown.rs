//! ADF to Markdown, for reading back.

use super::DEEPEST;
use crate::json::{self, Members, Part, string};
use serde_json::Value;
use std::borrow::Cow;

/// Converts a document. What Markdown has no form for keeps its words; what has none is left out.
pub fn to_markdown(document: &Value) -> String {
    let text = json::text(document);
    // A text made of a value is sound.
    let outline = json::outline(&text).unwrap_or_default();
    markdown_of(Part::of(&text, &outline))
}

/// The same of a document's text, which is never taken apart as a whole.
pub(crate) fn markdown_of(document: Part<'_>) -> String {
    let mut out = String::new();
    if let Some(document) = Node::read(document) {
        blocks(&document, &mut out, 0);
    }
    let trimmed = out.trim_matches('\n');
    trimmed.to_owned()
}

/// A node of a document.
struct Node<'t> {
    kind: Cow<'t, str>,
    text: Option<Cow<'t, str>>,
    members: Members<'t>,
}

impl<'t> Node<'t> {
    /// A node has members; what has none is no node, and left out.
    fn read(node: Part<'t>) -> Option<Self> {
        let members = node.members()?;
        Some(Self { kind: members.string("type").unwrap_or_default(), text: members.string("text"), members })
    }

    fn content(&self) -> Vec<Node<'t>> {
        self.nodes("content")
    }

    fn nodes(&self, member: &str) -> Vec<Node<'t>> {
        self.members.items(member).unwrap_or_default().into_iter().filter_map(Node::read).collect()
    }

    fn is_text(&self) -> bool {
        self.members.get("text").is_some()
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// An attribute that is a string.
    fn attribute(&self, name: &str) -> Option<Cow<'t, str>> {
        self.members.object("attrs")?.string(name)
    }

    /// An attribute that is a whole number.
    fn number(&self, name: &str) -> Option<u64> {
        self.members.object("attrs")?.get(name)?.parse().ok()
    }
}

fn blocks(node: &Node<'_>, out: &mut String, level: usize) {
    if level > DEEPEST {
        return;
    }
    for (at, block) in node.content().iter().enumerate() {
        if at > 0 {
            out.push_str("\n\n");
        }
        one(block, out, level);
    }
}

fn one(node: &Node<'_>, out: &mut String, level: usize) {
    match &*node.kind {
        "paragraph" => out.push_str(&escaped_start(&inline(node, level))),
        "heading" => {
            let depth = node.number("level").unwrap_or(1).clamp(1, 6);
            out.extend(std::iter::repeat_n('#', usize::try_from(depth).unwrap_or(1)));
            out.push(' ');
            out.push_str(&inline(node, level).replace('\n', " "));
        }
        "bulletList" => list(node, out, level, |_| "- ".to_owned()),
        "orderedList" => {
            let first = node.number("order").unwrap_or(1);
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
            let alt = node.attribute("alt").unwrap_or(Cow::Borrowed("attachment"));
            out.push_str(&format!("[{}]", escaped(&alt)));
        }
        _ if node.is_text() || node.content().iter().any(Node::is_text) => {
            out.push_str(&inline(node, level));
        }
        _ => blocks(node, out, level + 1),
    }
}

fn list(node: &Node<'_>, out: &mut String, level: usize, sign: impl Fn(u64) -> String) {
    for (at, item) in (0u64..).zip(node.content()) {
        if at > 0 {
            out.push('\n');
        }
        let sign = sign(at);
        let mut inner = String::new();
        let mut first = true;
        if level < DEEPEST {
            for block in &item.content() {
                if !first {
                    // A list directly below its item stays tight.
                    inner.push_str(if block.kind.ends_with("List") { "\n" } else { "\n\n" });
                }
                one(block, &mut inner, level + 1);
                first = false;
            }
        }
        out.push_str(&prefixed(&inner, &sign, &" ".repeat(sign.len())));
    }
}

fn tasks(node: &Node<'_>, out: &mut String, level: usize) {
    for (at, item) in node.content().iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if item.kind == "taskList" {
            let mut inner = String::new();
            if level < DEEPEST {
                tasks(item, &mut inner, level + 1);
            }
            out.push_str(&prefixed(&inner, "  ", "  "));
        } else {
            let done = item.attribute("state").is_some_and(|state| state == "DONE" || state == "DECIDED");
            out.push_str(if done { "- [x] " } else { "- [ ] " });
            out.push_str(&inline(item, level).replace('\n', " "));
        }
    }
}

fn code(node: &Node<'_>, out: &mut String) {
    let text: String = node.content().iter().map(Node::text).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let language = node.attribute("language").unwrap_or_default();
    let language: String = language.chars().filter(|c| !c.is_control() && *c != '`').collect();
    out.push_str(&format!("{fence}{language}\n{text}\n{fence}"));
}

fn table(node: &Node<'_>, out: &mut String, level: usize) {
    for (at, row) in node.content().iter().enumerate() {
        let cells: Vec<String> = row
            .content()
            .iter()
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

fn inline(node: &Node<'_>, level: usize) -> String {
    let mut out = String::new();
    if node.text.is_some() {
        out.push_str(&marked(node));
    }
    for child in &node.content() {
        match &*child.kind {
            "text" => out.push_str(&marked(child)),
            "hardBreak" => out.push_str("\\\n"),
            "mention" if child.attribute("text").is_none_or(|text| text.is_empty()) => {
                let id = child.attribute("id").unwrap_or_default();
                out.push_str(&format!("[~accountid:{id}]"));
            }
            "mention" | "status" | "emoji" | "placeholder" => {
                let named = child.members.object("attrs");
                let text = named.and_then(|named| string(named.get("text").or_else(|| named.get("shortName"))?));
                out.push_str(&escaped(&text.unwrap_or_default()));
            }
            "date" => {
                let ms = child.attribute("timestamp").and_then(|at| at.parse::<u64>().ok());
                out.push_str(ms.map(crate::jira::timestamp::format).unwrap_or_default().get(..10).unwrap_or_default());
            }
            "inlineCard" => {
                if let Some(url) = child.attribute("url") {
                    out.push_str(&format!("<{}>", url.replace(['<', '>', ' ', '\n'], "")));
                }
            }
            _ if level < DEEPEST => out.push_str(&inline(child, level + 1)),
            _ => {}
        }
    }
    out
}

/// The text of a node with its marks.
fn marked(node: &Node<'_>) -> String {
    let text = node.text();
    let marks = node.nodes("marks");
    let has = |name: &str| marks.iter().any(|mark| mark.kind == name);
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
    if let Some(href) = marks.iter().find(|mark| mark.kind == "link").and_then(|mark| mark.attribute("href")) {
        out = format!("[{out}](<{}>)", href.replace(['<', '>', '\n'], ""));
    }
    // Marks hold only where they touch a word: the blanks go outside.
    let before = &text[..text.len() - text.trim_start().len()];
    let after = &text[text.trim_end().len()..];
    format!("{before}{out}{after}")
}

/// The signs that mean something within a line of Markdown.
const SIGNS: [bool; 128] = {
    let mut signs = [false; 128];
    let mut at = 0;
    while at < b"\\`*_[]<~".len() {
        signs[b"\\`*_[]<~"[at] as usize] = true;
        at += 1;
    }
    signs
};

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut copied = 0;
    let mut at = json_text::first_of(text, 0, &SIGNS);
    while at < text.len() {
        out.push_str(&text[copied..at]);
        out.push('\\');
        copied = at;
        at = json_text::first_of(text, at + 1, &SIGNS);
    }
    out.push_str(&text[copied..]);
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
