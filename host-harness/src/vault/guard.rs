//! The lockout guard. Services lock an account after a few refused logins, and a dead credential in
//! fifty flows is refused fifty times in a second. So an account that is refused twice, with one credential
//! or with several, is held: nothing more is sent for it until a person says otherwise or gives another one.
//!
//! An account that this process has no recent success of (it is new, or changed, or was refused, or
//! was quiet for five seconds) sends one request at a time, whatever runs at once and in however many
//! processes: a lease in the store says who. So a credential that is dead from the start is refused
//! exactly twice on the wire.
//!
//! Who is killed, or given up, before the answer comes does not know whether it was a refusal. So where a credential
//! was not accepted for a day, each try counts before it is sent, until it is answered. Two of those, and the account is
//! left alone for a while: tried again once in pauses that grow. Tokens of a grant lock no account, and do not count so.
//!
//! After a success an account sends freely for five seconds, each success allowing one more request
//! at once, and nothing is written for each of them. The first refusal ends that at once:
//! nothing new leaves until the call that was refused has ended
//! and it is known what the refusal was about; then one at a time again. A credential can die at any moment,
//! though, and what is on its way by then is refused as well: those refusals are the price of sending
//! freely. They are no more than were on their way; two of them, and the account is held without a
//! further try.
//!
//! Where the service says that the account is locked, that is enough: it is held at the first such answer.
//!
//! A refusal that the connector puts down to a missing scope or permission is taken back, but only
//! twice between two successes: it is the connector's word alone. A dead credential is thus tried
//! four times at most, whatever the connector says. Only a success of a request that left after all
//! refusals were known forgets them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use super::guard_held::{self, Blame, Held, HeldConnection};
use super::guard_rows::{self as rows, Lease, MOST_FAILURES, Place};
use crate::clock::{EpochMs, SharedClock};
use crate::store::{Store, StoreError, off_thread};

/// For how long a success speaks for the requests that follow it.
const FREE: Duration = Duration::from_secs(5);
/// How often a success is written down, and another process's refusals are looked for, while requests go freely.
const NOTE: Duration = Duration::from_secs(1);
/// How long a process may take the lease again and again while others may wait for it.
const TURN: Duration = Duration::from_millis(500);
/// How long to wait before asking for another process's lease again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long a process whose turn is over leaves the lease to others.
const REST: Duration = Duration::from_millis(50);
/// How many accounts are kept in mind; what nothing is on its way for is forgotten beyond that.
const MOST_ACCOUNTS: usize = 4096;

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
    #[error("nothing more is sent for the account, because one more refused login could lock it: {reason}")]
    Held {
        /// What the service refused.
        reason: String,
        /// Whose credential that was.
        blame: Blame,
    },
    /// It is left alone for a while.
    #[error("nothing is sent for the account for now, because one more refused login could lock it: {reason}")]
    Paused {
        /// What was not answered.
        reason: String,
        /// After how many milliseconds it is tried again.
        after_ms: u64,
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
}

/// What this process knows of an account.
#[derive(Default)]
struct Local {
    /// The credentials that may be sent freely.
    free: HashMap<String, Free>,
    /// How many requests are without an answer.
    in_flight: u32,
    /// How many refusals belong to calls that have not ended: what they were about is not known yet.
    unsettled: u32,
    /// Grows with every refusal: the answer to an earlier request says nothing about what comes after.
    round: u64,
    /// Whether this process has the lease, or is asking for it.
    leased: bool,
    turn: Turn,
    changed: Arc<Notify>,
}

/// A credential that was accepted lately.
struct Free {
    until: Duration,
    /// How many requests may be without an answer.
    at_once: u32,
    noted: Duration,
}

/// How this process shares the lease with others.
#[derive(Default)]
struct Turn {
    since: Option<Duration>,
    rests_until: Duration,
}

impl LockoutGuard {
    /// The guard over a store.
    pub fn new(store: Arc<Store>, clock: SharedClock) -> Self {
        let mut drawn = [0; 16];
        clock.fill_random(&mut drawn);
        Self(Arc::new(Shared { store, clock, holder: rows::holder(drawn), accounts: Mutex::default() }))
    }

    /// What is known of an account, whichever of its credentials was refused.
    pub fn status(&self, account: &str) -> Result<GuardStatus, StoreError> {
        let (known, held) = rows::of_account(&self.0.store, account)?;
        Ok(match (held, known.failures) {
            (Some(held), _) => GuardStatus::Held { reason: held.reason },
            (None, 0) => GuardStatus::Open { last_success_ms: known.last_success_ms },
            (None, failures) => GuardStatus::Unsure { failures },
        })
    }

