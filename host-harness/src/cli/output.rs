//! What commands print.

use std::io::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::host::HostError;
use crate::legible::{legible, one_line};

/// Where results go: as JSON, or laid out for people. A reader that went away is no error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: the JSON, or the text for people.
    pub(super) fn result(&self, json: &Value, text: impl FnOnce() -> String) {
        if self.json { self.value(json) } else { self.text(&text()) }
    }

    /// Prints JSON, whatever was asked for.
    pub(super) fn value(&self, json: &Value) {
        let text = if self.json { json.to_string() } else { format!("{json:#}") };
        self.text(&text);
    }

    /// Prints a text and ends its line. It may hold what a service or a file said.
    pub(super) fn text(&self, text: &str) {
        let text = legible(text.trim_end());
        super::progress::aside(|| {
            let mut out = io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        });
    }

    /// Tells the person something that is not the result.
    pub(super) fn note(&self, text: &str) {
        let text = legible(text);
        super::progress::aside(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// Prints a failure: on stderr, and as JSON on stdout where JSON was asked for.
    pub(super) fn failure(&self, error: &HostError) {
        if self.json {
            self.value(&json!({ "error": error.to_json() }));
        } else {
            self.note(&failure_text(&error.to_json()));
        }
    }

    /// Whether JSON was asked for.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }
}

/// A failure for people: what, what to do, who, when.
pub(super) fn failure_text(failure: &Value) -> String {
    let text = |name: &str| failure.get(name).and_then(Value::as_str).unwrap_or_default();
    let head = match text("kind") {
        "bad-input" => "bad input",
        "permanent" => "failed",
        "transient" => "not now",
        "uncertain" => "uncertain: it may have happened",
        _ => "error",
    };
    let mut lines = vec![format!("{head}: {}", text("message"))];
    for field in failure.get("fields").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("  {}  {}", part("pointer"), part("message")));
    }
    if !text("remedy").is_empty() {
        let who = match text("who") {
            "service-admin" => " (an administrator of the service)",
            "operator" => " (whoever operates this host)",
            "developer" => " (the connector's maintainer)",
            _ => "",
        };
        lines.push(format!("  what to do: {}{who}", text("remedy")));
    }
    if let Some(wait) = failure.get("retry-after-ms").and_then(Value::as_u64).filter(|wait| *wait > 0) {
        let wait = Duration::from_secs(wait.div_ceil(1000));
        lines.push(format!("  when: not before {} have passed", humantime::format_duration(wait)));
    }
    let mut small = vec![text("code").to_owned()];
    small.extend(failure.get("status").and_then(Value::as_u64).map(|status| format!("HTTP {status}")));
    small.extend(failure.get("request-id").and_then(Value::as_str).map(|id| format!("request {id}")));
    lines.push(format!("  code: {}", small.join(", ")));
    lines.join("\n")
}

/// Rows under headings, each column as wide as its widest cell. What a cell says cannot look like another row.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell).into_owned()).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(headings.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// A text in lines of at most `width` letters (a longer word keeps its length), all but the first after `margin`.
pub(super) fn wrapped(text: &str, width: usize, margin: &str) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if last == 0 => line.push_str(word),
            Some(line) if last + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{margin}"))
}

/// A point in time, for people.
pub(super) fn time(at_ms: Option<u64>) -> String {
    let Some(at) = at_ms.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_millis(at))) else { return "-".into() };
    // Years beyond 9999 have no such form.
    if at_ms.is_some_and(|at| at > 253_402_300_799_000) {
        return "-".into();
    }
    humantime::format_rfc3339_seconds(at).to_string()
}

/// A text cut to a length.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let text = table(&["NAME", "N"], &[vec!["a".into(), "10".into()], vec!["longer".into(), "2".into()]]);
        assert_eq!(text, "NAME    N\na       10\nlonger  2");
        let forged = table(&["NAME"], &[vec!["a\nb  proven".into()]]);
        assert_eq!(forged, "NAME\na\\u000ab  proven");
    }

    #[test]
    fn a_long_text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two  three", 8, "  "), "one two\n  three");
        assert_eq!(wrapped("unbreakable a", 4, ""), "unbreakable\na");
        assert_eq!(wrapped("", 4, ""), "");
    }

    #[test]
    fn a_time_that_is_no_time_is_a_dash() {
        assert_eq!(time(Some(0)), "1970-01-01T00:00:00Z");
        assert_eq!(time(Some(u64::MAX)), "-");
        assert_eq!(time(None), "-");
    }
}
