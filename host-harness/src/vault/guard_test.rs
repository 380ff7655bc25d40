use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::clock::SystemClock;
use crate::test_clock::TestClock;

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
    dead: AtomicBool,
    failures: AtomicU32,
    /// Those whose process knew of a refusal when it sent them.
    knowing: AtomicU32,
    successes: AtomicU32,
    at_once: AtomicU32,
    most_at_once: AtomicU32,
}

/// A guard as one process has it, and whether the process was told of a refusal.
#[derive(Clone)]
struct Process(LockoutGuard, Arc<AtomicBool>);

impl From<LockoutGuard> for Process {
    fn from(guard: LockoutGuard) -> Self {
        Self(guard, Arc::default())
    }
}

impl Service {
    async fn ask(&self, Process(guard, told): &Process) -> Result<(), NotAdmitted> {
        let admission = guard.admit("account", "credential", PATIENCE, PATIENCE).await?;
        let knew = told.load(Ordering::SeqCst);
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let dead = self.dead.load(Ordering::SeqCst);
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if dead {
            self.failures.fetch_add(1, Ordering::SeqCst);
            self.knowing.fetch_add(u32::from(knew), Ordering::SeqCst);
            let refused = admission.refused("status 401")?;
            told.store(true, Ordering::SeqCst);
            // The call goes on for a while before it is known what it makes of that.
            tokio::time::sleep(Duration::from_millis(2)).await;
            refused.settle(false)?;
        } else {
            self.successes.fetch_add(1, Ordering::SeqCst);
            admission.accepted()?;
        }
        Ok(())
    }
}

