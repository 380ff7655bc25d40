//! Whether there is room for more deliveries: on the disk, and behind those that wait to be read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::host::{Host, off_thread};
use crate::store::Alarm;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// What the room is bounded by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoomBounds {
    /// How many deliveries may wait to be read.
    pub(crate) waiting: usize,
    /// How much of the disk stays free, in bytes: for what is in progress to come to its end.
    pub(crate) disk_reserve: u64,
}

impl Default for RoomBounds {
    fn default() -> Self {
        Self { waiting: 250_000, disk_reserve: 64 << 20 }
    }
}

#[derive(Debug)]
pub(super) struct Room {
    bounds: RoomBounds,
    /// When it is looked next, in milliseconds of the clock that never goes back.
    next_look: AtomicU64,
    full: AtomicBool,
}

impl Room {
    pub(super) fn new(bounds: RoomBounds) -> Self {
        Self { bounds, next_look: AtomicU64::new(0), full: AtomicBool::new(false) }
    }

    /// Whether more can be taken in.
    pub(super) fn is_there(&self, host: &Host) -> bool {
        let now = u64::try_from(host.clock().monotonic().as_millis()).unwrap_or(u64::MAX);
        let next = self.next_look.load(Ordering::Relaxed);
        let after = now.saturating_add(LOOK.as_millis() as u64);
        // One of those who come looks, the others go by what was seen last.
        if now >= next && self.next_look.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            off_thread(|| self.look(host));
        }
        !self.full.load(Ordering::Relaxed)
    }

    fn look(&self, host: &Host) {
        let was_full = self.full.load(Ordering::Relaxed);
        let reason = self.shortage(host, was_full);
        self.full.store(reason.is_some(), Ordering::Relaxed);
        match reason {
            Some(message) if !was_full => {
                tracing::error!(message, "no more deliveries are taken in; their senders are asked to come back");
                let at_ms = host.clock().now_ms();
                let alarm = Alarm { at_ms, connection: None, code: "host.intake-full".into(), message };
                if let Err(error) = host.store().raise(&alarm) {
                    tracing::error!(%error, "an alarm could not be kept");
                }
            }
            None if was_full => tracing::info!("there is room for deliveries again"),
            _ => {}
        }
    }

    /// What there is too little of. Once it was full, some of it must be free before more is taken in.
    fn shortage(&self, host: &Host, was_full: bool) -> Option<String> {
        let RoomBounds { waiting, disk_reserve } = self.bounds;
        let (most, least) =
            if was_full { (waiting - waiting / 10, disk_reserve + disk_reserve / 4) } else { (waiting, disk_reserve) };
        // What cannot be found out is left to the write itself.
        if let Ok(free) = fs4::available_space(host.home().path())
            && free < least
        {
            return Some(format!("the disk of the home has {} MiB left: free some", free >> 20));
        }
        if host.store().waiting_deliveries(most.max(1)).is_ok_and(|found| found >= most.max(1)) {
            return Some(format!(
                "{most} deliveries or more wait to be read: look whether their service or connector is in trouble"
            ));
        }
        None
    }
}
