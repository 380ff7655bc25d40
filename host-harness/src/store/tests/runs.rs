//! Runs: whose turn it is, in which order, what a person does with them, and that a long history costs nothing.

use super::*;
use crate::store::events::event_by_id;
use crate::store::run_steps::{HEAD_OF_LANE, LOOKED_AT, NEXT_DUE, NEXT_LANE, NEXT_OF_KEY};

/// An event with a run of a flow.
fn start(flow: &str, id: &str, time: u64, key: Option<(&str, bool)>) -> NewEvent {
    let event = StoredEvent { time_ms: Some(time), received_at_ms: 10, ..event(&format!("e-{id}"), flow, id) };
    let run = NewRun {
        id: id.into(),
        flow: flow.into(),
        definition: "{}".into(),
        connection: "c".into(),
        order_key: key.map(|(key, _)| key.into()),
        skip_late: key.is_some_and(|(_, skip)| skip),
        origin: Origin::default(),
    };
    NewEvent { event, run: Some(run) }
}

fn keep(store: &Store, events: &[NewEvent]) {
    store.keep_events(BroughtBy::Poll { connection: "c1", cursor: "0" }, events).unwrap();
}

fn with_connection() -> (tempfile::TempDir, Store) {
    let (home, store) = store();
    insert(&store, &connection("c1", "demo"));
    (home, store)
}

fn next(store: &Store, now: u64) -> Option<String> {
    store.next_run(now, &Lane::default(), &|_| true, &|_, _| true).unwrap().map(|run| run.id)
}

fn step(state: &str) -> StoredStep {
    StoredStep {
        position: 0,
        id: "s".into(),
        card: "light".into(),
        connection: "c".into(),
        state: state.into(),
        input: Some(json!({})),
        continuation: None,
        output: None,
        failure: None,
        attempts: 1,
        began_at_ms: 1,
        ended_at_ms: None,
        redone: 0,
        object: None,
    }
}

fn state(store: &Store, id: &str) -> String {
    store.run(id).unwrap().unwrap().state
}

#[test]
fn the_oldest_run_that_could_go_on_is_told_and_one_with_a_key_is_not() {
    let (_home, store) = with_connection();
    keep(&store, &[start("f", "keyed", 1, Some(("k", false)))]);
    let due = store.run("keyed").unwrap().unwrap().due_at_ms;
    assert_eq!(store.backlog(due + 1).unwrap().oldest_run_due_ms, None);
    keep(&store, &[start("f", "free", 1, None)]);
    assert_eq!(store.backlog(due - 1).unwrap().oldest_run_due_ms, None);
    assert_eq!(store.backlog(due + 1).unwrap().oldest_run_due_ms, Some(due));
}

#[test]
fn a_run_is_not_taken_before_it_is_due() {
    let (_home, store) = with_connection();
    keep(&store, &[start("greet", "r1", 1, None)]);
    assert_eq!(next(&store, 9), None);
    assert_eq!(next(&store, 10).as_deref(), Some("r1"));
    store.settle_run("r1", &Standing::waiting(None, 100, 20), &[]).unwrap();
    assert_eq!((next(&store, 99), store.next_run_due().unwrap()), (None, Some(100)));
    assert_eq!(next(&store, 100).as_deref(), Some("r1"));
    assert!(store.begin_step("r1", &[], &step("running")).unwrap());
    assert_eq!(next(&store, 100), None);
    assert_eq!(store.running_runs().unwrap().len(), 1);
}

#[test]
fn lanes_have_their_turns_however_much_waits_in_one() {
    let (_home, store) = with_connection();
    let many: Vec<_> = (0..50).map(|id| start("busy", &format!("b{id}"), id, None)).collect();
    keep(&store, &many);
    keep(&store, &[start("quiet", "q1", 100, None), start("late", "l1", 100, None)]);
    let (mut lane, mut taken, mut order) = (Lane::default(), Vec::new(), Vec::new());
    for _ in 0..6 {
        let free = |id: &str, _: Option<&str>| !taken.contains(&id.to_owned());
        let run = store.next_run(1000, &lane, &|_| true, &free).unwrap().unwrap();
        lane = Lane { flow: run.flow.clone(), connection: run.connection.clone() };
        order.push(run.flow);
        taken.push(run.id);
    }
    assert_eq!(order, ["busy", "late", "quiet", "busy", "busy", "busy"]);
    let closed = |lane: &Lane| lane.flow != "busy";
    assert!(store.next_run(1000, &lane, &closed, &|id, _| !taken.contains(&id.to_owned())).unwrap().is_none());
}

