//! Counters and times that are told as things happen. What can be counted on disk is read at each scrape: `figures`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramTimer, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

use crate::egress::Outcome;
use crate::plugin::CallError;
use crate::plugin::contract::types::Error;

/// How many names of one kind (flows, connections) become labels; what comes later is counted as `other`.
const MOST_NAMES: usize = 200;
/// What stands for the names beyond that.
const OTHER: &str = "other";

/// Upper bounds in seconds, from what takes microseconds to the longest call.
const TIMES: [f64; 16] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 15.0, 30.0];

/// What the host counts and times. Every label has a bounded set of values.
#[derive(Debug)]
pub struct Metrics {
    pub(super) registry: Registry,
    pub(super) answered: IntCounterVec,
    pub(super) acknowledged: Histogram,
    deliveries: IntCounterVec,
    read: IntCounterVec,
    events: IntCounter,
    polls: IntCounterVec,
    runs: IntCounterVec,
    runs_in_progress: IntGauge,
    steps: IntCounterVec,
    calls: HistogramVec,
    call_results: IntCounterVec,
    calls_in_flight: IntGauge,
    requests: IntCounterVec,
    request_times: Histogram,
    ensures: IntCounterVec,
    allowance_used: GaugeVec,
    allowance_limit: GaugeVec,
    store_writes: Histogram,
    names: Mutex<HashSet<String>>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        let made = Self {
            answered: counters(all, "intake_responses_total", "Answers of the receiver, by HTTP status.", &["status"]),
            acknowledged: times(all, "intake_ack_seconds", "From the head of a delivery to its acknowledgement."),
            deliveries: counters(
                all,
                "deliveries_total",
                "Proved deliveries: new, again (seen before), differs (seen before with another body).",
                &["outcome"],
            ),
            read: counters(
                all,
                "deliveries_read_total",
                "Attempts to read an acknowledged delivery: done, later (tried again), failed (given up, with an alarm).",
                &["outcome"],
            ),
            events: counter(all, "events_total", "New events, from deliveries and polls."),
            polls: counters(all, "polls_total", "Polls: done, failed.", &["outcome"]),
            runs: counters(
                all,
                "runs_ended_total",
                "Runs that ended, by flow and state: done, skipped, failed, uncertain and the like.",
                &["flow", "state"],
            ),
            runs_in_progress: gauge(all, "runs_in_progress", "Runs that are being carried on now."),
            steps: counters(
                all,
                "steps_total",
                "Attempts at steps: done, skipped, parked (to be repeated or gone on with later), failed, uncertain.",
                &["outcome"],
            ),
            calls: register(
                all,
                HistogramVec::new(
                    HistogramOpts::new(
                        name("call_seconds"),
                        "Calls of connectors, by function of the contract, requests included.",
                    )
                    .buckets(TIMES.to_vec()),
                    &["function"],
                ),
            ),
            call_results: counters(
                all,
                "calls_total",
                "Calls of connectors, by function and outcome: ok, permanent, transient, uncertain, or the host's fault.",
                &["function", "outcome"],
            ),
            calls_in_flight: gauge(all, "calls_in_flight", "Calls under way: how much of the instance pool is in use."),
            requests: counters(
                all,
                "requests_total",
                "Requests of connectors: 2xx, 3xx, 4xx, 5xx, denied (by the host), unreached, lost (answer unknown).",
                &["outcome"],
            ),
            request_times: times(all, "request_seconds", "From a request of a connector to the head of its answer."),
            ensures: counters(
                all,
                "registrations_seen_to_total",
                "Looks at what is registered: done, failed.",
                &["outcome"],
            ),
            allowance_used: gauges(all, "registrations_used", "Registrations counted against a limit of a service."),
            allowance_limit: gauges(all, "registrations_limit", "The limit of a service on registrations."),
            store_writes: times(
                all,
                "store_write_seconds",
                "Writing transactions: waiting, working and syncing to disk.",
            ),
            names: Mutex::default(),
            registry,
        };
        made.begin_at_zero();
        made
    }

    /// What is not there before it happens first cannot be seen to rise: every outcome that is known begins at 0.
    fn begin_at_zero(&self) {
        let all: [(&IntCounterVec, &[&str]); 6] = [
            (&self.deliveries, &["new", "again", "differs"]),
            (&self.read, &["done", "later", "failed"]),
            (&self.polls, &["done", "failed"]),
            (&self.steps, &["done", "skipped", "parked", "failed", "uncertain"]),
            (&self.requests, &["2xx", "3xx", "4xx", "5xx", "denied", "unreached", "lost"]),
            (&self.ensures, &["done", "failed"]),
        ];
        for (counter, outcomes) in all {
            for outcome in outcomes {
                counter.with_label_values(&[outcome]);
            }
        }
    }

    /// A flow is served: its ends are counted from 0 on.
    pub(crate) fn serves(&self, flow: &str) {
        for state in ["done", "skipped", "failed", "uncertain", "cancelled"] {
            self.runs.with_label_values(&[self.label("flow", flow), state]);
        }
    }

    /// A name as a label: itself, as long as there are few.
    pub(super) fn label<'a>(&self, kind: &str, name: &'a str) -> &'a str {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{kind}/{name}");
        if names.contains(&key) {
            return name;
        }
        if names.iter().filter(|known| known.starts_with(kind)).count() >= MOST_NAMES {
            return OTHER;
        }
        names.insert(key);
        name
    }

    /// A proved delivery was `new`, came `again`, or `differs` from the first one with its id.
    pub(crate) fn delivery(&self, outcome: &str) {
        self.deliveries.with_label_values(&[outcome]).inc();
    }

    /// An acknowledged delivery was read (`done`), is read again `later`, or `failed` for good.
    pub(crate) fn delivery_read(&self, outcome: &str) {
        self.read.with_label_values(&[outcome]).inc();
    }

    /// So many new events were kept.
    pub(crate) fn events(&self, count: usize) {
        self.events.inc_by(count as u64);
    }

    /// A poll ended.
    pub(crate) fn polled(&self, well: bool) {
        self.polls.with_label_values(&[word(well)]).inc();
    }

    /// What is registered for a connection was looked at.
    pub(crate) fn ensured(&self, well: bool) {
        self.ensures.with_label_values(&[word(well)]).inc();
    }

    /// How much of a limit on registrations a connection sees used; none where that cannot be counted.
    pub(crate) fn allowance(&self, connection: &str, limit: &str, used: Option<u32>, of: u32) {
        let labels = [self.label("connection", connection), limit];
        if labels[0] == OTHER {
            return;
        }
        self.allowance_used.with_label_values(&labels).set(used.map_or(f64::NAN, f64::from));
        self.allowance_limit.with_label_values(&labels).set(f64::from(of));
    }

    /// A run is being carried on until the answer is dropped.
    pub(crate) fn run_begins(&self) -> InProgress<'_> {
        InProgress::begin(&self.runs_in_progress)
    }

    /// A run ended in a state.
    pub(crate) fn run_ended(&self, flow: &str, state: &str) {
        self.runs.with_label_values(&[self.label("flow", flow), state]).inc();
    }

    /// How many runs of a flow ended so.
    #[cfg(test)]
    pub(crate) fn runs_ended(&self, flow: &str, state: &str) -> u64 {
        self.runs.with_label_values(&[self.label("flow", flow), state]).get()
    }

    /// An attempt at a step came out so.
    pub(crate) fn step(&self, outcome: &str) {
        self.steps.with_label_values(&[outcome]).inc();
    }

    /// A request of a connector came out so.
    pub(crate) fn requested(&self, outcome: &Outcome, took: Duration) {
        let label = match outcome {
            Outcome::Status(200..=299) => "2xx",
            Outcome::Status(300..=399) => "3xx",
            Outcome::Status(400..=499) => "4xx",
            Outcome::Status(_) => "5xx",
            Outcome::Denied(_) => "denied",
            Outcome::Unreached(_) => "unreached",
            Outcome::Lost(_) | Outcome::Pending => "lost",
        };
        self.requests.with_label_values(&[label]).inc();
        self.request_times.observe(took.as_secs_f64());
        tracing::debug!(outcome = label, took_ms = millis(took), "a request came out");
    }

    /// Times a writing transaction until the answer is dropped.
    pub(crate) fn store_write(&self) -> HistogramTimer {
        self.store_writes.start_timer()
    }

    /// A call of a function of the contract begins.
    pub(crate) fn call(&self, function: &'static str) -> CallObserved<'_> {
        let in_flight = InProgress::begin(&self.calls_in_flight);
        CallObserved { metrics: self, function, begun: Instant::now(), _in_flight: in_flight }
    }
}

