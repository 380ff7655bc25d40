//! The store as its users see it; what it does beneath stands in the files beside.

mod copies;
mod dead_letters;
mod durable;
mod retention;
mod runs;
mod upgrade;

use serde_json::json;

use super::*;
use crate::plugin::contract::types::Scope;

fn store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&home.path().join("harness.db")).unwrap();
    (home, store)
}

fn connection(id: &str, name: &str) -> StoredConnection {
    StoredConnection {
        id: id.into(),
        name: name.into(),
        component: "connector.wasm".into(),
        connector: "beacon".into(),
        method: "token".into(),
        form: json!({ "site": "example.test" }),
        credential: format!("k-{id}"),
        settings: "{}".into(),
        origins: vec![],
        site_open: false,
        allow_private: false,
        authorities: None,
        proven: false,
        identity: None,
        health: None,
        memo: None,
        created_at_ms: 1,
        revision: 0,
    }
}

/// Keeps a connection with a credential of its own; `false` where its name is taken.
fn insert(store: &Store, connection: &StoredConnection) -> bool {
    let credential = StoredCredential {
        id: connection.credential.clone(),
        connector: connection.connector.clone(),
        method: connection.method.clone(),
        form: json!({}),
        client: None,
        generation: 1,
        created_at_ms: 1,
        version: 0,
        scopes: None,
        access_until_ms: None,
        renewed_at_ms: None,
        dead: None,
        paused: None,
    };
    store.insert_credential(&credential).unwrap();
    store.insert_connection(connection).unwrap()
}