#[test]
fn runs_of_one_key_go_one_after_another_and_late_ones_are_told() {
    let (_home, store) = with_connection();
    keep(&store, &[start("a", "second", 20, Some(("k", true))), start("b", "first", 10, Some(("k", true)))]);
    assert_eq!(store.turn("second").unwrap(), Turn::Behind, "the other one's event happened before");
    assert_eq!(next(&store, 1000).as_deref(), Some("first"), "the one behind is out of the way");
    assert_eq!(store.turn("first").unwrap(), Turn::Now);
    assert!(store.begin_step("first", &[], &step("running")).unwrap());
    store.settle_run("first", &Standing::waiting(None, 500, 20), &[step("waiting")]).unwrap();
    assert_eq!(next(&store, 400), None, "what has begun keeps its turn while it waits");
    store.settle_run("first", &Standing::ended("done", None, 600), &[step("done")]).unwrap();
    assert_eq!((next(&store, 1000).as_deref(), store.turn("second").unwrap()), (Some("second"), Turn::Now));
    store.settle_run("second", &Standing::ended("done", None, 600), &[]).unwrap();
    keep(&store, &[start("c", "late", 15, Some(("k", true))), start("d", "all", 15, Some(("k", false)))]);
    assert_eq!(store.turn("late").unwrap(), Turn::Late);
    store.settle_run("late", &Standing::ended("skipped", None, 600), &[]).unwrap();
    assert_eq!(store.turn("all").unwrap(), Turn::Now, "where late ones run, they run");
}

#[test]
fn what_waits_for_its_turn_goes_on_when_the_one_before_is_cancelled() {
    let (_home, store) = with_connection();
    keep(&store, &[start("a", "one", 10, Some(("k", false))), start("a", "two", 20, Some(("k", false)))]);
    assert_eq!(store.turn("two").unwrap(), Turn::Behind);
    assert_eq!(store.cancel_run("one", 5).unwrap(), Some(Cancelled::Now));
    assert_eq!(next(&store, 1000).as_deref(), Some("two"));
    assert_eq!(store.turn("two").unwrap(), Turn::Now);
}

#[test]
fn however_many_wait_behind_one_of_their_key_the_others_of_the_lane_are_found() {
    let (_home, store) = with_connection();
    let many: Vec<_> =
        (0..2 * u64::from(LOOKED_AT)).map(|id| start("busy", &format!("k{id:04}"), id, Some(("k", false)))).collect();
    keep(&store, &many);
    keep(&store, &[start("busy", "other", 5000, None)]);
    assert_eq!(next(&store, 1000).as_deref(), Some("k0000"));
    assert!(store.begin_step("k0000", &[], &step("running")).unwrap());
    let free = |_: &str, key: Option<&str>| key != Some("k");
    let found = || store.next_run(1000, &Lane::default(), &|_| true, &free).unwrap().map(|run| run.id);
    assert_eq!(found().as_deref(), Some("other"));
    assert_eq!(found().as_deref(), Some("other"), "at every look");
    // And they have their turns, one after another.
    store.settle_run("k0000", &Standing::ended("done", None, 20), &[]).unwrap();
    assert_eq!(next(&store, 1000).as_deref(), Some("k0001"));
    assert_eq!(store.turn("k0001").unwrap(), Turn::Now);
    // Those whose own runs are in hand are no reason to move anything, nor to look for ever.
    let mine: Vec<_> = (0..u64::from(LOOKED_AT)).map(|id| start("mine", &format!("m{id}"), id, None)).collect();
    keep(&store, &mine);
    let none = store.next_run(1000, &Lane::default(), &|lane| lane.flow == "mine", &|_, _| false).unwrap();
    assert!(none.is_none());
    assert_eq!(next(&store, 1000).as_deref(), Some("k0001"));
}

#[test]
fn a_cancelled_run_begins_no_step_and_keeps_the_one_that_ended() {
    let (_home, store) = with_connection();
    keep(&store, &[start("a", "r1", 10, None)]);
    assert!(store.begin_step("r1", &[], &step("running")).unwrap());
    assert_eq!(store.cancel_run("r1", 5).unwrap(), Some(Cancelled::Soon));
    let second = StoredStep { position: 1, id: "t".into(), ..step("running") };
    assert!(!store.begin_step("r1", &[step("done")], &second).unwrap());
    assert_eq!(store.steps("r1").unwrap().iter().map(|one| one.state.as_str()).collect::<Vec<_>>(), ["done"]);
    store.settle_run("r1", &Standing::waiting(None, 50, 20), &[]).unwrap();
    assert_eq!(state(&store, "r1"), "cancelled", "it does not wait either");
    assert_eq!(store.run("r1").unwrap().unwrap().ended_at_ms, Some(20));
    assert_eq!(store.cancel_run("r1", 5).unwrap(), Some(Cancelled::Over));
    assert_eq!(store.cancel_run("nobody", 5).unwrap(), None);
}