    /// Forgets the refusals of an account: a person says that they are settled.
    pub fn release(&self, account: &str) -> Result<(), StoreError> {
        off_thread(|| rows::forget(&self.0.store, account))
    }

    /// A person gave another credential in the place of the one with this fingerprint: the account is tried again. What
    /// was refused with others of its credentials stays.
    pub fn renew(&self, account: &str, before: &str) -> Result<(), StoreError> {
        off_thread(|| rows::renew(&self.0.store, account, before))
    }

    /// Whether an account is held for this credential, and how.
    pub fn held(&self, account: &str, credential: &str) -> Result<Option<Held>, StoreError> {
        let now = self.0.clock.monotonic();
        if self.0.lock().get(account).is_some_and(|local| local.may_go_freely(credential, now)) {
            return Ok(None);
        }
        Ok(off_thread(|| rows::of_credential(&self.0.store, account, credential))?.1)
    }

    /// The connections with which nothing is sent now, by name, whichever of those that use their accounts was refused.
    pub fn held_connections(&self) -> Result<Vec<HeldConnection>, StoreError> {
        let now = self.0.clock.now_ms();
        off_thread(|| guard_held::connections(&self.0.store, now))
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
        let place = Place { account, credential, connection: "", granted: false };
        self.admit_after(&Mutex::default(), place, patience, longest).await
    }

    /// The same for a request of a call that has met refusals already: these, which stay unsettled until the call
    /// ends, do not stand in the way of the same call. They count, so that no call is refused more often than others.
    pub(crate) async fn admit_after(
        &self,
        own: &Mutex<Vec<Refused>>,
        place: Place<'_>,
        patience: Duration,
        longest: Duration,
    ) -> Result<Admission, NotAdmitted> {
        if let Tried::Admitted(admission) = self.try_admit(own, place, longest)? {
            return Ok(admission);
        }
        let deadline = tokio::time::Instant::now() + patience;
        let changed = self.0.lock().entry(place.account.to_owned()).or_default().changed.clone();
        loop {
            let notified = changed.notified();
            tokio::pin!(notified);
            // Enabled before looking, so that no change in between is missed.
            notified.as_mut().enable();
            let wait = match self.try_admit(own, place, longest)? {
                Tried::Admitted(admission) => return Ok(admission),
                Tried::BusyHere => Duration::from_secs(1),
                Tried::BusyElsewhere => ASK_AGAIN,
            };
            let until = (tokio::time::Instant::now() + wait).min(deadline);
            let _ = tokio::time::timeout_at(until, notified).await;
            if tokio::time::Instant::now() >= deadline {
                return Err(NotAdmitted::Busy);
            }
        }
    }

    fn try_admit(&self, own: &Mutex<Vec<Refused>>, place: Place<'_>, longest: Duration) -> Result<Tried, NotAdmitted> {
        let Place { account, credential, .. } = place;
        let now = self.0.clock.monotonic();
        let (round, again) = {
            let mut accounts = self.0.lock();
            if accounts.len() >= MOST_ACCOUNTS && !accounts.contains_key(account) {
                accounts.retain(|_, local| local.in_flight > 0 || local.unsettled > 0 || local.leased);
            }
            if !accounts.contains_key(account) {
                accounts.insert(account.to_owned(), Local::default());
            }
            let Some(local) = accounts.get_mut(account) else { return Ok(Tried::BusyHere) };
            let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
            let own_count = u32::try_from(own.len()).unwrap_or(u32::MAX);
            let ours = own.iter_mut().find(|refused| refused.leased);
            if (local.leased && ours.is_none()) || local.unsettled > own_count {
                return Ok(Tried::BusyHere);
            }
            if let Some(free) = local.free.get(credential).filter(|free| now < free.until) {
                if local.in_flight >= free.at_once {
                    return Ok(Tried::BusyHere);
                }
                local.in_flight += 1;
                let round = local.round;
                drop((accounts, own));
                return Ok(Tried::Admitted(self.admission(place, round, None)));
            }
            if local.in_flight > 0 {
                return Ok(Tried::BusyHere);
            }
            if now < local.turn.rests_until {
                return Ok(Tried::BusyElsewhere);
            }
            // Asked for without the lock: other accounts go on while the store syncs. A lease that the call was refused
            // under goes on with it.
            local.leased = true;
            (local.round, ours.is_some_and(|refused| std::mem::take(&mut refused.leased)))
        };
        let now_ms = self.0.clock.now_ms();
        let until = now_ms + u64::try_from((longest * 2).as_millis()).unwrap_or(u64::MAX / 2);
        let lease = off_thread(|| rows::take(&self.0.store, place, &self.0.holder, now_ms, until));
        if again && !matches!(lease, Ok(Lease::Taken(_))) {
            self.0.give_back(account, false);
        } else if let Some(local) = self.0.lock().get_mut(account) {
            if matches!(lease, Ok(Lease::Taken(_))) {
                local.in_flight += 1;
                local.turn.since.get_or_insert(now);
            } else {
                local.leased = false;
                local.changed.notify_waiters();
            }
        }
        match lease? {
            Lease::Held(Held { reason, blame }) => Err(NotAdmitted::Held { reason, blame }),
            Lease::Paused(pause) => Err(NotAdmitted::Paused { reason: pause.reason, after_ms: pause.after_ms }),
            Lease::Elsewhere => Ok(Tried::BusyElsewhere),
            Lease::Taken(counted) => Ok(Tried::Admitted(self.admission(place, round, Some(counted)))),
        }
    }

