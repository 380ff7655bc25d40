use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use super::*;
use crate::authorize::bench::{Bench, CREDENTIAL, Process};
use crate::authorize::tokens::kept;
use crate::store::Alarm;
use crate::vault::Space;

fn scheme() -> Scheme {
    Bench::scheme(&json!({}))
}

fn refresh_token(process: &Process) -> String {
    kept(&process.vault, CREDENTIAL).unwrap().unwrap().refresh.unwrap().expose().to_owned()
}

async fn current(grant: &GrantUse, process: &Process) -> Outcome {
    grant.current(&process.access, Duration::ZERO).await
}

impl Current {
    fn access(&self) -> &str {
        self.tokens.as_ref().unwrap().access.expose()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a6_500_callers_of_4_processes_ask_once() {
    let bench = Bench::start().await;
    let first = bench.authorized();
    bench.world().slow = Duration::from_millis(200);
    bench.clock.advance(Duration::from_secs(3600));
    let processes: Vec<_> = std::iter::once(first).chain((0..3).map(|_| bench.process())).map(Arc::new).collect();
    let mut callers = JoinSet::new();
    for number in 0..500 {
        let process = Arc::clone(&processes[number % 4]);
        let grant = bench.grant(&process, scheme());
        callers.spawn(async move { current(&grant, &process).await.map(|current| current.access().to_owned()) });
    }
    let got = callers.join_all().await;
    let newest = got.iter().filter(|access| access.as_deref() == Ok("fake-access-2")).count();
    println!("FIGURE A6 500 callers in 4 processes, {} requests for tokens, {newest} with the new one", bench.asked());
    assert_eq!((bench.asked(), newest), (1, 500), "{got:?}");
    assert_eq!(refresh_token(&processes[1]), "fake-refresh-2");
    assert_eq!(processes[2].stored().version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_the_loser_of_a_race_takes_the_winners_tokens() {
    const RACES: usize = 300;
    let bench = Bench::start().await;
    let loser = bench.authorized();
    let winner = Arc::new(bench.process());
    let grant = bench.grant(&loser, scheme());
    let mut destroyed = 0;
    for _ in 0..RACES {
        bench.clock.advance(Duration::from_secs(3601));
        // The winner is one that knows nothing of the lock: its tokens come while the loser's refresh is on its way.
        let theirs = bench.mint();
        let newest = theirs.access.expose().to_owned();
        let (process, tokens) = (Arc::clone(&winner), std::sync::Mutex::new(Some(theirs)));
        bench.world().beside = Some(Box::new(move || {
            if let Some(tokens) = tokens.lock().unwrap().take() {
                let of = process.stored().edition();
                let now = process.clock().now_ms();
                assert!(
                    crate::authorize::tokens::replace(&process.vault, &process.store, CREDENTIAL, of, &tokens, now)
                        .unwrap()
                );
            }
        }));
        match current(&grant, &loser).await {
            Ok(current) if current.access() == newest => {}
            _ => destroyed += 1,
        }
    }
    destroyed += usize::from(loser.stored().dead.is_some());
    println!("FIGURE A8 {RACES} races lost with invalid_grant, {destroyed} grants destroyed");
    assert_eq!(destroyed, 0);
    assert_eq!(bench.asked(), RACES);
    assert!(loser.store.alarms(9).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_right_in_another_process_is_known_at_once() {
    let bench = Bench::start().await;
    let (process, other) = (bench.authorized(), bench.process());
    let alarm = Alarm { at_ms: 0, connection: None, code: "host.grant-dead".into(), message: "over".into() };
    assert!(process.store.bury_grant(CREDENTIAL, Edition { version: 1, generation: 1 }, "status 403", &alarm).unwrap());
    let grant = bench.grant(&process, scheme());
    assert!(grant.dead().is_some());
    other.keep(&bench.mint());
    assert!(grant.dead().is_none());
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_grant_that_is_over_is_so_once_and_says_so_once() {
    let bench = Bench::start().await;
    let (process, other) = (bench.authorized(), bench.process());
    let (grant, elsewhere) = (bench.grant(&process, scheme()), bench.grant(&other, scheme()));
    bench.clock.advance(Duration::from_secs(3601));
    bench.world().refresh = "another".into();
    for _ in 0..5 {
        assert!(matches!(current(&grant, &process).await, Err(GrantError::Dead(_))));
        assert!(matches!(current(&elsewhere, &other).await, Err(GrantError::Dead(_))));
    }
    assert_eq!(bench.asked(), 1);
    let alarms = process.store.alarms(9).unwrap();
    assert_eq!(alarms.iter().map(|one| one.code.as_str()).collect::<Vec<_>>(), ["host.grant-dead"]);
    assert!(alarms[0].message.contains("reauthorize"));
    // A person reconnects: of another generation, and everybody goes on.
    let fingerprint = |process: &Process| {
        let access = bench.granted(process, scheme());
        access.authority.unwrap().credential.fingerprint().to_owned()
    };
    let before = fingerprint(&process);
    other.keep(&bench.mint());
    assert_ne!(fingerprint(&process), before);
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-2");
    assert_eq!((process.stored().generation, process.stored().dead), (2, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_what_passes_leaves_the_tokens_as_they_are_and_the_service_alone_for_a_while() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let mut grant = bench.grant(&process, scheme());
    bench.clock.advance(Duration::from_secs(3601));
    bench.world().answers =
        vec![(500, r#"{"error":"invalid_grant"}"#.into()), (200, "<html>".into()), (429, String::new())].into();
    for pause in [1, 2, 4] {
        assert!(matches!(current(&grant, &process).await, Err(GrantError::Later { .. })));
        let asked = bench.asked();
        bench.clock.advance(Duration::from_millis(pause * 1000 - 1));
        // Not even after nobody used it for so long that it was dropped from memory.
        drop(grant);
        grant = bench.grant(&process, scheme());
        assert!(matches!(current(&grant, &process).await, Err(GrantError::Later { .. })));
        assert_eq!(bench.asked(), asked, "nobody asks during the pause");
        assert_eq!(refresh_token(&process), "fake-refresh-1");
        bench.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-2");
    assert!(process.store.alarms(9).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_one_for_all_processes_until_a_person_ends_it() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    bench.clock.advance(Duration::from_secs(3601));
    bench.world().answers = vec![(401, r#"{"error":"invalid_client"}"#.into())].into();
    let grant = bench.grant(&process, scheme());
    assert!(matches!(current(&grant, &process).await, Err(GrantError::Client(_))));
    // As a command does that is started anew.
    let later = bench.process();
    bench.clock.advance(Duration::from_secs(299));
    let Err(GrantError::Client(reason)) = current(&bench.grant(&later, scheme()), &later).await else {
        panic!("nobody asks during the pause")
    };
    assert!(reason.contains("invalid_client"), "{reason}");
    assert_eq!(later.stored().paused.unwrap().left(later.clock().now_ms()), Duration::from_secs(1));
    assert_eq!(bench.asked(), 1);
    later.store.resume_grant(CREDENTIAL).unwrap();
    assert_eq!(current(&bench.grant(&later, scheme()), &later).await.unwrap().access(), "fake-access-2");
    assert_eq!(later.stored().paused, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_over_as_they_come_are_asked_for_once() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let grant = bench.grant(&process, scheme());
    bench.clock.advance(Duration::from_secs(3601));
    bench.world().lasts = Some(0.001);
    let clock = Arc::clone(&bench.clock);
    bench.world().beside = Some(Box::new(move || clock.advance(Duration::from_millis(20))));
    for _ in 0..3 {
        let Err(GrantError::Later { reason, again }) = current(&grant, &process).await else { panic!("no tokens") };
        assert!(reason.contains("last no time") && !again.is_zero(), "{reason} {again:?}");
    }
    assert_eq!(bench.asked(), 1);
    bench.world().lasts = Some(3600.0);
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-3");
}

/// As a person replaces the client id and secret of an account.
fn replace(process: &Process, name: &str) {
    let secret = Secret::new(format!("fake-{name}"));
    process.vault.put(Space::Connection, CREDENTIAL, "secret", &secret).unwrap();
    let form = json!({"id": name});
    process.store.write(|transaction| crate::store::credentials::replace(transaction, CREDENTIAL, &form)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_a_person_replaced_meanwhile_changes_nothing() {
    let scheme = Bench::scheme(&json!({
        "grant": "client-credentials", "client-id": {"field": "id"}, "client-secret": {"secret": "secret"},
    }));
    let over = (401, r#"{"error":"invalid_client"}"#.to_owned());
    let passing = (503, String::new());
    // Neither a refusal nor tokens nor a pause of the one that was replaced count for the new one.
    for answer in [Some(over), None, Some(passing)] {
        let bench = Bench::start().await;
        let (process, other) = (bench.process(), bench.process());
        process.insert_credential();
        replace(&process, "old");
        // Its form is none, as with a call that began before.
        let grant = bench.grant(&process, scheme.clone());
        let passes = answer.as_ref().is_some_and(|(status, _)| *status == 503);
        bench.world().answers = answer.into_iter().collect();
        let mut other = Some(other);
        bench.world().beside = Some(Box::new(move || other.take().iter().for_each(|other| replace(other, "new"))));
        let first = current(&grant, &process).await;
        assert_eq!(first.is_err(), passes);
        assert_eq!(process.stored().paused, None);
        current(&grant, &process).await.unwrap();
        assert_eq!((bench.asked(), process.stored().dead), (2, None), "the new one was asked with");
        let world = bench.world();
        let asked_with =
            |place: usize| (world.asked[place].0["client_id"].as_str(), &world.asked[place].0["client_secret"]);
        assert_eq!(asked_with(0), ("old", &"fake-old".to_owned()));
        assert_eq!(asked_with(1), ("new", &"fake-new".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_early_and_nobody_waits_for_it() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let grant = bench.grant(&process, scheme());
    bench.world().slow = Duration::from_millis(100);
    bench.clock.advance(Duration::from_secs(3600 - 300 - 1));
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-1");
    assert_eq!(bench.asked(), 0);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-1", "these last yet");
    process.settled().await;
    assert_eq!(bench.asked(), 1);
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-2");
    // What takes long needs tokens that last as long.
    bench.clock.advance(Duration::from_secs(3600 - 600));
    assert_eq!(grant.current(&process.access, Duration::from_secs(601)).await.unwrap().access(), "fake-access-3");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_came_are_kept_even_if_nobody_waits_for_them_any_more() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let grant = bench.grant(&process, scheme());
    bench.world().slow = Duration::from_millis(150);
    bench.clock.advance(Duration::from_secs(3601));
    assert!(tokio::time::timeout(Duration::from_millis(20), current(&grant, &process)).await.is_err());
    drop(grant);
    process.settled().await;
    assert_eq!(refresh_token(&process), "fake-refresh-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_a_refusal_before_the_time_is_up_renews_nothing() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let grant = bench.grant(&process, scheme());
    let used = current(&grant, &process).await.unwrap();
    for status in [403, 404, 500, 200] {
        let status = StatusCode::from_u16(status).unwrap();
        assert!(grant.after(&process.access, &used, status).await.unwrap().is_none(), "{status}");
    }
    println!("FIGURE A5 4 answers before expiry, {} requests for tokens", bench.asked());
    assert_eq!(bench.asked(), 0);
    bench.clock.advance(Duration::from_secs(3601));
    let ok = grant.after(&process.access, &used, StatusCode::OK).await.unwrap();
    assert!(ok.is_none() && bench.asked() == 0);
    let not_found = grant.after(&process.access, &used, StatusCode::NOT_FOUND).await.unwrap();
    assert_eq!(not_found.unwrap().access(), "fake-access-2");
    // Whoever used the same tokens takes the new ones, and asks for none.
    let late = grant.after(&process.access, &used, StatusCode::UNAUTHORIZED).await.unwrap();
    assert_eq!((late.unwrap().access(), bench.asked()), ("fake-access-2", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_unknown_life_are_renewed_after_a_refusal_and_not_at_once_again() {
    let bench = Bench::start().await;
    bench.world().lasts = None;
    let process = bench.authorized();
    let grant = bench.grant(&process, scheme());
    let used = current(&grant, &process).await.unwrap();
    let refused = StatusCode::UNAUTHORIZED;
    let newer = grant.after(&process.access, &used, refused).await.unwrap().unwrap();
    assert_eq!(newer.access(), "fake-access-2");
    grant.renewed_in_vain();
    assert!(grant.after(&process.access, &newer, refused).await.unwrap().is_none());
    assert_eq!(bench.asked(), 1);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(grant.after(&process.access, &newer, refused).await.unwrap().unwrap().access(), "fake-access-3");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_die_before_their_time_are_renewed_once_however_many_find_out() {
    let bench = Bench::start().await;
    let (process, other) = (bench.authorized(), bench.process());
    let (grant, theirs) = (Arc::new(bench.grant(&process, scheme())), bench.grant(&other, scheme()));
    let used = current(&grant, &process).await.unwrap();
    bench.world().slow = Duration::from_millis(50);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (grant, access, used) = (Arc::clone(&grant), process.access.clone(), Arc::clone(&used));
        waiting.spawn(async move { grant.after(&access, &used, StatusCode::UNAUTHORIZED).await });
    }
    let newer = waiting.join_all().await;
    assert!(newer.iter().all(|one| one.as_ref().unwrap().as_ref().unwrap().access() == "fake-access-2"));
    let late = theirs.after(&other.access, &used, StatusCode::UNAUTHORIZED).await.unwrap();
    assert_eq!((late.unwrap().access(), bench.asked()), ("fake-access-2", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_its_own_gets_its_first_tokens_when_they_are_needed() {
    let bench = Bench::start().await;
    let process = bench.process();
    process.insert_credential();
    let scheme = Bench::scheme(&json!({"grant": "client-credentials"}));
    let grant = bench.grant(&process, scheme);
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-1");
    bench.clock.advance(Duration::from_secs(3601));
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-2");
    let kinds: Vec<_> = bench.world().asked.iter().map(|(form, _)| form["grant_type"].clone()).collect();
    assert_eq!(kinds, ["client_credentials", "client_credentials"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_without_anything_to_renew_it_with_is_over_when_its_time_is() {
    let bench = Bench::start().await;
    let process = bench.process();
    process.insert_credential();
    process.keep(&crate::authorize::Tokens { refresh: None, ..bench.mint() });
    let grant = bench.grant(&process, scheme());
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-1");
    bench.clock.advance(Duration::from_secs(3601));
    assert!(matches!(current(&grant, &process).await, Err(GrantError::Dead(_))));
    assert_eq!(bench.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_tokens_that_cannot_be_written_at_first_are_written_a_little_later() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let grant = bench.grant(&process, scheme());
    bench.clock.advance(Duration::from_secs(3601));
    let other = Arc::new(bench.process());
    let tried = Arc::new(AtomicUsize::new(0));
    let (blocking, count) = (Arc::clone(&other), Arc::clone(&tried));
    bench.world().beside = Some(Box::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let deny = "CREATE TRIGGER deny BEFORE UPDATE ON credential BEGIN SELECT RAISE(ABORT, 'disk'); END";
        blocking.store.write(|db| Ok::<_, crate::store::StoreError>(db.execute(deny, []).map(drop)?)).unwrap();
        let store = Arc::clone(&blocking.store);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            store
                .write(|db| Ok::<_, crate::store::StoreError>(db.execute("DROP TRIGGER deny", []).map(drop)?))
                .unwrap();
        });
    }));
    assert_eq!(current(&grant, &process).await.unwrap().access(), "fake-access-2");
    assert_eq!((tried.load(Ordering::SeqCst), refresh_token(&process).as_str()), (1, "fake-refresh-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_grant_is_shown() {
    let bench = Bench::start().await;
    let process = bench.authorized();
    let access = bench.granted(&process, scheme());
    let grant = access.authority.as_ref().unwrap().credential.grant().unwrap();
    let shown = format!("{access:?} {grant:?} {:?}", process.stored());
    assert!(!shown.contains("fake-access") && !shown.contains("fake-refresh"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_nobody_uses_is_renewed_before_the_service_forgets_it() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let bench = Bench::start().await;
    let process = bench.authorized();
    let grant = bench.grant(&process, scheme());
    assert_eq!(grant.keep_alive(&process.access).await, Ok(Some(DAY * 60)));
    bench.clock.advance(DAY * 59);
    assert_eq!(grant.keep_alive(&process.access).await, Ok(Some(DAY)));
    assert_eq!(bench.asked(), 0);
    bench.clock.advance(DAY);
    assert_eq!(grant.keep_alive(&process.access).await, Ok(Some(DAY * 60)));
    assert_eq!((bench.asked(), refresh_token(&process).as_str()), (1, "fake-refresh-2"));
    bench.clock.advance(DAY * 60);
    bench.world().refresh = "another".into();
    assert!(matches!(grant.keep_alive(&process.access).await, Err(GrantError::Dead(_))));
    assert_eq!(process.store.alarms(9).unwrap().len(), 1);
    let lasting = bench.grant(&process, Bench::scheme(&json!({"idle-days": null})));
    assert_eq!(lasting.keep_alive(&process.access).await, Ok(None));
}
