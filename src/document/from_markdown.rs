//! Markdown (CommonMark with tables, strike-through and task lists) to ADF.
//!
//! ADF allows less nesting than Markdown: where a block may not stand, its words stay and its form is given up.

use super::doc;
use pulldown_cmark::{Alignment, CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use serde_json::{Value, json};

/// Lists and quotes nested deeper than this are laid flat.
const DEEPEST: usize = 12;
/// Languages are names, not sentences.
const LONGEST_LANGUAGE: usize = 40;

/// Converts Markdown. Every text gives a document; unsafe links stay as words.
pub fn from_markdown(markdown: &str) -> Value {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut builder = Builder { frames: vec![Frame::new(Kind::Root)], marks: Vec::new(), tasks: 0 };
    for event in Parser::new_ext(markdown, options) {
        builder.event(event);
    }
    while builder.frames.len() > 1 {
        builder.close();
    }
    let root = builder.frames.pop().map(Frame::into_blocks).unwrap_or_default();
    doc(root)
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Root,
    Paragraph,
    Heading(u8),
    Quote,
    List(Option<u64>),
    Item,
    Code(String),
    Table,
    Row,
    Cell {
        header: bool,
    },
    /// A block that is laid flat: its content goes to the block around it.
    Flat,
}

struct Frame {
    kind: Kind,
    blocks: Vec<Value>,
    inline: Vec<Value>,
    /// Of an item: whether its box is ticked.
    task: Option<bool>,
}

impl Frame {
    fn new(kind: Kind) -> Self {
        Self { kind, blocks: Vec::new(), inline: Vec::new(), task: None }
    }

    /// Words that stand without a paragraph get one.
    fn settle(&mut self) {
        let inline = trimmed(std::mem::take(&mut self.inline));
        if !inline.is_empty() {
            self.blocks.push(json!({ "type": "paragraph", "content": inline }));
        }
    }

    fn into_blocks(mut self) -> Vec<Value> {
        self.settle();
        self.blocks
    }
}

struct Builder {
    frames: Vec<Frame>,
    marks: Vec<Option<Value>>,
    tasks: usize,
}

impl Builder {
    fn top(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::new(Kind::Root));
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn open(&mut self, kind: Kind) {
        let inline_only = matches!(kind, Kind::Row | Kind::Cell { .. });
        if !inline_only {
            self.top().settle();
        }
        let nests = matches!(kind, Kind::Quote | Kind::List(_) | Kind::Item);
        let kind = if nests && self.frames.len() > DEEPEST { Kind::Flat } else { kind };
        self.frames.push(Frame::new(kind));
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(code) => self.code(&code),
            Event::SoftBreak => self.text(" "),
            Event::HardBreak => self.top().inline.push(json!({ "type": "hardBreak" })),
            Event::InlineHtml(html) if is_break(&html) => self.top().inline.push(json!({ "type": "hardBreak" })),
            Event::Html(html) | Event::InlineHtml(html) => self.text(html.trim_end_matches('\n')),
            Event::Rule => {
                self.top().settle();
                self.top().blocks.push(json!({ "type": "rule" }));
            }
            Event::TaskListMarker(done) => {
                let item = self.frames.iter_mut().rev().find(|frame| frame.kind == Kind::Item);
                if let Some(item) = item {
                    item.task = Some(done);
                }
            }
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.open(Kind::Paragraph),
            Tag::Heading { level, .. } => self.open(Kind::Heading(level_number(level))),
            Tag::BlockQuote(_) => self.open(Kind::Quote),
            Tag::List(start) => self.open(Kind::List(start)),
            Tag::Item => self.open(Kind::Item),
            Tag::CodeBlock(kind) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => info.split_whitespace().next().unwrap_or_default().to_owned(),
                    CodeBlockKind::Indented => String::new(),
                };
                self.open(Kind::Code(language));
            }
            Tag::Table(alignment) => {
                let _: Vec<Alignment> = alignment;
                self.open(Kind::Table);
            }
            Tag::TableHead | Tag::TableRow => {
                self.open(Kind::Row);
                if matches!(tag, Tag::TableHead) {
                    self.top().task = Some(true);
                }
            }
            Tag::TableCell => {
                let header = self.top().task == Some(true);
                self.open(Kind::Cell { header });
            }
            Tag::Emphasis => self.marks.push(Some(json!({ "type": "em" }))),
            Tag::Strong => self.marks.push(Some(json!({ "type": "strong" }))),
            Tag::Strikethrough => self.marks.push(Some(json!({ "type": "strike" }))),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                let link = safe_link(&dest_url).map(|href| json!({ "type": "link", "attrs": { "href": href } }));
                self.marks.push(link);
            }
            // A mark that means nothing here keeps starts and ends in step.
            Tag::Superscript | Tag::Subscript => self.marks.push(None),
            _ => self.open(Kind::Flat),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Link
            | TagEnd::Image
            | TagEnd::Superscript
            | TagEnd::Subscript => {
                self.marks.pop();
            }
            _ => {
                if self.frames.len() > 1 {
                    self.close();
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if matches!(self.top().kind, Kind::Code(_)) {
            self.top().inline.push(json!(text));
            return;
        }
        let mut marks: Vec<Value> = Vec::new();
        for mark in self.marks.iter().flatten() {
            // The same mark twice is one; of nested links the innermost counts.
            marks.retain(|known| known["type"] != mark["type"]);
            marks.push(mark.clone());
        }
        push_text(&mut self.top().inline, text, marks);
    }

    fn code(&mut self, code: &str) {
        if code.is_empty() {
            return;
        }
        // ADF lets code go with a link and with nothing else.
        let mut marks: Vec<Value> =
            self.marks.iter().flatten().filter(|mark| mark["type"] == "link").take(1).cloned().collect();
        marks.insert(0, json!({ "type": "code" }));
        push_text(&mut self.top().inline, code, marks);
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        let inside_list = matches!(self.top().kind, Kind::List(_));
        match frame.kind.clone() {
            Kind::Paragraph => {
                let inline = trimmed(frame.inline);
                if !inline.is_empty() {
                    self.top().blocks.push(json!({ "type": "paragraph", "content": inline }));
                }
            }
            Kind::Heading(level) => {
                let inline = trimmed(frame.inline);
                self.top().blocks.push(json!({ "type": "heading", "attrs": { "level": level }, "content": inline }));
            }
            Kind::Quote => {
                let content = fit(frame.into_blocks());
                if !content.is_empty() {
                    self.top().blocks.push(json!({ "type": "blockquote", "content": content }));
                }
            }
            Kind::Item => {
                let task = frame.task;
                let content = fit_item(frame.into_blocks());
                if inside_list {
                    self.top().blocks.push(json!({ "type": "listItem", "content": content, "task": task }));
                } else {
                    self.top().blocks.extend(content);
                }
            }
            Kind::List(start) => {
                let at_root =
                    self.frames.iter().all(|frame| matches!(frame.kind, Kind::Root | Kind::Item | Kind::List(_)));
                let list = self.list(frame.blocks, start, at_root);
                self.top().blocks.extend(list);
            }
            Kind::Code(language) => {
                let text: String = frame.inline.iter().filter_map(Value::as_str).collect();
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let mut block = json!({ "type": "codeBlock" });
                if !language.is_empty() && language.len() <= LONGEST_LANGUAGE {
                    block["attrs"] = json!({ "language": language });
                }
                block["content"] = if text.is_empty() { json!([]) } else { json!([{ "type": "text", "text": text }]) };
                self.top().blocks.push(block);
            }
            Kind::Table => {
                if !frame.blocks.is_empty() {
                    self.top().blocks.push(json!({ "type": "table", "content": frame.blocks }));
                }
            }
            Kind::Row => {
                if !frame.blocks.is_empty() {
                    self.top().blocks.push(json!({ "type": "tableRow", "content": frame.blocks }));
                }
            }
            Kind::Cell { header } => {
                let kind = if header { "tableHeader" } else { "tableCell" };
                let paragraph = json!({ "type": "paragraph", "content": trimmed(frame.inline) });
                self.top().blocks.push(json!({ "type": kind, "content": [paragraph] }));
            }
            Kind::Root | Kind::Flat => {
                let blocks = frame.into_blocks();
                self.top().blocks.extend(blocks);
            }
        }
    }

    fn list(&mut self, items: Vec<Value>, start: Option<u64>, at_root: bool) -> Option<Value> {
        if items.is_empty() {
            return None;
        }
        let all_tasks = items.iter().all(|item| item["task"].is_boolean() && as_task(item).is_some());
        if all_tasks && at_root && start.is_none() {
            return Some(self.task_list(&items));
        }
        let content: Vec<Value> = items.into_iter().map(plain_item).collect();
        Some(match start {
            Some(1) => json!({ "type": "orderedList", "content": content }),
            Some(order) => json!({ "type": "orderedList", "attrs": { "order": order }, "content": content }),
            None => json!({ "type": "bulletList", "content": content }),
        })
    }

    fn local_id(&mut self) -> String {
        self.tasks += 1;
        format!("task-{}", self.tasks)
    }

    fn task_list(&mut self, items: &[Value]) -> Value {
        let list_id = self.local_id();
        let mut content = Vec::new();
        for item in items {
            let Some((inline, nested)) = as_task(item) else { continue };
            let state = if item["task"] == true { "DONE" } else { "TODO" };
            let id = self.local_id();
            content.push(json!({ "type": "taskItem", "attrs": { "localId": id, "state": state }, "content": inline }));
            content.extend(nested);
        }
        json!({ "type": "taskList", "attrs": { "localId": list_id }, "content": content })
    }
}

