//! What the lockout guard keeps in the store: a row for each credential of an account, and one without a credential for
//! the account itself, whichever credential was refused.
//!
//! A refusal is on disk before anything else is sent. Leases and successes are only noted: whoever lost them in a
//! power cut is no process any more, or tries once less.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::guard_held::{Blame, Held};
use crate::clock::EpochMs;
use crate::store::{Store, StoreError};

/// How many refusals may happen on the wire before an account is held.
pub(crate) const MOST_FAILURES: u32 = 2;

/// How many refusals may be taken back between two successes. That a refusal was about a scope is
/// the connector's word alone: without a bound it could try a dead credential for ever.
pub(super) const MOST_UNDONE: u32 = 2;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// For how long a success says that an unanswered request was no refused login.
const PROVED_MS: u64 = DAY_MS;

/// For how long an account is left alone where as many logins as may be refused were not answered. Each further one
/// doubles that, up to a day.
const PAUSE_MS: u64 = 15 * 60 * 1000;

/// The code of the alarm about an account that is held.
const HELD: &str = "host.account-held";

/// Where a request goes, for the guard: the account, the credential's fingerprint, and the connection that it is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) account: &'a str,
    pub(crate) credential: &'a str,
    /// By id; empty where it is for none.
    pub(crate) connection: &'a str,
    /// Whether tokens of a grant are sent: these lock no account, whatever came of a request.
    pub(crate) granted: bool,
}

/// What came of asking for an account's lease.
pub(super) enum Lease {
    /// It is ours. Whether the try counts until it is answered.
    Taken(bool),
    /// Another process has it.
    Elsewhere,
    /// The account is held.
    Held(Held),
    /// It is left alone for a while, because of logins without an answer.
    Paused(Pause),
}

/// For how long an account is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) reason: String,
    pub(super) after_ms: u64,
}

/// Asks for the lease of an account, to send with this credential.
pub(super) fn take(
    store: &Store,
    place: Place<'_>,
    holder: &str,
    now: EpochMs,
    until: EpochMs,
) -> Result<Lease, StoreError> {
    let account = place.account;
    store.note(|transaction| {
        let known = Known::read(transaction, account, place.credential)?;
        if let Some(held) = known.refusals(transaction)? {
            return Ok(Lease::Held(held));
        }
        let sql = "SELECT holder FROM guard_lease WHERE account = ?1";
        let holding: Option<String> = transaction.query_row(sql, [account], |row| row.get(0)).optional()?;
        if holding.is_some_and(|holder| is_gone(&holder)) {
            transaction.execute("DELETE FROM guard_lease WHERE account = ?1", [account])?;
        }
        let taken = transaction.execute(
            "INSERT INTO guard_lease (account, holder, until_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT (account) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
             WHERE holder = excluded.holder OR until_ms <= ?4",
            (account, holder, column(until), column(now)),
        )?;
        if taken != 1 {
            return Ok(Lease::Elsewhere);
        }
        if place.granted || known.last_success_ms.is_some_and(|at| now.saturating_sub(at) < PROVED_MS) {
            return Ok(Lease::Taken(false));
        }
        if let Some(pause) = known.pause(now) {
            transaction.execute("DELETE FROM guard_lease WHERE account = ?1 AND holder = ?2", (account, holder))?;
            return Ok(Lease::Paused(pause));
        }
        // Before it is sent: whoever is killed before the answer comes may have been refused all the same.
        transaction.execute(
            "INSERT INTO guard (account, credential, failures, unanswered, cause, at_ms) VALUES (?1, '', 0, 1, ?2, ?3)
             ON CONFLICT (account, credential) DO UPDATE
             SET unanswered = unanswered + 1, cause = coalesce(cause, excluded.cause), at_ms = excluded.at_ms",
            (account, cause(place), column(now)),
        )?;
        Ok(Lease::Taken(true))
    })
}

