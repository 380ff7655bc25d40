//! Forgets what was kept for long enough, a little at a time and beside everything else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::host::{Host, off_thread};
use crate::store::{Era, StoreError};

/// How often it is looked for what is old.
const LOOK: Duration = Duration::from_secs(600);
/// How many rows of a kind go in one transaction.
const AT_ONCE: u32 = 200;
/// The pause between two of them, for everybody else.
const PAUSE: Duration = Duration::from_millis(50);

/// Deletes a little, unless the clock cannot be believed.
fn sweep(host: &Host, known: &mut Option<Era>) -> Result<usize, StoreError> {
    let (now, monotonic) = (host.clock().now_ms(), host.clock().monotonic());
    let era = match known {
        Some(era) => era,
        None => known.insert(host.store().era(now, monotonic)?),
    };
    if host.store().believes(era, now, monotonic)? { host.store().sweep(now, AT_ONCE) } else { Ok(0) }
}

pub(super) async fn forget_old(host: Arc<Host>, mut stop: watch::Receiver<bool>) {
    let mut era = None;
    while !*stop.borrow() {
        let wait = match off_thread(|| sweep(&host, &mut era)) {
            Ok(0) => host.clock().sleep(LOOK),
            Ok(rows) => {
                tracing::debug!(rows, "what was kept for long enough was deleted");
                host.clock().sleep(PAUSE)
            }
            Err(error) => {
                tracing::warn!(%error, "what was kept for long enough could not be deleted; tried again later");
                host.clock().sleep(LOOK)
            }
        };
        tokio::select! {
            () = wait => {}
            _ = stop.changed() => {}
        }
    }
}
