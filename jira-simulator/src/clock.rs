//! Virtual time: the machine's clock plus an offset that only the control API moves.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::format_description::BorrowedFormatItem;
use time::macros::{format_description, offset};
use time::{OffsetDateTime, UtcOffset};
use tokio::sync::Notify;

/// The zone of the site and of its accounts: not UTC, so that a reader who forgets the offset is
/// five hours wrong, and without daylight saving, so that tests mean the same all year.
pub(crate) const ZONE: &str = "America/Bogota";
/// The offset of [`ZONE`].
pub(crate) const ZONE_OFFSET: UtcOffset = offset!(-5);

const TIMESTAMP: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3][offset_hour sign:mandatory][offset_minute]"
);

/// Milliseconds since 1970 that can be moved forward and waited for.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
    moved: Notify,
}

impl Clock {
    pub(crate) fn now_ms(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        i64::try_from(real).unwrap_or(i64::MAX).saturating_add(self.offset_ms())
    }

    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    /// Moves time and wakes everything that waits for it. `ms` is capped at 100 years.
    pub(crate) fn advance(&self, ms: u64) {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX).min(100 * 366 * 86_400_000);
        self.offset_ms.fetch_add(ms, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    pub(crate) fn reset(&self) {
        self.offset_ms.store(0, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    /// Returns once virtual time has reached `due_ms`.
    pub(crate) async fn wait_until(&self, due_ms: i64) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Registered before the clock is read: an advance in between must not be missed.
            moved.as_mut().enable();
            let left = due_ms - self.now_ms();
            if left <= 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left.unsigned_abs())) => {}
                () = moved => {}
            }
        }
    }
}

/// A time as Jira writes it: `2022-01-15T20:44:54.989-0500`, no colon in the offset.
pub(crate) fn jira_time(ms: i64) -> String {
    civil(ms).format(TIMESTAMP).unwrap_or_default()
}

/// The time in the site's zone. Out of range gives 1970.
pub(crate) fn civil(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .to_offset(ZONE_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_jira_writes_them() {
        assert_eq!(jira_time(1_642_297_494_989), "2022-01-15T20:44:54.989-0500");
    }

    #[tokio::test]
    async fn advancing_wakes_a_waiter_at_once() {
        let clock = std::sync::Arc::new(Clock::default());
        let due = clock.now_ms() + 3_600_000;
        let waiter = tokio::spawn({
            let clock = clock.clone();
            async move { clock.wait_until(due).await }
        });
        tokio::task::yield_now().await;
        clock.advance(3_600_001);
        tokio::time::timeout(Duration::from_secs(2), waiter).await.expect("woken").expect("no panic");
    }
}