/// So many workers, each of which asks so often; how often it was told that the account is held.
async fn storm(service: &Arc<Service>, processes: &[Process], workers: usize, each: usize) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..workers {
        let (service, process) = (service.clone(), processes[worker % processes.len()].clone());
        tasks.spawn(async move {
            let mut held = 0;
            for _ in 0..each {
                held += usize::from(matches!(service.ask(&process).await, Err(NotAdmitted::Held { .. })));
            }
            held
        });
    }
    tasks.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_thousand_calls_at_once_on_a_dead_credential_fail_twice_on_the_wire() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    let service = Arc::new(Service::default());
    service.dead.store(true, Ordering::SeqCst);
    let held = storm(&service, &[guard.clone().into()], 1000, 1).await;
    let failures = service.failures.load(Ordering::SeqCst);
    println!("FIGURE A1 1000 calls at once, {failures} failures on the wire");
    assert_eq!((failures, held), (2, 998));
    assert_eq!(service.most_at_once.load(Ordering::SeqCst), 1);
    assert!(matches!(guard.status("account").unwrap(), GuardStatus::Held { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_in_several_processes_a_credential_that_is_dead_fails_twice_on_the_wire() {
    let (folder, _store) = store();
    let processes: Vec<Process> = (0..4).map(|_| process(&folder).into()).collect();
    let service = Arc::new(Service::default());
    service.dead.store(true, Ordering::SeqCst);
    storm(&service, &processes, 200, 1).await;
    assert_eq!(service.failures.load(Ordering::SeqCst), 2);
    assert_eq!(service.most_at_once.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_credential_that_dies_under_load_costs_what_was_on_its_way_and_no_more() {
    let (folder, _store) = store();
    let processes: Vec<Process> = (0..4).map(|_| process(&folder).into()).collect();
    let service = Arc::new(Service::default());
    let killing = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        service.dead.store(true, Ordering::SeqCst);
    };
    let (held, ()) = tokio::join!(storm(&service, &processes, 32, 400), killing);
    let failures = service.failures.load(Ordering::SeqCst);
    let knowing = service.knowing.load(Ordering::SeqCst);
    let at_once = service.most_at_once.load(Ordering::SeqCst);
    println!(
        "FIGURE A1 dies under load: {} on their way (at most {at_once} at once), {knowing} otherwise",
        failures - knowing
    );
    assert!(service.successes.load(Ordering::SeqCst) > 0 && held > 0);
    assert!(at_once > 1, "nothing was sent freely");
    assert!(knowing <= 2, "{knowing} of {failures} failures of processes that knew");
    assert!(failures - knowing <= 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_well_sends_freely_and_writes_nothing_for_each_request() {
    let (_folder, store) = store();
    let clock = TestClock::shared();
    let guard = LockoutGuard::new(store.clone(), clock.clone());
    let admit = || guard.admit("account", "credential", PATIENCE, PATIENCE);
    admit().await.unwrap().accepted().unwrap();
    let lease = || {
        store.read(|db| {
            Ok::<_, StoreError>(db.query_row("SELECT count(*) FROM guard_lease", [], |row| row.get::<_, u32>(0))?)
        })
    };
    let (one, two) = (admit().await.unwrap(), admit().await.unwrap());
    assert_eq!(lease().unwrap(), 0);
    // Each success lets one more go at once.
    let third = guard.admit("account", "credential", Duration::from_millis(10), PATIENCE).await;
    assert!(matches!(third, Err(NotAdmitted::Busy)));
    one.accepted().unwrap();
    let (_three, _four) = (admit().await.unwrap(), admit().await.unwrap());
    two.accepted().unwrap();
    assert_eq!(guard.held("account", "credential").unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_quiet_seconds_one_request_at_a_time_goes_again() {
    let (_folder, store) = store();
    let clock = TestClock::shared();
    let guard = LockoutGuard::new(store, clock.clone());
    let admit = |patience| guard.admit("account", "credential", patience, PATIENCE);
    admit(PATIENCE).await.unwrap().accepted().unwrap();
    clock.advance(FREE);
    let first = admit(PATIENCE).await.unwrap();
    assert!(matches!(admit(Duration::from_millis(10)).await, Err(NotAdmitted::Busy)));
    first.accepted().unwrap();
    assert!(admit(PATIENCE).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_between_a_refusal_and_the_word_on_what_it_was_about() {
    let (folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    let admit = |patience| guard.admit("account", "credential", patience, PATIENCE);
    admit(PATIENCE).await.unwrap().accepted().unwrap();
    let (one, other) = (admit(PATIENCE).await.unwrap(), admit(PATIENCE).await.unwrap());
    let refused = one.refused("status 401").unwrap();
    // A good answer to what left before the refusal proves nothing.
    other.accepted().unwrap();
    assert_eq!(guard.status("account").unwrap(), GuardStatus::Unsure { failures: 1 });
    let brief = Duration::from_millis(50);
    assert!(matches!(admit(brief).await, Err(NotAdmitted::Busy)));
    refused.settle(true).unwrap();
    let alone = admit(PATIENCE).await.unwrap();
    assert!(matches!(process(&folder).admit("account", "credential", brief, PATIENCE).await, Err(NotAdmitted::Busy)));
    alone.accepted().unwrap();
    let _both = (admit(PATIENCE).await.unwrap(), admit(PATIENCE).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_refusals_at_once_for_want_of_a_scope_do_not_hold_the_account() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    let admit = || guard.admit("account", "credential", PATIENCE, PATIENCE);
    for _ in 0..20 {
        admit().await.unwrap().accepted().unwrap();
    }
    let mut under_way = vec![];
    for _ in 0..20 {
        under_way.push(admit().await.unwrap());
    }
    let refused: Vec<_> = under_way.into_iter().map(|one| one.refused("status 401").unwrap()).collect();
    for one in refused {
        one.settle(true).unwrap();
    }
    admit().await.unwrap().accepted().unwrap();
    assert!(matches!(guard.status("account").unwrap(), GuardStatus::Open { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_refusals_of_requests_that_were_under_way_together_hold_the_account_without_a_further_try() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    let admit = || guard.admit("account", "credential", PATIENCE, PATIENCE);
    admit().await.unwrap().accepted().unwrap();
    let (one, other) = (admit().await.unwrap(), admit().await.unwrap());
    let refused = [one.refused("status 401").unwrap(), other.refused("status 401").unwrap()];
    // A call that ends before it says what it made of an answer speaks against the credential.
    drop(refused);
    assert!(matches!(admit().await, Err(NotAdmitted::Held { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_elsewhere_ends_free_sending_within_a_second() {
    let (folder, store) = store();
    let clock = TestClock::shared();
    let guard = LockoutGuard::new(store, clock.clone());
    let admit = |patience| guard.admit("account", "credential", patience, PATIENCE);
    admit(PATIENCE).await.unwrap().accepted().unwrap();
    let elsewhere = process(&folder);
    let refused = elsewhere.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().refused("status 401");
    drop(refused);
    clock.advance(NOTE);
    admit(PATIENCE).await.unwrap().accepted().unwrap();
    assert_eq!(guard.status("account").unwrap(), GuardStatus::Unsure { failures: 1 });
    let _alone = admit(PATIENCE).await.unwrap();
    assert!(matches!(admit(Duration::from_millis(10)).await, Err(NotAdmitted::Busy)));
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

/// Lets a request be refused, if it is admitted.
async fn refuse(guard: &LockoutGuard, account: &str, credential: &str) -> bool {
    match guard.admit(account, credential, PATIENCE, PATIENCE).await {
        Ok(admission) => admission.refused("status 401").unwrap().settle(false).is_ok(),
        Err(NotAdmitted::Held { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn however_many_credentials_an_account_has_it_is_refused_twice_and_others_are_not_held_for_it() {
    let (folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    let other = process(&folder);
    let sent = [
        refuse(&guard, "account", "one").await,
        refuse(&other, "account", "two").await,
        refuse(&guard, "account", "three").await,
        refuse(&other, "account", "one").await,
    ];
    assert_eq!(sent, [true, true, false, false]);
    // The same secret under a name that was mistyped is another account's.
    guard.admit("another", "one", PATIENCE, PATIENCE).await.unwrap().accepted().unwrap();
}

#[tokio::test]
async fn a_good_credential_makes_up_for_the_account_and_not_for_one_that_is_dead() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    for _ in 0..2 {
        assert!(refuse(&guard, "account", "dead").await);
        let good = guard.admit("account", "good", PATIENCE, PATIENCE).await;
        if let Ok(good) = good {
            good.accepted().unwrap();
        }
    }
    assert!(!refuse(&guard, "account", "dead").await, "it was refused twice, whatever others are worth");
}

#[tokio::test]
async fn another_credential_in_its_place_and_a_release_open_a_held_account() {
    let (folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    for _ in 0..2 {
        assert!(refuse(&guard, "account", "dead").await);
    }
    let other = process(&folder);
    assert!(!refuse(&other, "account", "dead").await && !refuse(&other, "account", "fresh").await);
    guard.renew("account", "dead").unwrap();
    other.admit("account", "fresh", PATIENCE, PATIENCE).await.unwrap().accepted().unwrap();
    for _ in 0..2 {
        assert!(refuse(&guard, "account", "fresh").await);
    }
    guard.release("account").unwrap();
    assert!(guard.admit("account", "fresh", PATIENCE, PATIENCE).await.is_ok());
}

#[tokio::test]
async fn a_login_without_an_answer_may_have_been_refused() {
    let (folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    // What was answered, whatever it said, is no such login.
    for _ in 0..3 {
        guard.admit("account", "new", PATIENCE, PATIENCE).await.unwrap().settled();
    }
    for _ in 0..2 {
        drop(process(&folder).admit("account", "new", PATIENCE, PATIENCE).await.unwrap());
    }
    let held = guard.admit("account", "new", PATIENCE, PATIENCE).await;
    assert!(matches!(&held, Err(NotAdmitted::Paused { reason, .. }) if reason.contains("unknown")), "{held:?}");
    guard.release("account").unwrap();
    guard.admit("account", "new", PATIENCE, PATIENCE).await.unwrap().accepted().unwrap();
    // One that was accepted lately is no stranger: a service may be slow.
    for _ in 0..5 {
        drop(process(&folder).admit("account", "new", PATIENCE, PATIENCE).await.unwrap());
    }
}

#[tokio::test]
async fn who_is_killed_before_the_answer_has_tried_all_the_same() {
    let (folder, store) = store();
    for _ in 0..2 {
        let gone = process(&folder);
        let admission = gone.admit("account", "new", PATIENCE, PATIENCE).await.unwrap();
        // Nothing that a process does at its end happens; its lease is as one that ran out.
        std::mem::forget(admission);
        store.write(|db| Ok::<_, StoreError>(db.execute("DELETE FROM guard_lease", []).map(drop)?)).unwrap();
    }
    let held = process(&folder).admit("account", "new", PATIENCE, PATIENCE).await;
    assert!(matches!(held, Err(NotAdmitted::Paused { .. })), "{held:?}");
}

#[tokio::test]
async fn a_refusal_about_a_scope_is_taken_back() {
    let (_folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    for _ in 0..2 {
        let refused = guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().refused("status 401");
        refused.unwrap().settle(true).unwrap();
    }
    assert!(guard.admit("account", "credential", PATIENCE, PATIENCE).await.is_ok());
}

#[tokio::test]
async fn a2_an_account_that_is_locked_is_held_at_once_whatever_the_connector_says() {
    for taken_back in [false, true] {
        let (folder, store) = store();
        let guard = LockoutGuard::new(store, SystemClock::shared());
        let admission = guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap();
        admission.locked("status 403").unwrap().settle(taken_back).unwrap();
        for process in [guard.clone(), process(&folder)] {
            let held = process.admit("account", "credential", PATIENCE, PATIENCE).await;
            assert!(matches!(held, Err(NotAdmitted::Held { .. })), "{held:?}");
        }
        guard.release("account").unwrap();
        guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().accepted().unwrap();
    }
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
                admission.refused("status 401").unwrap().settle(true).unwrap();
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
        let refused = guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().refused("status 401");
        refused.unwrap().settle(true).unwrap();
        guard.admit("account", "credential", PATIENCE, PATIENCE).await.unwrap().accepted().unwrap();
    }
    assert!(matches!(guard.status("account").unwrap(), GuardStatus::Open { .. }));
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

#[tokio::test]
async fn a_call_that_was_refused_may_try_in_another_way_and_no_call_three_times() {
    let (folder, store) = store();
    let guard = LockoutGuard::new(store, SystemClock::shared());
    let own: Mutex<Vec<Refused>> = Mutex::default();
    let again = async |own: &Mutex<Vec<Refused>>| {
        let place = Place { account: "account", credential: "credential", connection: "", granted: false };
        guard.admit_after(own, place, Duration::from_millis(50), PATIENCE).await
    };
    let refused = again(&own).await.unwrap().refused("status 401").unwrap();
    own.lock().unwrap().push(refused);
    // Others wait, here and elsewhere, until it is known what the call makes of it.
    assert!(matches!(again(&Mutex::default()).await, Err(NotAdmitted::Busy)));
    let second = again(&own).await.unwrap();
    let elsewhere = process(&folder);
    let other = elsewhere.admit("account", "credential", Duration::from_millis(50), PATIENCE).await;
    assert!(matches!(other, Err(NotAdmitted::Busy)));
    second.accepted().unwrap();
    // The way that was accepted is free for the rest of the call.
    let (one, two) = (again(&own).await.unwrap(), again(&own).await.unwrap());
    one.accepted().unwrap();
    two.accepted().unwrap();
    own.lock().unwrap().drain(..).try_for_each(|refused| refused.settle(false)).unwrap();
    assert_eq!(rows::of_account(&guard.0.store, "account").unwrap().0.failures, 0);
    assert!(guard.admit("account", "credential", PATIENCE, PATIENCE).await.is_ok());

    for _ in 0..2 {
        let refused = again(&own).await.unwrap().refused("status 401").unwrap();
        own.lock().unwrap().push(refused);
    }
    assert!(matches!(again(&own).await, Err(NotAdmitted::Held { .. })));
}
