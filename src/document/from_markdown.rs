//! Markdown (CommonMark with tables, strike-through and task lists) to ADF.
//!
//! ADF allows less nesting than Markdown: where a block may not stand, its words stay and its form is given up.

mod inline;
mod nesting;

use self::inline::{Marks, finished, is_break, push_text};
use self::nesting::{as_task, fit, fit_item, plain_item};
use super::{doc, leaf, node, with, words};
use pulldown_cmark::{Alignment, CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use serde_json::{Value, json};

/// Lists and quotes nested deeper than this are laid flat.
const DEEPEST: usize = 12;
/// Languages are names, not sentences.
const LONGEST_LANGUAGE: usize = 40;

/// Converts Markdown. Every text gives a document; unsafe links stay as words.
pub fn from_markdown(markdown: &str) -> Value {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut builder = Builder { frames: vec![Frame::new(Kind::Root)], marks: Marks::default(), tasks: 0 };
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
        let inline = finished(std::mem::take(&mut self.inline));
        if !inline.is_empty() {
            self.blocks.push(node("paragraph", inline));
        }
    }

    fn into_blocks(mut self) -> Vec<Value> {
        self.settle();
        self.blocks
    }
}

struct Builder {
    frames: Vec<Frame>,
    marks: Marks,
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
            // People write lines, and expect lines.
            Event::SoftBreak | Event::HardBreak => self.top().inline.push(leaf("hardBreak")),
            Event::InlineHtml(html) if is_break(&html) => self.top().inline.push(leaf("hardBreak")),
            Event::Html(html) | Event::InlineHtml(html) => {
                let words = html.trim_end_matches('\n');
                self.text(words);
                if words.len() < html.len() {
                    self.top().inline.push(leaf("hardBreak"));
                }
            }
            Event::Rule => {
                self.top().settle();
                self.top().blocks.push(leaf("rule"));
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
            Tag::Emphasis => self.marks.slant += 1,
            Tag::Strong => self.marks.strong += 1,
            Tag::Strikethrough => self.marks.strike += 1,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.marks.open_link(&dest_url),
            Tag::Superscript | Tag::Subscript => {}
            _ => self.open(Kind::Flat),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis => self.marks.slant = self.marks.slant.saturating_sub(1),
            TagEnd::Strong => self.marks.strong = self.marks.strong.saturating_sub(1),
            TagEnd::Strikethrough => self.marks.strike = self.marks.strike.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => self.marks.close_link(),
            TagEnd::Superscript | TagEnd::Subscript => {}
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
        let marks = self.marks.of_text();
        push_text(&mut self.top().inline, text, marks);
    }

    fn code(&mut self, code: &str) {
        if code.is_empty() {
            return;
        }
        let marks = self.marks.of_code();
        push_text(&mut self.top().inline, code, marks);
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        let inside_list = matches!(self.top().kind, Kind::List(_));
        match frame.kind.clone() {
            Kind::Paragraph => {
                let inline = finished(frame.inline);
                if !inline.is_empty() {
                    self.top().blocks.push(node("paragraph", inline));
                }
            }
            Kind::Heading(level) => {
                let inline = finished(frame.inline);
                self.top().blocks.push(with("level", json!(level), node("heading", inline)));
            }
            Kind::Quote => {
                let content = fit(frame.into_blocks());
                if !content.is_empty() {
                    self.top().blocks.push(node("blockquote", content));
                }
            }
            Kind::Item => {
                let task = frame.task;
                let content = fit_item(frame.into_blocks());
                if inside_list {
                    let mut item = node("listItem", content);
                    item["task"] = json!(task);
                    self.top().blocks.push(item);
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
                let mut block = leaf("codeBlock");
                if !language.is_empty() && language.len() <= LONGEST_LANGUAGE {
                    block = with("language", json!(language), block);
                }
                let content = if text.is_empty() { Vec::new() } else { vec![words(text)] };
                block["content"] = Value::Array(content);
                self.top().blocks.push(block);
            }
            Kind::Table => {
                if !frame.blocks.is_empty() {
                    self.top().blocks.push(node("table", frame.blocks));
                }
            }
            Kind::Row => {
                if !frame.blocks.is_empty() {
                    self.top().blocks.push(node("tableRow", frame.blocks));
                }
            }
            Kind::Cell { header } => {
                let kind = if header { "tableHeader" } else { "tableCell" };
                let paragraph = node("paragraph", finished(frame.inline));
                self.top().blocks.push(node(kind, vec![paragraph]));
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
            Some(1) => node("orderedList", content),
            Some(order) => with("order", json!(order), node("orderedList", content)),
            None => node("bulletList", content),
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
            content.push(with("state", json!(state), with("localId", json!(id), node("taskItem", inline))));
            content.extend(nested);
        }
        with("localId", json!(list_id), node("taskList", content))
    }
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
