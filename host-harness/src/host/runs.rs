//! What a person does with runs: stop one, have one done again, give one up.

use serde_json::Value;

use super::{Host, HostError, off_thread};
use crate::engine::flow::{CompiledFlow, Flow};
use crate::store::{Again, Cancelled, StoredRun, StoredStep};

/// What a step is worth of which nobody knows whether it did its work.
#[derive(Debug, Clone)]
pub enum Doubt {
    /// Nothing was said.
    Open,
    /// It is done again: a person has seen that it did not, or that it can do no harm.
    Repeat,
    /// It did its work, and this is what came out.
    AsDone(Value),
}

/// How a run is done again.
#[derive(Debug)]
pub struct Retry {
    /// The whole run anew, as a new run, instead of on from where it stands.
    pub from_event: bool,
    /// What is said of a step in doubt.
    pub doubt: Doubt,
    /// The flow to use from now on, where it is another one.
    pub definition: Option<CompiledFlow>,
}

/// What doing a run again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retried {
    /// The run that goes on, or begins.
    pub run: String,
    /// The run before, where a new one begins.
    pub again_of: Option<String>,
    /// The step it goes on with; none where all were done.
    pub from_step: Option<String>,
}

impl Host {
    /// The run of an id.
    pub fn run(&self, id: &str) -> Result<StoredRun, HostError> {
        off_thread(|| self.store.run(id))?.ok_or_else(|| {
            let message = format!("there is no run `{id}`");
            HostError::bad_input("run-unknown", message, "`harness runs list` lists them.")
        })
    }

    /// Wants a run to stop.
    pub fn cancel_run(&self, id: &str) -> Result<Cancelled, HostError> {
        let run = self.run(id)?;
        match off_thread(|| self.store.cancel_run(id, self.clock.now_ms()))? {
            Some(Cancelled::Over) | None => Err(HostError::bad_input(
                "run-over",
                format!("the run `{id}` is over: {}", run.state),
                "Nothing of it can be stopped any more.",
            )),
            Some(outcome) => Ok(outcome),
        }
    }

    /// Holds what a person says came out of a step against what its card gives.
    pub async fn check_as_done(&self, id: &str, output: &Value) -> Result<(), HostError> {
        let run = self.run(id)?;
        let steps = off_thread(|| self.store.steps(id))?;
        let in_doubt = |step: &&StoredStep| matches!(step.state.as_str(), "uncertain" | "running");
        let Some(step) = steps.iter().find(in_doubt) else { return Ok(()) };
        let session = self.session_of(&step.connection).await?;
        session.plugin.manifest().check_output(&step.card, output).map_err(|reason| {
            HostError::bad_input(
                "as-done-output",
                format!(
                    "that is no output of `{}`, which the step `{}` of {} runs: {reason}",
                    step.card, step.id, run.id
                ),
                format!("`harness card show {}` shows what it gives.", step.card),
            )
        })
    }

    /// Has a run done again.
    pub fn retry_run(&self, id: &str, retry: Retry) -> Result<Retried, HostError> {
        let run = self.run(id)?;
        if run.ended_at_ms.is_none() {
            return Err(HostError::bad_input(
                "run-not-over",
                format!("the run `{id}` is not over: {}", run.state),
                "Wait for its end, or stop it with `harness runs cancel ID` first.",
            ));
        }
        let steps = off_thread(|| self.store.steps(id))?;
        let in_doubt = steps.iter().any(|step| matches!(step.state.as_str(), "uncertain" | "running"));
        if in_doubt && matches!(retry.doubt, Doubt::Open) {
            return Err(HostError::bad_input(
                "step-uncertain",
                "a step of it may have done its work, and nobody knows",
                format!(
                    "Look at the service (`harness runs show {id}` says what is known). Then say `--repeat` if it did \
                     not, or `--as-done OUTPUT` if it did."
                ),
            ));
        }
        if retry.from_event { self.begin_anew(&run, &retry) } else { self.go_on_again(&run, &steps, &retry) }
    }

    fn begin_anew(&self, run: &StoredRun, retry: &Retry) -> Result<Retried, HostError> {
        if matches!(retry.doubt, Doubt::AsDone(_)) {
            return Err(HostError::bad_input(
                "as-done-anew",
                "a run that begins anew has no step that is done",
                "Leave out `--as-done`, or leave out `--from-event`.",
            ));
        }
        let flow = self.definition_of(run, retry.definition.as_ref())?;
        let definition = retry.definition.as_ref().map(|_| written(&flow)).transpose()?;
        let new = self.next_id();
        let first = flow.steps.first();
        let connection = first.map(|step| step.connection.as_str()).unwrap_or_default();
        let now = self.clock.now_ms();
        if !off_thread(|| self.store.run_anew(&run.id, &new, definition.as_deref(), connection, now))? {
            let ended = off_thread(|| self.store.run(&run.id))?.is_some_and(|now| now.ended_at_ms.is_some());
            if !ended {
                return Err(moved(&run.id));
            }
            return Err(HostError::bad_input(
                "run-begun-anew",
                format!("the run `{}` is being done anew already", run.id),
                "Look at the new one with `harness runs show ID`, and wait for its end or stop it first.",
            ));
        }
        let from_step = first.map(|step| step.id.clone());
        Ok(Retried { run: new, again_of: Some(run.id.clone()), from_step })
    }