/// Gives the lease back. `counted`: the request under it counted until it was answered, and it is.
pub(super) fn give_back(store: &Store, account: &str, holder: &str, counted: bool) -> Result<(), StoreError> {
    store.note(|transaction| {
        transaction.execute("DELETE FROM guard_lease WHERE account = ?1 AND holder = ?2", (account, holder))?;
        if counted { answered(transaction, account) } else { Ok(()) }
    })
}

fn answered(transaction: &Transaction<'_>, account: &str) -> Result<(), StoreError> {
    let sql = "UPDATE guard SET unanswered = max(unanswered - 1, 0) WHERE account = ?1 AND credential = ''";
    transaction.execute(sql, [account])?;
    Ok(())
}

/// Notes that the service accepted the credential in a request that was sent under the lease, and gives that back.
pub(super) fn accepted(store: &Store, place: Place<'_>, now: EpochMs, holder: &str) -> Result<(), StoreError> {
    store.note(|transaction| {
        for credential in [place.credential, ""] {
            transaction.execute(
                "INSERT INTO guard (account, credential, failures, last_success_ms, at_ms) VALUES (?1, ?2, 0, ?3, ?3)
                 ON CONFLICT (account, credential) DO UPDATE SET failures = 0, undone = 0, unanswered = 0,
                    reason = NULL, cause = NULL, last_success_ms = excluded.last_success_ms, at_ms = excluded.at_ms",
                (place.account, credential, column(now)),
            )?;
        }
        let sql = "DELETE FROM guard_lease WHERE account = ?1 AND holder = ?2";
        transaction.execute(sql, (place.account, holder))?;
        Ok(())
    })
}

/// Notes when the service accepted the credential in a request that was sent freely. `false` where the account was
/// refused elsewhere: that such a request went well does not make up for it.
pub(super) fn still_well(store: &Store, place: Place<'_>, now: EpochMs) -> Result<bool, StoreError> {
    store.note(|transaction| {
        if Known::read(transaction, place.account, place.credential)?.failures > 0 {
            return Ok(false);
        }
        transaction.execute(
            "UPDATE guard SET last_success_ms = ?3, at_ms = ?3 WHERE account = ?1 AND credential IN (?2, '')",
            (place.account, place.credential, column(now)),
        )?;
        Ok(true)
    })
}

/// Notes a refusal, which counts as so many; `counted`: its request counted until now, because it was not answered.
pub(super) fn refused(
    store: &Store,
    place: Place<'_>,
    reason: &str,
    counts: u32,
    counted: bool,
    now: EpochMs,
) -> Result<(), StoreError> {
    store.write(|transaction| {
        if counted {
            answered(transaction, place.account)?;
        }
        for credential in [place.credential, ""] {
            transaction.execute(
                "INSERT INTO guard (account, credential, failures, reason, cause, at_ms) VALUES (?1, ?2, ?4, ?3, ?5, ?6)
                 ON CONFLICT (account, credential) DO UPDATE
                 SET failures = failures + ?4, reason = excluded.reason, cause = excluded.cause, at_ms = excluded.at_ms",
                (place.account, credential, reason, counts, cause(place), column(now)),
            )?;
        }
        Ok(())
    })
}

/// Takes back a refusal, which is said to say nothing about the credential, as far as the bound on that goes.
pub(super) fn undo(store: &Store, place: Place<'_>) -> Result<(), StoreError> {
    store.note(|transaction| {
        let undone = transaction.execute(
            "UPDATE guard SET failures = failures - 1, undone = undone + 1
             WHERE account = ?1 AND credential = ?2 AND failures > 0 AND undone < ?3",
            (place.account, place.credential, MOST_UNDONE),
        )?;
        let sql = match undone {
            0 => {
                "UPDATE guard SET reason = reason || '; that it is about a scope or a permission can only be believed \
                 twice, and nothing was accepted since' \
                 WHERE account = ?1 AND credential IN (?2, '') AND instr(reason, 'believed') = 0"
            }
            _ => {
                "UPDATE guard SET failures = max(failures - 1, 0) WHERE account = ?1 AND credential = '' AND ?2 IS NOT NULL"
            }
        };
        transaction.execute(sql, (place.account, place.credential))?;
        Ok(())
    })
}

