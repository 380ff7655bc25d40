//! Deliveries that were refused: counted here, kept and told of now and then, so that a flood of forged ones keeps
//! neither the disk nor the log busy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::clock::EpochMs;
use crate::host::{Host, off_thread};

/// How long refusals of a connection are gathered before they are kept.
const KEPT_AFTER: Duration = Duration::from_secs(1);
/// How often a connection's refusals are told of in the log.
const TOLD_AFTER: Duration = Duration::from_secs(60);

/// The refusals that are not kept yet.
#[derive(Debug)]
pub(super) struct Refusals(Arc<Mutex<HashMap<String, Counted>>>);

/// Those of one connection.
#[derive(Debug, Default)]
struct Counted {
    name: String,
    reason: String,
    at_ms: EpochMs,
    not_kept: u64,
    not_told: u64,
    told_at: Option<Duration>,
}

impl Counted {
    /// What is to be told now: how many there were since it was told last.
    fn tell(&mut self, now: Duration) -> Option<u64> {
        let due = self.told_at.is_none_or(|at| now >= at + TOLD_AFTER);
        if !due || self.not_told == 0 {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.not_told))
    }
}

fn lock(counted: &Mutex<HashMap<String, Counted>>) -> MutexGuard<'_, HashMap<String, Counted>> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Refusals {
    /// Starts what keeps them. It ends with this.
    pub(super) fn start(host: &Arc<Host>) -> Self {
        let counted = Arc::default();
        tokio::spawn(keep_all(Arc::clone(host), Arc::downgrade(&counted)));
        Self(counted)
    }

    /// Counts one, of the connection with this id and name.
    pub(super) fn count(&self, host: &Host, (id, name): (&str, &str), reason: String) {
        let mut all = lock(&self.0);
        let counted = all.entry(id.to_owned()).or_default();
        (counted.name, counted.reason, counted.at_ms) = (name.to_owned(), reason, host.clock().now_ms());
        counted.not_kept += 1;
        counted.not_told += 1;
        tell(counted, host.clock().monotonic());
    }
}

fn tell(counted: &mut Counted, now: Duration) {
    if let Some(count) = counted.tell(now) {
        tracing::warn!(connection = counted.name, reason = counted.reason, count, "a delivery was refused");
    }
}

/// In real time: what is counted is shown to people.
async fn keep_all(host: Arc<Host>, counted: Weak<Mutex<HashMap<String, Counted>>>) {
    loop {
        tokio::time::sleep(KEPT_AFTER).await;
        let Some(counted) = counted.upgrade() else { return };
        keep(&host, &counted);
    }
}

fn keep(host: &Host, counted: &Mutex<HashMap<String, Counted>>) {
    let now = host.clock().monotonic();
    let mut due = Vec::new();
    lock(counted).retain(|id, one| {
        tell(one, now);
        if one.not_kept > 0 {
            due.push((id.clone(), std::mem::take(&mut one.not_kept), one.at_ms, one.reason.clone()));
        }
        one.not_told > 0 || one.told_at.is_some_and(|at| now < at + TOLD_AFTER)
    });
    for (id, count, at_ms, reason) in due {
        if let Err(error) = off_thread(|| host.store().count_refused(&id, count, at_ms, &reason)) {
            tracing::warn!(%error, count, "refused deliveries could not be counted");
        }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        // What is not kept yet is told of at least.
        for one in lock(&self.0).values_mut() {
            one.told_at = None;
            tell(one, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_once_a_minute_with_its_number() {
        let mut counted = Counted::default();
        let mut told = Vec::new();
        for second in 0..150 {
            counted.not_told += 10;
            told.extend(counted.tell(Duration::from_secs(second)));
        }
        assert_eq!(told, [10, 600, 600]);
    }
}