    /// `leased`: under a lease, and whether the try counts until it is answered.
    fn admission(&self, place: Place<'_>, round: u64, leased: Option<bool>) -> Admission {
        Admission {
            guard: self.clone(),
            of: Of::new(place),
            round,
            leased: leased.is_some(),
            counted: leased == Some(true),
            answered: false,
        }
    }

    /// Counts a refusal that only the connector could see.
    pub(crate) fn confirm(&self, place: Place<'_>, reason: &str) -> Result<(), StoreError> {
        self.0.end_freedom(place.account);
        let now = self.0.clock.now_ms();
        off_thread(|| {
            rows::refused(&self.0.store, place, reason, 1, false, now)?;
            rows::tell(&self.0.store, place, now)
        })
    }
}

impl Local {
    fn may_go_freely(&self, credential: &str, now: Duration) -> bool {
        self.unsettled == 0 && self.free.get(credential).is_some_and(|free| now < free.until)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Local>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account was refused: nothing is sent freely any more for it.
    fn end_freedom(&self, account: &str) {
        if let Some(local) = self.lock().get_mut(account) {
            local.free.clear();
            local.round += 1;
        }
    }

    /// Gives the lease back. If the store fails here, the lease runs out by itself.
    fn give_back(&self, account: &str, answered: bool) {
        if let Err(error) = off_thread(|| rows::give_back(&self.store, account, &self.holder, answered)) {
            tracing::warn!(%error, "the lease of an account could not be given back; it runs out by itself");
        }
        self.lease_is_back(account);
    }

    fn lease_is_back(&self, account: &str) {
        let now = self.clock.monotonic();
        if let Some(local) = self.lock().get_mut(account) {
            local.leased = false;
            if local.turn.since.is_some_and(|since| now.saturating_sub(since) > TURN) {
                local.turn = Turn { since: None, rests_until: now + REST };
            }
            local.changed.notify_waiters();
        }
    }
}

enum Tried {
    Admitted(Admission),
    BusyHere,
    BusyElsewhere,
}

/// Where a request goes, for the guard.
#[derive(Clone)]
struct Of {
    account: String,
    credential: String,
    connection: String,
    granted: bool,
}

impl Of {
    fn new(place: Place<'_>) -> Self {
        let [account, credential, connection] = [place.account, place.credential, place.connection].map(str::to_owned);
        Self { account, credential, connection, granted: place.granted }
    }

    fn place(&self) -> Place<'_> {
        let Self { account, credential, connection, granted } = self;
        Place { account, credential, connection, granted: *granted }
    }
}

/// The leave to send one request. What the service thought of the credential is told to it; when it
/// is dropped, the next request may go.
pub struct Admission {
    guard: LockoutGuard,
    of: Of,
    round: u64,
    leased: bool,
    /// Whether the try counts until it is answered.
    counted: bool,
    answered: bool,
}

impl Admission {
    /// The request was answered in a way that says nothing about the credential, or never left.
    pub fn settled(mut self) {
        self.answered = true;
    }

