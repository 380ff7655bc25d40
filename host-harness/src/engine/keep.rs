//! Writing what became of a run to a store that may fail.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::advance::settle_bad;
use super::take_up::{known, may_repeat};
use crate::host::{Host, HostError, off_thread};
use crate::store::{StoreError, StoredRun};

/// The waits between two attempts to write what became of a step to a store that fails.
pub(super) const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How often a write is tried that fails for another reason than the disk: about five minutes long.
const MOST_TRIES: u32 = 14;

/// Why a run was brought no further.
#[derive(Debug)]
pub(super) enum Stuck {
    /// What it came to is nothing that the store takes, however often it is tried.
    Unkeepable(StoreError),
    /// Anything else: it is taken up again.
    Otherwise(HostError),
}

impl From<HostError> for Stuck {
    fn from(error: HostError) -> Self {
        Self::Otherwise(error)
    }
}

/// Writes, again and again until it succeeds or the host stops: what a step came to is known only here, and a full disk
/// passes. What the store can never take is tried once; what may be no trouble of the disk, a bounded number of times.
pub(super) async fn keep<T>(
    host: &Host,
    stop: &watch::Receiver<bool>,
    write: impl Fn() -> Result<T, StoreError>,
) -> Result<T, Stuck> {
    let (mut rest, mut stop, mut tries) = (FIRST_REST, stop.clone(), 0);
    loop {
        tries += 1;
        match off_thread(&write) {
            Ok(value) => return Ok(value),
            Err(error) if error.is_of_the_value() => return Err(Stuck::Unkeepable(error)),
            Err(error) if *stop.borrow() => return Err(Stuck::Otherwise(error.into())),
            Err(error) if tries >= MOST_TRIES && !error.may_pass() => return Err(Stuck::Unkeepable(error)),
            Err(error) => tracing::error!(%error, "the store failed while a run was kept; tried again"),
        }
        tokio::select! {
            () = host.clock().sleep(rest) => {}
            _ = stop.changed() => {}
        }
        rest = (rest * 2).min(LONGEST_REST);
    }
}

/// Ends a run whose outcome cannot be kept, so that it holds up nobody: as one that failed, or as an uncertain one where
/// a step had begun that may have changed something.
pub(super) async fn give_up(host: &Arc<Host>, run: &StoredRun, error: &StoreError) -> Result<(), HostError> {
    let begun = off_thread(|| host.store().steps(&run.id))?.into_iter().find(|step| step.state == "running");
    let message = format!("what it came to cannot be kept: {error}");
    let Some(mut step) = begun else {
        return settle_bad(host, run, "failed", &unkeepable(run, &message), &[]);
    };
    let repeatable = may_repeat(host, &step).await;
    let state = if repeatable { "failed" } else { "uncertain" };
    let mut failure = unkeepable(run, &message);
    if !repeatable {
        failure["kind"] = "uncertain".into();
        failure["repeatable"] = false.into();
        failure["known"] = known(run, &step, "not known");
    }
    step.state = state.into();
    step.failure = Some(failure.clone());
    step.ended_at_ms = Some(host.clock().now_ms());
    settle_bad(host, run, state, &failure, &[step])
}

fn unkeepable(run: &StoredRun, message: &str) -> Value {
    json!({
        "kind": "permanent", "class": "protocol", "code": "host.unkeepable", "message": message,
        "remedy": format!(
            "Look at the service what the run `{0}` did, and tell the host's maintainers. `harness runs retry {0}` has \
             it go on.",
            run.id
        ),
        "who": "developer", "repeatable": true,
    })
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
