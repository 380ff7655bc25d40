//! O4: stores of older versions, and of later ones.

use super::*;
use crate::clock::SystemClock;
use crate::host::{Home, Host, back_up};
use crate::store::migrations::{APPLICATION, MIGRATIONS};

/// A store of the first version with rows in every state.
fn first_version(path: &Path) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(include_str!("../schema/0001.sql")).unwrap();
    db.execute_batch(
        "PRAGMA user_version = 1;
         INSERT INTO connection VALUES ('c1','demo','connector.wasm','beacon','token','{}','{}','[]',0,1,'t','a','l',
           NULL,NULL,NULL,1,1);
         INSERT INTO secret VALUES ('connection','c1','token',x'00');
         INSERT INTO endpoint (connection, token_hash, public_url) VALUES ('c1','h','https://hooks.example.test');
         INSERT INTO subscription VALUES ('s1','c1','lamp-lit','{}','greet',1);
         INSERT INTO delivery VALUES ('d1','c1','r1','x1','POST','','[]',x'7b7d','m1',5,'pending',0,0,NULL);
         INSERT INTO delivery VALUES ('d2','c1','r1','x2','POST','','[]',x'7b7d','m2',6,'pending',2,900,'{}');
         INSERT INTO delivery VALUES ('d3','c1','r1','x3','POST','','[]',x'7b7d','m3',7,'done',0,0,NULL);
         INSERT INTO delivery VALUES ('d4','c1','r1','x4','POST','','[]',x'7b7d','m4',8,'failed',12,0,'{\"code\":\"x\"}');
         INSERT INTO event VALUES ('e1','c1','s1','lamp-lit','stable',NULL,'{\"n\":1}','d3',9);
         INSERT INTO run VALUES ('r1','greet','{}','e1','stable','running',0,NULL,9,NULL);
         INSERT INTO run VALUES ('r2','other','{}','e1','stable','waiting',50,NULL,9,NULL);
         INSERT INTO step VALUES ('r1',0,'one','light','demo','running','{}',NULL,NULL,NULL,1,9,NULL);",
    )
    .unwrap();
}

#[test]
fn o4_a_store_of_the_first_version_goes_on_where_it_was() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("harness.db");
    first_version(&path);
    let store = Store::upgrade(&path).unwrap();
    assert_eq!(store.pending_deliveries(1000, 9, &|_| false).unwrap(), ["d1", "d2"]);
    assert_eq!(store.next_delivery_due(10).unwrap(), Some(900));
    assert_eq!(store.failed_deliveries(9).unwrap()[0].id, "d4");
    let interrupted = store.running_runs().unwrap();
    assert_eq!(interrupted.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["r1"]);
    assert_eq!(store.steps("r1").unwrap()[0].state, "running");
    let next = |now| store.next_run(now, &Lane::default(), &|_| true, &|_, _| true).unwrap();
    assert!(next(49).is_none());
    assert_eq!(next(60).unwrap().id, "r2");
    // What was done is known, so nothing starts twice.
    let mut again = delivery("d9", Some("x3"), "{}");
    again.sha256 = "m3".into();
    assert_eq!(store.keep_delivery(&again).unwrap(), Kept::Again);
    let known = NewEvent { event: event("e9", "s1", "stable"), run: run("r9") };
    assert_eq!(store.keep_events(BroughtBy::Delivery("d1"), &[known]).unwrap(), 0);
    let number = |sql: &str| Connection::open(&path).unwrap().query_row(sql, [], |row| row.get::<_, i32>(0)).unwrap();
    assert_eq!(number("PRAGMA application_id"), APPLICATION);
    assert_eq!(number("PRAGMA user_version"), MIGRATIONS.len() as i32);
}

fn version(path: &Path) -> usize {
    Connection::open(path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[test]
fn o4_a_store_is_not_upgraded_under_the_host_that_runs_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path(), None);
    first_version(&home.database());
    // Its key is nowhere.
    Connection::open(home.database()).unwrap().execute("DELETE FROM secret", []).unwrap();
    assert!(matches!(Store::open(&home.database()), Err(StoreError::TooOld { found: 1, .. })));
    let running = home.lock_for_serving().unwrap();
    let refused = Host::open(home.clone(), SystemClock::shared()).unwrap_err();
    assert_eq!(refused.to_json()["code"], "host.home-earlier");
    assert!(refused.to_string().contains("earlier version (1)"), "{refused}");
    assert_eq!(version(&home.database()), 1);
    // The backup before the upgrade is made while it runs, and is one of its version.
    let file = folder.path().join("before.db");
    let copied = back_up(&home, &file, false, false).unwrap();
    assert_eq!((copied.contents.version, copied.contents.deliveries), (1, 2));
    assert_eq!((version(&file), version(&home.database())), (1, 1));
    drop(running);
    let host = Host::open(home.clone(), SystemClock::shared()).unwrap();
    assert_eq!(version(&home.database()), MIGRATIONS.len());
    home.lock_for_serving().expect("the place is free again");
    drop(host);
}

#[test]
fn a_library_that_would_take_a_look_at_the_journal_for_a_checkpoint_is_refused() {
    assert!(check_library(rusqlite::version_number(), rusqlite::version()).is_ok());
    let refused = check_library(3_050_004, "3.50.4").unwrap_err();
    assert!(refused.to_string().contains("3.50.4") && refused.to_string().contains("3.51.0"), "{refused}");
}

#[test]
fn o4_a_store_of_a_later_version_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("harness.db");
    drop(Store::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }));
    assert!(error.to_string().contains("later version (99)") && error.remedy().contains("upgrade"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn the_database_of_another_program_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("harness.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::write(&path, "no database at all, but long enough to be taken for one").unwrap();
    assert!(Store::open(&path).is_err());
}

#[cfg(unix)]
#[test]
fn rights_are_narrowed_of_what_is_ours_only_and_no_link_is_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let home = tempfile::tempdir().unwrap();
    let (path, theirs) = (home.path().join("harness.db"), home.path().join("theirs"));
    let open_to_all = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (number, content) in ["root:x:0:0:root:/root:/bin/sh\n", ""].into_iter().enumerate() {
        std::fs::write(&theirs, content).unwrap();
        open_to_all(&theirs);
        symlink(&theirs, &path).unwrap();
        let refused = Store::open(&path).unwrap_err();
        assert!(matches!(refused, StoreError::NotAFile { .. }), "{refused}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!((mode(&theirs), std::fs::read_to_string(&theirs).unwrap()), (0o644, content.into()), "{number}");
    }
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    open_to_all(&path);
    assert!(matches!(Store::open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!(mode(&path), 0o644);
    std::fs::remove_file(&path).unwrap();
    drop(Store::open(&path).unwrap());
    open_to_all(&path);
    let store = Store::open(&path).unwrap();
    store.put_meta("a", "b").unwrap();
    assert_eq!([mode(&path), mode(&home.path().join("harness.db-wal"))], [0o600; 2]);
    std::fs::remove_file(&theirs).unwrap();
    drop(store);
}
