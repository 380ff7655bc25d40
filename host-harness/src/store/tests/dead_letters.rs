//! What waits for a person: listed oldest first, shown, read again, given up.

use super::*;

/// A store with a failed delivery of each of these connections, the first the oldest.
fn with_failed(of: &[(&str, &str)]) -> (tempfile::TempDir, Store) {
    let (home, store) = store();
    for (at, (id, connection)) in of.iter().enumerate() {
        let one = StoredDelivery {
            connection: (*connection).into(),
            received_at_ms: at as u64,
            ..delivery(id, Some(id), "{}")
        };
        store.keep_delivery(&one).unwrap();
        store.delivery_failed(&one, &json!({ "code": "x" }), None, 9).unwrap();
    }
    (home, store)
}

fn failed_run(store: &Store, id: &str, state: &str, connection: &str) {
    let new = run(id).map(|run| NewRun { connection: connection.into(), ..run });
    let event = event(&format!("e-{id}"), id, id);
    store.keep_events(BroughtBy::Delivery("none"), &[NewEvent { event, run: new }]).unwrap();
    store.settle_run(id, &Standing::ended(state, Some(&json!({})), 9), &[]).unwrap();
}

fn ids(store: &Store) -> Vec<String> {
    let runs = store.dead_runs(9).unwrap().into_iter().map(|one| one.id);
    runs.chain(store.failed_deliveries(9).unwrap().into_iter().map(|one| one.id)).collect()
}

fn named(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn what_failed_is_listed_oldest_first_and_found_by_its_id() {
    let (_home, store) = with_failed(&[("d1", "c1"), ("d2", "c1"), ("d3", "c2")]);
    assert_eq!(ids(&store), ["d1", "d2", "d3"]);
    assert_eq!(store.failed_deliveries(1).unwrap()[0].id, "d1", "a limit cuts off the newest");
    let shown = store.failed_delivery("d2").unwrap().unwrap();
    assert_eq!((shown.failure, shown.dismissed), (Some(json!({ "code": "x" })), false));
    assert!(store.failed_delivery("d9").unwrap().is_none());
}

#[test]
fn dead_letters_are_given_up_by_id_all_of_them_or_none() {
    let (_home, store) = with_failed(&[("d1", "c1"), ("d2", "c1")]);
    failed_run(&store, "r1", "failed", "demo");
    failed_run(&store, "r2", "uncertain", "demo");
    failed_run(&store, "r3", "done", "demo");
    let which = named(&["r1", "d1", "r3", "nobody"]);
    let refused = store.dismiss(DeadLettersOf::Ids(&which), 20).unwrap();
    assert_eq!(refused, Dismissed { unknown: named(&["r3", "nobody"]), ..Dismissed::default() });
    assert_eq!(ids(&store), ["r1", "r2", "d1", "d2"]);
    let which = named(&["r1", "d1", "r1"]);
    let done = store.dismiss(DeadLettersOf::Ids(&which), 20).unwrap();
    assert_eq!((done.runs, done.deliveries, done.unknown), (named(&["r1"]), named(&["d1"]), vec![]));
    assert_eq!(ids(&store), ["r2", "d2"]);
    // It keeps its reason, and may be taken up again as long as it is kept.
    let shown = store.failed_delivery("d1").unwrap().unwrap();
    assert_eq!((shown.failure, shown.dismissed), (Some(json!({ "code": "x" })), true));
    assert_eq!(store.run("r1").unwrap().unwrap().state, "cancelled");
    assert!(store.retry_delivery("d1", 30).unwrap());
    assert_eq!(store.pending_deliveries(30, 9, &|_| false).unwrap(), ["d1"]);
}

#[test]
fn dead_letters_are_given_up_by_connection_or_all_at_once_and_go_for_their_age() {
    let (_home, store) = with_failed(&[("d1", "c1"), ("d2", "c2")]);
    insert(&store, &connection("c1", "demo"));
    insert(&store, &connection("c2", "other"));
    failed_run(&store, "r1", "failed", "demo");
    failed_run(&store, "r2", "failed", "other");
    let done = store.dismiss(DeadLettersOf::Connection("demo"), 20).unwrap();
    assert_eq!((done.runs, done.deliveries), (named(&["r1"]), named(&["d1"])));
    assert_eq!(store.dismiss(DeadLettersOf::Connection("demo"), 20).unwrap(), Dismissed::default());
    let done = store.dismiss(DeadLettersOf::Everything, 20).unwrap();
    assert_eq!((done.runs, done.deliveries), (named(&["r2"]), named(&["d2"])));
    assert!(ids(&store).is_empty());
    while store.sweep(40 * 24 * 3600 * 1000, 3).unwrap() > 0 {}
    assert!(store.failed_delivery("d1").unwrap().is_none() && store.run("r1").unwrap().is_none());
}

#[test]
fn deliveries_of_a_connection_that_is_removed_are_given_up_with_the_reason() {
    let (_home, store) = with_failed(&[("d1", "c1"), ("d2", "c2")]);
    insert(&store, &connection("c1", "demo"));
    let waiting = delivery("d3", Some("d3"), "{}");
    store.keep_delivery(&waiting).unwrap();
    let reason = json!({ "code": "host.connection-gone" });
    assert_eq!(store.delete_connection("c1", &reason).unwrap(), 2);
    assert!(store.pending_deliveries(99, 9, &|_| false).unwrap().is_empty());
    assert_eq!(ids(&store), ["d2"]);
    for id in ["d1", "d3"] {
        let shown = store.failed_delivery(id).unwrap().unwrap();
        assert_eq!((shown.failure.as_ref(), shown.dismissed), (Some(&reason), true));
    }
    // Whoever was reading it meanwhile does not bring it back.
    let alarms = store.alarms(9).unwrap().len();
    store.delivery_failed(&waiting, &json!({ "code": "y" }), None, 9).unwrap();
    assert!(store.failed_delivery("d3").unwrap().unwrap().dismissed);
    assert_eq!(store.alarms(9).unwrap().len(), alarms);
}
