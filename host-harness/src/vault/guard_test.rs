use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::clock::SystemClock;

const PATIENCE: Duration = Duration::from_secs(20);

fn store() -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("harness.db")).unwrap());
    (folder, store)
}

/// A guard as another process has it: nothing shared but the file.
fn process(folder: &tempfile::TempDir) -> LockoutGuard {
    let store = Arc::new(Store::open(&folder.path().join("harness.db")).unwrap());
    LockoutGuard::new(store, SystemClock::shared())
}

/// A service that counts how often a dead credential was tried.
#[derive(Default)]
struct Service {
    dead: std::sync::atomic::AtomicBool,
    failures: AtomicU32,
    successes: AtomicU32,
}

impl Service {
    async fn ask(&self, guard: &LockoutGuard) -> Result<(), NotAdmitted> {
        let admission = guard.admit("account", "credential", PATIENCE, PATIENCE).await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
        if self.dead.load(Ordering::SeqCst) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            admission.refused("status 401")?;
        } else {
            self.successes.fetch_add(1, Ordering::SeqCst);
            admission.accepted()?;
        }
        Ok(())
    }
}

async fn storm(service: &Arc<Service>, guards: &[LockoutGuard], calls: usize) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    for call in 0..calls {
        let (service, guard) = (service.clone(), guards[call % guards.len()].clone());
        tasks.spawn(async move { service.ask(&guard).await });
    }
    let results = tasks.join_all().await;
    results.iter().filter(|result| matches!(result, Err(NotAdmitted::Held { .. }))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_thousand_calls_at_once_on_a_dead_credential_fail_twice_on_the_wire() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    let service = Arc::new(Service::default());
    service.dead.store(true, Ordering::SeqCst);
    let held = storm(&service, std::slice::from_ref(&guard), 1000).await;
    let failures = service.failures.load(Ordering::SeqCst);
    println!("FIGURE A1 1000 calls at once, {failures} failures on the wire");
    assert_eq!((failures, held), (2, 998));
    assert!(matches!(guard.status("account").unwrap(), GuardStatus::Held { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_credential_that_dies_under_load_in_several_processes_fails_twice_on_the_wire() {
    let (folder, _store) = store();
    let guards: Vec<_> = (0..4).map(|_| process(&folder)).collect();
    let service = Arc::new(Service::default());
    let killing = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        service.dead.store(true, Ordering::SeqCst);
    };
    let (held, ()) = tokio::join!(storm(&service, &guards, 1000), killing);
    assert!(service.successes.load(Ordering::SeqCst) > 0);
    assert!(held > 0);
    assert_eq!(service.failures.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_success_forgets_an_earlier_failure() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    for _ in 0..5 {
        guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().refused("status 401").unwrap();
        assert_eq!(guard.status("account").unwrap(), GuardStatus::Unsure { failures: 1 });
        guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().accepted().unwrap();
        assert!(matches!(guard.status("account").unwrap(), GuardStatus::Open { last_success_ms: Some(_) }));
    }
}

#[tokio::test]
async fn another_credential_and_a_release_open_a_held_account() {
    let (folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    for _ in 0..2 {
        guard.admit("account", "dead", PATIENCE, PATIENCE).await.unwrap().refused("status 401").unwrap();
    }
    let other = process(&folder);
    assert!(matches!(other.admit("account", "dead", PATIENCE, PATIENCE).await, Err(NotAdmitted::Held { .. })));
    other.admit("account", "fresh", PATIENCE, PATIENCE).await.unwrap().accepted().unwrap();
    assert!(matches!(guard.admit("account", "dead", PATIENCE, PATIENCE).await, Err(NotAdmitted::Held { .. })));
    guard.release("account").unwrap();
    assert!(guard.admit("account", "dead", PATIENCE, PATIENCE).await.is_ok());
}

#[tokio::test]
async fn a_refusal_about_a_scope_is_taken_back() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    for _ in 0..2 {
        guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().refused("status 401").unwrap();
    }
    guard.undo("account", "credential", 2).unwrap();
    assert!(guard.admit("account", "credential", PATIENCE, PATIENCE).await.is_ok());
}

#[tokio::test]
async fn a1_a_connector_that_calls_every_refusal_a_matter_of_scope_gets_four_and_no_more() {
    let (folder, store) = store();
    let mut guard = LockoutGuard::new(store, SystemClock::shared());
    let mut on_the_wire = 0;
    for _ in 0..8 {
        match guard.admit("account", "credential", PATIENCE, PATIENCE).await {
            Ok(admission) => {
                on_the_wire += 1;
                admission.refused("status 401").unwrap();
                guard.undo("account", "credential", 1).unwrap();
            }
            Err(error) => assert!(matches!(error, NotAdmitted::Held { .. }), "{error}"),
        }
        // A new process knows as much.
        guard = process(&folder);
    }
    assert_eq!(on_the_wire, 4);
}

#[tokio::test]
async fn a_scope_that_is_missing_again_and_again_between_successes_never_holds_the_account() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    for _ in 0..10 {
        guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().refused("status 401").unwrap();
        guard.undo("account", "credential", 1).unwrap();
        guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().accepted().unwrap();
    }
    assert!(matches!(guard.status("account").unwrap(), GuardStatus::Open { .. }));
}

#[tokio::test]
async fn failures_follow_the_account_to_its_proved_key() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    for _ in 0..2 {
        guard.admit("typed", "credential", PATIENCE, PATIENCE).await.unwrap().refused("status 401").unwrap();
    }
    guard.rename("typed", "proved").unwrap();
    assert!(matches!(guard.status("proved").unwrap(), GuardStatus::Held { .. }));
    assert!(matches!(guard.status("typed").unwrap(), GuardStatus::Open { .. }));
}

#[tokio::test]
async fn a_request_that_was_given_up_frees_its_place() {
    let (folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    drop(guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap());
    assert!(process(&folder).admit("account", "credential", PATIENCE, PATIENCE).await.is_ok());
}

#[tokio::test]
async fn nobody_waits_longer_than_there_is_time() {
    let (folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    let _held = guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap();
    let waiting = process(&folder).admit("account", "credential", Duration::from_millis(100), PATIENCE).await;
    assert!(matches!(waiting, Err(NotAdmitted::Busy)));
}