/// Raises an alarm where the account is held; one, however long it is.
pub(super) fn tell(store: &Store, place: Place<'_>, now: EpochMs) -> Result<(), StoreError> {
    if of_credential(store, place.account, place.credential)?.1.is_none() {
        return Ok(());
    }
    store.write(|transaction| {
        let known = Known::read(transaction, place.account, place.credential)?;
        known.refusals(transaction)?.map_or(Ok(()), |held| raise(transaction, place, &held.reason, now))
    })
}

fn raise(transaction: &Transaction<'_>, place: Place<'_>, reason: &str, now: EpochMs) -> Result<(), StoreError> {
    // Of one that is only tried, and not kept yet, whoever tries it is told.
    let sql = "SELECT EXISTS (SELECT 1 FROM connection WHERE id = ?1) \
               AND NOT EXISTS (SELECT 1 FROM alarm WHERE connection = ?1 AND code = ?2)";
    if !transaction.query_row(sql, (place.connection, HELD), |row| row.get(0))? {
        return Ok(());
    }
    let message = format!(
        "the account is held, and nothing more is sent with it: {reason}; one more refusal can lock it at the service"
    );
    let sql = "INSERT INTO alarm (at_ms, connection, code, message) VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(sql, (column(now), place.connection, HELD, message))?;
    Ok(())
}

/// Forgets all that is known of an account.
pub(super) fn forget(store: &Store, account: &str) -> Result<(), StoreError> {
    store.write(|transaction| {
        take_back(transaction, account)?;
        transaction.execute("DELETE FROM guard WHERE account = ?1", [account])?;
        Ok(())
    })
}

/// A person gave an account another credential in the place of one. What was refused with others stays.
pub(super) fn renew(store: &Store, account: &str, before: &str) -> Result<(), StoreError> {
    store.write(|transaction| {
        take_back(transaction, account)?;
        let sql = "DELETE FROM guard WHERE account = ?1 AND credential IN (?2, '')";
        transaction.execute(sql, [account, before])?;
        Ok(())
    })
}

/// Takes back what was told of an account.
fn take_back(transaction: &Transaction<'_>, account: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM alarm WHERE code = ?2 AND (connection IN (SELECT cause FROM guard WHERE account = ?1) \
               OR connection IN (SELECT id FROM connection WHERE guard_account = ?1))";
    transaction.execute(sql, [account, HELD])?;
    Ok(())
}

/// What is known of an account and one of its credentials.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The greater number of refusals: of the credential, or of the account.
    pub(super) failures: u32,
    unanswered: u32,
    reason: String,
    /// The connection, by id, that was refused last.
    cause: Option<String>,
    /// Whether this very credential was refused.
    own: bool,
    /// When a login of the account was tried last.
    at_ms: EpochMs,
    /// When this credential was accepted last.
    pub(super) last_success_ms: Option<EpochMs>,
}

