//! Commits, syncs and what happens when a sync fails.

use std::fs::File;
use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::*;

fn note(store: &Store, key: &str) -> Result<(), StoreError> {
    store.note(|db| put(db, key))
}

fn write(store: &Store, key: &str) -> Result<(), StoreError> {
    store.write(|db| put(db, key))
}

fn put(db: &Connection, key: &str) -> Result<(), StoreError> {
    db.execute("INSERT INTO meta (key, value) VALUES (?1, hex(zeroblob(1500)))", [key])?;
    Ok(())
}

fn keys(path: &Path) -> usize {
    let sql = "SELECT count(*) FROM meta WHERE key LIKE 'k%'";
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A copy of the database and its log as a disk would hold them that lost the power now.
fn copy(home: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["harness.db", "harness.db-wal"] {
        std::fs::copy(home.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

#[test]
fn a_home_that_several_begin_at_once_is_made_by_one_and_used_by_all() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("harness.db");
        let all_there = Barrier::new(8);
        std::thread::scope(|scope| {
            let begin = || {
                all_there.wait();
                Store::open(&path).map(drop)
            };
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            for one in opened {
                one.join().unwrap().unwrap();
            }
        });
    }
}

#[test]
fn many_who_write_at_once_share_their_syncs() {
    static SYNCS: AtomicU32 = AtomicU32::new(0);
    fn counted(file: &File) -> io::Result<()> {
        SYNCS.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(5));
        file.sync_data()
    }
    let (home, mut store) = store();
    Arc::get_mut(&mut store.parts).unwrap().journal.sync_file = counted;
    let all_there = Barrier::new(16);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (store, all_there) = (&store, &all_there);
            scope.spawn(move || {
                all_there.wait();
                for number in 0..20 {
                    write(store, &format!("k{thread}.{number}")).unwrap();
                }
            });
        }
    });
    let syncs = SYNCS.load(Ordering::Relaxed);
    assert!(syncs < 160, "{syncs} syncs for 320 writes");
    assert_eq!(keys(&copy(home.path()).path().join("harness.db")), 320);
}

#[test]
fn a_reader_does_not_wait_for_a_writer() {
    let (_home, store) = store();
    let seen = store.write(|db| {
        put(db, "k1")?;
        // In the middle of a transaction, on the same thread: it would wait for ever.
        store.read(|db| {
            Ok::<u32, StoreError>(db.query_row("SELECT count(*) FROM meta WHERE key = 'k1'", [], |row| row.get(0))?)
        })
    });
    assert_eq!(seen.unwrap(), 0, "what is not committed is not seen");
}

#[test]
fn a_reader_cannot_write() {
    let (_home, store) = store();
    assert!(store.read(|db| put(db, "k1")).is_err());
}

#[test]
fn what_was_noted_is_there_with_the_next_write() {
    let (home, store) = store();
    note(&store, "k1").unwrap();
    write(&store, "k2").unwrap();
    assert_eq!(keys(&copy(home.path()).path().join("harness.db")), 2);
}

#[test]
fn after_a_failed_sync_nothing_is_confirmed_until_the_journal_was_written_again() {
    static FAILS: AtomicBool = AtomicBool::new(false);
    fn flaky(file: &File) -> io::Result<()> {
        if FAILS.load(Ordering::Relaxed) { Err(io::Error::other("a made-up fault")) } else { file.sync_data() }
    }
    let (home, mut store) = store();
    Arc::get_mut(&mut store.parts).unwrap().journal.sync_file = flaky;
    write(&store, "k1").unwrap();
    FAILS.store(true, Ordering::Relaxed);
    let error = write(&store, "k2").unwrap_err();
    assert!(error.is_of_the_disk() && error.to_string().contains("a made-up fault"), "{error}");
    assert!(note(&store, "k3").is_err(), "the journal could not be written again");
    FAILS.store(false, Ordering::Relaxed);
    assert!(write(&store, "k4").is_err(), "not tried again at once");
    std::thread::sleep(Duration::from_millis(550));
    write(&store, "k5").unwrap();
    assert_eq!(keys(&copy(home.path()).path().join("harness.db")), 3, "the one in doubt, and no refused one");
}

#[test]
fn a_journal_that_lost_a_page_is_not_mended() {
    static FAILS: AtomicBool = AtomicBool::new(false);
    fn flaky(file: &File) -> io::Result<()> {
        if FAILS.load(Ordering::Relaxed) { Err(io::Error::other("a made-up fault")) } else { file.sync_data() }
    }
    use std::os::unix::fs::FileExt as _;
    let (home, mut store) = store();
    Arc::get_mut(&mut store.parts).unwrap().journal.sync_file = flaky;
    write(&store, "k1").unwrap();
    FAILS.store(true, Ordering::Relaxed);
    write(&store, "k2").unwrap_err();
    FAILS.store(false, Ordering::Relaxed);
    let log = File::options().read(true).write(true).open(home.path().join("harness.db-wal")).unwrap();
    let end = log.metadata().unwrap().len();
    log.write_all_at(&[0; 512], end - 1000).unwrap();
    assert!(matches!(write(&store, "k3"), Err(StoreError::JournalLost)));
    drop(store);
}

