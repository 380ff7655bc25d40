//! The memory that bodies take until they have come whole. Whoever sends them has proved nothing yet, so nobody keeps
//! the others out with them: where there is no more, the callback that has the most gives some of it back, its slowest
//! body first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a body may take before it gives way to another of the same callback.
const SLOW: Duration = Duration::from_secs(1);

/// All memory for bodies.
#[derive(Debug)]
pub(super) struct Unproved(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    left: usize,
    bodies: HashMap<u64, Body>,
    next: u64,
}

/// One body that is being read, or proved.
#[derive(Debug)]
struct Body {
    callback: String,
    bytes: usize,
    begun: Instant,
    /// Told when it has to go; none once it has come whole.
    leave: Option<Arc<Notify>>,
}

impl Unproved {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { left: bytes, bodies: HashMap::new(), next: 0 })))
    }

    /// A body for a callback, of which nothing has come yet.
    pub(super) fn begin(self: &Arc<Self>, callback: &str) -> Share {
        let leave = Arc::new(Notify::new());
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        let (callback, begun, told) = (callback.to_owned(), Instant::now(), Some(Arc::clone(&leave)));
        inner.bodies.insert(id, Body { callback, bytes: 0, begun, leave: told });
        drop(inner);
        Share { id, leave, all: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What the bodies of a callback take.
    fn of(&self, callback: &str) -> usize {
        self.bodies.values().filter(|one| one.callback == callback).map(|one| one.bytes).sum()
    }

    /// Has one body go that is in the way of another, which wants so many bytes more. False where none is: then the other one
    /// has to.
    fn make_room(&mut self, id: u64, more: usize) -> bool {
        let Some(wants) = self.bodies.get(&id).map(|one| one.callback.clone()) else { return false };
        let coming = || self.bodies.iter().filter(|(other, one)| **other != id && one.leave.is_some() && one.bytes > 0);
        let Some(greatest) = coming().map(|(_, one)| &one.callback).max_by_key(|callback| self.of(callback)) else {
            return false;
        };
        let own = *greatest == wants || self.of(greatest) <= self.of(&wants) + more;
        let from = if own { &wants } else { greatest };
        let slowest = coming().filter(|(_, one)| one.callback == *from).min_by_key(|(_, one)| one.begun);
        match slowest.map(|(other, one)| (*other, one.begun.elapsed())) {
            // Among equals only who is slow gives way.
            Some((other, took)) if !own || took >= SLOW => {
                self.remove(other);
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(body) = self.bodies.remove(&id) else { return };
        self.left += body.bytes;
        if let Some(leave) = body.leave {
            leave.notify_one();
        }
    }
}

/// What one body takes of the memory, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    id: u64,
    leave: Arc<Notify>,
    all: Arc<Unproved>,
}

impl Share {
    /// Takes so much more. False where there is no room, or the body had to go.
    pub(super) fn grow(&self, bytes: usize) -> bool {
        let mut inner = self.all.lock();
        while inner.left < bytes {
            if !inner.make_room(self.id, bytes) {
                return false;
            }
        }
        let Some(body) = inner.bodies.get_mut(&self.id) else { return false };
        body.bytes += bytes;
        inner.left -= bytes;
        true
    }

    /// Gives back what it took: nothing of the body is kept.
    pub(super) fn give_back(&self) {
        let mut inner = self.all.lock();
        let bytes = inner.bodies.get_mut(&self.id).map_or(0, |body| std::mem::take(&mut body.bytes));
        inner.left += bytes;
    }

    /// Ends when the body has to go.
    pub(super) async fn has_to_go(&self) {
        self.leave.notified().await;
    }

    /// The body has come whole: it stays until it is proved and kept, or refused.
    pub(super) fn is_whole(&self) -> bool {
        let mut inner = self.all.lock();
        let body = inner.bodies.get_mut(&self.id);
        body.map(|body| body.leave = None).is_some()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn goes(share: &Share) -> bool {
        let told = pin!(share.has_to_go());
        told.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn whoever_has_the_most_makes_room_for_the_others() {
        let all = Unproved::new(26);
        let (first, second) = (all.begin("flood"), all.begin("flood"));
        assert!(first.grow(20) && second.grow(6));
        assert!(!second.grow(1), "its own bodies are not slow yet");
        let other = all.begin("other");
        assert!(other.grow(5));
        assert!(goes(&first) && !goes(&second), "the one that came first is the slowest");
        assert!(!first.grow(1) && !first.is_whole(), "what had to go gets nothing any more");
        assert!(second.grow(15), "what it had is free");
        assert!(other.grow(1) && goes(&second));
        drop((first, second, other));
        assert_eq!(all.lock().left, 26);
    }

    #[test]
    fn a_slow_body_gives_way_to_one_of_its_own_callback() {
        let all = Unproved::new(26);
        let slow = all.begin("one");
        assert!(slow.grow(26));
        let next = all.begin("one");
        assert!(!next.grow(1));
        std::thread::sleep(SLOW);
        assert!(next.grow(1) && goes(&slow));
    }

    #[test]
    fn what_has_come_whole_stays() {
        let all = Unproved::new(26);
        let whole = all.begin("one");
        assert!(whole.grow(26) && whole.is_whole());
        assert!(!all.begin("other").grow(1) && !goes(&whole));
    }
}
