//! Logs: for people or as JSON, one line for each thing that happened, on stderr.

use std::io::IsTerminal as _;

use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::otlp::{self, Exporting};
use crate::clock::SharedClock;
use crate::legible::LegibleLines;

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
    /// Begins to log. To be called once. The error says why traces cannot be exported.
    pub fn start(&self, clock: &SharedClock, runtime: &Handle) -> Result<Option<Exporting>, String> {
        let level = std::env::var("HARNESS_LOG").unwrap_or_default();
        let known = ["error", "warn", "info", "debug", "trace"].contains(&level.as_str());
        let level = if known { level.as_str() } else { self.usual };
        // Of other crates only warnings: their details could hold headers.
        let filter = EnvFilter::new(format!("warn,host_harness={level}"));
        let lines = fmt::layer().with_writer(|| LegibleLines(std::io::stderr())).with_target(false);
        let lines = match self.format {
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        };
        let traces = self.otlp_endpoint.as_deref().map(|endpoint| otlp::layer(endpoint, clock, runtime)).transpose();
        let (traces, exporting) = traces?.unzip();
        tracing_subscriber::registry().with(traces).with(lines.with_filter(filter)).init();
        Ok(exporting)
    }
}
