//! Takes up runs that are marked as running and that nobody has in hand: after a crash, or a store that failed.

use std::sync::Arc;

use serde_json::{Value, json};
use tracing::Instrument as _;

use super::advance::{is_repeatable, key_of, settle_bad};
use super::hand::InHand;
use crate::host::{Host, HostError, off_thread};
use crate::observe::{TraceId, run_span};
use crate::store::{Standing, StoredRun, StoredStep};

/// Lets every such run go on at its next step. A step that had begun and may have changed something is not repeated:
/// its run is uncertain, and goes to a person with what is known.
pub(super) async fn take_up(host: &Arc<Host>, hand: &Arc<InHand>) -> Result<(), HostError> {
    for seen in off_thread(|| host.store().running_runs())? {
        let Some(_held) = hand.take(&seen) else { continue };
        // It may have come to its end between the look and the taking.
        match off_thread(|| host.store().run(&seen.id))? {
            Some(run) if run.state == "running" => {
                let trace = host.trace_of_run(&run).unwrap_or(TraceId::of_origin(&run.id));
                one(host, &run).instrument(run_span(trace, &run.id, &run.flow)).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn one(host: &Arc<Host>, run: &StoredRun) -> Result<(), HostError> {
    let now = host.clock().now_ms();
    let steps = off_thread(|| host.store().steps(&run.id))?;
    let begun = steps.into_iter().find(|step| step.state == "running");
    let Some(mut step) = begun else {
        return Ok(off_thread(|| host.store().settle_run(&run.id, &Standing::waiting(None, now, now), &[]))?);
    };
    if may_repeat(host, &step).await {
        step.state = "waiting".into();
        tracing::info!(run = run.id, step = step.id, "an interrupted step is done again: that can do no harm");
        return Ok(off_thread(|| host.store().settle_run(&run.id, &Standing::waiting(None, now, now), &[step]))?);
    }
    let failure = interrupted(run, &step);
    step.state = "uncertain".into();
    step.failure = Some(failure.clone());
    step.ended_at_ms = Some(now);
    settle_bad(host, run, "uncertain", &failure, &[step])
}

/// Whether a step may be done again where nobody knows whether it was done.
pub(super) async fn may_repeat(host: &Arc<Host>, step: &StoredStep) -> bool {
    let Ok(session) = host.session_of(&step.connection).await else { return false };
    session.plugin.manifest().card(&step.card).is_some_and(is_repeatable)
}

fn interrupted(run: &StoredRun, step: &StoredStep) -> Value {
    json!({
        "kind": "uncertain",
        "class": "unavailable",
        "code": "host.interrupted",
        "message": format!("the host ended while the step `{}` was running; it may have done its work", step.id),
        "remedy": format!(
            "Look at the service whether it did. If so: `harness runs retry {0} --as-done OUTPUT`; if not: \
             `harness runs retry {0} --repeat`; to give it up: `harness runs cancel {0}`.",
            run.id
        ),
        "who": "user",
        "repeatable": false,
        "known": known(run, step, "not known"),
    })
}

/// What is known of a step whose outcome is not.
pub(super) fn known(run: &StoredRun, step: &StoredStep, sent: &str) -> Value {
    json!({
        "action": step.card,
        "connection": step.connection,
        "idempotency-key": key_of(run, step),
        "began-at-ms": step.began_at_ms,
        "calls-before": step.continuation.is_some(),
        "writes-sent": sent,
    })
}
