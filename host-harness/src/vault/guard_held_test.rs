use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::store::StoredConnection;
use crate::test_clock::TestClock;
use crate::vault::{GuardPlace, LockoutGuard, NotAdmitted};

const PATIENCE: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

/// A store in which these connections have the account `account`, each with a credential of its own.
fn store(names: &[&str]) -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("harness.db")).unwrap());
    crate::authorize::bench::insert(&store, names[0]);
    let first = store.connection_by_name(names[0]).unwrap().unwrap();
    for name in &names[1..] {
        let one = StoredConnection { id: format!("id of {name}"), name: (*name).into(), ..first.clone() };
        assert!(store.insert_connection(&one).unwrap());
    }
    for name in names {
        let id = id(&store, name);
        store.save_account(&id, "account", &format!("secret of {id}")).unwrap();
    }
    (folder, store)
}

fn id(store: &Store, name: &str) -> String {
    store.connection_by_name(name).unwrap().unwrap().id
}

/// The service refuses the credential of a connection.
fn refuse(guard: &LockoutGuard, store: &Store, name: &str) {
    refuse_as(guard, &id(store, name));
}

/// The same of a connection by its id.
fn refuse_as(guard: &LockoutGuard, connection: &str) {
    let credential = format!("secret of {connection}");
    let place = GuardPlace { account: "account", credential: &credential, connection, granted: false };
    guard.confirm(place, "status 401").unwrap();
}

/// The names of those that are held, with what to do about each.
fn held(guard: &LockoutGuard) -> Vec<(String, String)> {
    let held = guard.held_connections().unwrap().into_iter();
    held.filter_map(|one| Some((one.name.clone(), one.held?.remedy(&one.name, one.granted)))).collect()
}

#[test]
fn an_account_that_is_held_is_told_of_once_and_shown_for_each_connection_that_has_it() {
    let (_folder, store) = store(&["prod", "typo"]);
    let guard = LockoutGuard::new(Arc::clone(&store), SystemClock::shared());
    // One that is only tried yet has no place where an alarm could be acted on.
    for _ in 0..2 {
        let tried = GuardPlace { account: "elsewhere", credential: "dead", connection: "tried", granted: false };
        guard.confirm(tried, "status 401").unwrap();
    }
    assert!(store.alarms(9).unwrap().is_empty());
    for _ in 0..3 {
        refuse(&guard, &store, "typo");
    }
    let alarms = store.alarms(9).unwrap();
    assert_eq!((alarms.len(), alarms[0].code.as_str()), (1, "host.account-held"));
    assert!(alarms[0].message.contains("refused its logins, last one of `typo` (status 401)"), "{}", alarms[0].message);
    let held = held(&guard);
    let [(prod, of_prod), (typo, of_typo)] = held.as_slice() else { panic!("{held:?}") };
    assert_eq!((prod.as_str(), typo.as_str()), ("prod", "typo"));
    assert!(of_typo.contains("replace-credential typo`; or mend it"), "{of_typo}");
    assert!(of_prod.contains("replace-credential typo`") && of_prod.contains("check prod --release"), "{of_prod}");
    assert!(!of_prod.contains("replace-credential prod"), "its own was never refused: {of_prod}");
}

#[test]
fn what_was_refused_is_not_forgotten_when_the_connection_is_removed() {
    let (_folder, store) = store(&["a1", "a2"]);
    let guard = LockoutGuard::new(Arc::clone(&store), SystemClock::shared());
    refuse(&guard, &store, "a1");
    refuse(&guard, &store, "a2");
    store.delete_connection(&id(&store, "a2"), &json!({})).unwrap();
    assert_eq!(held(&guard).len(), 1);
    let left = &held(&guard)[0];
    assert!(left.0 == "a1" && left.1.contains("check a1 --release"), "{left:?}");
    assert_eq!(store.alarms(9).unwrap()[0].connection, Some(id(&store, "a1")), "who has the account is told");
    store.delete_connection(&id(&store, "a1"), &json!({})).unwrap();
    assert!(held(&guard).is_empty() && store.alarms(9).unwrap().is_empty(), "nobody is left to tell");
    assert!(guard.held("account", "another").unwrap().is_some(), "but it counts for whoever comes");
    guard.release("account").unwrap();
    assert_eq!(guard.held("account", "another").unwrap(), None);
}

