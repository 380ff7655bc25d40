//! ADF to the wiki markup of Data Center and Server.
//!
//! Source: Atlassian, "Text formatting notation help". Words are escaped, so that none of them becomes markup.

use super::DEEPEST;
use serde_json::Value;

/// Converts a document. What wiki markup has no form for keeps its words; what has none is left out.
pub fn to_wiki(document: &Value) -> String {
    let mut out = String::new();
    blocks(document, &mut out, 0);
    out.trim_matches('\n').to_owned()
}

fn content(node: &Value) -> &[Value] {
    node.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
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
    for (at, block) in content(node).iter().enumerate() {
        if at > 0 {
            out.push_str("\n\n");
        }
        one(block, out, level);
    }
}

fn one(node: &Value, out: &mut String, level: usize) {
    match kind(node) {
        "heading" => {
            let depth = attribute(node, "level").and_then(Value::as_u64).unwrap_or(1).clamp(1, 6);
            out.push_str(&format!("h{depth}. {}", inline(node).replace('\n', " ")));
        }
        "bulletList" => list(node, out, "*", level),
        "orderedList" => list(node, out, "#", level),
        "taskList" | "decisionList" => {
            for (at, item) in content(node).iter().enumerate() {
                let done = attribute(item, "state").is_some_and(|state| state == "DONE");
                let start = if at > 0 { "\n" } else { "" };
                out.push_str(&format!("{start}* {} {}", if done { "(/)" } else { "(x)" }, inline(item)));
            }
        }
        "codeBlock" => {
            let code: String = content(node).iter().filter_map(|part| part.get("text")?.as_str()).collect();
            let plain = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            // Inside, nothing is escaped: text that holds the one end gets the other.
            let (start, end) = match attribute(node, "language").and_then(Value::as_str).filter(plain) {
                _ if code.contains("{code") => ("{noformat}".to_owned(), "{noformat}"),
                Some(language) => (format!("{{code:{language}}}"), "{code}"),
                None => ("{code}".to_owned(), "{code}"),
            };
            out.push_str(&format!("{start}\n{code}\n{end}"));
        }
        "rule" => out.push_str("----"),
        "blockquote" | "panel" => {
            out.push_str("{quote}\n");
            blocks(node, out, level + 1);
            out.push_str("\n{quote}");
        }
        "table" => table(node, out),
        _ if content(node)
            .iter()
            .any(|part| !matches!(kind(part), "" | "text" | "hardBreak" | "mention" | "emoji")) =>
        {
            blocks(node, out, level + 1);
        }
        _ => out.push_str(&inline(node)),
    }
}

/// `marks` are those of the item: `*`, `**`, `#*` for one within another.
fn list(node: &Value, out: &mut String, marks: &str, level: usize) {
    if level > DEEPEST {
        return;
    }
    for (at, item) in content(node).iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        out.push_str(marks);
        out.push(' ');
        for (at, block) in content(item).iter().enumerate() {
            if at > 0 {
                out.push('\n');
            }
            match kind(block) {
                "bulletList" => list(block, out, &format!("{marks}*"), level + 1),
                "orderedList" => list(block, out, &format!("{marks}#"), level + 1),
                _ => one(block, out, level + 1),
            }
        }
    }
}

fn table(node: &Value, out: &mut String) {
    for (at, row) in content(node).iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let mut end = "|";
        for cell in content(row) {
            end = if kind(cell) == "tableHeader" { "||" } else { "|" };
            let parts: Vec<String> = content(cell).iter().map(inline).collect();
            let text = parts.join(" ").replace('\n', " ");
            // A cell with nothing in it would be taken for a part of its neighbour.
            out.push_str(&format!("{end}{}", if text.is_empty() { " " } else { &text }));
        }
        out.push_str(end);
    }
}

fn inline(node: &Value) -> String {
    let mut out = String::new();
    let parts = content(node);
    for (at, part) in parts.iter().enumerate() {
        let text = match kind(part) {
            "hardBreak" => "\n",
            "text" => part.get("text").and_then(Value::as_str).unwrap_or_default(),
            "mention" | "emoji" => attribute(part, "text").and_then(Value::as_str).unwrap_or_default(),
            _ => "",
        };
        let next = parts.get(at + 1).and_then(|next| next.get("text")?.as_str()?.chars().next());
        words(part, text, next, &mut out);
    }
    out
}

