//! The core's host over WASI: requests by `wasi:http`, time by `wasi:clocks`, chance by `wasi:random`.

mod fault;
mod flight;

use self::flight::Flight;
use crate::host::{Host, Request, Response, SendError};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::io::poll::{Pollable, poll};

/// What is left to say why, when the deadline comes near.
const RESERVE_MS: u64 = 250;
const NANOSECONDS: u64 = 1_000_000;

/// Network, time and chance of one call.
pub(super) struct Wire {
    deadline: Deadline,
}

/// When to give up.
struct Deadline {
    /// On the monotonic clock, in nanoseconds.
    at: u64,
    /// What is ready then. Made once, where something is waited for: each use of the host costs.
    alarm: Option<Pollable>,
}

impl Deadline {
    fn left(&self) -> u64 {
        self.at.saturating_sub(monotonic_clock::now())
    }

    /// Waits until one of them is ready or the time is up; whether there is time left.
    fn wait(&mut self, for_any: &[&Pollable]) -> bool {
        let alarm = self.alarm.get_or_insert_with(|| monotonic_clock::subscribe_instant(self.at));
        let mut all = for_any.to_vec();
        all.push(alarm);
        let last = all.len() - 1;
        poll(&all).iter().all(|ready| *ready as usize != last)
    }
}

impl Wire {
    /// For a call that ends `deadline_ms` from now.
    pub(super) fn new(deadline_ms: u64) -> Self {
        let budget = deadline_ms.saturating_sub(RESERVE_MS).max(deadline_ms / 2);
        let at = monotonic_clock::now().saturating_add(budget.saturating_mul(NANOSECONDS));
        Self { deadline: Deadline { at, alarm: None } }
    }
}

impl Host for Wire {
    fn send(&mut self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        let left = self.deadline.left();
        // All are begun before the first is waited for, and all bodies go out side by side.
        let mut flights: Vec<_> = requests.iter().map(|request| Flight::begin(request, left)).collect();
        loop {
            let waiting: Vec<&Pollable> = flights.iter().flatten().flat_map(Flight::pollables).collect();
            if waiting.is_empty() || !self.deadline.wait(&waiting) {
                break;
            }
            for flight in flights.iter_mut().flatten() {
                flight.advance();
            }
        }
        flights.into_iter().map(|flight| flight.and_then(|flight| flight.land(&mut self.deadline))).collect()
    }

    fn now_ms(&self) -> u64 {
        let now = wall_clock::now();
        now.seconds.saturating_mul(1000).saturating_add(u64::from(now.nanoseconds) / 1_000_000)
    }

    fn random(&mut self) -> u64 {
        wasip2::random::random::get_random_u64()
    }
}
