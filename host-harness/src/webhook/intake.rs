//! Keeps deliveries: those that wait are written in one transaction and synced once.

use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::clock::EpochMs;
use crate::host::{Host, HostError};
use crate::store::{Alarm, Kept, StoredDelivery};

/// The most deliveries in one transaction.
const AT_ONCE: usize = 256;

/// A delivery on its way to the disk, with the version of what proved it.
type Waiting = (u64, StoredDelivery, oneshot::Sender<Result<Outcome, HostError>>);

/// What became of a delivery.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is on disk.
    Kept(Kept),
    /// What proved it was changed meanwhile. It is not kept, and has to be proved anew. Its body.
    Past(Vec<u8>),
}

/// The way to the disk.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    queue: mpsc::Sender<Waiting>,
}

impl Intake {
    /// Starts the thread that writes. It ends with the last handle. At most `waiting` deliveries wait for it.
    pub(super) fn start(host: Arc<Host>, waiting: usize) -> Self {
        let (queue, deliveries) = mpsc::channel(waiting.max(1));
        // Where no thread can be had the queue is closed, and every sender is asked to come back.
        let thread = std::thread::Builder::new().name("intake".into()).spawn(move || keep_all(&host, deliveries));
        if let Err(error) = thread {
            tracing::error!(%error, "deliveries cannot be taken in");
        }
        Self { queue }
    }

    /// For whoever watches over the thread.
    pub(super) fn watched(&self) -> Watched {
        Watched(self.queue.clone())
    }

    /// Keeps a delivery that was proved by what is registered at this version; it is on disk when it is answered so.
    pub(super) async fn keep(&self, version: u64, delivery: StoredDelivery) -> Result<Outcome, HostError> {
        let (told, tell) = oneshot::channel();
        self.queue.try_send((version, delivery, told)).map_err(|error| match error {
            TrySendError::Full(_) => HostError::other(
                "intake-full",
                "more deliveries wait than are taken in at once",
                "Nothing: they come again.",
            ),
            TrySendError::Closed(_) => gone(),
        })?;
        tell.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> HostError {
    HostError::other("intake", "the thread that keeps deliveries ended", "Start the program again.")
}

/// The thread that writes, to be watched over.
pub(crate) struct Watched(mpsc::Sender<Waiting>);

impl Watched {
    /// Ends when the thread has, or with `stop`.
    pub(crate) async fn watch(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.0.closed() => {}
            () = stop => {}
        }
    }
}

/// The deliveries that were refused since the disk failed.
struct Refused {
    since: EpochMs,
    count: usize,
}

fn keep_all(host: &Host, mut deliveries: mpsc::Receiver<Waiting>) {
    let mut refused: Option<Refused> = None;
    let (mut batch, mut replies) = (Vec::with_capacity(AT_ONCE), Vec::with_capacity(AT_ONCE));
    while let Some(first) = deliveries.blocking_recv() {
        let mut next = Some(first);
        while let Some((version, delivery, reply)) = next {
            batch.push((version, delivery));
            replies.push(reply);
            next = if batch.len() < AT_ONCE { deliveries.try_recv().ok() } else { None };
        }
        match host.store().keep_proved(batch.iter().map(|(version, delivery)| (*version, delivery))) {
            Ok(kept) => {
                for ((reply, kept), (_, delivery)) in replies.drain(..).zip(kept).zip(batch.drain(..)) {
                    // A sender that has gone away comes again.
                    drop(reply.send(Ok(kept.map_or_else(|| Outcome::Past(delivery.body), Outcome::Kept))));
                }
                if let Some(refused) = refused.take() {
                    tell(host, &refused);
                }
            }
            Err(error) => {
                let told = refused.get_or_insert(Refused { since: host.clock().now_ms(), count: 0 });
                if told.count == 0 {
                    tracing::error!(%error, "deliveries cannot be kept; their senders are asked to come back");
                }
                told.count += batch.len();
                let error = HostError::from(error);
                replies.drain(..).for_each(|reply| drop(reply.send(Err(error.clone()))));
            }
        }
        batch.clear();
    }
}

/// Says, once it can be kept, that deliveries were refused.
fn tell(host: &Host, refused: &Refused) {
    let now = host.clock().now_ms();
    let seconds = now.saturating_sub(refused.since).div_ceil(1000);
    let message = format!(
        "{} deliveries could not be kept within {seconds} s and were asked to come again: the disk failed or was full",
        refused.count
    );
    tracing::warn!(message, "deliveries are taken in again");
    let alarm = Alarm { at_ms: now, connection: None, code: "host.intake-refused".into(), message };
    if let Err(error) = host.store().raise(&alarm) {
        tracing::error!(%error, "an alarm could not be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_is_gone_is_noticed_by_whoever_watches_and_by_whoever_sends() {
        let (queue, deliveries) = mpsc::channel(1);
        let intake = Intake { queue };
        let watching = tokio::spawn(intake.watched().watch(std::future::pending()));
        tokio::task::yield_now().await;
        assert!(!watching.is_finished());
        let thread = std::thread::spawn(move || {
            let _deliveries = deliveries;
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        watching.await.unwrap();
        let refused = intake.keep(1, crate::webhook::turns::tests::delivery("c", 1)).await.unwrap_err();
        assert_eq!(refused.to_json()["code"], "host.intake");
    }
}