    fn go_on_again(&self, run: &StoredRun, steps: &[StoredStep], retry: &Retry) -> Result<Retried, HostError> {
        if !matches!(run.state.as_str(), "failed" | "uncertain" | "cancelled") {
            return Err(HostError::bad_input(
                "run-well",
                format!("the run `{}` has nothing to go on with: {}", run.id, run.state),
                "`--from-event` has the whole run done anew.",
            ));
        }
        let flow = self.definition_of(run, retry.definition.as_ref())?;
        let definition = retry.definition.as_ref().map(|_| written(&flow)).transpose()?;
        let done = steps.iter().take_while(|step| matches!(step.state.as_str(), "done" | "skipped")).count();
        for (kept, now) in steps[..done].iter().zip(&flow.steps) {
            if kept.id != now.id {
                return Err(differs(&kept.id));
            }
        }
        if let Some(kept) = steps[..done].get(flow.steps.len()) {
            return Err(differs(&kept.id));
        }
        let mut step = steps.get(done).cloned();
        let mut next = done;
        if let Some(step) = &mut step {
            let in_doubt = matches!(step.state.as_str(), "uncertain" | "running");
            if let Doubt::AsDone(output) = &retry.doubt {
                if !in_doubt {
                    return Err(HostError::bad_input(
                        "step-certain",
                        format!("the step `{}` is not in doubt: it is {}", step.id, step.state),
                        "Leave out `--as-done`; the step is done again.",
                    ));
                }
                step.state = "done".into();
                step.output = Some(output.clone());
                step.ended_at_ms = Some(self.clock.now_ms());
                step.continuation = None;
                next += 1;
            } else {
                // The same piece of work keeps its key; one that failed for certain is another piece of work, and so
                // is one that another flow fills in.
                step.redone += u32::from(!in_doubt || retry.definition.is_some());
                step.state = "waiting".into();
                step.attempts = 0;
                step.ended_at_ms = None;
            }
            step.failure = None;
        }
        // With another flow the step is filled in anew, and may be another one.
        let mut keeps = true;
        if let (Some(step), true) = (&mut step, retry.definition.is_some() && next == done) {
            keeps = flow.steps.get(done).is_some_and(|new| new.id == step.id);
            if let Some(new) = flow.steps.get(done) {
                (step.card, step.connection) = (new.action.clone(), new.connection.clone());
            }
            (step.input, step.continuation) = (None, None);
        }
        let connection = flow.steps.get(next).or(flow.steps.last());
        let again = Again {
            definition: definition.as_deref(),
            connection: connection.map(|step| step.connection.as_str()).unwrap_or_default(),
            step: step.as_ref().filter(|_| keeps),
            forget_from: u32::try_from(done).unwrap_or(u32::MAX),
        };
        if !off_thread(|| self.store.run_again(&run.id, &again, self.clock.now_ms()))? {
            return Err(moved(&run.id));
        }
        let from_step = flow.steps.get(next).map(|step| step.id.clone());
        Ok(Retried { run: run.id.clone(), again_of: None, from_step })
    }

    fn definition_of(&self, run: &StoredRun, new: Option<&CompiledFlow>) -> Result<Flow, HostError> {
        match new {
            Some(new) if new.flow.name != run.flow => Err(HostError::bad_input(
                "flow-other",
                format!("the file holds the flow `{}`, and the run is one of `{}`", new.flow.name, run.flow),
                "Name the file with the flow of this run.",
            )),
            Some(new) => Ok(new.flow.clone()),
            None => serde_json::from_str(&run.definition).map_err(|error| {
                HostError::bad_input(
                    "flow-unreadable",
                    format!("the flow that was kept with the run cannot be read: {error}"),
                    "Give one with --new-definition FILE.",
                )
            }),
        }
    }
}

fn written(flow: &Flow) -> Result<String, HostError> {
    serde_json::to_string(flow)
        .map_err(|error| HostError::other("flow-unwritable", error.to_string(), "Tell the host's maintainers."))
}

fn moved(run: &str) -> HostError {
    HostError::bad_input(
        "run-moved",
        format!("the run `{run}` changed meanwhile"),
        "Look at it again with `harness runs show ID`.",
    )
}

fn differs(step: &str) -> HostError {
    HostError::bad_input(
        "flow-differs",
        format!("the step `{step}` is done, and does not stand at its place in the new flow"),
        "Keep the steps that are done as they are, or use `--from-event`.",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;
    use crate::host::Home;
    use crate::store::{BroughtBy, NewEvent, NewRun, Standing, StoredEvent};

    #[test]
    fn a_run_that_moved_on_meanwhile_is_not_said_to_be_done_anew() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::open(Home::new(folder.path().join("home"), None), SystemClock::shared()).unwrap();
        let event = StoredEvent {
            id: "e".into(),
            connection: "c".into(),
            subscription: "s".into(),
            card: "lamp-lit".into(),
            event_id: "e".into(),
            time_ms: None,
            payload: json!({}),
            delivery: None,
            received_at_ms: 1,
        };
        let definition = json!({
            "name": "f", "on": {"event": "lamp-lit", "connection": "c"},
            "steps": [{"id": "s", "action": "light", "connection": "c"}],
        });
        let run = NewRun { id: "r".into(), flow: "f".into(), definition: definition.to_string(), ..NewRun::default() };
        host.store().keep_events(BroughtBy::Delivery("d"), &[NewEvent { event, run: Some(run) }]).unwrap();
        host.store().settle_run("r", &Standing::ended("failed", Some(&json!({})), 2), &[]).unwrap();
        let seen = host.run("r").unwrap();
        // Another process has it go on after it was looked at.
        let again = Again { definition: None, connection: "c", step: None, forget_from: 0 };
        assert!(host.store().run_again("r", &again, 3).unwrap());
        let retry = Retry { from_event: true, doubt: Doubt::Open, definition: None };
        let refused = host.begin_anew(&seen, &retry).unwrap_err();
        assert_eq!(refused.to_json()["code"], "host.run-moved");
        assert_eq!(host.store().runs(9).unwrap().len(), 1);
    }
}