#[test]
fn a_dead_run_goes_on_is_done_anew_or_is_given_up() {
    let (_home, store) = with_connection();
    keep(&store, &[start("a", "r1", 10, None), start("a", "r2", 10, None), start("a", "r3", 10, None)]);
    for id in ["r1", "r2", "r3"] {
        store.settle_run(id, &Standing::ended("failed", Some(&json!({})), 20), &[step("failed")]).unwrap();
    }
    assert_eq!(store.dead_runs(9).unwrap().len(), 3);
    let again = Again { definition: None, connection: "c", step: Some(&step("waiting")), forget_from: 0 };
    assert!(store.run_again("r1", &again, 30).unwrap());
    assert!(!store.run_again("r1", &again, 30).unwrap(), "once");
    assert!(store.run_anew("r2", "r2b", None, "c", 30).unwrap());
    assert!(!store.run_anew("r2", "r2c", None, "c", 30).unwrap(), "once, until the new one is over");
    assert_eq!(store.run("r2b").unwrap().unwrap().again_of.as_deref(), Some("r2"));
    assert_eq!(store.redone_as("r2").unwrap(), ["r2b"]);
    assert_eq!(store.cancel_run("r3", 40).unwrap(), Some(Cancelled::Now));
    assert!(store.dead_runs(9).unwrap().is_empty());
    keep(&store, &[start("b", "other", 10, None)]);
    let free = |id: &str, _: Option<&str>| id != "r1";
    let run = store.next_run(1000, &Lane::default(), &|_| true, &free).unwrap().unwrap();
    assert_eq!(run.id, "r2b");
}

#[test]
fn what_a_step_made_leads_back_to_its_run_and_nothing_else_does() {
    let (_home, store) = with_connection();
    let ours = |id: &str, object: &str| {
        let mut new = start("round", id, 10, None);
        let origin = Origin { object: Some(("c1".into(), object.into())), ours: true };
        new.run = new.run.map(|run| NewRun { origin, ..run });
        new
    };
    keep(&store, &[ours("r1", "1")]);
    // A step whose output holds a number that is also an object's id, by chance.
    let chance = StoredStep { output: Some(json!({ "id": "8" })), object: Some("c1/7".into()), ..step("done") };
    store.settle_run("r1", &Standing::ended("done", None, 20), &[chance]).unwrap();
    keep(&store, &[ours("r2", "7"), ours("r3", "8")]);
    assert_eq!(store.run("r2").unwrap().unwrap().cause.as_deref(), Some("r1"));
    assert_eq!(store.run("r3").unwrap().unwrap().cause, None);
}

#[test]
fn a_flow_that_starts_itself_runs_twice_and_is_then_stopped_with_one_alarm() {
    let (_home, store) = with_connection();
    let ours = |flow: &str, id: &str, ours: bool| {
        let mut new = start(flow, id, 10, None);
        let origin = Origin { object: Some(("c1".into(), "thing 7".into())), ours };
        new.run = new.run.map(|run| NewRun { origin, ..run });
        new
    };
    let begin = |id: &str| assert!(store.begin_step(id, &[], &step("running")).unwrap());
    keep(&store, &[ours("round", "r1", false)]);
    begin("r1");
    keep(&store, &[ours("round", "r2", true)]);
    assert_eq!(store.run("r2").unwrap().unwrap().cause.as_deref(), Some("r1"));
    begin("r2");
    keep(&store, &[ours("round", "r3", true), ours("another", "r4", true)]);
    assert_eq!(store.run("r3").unwrap().unwrap().failure.unwrap()["code"], "host.flow-loop");
    assert_eq!((state(&store, "r3"), state(&store, "r4")), ("skipped".into(), "pending".into()));
    let alarms = store.alarms(9).unwrap();
    assert_eq!((alarms.len(), alarms[0].code.as_str()), (1, "host.flow-loop"));
    keep(&store, &[ours("round", "r5", false)]);
    assert_eq!(state(&store, "r5"), "pending", "what somebody else does begins anew");
}

