//! Brings one run on: one step after the other, each kept before it begins and after it ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::expression::Scope;
use super::flow::CompiledFlow;
use super::hand::{Held, InHand};
use super::keep::{FIRST_REST, Stuck, give_up, keep};
use super::take_up::known;
use crate::clock::bounded_ms;
use crate::host::{Host, HostError, check_action, off_thread};
use crate::observe::metrics;
use crate::plugin::contract::action;
use crate::plugin::{Card, IdempotencyKey, read_json};
use crate::store::{Alarm, Standing, StoreError, StoredRun, StoredStep};

/// How many calls of one step follow each other before other runs have their turn.
const CALLS_IN_A_ROW: u32 = 100;
/// For how long no other alarm is raised of failed runs of the same flow.
const FAILED_AGAIN_MS: u64 = 3_600_000;
/// How often it is looked whether a held account was released, where nobody says so.
const HELD: Duration = Duration::from_secs(300);

/// How a step ended that did not end well, or not yet.
enum Ended {
    /// Later: at this time.
    Wait(u64),
    /// It failed for good, or nobody knows: the run's state and the failure.
    Bad(&'static str, Value),
    /// Somebody wanted the run to stop, before it began.
    Cancelled,
}

/// One run, and what it is brought on with.
struct Going<'a> {
    host: &'a Arc<Host>,
    held: &'a Held,
    run: &'a StoredRun,
    flow: &'a CompiledFlow,
    stop: &'a watch::Receiver<bool>,
}