/// The words of a task and the task lists below it; none where it holds anything else.
fn as_task(item: &Value) -> Option<(Vec<Value>, Vec<Value>)> {
    let mut inline = Vec::new();
    let mut nested = Vec::new();
    for block in item["content"].as_array()? {
        match block["type"].as_str()? {
            "paragraph" => {
                if !inline.is_empty() {
                    inline.push(json!({ "type": "hardBreak" }));
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
fn plain_item(mut item: Value) -> Value {
    let sign = match item["task"].as_bool() {
        Some(true) => Some("[x] "),
        Some(false) => Some("[ ] "),
        None => None,
    };
    let mut content = item["content"].take().as_array().cloned().unwrap_or_default();
    if let Some(sign) = sign
        && let Some(inline) = content.first_mut().and_then(|block| block["content"].as_array_mut())
    {
        inline.insert(0, json!({ "type": "text", "text": sign }));
    }
    let content: Vec<Value> = content.into_iter().map(without_tasks).collect();
    json!({ "type": "listItem", "content": content })
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
                None => items
                    .push(json!({ "type": "listItem", "content": [{ "type": "paragraph", "content": [] }, nested] })),
            }
        } else {
            let sign = if child["attrs"]["state"] == "DONE" { "[x] " } else { "[ ] " };
            let mut inline = vec![json!({ "type": "text", "text": sign })];
            inline.extend(child["content"].as_array().cloned().unwrap_or_default());
            items.push(json!({ "type": "listItem", "content": [{ "type": "paragraph", "content": inline }] }));
        }
    }
    json!({ "type": "bulletList", "content": items })
}

/// What may stand in a quote or an item: paragraphs, lists and code. The rest keeps its words.
fn fit(blocks: Vec<Value>) -> Vec<Value> {
    let mut fitting = Vec::new();
    for block in blocks {
        match block["type"].as_str().unwrap_or_default() {
            "paragraph" | "bulletList" | "orderedList" | "codeBlock" => fitting.push(block),
            "taskList" => fitting.push(without_tasks(block)),
            "heading" => {
                let mut inline = block["content"].as_array().cloned().unwrap_or_default();
                inline.iter_mut().for_each(strengthen);
                if !inline.is_empty() {
                    fitting.push(json!({ "type": "paragraph", "content": inline }));
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
fn fit_item(blocks: Vec<Value>) -> Vec<Value> {
    let tasks: Vec<Value> = blocks.iter().filter(|block| block["type"] == "taskList").cloned().collect();
    let others: Vec<Value> = blocks.into_iter().filter(|block| block["type"] != "taskList").collect();
    let mut content = fit(others);
    if !content.first().is_some_and(|first| matches!(first["type"].as_str(), Some("paragraph" | "codeBlock"))) {
        content.insert(0, json!({ "type": "paragraph", "content": [] }));
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
        marks.push(json!({ "type": "strong" }));
        node["marks"] = Value::Array(marks);
    }
}

/// Adds words, to the last ones where they are marked alike.
fn push_text(inline: &mut Vec<Value>, text: &str, marks: Vec<Value>) {
    let marks = if marks.is_empty() { Value::Null } else { Value::Array(marks) };
    if let Some(last) = inline.last_mut()
        && last["type"] == "text"
        && last.get("marks").unwrap_or(&Value::Null) == &marks
    {
        let joined = format!("{}{text}", last["text"].as_str().unwrap_or_default());
        last["text"] = json!(joined);
        return;
    }
    let mut node = json!({ "type": "text", "text": text });
    if !marks.is_null() {
        node["marks"] = marks;
    }
    inline.push(node);
}

/// Without blanks and breaks at both ends.
fn trimmed(mut inline: Vec<Value>) -> Vec<Value> {
    let blank =
        |node: &Value| node["type"] == "hardBreak" || node["text"].as_str().is_some_and(|text| text.trim().is_empty());
    while inline.first().is_some_and(blank) {
        inline.remove(0);
    }
    while inline.last().is_some_and(blank) {
        inline.pop();
    }
    inline
}

fn is_break(html: &str) -> bool {
    let name: String = html.chars().filter(char::is_ascii_alphabetic).collect();
    name.eq_ignore_ascii_case("br")
}

fn level_number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
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
