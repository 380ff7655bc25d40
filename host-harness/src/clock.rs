//! Time and randomness, through one interface: a test can run a month in a second, and repeat it.
//!
//! By it goes all that the host does by the time of day or after a wait: what is stamped and kept, retries, holds,
//! polls, upkeep, retention, proofs with a time in them, ids and secrets, and the time of day that guests see. What
//! bounds work that is really under way goes by real time, as a clock that stands would never end it: deadlines of
//! calls, requests, bodies and sockets, waits for another process or the disk, and how long things took.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub type EpochMs = u64;

/// The longest that anything waits because a guest, a service or a flow says so: no time of the host's comes near the
/// end of what the store can keep, however long a wait is asked for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A wait that somebody asks for, in milliseconds, bounded by [`LONGEST_WAIT`].
pub(crate) fn bounded_ms(asked: u64) -> u64 {
    u64::try_from(LONGEST_WAIT.as_millis()).map_or(asked, |longest| asked.min(longest))
}

/// Where the host gets time and randomness from.
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn now_ms(&self) -> EpochMs;

    /// A time that never goes back, for measuring.
    fn monotonic(&self) -> Duration;

    /// Ends when `duration` has passed on this clock.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Fills `bytes` with randomness fit for keys.
    fn fill_random(&self, bytes: &mut [u8]);
}

/// A clock that many parts share.
pub type SharedClock = Arc<dyn Clock>;

/// The clock and randomness of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A shared handle to it.
    pub fn shared() -> SharedClock {
        Arc::new(Self { started: Instant::now() })
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> EpochMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        // An operating system without randomness cannot make keys: there is no safe way to go on.
        getrandom::fill(bytes).expect("the operating system gives randomness");
    }
}

/// A new id of 80 random bits, lower-case letters and digits: what a person can copy and nobody can guess by chance.
pub fn new_id(clock: &dyn Clock) -> String {
    let mut bytes = [0; 10];
    clock.fill_random(&mut bytes);
    let bits = bytes.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    written(bits)
}

/// 80 bits as an id, the highest first.
fn written(bits: u128) -> String {
    (0..16).rev().map(|place| char::from(ALPHABET[(bits >> (place * 5) & 31) as usize])).collect()
}

/// Ids of what comes in great numbers. Each is greater than the one before: 42 bits of time, then 38 that are random
/// in the first of a millisecond and go on from there. An index of them grows at its end, so that keeping one touches
/// the same few pages however many are kept already.
#[derive(Debug, Default)]
pub struct Series(Mutex<u128>);

impl Series {
    /// The next id.
    pub fn next(&self, clock: &dyn Clock) -> String {
        let mut bytes = [0; 8];
        clock.fill_random(&mut bytes);
        let random = u128::from(u64::from_le_bytes(bytes));
        let first = ((u128::from(clock.now_ms()) % (1 << 42)) << 38) | (random % (1 << 38));
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // In the same millisecond, or after a clock was set back, a small step from the last one.
        *last = first.max(*last + 1 + random % (1 << 16));
        written(*last)
    }
}

/// Crockford's base 32: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::TestClock;

    #[test]
    fn ids_of_a_series_go_up_however_fast_they_are_drawn() {
        let (clock, series) = (TestClock::shared(), Series::default());
        let ids: Vec<_> = (0..30_000)
            .map(|number| {
                clock.advance(Duration::from_micros(number % 3));
                series.next(&*clock)
            })
            .collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| ALPHABET.contains(&byte))));
    }

    #[test]
    fn two_series_of_one_millisecond_share_no_id() {
        let clock = TestClock::shared();
        let (one, other) = (Series::default(), Series::default());
        assert_ne!(one.next(&*clock), other.next(&*clock));
    }
}
