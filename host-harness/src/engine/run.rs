//! Runs flows: one step after the other, each kept before it begins and after it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::{Notify, Semaphore, watch};
use tracing::Instrument as _;

use super::expression::Scope;
use super::flow::{CompiledFlow, Flow};
use crate::host::{Host, HostError, Session, check_action, off_thread};
use crate::observe::{TraceId, metrics, run_span};
use crate::plugin::contract::action;
use crate::plugin::{Card, IdempotencyKey};
use crate::store::{Alarm, StoredRun, StoredStep};
use crate::webhook::until_due;

/// How many runs go on at once.
const AT_ONCE: usize = 16;
/// How many of them may be of one flow, so that a slow one does not stop the others.
const OF_ONE_FLOW: usize = 8;
/// How many calls of one step follow each other before other runs have their turn.
const CALLS_IN_A_ROW: u32 = 100;

/// How a step ended that did not end well, or not yet.
enum Ended {
    /// Later: at this time.
    Wait(u64),
    /// It failed for good, or nobody knows: the run's state and the failure.
    Bad(&'static str, Value),
}

/// Runs flows until `stop` says so. `started` tells of new runs.
pub(crate) async fn run_flows(host: Arc<Host>, started: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    if let Err(error) = take_up_interrupted(&host).await {
        tracing::error!(%error, "runs that were interrupted could not be taken up");
    }
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let running: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    while !*stop.borrow() {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let full: Vec<String> = running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|(_, count)| **count >= OF_ONE_FLOW)
            .map(|(flow, _)| flow.clone())
            .collect();
        let Ok(Some(run)) = off_thread(|| host.store().claim_run(host.clock().now_ms(), &full)) else {
            drop(slot);
            let wait = until_due(&host, off_thread(|| host.store().next_run_due()));
            tokio::select! {
                () = started.notified() => {}
                () = host.clock().sleep(wait) => {}
                _ = stop.changed() => {}
            }
            continue;
        };
        *running.lock().unwrap_or_else(PoisonError::into_inner).entry(run.flow.clone()).or_default() += 1;
        let (host, running, started) = (Arc::clone(&host), Arc::clone(&running), Arc::clone(&started));
        let stop = stop.clone();
        let span = run_span(host.trace_of_run(&run).unwrap_or(TraceId::of_origin(&run.id)), &run.id, &run.flow);
        let task = async move {
            let _under_way = metrics().run_begins();
            if let Err(error) = go_on(&host, &run, &stop).await {
                tracing::error!(run = run.id, %error, "a run could not be kept; it is taken up at the next start");
            }
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = running.get_mut(&run.flow) {
                *count -= 1;
                if *count == 0 {
                    running.remove(&run.flow);
                }
            }
            drop(slot);
            started.notify_one();
        };
        tokio::spawn(task.instrument(span));
    }
    // Steps that are being run come to their end and are kept.
    let _ = slots.acquire_many(AT_ONCE as u32).await;
}

/// Runs that were going on when the last process ended: a step that had begun and may have changed something is
/// uncertain and is not repeated; all others go on.
async fn take_up_interrupted(host: &Arc<Host>) -> Result<(), HostError> {
    for run in off_thread(|| host.store().interrupted_runs())? {
        let steps = off_thread(|| host.store().steps(&run.id))?;
        let begun = steps.into_iter().find(|step| step.state == "running");
        let Some(mut step) = begun else {
            off_thread(|| host.store().settle_run(&run.id, "waiting", None, 0, None, None))?;
            continue;
        };
        if may_repeat(host, &step).await {
            step.state = "waiting".into();
            off_thread(|| host.store().settle_run(&run.id, "waiting", None, 0, None, Some(&step)))?;
            continue;
        }
        let failure = json!({
            "kind": "uncertain",
            "code": "host.interrupted",
            "message": format!("the host ended while the step `{}` was running; it may have done its work", step.id),
            "remedy": "Look at the service whether it did, and do what is missing by hand.",
            "who": "user",
        });
        let now = host.clock().now_ms();
        step.state = "uncertain".into();
        step.failure = Some(failure.clone());
        step.ended_at_ms = Some(now);
        settle_bad(host, &run, "uncertain", &failure, Some(&step))?;
    }
    Ok(())
}

async fn may_repeat(host: &Arc<Host>, step: &StoredStep) -> bool {
    let Ok(session) = host.session_of(&step.connection).await else { return false };
    session.plugin.manifest().card(&step.card).is_some_and(is_repeatable)
}