/// One call, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct CallObserved<'a> {
    metrics: &'a Metrics,
    function: &'static str,
    begun: Instant,
    _in_flight: InProgress<'a>,
}

impl CallObserved<'_> {
    /// It came out so.
    pub(crate) fn ended<T>(self, result: &Result<T, CallError>) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(CallError::Connector(error)) => match &**error {
                Error::Permanent(_) => "permanent",
                Error::Transient(_) => "transient",
                Error::PermanentUncertain(_) => "uncertain",
                Error::ExecutionFailed => "execution-failed",
            },
            Err(CallError::Host(fault)) => fault.kind.code().trim_start_matches("host."),
        };
        let took = self.begun.elapsed();
        self.metrics.calls.with_label_values(&[self.function]).observe(took.as_secs_f64());
        self.metrics.call_results.with_label_values(&[self.function, outcome]).inc();
        tracing::debug!(function = self.function, outcome, took_ms = millis(took), "a call ended");
    }
}

/// Counts something as under way until it is dropped.
#[derive(Debug)]
pub(crate) struct InProgress<'a>(&'a IntGauge);

impl<'a> InProgress<'a> {
    fn begin(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn word(well: bool) -> &'static str {
    if well { "done" } else { "failed" }
}

fn name(short: &str) -> String {
    format!("harness_{short}")
}

fn register<T: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<T>) -> T {
    let made = made.expect("the names and labels in this file are sound");
    registry.register(Box::new(made.clone())).expect("no name in this file stands twice");
    made
}

