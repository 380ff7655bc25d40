//! Logs: for people or as JSON, one line for each thing that happened, on stderr.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write};

use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::otlp::{self, Exporting};
use super::veil::veiled;
use crate::clock::SharedClock;
use crate::legible::LegibleLines;

/// The levels there are.
pub const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line; `trace_id` is in the first of its `spans`.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Logging {
    /// How lines are written.
    pub format: LogFormat,
    /// The least level where HARNESS_LOG does not say another.
    pub usual: &'static str,
    /// The collector of traces, if any: the base of its OTLP/HTTP addresses.
    pub otlp_endpoint: Option<String>,
}

impl Logging {
    /// The least level that is logged. The error says what stands in HARNESS_LOG and is none.
    pub fn level(&self) -> Result<String, String> {
        level_of(std::env::var_os("HARNESS_LOG").as_deref(), self.usual)
    }

    /// Begins to log. To be called once. The error says why traces cannot be exported.
    pub fn start(&self, clock: &SharedClock, runtime: &Handle) -> Result<Option<Exporting>, String> {
        let level = self.level().unwrap_or_else(|_| self.usual.to_owned());
        // Of other crates only warnings: their details could hold headers.
        let filter = EnvFilter::new(format!("warn,host_harness={level}"));
        let lines = fmt::layer().with_writer(|| VeiledLines(LegibleLines(io::stderr()))).with_target(false);
        let lines = match self.format {
            LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        };
        let traces = self.otlp_endpoint.as_deref().map(|endpoint| otlp::layer(endpoint, clock, runtime)).transpose();
        let (traces, exporting) = traces?.unzip();
        tracing_subscriber::registry().with(traces).with(lines.with_filter(filter)).init();
        Ok(exporting)
    }
}

/// Lines without what looks like a secret.
struct VeiledLines<W>(W);

impl<W: Write> Write for VeiledLines<W> {
    /// Takes a whole line at once, as lines are laid out before they are written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(veiled(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn level_of(given: Option<&OsStr>, usual: &str) -> Result<String, String> {
    match given.map(OsStr::to_string_lossy) {
        None => Ok(usual.to_owned()),
        Some(level) if level.is_empty() => Ok(usual.to_owned()),
        Some(level) if LEVELS.contains(&&*level) => Ok(level.into_owned()),
        Some(other) => Err(other.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused_and_not_passed_over() {
        let of = |given: &str| level_of(Some(OsStr::new(given)), "info");
        assert_eq!(
            (of("debug"), of(""), level_of(None, "warn")),
            (Ok("debug".into()), Ok("info".into()), Ok("warn".into()))
        );
        assert_eq!((of("foo"), of("INFO")), (Err("foo".into()), Err("INFO".into())));
    }
}
