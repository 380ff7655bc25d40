//! Reads stored deliveries into events, after they were acknowledged, until each is done or reported.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tracing::Instrument as _;

use super::turns::Turns;
use crate::engine::Flows;
use crate::engine::flow::Retry;
use crate::host::{Host, HostError, off_thread};
use crate::observe::{delivery_span, metrics};
use crate::store::StoreError;

/// How many deliveries are read at once.
const AT_ONCE: usize = 8;
/// How often reading a delivery is tried, and with which waits: for about forty minutes.
const RETRY: Retry =
    Retry { attempts: 12, first: Duration::from_secs(2), factor: 2.0, at_most: Duration::from_secs(300) };
/// How long a delivery waits that cannot be read while its account is held.
const HELD: Duration = Duration::from_secs(60);

fn locked(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a delivery that is being read. It is given up however the reading ends, by a panic too: else the
/// delivery were never read again, and the place of its connection lost.
struct Place {
    turns: Arc<Mutex<Turns>>,
    connection: String,
    id: String,
    stored: Arc<Notify>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.turns).ended(&self.connection, &self.id);
        drop(self.slot.take());
        self.stored.notify_one();
    }
}

/// Reads deliveries until `stop` says so. `stored` tells of new ones, `started` is told of new runs.
pub(crate) async fn process(
    host: Arc<Host>,
    flows: Arc<Flows>,
    stored: Arc<Notify>,
    started: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) {
    let turns: Arc<Mutex<Turns>> = Arc::default();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    while !*stop.borrow() {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let clock = host.clock();
        let next = off_thread(|| locked(&turns).next(host.store(), clock.now_ms(), clock.monotonic()));
        let (connection, id) = match next {
            Ok(Some(found)) => found,
            nothing => {
                drop(slot);
                if let Err(error) = nothing {
                    tracing::error!(%error, "the store could not be read");
                }
                let wait = until_due(&host, off_thread(|| host.store().next_delivery_due(host.clock().now_ms())));
                tokio::select! {
                    () = stored.notified() => {}
                    () = host.clock().sleep(wait) => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
        };
        let (host, flows, turns, started, stored) =
            (Arc::clone(&host), Arc::clone(&flows), Arc::clone(&turns), Arc::clone(&started), Arc::clone(&stored));
        let span = delivery_span(&id);
        let reading = async move {
            let _place = Place { turns, connection, id: id.clone(), stored, slot: Some(slot) };
            match one(&host, &flows, &id).await {
                Ok(0) => {}
                Ok(fresh) => {
                    metrics().events(fresh);
                    started.notify_one();
                }
                Err(error) => tracing::error!(%error, "the store failed while a delivery was read"),
            }
        };
        tokio::spawn(reading.instrument(span));
    }
    // What is being read comes to its end; what is not begun waits on disk.
    let _ = slots.acquire_many(AT_ONCE as u32).await;
}

/// How long to sleep until something is due: at most ten seconds, in case another process adds work.
pub(crate) fn until_due(host: &Host, due: Result<Option<u64>, StoreError>) -> Duration {
    let at_most = Duration::from_secs(10);
    match due {
        Ok(Some(due)) => Duration::from_millis(due.saturating_sub(host.clock().now_ms()).max(10)).min(at_most),
        _ => at_most,
    }
}

/// How long to wait before a delivery is read again that could not be so many times; none where that is for good.
fn wait_after(error: &HostError, failures: u32) -> Option<Duration> {
    if error.is_held_account() {
        // Not lost: once a person has released the account, it is read.
        return Some(HELD);
    }
    let passes = matches!(error.kind(), "transient" | "other") && failures < RETRY.attempts;
    passes.then(|| RETRY.wait(failures, Duration::from_millis(error.retry_after_ms()), 0.5))
}

/// What a task of its own comes to: a panic is an error like others, so that what panics each time is reported in the
/// end and not tried for ever.
async fn unpanicked<T: Send + 'static>(
    work: impl Future<Output = Result<T, HostError>> + Send + 'static,
) -> Result<T, HostError> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        let message = format!("reading it {}", if error.is_panic() { "panicked" } else { "was broken off" });
        Err(HostError::other("panic", message, "Report it with the lines before it in the host's log."))
    })
}

async fn one(host: &Arc<Host>, flows: &Arc<Flows>, id: &str) -> Result<usize, HostError> {
    let Some(delivery) = off_thread(|| host.store().delivery(id))? else { return Ok(0) };
    let reading = (Arc::clone(host), Arc::clone(flows), delivery.clone());
    let read = unpanicked(async move {
        let (host, flows, delivery) = reading;
        host.process_delivery(&delivery, &|flow| flows.definition(flow)).await
    });
    let error = match read.await {
        Ok(processed) => {
            metrics().delivery_read("done");
            return Ok(processed.fresh);
        }
        Err(error) => error,
    };
    let wait = wait_after(&error, delivery.attempts + 1);
    let again =
        wait.map(|wait| host.clock().now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
    metrics().delivery_read(if again.is_some() { "later" } else { "failed" });
    tracing::warn!(%error, again = again.is_some(), "a delivery could not be read");
    off_thread(|| host.store().delivery_failed(&delivery, &error.to_json(), again, host.clock().now_ms()))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::webhook::turns::tests::delivery;

    #[tokio::test]
    async fn a_reading_that_panics_gives_its_place_up_and_is_an_error_that_passes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db")).unwrap();
        store.keep_delivery(&delivery("c", 1)).unwrap();
        let turns: Arc<Mutex<Turns>> = Arc::default();
        let next = || locked(&turns).next(&store, 1_000, Duration::ZERO).unwrap();
        let (connection, id) = next().unwrap();
        assert!(next().is_none(), "it is being read");
        let slots = Arc::new(Semaphore::new(1));
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let (stored, told) = (Arc::new(Notify::new()), Arc::clone(&turns));
        let place = Place { turns: told, connection, id: id.clone(), stored, slot: Some(slot) };
        let read: Result<(), HostError> = unpanicked(async move {
            let _place = place;
            panic!("on purpose");
        })
        .await;
        assert_eq!(slots.available_permits(), 1);
        assert_eq!(next().map(|(_, id)| id), Some(id), "it can be read again");
        let error = read.unwrap_err();
        assert_eq!(error.to_json()["code"], "host.panic");
        assert!(wait_after(&error, 1).is_some() && wait_after(&error, RETRY.attempts).is_none());
    }
}