#[tokio::test]
async fn an_account_whose_logins_are_not_answered_is_tried_again_in_pauses_that_grow() {
    let (_folder, store) = store(&["slow"]);
    let clock = TestClock::shared();
    let guard = LockoutGuard::new(Arc::clone(&store), clock.clone());
    let slow = id(&store, "slow");
    let place = GuardPlace { account: "account", credential: "secret of slow", connection: &slow, granted: false };
    let own = Mutex::default();
    let ask = || guard.admit_after(&own, place, PATIENCE, PATIENCE);
    for _ in 0..2 {
        drop(ask().await.unwrap());
    }
    for minutes in [15, 30, 60] {
        let Err(NotAdmitted::Paused { after_ms, .. }) = ask().await else { panic!("not before {minutes} minutes") };
        assert_eq!(after_ms.div_ceil(60_000), minutes);
        let shown = guard.held_connections().unwrap();
        assert!(shown.len() == 1 && shown[0].held.is_none() && shown[0].paused.is_some(), "{shown:?}");
        clock.advance(MINUTE * u32::try_from(minutes).unwrap());
        assert!(guard.held_connections().unwrap().is_empty(), "it may be tried now");
        drop(ask().await.unwrap());
        // The process lets others have their turn.
        clock.advance(Duration::from_millis(100));
    }
    assert!(store.alarms(9).unwrap().is_empty(), "nobody has to do anything");
    clock.advance(MINUTE * 24 * 60);
    ask().await.unwrap().accepted().unwrap();
    assert!(guard.held_connections().unwrap().is_empty());
    // A refusal is none of those that pass.
    for _ in 0..2 {
        ask().await.unwrap().refused("status 401").unwrap().settle(false).unwrap();
    }
    clock.advance(MINUTE * 24 * 60 * 9);
    assert!(matches!(ask().await, Err(NotAdmitted::Held { .. })));
}

#[tokio::test]
async fn tokens_of_a_grant_that_are_not_answered_leave_nothing_alone() {
    let (_folder, store) = store(&["signed-in"]);
    let guard = LockoutGuard::new(Arc::clone(&store), SystemClock::shared());
    let place = GuardPlace { account: "account", credential: "tokens", connection: "c1", granted: true };
    let own = Mutex::default();
    for _ in 0..5 {
        drop(guard.admit_after(&own, place, PATIENCE, PATIENCE).await.unwrap());
    }
}

#[test]
fn a_connection_that_was_changed_has_its_account_found_out_anew() {
    let (_folder, store) = store(&["prod"]);
    assert!(store.without_account().unwrap().is_empty());
    assert!(store.change_connection(&store.connection_by_name("prod").unwrap().unwrap(), 1).unwrap());
    assert_eq!(store.without_account().unwrap(), ["prod"]);
}

#[test]
fn what_is_known_of_an_account_goes_a_day_after_its_last_connection() {
    let (_folder, store) = store(&["prod", "typo"]);
    let clock = TestClock::shared();
    let guard = LockoutGuard::new(Arc::clone(&store), clock.clone());
    for _ in 0..2 {
        refuse(&guard, &store, "typo");
    }
    let (hour, day) = (MINUTE * 60, MINUTE * 60 * 24);
    let sweep = || {
        while store.sweep(clock.now_ms(), 1).unwrap() > 0 {}
        guard.held("account", "another").unwrap().is_some()
    };
    store.delete_connection(&id(&store, "typo"), &json!({})).unwrap();
    clock.advance(day * 99);
    assert!(sweep(), "another one has it");
    refuse(&guard, &store, "prod");
    assert!(store.change_connection(&store.connection_by_name("prod").unwrap().unwrap(), 1).unwrap());
    clock.advance(day * 2);
    assert!(sweep(), "who knows which account it has now");
    refuse_as(&guard, "gone");
    store.delete_connection(&id(&store, "prod"), &json!({})).unwrap();
    clock.advance(hour * 23);
    assert!(sweep());
    clock.advance(hour * 2);
    assert!(!sweep());
}