fn counter(registry: &Registry, short: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name(short), help))
}

fn counters(registry: &Registry, short: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name(short), help), labels))
}

fn gauge(registry: &Registry, short: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name(short), help))
}

fn gauges(registry: &Registry, short: &str, help: &str) -> GaugeVec {
    register(registry, GaugeVec::new(Opts::new(name(short), help), &["connection", "limit"]))
}

fn times(registry: &Registry, short: &str, help: &str) -> Histogram {
    register(registry, Histogram::with_opts(HistogramOpts::new(name(short), help).buckets(TIMES.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let metrics = Metrics::new();
        for number in 0..MOST_NAMES + 50 {
            metrics.run_ended(&format!("flow-{number}"), "done");
        }
        metrics.run_ended("flow-0", "done");
        let families = metrics.registry.gather();
        let runs = families.iter().find(|one| one.name() == "harness_runs_ended_total").unwrap();
        assert_eq!(runs.get_metric().len(), MOST_NAMES + 1);
        let of = |flow: &str| {
            let has =
                |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|label| label.value() == flow);
            runs.get_metric().iter().find(has).unwrap().get_counter().get_value()
        };
        assert_eq!((of("flow-0") as u64, of(OTHER) as u64), (2, 50));
    }

    #[test]
    fn what_may_happen_is_counted_from_zero_on() {
        let metrics = Metrics::new();
        metrics.serves("answer");
        let families = metrics.registry.gather();
        let zero = |name: &str, label: &str| {
            let family = families.iter().find(|one| one.name() == name).unwrap();
            let has = |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|one| one.value() == label);
            family.get_metric().iter().find(has).map(|metric| metric.get_counter().get_value() as u64)
        };
        assert_eq!(zero("harness_runs_ended_total", "uncertain"), Some(0));
        assert_eq!(zero("harness_deliveries_read_total", "failed"), Some(0));
        assert_eq!(zero("harness_registrations_seen_to_total", "failed"), Some(0));
    }

    #[test]
    fn what_is_under_way_is_counted_until_its_end() {
        let metrics = Metrics::new();
        let (one, two) = (metrics.call("invoke"), metrics.call("poll"));
        assert_eq!(metrics.calls_in_flight.get(), 2);
        one.ended::<()>(&Ok(()));
        drop(two);
        assert_eq!(metrics.calls_in_flight.get(), 0);
        assert_eq!(metrics.call_results.with_label_values(&["invoke", "ok"]).get(), 1);
    }
}
