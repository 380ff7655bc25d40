//! The lockout guard. Services lock an account after a few refused logins, and a dead credential in
//! fifty flows is refused fifty times in a second. So at most two refusals of a credential happen on
//! the wire, whatever runs at once; then the account is held until a person says otherwise or
//! gives another credential.
//!
//! How that is kept without asking the service anything: one process at a time sends for an account
//! (a lease in the store), and it has no more requests without an answer than refusals are still
//! allowed. A process that is busy hands the lease on after half a second.
//!
//! So an account that is well has two requests on the wire at once, too, and a store write for each
//! turn. Sending freely while recent requests succeeded would be faster and unsound: a credential can
//! die at any moment, and then every request that is under way beyond the second is a further
//! refusal. No number of successes before says anything about that.
//!
//! A refusal that the connector puts down to a missing scope or permission is taken back, but only
//! twice between two successes: it is the connector's word alone. A dead credential is thus tried
//! four times at most, whatever the connector says.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use super::guard_rows::{self as rows, Lease, MOST_FAILURES};
use crate::clock::{EpochMs, SharedClock};
use crate::store::{Store, StoreError, off_thread};

/// How long a process may go on with a lease while others may wait for it.
const TURN: Duration = Duration::from_millis(500);
/// How long to wait before asking for another process's lease again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long a process whose turn is over leaves the lease to others.
const REST: Duration = Duration::from_millis(50);

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum GuardStatus {
    /// Nothing speaks against its credential.
    Open {
        /// When the service last accepted it, in milliseconds since 1970.
        last_success_ms: Option<EpochMs>,
    },
    /// It was refused once since it was last accepted.
    Unsure {
        /// How often it was refused.
        failures: u32,
    },
    /// It was refused twice: nothing is sent until it is released or replaced.
    Held {
        /// What the last refusal said.
        reason: String,
    },
}

/// Why a request may not be sent now.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// The account is held.
    #[error(
        "the service refused the account's credential {MOST_FAILURES} times ({reason}); nothing more is sent, so that the account is not locked"
    )]
    Held {
        /// What the last refusal said.
        reason: String,
    },
    /// Others that use the account took all the time there was.
    #[error("other requests of the same account did not finish in time")]
    Busy,
    /// The store failed; without it nothing may be sent.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The guard. Clones share what they know; processes share it through the store.
#[derive(Clone)]
pub struct LockoutGuard(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    clock: SharedClock,
    holder: String,
    accounts: Mutex<HashMap<String, Local>>,
    changed: Notify,
}

/// A lease that this process has.
struct Local {
    credential: String,
    /// How many requests may be without an answer.
    allowed: u32,
    in_flight: u32,
    since: Duration,
    /// Whether something about the credential has to be written even though it was accepted.
    note_success: bool,
    closed: bool,
    /// With nothing in flight: until when the lease is left to others.
    rests_until: Duration,
}

