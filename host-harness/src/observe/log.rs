//! Logs: for people or as JSON, one line for each thing that happened, on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

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
}

impl Logging {
    /// Begins to log. To be called once.
    pub fn start(&self) {
        let level = std::env::var("HARNESS_LOG").unwrap_or_default();
        let known = ["error", "warn", "info", "debug", "trace"].contains(&level.as_str());
        let level = if known { level.as_str() } else { self.usual };
        // Of other crates only warnings: their details could hold headers.
        let filter = EnvFilter::new(format!("warn,host_harness={level}"));
        let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
        let lines = match self.format {
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        };
        tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    }
}
