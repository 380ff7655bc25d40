//! What is deleted for its age, and what stays.

use super::*;

const DAY: u64 = 24 * 3600 * 1000;

fn at(days: u64) -> u64 {
    1_000 * DAY + days * DAY
}

fn sweep_all(store: &Store, now: u64) {
    while store.sweep(now, 3).unwrap() > 0 {}
}

fn count(store: &Store, table: &str) -> usize {
    let sql = format!("SELECT count(*) FROM {table}");
    store.read(|db| Ok::<_, StoreError>(db.query_row(&sql, [], |row| row.get(0))?)).unwrap()
}

#[test]
fn what_is_over_goes_and_is_still_known_by_its_id() {
    let (_home, store) = store();
    for number in 0..10 {
        let id = format!("d{number}");
        let mut one = delivery(&id, Some(&format!("x{number}")), "body");
        one.received_at_ms = at(0);
        store.keep_delivery(&one).unwrap();
        let mut brought = event(&format!("e{number}"), "s1", &format!("stable{number}"));
        brought.received_at_ms = at(0);
        let run = NewRun { id: format!("r{number}"), ..run("").unwrap() };
        store.keep_events(BroughtBy::Delivery(&id), &[NewEvent { event: brought, run: Some(run) }]).unwrap();
        store.settle_run(&format!("r{number}"), &Standing::ended("done", None, at(0)), &[]).unwrap();
    }
    sweep_all(&store, at(6));
    assert_eq!((count(&store, "delivery"), count(&store, "run")), (10, 10));
    sweep_all(&store, at(8));
    assert_eq!((count(&store, "delivery"), count(&store, "run")), (0, 10), "bodies go first");
    sweep_all(&store, at(31));
    assert_eq!((count(&store, "event"), count(&store, "run"), count(&store, "seen")), (0, 0, 30));
    // On the 89th day it comes again.
    let mut again = delivery("d99", Some("x3"), "body");
    again.received_at_ms = at(89);
    assert_eq!(store.keep_delivery(&again).unwrap(), Kept::Again);
    again.sha256 = "another".into();
    assert_eq!(store.keep_delivery(&again).unwrap(), Kept::Differs);
    let known = NewEvent { event: event("e99", "s1", "stable3"), run: run("r99") };
    let moved = NewEvent { event: event("e98", "s2", "stable3"), run: run("r98") };
    assert_eq!(store.keep_events(BroughtBy::Delivery("d99"), &[known, moved]).unwrap(), 1);
    assert_eq!(count(&store, "run"), 0, "its flow has run for it");
    sweep_all(&store, at(91));
    assert_eq!(count(&store, "seen"), 0);
}

#[test]
fn what_waits_or_failed_stays() {
    let (_home, store) = store();
    for (id, state) in [("d1", "pending"), ("d2", "failed")] {
        let mut one = delivery(id, Some(id), "body");
        one.received_at_ms = at(0);
        store.keep_delivery(&one).unwrap();
        if state == "failed" {
            store.delivery_failed(&one, &json!({}), None, at(0)).unwrap();
        }
    }
    for (number, state) in ["pending", "waiting", "running", "failed", "uncertain"].into_iter().enumerate() {
        let brought = event(&format!("e{number}"), "s1", &format!("stable{number}"));
        let run = NewRun { id: format!("r{number}"), ..run("").unwrap() };
        store.keep_events(BroughtBy::Delivery("none"), &[NewEvent { event: brought, run: Some(run) }]).unwrap();
        let standing = Standing { state, ..Standing::waiting(None, 0, at(0)) };
        store.settle_run(&format!("r{number}"), &standing, &[]).unwrap();
    }
    sweep_all(&store, at(5000));
    assert_eq!((count(&store, "delivery"), count(&store, "run"), count(&store, "event")), (2, 5, 5));
    assert!(store.retry_delivery("d2", at(5000)).unwrap());
    assert!(!store.retry_delivery("d2", at(5000)).unwrap(), "it waits already");
    assert_eq!(store.pending_deliveries(at(5000), 9, &|_| false).unwrap(), ["d1", "d2"]);
}

#[test]
fn ids_are_kept_as_long_as_anything_and_ninety_days_at_least() {
    let (_home, store) = store();
    let days = |days: u64| std::time::Duration::from_millis(days * DAY);
    store.keep_for(Keeping { deliveries: days(1), history: days(200), ids: days(2) });
    assert_eq!(store.keeping().ids, days(200));
    store.keep_for(Keeping { deliveries: days(1), history: days(1), ids: days(2) });
    assert_eq!(store.keeping().ids, IDS_AT_LEAST);
}
