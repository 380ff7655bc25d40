//! Holding calls of the token endpoints back until they are released.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// At which moment a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum When {
    /// Before anything is done: nothing was exchanged yet.
    Before,
    /// After everything is done: only the answer waits.
    After,
}

/// The barrier.
pub(crate) struct Hold {
    held: watch::Sender<Option<When>>,
    waiting: watch::Sender<usize>,
}

impl Default for Hold {
    fn default() -> Self {
        Self { held: watch::Sender::new(None), waiting: watch::Sender::new(0) }
    }
}

/// Counts a call that waits, also when its client goes away.
struct Waits<'a>(&'a watch::Sender<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Hold {
    pub(crate) fn set(&self, when: Option<When>) {
        self.held.send_replace(when);
    }

    pub(crate) fn held(&self) -> Option<When> {
        *self.held.borrow()
    }

    pub(crate) fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Goes on at once, or once calls are no longer held at this moment.
    pub(crate) async fn pass(&self, when: When) {
        let mut held = self.held.subscribe();
        if *held.borrow() != Some(when) {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waits = Waits(&self.waiting);
        let _ = held.wait_for(|held| *held != Some(when)).await;
    }
}