/// Brings a run on until it ends or has to wait. An error is the store's: then the run is taken up again.
pub(super) async fn go_on(
    host: &Arc<Host>,
    hand: &InHand,
    held: &Held,
    run: &StoredRun,
    stop: &watch::Receiver<bool>,
) -> Result<(), HostError> {
    let flow = match hand.compiled(&run.definition) {
        Ok(flow) => flow,
        Err((place, reason)) => {
            let failure = own_failure("flow-unreadable", &format!("the kept flow cannot be read at {place}: {reason}"));
            return settle_bad(host, run, "failed", &failure, &[]);
        }
    };
    let event = off_thread(|| host.store().event(&run.event))?.map(|event| event.payload).unwrap_or_default();
    let mut scope = Scope::default();
    scope.set("event", &event);
    scope.set("run", &json!({ "id": run.id }));
    let kept = off_thread(|| host.store().steps(&run.id))?;
    // A run that has begun, or that a person had done again, met its condition.
    if let (Some(when), true) = (&flow.when, kept.is_empty()) {
        let now = host.clock().now_ms();
        match when.holds(&scope) {
            Ok(true) => {}
            Ok(false) => {
                off_thread(|| host.store().settle_run(&run.id, &Standing::ended("skipped", None, now), &[]))?;
                metrics().run_ended(&run.flow, "skipped");
                return Ok(());
            }
            Err(error) => {
                let failure = own_failure("expression", &format!("on.when: {error}"));
                return settle_bad(host, run, "failed", &failure, &[]);
            }
        }
    }
    match (Going { host, held, run, flow: &flow, stop }).steps(scope, kept).await {
        Err(Stuck::Unkeepable(error)) => give_up(host, run, &error).await,
        Err(Stuck::Otherwise(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

impl Going<'_> {
    fn now(&self) -> u64 {
        self.host.clock().now_ms()
    }

    async fn steps(&self, mut scope: Scope, kept: Vec<StoredStep>) -> Result<(), Stuck> {
        let mut kept: HashMap<u32, StoredStep> = kept.into_iter().map(|step| (step.position, step)).collect();
        let mut outputs = Map::new();
        // Steps that have ended and are kept together with what comes next.
        let mut ended: Vec<StoredStep> = Vec::new();
        for index in 0..self.flow.flow.steps.len() {
            let mut step = self.step(index, &mut kept);
            if !matches!(step.state.as_str(), "done" | "skipped") {
                scope.set("steps", &Value::Object(outputs.clone()));
                if let Some(standing) = self.has_to_leave(&step) {
                    return self.settle(&standing, &ended).await;
                }
                let attempt = match self.execute(index, &mut step, &scope, &mut ended).await {
                    Ok(attempt) => attempt,
                    Err(error) => {
                        // What has ended is known only here. Forgotten, it would be taken for interrupted.
                        if !ended.is_empty() {
                            let connection = Some(step.connection.as_str());
                            let standing = Standing::waiting(None, self.after(FIRST_REST), self.now());
                            self.settle(&Standing { connection, ..standing }, &ended).await?;
                        }
                        return Err(error);
                    }
                };
                match attempt {
                    Ok(()) => {
                        step_ended(&step, &step.state);
                        ended.push(step.clone());
                    }
                    Err(Ended::Wait(due)) => {
                        step.state = "waiting".into();
                        step_ended(&step, "parked");
                        ended.push(step.clone());
                        let standing = Standing::waiting(step.failure.as_ref(), due, self.now());
                        return self.settle(&standing, &ended).await;
                    }
                    Err(Ended::Bad(state, failure)) => {
                        step.state = state.into();
                        step_ended(&step, state);
                        step.failure = Some(failure.clone());
                        step.ended_at_ms = Some(self.now());
                        ended.push(step);
                        let message = reason_of(&failure);
                        // The alarm first: a crash in between may raise it twice, and never loses it.
                        self.keep(|| raise(self.host, self.run, state, message)).await?;
                        self.settle(&Standing::ended(state, Some(&failure), self.now()), &ended).await?;
                        ended_badly(self.run, state, message);
                        return Ok(());
                    }
                    Err(Ended::Cancelled) => {
                        self.settle(&Standing::ended("cancelled", None, self.now()), &[]).await?;
                        metrics().run_ended(&self.run.flow, "cancelled");
                        tracing::info!(run = self.run.id, "a run was cancelled");
                        return Ok(());
                    }
                }
            }
            if step.state == "skipped" {
                scope.skipped(&step.id);
            }
            let output = step.output.clone().unwrap_or(Value::Null);
            outputs.insert(step.id.clone(), json!({ "output": output }));
        }
        self.settle(&Standing::ended("done", None, self.now()), &ended).await?;
        metrics().run_ended(&self.run.flow, "done");
        tracing::info!(run = self.run.id, flow = self.run.flow, "a run is done");
        Ok(())
    }

    fn step(&self, index: usize, kept: &mut HashMap<u32, StoredStep>) -> StoredStep {
        let (position, definition) = (u32::try_from(index).unwrap_or(u32::MAX), &self.flow.flow.steps[index]);
        kept.remove(&position).unwrap_or_else(|| StoredStep {
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
            began_at_ms: self.now(),
            ended_at_ms: None,
            redone: 0,
            object: None,
        })
    }

    /// Whether the run has to make room before its next step: the host stops, or the step's connection has its share.
    fn has_to_leave<'a>(&self, step: &'a StoredStep) -> Option<Standing<'a>> {
        let stopping = *self.stop.borrow();
        let moved = !stopping && self.held.move_to(&step.connection);
        let standing = Standing::waiting(None, self.now(), self.now());
        (!moved).then(|| Standing { connection: Some(&step.connection), ..standing })
    }

    /// One attempt at a step: one call, or several as long as each brings it on. `attempts` counts those since the step
    /// last came on, so that a continuation that fails is not repeated for ever.
    async fn execute(
        &self,
        index: usize,
        step: &mut StoredStep,
        scope: &Scope,
        ended: &mut Vec<StoredStep>,
    ) -> Result<Result<(), Ended>, Stuck> {
        let failed = |code: &str, message: String| Ok(Err(Ended::Bad("failed", own_failure(code, &message))));
        let compiled = &self.flow.steps[index];
        if step.input.is_none() {
            match compiled.when.as_ref().map_or(Ok(true), |when| when.holds(scope)) {
                Ok(true) => {}
                Ok(false) => {
                    step.state = "skipped".into();
                    step.ended_at_ms = Some(self.now());
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
        let session = match self.host.session_of(&step.connection).await {
            Ok(session) => session,
            Err(error) => return Ok(Err(self.verdict(index, step, &error))),
        };
        // Nothing is asked of a connector whose service wants to be left alone.
        let held = match self.host.held(&session.connection) {
            Ok(held) => held,
            Err(error) => return Ok(Err(self.verdict(index, step, &error))),
        };
        if let Some(all) = held.iter().filter(|one| one.is_for_all()).max_by_key(|one| one.hold.for_ms) {
            let failure = all.to_failure(&step.connection);
            step.failure = Some(failure);
            let wait = Duration::from_millis(all.hold.for_ms).mul_f64(1.0 + 0.3 * draw(self.host));
            return Ok(Err(Ended::Wait(self.after(wait))));
        }
        // Nor with a credential that the service refused: the run waits until a person has put that right.
        match self.host.account_held(&session) {
            Ok(None) => {}
            Ok(Some(failure)) => {
                step.failure = Some(failure);
                return Ok(Err(Ended::Wait(self.after(HELD))));
            }
            Err(error) => return Ok(Err(self.verdict(index, step, &error))),
        }
        step.attempts += 1;
        if let Err(error) = check_action(&session.plugin, &step.card, &input) {
            return Ok(Err(self.verdict(index, step, &error)));
        }
        let key = key_of(self.run, step);
        let card = session.plugin.manifest().card(&step.card);
        let repeatable = card.is_some_and(is_repeatable);
        let names_object = card.and_then(|card| card.object.as_deref());
        let mut calls = 0;
        loop {
            calls += 1;
            step.state = "running".into();
            step.failure = None;
            // On disk before anything is sent: after a crash it is known that it may have been.
            let store = self.host.store();
            let begin = || match repeatable && ended.is_empty() {
                true => store.begin_repeatable_step(&self.run.id, step),
                false => store.begin_step(&self.run.id, ended, step),
            };
            match self.keep(begin).await {
                Ok(true) => {}
                Ok(false) => return Ok(Err(Ended::Cancelled)),
                Err(error) => {
                    // It was not sent, or came on since it was kept last.
                    step.state = "waiting".into();
                    step.attempts = step.attempts.saturating_sub(1);
                    ended.push(step.clone());
                    return Err(error);
                }
            }
            ended.clear();
            match self.host.invoke(&session, &step.card, &input, step.continuation.as_deref(), key.clone()).await {
                Ok(action::Step::Done(output)) => {
                    step.output = Some(read_json(&output).unwrap_or(Value::String(output)));
                    step.object = names_object
                        .and_then(|pointer| step.output.as_ref()?.pointer(pointer)?.as_str())
                        .map(|name| format!("{}/{name}", session.connection.id));
                    step.state = "done".into();
                    step.continuation = None;
                    step.ended_at_ms = Some(self.now());
                    return Ok(Ok(()));
                }
                Ok(action::Step::More(next)) => {
                    step.continuation = Some(next.state);
                    step.attempts = 0;
                    if next.after_ms > 1000 || calls >= CALLS_IN_A_ROW || *self.stop.borrow() {
                        return Ok(Err(Ended::Wait(self.after(Duration::from_millis(next.after_ms)))));
                    }
                    self.host.clock().sleep(Duration::from_millis(next.after_ms)).await;
                    step.attempts = 1;
                }
                Err(error) => {
                    // A scope that was held before was not called: that was no attempt.
                    if error.scope().is_some_and(|scope| held.iter().any(|one| one.is(scope))) {
                        step.attempts = step.attempts.saturating_sub(1);
                    }
                    return Ok(Err(self.verdict(index, step, &error)));
                }
            }
        }
    }

    fn verdict(&self, index: usize, step: &mut StoredStep, error: &HostError) -> Ended {
        let mut failure = error.to_json();
        match error.kind() {
            "uncertain" => {
                failure["known"] = known(self.run, step, "at least one");
                Ended::Bad("uncertain", failure)
            }
            // Found out on the way, and nothing was sent that could have changed anything.
            "permanent" if error.is_held_account() => {
                step.attempts = step.attempts.saturating_sub(1);
                step.failure = Some(failure);
                Ended::Wait(self.after(HELD))
            }
            "transient" | "other" if !matches!(error, HostError::Answer(_)) || error.kind() == "transient" => {
                let retry = self.flow.retry_of(index);
                if step.attempts >= retry.attempts {
                    return Ended::Bad("failed", failure);
                }
                let asked = Duration::from_millis(error.retry_after_ms());
                let wait = retry.wait(step.attempts.max(1), asked, draw(self.host));
                step.failure = Some(failure);
                Ended::Wait(self.after(wait))
            }
            _ => Ended::Bad("failed", failure),
        }
    }

    fn after(&self, wait: Duration) -> u64 {
        self.now().saturating_add(bounded_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    async fn settle(&self, standing: &Standing<'_>, steps: &[StoredStep]) -> Result<(), Stuck> {
        self.keep(|| self.host.store().settle_run(&self.run.id, standing, steps)).await
    }

    async fn keep<T>(&self, write: impl Fn() -> Result<T, StoreError>) -> Result<T, Stuck> {
        keep(self.host, self.stop, write).await
    }
}

fn step_ended(step: &StoredStep, outcome: &str) {
    metrics().step(outcome);
    tracing::debug!(step = step.id, card = step.card, attempts = step.attempts, outcome, "an attempt at a step ended");
}

/// Ends a run that nobody brings on.
pub(super) fn settle_bad(
    host: &Host,
    run: &StoredRun,
    state: &'static str,
    failure: &Value,
    steps: &[StoredStep],
) -> Result<(), HostError> {
    let message = reason_of(failure);
    off_thread(|| raise(host, run, state, message))?;
    let now = host.clock().now_ms();
    off_thread(|| host.store().settle_run(&run.id, &Standing::ended(state, Some(failure), now), steps))?;
    ended_badly(run, state, message);
    Ok(())
}

fn reason_of(failure: &Value) -> &str {
    failure.get("message").and_then(Value::as_str).unwrap_or("no reason is known")
}

/// Tells of an end that is kept.
fn ended_badly(run: &StoredRun, state: &str, message: &str) {
    metrics().run_ended(&run.flow, state);
    tracing::warn!(run = run.id, flow = run.flow, state, reason = message, "a run ended badly");
}

/// Raises the alarm of a run that ends badly: of each that is uncertain, of those that failed one for each flow and hour.
fn raise(host: &Host, run: &StoredRun, state: &str, message: &str) -> Result<(), StoreError> {
    let now = host.clock().now_ms();
    let alarm = |code: &str, message: String| Alarm { at_ms: now, connection: None, code: code.into(), message };
    let (id, flow) = (&run.id, &run.flow);
    match state {
        "uncertain" => {
            host.store().raise(&alarm("host.run-uncertain", format!("run {id} of `{flow}` is uncertain: {message}")))
        }
        "failed" => {
            let about = format!("a run of `{flow}` failed: ");
            let told = format!("{about}{id}: {message}; `harness dead-letters` lists all that did");
            let since = now.saturating_sub(FAILED_AGAIN_MS);
            host.store().raise_unless_since(&alarm("host.run-failed", told), &about, since)
        }
        _ => Ok(()),
    }
}

/// Whether a card may be run again where it is not known whether it was run.
pub(super) fn is_repeatable(card: &Card) -> bool {
    card.behaviour.as_ref().is_some_and(|behaviour| {
        behaviour.read_only || behaviour.idempotent || behaviour.idempotency_key == IdempotencyKey::Honoured
    })
}

/// The same for every attempt at the same piece of work. What a person has done anew after it failed is another piece:
/// a service may remember what it said to the first.
pub(super) fn key_of(run: &StoredRun, step: &StoredStep) -> String {
    match step.redone {
        0 => format!("{}.{}", run.id, step.id),
        times => format!("{}.{}.{times}", run.id, step.id),
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
        "kind": "permanent", "class": "input", "code": format!("host.{code}"), "message": message,
        "remedy": "Put the flow file right, start `harness serve` again, and have this run go on with \
                   `harness runs retry ID --new-definition FILE`.",
        "who": "user", "repeatable": true,
    })
}