/// A run of text with its marks. Marks hold only at the edge of a word; within one they need braces.
fn words(node: &Value, text: &str, next: Option<char>, out: &mut String) {
    let inner = text.trim();
    let marks = node.get("marks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (Some(start), false) = (text.find(inner), inner.is_empty() || marks.is_empty()) else {
        escape(text, out);
        return;
    };
    let mut marked = String::new();
    escape(inner, &mut marked);
    let joined = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let within = (start == 0 && joined(out.chars().last())) || (start + inner.len() == text.len() && joined(next));
    for mark in marks {
        let sign = match kind(mark) {
            "strong" => "*",
            "em" => "_",
            "strike" => "-",
            "underline" => "+",
            "subsup" if attribute(mark, "type").is_some_and(|kind| kind == "sub") => "~",
            "subsup" => "^",
            "code" => {
                marked = format!("{{{{{marked}}}}}");
                continue;
            }
            "link" => {
                let href = attribute(mark, "href").and_then(Value::as_str).unwrap_or_default();
                marked = format!("[{marked}|{}]", address(href));
                continue;
            }
            _ => continue,
        };
        marked = if within { format!("{{{sign}}}{marked}{{{sign}}}") } else { format!("{sign}{marked}{sign}") };
    }
    escape(&text[..start], out);
    out.push_str(&marked);
    escape(&text[start + inner.len()..], out);
}

fn address(href: &str) -> String {
    href.replace('|', "%7C").replace('[', "%5B").replace(']', "%5D").replace(char::is_whitespace, "%20")
}

fn escape(text: &str, out: &mut String) {
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let before = out.chars().last();
        let starts = matches!(before, None | Some('\n'));
        let joined = before.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric);
        match c {
            // Two of them are a line break, and one escapes what follows.
            '\\' => out.push_str("&#92;"),
            '{' | '}' | '[' | ']' | '|' | '*' | '^' | '~' => out.extend(['\\', c]),
            '_' | '+' | '-' if !joined => out.extend(['\\', c]),
            '!' if next.is_some_and(|next| !next.is_whitespace()) => out.extend(['\\', c]),
            '?' if next == Some('?') => out.extend(['\\', c]),
            '#' if starts => out.extend(['\\', c]),
            // `h1. ` and `bq. ` begin a heading and a quote.
            '.' if ends_in_block_sign(out) => out.push_str("&#46;"),
            '\r' => {}
            _ => out.push(c),
        }
    }
}

fn ends_in_block_sign(out: &str) -> bool {
    let line = out.rsplit('\n').next().unwrap_or_default();
    matches!(line.as_bytes(), b"bq" | [b'h', b'1'..=b'6'])
}

#[cfg(test)]
mod tests {
    use super::super::{from_markdown, from_plain};
    use super::to_wiki;
    use serde_json::json;

    fn wiki(markdown: &str) -> String {
        to_wiki(&from_markdown(markdown))
    }

    #[test]
    fn markdown_becomes_wiki_markup() {
        for (markdown, expected) in [
            ("Seen **twice** this week.", "Seen *twice* this week."),
            ("# One\n\nTwo _three_ ~~four~~", "h1. One\n\nTwo _three_ -four-"),
            ("- a\n- b\n  - c\n    1. d", "* a\n* b\n** c\n**# d"),
            ("1. a\n2. b", "# a\n# b"),
            ("See [the page](https://example.test/a|b).", "See [the page|https://example.test/a%7Cb]."),
            ("Run `ls {x}` now", "Run {{ls \\{x\\}}} now"),
            ("```rust\nlet x = [1];\n```", "{code:rust}\nlet x = [1];\n{code}"),
            ("```\n{code}\n```", "{noformat}\n{code}\n{noformat}"),
            ("> quoted", "{quote}\nquoted\n{quote}"),
            ("---", "----"),
            ("| a | b |\n|---|---|\n| 1 | |", "||a||b||\n|1| |"),
            ("wo**r**d", "wo{*}r{*}d"),
        ] {
            assert_eq!(wiki(markdown), expected, "{markdown}");
        }
    }

    #[test]
    fn words_stay_words() {
        for (text, expected) in [
            ("a * b * c", "a \\* b \\* c"),
            ("C:\\temp", "C:&#92;temp"),
            ("2026-11-22 snake_case", "2026-11-22 snake_case"),
            ("-x- _y_ +z+", "\\-x\\- \\_y\\_ \\+z\\+"),
            ("{code} [x] !y.png! Hello!", "\\{code\\} \\[x\\] \\!y.png! Hello!"),
            ("h1. no heading", "h1&#46; no heading"),
            ("# no list\nbq. no quote", "\\# no list\nbq&#46; no quote"),
            ("??", "\\??"),
            ("", ""),
        ] {
            assert_eq!(to_wiki(&from_plain(text)), expected, "{text}");
        }
    }

    #[test]
    fn what_is_strange_keeps_its_words_and_never_panics() {
        let strange = json!({ "type": "doc", "content": [
            { "type": "unheard-of", "content": [{ "type": "paragraph", "content": [{ "type": "text", "text": "kept" }] }] },
            { "type": "mediaSingle" },
            { "type": "text", "text": 7 },
        ]});
        assert_eq!(to_wiki(&strange), "kept");
        assert_eq!(to_wiki(&json!(null)), "");
        let mut deep = json!({ "type": "paragraph" });
        for _ in 0..500 {
            deep = json!({ "type": "blockquote", "content": [deep] });
        }
        assert!(to_wiki(&json!({ "type": "doc", "content": [deep] })).starts_with("{quote}"));
    }
}
