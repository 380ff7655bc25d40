//! What is read at each scrape: from the store, from the process, from the state of the service.

use std::collections::BTreeSet;

use prometheus::{Gauge, GaugeVec, Opts, Registry, TextEncoder};

use super::{Service, metrics, process};
use crate::host::off_thread;
use crate::store::StoreError;

/// All metrics, as Prometheus' text format has them. `writable` says that the store may be read without waiting.
pub(super) fn text(service: &Service, ready: bool, writable: bool) -> Result<String, prometheus::Error> {
    let now = Registry::new();
    gauge(&now, "harness_ready", "1 where /readyz answers 200.", f64::from(u8::from(ready)))?;
    let limit = f64::from(service.host().limits.concurrent_calls);
    gauge(&now, "harness_calls_limit", "How many calls may be under way at once: the instance pool.", limit)?;
    for (name, help, value) in process::usage() {
        gauge(&now, name, help, value)?;
    }
    if writable {
        match off_thread(|| of_store(service, &now)) {
            Ok(registered) => registered?,
            Err(error) => tracing::error!(%error, "the store could not be read for a scrape"),
        }
    }
    let mut families = metrics().registry.gather();
    families.extend(now.gather());
    let mut text = String::new();
    TextEncoder::new().encode_utf8(&families, &mut text)?;
    Ok(text)
}

fn of_store(service: &Service, registry: &Registry) -> Result<prometheus::Result<()>, StoreError> {
    let host = service.host();
    let now = host.clock().now_ms();
    let (backlog, inventory) = (host.store().backlog(now)?, host.store().inventory()?);
    let held = host.held_connections()?.into_iter().filter(|one| one.held.is_some()).map(|one| one.account);
    let held = held.collect::<BTreeSet<_>>().len();
    let (dead_letters, troubles) = (host.store().dead_letters()?, service.troubles());
    let oldest = backlog.oldest_due_ms.map_or(0, |at| now.saturating_sub(at));
    let gauges = [
        ("harness_deliveries_waiting", "Acknowledged deliveries that were not read yet.", backlog.deliveries),
        ("harness_deliveries_due", "Of these, those that could be read now.", backlog.deliveries_due),
        ("harness_runs_pending", "Runs that were not begun.", backlog.runs_pending),
        ("harness_runs_waiting", "Runs that wait for a time: put off, or between two calls.", backlog.runs_waiting),
        ("harness_connections", "Connections.", inventory.connections),
        ("harness_subscriptions", "Subscriptions.", inventory.subscriptions),
        ("harness_registrations", "Registrations at services.", inventory.registrations),
        ("harness_accounts_held", "Accounts with which nothing is sent: the credential was refused.", held as u64),
    ];
    let set = || {
        for (name, help, value) in gauges {
            gauge(registry, name, help, value as f64)?;
        }
        let help = "How long the oldest delivery that could be read now has waited.";
        gauge(registry, "harness_deliveries_oldest_seconds", help, oldest as f64 / 1000.0)?;
        let alarms = GaugeVec::new(Opts::new("harness_alarms", "Alarms that are kept, by code."), &["code"])?;
        registry.register(Box::new(alarms.clone()))?;
        let help = "What waits for a person, by kind and state.";
        let dead = GaugeVec::new(Opts::new("harness_dead_letters", help), &["kind", "state"])?;
        registry.register(Box::new(dead.clone()))?;
        for (kind, state, count) in dead_letters {
            dead.with_label_values(&[kind, state]).set(count as f64);
        }
        let help = "What a person should look at, by connection and code.";
        let open = GaugeVec::new(Opts::new("harness_troubles", help), &["connection", "code"])?;
        registry.register(Box::new(open.clone()))?;
        for one in &troubles {
            let connection = metrics().label("connection", one.connection.as_deref().unwrap_or_default());
            open.with_label_values(&[connection, &one.code]).inc();
        }
        for (code, count) in &inventory.alarms {
            alarms.with_label_values(&[code]).set(*count as f64);
        }
        Ok(())
    };
    Ok(set())
}

fn gauge(registry: &Registry, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
    let gauge = Gauge::new(name, help)?;
    gauge.set(value);
    registry.register(Box::new(gauge))
}
