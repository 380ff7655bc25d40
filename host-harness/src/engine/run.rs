//! Runs flows: by turns between flows and connections, as many at once as there is room for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tracing::Instrument as _;

use super::advance::go_on;
use super::hand::{AT_ONCE, InHand};
use super::take_up::take_up;
use crate::host::{Host, HostError, off_thread};
use crate::observe::{TraceId, metrics, run_span};
use crate::store::{Lane, Standing, StoredRun, Turn};
use crate::webhook::until_due;

/// How often it is looked for runs that are marked as running and that nobody has in hand.
const TAKE_UP_MS: u64 = 30_000;
/// How long the store is left alone after it failed.
const STORE_REST: Duration = Duration::from_secs(1);

/// Runs flows until `stop` says so. `started` tells of new runs.
pub(crate) async fn run_flows(host: Arc<Host>, started: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let hand = Arc::new(InHand::default());
    let mut lane = Lane::default();
    let mut looked_at: Option<u64> = None;
    if let Err(error) = off_thread(|| host.store().let_go_on()) {
        tracing::error!(%error, "runs that wait for their turn could not be looked at");
    }
    while !*stop.borrow() {
        let now = host.clock().now_ms();
        if looked_at.is_none_or(|at| now >= at.saturating_add(TAKE_UP_MS) || now < at) {
            looked_at = Some(now);
            if let Err(error) = take_up(&host, &hand).await {
                tracing::error!(%error, "runs that were interrupted could not be taken up; tried again later");
            }
        }
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let run = match next(&host, &hand, &lane) {
            Ok(Some(run)) => run,
            other => {
                drop(slot);
                let wait = match other {
                    Ok(_) => until_due(&host, off_thread(|| host.store().next_run_due())),
                    Err(error) => {
                        tracing::error!(%error, "the store failed while the next run was looked for");
                        STORE_REST
                    }
                };
                tokio::select! {
                    () = started.notified() => {}
                    () = host.clock().sleep(wait) => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
        };
        lane = Lane { flow: run.flow.clone(), connection: run.connection.clone() };
        let Some(held) = hand.take(&run) else { continue };
        let (host, hand, started) = (Arc::clone(&host), Arc::clone(&hand), Arc::clone(&started));
        let stop = stop.clone();
        let span = run_span(host.trace_of_run(&run).unwrap_or(TraceId::of_origin(&run.id)), &run.id, &run.flow);
        let task = async move {
            let _under_way = metrics().run_begins();
            if let Err(error) = go_on(&host, &hand, &held, &run, &stop).await {
                tracing::error!(run = run.id, %error, "a run could not be kept; it is taken up again");
            }
            drop(held);
            drop(slot);
            started.notify_one();
        };
        tokio::spawn(task.instrument(span));
    }
    // Steps that are being run come to their end and are kept.
    let _ = slots.acquire_many(AT_ONCE as u32).await;
}

/// The next run whose turn it is. One that comes too late is ended on the way.
fn next(host: &Host, hand: &InHand, after: &Lane) -> Result<Option<StoredRun>, HostError> {
    let mut after = after.clone();
    loop {
        let now = host.clock().now_ms();
        let open = |lane: &Lane| hand.has_room(lane);
        let free = |id: &str, key: Option<&str>| hand.is_free(id, key);
        let Some(run) = off_thread(|| host.store().next_run(now, &after, &open, &free))? else { return Ok(None) };
        if run.order_key.is_none() {
            return Ok(Some(run));
        }
        match off_thread(|| host.store().turn(&run.id))? {
            Turn::Now => return Ok(Some(run)),
            Turn::Behind => {}
            Turn::Late => {
                let failure = serde_json::json!({
                    "kind": "permanent", "code": "host.late", "class": "conflict",
                    "message": "its event came after the run of a later event of the same key was done",
                    "remedy": "Nothing needs to be done: what the later event made of it stays.",
                    "who": "user", "repeatable": false,
                });
                off_thread(|| host.store().settle_run(&run.id, &Standing::ended("skipped", Some(&failure), now), &[]))?;
                // Counted once it is kept, as every end is: what fails here comes again.
                metrics().run_ended(&run.flow, "skipped");
            }
        }
        after = Lane { flow: run.flow, connection: run.connection };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;
    use crate::host::Home;
    use crate::store::{BroughtBy, NewEvent, NewRun, StoredEvent};

    fn start(id: &str, time: u64) -> NewEvent {
        let event = StoredEvent {
            id: format!("e-{id}"),
            connection: "c".into(),
            subscription: "s".into(),
            card: "lamp-lit".into(),
            event_id: id.into(),
            time_ms: Some(time),
            payload: json!({}),
            delivery: Some("d".into()),
            received_at_ms: 1,
        };
        let run = NewRun {
            id: id.into(),
            flow: "counted-late".into(),
            definition: "{}".into(),
            order_key: Some("k".into()),
            skip_late: true,
            ..NewRun::default()
        };
        NewEvent { event, run: Some(run) }
    }

    #[test]
    fn a_run_that_comes_too_late_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::open(Home::new(folder.path().join("home"), None), SystemClock::shared()).unwrap();
        let store = host.store();
        store.keep_events(BroughtBy::Delivery("d"), &[start("later", 20)]).unwrap();
        store.settle_run("later", &Standing::ended("done", None, 2), &[]).unwrap();
        store.keep_events(BroughtBy::Delivery("d"), &[start("late", 10)]).unwrap();
        assert!(next(&host, &Arc::default(), &Lane::default()).unwrap().is_none());
        assert_eq!(store.run("late").unwrap().unwrap().state, "skipped");
        assert_eq!(metrics().runs_ended("counted-late", "skipped"), 1);
    }
}
