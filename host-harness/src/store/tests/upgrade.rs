//! O4: stores of older versions, and of later ones.

use super::*;
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
    let store = Store::open(&path).unwrap();
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

#[test]
fn o4_a_store_of_a_later_version_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("harness.db");
    drop(Store::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }));
    assert!(error.to_string().contains("later version (99)") && error.to_string().contains("upgrade"), "{error}");
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