fn delivery(id: &str, service_id: Option<&str>, body: &str) -> StoredDelivery {
    StoredDelivery {
        id: id.into(),
        connection: "c1".into(),
        registration: "r1".into(),
        service_id: service_id.map(Into::into),
        method: "POST".into(),
        query: String::new(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.into(),
        sha256: body.into(),
        received_at_ms: 5,
        attempts: 0,
    }
}

fn event(id: &str, subscription: &str, event_id: &str) -> StoredEvent {
    StoredEvent {
        id: id.into(),
        connection: "c1".into(),
        subscription: subscription.into(),
        card: "lamp-lit".into(),
        event_id: event_id.into(),
        time_ms: None,
        payload: json!({ "n": 1 }),
        delivery: Some("d1".into()),
        received_at_ms: 6,
    }
}

fn run(id: &str) -> Option<NewRun> {
    Some(NewRun { id: id.into(), flow: "greet".into(), definition: "{}".into(), ..NewRun::default() })
}

#[test]
fn a_store_opens_again_with_what_it_held() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("harness.db");
    insert(&Store::open(&path).unwrap(), &connection("c1", "demo"));
    let again = Store::open(&path).unwrap();
    assert_eq!(again.connection_by_name("demo").unwrap().unwrap().id, "c1");
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("harness.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::TooNew { found: 99, .. })));
}

#[test]
fn a_name_is_taken_once() {
    let (_home, store) = store();
    assert!(insert(&store, &connection("c1", "demo")));
    assert!(!insert(&store, &connection("c2", "demo")));
}

#[test]
fn an_identity_stays_when_a_later_check_fails() {
    let (_home, store) = store();
    insert(&store, &connection("c1", "demo"));
    let identity = StoredIdentity { tenant: "t".into(), account: "a".into(), label: "Somebody".into() };
    let read = || store.connection_by_id("c1").unwrap().unwrap();
    assert!(store.save_health(&read(), "{}", Some(&identity), &json!({}), true, 2).unwrap());
    assert!(store.save_health(&read(), "{}", None, &json!({}), false, 3).unwrap());
    let kept = store.connection_by_id("c1").unwrap().unwrap();
    assert_eq!(kept.identity, Some(identity));
    assert!(!kept.proven);
}

#[test]
fn a_delivery_is_kept_once_and_a_different_one_under_its_id_raises_an_alarm() {
    let (_home, store) = store();
    assert_eq!(store.keep_delivery(&delivery("d1", Some("x"), "body")).unwrap(), Kept::New);
    assert_eq!(store.keep_delivery(&delivery("d2", Some("x"), "body")).unwrap(), Kept::Again);
    assert_eq!(store.keep_delivery(&delivery("d3", Some("x"), "other")).unwrap(), Kept::Differs);
    assert_eq!(store.alarms(10).unwrap().len(), 1);
    assert_eq!(store.pending_deliveries(10, 10, &|_| false).unwrap(), ["d1"]);
}

#[test]
fn the_same_id_at_another_connection_is_another_delivery() {
    let (_home, store) = store();
    let mut other = delivery("d2", Some("x"), "body");
    other.connection = "c2".into();
    assert_eq!(store.keep_delivery(&delivery("d1", Some("x"), "body")).unwrap(), Kept::New);
    assert_eq!(store.keep_delivery(&other).unwrap(), Kept::New);
}

#[test]
fn deliveries_without_an_id_are_all_kept() {
    let (_home, store) = store();
    assert_eq!(store.keep_delivery(&delivery("d1", None, "body")).unwrap(), Kept::New);
    assert_eq!(store.keep_delivery(&delivery("d2", None, "body")).unwrap(), Kept::New);
}

#[test]
fn an_event_starts_one_run_however_often_it_comes() {
    let (_home, store) = store();
    store.keep_delivery(&delivery("d1", Some("x"), "body")).unwrap();
    let first = NewEvent { event: event("e1", "s1", "stable"), run: run("r1") };
    let again = NewEvent { event: event("e2", "s1", "stable"), run: run("r2") };
    let moved = NewEvent { event: event("e3", "s2", "stable"), run: run("r3") };
    assert_eq!(store.keep_events(BroughtBy::Delivery("d1"), &[first]).unwrap(), 1);
    assert_eq!(store.keep_events(BroughtBy::Delivery("d1"), &[again]).unwrap(), 0);
    assert_eq!(
        store.keep_events(BroughtBy::Delivery("d1"), &[moved]).unwrap(),
        1,
        "another subscription, the same flow"
    );
    assert_eq!(store.runs(10).unwrap().len(), 1);
    assert!(store.pending_deliveries(10, 10, &|_| false).unwrap().is_empty());
}

#[test]
fn a_hold_is_passed_on_until_it_ends_and_the_longer_one_stays() {
    let (_home, store) = store();
    store.hold("t", &Scope::Endpoint("read".into()), 50).unwrap();
    store.hold("t", &Scope::Endpoint("read".into()), 30).unwrap();
    assert_eq!(store.holds(&["t"], 10).unwrap()[0].for_ms, 40);
    assert!(store.holds(&["t"], 50).unwrap().is_empty());
    assert!(store.holds(&["other"], 10).unwrap().is_empty());
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let (_home, store) = store();
    let failed: Result<(), StoreError> = store.write(|transaction| {
        transaction.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')", [])?;
        Err(rusqlite::Error::QueryReturnedNoRows.into())
    });
    assert!(failed.is_err());
    assert_eq!(store.meta_or("a", || "new".into()).unwrap(), "new");
}

#[test]
fn two_handles_on_one_file_see_each_others_writes() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("harness.db");
    let (one, two) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
    insert(&one, &connection("c1", "demo"));
    assert!(two.connection_by_name("demo").unwrap().is_some());
}

#[test]
fn what_a_check_found_out_is_not_written_over_what_was_changed_meanwhile() {
    let (_home, store) = store();
    insert(&store, &connection("c1", "demo"));
    let before = store.connection_by_id("c1").unwrap().unwrap();
    let changed = StoredConnection { form: json!({"site": "other"}), settings: "{\"new\":1}".into(), ..before.clone() };
    assert!(store.change_connection(&changed, 2).unwrap());
    assert!(!store.save_health(&before, "{\"old\":1}", None, &json!({"of": "before"}), true, 3).unwrap());
    store.save_no_health(&before, &json!({"of": "before"}), 3).unwrap();
    assert!(!store.change_connection(&before, 4).unwrap(), "who read it before has to read it again");
    let now = store.connection_by_id("c1").unwrap().unwrap();
    assert_eq!((now.settings.as_str(), &now.form, now.health), ("{\"new\":1}", &json!({"site": "other"}), None));
    // What a check finds out is a change, too.
    let read = store.connection_by_id("c1").unwrap().unwrap();
    assert!(store.save_health(&read, "{\"found\":1}", None, &json!({}), true, 5).unwrap());
    assert!(!store.change_connection(&read, 6).unwrap());
}
