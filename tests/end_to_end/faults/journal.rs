//! I11: the journal cut off or changed at every byte: what is read back is its beginning, and nothing breaks off.

use std::fs;

use host_harness::store::Store;
use rusqlite::Connection;

use crate::figure::figure;

/// How many commits are in the journal only.
const COMMITS: usize = 6;

/// Looks at every `step`th byte.
fn journal(step: usize) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (database, log) = (home.path().join("harness.db"), home.path().join("harness.db-wal"));
    drop(Store::open(&database).expect("a store"));
    let store = Store::open(&database).expect("a store");
    for number in 0..COMMITS {
        store.put_meta(&format!("k{number}"), "v").expect("the store writes");
    }
    // As a disk holds them that lost the power now.
    let (database, log) = (fs::read(database).expect("read"), fs::read(log).expect("read"));
    drop(store);
    let place = tempfile::tempdir().expect("a temporary folder");
    let at = |ending: &str| place.path().join(format!("harness.db{ending}"));
    let read_back = |log: &[u8]| -> Option<usize> {
        let _ = fs::remove_file(at("-shm"));
        fs::write(at(""), &database).expect("written");
        fs::write(at("-wal"), log).expect("written");
        let db = Connection::open(at("")).ok()?;
        // It is thrown away: no need to sync what closing moves out of the journal.
        db.pragma_update(None, "synchronous", "OFF").ok()?;
        let mut statement = db.prepare("SELECT key FROM meta WHERE key LIKE 'k%' ORDER BY key").ok()?;
        let keys: Vec<String> = statement.query_map([], |row| row.get(0)).ok()?.collect::<Result<_, _>>().ok()?;
        (keys == (0..keys.len()).map(|number| format!("k{number}")).collect::<Vec<_>>()).then_some(keys.len())
    };
    let whole = read_back(&log);
    let (mut offsets, mut wrong, mut last) = (0, 0, 0);
    for length in (0..log.len()).step_by(step) {
        offsets += 1;
        match read_back(&log[..length]) {
            Some(kept) if kept >= last => last = kept,
            _ => wrong += 1,
        }
    }
    for at in (0..log.len()).step_by(step) {
        offsets += 1;
        let mut changed = log.clone();
        changed[at] ^= 1 << (at % 8);
        wrong += usize::from(read_back(&changed).is_none());
    }
    figure(
        "I11",
        &format!("a journal of {} bytes, cut off and changed at every {step}. byte", log.len()),
        "its beginning is read back, never a panic; 100 % of the offsets",
        format!("{} of {offsets} right; {} of {COMMITS} commits in the whole one", offsets - wrong, whole.unwrap_or(0)),
        wrong == 0 && whole == Some(COMMITS),
    );
}

#[test]
fn i11_a_journal_that_is_cut_off_or_changed_gives_its_beginning() {
    journal(61);
}

#[test]
#[ignore = "long: every byte takes minutes"]
fn i11_the_same_at_every_byte() {
    journal(1);
}
