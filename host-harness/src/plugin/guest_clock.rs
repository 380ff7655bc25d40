//! The host's clock, as `wasi:clocks` for the guest.
//!
//! Not wasmtime's own context: that comes with random generators, a file system and sockets, which would be made for
//! every call and never used.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::clock::SharedClock;

/// The clocks of one call.
pub(crate) struct Clocks<'a> {
    pub(crate) clock: &'a SharedClock,
    pub(crate) table: &'a mut ResourceTable,
}

/// Names [`Clocks`] to the linker.
pub(crate) struct GuestClocks;

impl HasData for GuestClocks {
    type Data<'a> = Clocks<'a>;
}

impl wall_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = Duration::from_millis(self.clock.now_ms());
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = monotonic_clock::Host::now(self)?;
        monotonic_clock::Host::subscribe_duration(self, when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let due = Instant::now().checked_add(Duration::from_nanos(duration));
        let timer = self.table.push(Timer { due, over: duration == 0 })?;
        subscribe(self.table, timer)
    }
}

/// What a guest waits for. In real time: the deadline of its call is, too.
struct Timer {
    /// None where it lies beyond all time.
    due: Option<Instant>,
    over: bool,
}

impl Pollable for Timer {
    fn ready<'life, 'out>(&'life mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'out>>
    where
        'life: 'out,
        Self: 'out,
    {
        Box::pin(async {
            match self.due {
                // A guest that asks again and again without waiting must not keep others from their turn.
                _ if self.over => tokio::task::yield_now().await,
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        })
    }
}
