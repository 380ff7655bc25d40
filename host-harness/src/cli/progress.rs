//! Shows a person who waits what the host does.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::legible::legible;

/// After how long somebody waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// The line that is shown now.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Does the work, and shows on a terminal what goes on once it takes longer than a second.
pub(super) async fn shown<T>(activity: impl Fn() -> String, work: impl Future<Output = T>) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    keep(Some(bar.clone()));
    let _cleared = Cleared(bar.clone());
    let mut last = String::new();
    loop {
        let now = activity();
        if now != last {
            // The time is that of what goes on now, not of the person who typed before.
            bar.reset_elapsed();
            last.clone_from(&now);
        }
        bar.set_message(legible(&now).into_owned());
        bar.tick();
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
}

/// Takes the line away, also where the work is given up.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        keep(None);
        self.0.finish_and_clear();
    }
}

/// Does something that writes to the terminal, with the line out of its way.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(bar) => bar.suspend(work),
        None => work(),
    }
}

fn keep(bar: Option<ProgressBar>) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}