fn is_repeatable(card: &Card) -> bool {
    card.behaviour.as_ref().is_some_and(|behaviour| {
        behaviour.read_only || behaviour.idempotent || behaviour.idempotency_key == IdempotencyKey::Honoured
    })
}

fn settle_bad(
    host: &Host,
    run: &StoredRun,
    state: &'static str,
    failure: &Value,
    step: Option<&StoredStep>,
) -> Result<(), HostError> {
    let now = host.clock().now_ms();
    let message = failure.get("message").and_then(Value::as_str).unwrap_or("no reason is known").to_owned();
    metrics().run_ended(&run.flow, state);
    tracing::warn!(run = run.id, flow = run.flow, state, message, "a run ended badly");
    // The alarm first: a crash in between may raise it twice, and never loses it.
    if state == "uncertain" {
        let message = format!("run {} of `{}` is uncertain: {message}", run.id, run.flow);
        let alarm = Alarm { at_ms: now, connection: None, code: "host.run-uncertain".into(), message };
        off_thread(|| host.store().raise(&alarm))?;
    }
    off_thread(|| host.store().settle_run(&run.id, state, Some(failure), 0, Some(now), step))?;
    Ok(())
}

async fn go_on(host: &Arc<Host>, run: &StoredRun, stop: &watch::Receiver<bool>) -> Result<(), HostError> {
    let flow =
        serde_json::from_str::<Flow>(&run.definition).map_err(|error| ("definition".to_owned(), error.to_string()));
    let flow = match flow.and_then(CompiledFlow::compile) {
        Ok(flow) => flow,
        Err((place, reason)) => {
            let failure = own_failure("flow-unreadable", &format!("the kept flow cannot be read at {place}: {reason}"));
            return settle_bad(host, run, "failed", &failure, None);
        }
    };
    let event = off_thread(|| host.store().event(&run.event))?.map(|event| event.payload).unwrap_or_default();
    let mut scope = Scope::default();
    scope.set("event", &event);
    scope.set("run", &json!({ "id": run.id }));
    let now = || host.clock().now_ms();
    if let Some(when) = &flow.when {
        match when.holds(&scope) {
            Ok(true) => {}
            Ok(false) => {
                metrics().run_ended(&run.flow, "skipped");
                return Ok(off_thread(|| host.store().settle_run(&run.id, "skipped", None, 0, Some(now()), None))?);
            }
            Err(error) => {
                let failure = own_failure("expression", &format!("on.when: {error}"));
                return settle_bad(host, run, "failed", &failure, None);
            }
        }
    }
    let mut kept: HashMap<u32, StoredStep> =
        off_thread(|| host.store().steps(&run.id))?.into_iter().map(|step| (step.position, step)).collect();
    let mut outputs = Map::new();
    for (index, definition) in flow.flow.steps.iter().enumerate() {
        let position = u32::try_from(index).unwrap_or(u32::MAX);
        scope.set("steps", &Value::Object(outputs.clone()));
        let mut step = kept.remove(&position).unwrap_or_else(|| StoredStep {
            position,
            id: definition.id.clone(),
            card: definition.action.clone(),
            connection: definition.connection.clone(),
            state: "running".into(),
            input: None,
            continuation: None,
            output: None,
            failure: None,
            attempts: 0,
            began_at_ms: now(),
            ended_at_ms: None,
        });
        if !matches!(step.state.as_str(), "done" | "skipped") {
            match execute(host, run, &flow, index, &mut step, &scope, stop).await? {
                Ok(()) => {
                    off_thread(|| host.store().put_step(&run.id, &step))?;
                    step_ended(&step, &step.state);
                }
                Err(Ended::Wait(due)) => {
                    step.state = "waiting".into();
                    step_ended(&step, "parked");
                    return Ok(off_thread(|| {
                        host.store().settle_run(&run.id, "waiting", step.failure.as_ref(), due, None, Some(&step))
                    })?);
                }
                Err(Ended::Bad(state, failure)) => {
                    step.state = state.into();
                    step_ended(&step, state);
                    step.failure = Some(failure.clone());
                    step.ended_at_ms = Some(now());
                    return settle_bad(host, run, state, &failure, Some(&step));
                }
            }
        }
        let output = step.output.clone().unwrap_or(Value::Null);
        outputs.insert(step.id.clone(), json!({ "output": output }));
    }
    metrics().run_ended(&run.flow, "done");
    tracing::info!(run = run.id, flow = run.flow, "a run is done");
    Ok(off_thread(|| host.store().settle_run(&run.id, "done", None, 0, Some(now()), None))?)
}