impl Known {
    pub(super) fn read(connection: &Connection, account: &str, credential: &str) -> Result<Self, StoreError> {
        let mut known = Self::default();
        let mut statement = connection.prepare_cached(
            "SELECT credential, failures, unanswered, coalesce(reason, ''), cause, last_success_ms, at_ms
             FROM guard WHERE account = ?1 AND credential IN (?2, '') ORDER BY failures, credential",
        )?;
        let mut rows = statement.query([account, credential])?;
        // Of the row with the most refusals, which comes last, the words.
        while let Some(row) = rows.next()? {
            let of = row.get_ref(0)?.as_str().unwrap_or_default().to_owned();
            known.failures = row.get(1)?;
            known.unanswered = known.unanswered.max(row.get(2)?);
            known.reason = row.get(3)?;
            known.cause = row.get(4)?;
            if of.is_empty() {
                known.at_ms = row.get::<_, i64>(6)?.cast_unsigned();
            }
            if of == credential {
                known.own = known.failures > 0;
                known.last_success_ms = row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned);
            }
        }
        Ok(known)
    }

    /// How the account is held for what the service refused, where it is.
    pub(super) fn refusals(&self, connection: &Connection) -> Result<Option<Held>, StoreError> {
        if self.failures < MOST_FAILURES {
            return Ok(None);
        }
        let sql = "SELECT name FROM connection WHERE id = ?1";
        let name: Option<String> = match &self.cause {
            Some(cause) => connection.query_row(sql, [cause], |row| row.get(0)).optional()?,
            None => None,
        };
        let last = name.as_ref().map(|name| format!(", last one of `{name}`")).unwrap_or_default();
        let reason = format!("the service refused its logins{last} ({})", self.reason);
        Ok(Some(Held { reason, blame: if self.own { Blame::Own } else { Blame::Other(name) } }))
    }

    /// For how long the account is left alone for what was not answered, where it is.
    pub(super) fn pause(&self, now: EpochMs) -> Option<Pause> {
        let beyond = (self.failures + self.unanswered).checked_sub(MOST_FAILURES)?;
        let pause = PAUSE_MS.saturating_mul(1 << beyond.min(16)).min(DAY_MS);
        // A clock that was set back makes it no longer.
        let after_ms = self.at_ms.saturating_add(pause).saturating_sub(now).min(pause);
        let refused = match self.failures {
            0 => "",
            _ => ", beside one that was refused",
        };
        let reason = format!("logins ended without an answer{refused}: it is unknown whether they were refused, too");
        (after_ms > 0).then_some(Pause { reason, after_ms })
    }
}

/// What is known of an account, whichever credential was refused: all of it, and how it is held where it is.
pub(super) fn of_account(store: &Store, account: &str) -> Result<(Known, Option<Held>), StoreError> {
    of_credential(store, account, "")
}

/// The same of one of its credentials.
pub(super) fn of_credential(
    store: &Store,
    account: &str,
    credential: &str,
) -> Result<(Known, Option<Held>), StoreError> {
    store.read(|connection| {
        let known = Known::read(connection, account, credential)?;
        let held = known.refusals(connection)?;
        Ok((known, held))
    })
}

fn cause(place: Place<'_>) -> Option<&str> {
    Some(place.connection).filter(|id| !id.is_empty())
}

/// The name under which this process takes leases: others can see by it whether it still lives.
pub(super) fn holder(drawn: [u8; 16]) -> String {
    format!("{}.{}.{}", std::process::id(), namespace(), hex::encode(drawn))
}

/// What process ids are unique within: containers that share a home each have their own, and an id of one says nothing
/// in another.
fn namespace() -> String {
    let found = std::fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned());
    found.unwrap_or_default().chars().filter(char::is_ascii_digit).collect()
}

/// Whether the process that took a lease under this name has ended.
#[cfg(unix)]
fn is_gone(holder: &str) -> bool {
    let mut parts = holder.split('.');
    let (id, within) = (parts.next().unwrap_or_default(), parts.next());
    if within != Some(namespace().as_str()) {
        // Its lease runs out.
        return false;
    }
    let process = id.parse().ok().and_then(rustix::process::Pid::from_raw);
    process.is_some_and(|id| rustix::process::test_kill_process(id) == Err(rustix::io::Errno::SRCH))
}

/// Whether the process that took a lease under this name has ended: not known here, so leases run out.
#[cfg(not(unix))]
fn is_gone(_: &str) -> bool {
    false
}

/// A time as SQLite keeps it.
fn column(time: EpochMs) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_gone_only_where_its_process_id_means_something() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = child.id();
        child.wait().unwrap();
        assert!(is_gone(&format!("{ended}.{}.00", namespace())));
        assert!(!is_gone(&format!("{ended}.1.00")), "of another container");
        assert!(!is_gone(&holder([0; 16])), "it is this process");
    }
}
