//! Texts of others on a terminal: what would steer it, or show a text other than it is, is written out.

use std::borrow::Cow;
use std::io;

/// Whether a character changes how those around it are shown, or is not seen itself. Joiners are not among them: whole
/// scripts need them.
fn misleads(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// Writes characters out as JSON does (`\u202e`), so that a JSON text stays the same value.
fn written_out(text: &str, which: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&which) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if which(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A text, of whatever origin, as it may be printed. Its lines stay lines.
pub(crate) fn legible(text: &str) -> Cow<'_, str> {
    written_out(text, |c| steers(c) || misleads(c))
}

/// The same as one line of blanks and letters, for what stands in the midst of others: a name in a table.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    written_out(text, |c| c.is_control() || misleads(c))
}

/// Where log lines go. Colours are kept: what steers a terminal is taken out of values by whoever lays the lines out.
pub(crate) struct LegibleLines<W>(pub(crate) W);

impl<W: io::Write> io::Write for LegibleLines<W> {
    /// Takes a whole line at once, as lines are laid out before they are written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(written_out(text, misleads).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_steers_a_terminal_or_misleads_a_reader_is_written_out() {
        let hostile = "a\u{1b}[2J\u{9b}31m\u{7f}\r b\u{202e}c\u{2066}d\u{200f}e\u{feff}f\u{e0041}\n\tg";
        let shown = "a\\u001b[2J\\u009b31m\\u007f\\u000d b\\u202ec\\u2066d\\u200fe\\ufefff\\udb40\\udc41\n\tg";
        assert_eq!(legible(hostile), shown);
        for harmless in ["Grüße, 東京 → ½\n\tzwei", "नमस्ते می\u{200c}خواهم 👩\u{200d}💻"]
        {
            assert!(matches!(legible(harmless), Cow::Borrowed(same) if same == harmless), "{harmless}");
        }
    }

    #[test]
    fn json_that_is_written_out_is_the_same_value() {
        let value = serde_json::json!({ "a\u{202e}": "\u{1b}]0;x\u{7}\u{7f}\u{85}\u{2029}\u{e0041}\\u202e" });
        for text in [value.to_string(), format!("{value:#}")] {
            let shown = legible(&text);
            assert!(shown.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }

    #[test]
    fn a_log_line_keeps_its_colours_and_loses_what_misleads() {
        let mut lines = LegibleLines(Vec::new());
        lines.write_all("\u{1b}[31mERROR\u{1b}[0m a\u{202e}b\n".as_bytes()).unwrap();
        lines.write_all(b"no text \xff\n").unwrap();
        assert_eq!(lines.0, b"\x1b[31mERROR\x1b[0m a\\u202eb\nno text \xff\n");
    }
}
