//! Time and randomness, through one interface: a test can run a month in a second, and repeat it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub type EpochMs = u64;

/// Where the host gets time and randomness from. Everything that waits, stamps or draws does it here.
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
    (0..16).map(|place| char::from(ALPHABET[(bits >> (place * 5) & 31) as usize])).collect()
}

/// Crockford's base 32: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
