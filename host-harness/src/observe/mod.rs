//! What an operator sees of a running host: metrics, health, logs, and one trace id from a delivery to every request.
//!
//! Nothing here holds a secret, a payload or the path of a callback: only names, counts, times and ids.

mod admin;
mod figures;
mod health;
mod log;
mod metrics;
mod otlp;
mod process;
mod trace;
mod veil;

pub(crate) use admin::{acknowledging, routes};
pub use health::{Readiness, Service, Trouble};
pub(crate) use health::{held_accounts, troubles_of};
pub use log::{LEVELS, LogFormat, Logging};
pub use metrics::Metrics;
pub use otlp::Exporting;
pub use trace::TraceId;
pub(crate) use trace::{call_span, delivery_span, event_of_poll, poll_span, request_span, run_span};

use std::sync::LazyLock;

/// The metrics of this process. Counters are per process, as Prometheus expects them, and may be told from anywhere.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}