#[test]
fn the_journal_begins_anew_while_writers_go_on() {
    let (home, store) = store();
    for number in 0..800 {
        let key = format!("k{number}");
        let rows = |db: &Transaction<'_>| (0..20).try_for_each(|row| put(db, &format!("{key}.{row}")));
        store.note(rows).unwrap();
    }
    write(&store, "k-last").unwrap();
    let log = std::fs::metadata(home.path().join("harness.db-wal")).unwrap().len();
    assert_eq!(keys(&home.path().join("harness.db")), 16_001);
    assert!(log < 120 << 20, "the journal grew to {log} bytes");
}

/// Writes 1 MiB in one row.
fn write_much(store: &Store, key: &str) {
    let put = |db: &Transaction<'_>| {
        db.execute("INSERT INTO meta (key, value) VALUES (?1, hex(zeroblob(1 << 19)))", [key]).map_err(StoreError::from)
    };
    store.note(put).unwrap();
}

/// Returns once no checkpoint runs.
fn rest(store: &Store) {
    while store.parts.checkpoints.is_running() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_reader_that_stays_holds_up_no_writer_however_long_the_journal_grows() {
    let (home, store) = store();
    // The time that the same writes take with and without a reader, and the journal moved at the end of each.
    let timed = |mark: &str| {
        let begun = std::time::Instant::now();
        for number in 0..80 {
            write_much(&store, &format!("{mark}{number}"));
        }
        rest(&store);
        checkpoint::run(&store.parts).unwrap();
        write(&store, &format!("{mark}-last")).unwrap();
        begun.elapsed()
    };
    let without = timed("a");
    let reader = Connection::open(home.path().join("harness.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let seen =
        |reader: &Connection| reader.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, usize>(0)).unwrap();
    let before = seen(&reader);
    let with = timed("b");
    let pages: i64 = store.parts.writer().query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1)).unwrap();
    assert!(pages > checkpoint::TOO_LONG, "{pages} pages are too few to show anything");
    assert_eq!(seen(&reader), before, "it reads on as of one moment");
    assert!(with < 4 * without, "{with:?} with a reader, {without:?} without");
    // A reader of all that there is leaves nothing to copy: it is not waited for either.
    reader.execute_batch("COMMIT; BEGIN").unwrap();
    seen(&reader);
    checkpoint::run(&store.parts).unwrap();
    let begun = std::time::Instant::now();
    checkpoint::run(&store.parts).unwrap();
    assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
}

#[test]
fn the_journal_is_moved_by_its_length_too_and_its_file_is_shortened() {
    let (home, store) = store();
    let log = || std::fs::metadata(home.path().join("harness.db-wal")).unwrap().len();
    let mut longest = 0;
    for number in 0..80 {
        write_much(&store, &format!("k{number}"));
        rest(&store);
        longest = longest.max(log());
    }
    // 80 rows, and so none of the checkpoints that are made for their number.
    assert!(longest < checkpoint::KEPT_BYTES + (10 << 20), "the journal grew to {longest} bytes");
    let reader = Connection::open(home.path().join("harness.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM meta").unwrap();
    for number in 0..40 {
        write_much(&store, &format!("k-read-{number}"));
    }
    assert!(log() > checkpoint::KEPT_BYTES);
    drop(reader);
    rest(&store);
    checkpoint::run(&store.parts).unwrap();
    write(&store, "k-last").unwrap();
    assert!(log() <= checkpoint::KEPT_BYTES, "{} bytes are kept", log());
}

/// Wherever a byte of it is lost, the journal is not taken for whole, and nothing is confirmed on top of it. Where the
/// byte is one that SQLite looks at itself, it may be the first to refuse.
#[test]
fn a_journal_with_a_changed_byte_anywhere_is_not_mended() {
    use std::os::unix::fs::FileExt as _;
    let (home, store) = store();
    write(&store, "k1").unwrap();
    write(&store, "k2").unwrap();
    let log = File::options().read(true).write(true).open(home.path().join("harness.db-wal")).unwrap();
    let whole = std::fs::read(home.path().join("harness.db-wal")).unwrap();
    let mut writer = store.parts.writer();
    // Beyond the frames in use there may be old ones.
    let pages: u64 = writer.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1)).unwrap();
    let page: u64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    let used = (32 + pages * (page + 24)) as usize;
    assert!(used > 4096 && used <= whole.len(), "{used} of {}", whole.len());
    let path = home.path().join("harness.db");
    let mut mended = |journal: &Journal| {
        journal.forget_mending();
        journal.mend(&mut writer, &path)
    };
    mended(&store.parts.journal).unwrap();
    let mut lost = 0;
    for at in (0..used).step_by(97) {
        log.write_all_at(&[whole[at] ^ 1 << (at % 8)], at as u64).unwrap();
        let outcome = mended(&store.parts.journal);
        lost += usize::from(matches!(outcome, Err(StoreError::JournalLost)));
        let Err(StoreError::JournalLost | StoreError::Sqlite(_)) = outcome else { panic!("byte {at}: {outcome:?}") };
        log.write_all_at(&whole[at..=at], at as u64).unwrap();
    }
    assert!(lost * 2 > used.div_ceil(97), "{lost} of {used} bytes");
    mended(&store.parts.journal).unwrap();
}
