//! What the lockout guard keeps in the store.
//!
//! A refusal is on disk before anything else is sent. Leases and successes are only noted: whoever lost them in a
//! power cut is no process any more, or tries once less.

use rusqlite::{Connection, OptionalExtension};

use crate::clock::EpochMs;
use crate::store::{Store, StoreError};

/// How many refusals may happen on the wire before an account's credential is held.
pub(crate) const MOST_FAILURES: u32 = 2;

/// How many refusals may be taken back between two successes. That a refusal was about a scope is
/// the connector's word alone: without a bound it could try a dead credential for ever.
pub(super) const MOST_UNDONE: u32 = 2;

/// What came of asking for an account's lease.
pub(super) enum Lease {
    /// It is ours.
    Taken,
    /// Another process has it.
    Elsewhere,
    /// The credential is held, for this reason.
    Held(String),
}

/// Asks for the lease of an account, to send with this credential.
pub(super) fn take(
    store: &Store,
    account: &str,
    credential: &str,
    holder: &str,
    now: EpochMs,
    until: EpochMs,
) -> Result<Lease, StoreError> {
    store.note(|transaction| {
        let (failures, reason) = failures(transaction, credential)?;
        if failures >= MOST_FAILURES {
            return Ok(Lease::Held(reason));
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
        Ok(if taken == 1 { Lease::Taken } else { Lease::Elsewhere })
    })
}

/// Gives the lease back.
pub(super) fn give_back(store: &Store, account: &str, holder: &str) -> Result<(), StoreError> {
    store.note(|transaction| {
        transaction.execute("DELETE FROM guard_lease WHERE account = ?1 AND holder = ?2", (account, holder))?;
        Ok(())
    })
}

/// Notes that the service accepted the credential in a request that was sent under the lease, and gives that back.
pub(super) fn accepted(
    store: &Store,
    account: &str,
    credential: &str,
    now: EpochMs,
    holder: &str,
) -> Result<(), StoreError> {
    store.note(|transaction| {
        transaction.execute(
            "INSERT INTO guard (account, credential, failures, last_success_ms) VALUES (?1, ?2, 0, ?3)
             ON CONFLICT (account, credential) DO UPDATE
             SET failures = 0, undone = 0, reason = NULL, last_success_ms = excluded.last_success_ms",
            (account, credential, column(now)),
        )?;
        transaction.execute("UPDATE guard SET failures = 0, undone = 0 WHERE credential = ?1", [credential])?;
        transaction.execute("DELETE FROM guard_lease WHERE account = ?1 AND holder = ?2", (account, holder))?;
        Ok(())
    })
}

/// Notes when the service accepted the credential in a request that was sent freely. `false` where it was refused
/// elsewhere: that such a request went well does not make up for it.
pub(super) fn still_well(store: &Store, account: &str, credential: &str, now: EpochMs) -> Result<bool, StoreError> {
    store.note(|transaction| {
        if failures(transaction, credential)?.0 > 0 {
            return Ok(false);
        }
        transaction.execute(
            "UPDATE guard SET last_success_ms = ?3 WHERE account = ?1 AND credential = ?2",
            (account, credential, column(now)),
        )?;
        Ok(true)
    })
}

/// Notes a refusal, which counts as so many; answers with how many there are now.
pub(super) fn refused(
    store: &Store,
    account: &str,
    credential: &str,
    reason: &str,
    counts: u32,
) -> Result<u32, StoreError> {
    store.write(|transaction| {
        transaction.execute(
            "INSERT INTO guard (account, credential, failures, reason) VALUES (?1, ?2, ?4, ?3)
             ON CONFLICT (account, credential) DO UPDATE SET failures = failures + ?4, reason = excluded.reason",
            (account, credential, reason, counts),
        )?;
        Ok(failures(transaction, credential)?.0)
    })
}

/// Takes back so many refusals, which are said to say nothing about the credential, as far as the
/// bound on that goes.
pub(super) fn undo(store: &Store, account: &str, credential: &str, count: u32) -> Result<(), StoreError> {
    store.note(|transaction| {
        transaction.execute(
            "UPDATE guard SET failures = failures - min(failures, ?3, ?4 - undone),
                              undone = undone + min(failures, ?3, ?4 - undone)
             WHERE account = ?1 AND credential = ?2",
            (account, credential, count, MOST_UNDONE),
        )?;
        Ok(())
    })
}

/// Forgets all that is known of an account and of a credential, which may have been refused under another name.
pub(super) fn forget(store: &Store, account: &str, credential: &str) -> Result<(), StoreError> {
    store.write(|transaction| {
        transaction.execute(
            "DELETE FROM guard WHERE account = ?1 OR credential = ?2
             OR credential IN (SELECT credential FROM guard WHERE account = ?1 AND failures > 0)",
            [account, credential],
        )?;
        Ok(())
    })
}

/// Carries what is known of an account over to the key it has from now on: the greater number of
/// refusals stays.
pub(super) fn rename(store: &Store, from: &str, to: &str) -> Result<(), StoreError> {
    store.write(|transaction| {
        transaction.execute(
            "INSERT INTO guard (account, credential, failures, last_success_ms, reason, undone)
             SELECT ?2, credential, failures, last_success_ms, reason, undone FROM guard WHERE account = ?1
             ON CONFLICT (account, credential) DO UPDATE
             SET failures = max(failures, excluded.failures), undone = max(undone, excluded.undone)",
            (from, to),
        )?;
        transaction.execute("DELETE FROM guard WHERE account = ?1", [from])?;
        Ok(())
    })
}

/// The most refusals of any one credential of the account, the reason, and the last success.
pub(super) fn worst(store: &Store, account: &str) -> Result<(u32, Option<String>, Option<EpochMs>), StoreError> {
    store.read(|connection| {
        let row = connection
            .query_row(
                "SELECT failures, reason, last_success_ms FROM guard WHERE account = ?1 ORDER BY failures DESC LIMIT 1",
                [account],
                |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned))),
            )
            .optional()?;
        Ok(row.unwrap_or((0, None, None)))
    })
}

/// How often this credential was refused since it was last accepted, and why.
pub(super) fn of_credential(store: &Store, credential: &str) -> Result<(u32, String), StoreError> {
    store.read(|connection| failures(connection, credential))
}

/// A dead secret is dead under every name: the account may be written in two ways, or not be proved yet.
fn failures(connection: &Connection, credential: &str) -> Result<(u32, String), StoreError> {
    let sql = "SELECT coalesce(sum(failures), 0), coalesce(max(reason), '') FROM guard WHERE credential = ?1";
    Ok(connection.query_row(sql, [credential], |row| Ok((row.get(0)?, row.get(1)?)))?)
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
