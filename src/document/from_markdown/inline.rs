//! What stands in a line: words with marks, links, mentions, breaks.

use super::super::{leaf, with, words};
use serde_json::{Value, json};

/// How Jira's own markup writes a mention, and what its editor still takes; the account id and `]` follow.
const MENTION: &str = "[~accountid:";

/// The marks that are open.
#[derive(Default)]
pub(super) struct Marks {
    pub(super) strong: usize,
    pub(super) slant: usize,
    pub(super) strike: usize,
    /// The links that are open; none for one that leads nowhere safe.
    links: Vec<Option<String>>,
}

impl Marks {
    pub(super) fn open_link(&mut self, href: &str) {
        self.links.push(safe_link(href));
    }

    pub(super) fn close_link(&mut self) {
        self.links.pop();
    }

    /// The marks of words: each once; of nested links the innermost.
    pub(super) fn of_text(&self) -> Vec<Value> {
        let open = [("em", self.slant), ("strong", self.strong), ("strike", self.strike)];
        let marks = open.into_iter().filter(|(_, times)| *times > 0).map(|(name, _)| leaf(name));
        marks.chain(self.link()).collect()
    }

    /// The marks of code: ADF lets it go with a link and with nothing else.
    pub(super) fn of_code(&self) -> Vec<Value> {
        std::iter::once(leaf("code")).chain(self.link()).collect()
    }

    fn link(&self) -> Option<Value> {
        let href = self.links.iter().rev().flatten().next()?;
        Some(with("href", json!(href), leaf("link")))
    }
}

/// Adds words, to the last ones where they are marked alike.
pub(super) fn push_text(inline: &mut Vec<Value>, text: &str, marks: Vec<Value>) {
    let marks = if marks.is_empty() { Value::Null } else { Value::Array(marks) };
    if let Some(last) = inline.last_mut()
        && last["type"] == "text"
        && last.get("marks").unwrap_or(&Value::Null) == &marks
    {
        let joined = format!("{}{text}", last["text"].as_str().unwrap_or_default());
        last["text"] = json!(joined);
        return;
    }
    let mut node = words(text);
    if !marks.is_null() {
        node["marks"] = marks;
    }
    inline.push(node);
}

/// The content of a block: without blanks and breaks at both ends, and with its mentions.
pub(super) fn finished(mut inline: Vec<Value>) -> Vec<Value> {
    let blank =
        |node: &Value| node["type"] == "hardBreak" || node["text"].as_str().is_some_and(|text| text.trim().is_empty());
    while inline.last().is_some_and(blank) {
        inline.pop();
    }
    inline.into_iter().skip_while(blank).flat_map(with_mentions).collect()
}

/// Parts words at the mentions in them. Code and links keep theirs as words.
fn with_mentions(node: Value) -> Vec<Value> {
    let bound =
        node["marks"].as_array().into_iter().flatten().any(|mark| mark["type"] == "code" || mark["type"] == "link");
    let Some(text) = node["text"].as_str().filter(|text| !bound && text.contains(MENTION)) else { return vec![node] };
    let words = |text: &str| {
        let mut words = node.clone();
        words["text"] = json!(text);
        (!text.is_empty()).then_some(words)
    };
    let mut parts = Vec::new();
    let mut rest = text;
    let mut from = 0;
    while let Some(at) = rest[from..].find(MENTION).map(|at| from + at) {
        let id_at = at + MENTION.len();
        let length = rest[id_at..].find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_')));
        let end = length.map_or(rest.len(), |length| id_at + length);
        if end == id_at || !rest[end..].starts_with(']') {
            from = id_at;
            continue;
        }
        parts.extend(words(&rest[..at]));
        parts.push(with("id", json!(&rest[id_at..end]), leaf("mention")));
        rest = &rest[end + 1..];
        from = 0;
    }
    parts.extend(words(rest));
    parts
}

/// Whether a piece of HTML is `<br>`.
pub(super) fn is_break(html: &str) -> bool {
    let name: String = html.chars().filter(char::is_ascii_alphabetic).collect();
    name.eq_ignore_ascii_case("br")
}

/// Links lead only where a click can do no harm: the web, mail, telephone, or a place in the same site.
fn safe_link(href: &str) -> Option<String> {
    let href = href.trim();
    if href.is_empty() || href.chars().any(char::is_control) {
        return None;
    }
    match href.split_once(':') {
        Some((scheme, _)) if !scheme.contains(['/', '?', '#']) => {
            let scheme = scheme.to_ascii_lowercase();
            matches!(scheme.as_str(), "http" | "https" | "mailto" | "tel").then(|| href.to_owned())
        }
        _ => (href.starts_with('/') && !href.starts_with("//") || href.starts_with('#')).then(|| href.to_owned()),
    }
}
