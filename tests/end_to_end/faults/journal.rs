//! I11: the journal cut off or changed at every byte: a store that opens on it has its beginning, and goes on.

use std::fs;

use crate::figure::figure;
use host_harness::store::Store;

/// How many commits are in the journal only.
const COMMITS: usize = 6;

/// Looks at every `step`th byte.
fn journal(id: &str, step: usize) {
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
        // Whatever the host does when it starts, and then reads and writes.
        let store = Store::open(&at("")).ok()?;
        let kept = (0..COMMITS).map(|number| store.meta(&format!("k{number}")).ok()).collect::<Option<Vec<_>>>()?;
        let count = kept.iter().take_while(|one| one.as_deref() == Some("v")).count();
        store.put_meta("after", "v").ok()?;
        kept[count..].iter().all(Option::is_none).then_some(count)
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
        id,
        &format!("a journal of {} bytes, cut off and changed at every {step}. byte", log.len()),
        "a store opens on it with its beginning and takes writes, never a panic; 100 % of the offsets",
        format!("{} of {offsets} right; {} of {COMMITS} commits in the whole one", offsets - wrong, whole.unwrap_or(0)),
        wrong == 0 && whole == Some(COMMITS),
    );
}

#[test]
fn i11_a_journal_that_is_cut_off_or_changed_gives_its_beginning() {
    journal("I11", 61);
}

#[test]
#[ignore = "long: every byte takes minutes (cargo xtask test --long)"]
fn i11_the_same_at_every_byte() {
    journal("I11-long", 1);
}
