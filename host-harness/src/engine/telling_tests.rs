//! What the host tells of by itself while it serves, and what it does not let go on in vain.

use std::time::Duration;

use crate::bench::{Bench, lit, until};
use crate::host::Entries;
use crate::vault::Secret;

const LIGHT: &str = "name: told
on: { event: beacon-lit, connection: harbour }
steps:
  - { id: light, action: light-beacon, connection: harbour, input: { name: note, colour: red } }
";

fn alarms(bench: &Bench, code: &str) -> Vec<String> {
    let all = bench.host.store().alarms(100).unwrap();
    all.into_iter().filter(|one| one.code == code).map(|one| one.message).collect()
}

fn count(bench: &Bench, state: &str) -> usize {
    bench.states().iter().filter(|one| *one == state).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_runs_of_a_flow_raise_one_alarm_an_hour() {
    let bench = Bench::start().await;
    bench.flow("told.yaml", &LIGHT.replace("name: note", "name: \"${{ event.nothing }}\""));
    let running = bench.serve().await;
    for number in 1..=3 {
        bench.deliver(&format!("d{number}"), &lit(number)).await;
    }
    until("three to fail", || count(&bench, "failed") == 3).await;
    let told = alarms(&bench, "host.run-failed");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("a run of `told` failed: ") && told[0].contains("event.nothing"), "{told:?}");
    bench.clock.advance(Duration::from_secs(3601));
    bench.deliver("d4", &lit(4)).await;
    until("the fourth to fail", || count(&bench, "failed") == 4).await;
    assert_eq!(alarms(&bench, "host.run-failed").len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_held_account_wait_until_it_is_released() {
    let bench = Bench::start().await;
    bench.flow("told.yaml", LIGHT);
    let running = bench.serve().await;
    bench.world().refuses = true;
    // What is refused while the account is not held yet fails; what comes after that waits.
    let failed = 2;
    for number in 1..=2 {
        bench.deliver(&format!("d{number}"), &lit(number)).await;
        until("a run to fail", || count(&bench, "failed") == number as usize).await;
    }
    for number in 3..=6 {
        bench.deliver(&format!("d{number}"), &lit(number)).await;
    }
    until("the others to wait", || count(&bench, "waiting") == 4).await;
    let asked = bench.world().keys.len();
    let waits = bench.host.store().runs(100).unwrap().into_iter().find(|run| run.state == "waiting").unwrap();
    assert_eq!(waits.failure.unwrap()["code"], "host.account-held");
    // It is looked again, and nothing is sent.
    bench.clock.advance(Duration::from_secs(301));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((count(&bench, "waiting"), bench.world().keys.len()), (6 - failed, asked));
    bench.world().refuses = false;
    bench.host.check_connection("harbour", true).await.unwrap();
    until("the others to go on", || {
        bench.clock.advance(Duration::from_secs(5));
        count(&bench, "done") == 6 - failed
    })
    .await;
    assert_eq!(bench.world().lit, 6 - failed);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_held_account_go_on_with_another_credential() {
    let bench = Bench::start().await;
    bench.flow("told.yaml", LIGHT);
    let running = bench.serve().await;
    bench.world().refuses = true;
    for number in 1..=2 {
        bench.deliver(&format!("d{number}"), &lit(number)).await;
        until("a run to fail", || count(&bench, "failed") == number as usize).await;
    }
    bench.deliver("d3", &lit(3)).await;
    until("the third to wait", || count(&bench, "waiting") == 1).await;
    bench.world().refuses = false;
    let given = Entries { fields: vec![], secrets: vec![("key".into(), Secret::new("obviously-fake-other"))] };
    let other = bench.host.read_credential("harbour", given, true).await.unwrap();
    bench.host.keep_credential(other).await.unwrap();
    until("the third to go on", || {
        bench.clock.advance(Duration::from_secs(5));
        count(&bench, "done") == 1
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_gone_at_the_service_raises_an_alarm() {
    let bench = Bench::start().await;
    bench.flow("told.yaml", LIGHT);
    let running = bench.serve().await;
    bench.deliver("d1", &lit(1)).await;
    running.stop().await;
    bench.serve().await.stop().await;
    assert!(alarms(&bench, "host.registration-gone").is_empty(), "what stays is not told of");
    bench.world().hooks.clear();
    bench.world().gone = 1;
    bench.serve().await.stop().await;
    let told = alarms(&bench, "host.registration-gone");
    assert_eq!((bench.world().hooks.len(), told.len()), (1, 1), "{told:?}");
    assert!(told[0].contains("h1") && told[0].contains("since the last delivery, "), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_fails_for_good_raises_one_alarm() {
    let bench = Bench::start().await;
    bench.flow("told.yaml", LIGHT);
    bench.world().full = true;
    for _ in 0..2 {
        bench.serve().await.stop().await;
    }
    let told = alarms(&bench, "host.registration-failed");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("its events do not come: "), "{told:?}");
    assert!(bench.world().hooks.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_url_that_is_none_is_refused() {
    let bench = Bench::start().await;
    let serving = crate::engine::Serving {
        public_url: Some("foo".into()),
        ..crate::engine::Serving::at(([127, 0, 0, 1], 0).into())
    };
    let ended = crate::engine::serve(bench.host.clone(), serving, |_| {}, std::future::pending::<()>()).await;
    assert_eq!(ended.unwrap_err().to_json()["code"], "host.public-url");
}
