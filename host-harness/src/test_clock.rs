//! A clock that a test turns by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, EpochMs};

/// When it begins: 2026-01-01T00:00:00Z.
const BEGIN: Duration = Duration::from_secs(1_767_225_600);

/// A clock that stands until a test moves it on.
pub(crate) struct TestClock {
    since_begin: watch::Sender<Duration>,
}

impl TestClock {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::new(Self { since_begin: watch::Sender::new(Duration::ZERO) })
    }

    /// Moves it on; whatever sleeps until then awakes.
    pub(crate) fn advance(&self, by: Duration) {
        self.since_begin.send_modify(|since| *since += by);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> EpochMs {
        u64::try_from((BEGIN + *self.since_begin.borrow()).as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        *self.since_begin.borrow()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut time = self.since_begin.subscribe();
        let due = *time.borrow() + duration;
        Box::pin(async move {
            if time.wait_for(|now| *now >= due).await.is_err() {
                // The clock is gone: nobody moves it any more.
                std::future::pending::<()>().await;
            }
        })
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }
}

#[tokio::test]
async fn a_sleep_ends_when_the_clock_was_moved_far_enough() {
    let clock = TestClock::shared();
    let sleep = tokio::spawn(clock.sleep(Duration::from_secs(60)));
    clock.advance(Duration::from_secs(59));
    tokio::task::yield_now().await;
    assert!(!sleep.is_finished());
    clock.advance(Duration::from_secs(1));
    sleep.await.unwrap();
}