    /// The service accepted the credential.
    pub fn accepted(mut self) -> Result<(), StoreError> {
        self.answered = true;
        let shared = Arc::clone(&self.guard.0);
        let now = shared.clock.monotonic();
        let note = {
            let mut accounts = shared.lock();
            let Some(local) = accounts.get_mut(&self.of.account) else { return Ok(()) };
            // After a refusal, the answer to an earlier request proves nothing.
            if local.round != self.round {
                return Ok(());
            }
            match local.free.get_mut(&self.of.credential) {
                Some(free) if !self.leased => {
                    free.until = now + FREE;
                    free.at_once = free.at_once.saturating_add(1);
                    let due = now.saturating_sub(free.noted) >= NOTE;
                    if due {
                        free.noted = now;
                    }
                    due
                }
                _ => self.leased,
            }
        };
        if !note {
            return Ok(());
        }
        let now_ms = shared.clock.now_ms();
        if self.leased {
            let holder = &shared.holder;
            off_thread(|| rows::accepted(&shared.store, self.of.place(), now_ms, holder))?;
            self.leased = false;
            if let Some(local) = shared.lock().get_mut(&self.of.account).filter(|local| local.round == self.round) {
                local.free.insert(self.of.credential.clone(), Free { until: now + FREE, at_once: 2, noted: now });
                local.turn = Turn::default();
            }
            shared.lease_is_back(&self.of.account);
        } else {
            let well = off_thread(|| rows::still_well(&shared.store, self.of.place(), now_ms));
            if !matches!(well, Ok(true)) {
                // Another process was refused since, or nobody can tell.
                shared.end_freedom(&self.of.account);
            }
            well?;
        }
        Ok(())
    }

    /// The service refused the credential, with this reason. Until the answer is settled or dropped, nothing is sent
    /// for the account.
    pub fn refused(self, reason: &str) -> Result<Refused, StoreError> {
        self.refused_as(reason, 1)
    }

    /// The same where the service says that the account is locked: it is held at once, whatever the connector makes of
    /// it.
    pub fn locked(self, reason: &str) -> Result<Refused, StoreError> {
        self.refused_as(reason, MOST_FAILURES)
    }

    fn refused_as(mut self, reason: &str, counts: u32) -> Result<Refused, StoreError> {
        let shared = Arc::clone(&self.guard.0);
        let late = {
            let mut accounts = shared.lock();
            let local = accounts.entry(self.of.account.clone()).or_default();
            local.unsettled += 1;
            local.round != self.round
        };
        shared.end_freedom(&self.of.account);
        let mut refused = Refused {
            guard: self.guard.clone(),
            of: self.of.clone(),
            reason: reason.to_owned(),
            counts,
            late: late && counts == 1,
            leased: std::mem::take(&mut self.leased),
            counted: std::mem::take(&mut self.counted),
            settled: false,
        };
        if !refused.late {
            let counted = std::mem::take(&mut refused.counted);
            let now = shared.clock.now_ms();
            off_thread(|| rows::refused(&shared.store, self.of.place(), reason, counts, counted, now))?;
        }
        Ok(refused)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let shared = &self.guard.0;
        if let Some(local) = shared.lock().get_mut(&self.of.account) {
            local.in_flight -= 1;
            local.changed.notify_waiters();
        }
        if self.leased {
            shared.give_back(&self.of.account, self.counted && self.answered);
        }
    }
}

/// A refusal, until it is known what it was about.
pub struct Refused {
    guard: LockoutGuard,
    of: Of,
    reason: String,
    /// As how many refusals it counts.
    counts: u32,
    /// Whether its request was on its way already when another was refused: such a one is counted only
    /// once it is known that it was about the credential.
    late: bool,
    leased: bool,
    /// Whether the try still counts as one without an answer.
    counted: bool,
    settled: bool,
}

impl Refused {
    /// The call has ended. `taken_back`: the refusal was about something else than the credential; after two of those
    /// since the last success it counts all the same.
    pub fn settle(mut self, taken_back: bool) -> Result<(), StoreError> {
        self.settle_now(taken_back)
    }

    fn settle_now(&mut self, taken_back: bool) -> Result<(), StoreError> {
        self.settled = true;
        let (shared, place) = (&self.guard.0, self.of.place());
        let now = shared.clock.now_ms();
        let told = off_thread(|| {
            match (taken_back && self.counts == 1, self.late) {
                (true, false) => rows::undo(&shared.store, place)?,
                (false, true) => rows::refused(&shared.store, place, &self.reason, 1, self.counted, now)?,
                _ => {}
            }
            rows::tell(&shared.store, place, now)
        });
        if let Some(local) = shared.lock().get_mut(place.account) {
            local.unsettled -= 1;
            local.changed.notify_waiters();
        }
        if std::mem::take(&mut self.leased) {
            shared.give_back(place.account, taken_back && self.late && self.counted);
        }
        told
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        if !self.settled
            && let Err(error) = self.settle_now(false)
        {
            tracing::warn!(%error, "the lockout guard could not be told how a call ended");
        }
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

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refused")
    }
}

#[cfg(test)]
#[path = "guard_test.rs"]
mod tests;
