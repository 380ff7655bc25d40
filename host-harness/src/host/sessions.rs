//! The sessions in use, so that a call does not read its connection, its credential and what is held back from the
//! store each time.
//!
//! What this process changes is forgotten here at once. What another process changes (a command beside a serving
//! host) is seen after [`FRESH`] at the latest: by then everything is read anew. A credential that nobody uses is
//! not kept in memory: after [`IDLE`] its session is dropped, and with it its memory overwritten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Session;
use crate::clock::EpochMs;
use crate::plugin::contract::types::{Hold, Scope};
use crate::store::StoreError;

/// How old what is kept here may be. In real time: it is other processes that it must keep up with.
const FRESH: Duration = Duration::from_millis(250);
/// After how long without a call a session is dropped.
const IDLE: Duration = Duration::from_secs(10);

/// A connector's memo, and when it was left.
type Memo = Option<(String, EpochMs)>;
/// What an owner's service asked to be left alone, and until when.
type Held = Arc<[(Scope, EpochMs)]>;

/// The sessions in use.
#[derive(Default)]
pub(crate) struct Sessions(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// By the connection's name.
    sessions: HashMap<String, Fresh<Arc<Session>>>,
    /// By the connection's id.
    memos: HashMap<String, Fresh<Memo>>,
    /// By their owner.
    holds: HashMap<String, Fresh<Held>>,
    /// Grows whenever something is forgotten: what was read before must not be kept after.
    forgotten: u64,
    sweeping: bool,
}

struct Fresh<T> {
    value: T,
    read: Instant,
}

impl<T: Clone> Fresh<T> {
    fn get(found: Option<&Self>) -> Option<T> {
        found.filter(|kept| kept.read.elapsed() < FRESH).map(|kept| kept.value.clone())
    }
}

/// A place in the order of changes: what is read after it may be kept if nothing was forgotten since.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0)
    }

    /// To be taken before anything is read that is to be kept.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.lock().forgotten)
    }

    /// The session of a connection's name, if it is fresh.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Session>> {
        Fresh::get(self.lock().sessions.get(name))
    }

    /// Keeps a session that was made of what was read after `mark`.
    pub(crate) fn keep(&self, session: &Arc<Session>, mark: Mark) {
        let mut kept = self.lock();
        if kept.forgotten != mark.0 {
            return;
        }
        let read = Instant::now();
        let connection = &session.connection;
        kept.memos.insert(connection.id.clone(), Fresh { value: connection.memo.clone(), read });
        kept.sessions.insert(connection.name.clone(), Fresh { value: Arc::clone(session), read });
        if !kept.sweeping && tokio::runtime::Handle::try_current().is_ok() {
            kept.sweeping = true;
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    /// The memo of a connection: the one kept, or what `read` finds.
    pub(crate) fn memo<E>(&self, connection: &str, read: impl FnOnce() -> Result<Memo, E>) -> Result<Memo, E> {
        if let Some(memo) = Fresh::get(self.lock().memos.get(connection)) {
            return Ok(memo);
        }
        let mark = self.mark();
        let value = read()?;
        let mut kept = self.lock();
        if kept.forgotten == mark.0 {
            kept.memos.insert(connection.to_owned(), Fresh { value: value.clone(), read: Instant::now() });
        }
        Ok(value)
    }

    /// What is held back for an owner now: of what is kept, or of what `read` finds.
    pub(crate) fn holds(
        &self,
        owner: &str,
        now: EpochMs,
        read: impl FnOnce() -> Result<Vec<Hold>, StoreError>,
    ) -> Result<Vec<Hold>, StoreError> {
        let known = Fresh::get(self.lock().holds.get(owner));
        let held = match known {
            Some(held) => held,
            None => {
                let mark = self.mark();
                let found: Held = read()?.into_iter().map(|hold| (hold.scope, now + hold.for_ms)).collect();
                let mut kept = self.lock();
                if kept.forgotten == mark.0 {
                    kept.holds.insert(owner.to_owned(), Fresh { value: Arc::clone(&found), read: Instant::now() });
                }
                found
            }
        };
        let lasting = held.iter().filter(|(_, until)| *until > now);
        Ok(lasting.map(|(scope, until)| Hold { scope: scope.clone(), for_ms: until - now }).collect())
    }

    /// A connection was changed or removed.
    pub(crate) fn forget(&self, name: &str, id: &str) {
        let mut kept = self.lock();
        kept.forgotten += 1;
        kept.sessions.remove(name);
        kept.memos.remove(id);
    }

    /// A connection has another memo.
    pub(crate) fn forget_memo(&self, connection: &str) {
        let mut kept = self.lock();
        kept.forgotten += 1;
        kept.memos.remove(connection);
    }

    /// Something more is held back for an owner.
    pub(crate) fn forget_holds(&self, owner: &str) {
        let mut kept = self.lock();
        kept.forgotten += 1;
        kept.holds.remove(owner);
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops what nobody uses, until nothing is left. A session in use is read anew all the time, so that its age says
/// when it was last used.
async fn sweep(kept: Weak<Mutex<Kept>>) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut kept = lock(&kept);
        let idle = |read: Instant| read.elapsed() >= IDLE;
        kept.sessions.retain(|_, one| !idle(one.read));
        kept.memos.retain(|_, one| !idle(one.read));
        kept.holds.retain(|_, one| !idle(one.read));
        if kept.sessions.is_empty() {
            kept.memos.clear();
            kept.holds.clear();
            kept.sweeping = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(for_ms: u64) -> Vec<Hold> {
        vec![Hold { scope: Scope::Tenant, for_ms }]
    }

    #[test]
    fn what_is_held_back_is_read_once_and_runs_out_by_itself() {
        let sessions = Sessions::default();
        assert_eq!(sessions.holds("t", 100, || Ok(hold(50))).unwrap()[0].for_ms, 50);
        assert_eq!(sessions.holds("t", 120, || panic!("read again")).unwrap()[0].for_ms, 30);
        assert!(sessions.holds("t", 150, || panic!("read again")).unwrap().is_empty());
    }

    #[test]
    fn what_this_process_changed_is_read_anew() {
        let sessions = Sessions::default();
        assert!(sessions.holds("t", 100, || Ok(vec![])).unwrap().is_empty());
        sessions.forget_holds("t");
        assert_eq!(sessions.holds("t", 100, || Ok(hold(50))).unwrap().len(), 1);
        let memo = |text: &str| Some((text.to_owned(), 1));
        assert_eq!(sessions.memo::<()>("c", || Ok(memo("old"))), Ok(memo("old")));
        sessions.forget_memo("c");
        assert_eq!(sessions.memo::<()>("c", || Ok(memo("new"))), Ok(memo("new")));
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let sessions = Sessions::default();
        let read = || {
            sessions.forget_memo("c");
            Ok::<_, ()>(Some(("old".to_owned(), 1)))
        };
        sessions.memo("c", read).unwrap();
        assert_eq!(sessions.memo::<()>("c", || Ok(None)), Ok(None));
    }

    #[test]
    fn what_another_process_changed_is_seen_soon() {
        let sessions = Sessions::default();
        assert_eq!(sessions.memo::<()>("c", || Ok(None)), Ok(None));
        std::thread::sleep(FRESH);
        let changed = Some(("new".to_owned(), 1));
        assert_eq!(sessions.memo::<()>("c", || Ok(changed.clone())), Ok(changed));
    }
}
