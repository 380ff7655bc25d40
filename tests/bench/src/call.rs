//! What a call costs before it does anything, and what it costs to get there.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use host_harness::clock::SystemClock;
use host_harness::plugin::contract::event::Delivery;
use host_harness::plugin::{Limits, Plugins};

use crate::report::{Figure, Report};
use crate::rounds::{Samples, Spent, micros};
use crate::stage::{Stage, failed};

/// Calls of one round.
const CALLS: usize = 2000;
const ROUNDS: usize = 7;

/// A delivery that says nothing.
fn empty_delivery() -> Delivery {
    Delivery {
        id: "d".to_owned(),
        registration: String::new(),
        method: "POST".to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: Vec::new(),
        received_at_ms: 0,
        extra: "{}".to_owned(),
    }
}

/// `event.answer` of the connector does nothing: the call is the making of a store, an instance, the way in and out,
/// and the teardown.
pub(crate) fn overhead(stage: &Stage, report: &mut Report) -> Result<()> {
    let delivery = empty_delivery();
    stage.wait(async {
        let plugin = stage.host.load(&stage.component()).await.map_err(failed)?;
        let (mut medians, mut cpu) = (Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            let mut calls = Samples::default();
            let spent = Spent::on(async || {
                for _ in 0..CALLS {
                    let began = Instant::now();
                    plugin.answer(&delivery).await.map_err(|error| anyhow!("{error}"))?;
                    calls.push(micros(began.elapsed()));
                }
                anyhow::Ok(CALLS as u64)
            })
            .await?;
            medians.push(calls.median());
            cpu.push(spent.cpu_each());
        }
        report.add(Figure::of("call-overhead", &medians, "µs").at_most(50.0));
        report.add(Figure::of("call-overhead-cpu", &cpu, "µs"));
        Ok(())
    })
}

/// The size of the file, the name map beside it not counted.
pub(crate) fn component_size(stage: &Stage, report: &mut Report) -> Result<()> {
    let bytes = std::fs::metadata(stage.component()).context("the connector's file")?.len();
    report.add(Figure::exactly("component-size", bytes as f64, "bytes").at_most(500_000.0));
    Ok(())
}

/// From the file to a connector that can be called, in an engine that has not seen it; its code lies in the cache.
pub(crate) fn cached_load(stage: &Stage, report: &mut Report) -> Result<()> {
    let cache = stage.home().join("cache");
    let component = stage.component();
    stage.wait(async {
        let (mut loads, mut engines) = (Samples::default(), Samples::default());
        for _ in 0..15 {
            let began = Instant::now();
            let plugins = Plugins::new(&cache, Limits::default(), SystemClock::shared())?;
            engines.push(micros(began.elapsed()) / 1000.0);
            let began = Instant::now();
            plugins.load(&component).await?;
            loads.push(micros(began.elapsed()) / 1000.0);
        }
        report.add(Figure::of("cached-load", &loads, "ms").at_most(10.0));
        report.add(Figure::of("cached-load-engine", &engines, "ms"));
        Ok(())
    })
}