#[test]
fn a_flow_that_makes_what_starts_it_is_noticed_by_what_its_steps_came_to() {
    let (_home, store) = with_connection();
    let made = |id: &str, object: &str, ours: bool| {
        let mut new = start("breed", id, 10, None);
        let origin = Origin { object: Some(("c1".into(), object.into())), ours };
        new.run = new.run.map(|run| NewRun { origin, ..run });
        new
    };
    for (at, id) in ["r0", "r1", "r2"].iter().enumerate() {
        keep(&store, &[made(id, &format!("thing {at}"), at > 0)]);
        if state(&store, id) == "pending" {
            assert!(store.begin_step(id, &[], &step("running")).unwrap());
            let done = StoredStep { object: Some(format!("c1/thing {}", at + 1)), ..step("done") };
            store.settle_run(id, &Standing::ended("done", None, 20), &[done]).unwrap();
        }
    }
    assert_eq!((state(&store, "r1"), state(&store, "r2")), ("done".into(), "skipped".into()));
}

#[test]
fn what_is_asked_all_the_time_is_answered_from_an_index() {
    let (home, store) = with_connection();
    drop(store);
    let db = Connection::open(home.path().join("harness.db")).unwrap();
    let of_runs = [(NEXT_LANE, 2), (HEAD_OF_LANE, 4), (NEXT_DUE, 0), (NEXT_OF_KEY, 1)];
    let of_runs = of_runs.map(|(sql, parameters)| (sql.to_owned(), parameters, "INDEX run_"));
    let of_events = [(event_by_id(), 1, "INDEX sqlite_autoindex_event_1")];
    for (sql, parameters, index) in of_runs.into_iter().chain(of_events) {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        assert_eq!(statement.parameter_count(), parameters);
        let values = vec![rusqlite::types::Value::Integer(1); parameters];
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let plan = plan.join("; ");
        assert!(plan.contains("SEARCH") && plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        assert!(!plan.contains("SCAN"), "{sql}: {plan}");
    }
}

#[test]
fn a_cursor_moves_on_only_together_with_its_events() {
    let (home, store) = with_connection();
    keep(&store, &[start("a", "r1", 10, None)]);
    let disk = Connection::open(home.path().join("harness.db")).unwrap();
    disk.execute_batch("CREATE TRIGGER full BEFORE INSERT ON run BEGIN SELECT RAISE(ABORT, 'full'); END").unwrap();
    let next = BroughtBy::Poll { connection: "c1", cursor: "1" };
    assert!(store.keep_events(next, &[start("a", "r2", 20, None)]).is_err());
    assert_eq!((store.cursor("c1").unwrap().as_deref(), store.events(9).unwrap().len()), (Some("0"), 1));
    disk.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(store.keep_events(next, &[start("a", "r2", 20, None)]).unwrap(), 1);
    assert_eq!(store.cursor("c1").unwrap().as_deref(), Some("1"));
}

/// Runs per second, through their lane, their one step and their end.
fn throughput(store: &Store, count: u64, mark: &str) -> f64 {
    let new: Vec<_> = (0..count).map(|id| start("busy", &format!("{mark}{id}"), id, None)).collect();
    keep(store, &new);
    let begun = std::time::Instant::now();
    let mut lane = Lane::default();
    for _ in 0..count {
        let run = store.next_run(1000, &lane, &|_| true, &|_, _| true).unwrap().unwrap();
        lane = Lane { flow: run.flow.clone(), connection: run.connection.clone() };
        assert!(store.begin_step(&run.id, &[], &step("running")).unwrap());
        store.settle_run(&run.id, &Standing::ended("done", None, 20), &[step("done")]).unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

#[test]
#[ignore = "long: fills a store with a million runs (cargo xtask test --long)"]
fn a_year_of_history_does_not_slow_the_runs_of_today() {
    let (_home, empty) = with_connection();
    let (_other, full) = with_connection();
    full.write(|transaction| {
        transaction.execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) \
             INSERT INTO run SELECT 'old' || i, 'flow' || (i % 20), '{}', 'e' || i, 'x' || i, 'done', 0, NULL, i, i, i, \
             'c', NULL, 0, 0, NULL, NULL, NULL FROM n;
             INSERT INTO step SELECT id, 0, 's', 'light', 'c', 'done', '{}', NULL, '{}', NULL, 1, 1, 1, 0, NULL FROM run;",
        )?;
        Ok::<_, StoreError>(())
    })
    .unwrap();
    // By turns, so that both see the same machine.
    let mut ratios: Vec<f64> = (0..9)
        .map(|round| {
            let (one, two) =
                (throughput(&empty, 500, &format!("a{round}-")), throughput(&full, 500, &format!("a{round}-")));
            two / one
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!("with 1,000,000 old runs: {:.2} of an empty store", ratios[4]);
    assert!(ratios[4] >= 0.9, "{ratios:?}");
}
