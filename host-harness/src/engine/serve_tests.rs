//! Serving, from a delivery to the end of its run, over real components and a clock that the test turns.

use std::time::Duration;

use serde_json::json;

use crate::bench::{Bench, LIGHT, lit, post, until};
use crate::clock::Clock as _;
use crate::engine::{Ready, Serving, serve};
use crate::host::{Ensuring, NewSubscription};
use crate::plugin::contract::event::Proof;
use crate::store::{BroughtBy, Keeping, NewEvent, NewRun, StoredDelivery, StoredEvent, StoredStep};

const SURVEY: &str = "name: count
on: { event: beacon-lit, connection: harbour }
steps:
  - { id: count, action: survey, connection: harbour, input: {} }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_card_of_several_calls_is_run_to_its_end_and_tells_how_far_it_is() {
    let bench = Bench::start().await;
    let mut told = Vec::new();
    let ran = bench.host.run_card("harbour", "survey", &json!({}), "key".into(), |step| told.push(step.done)).await;
    assert_eq!(ran.unwrap().value(), json!({"total": 3, "colours": {"red": 3}}));
    assert_eq!(told, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_several_calls_ends_with_the_output_of_the_last() {
    let bench = Bench::start().await;
    bench.flow("count.yaml", SURVEY);
    let running = bench.serve().await;
    assert_eq!(bench.deliver("d1", &lit(1)).await, 200);
    bench.reach(&["done"]).await;
    let run = bench.host.store().runs(1).unwrap().remove(0);
    let step = bench.host.store().steps(&run.id).unwrap().remove(0);
    assert_eq!(step.output, Some(json!({"total": 3, "colours": {"red": 3}})));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_cannot_run_is_set_aside_and_the_others_are_served() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", LIGHT);
    bench.flow(
        "lost.yaml",
        &LIGHT
            .replace("name: answer", "name: lost")
            .replace("light-beacon, connection: harbour", "light-beacon, connection: gone"),
    );
    let new = NewSubscription { connection: "harbour", card: "beacon-faded", filter: json!({}), flow: Some("lost") };
    let before = bench.host.keep_subscription(new).await.unwrap();
    let flows = bench.flows();
    let at = |strict| Serving { flows: Some(&flows), strict, ..Serving::at(([127, 0, 0, 1], 0).into()) };
    let told = std::sync::Mutex::new((0, vec![]));
    let ready = |ready: &Ready| *told.lock().unwrap() = (ready.flows, ready.troubles.clone());
    let stop = until("the host to be ready", || told.lock().unwrap().0 > 0);
    serve(bench.host.clone(), at(false), ready, stop).await.unwrap();
    let (served, troubles) = told.into_inner().unwrap();
    let trouble = &troubles[0];
    assert_eq!((served, troubles.len(), trouble.code.as_str()), (1, 1, "host.flow-set-aside"));
    assert!(trouble.message.contains("`lost`") && trouble.message.contains("lost.yaml, steps.light"), "{trouble:?}");
    assert!(!trouble.remedy.is_empty());
    assert_eq!(bench.host.store().alarms(9).unwrap()[0].code, "host.flow-set-aside");
    let kept = bench.host.store().subscriptions(None).unwrap();
    assert!(kept.iter().any(|one| one.id == before.id), "what it subscribed to is kept: {kept:?}");

    let refused = serve(bench.host.clone(), at(true), |_| panic!("it is strict"), std::future::pending()).await;
    let refused = refused.unwrap_err().to_json();
    assert!(refused["message"].as_str().unwrap().contains("lost.yaml, steps.light.connection"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_was_set_aside_runs_once_its_connections_are_there() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", &LIGHT.replace("light-beacon, connection: harbour", "light-beacon, connection: second"));
    let aside = || {
        let alarms = bench.host.store().alarms(9).unwrap();
        alarms.into_iter().filter(|one| one.code == "host.flow-set-aside").collect::<Vec<_>>()
    };
    let running = bench.serve().await;
    bench.clock.advance(Duration::from_secs(200));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(aside().len(), 1, "told once, however often it was looked at");
    assert!(aside()[0].message.contains("It is looked at again"), "{:?}", aside());
    running.stop().await;
    let running = bench.serve().await;
    assert_eq!(aside().len(), 1, "nor at each start");

    bench.connect("second", "guest_beacon", "api-key", "key").await;
    until("the flow to run", || {
        bench.clock.advance(Duration::from_secs(6));
        aside().is_empty() && !bench.world().hooks.is_empty()
    })
    .await;
    assert_eq!(bench.deliver_at_last("d1", &lit(1)).await, 200);
    bench.reach(&["done"]).await;
    assert_eq!(bench.world().lit, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_can_run_at_the_next_start_has_no_alarm_any_more() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", &LIGHT.replace("light-beacon, connection: harbour", "light-beacon, connection: second"));
    bench.serve().await.stop().await;
    assert_eq!(bench.host.store().alarms(9).unwrap().len(), 1);
    bench.connect("second", "guest_beacon", "api-key", "key").await;
    bench.serve().await.stop().await;
    assert!(bench.host.store().alarms(9).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_whose_connector_can_be_read_again_runs_soon_after() {
    let bench = Bench::start().await;
    let disk = bench.disk();
    // As another process would change it.
    let component: String = disk.query_row("SELECT component FROM connection", [], |row| row.get(0)).unwrap();
    bench.flow("answer.yaml", LIGHT);
    let alarms = || bench.host.store().alarms(9).unwrap();
    disk.execute("UPDATE connection SET component = '/nowhere.wasm'", []).unwrap();
    // What this process has read before is good for a moment.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let running = bench.serve().await;
    assert!(alarms().iter().any(|one| one.code == "host.flow-set-aside"), "{:?}", alarms());
    disk.execute("UPDATE connection SET component = ?1", [&component]).unwrap();
    until("the flow to run", || {
        bench.clock.advance(Duration::from_secs(6));
        alarms().is_empty() && !bench.world().hooks.is_empty()
    })
    .await;
    assert_eq!(bench.deliver_at_last("d1", &lit(1)).await, 200);
    bench.reach(&["done"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_put_off_waits_as_long_as_it_was_asked_to_and_keeps_its_key() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", LIGHT);
    let running = bench.serve().await;
    bench.world().put_off.push_back(7);
    assert_eq!(bench.deliver("d1", &lit(1)).await, 200);
    bench.reach(&["waiting"]).await;
    bench.clock.advance(Duration::from_millis(6900));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((bench.states(), bench.world().keys.len()), (vec!["waiting".to_owned()], 1), "it is too early");
    until("the run to end", || {
        bench.clock.advance(Duration::from_secs(2));
        bench.states() == ["done"]
    })
    .await;
    let keys = bench.world().keys.clone();
    assert_eq!((keys.len(), bench.world().lit), (2, 1));
    assert_eq!(keys[0], keys[1]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_put_off_too_often_fails() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", &format!("{LIGHT}retry: {{ attempts: 3 }}\n"));
    let running = bench.serve().await;
    bench.world().put_off.extend([1, 1, 1, 1]);
    bench.deliver("d1", &lit(1)).await;
    until("the run to end", || {
        bench.clock.advance(Duration::from_secs(5));
        bench.states() == ["failed"]
    })
    .await;
    assert_eq!(bench.world().keys.len(), 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_acknowledged_before_a_crash_is_read_at_the_next_start() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", LIGHT);
    // The first start registers; then a delivery is on disk that nobody has read.
    bench.serve().await.stop().await;
    let connection = bench.host.connection("harbour").unwrap();
    let delivery = StoredDelivery {
        id: "d1".into(),
        connection: connection.id,
        registration: "h1".into(),
        service_id: Some("s1".into()),
        method: "POST".into(),
        query: String::new(),
        headers: vec![],
        body: lit(1).to_string().into_bytes(),
        sha256: "0".into(),
        received_at_ms: 1,
        attempts: 0,
    };
    bench.host.store().keep_delivery(&delivery).unwrap();
    let running = bench.serve().await;
    bench.reach(&["done"]).await;
    running.stop().await;
    bench.serve().await.stop().await;
    assert_eq!(bench.world().lit, 1, "and not again at the start after that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_a_connection_that_is_gone_is_given_up_at_once() {
    let bench = Bench::start().await;
    let delivery = StoredDelivery {
        id: "d1".into(),
        connection: "gone".into(),
        registration: "h1".into(),
        service_id: Some("s1".into()),
        method: "POST".into(),
        query: String::new(),
        headers: vec![],
        body: lit(1).to_string().into_bytes(),
        sha256: "0".into(),
        // One of long ago would be deleted as soon as it is over.
        received_at_ms: bench.clock.now_ms(),
        attempts: 0,
    };
    bench.host.store().keep_delivery(&delivery).unwrap();
    let running = bench.serve().await;
    until("the delivery to be given up", || bench.host.store().failed_delivery("d1").unwrap().is_some()).await;
    let shown = bench.host.store().failed_delivery("d1").unwrap().unwrap();
    assert!(shown.dismissed && shown.failure.unwrap()["code"] == "host.connection-gone");
    assert!(bench.host.store().failed_deliveries(9).unwrap().is_empty());
    running.stop().await;
}

/// A run of one step that was under way when the process ended.
async fn interrupted(bench: &Bench, action: &str, connection: &str, input: serde_json::Value) {
    let harbour = bench.host.connection("harbour").unwrap();
    let definition = json!({
        "name": "f", "on": {"event": "beacon-lit", "connection": "harbour"},
        "steps": [{"id": "s", "action": action, "connection": connection, "input": input}],
    });
    let event = StoredEvent {
        id: "e".into(),
        connection: harbour.id.clone(),
        subscription: "s".into(),
        card: "beacon-lit".into(),
        event_id: "signal-1".into(),
        time_ms: None,
        payload: json!({}),
        delivery: None,
        received_at_ms: 1,
    };
    let run = NewRun { id: "r".into(), flow: "f".into(), definition: definition.to_string(), ..NewRun::default() };
    let store = bench.host.store();
    let brought_by = BroughtBy::Poll { connection: &harbour.id, cursor: "0" };
    store.keep_events(brought_by, &[NewEvent { event, run: Some(run) }]).unwrap();
    let step = StoredStep {
        position: 0,
        id: "s".into(),
        card: action.into(),
        connection: connection.into(),
        state: "running".into(),
        input: Some(input),
        continuation: None,
        output: None,
        failure: None,
        attempts: 1,
        began_at_ms: 1,
        ended_at_ms: None,
        redone: 0,
        object: None,
    };
    assert!(store.begin_step("r", &[], &step).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_a_step_with_an_honoured_key_is_done_again_with_the_same_key() {
    let bench = Bench::start().await;
    interrupted(&bench, "light-beacon", "harbour", json!({"name": "n", "colour": "red"})).await;
    let running = bench.serve().await;
    bench.reach(&["done"]).await;
    assert_eq!(bench.world().keys, ["r.s"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_a_step_that_may_have_changed_something_is_uncertain_and_not_done_again() {
    let bench = Bench::start().await;
    bench.connect("wild", "guest_hostile", "token", "token").await;
    interrupted(&bench, "send", "wild", json!({"request": {"path": "/beacons", "method": "POST"}})).await;
    let running = bench.serve().await;
    bench.reach(&["uncertain"]).await;
    let run = bench.host.store().runs(1).unwrap().remove(0);
    assert_eq!(run.failure.unwrap()["code"], "host.interrupted");
    let alarms = bench.host.store().alarms(10).unwrap();
    assert!(alarms.iter().any(|one| one.code == "host.run-uncertain"), "{alarms:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_somebody_removed_is_registered_anew() {
    let bench = Bench::start().await;
    bench.subscribe("harbour", "beacon-lit", json!({})).await;
    let running = bench.serve().await;
    assert_eq!(bench.world().hooks.len(), 1);
    bench.world().hooks.clear();
    until("the webhook", || {
        bench.clock.advance(Duration::from_secs(300));
        bench.world().hooks.len() == 1
    })
    .await;
    assert_eq!(bench.deliver("d1", &lit(1)).await, 200);
    until("the event", || bench.host.store().events(9).unwrap().len() == 1).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_only_the_connector_can_prove_is_proved_by_it() {
    let bench = Bench::start().await;
    bench.connect("wild", "guest_hostile", "token", "token").await;
    bench.subscribe("wild", "rumour", json!({"proof": "authenticate"})).await;
    let running = bench.serve().await;
    let connection = bench.host.connection("wild").unwrap();
    let registered = bench.host.registrations_of(&connection.id).unwrap().remove(0);
    assert!(matches!(registered.proof, Proof::Authenticate));
    assert_eq!(post(&registered.callback, "x-delivery: d1\r\n", br#"{"genuine":false}"#).await, 401);
    assert_eq!(post(&registered.callback, "x-delivery: d2\r\n", br#"{"genuine":true}"#).await, 200);
    until("the refusal to be kept", || bench.host.delivery_troubles(&connection).unwrap().refused > 0).await;
    let troubles = bench.host.delivery_troubles(&connection).unwrap();
    let (_, reason) = troubles.last_refusal.unwrap();
    assert_eq!((troubles.refused, reason.trim()), (1, "forged log line"), "and it forges no line");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_cannot_weaken_the_proof_of_its_deliveries() {
    let bench = Bench::start().await;
    bench.connect("wild", "guest_hostile", "token", "token").await;
    let apply = Ensuring::Apply(Some("http://127.0.0.1:9"));
    let unproved = bench.subscribe("wild", "rumour", json!({"proof": "none"})).await;
    let refused = bench.host.ensure("wild", apply).await.unwrap_err();
    assert!(refused.to_string().contains("not be proved at all"), "{refused}");
    let connection = bench.host.connection("wild").unwrap();
    assert!(bench.host.registrations_of(&connection.id).unwrap().is_empty(), "nothing is kept of it");
    bench.host.store().delete_subscription(&unproved.id).unwrap();

    let proved = bench.subscribe("wild", "rumour", json!({"proof": "token"})).await;
    bench.host.ensure("wild", apply).await.unwrap();
    bench.host.store().delete_subscription(&proved.id).unwrap();
    bench.subscribe("wild", "rumour", json!({"proof": "authenticate"})).await;
    for _ in 0..2 {
        let refused = bench.host.ensure("wild", apply).await.unwrap_err();
        assert_eq!(refused.to_json()["code"], "host.proof-refused");
    }
    let kept = bench.host.registrations_of(&connection.id).unwrap().remove(0);
    assert!(matches!(kept.proof, Proof::Token(_)), "the old proof stays");
    let alarms = bench.host.delivery_troubles(&connection).unwrap().alarms;
    let codes: Vec<_> = alarms.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes, ["host.proof-refused", "host.proof-refused"], "each refusal is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_registers_nothing() {
    let bench = Bench::start().await;
    bench.subscribe("harbour", "beacon-lit", json!({})).await;
    bench.host.ensure("harbour", Ensuring::Plan).await.unwrap();
    assert!(bench.world().hooks.is_empty());
}

/// Turns the clock on by steps, and gives what awakes the time to work.
async fn pass(bench: &Bench, whole: Duration, step: Duration) {
    let mut passed = Duration::ZERO;
    while passed < whole {
        bench.clock.advance(step);
        passed += step;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_passes_and_every_event_has_come_to_its_end_once() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", LIGHT);
    bench.flow("count.yaml", SURVEY);
    bench.subscribe("harbour", "beacon-faded", json!({})).await;
    // What waits for the machine turns the clock on, so it may be much more than a month.
    bench.host.store().keep_for(Keeping { history: Duration::from_secs(90 * 86_400), ..Keeping::default() });
    let running = bench.serve().await;
    let hour = Duration::from_secs(3600);
    for day in 0..30_u64 {
        match day % 3 {
            // A short wait, one that is longer than any of ours, and none.
            0 => bench.world().put_off.push_back(5),
            1 => bench.world().put_off.push_back(2 * 3600),
            _ => {}
        }
        assert_eq!(bench.deliver(&format!("day-{day}"), &lit(day)).await, 200);
        // A second attempt of the same delivery, as services make them.
        assert_eq!(bench.deliver(&format!("day-{day}"), &lit(day)).await, 200);
        // Somebody removes what was registered.
        if day % 10 == 5 {
            bench.world().hooks.clear();
            until("the webhook", || {
                bench.clock.advance(Duration::from_secs(300));
                bench.world().hooks.len() == 1
            })
            .await;
        }
        pass(&bench, 24 * hour, hour).await;
    }
    until("every run to end", || {
        bench.clock.advance(Duration::from_secs(60));
        // The last delivery may not have been read yet.
        let states = bench.states();
        states.len() == 60 && states.iter().all(|state| state == "done")
    })
    .await;
    assert_eq!(bench.world().lit, 30);
    let keys: std::collections::HashSet<String> = bench.world().keys.iter().cloned().collect();
    assert_eq!((keys.len(), bench.world().keys.len()), (30, 50), "one key for all attempts at one piece of work");
    assert!(bench.host.store().dead_runs(9).unwrap().is_empty());
    assert_eq!(bench.host.store().events(100).unwrap().len(), 60);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_whole_service_is_left_alone_nothing_is_asked_of_it_and_no_attempt_is_used_up() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", &format!("{LIGHT}retry: {{ attempts: 2 }}\n"));
    let running = bench.serve().await;
    let connection = bench.host.connection("harbour").unwrap();
    // Not checked yet, so its tenant is not known: holds are its own.
    let owner = connection.id.clone();
    let until_ms = bench.clock.now_ms() + 3_600_000;
    bench.host.store().hold(&owner, &crate::plugin::contract::types::Scope::Tenant, until_ms).unwrap();
    bench.deliver("d1", &lit(1)).await;
    bench.reach(&["waiting"]).await;
    let run = bench.host.store().runs(1).unwrap().remove(0);
    assert!((until_ms..until_ms + 1_200_000).contains(&run.due_at_ms), "{run:?}");
    assert_eq!(run.failure.unwrap()["code"], "host.scope-held");
    pass(&bench, Duration::from_secs(3590), Duration::from_secs(60)).await;
    assert!(bench.world().keys.is_empty());
    until("the run to end", || {
        bench.clock.advance(Duration::from_secs(60));
        bench.states() == ["done"]
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_store_fails_goes_on_when_it_works_again_without_a_restart() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", LIGHT);
    let running = bench.serve().await;
    let disk = bench.disk();
    // Steps cannot be kept once they are done.
    let full =
        "CREATE TRIGGER full BEFORE INSERT ON step WHEN new.state = 'done' BEGIN SELECT RAISE(ABORT, 'full'); END";
    disk.execute_batch(full).unwrap();
    bench.deliver("d1", &lit(1)).await;
    until("the light", || bench.world().lit == 1).await;
    pass(&bench, Duration::from_secs(60), Duration::from_secs(10)).await;
    assert_eq!(bench.states(), ["running"]);
    disk.execute_batch("DROP TRIGGER full").unwrap();
    until("the run to end", || {
        bench.clock.advance(Duration::from_secs(30));
        bench.states() == ["done"]
    })
    .await;
    assert_eq!(bench.world().keys.len(), 1, "what the step came to was not forgotten");
    running.stop().await;
}

const TWICE: &str = "name: twice
on: { event: beacon-lit, connection: harbour }
steps:
  - { id: one, action: light-beacon, connection: harbour, input: { name: one, colour: red } }
  - { id: two, action: light-beacon, connection: harbour, input: { name: two, colour: red } }
";

/// The states of the steps of the only run.
fn steps(bench: &Bench) -> Vec<String> {
    let Some(run) = bench.host.store().runs(1).unwrap().pop() else { return vec![] };
    bench.host.store().steps(&run.id).unwrap().into_iter().map(|step| step.state).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_step_that_is_done_stays_done_where_the_store_cannot_be_read_before_the_next() {
    let bench = Bench::start().await;
    bench.flow("twice.yaml", TWICE);
    let running = bench.serve().await;
    let disk = bench.disk();
    bench.world().slow = Some(Duration::from_millis(1500));
    bench.deliver("d1", &lit(1)).await;
    until("the first step to begin", || bench.world().keys.len() == 1).await;
    disk.execute_batch("ALTER TABLE hold RENAME TO gone").unwrap();
    until("the run to wait", || bench.states() == ["waiting"]).await;
    assert_eq!(steps(&bench), ["done", "waiting"]);
    disk.execute_batch("ALTER TABLE gone RENAME TO hold").unwrap();
    until("the run to end", || {
        bench.clock.advance(Duration::from_secs(30));
        bench.states() == ["done"]
    })
    .await;
    assert_eq!(bench.world().lit, 2, "each step was done once");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_done_stays_done_where_the_host_ends_before_the_next_could_be_kept() {
    let bench = Bench::start().await;
    bench.flow("twice.yaml", TWICE);
    let running = bench.serve().await;
    let disk = bench.disk();
    let full = "CREATE TRIGGER full BEFORE INSERT ON step WHEN new.position = 1 AND new.state = 'running' \
                BEGIN SELECT RAISE(ABORT, 'full'); END";
    disk.execute_batch(full).unwrap();
    bench.deliver("d1", &lit(1)).await;
    until("the first light", || bench.world().lit == 1).await;
    // What the first step came to is in memory only, until the store takes it or the host ends.
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.stop().await;
    assert_eq!((bench.states(), steps(&bench)), (vec!["waiting".to_owned()], vec!["done".into(), "waiting".into()]));
    disk.execute_batch("DROP TRIGGER full").unwrap();
    bench.clock.advance(Duration::from_secs(30));
    let running = bench.serve().await;
    bench.reach(&["done"]).await;
    assert_eq!(bench.world().keys.len(), 2, "each step was asked for once");
    running.stop().await;
}
