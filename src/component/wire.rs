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

/// When to give up, on the monotonic clock, in nanoseconds.
#[derive(Clone, Copy)]
struct Deadline(u64);

impl Deadline {
    fn left(self) -> u64 {
        self.0.saturating_sub(monotonic_clock::now())
    }

    /// Waits until one of them is ready or the time is up; whether there is time left.
    fn wait(self, for_any: &[&Pollable]) -> bool {
        if self.left() == 0 {
            return false;
        }
        let timeout = monotonic_clock::subscribe_instant(self.0);
        let mut all = for_any.to_vec();
        all.push(&timeout);
        poll(&all);
        true
    }
}

impl Wire {
    /// For a call that ends `deadline_ms` from now.
    pub(super) fn new(deadline_ms: u64) -> Self {
        let budget = deadline_ms.saturating_sub(RESERVE_MS).max(deadline_ms / 2);
        Self { deadline: Deadline(monotonic_clock::now().saturating_add(budget.saturating_mul(NANOSECONDS))) }
    }
}

impl Host for Wire {
    fn send(&mut self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        // All are begun before the first is waited for, and all bodies go out side by side.
        let mut flights: Vec<_> = requests.iter().map(|request| Flight::begin(request, self.deadline.left())).collect();
        loop {
            for flight in flights.iter_mut().flatten() {
                flight.advance();
            }
            let waiting: Vec<Pollable> = flights.iter().flatten().flat_map(Flight::pollables).collect();
            if waiting.is_empty() || !self.deadline.wait(&waiting.iter().collect::<Vec<_>>()) {
                break;
            }
        }
        let deadline = self.deadline;
        flights.into_iter().map(|flight| flight.and_then(|flight| flight.land(deadline))).collect()
    }

    fn now_ms(&self) -> u64 {
        let now = wall_clock::now();
        now.seconds.saturating_mul(1000).saturating_add(u64::from(now.nanoseconds) / 1_000_000)
    }

    fn random(&mut self) -> u64 {
        wasip2::random::random::get_random_u64()
    }
}