fn step_ended(step: &StoredStep, outcome: &str) {
    metrics().step(outcome);
    tracing::debug!(step = step.id, card = step.card, attempts = step.attempts, outcome, "an attempt at a step ended");
}

/// One attempt at a step: one call, or several as long as each brings it on. `attempts` counts those since the step
/// last came on, so that a continuation that fails is not repeated for ever. The outer error is the store's; then nothing is known to be kept.
async fn execute(
    host: &Arc<Host>,
    run: &StoredRun,
    flow: &CompiledFlow,
    index: usize,
    step: &mut StoredStep,
    scope: &Scope,
    stop: &watch::Receiver<bool>,
) -> Result<Result<(), Ended>, HostError> {
    let failed = |code: &str, message: String| Ok(Err(Ended::Bad("failed", own_failure(code, &message))));
    let compiled = &flow.steps[index];
    let now = || host.clock().now_ms();
    if step.input.is_none() {
        match compiled.when.as_ref().map_or(Ok(true), |when| when.holds(scope)) {
            Ok(true) => {}
            Ok(false) => {
                step.state = "skipped".into();
                step.ended_at_ms = Some(now());
                return Ok(Ok(()));
            }
            Err(error) => return failed("expression", format!("steps.{}.when: {error}", step.id)),
        }
        // The input is filled in once: every attempt is the same piece of work.
        match compiled.input.fill(scope) {
            Ok(input) => step.input = Some(input),
            Err(error) => return failed("expression", format!("steps.{}.input: {error}", step.id)),
        }
    }
    let input = step.input.clone().unwrap_or_default();
    step.attempts += 1;
    let session = match ready(host, &step.connection, &step.card, &input).await {
        Ok(session) => session,
        Err(error) => return Ok(Err(verdict(host, flow, index, step, &error))),
    };
    let mut calls = 0;
    loop {
        calls += 1;
        step.state = "running".into();
        // Kept before anything is sent: after a crash it is known that it may have been.
        off_thread(|| host.store().put_step(&run.id, step))?;
        let key = format!("{}.{}", run.id, step.id);
        match host.invoke(&session, &step.card, &input, step.continuation.as_deref(), key).await {
            Ok(action::Step::Done(output)) => {
                step.output = Some(serde_json::from_str(&output).unwrap_or(Value::String(output)));
                step.state = "done".into();
                step.failure = None;
                step.continuation = None;
                step.ended_at_ms = Some(now());
                return Ok(Ok(()));
            }
            Ok(action::Step::More(next)) => {
                step.continuation = Some(next.state);
                step.failure = None;
                step.attempts = 0;
                if next.after_ms > 1000 || calls >= CALLS_IN_A_ROW || *stop.borrow() {
                    return Ok(Err(Ended::Wait(now().saturating_add(next.after_ms))));
                }
                host.clock().sleep(Duration::from_millis(next.after_ms)).await;
                step.attempts = 1;
            }
            Err(error) => return Ok(Err(verdict(host, flow, index, step, &error))),
        }
    }
}

async fn ready(host: &Arc<Host>, connection: &str, card: &str, input: &Value) -> Result<Session, HostError> {
    let session = host.session_of(connection).await?;
    check_action(&session.plugin, card, input)?;
    Ok(session)
}

fn verdict(host: &Host, flow: &CompiledFlow, index: usize, step: &mut StoredStep, error: &HostError) -> Ended {
    let failure = error.to_json();
    match error.kind() {
        "uncertain" => Ended::Bad("uncertain", failure),
        "transient" => {
            let retry = flow.retry_of(index);
            if step.attempts >= retry.attempts {
                return Ended::Bad("failed", failure);
            }
            let asked = error.retry_after_ms();
            let wait = retry.wait(step.attempts, Duration::from_millis(asked), draw(host));
            step.failure = Some(failure);
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            Ended::Wait(host.clock().now_ms().saturating_add(wait))
        }
        _ => Ended::Bad("failed", failure),
    }
}

/// A number in 0..1.
fn draw(host: &Host) -> f64 {
    let mut bytes = [0; 4];
    host.clock().fill_random(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

fn own_failure(code: &str, message: &str) -> Value {
    json!({
        "kind": "permanent", "code": format!("host.{code}"), "message": message,
        "remedy": "Put the flow file right and start `harness serve` again; runs that begin after that use the new one.", "who": "user",
    })
}