impl LockoutGuard {
    /// The guard over a store.
    pub fn new(store: Arc<Store>, clock: SharedClock) -> Self {
        let mut drawn = [0; 16];
        clock.fill_random(&mut drawn);
        Self(Arc::new(Shared {
            store,
            clock,
            holder: rows::holder(drawn),
            accounts: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// What is known of an account: of the worst of its credentials, if it has several.
    pub fn status(&self, account: &str) -> Result<GuardStatus, StoreError> {
        let (failures, reason, last_success_ms) = rows::worst(&self.0.store, account)?;
        Ok(match failures {
            0 => GuardStatus::Open { last_success_ms },
            MOST_FAILURES.. => GuardStatus::Held { reason: reason.unwrap_or_default() },
            _ => GuardStatus::Unsure { failures },
        })
    }

    /// Forgets the refusals of an account: a person says that they are settled.
    pub fn release(&self, account: &str) -> Result<(), StoreError> {
        off_thread(|| rows::forget(&self.0.store, account))
    }

    /// Carries the refusals of an account over to its proved key.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        if from == to { Ok(()) } else { rows::rename(&self.0.store, from, to) }
    }

    /// Whether a credential is held, and why.
    pub fn held(&self, credential: &str) -> Result<Option<String>, StoreError> {
        let (failures, reason) = off_thread(|| rows::of_credential(&self.0.store, credential))?;
        Ok((failures >= MOST_FAILURES).then_some(reason))
    }

    /// Waits until a request of the account may be sent with the credential (its fingerprint), for
    /// at most `patience`. `longest` is how long any request may take: for so long it is kept in mind,
    /// even if this process dies.
    pub async fn admit(
        &self,
        account: &str,
        credential: &str,
        patience: Duration,
        longest: Duration,
    ) -> Result<Admission, NotAdmitted> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Enabled before looking, so that no change in between is missed.
            changed.as_mut().enable();
            let wait = match self.try_admit(account, credential, longest)? {
                Tried::Admitted(admission) => return Ok(admission),
                Tried::BusyHere => Duration::from_secs(1),
                Tried::BusyElsewhere => ASK_AGAIN,
            };
            let until = (tokio::time::Instant::now() + wait).min(deadline);
            let _ = tokio::time::timeout_at(until, changed).await;
            if tokio::time::Instant::now() >= deadline {
                return Err(NotAdmitted::Busy);
            }
        }
    }

    fn try_admit(&self, account: &str, credential: &str, longest: Duration) -> Result<Tried, NotAdmitted> {
        let mut accounts = self.0.lock();
        let now = self.0.clock.monotonic();
        if let Some(local) = accounts.get(account).filter(|local| local.in_flight == 0) {
            if now < local.rests_until {
                return Ok(Tried::BusyElsewhere);
            }
            accounts.remove(account);
        }
        if let Some(local) = accounts.get_mut(account) {
            let turn_over = now.saturating_sub(local.since) > TURN;
            if local.closed || turn_over || local.credential != credential || local.in_flight >= local.allowed {
                return Ok(Tried::BusyHere);
            }
            local.in_flight += 1;
            return Ok(Tried::Admitted(self.admission(account, credential)));
        }
        let now_ms = self.0.clock.now_ms();
        // With room to spare: the last request of a turn may begin at its end.
        let until = now_ms + u64::try_from((TURN + longest * 2).as_millis()).unwrap_or(u64::MAX / 2);
        match off_thread(|| rows::take(&self.0.store, account, credential, &self.0.holder, now_ms, until))? {
            Lease::Held(reason) => Err(NotAdmitted::Held { reason }),
            Lease::Elsewhere => Ok(Tried::BusyElsewhere),
            Lease::Taken { failures } => {
                let local = Local {
                    credential: credential.to_owned(),
                    allowed: MOST_FAILURES - failures,
                    in_flight: 1,
                    since: now,
                    note_success: true,
                    closed: false,
                    rests_until: Duration::ZERO,
                };
                accounts.insert(account.to_owned(), local);
                Ok(Tried::Admitted(self.admission(account, credential)))
            }
        }
    }

    fn admission(&self, account: &str, credential: &str) -> Admission {
        Admission { guard: self.clone(), account: account.to_owned(), credential: credential.to_owned() }
    }

    /// Takes back refusals that are said to be about something else than the credential; after two
    /// since the last success they stay.
    pub(crate) fn undo(&self, account: &str, credential: &str, count: u32) -> Result<(), StoreError> {
        off_thread(|| rows::undo(&self.0.store, account, credential, count))
    }

    /// Counts a refusal that only the connector could see.
    pub(crate) fn confirm(&self, account: &str, credential: &str, reason: &str) -> Result<(), StoreError> {
        off_thread(|| rows::refused(&self.0.store, account, credential, reason)).map(drop)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Local>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Tried {
    Admitted(Admission),
    BusyHere,
    BusyElsewhere,
}

/// The leave to send one request. What the service thought of the credential is told to it; when it
/// is dropped, the next request may go.
pub struct Admission {
    guard: LockoutGuard,
    account: String,
    credential: String,
}

impl Admission {
    /// The service accepted the credential.
    pub fn accepted(self) -> Result<(), StoreError> {
        let shared = &self.guard.0;
        let note = shared.lock().get_mut(&self.account).is_some_and(|local| {
            local.allowed = MOST_FAILURES;
            std::mem::take(&mut local.note_success)
        });
        // The first success of a turn is written down; the next ones add nothing.
        if note {
            off_thread(|| rows::accepted(&shared.store, &self.account, &self.credential, shared.clock.now_ms()))
        } else {
            Ok(())
        }
    }

    /// The service refused the credential, with this reason.
    pub fn refused(self, reason: &str) -> Result<(), StoreError> {
        let shared = &self.guard.0;
        let mut accounts = shared.lock();
        if let Some(local) = accounts.get_mut(&self.account) {
            // Whatever the store says next: no further request joins this turn.
            local.closed = true;
        }
        drop(accounts);
        off_thread(|| rows::refused(&shared.store, &self.account, &self.credential, reason)).map(drop)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let shared = &self.guard.0;
        let mut accounts = shared.lock();
        let Some(local) = accounts.get_mut(&self.account) else { return };
        local.in_flight -= 1;
        if local.in_flight == 0 {
            let now = shared.clock.monotonic();
            if now.saturating_sub(local.since) > TURN {
                local.rests_until = now + REST;
            } else {
                accounts.remove(&self.account);
            }
            // Under the lock, so that a new turn of this process begins after it. If the store fails
            // here, the lease runs out by itself.
            if let Err(error) = off_thread(|| rows::give_back(&shared.store, &self.account, &shared.holder)) {
                tracing::warn!(%error, "the lease of an account could not be given back; it runs out by itself");
            }
        }
        drop(accounts);
        shared.changed.notify_waiters();
    }
}

impl fmt::Debug for LockoutGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockoutGuard")
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

#[cfg(test)]
#[path = "guard_test.rs"]
mod tests;
