//! Backups that are restored, and what stands in the way.

use rusqlite::Connection;

use super::*;
use crate::clock::SystemClock;
use crate::host::{Host, back_up};
use crate::vault::{Secret, Space};

/// A home with a secret and a mark that tells its database from others; nobody has it open.
fn home(mark: &str) -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("home"), None);
    let host = Host::open(home.clone(), SystemClock::shared()).unwrap();
    host.store().put_meta("mark", mark).unwrap();
    host.vault().put(Space::App, "a", "s", &Secret::new("canary")).unwrap();
    (folder, home)
}

fn mark(database: &Path) -> String {
    Connection::open(database)
        .unwrap()
        .query_row("SELECT value FROM meta WHERE key = 'mark'", [], |row| row.get(0))
        .unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("harness.db"))
        .collect();
    names.sort();
    names
}

fn code<T: std::fmt::Debug>(result: Result<T, HostError>) -> String {
    result.unwrap_err().to_json()["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_backup_never_takes_the_place_of_a_file_of_the_home() {
    let (folder, home) = home("one");
    for name in ["harness.db", "harness.db-wal", "harness.db-shm", "vault.key", "serve.lock", "registering-3.lock"] {
        let result = back_up(&home, &home.path().join(name), false, true);
        assert_eq!(code(result), "host.backup-onto-home", "{name}");
    }
    // By another way, and by what is written beside the file.
    assert_eq!(
        code(back_up(&home, &folder.path().join("home/../home/harness.db"), false, true)),
        "host.backup-onto-home"
    );
    assert_eq!(code(back_up(&home, &home.path().join("vault"), true, true)), "host.backup-onto-home");
    #[cfg(unix)]
    {
        let linked = folder.path().join("linked.db");
        std::os::unix::fs::symlink(home.database(), &linked).unwrap();
        assert_eq!(code(back_up(&home, &linked, false, true)), "host.backup-onto-home");
    }
    assert_eq!(mark(&home.database()), "one");
    back_up(&home, &home.path().join("harness.backup"), true, true).unwrap();
}

#[test]
fn the_former_database_keeps_its_name_until_the_restored_one_has_it() {
    let (folder, home) = home("one");
    let file = folder.path().join("b.db");
    back_up(&home, &file, false, false).unwrap();
    let host = Host::open(home.clone(), SystemClock::shared()).unwrap();
    host.store().put_meta("mark", "two").unwrap();
    // In use: nothing is changed, and no copy stays.
    assert_eq!(code(restore(&home, &file, true)), "host.home-in-use");
    drop(host);
    assert_eq!((mark(&home.database()).as_str(), names(home.path())), ("two", vec!["harness.db".to_owned()]));
    assert_eq!(code(restore(&home, &home.database(), true)), "host.backup-is-home");
    // The part is lost at the last moment.
    for sound in [true, false] {
        exchange(&home.database(), &folder.path().join("lost"), sound).unwrap_err();
        assert_eq!(
            (mark(&home.database()).as_str(), names(home.path())),
            ("two", vec!["harness.db".to_owned()]),
            "{sound}"
        );
    }
    let former = restore(&home, &file, true).unwrap().former.unwrap();
    assert_eq!((mark(&home.database()).as_str(), mark(&former).as_str()), ("one", "two"));
    assert_eq!(names(home.path()), ["harness.db", "harness.db.former-1"]);
    // And back again, from what was kept.
    restore(&home, &former, true).unwrap();
    assert_eq!(mark(&home.database()), "two");
    assert_eq!(names(home.path()), ["harness.db", "harness.db.former-1", "harness.db.former-2"]);
}

#[test]
fn what_is_still_in_the_journal_beside_a_file_is_restored_and_the_file_left_as_it_is() {
    let (folder, home) = home("one");
    let host = Host::open(home.clone(), SystemClock::shared()).unwrap();
    host.store().put_meta("mark", "in the journal").unwrap();
    let aside = folder.path().join("aside");
    fs::create_dir(&aside).unwrap();
    for name in ["harness.db", "harness.db-wal"] {
        fs::copy(home.path().join(name), aside.join(name)).unwrap();
    }
    drop(host);
    let bytes = || ["harness.db", "harness.db-wal"].map(|name| fs::read(aside.join(name)).unwrap());
    let before = bytes();
    assert!(!before[1].is_empty());
    let other = Home::new(folder.path().join("other"), None);
    restore(&other, &aside.join("harness.db"), false).unwrap();
    assert_eq!(mark(&other.database()), "in the journal");
    assert_eq!((names(&aside), bytes()), (vec!["harness.db".into(), "harness.db-wal".into()], before));
    assert_eq!(names(other.path()), ["harness.db"]);
}

#[test]
fn a_damaged_database_is_restored_over_and_kept_with_its_journal() {
    let (folder, home) = home("one");
    let file = folder.path().join("b.db");
    back_up(&home, &file, false, false).unwrap();
    let damage = b"this is no database any more, whatever it was before";
    fs::write(home.database(), damage).unwrap();
    fs::write(beside(&home.database(), "-wal"), "a journal").unwrap();
    let told = Host::open(home.clone(), SystemClock::shared()).unwrap_err().to_json();
    assert!(told["remedy"].as_str().unwrap().contains("harness restore --replace"), "{told}");
    let former = restore(&home, &file, true).unwrap().former.unwrap();
    assert_eq!(mark(&home.database()), "one");
    assert_eq!(fs::read(&former).unwrap(), damage);
    Host::open(home, SystemClock::shared()).unwrap();
}

#[test]
fn what_cannot_be_restored_is_told_with_what_fits_it() {
    let (folder, home) = home("one");
    let file = folder.path().join("b.db");
    let remedy = || {
        let error = restore(&home, &file, true).unwrap_err().to_json();
        assert_eq!(error["code"], "host.backup-unusable");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("b.db cannot be restored") && !message.contains("harness.db"), "{message}");
        error["remedy"].as_str().unwrap().to_owned()
    };
    fs::write(&file, "no database, though it is long enough for one").unwrap();
    assert_eq!(remedy(), "Restore another backup.");
    fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert_eq!(remedy(), "Name a file that `harness backup` wrote.");
    back_up(&home, &file, false, true).unwrap();
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(remedy(), "Restore it with the version that wrote it, or a later one.");
    // The database of another program is not the home's to put away; one of a later version is.
    back_up(&home, &file, false, true).unwrap();
    Connection::open(home.database()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    restore(&home, &file, true).unwrap();
    fs::remove_file(home.database()).unwrap();
    Connection::open(home.database()).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let told = restore(&home, &file, true).unwrap_err().to_json();
    assert_eq!(told["remedy"], "Name another folder with --home.", "{told}");
    let theirs: i64 = Connection::open(home.database())
        .unwrap()
        .query_row("SELECT count(*) FROM theirs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(theirs, 0);
}

#[test]
fn another_key_than_that_of_the_backup_is_told() {
    let (folder, one) = home("one");
    let (_other_folder, other) = home("two");
    let file = folder.path().join("b.db");
    back_up(&one, &file, true, false).unwrap();
    let needed = |home: &Home| restore(home, &file, true).unwrap().needed;
    let told = needed(&other);
    assert!(
        told.len() == 1 && told[0].contains("another key") && told[0].contains("b.db.key is the right one"),
        "{told:?}"
    );
    assert!(Host::open(other.clone(), SystemClock::shared()).is_err());
    fs::remove_file(beside(&file, ".key")).unwrap();
    let told = needed(&other);
    assert!(told.len() == 1 && told[0].contains("put the right one there"), "{told:?}");
    assert!(needed(&one).is_empty());
    fs::copy(&one.key_file, &other.key_file).unwrap();
    assert!(needed(&other).is_empty());
    Host::open(other, SystemClock::shared()).unwrap();
}
