//! What whoever operates the host sees of it, and how they stop it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::Canary;
use crate::harness::{Harness, Serving, free_address};
use crate::http;
use crate::main_job::one_bug;
use crate::service::{Reply, Service};
use crate::simulator::{Jira, eventually, text};
use crate::stage::Stage;

const FLOW: &str = r#"
name: answer
on: { event: issue-created, connection: demo }
steps:
  - id: comment
    action: add-comment
    connection: demo
    input: { issue: '${{ event.issue.key }}', body: seen }
"#;

const ADMIN: [&str; 4] = ["--flows", "flows", "--admin", "127.0.0.1:0"];

fn serving() -> (Stage, Serving) {
    let stage = Stage::connected();
    stage.host.file("flows/answer.yaml", FLOW);
    let serving = stage.host.serve(&ADMIN);
    (stage, serving)
}

fn readiness(serving: &Serving) -> (u16, Value) {
    let answer = serving.admin("/readyz");
    (answer.status, answer.json())
}

/// The value of a sample: its name with labels, as it is written.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_count_what_happened_and_no_sample_stands_twice() {
    let (stage, serving) = serving();
    stage.task("One");
    let metrics = eventually("the run to be counted", || {
        let metrics = serving.admin("/metrics").body;
        (sample(&metrics, r#"harness_runs_ended_total{flow="answer",state="done"}"#) == Some(1.0)).then_some(metrics)
    });
    for (name, least) in [
        ("harness_ready", 1.0),
        (r#"harness_deliveries_total{outcome="new"}"#, 1.0),
        (r#"harness_deliveries_read_total{outcome="done"}"#, 1.0),
        (r#"harness_intake_responses_total{status="200"}"#, 1.0),
        ("harness_intake_ack_seconds_count", 1.0),
        ("harness_events_total", 1.0),
        (r#"harness_steps_total{outcome="done"}"#, 1.0),
        (r#"harness_calls_total{function="invoke",outcome="ok"}"#, 1.0),
        (r#"harness_calls_total{function="receive",outcome="ok"}"#, 1.0),
        (r#"harness_call_seconds_count{function="invoke"}"#, 1.0),
        (r#"harness_requests_total{outcome="2xx"}"#, 2.0),
        ("harness_store_write_seconds_count", 5.0),
        ("harness_calls_limit", 1.0),
        ("harness_connections", 1.0),
        ("harness_subscriptions", 1.0),
        ("harness_registrations", 1.0),
        ("harness_accounts_held", 0.0),
        ("harness_deliveries_waiting", 0.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 5.0),
    ] {
        let found = sample(&metrics, name).unwrap_or_else(|| panic!("no sample {name} in:\n{metrics}"));
        assert!(found >= least, "{name} is {found}, not {least} or more");
    }
    let used = metrics.lines().find(|line| line.starts_with(r#"harness_registrations_used{connection="demo""#));
    assert!(used.is_some_and(|line| line.ends_with(" 1")), "{used:?}");

    let samples: Vec<_> = metrics.lines().filter(|line| !line.starts_with('#')).collect();
    let names: BTreeSet<_> = samples.iter().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name).collect();
    assert_eq!(samples.len(), names.len());
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).expect("docs");
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(documented.contains(&format!("`{name}`")), "docs/metrics.md does not tell of {name}");
    }
    let public = http::send("GET", &format!("{}/metrics", serving.url()), &[], b"");
    assert_eq!(public.status, 404, "nothing of it is to be had where services deliver");
    assert_eq!(serving.admin("/livez").status, 200);
}

#[test]
fn readiness_goes_when_the_store_cannot_be_written_and_comes_back() {
    let (stage, serving) = serving();
    assert_eq!(readiness(&serving).0, 200);
    let db = rusqlite::Connection::open(stage.host.home().join("harness.db")).expect("the store can be opened");
    db.busy_timeout(Duration::from_secs(20)).expect("a timeout can be set");
    // Another process that holds the lock and does not let go.
    db.execute_batch("BEGIN IMMEDIATE").expect("the lock can be had");
    let (status, json) =
        eventually("the host to see it", || Some(readiness(&serving)).filter(|(status, _)| *status != 200));
    assert_eq!(status, 503);
    assert_eq!((&json["ready"], &json["checks"]["store"]["ok"]), (&json!(false), &json!(false)), "{json:#}");
    assert!(text(&json["checks"]["store"]["remedy"]).contains("disk"), "{json:#}");
    assert_eq!(json["checks"]["receiver"]["ok"], true, "{json:#}");
    assert_eq!(sample(&serving.admin("/metrics").body, "harness_ready"), Some(0.0));
    db.execute_batch("ROLLBACK").expect("the lock can be given back");
    eventually("the host to be ready again", || Some(()).filter(|()| readiness(&serving).0 == 200));
}

#[test]
fn a_held_account_and_a_full_site_are_told_when_the_host_is_ready_and_later() {
    let (stage, serving) = serving();
    assert_eq!(serving.ready()["troubles"], json!([]), "{:#}", serving.ready());
    stage.jira.control("POST", "/accounts/admin/revoke-token", &Value::Null);
    for _ in 0..3 {
        stage.run("get-issue", &json!({"issue": "DEMO-1"}));
    }
    let (status, json) = readiness(&serving);
    assert_eq!(status, 200, "one dead account is not the host's: {json:#}");
    let held = |troubles: &Value| {
        troubles.as_array().expect("a list").iter().any(|one| {
            one["code"] == "host.account-held"
                && one["connection"] == "demo"
                && text(&one["remedy"]).contains("--release")
        })
    };
    assert!(held(&json["troubles"]), "{json:#}");
    assert_eq!(sample(&serving.admin("/metrics").body, "harness_accounts_held"), Some(1.0));
    drop(serving);

    let again = stage.host.serve(&ADMIN);
    let troubles = &again.ready()["troubles"];
    assert!(held(troubles), "{troubles:#}");
    stage.jira.control("POST", "/accounts/admin/restore-token", &Value::Null);
    stage.host.run(&["connection", "check", "demo", "--release"]).expect(0);
    assert!(!held(&readiness(&again).1["troubles"]));
    drop(again);

    for number in 0..99 {
        let other = json!({"name": format!("other {number}"), "url": format!("https://other.example.test/{number}"), "events": ["jira:issue_created"]});
        assert_eq!(stage.jira.ask("POST", "/rest/webhooks/1.0/webhook", &other).status, 201);
    }
    let full = stage.host.serve(&ADMIN);
    let troubles = full.ready()["troubles"].as_array().expect("a list").clone();
    let told = troubles.iter().find(|one| one["code"] == "host.registrations-full").expect("the site is full");
    assert!(
        text(&told["message"]).contains("100 of 100") && text(&told["remedy"]).contains("harness quota"),
        "{told:#}"
    );
    let metrics = full.admin("/metrics").body;
    let used = metrics.lines().find(|line| line.starts_with(r#"harness_registrations_used{connection="demo""#));
    assert!(used.is_some_and(|line| line.ends_with(" 100")), "{used:?}");
}

#[test]
fn the_operators_listener_is_not_opened_to_others_by_mistake() {
    let stage = Stage::new();
    let refused = stage.host.run(&["serve", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"]);
    let error = refused.fails(2, "host.admin");
    assert!(text(&error["remedy"]).contains("--admin-anywhere"), "{error:#}");
}

#[test]
fn sigterm_under_load_ends_in_time_and_loses_nothing_that_was_acknowledged() {
    let (stage, mut serving) = serving();
    let address = serving.url().trim_start_matches("http://").to_owned();
    let over = AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let fields = json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "Load"});
                let updates = json!({ "issueUpdates": vec![json!({ "fields": fields }); 20] });
                stage.jira.ask("POST", "/rest/api/3/issue/bulk", &updates);
            }
        });
        eventually("traffic", || Some(()).filter(|()| stage.jira.deliveries().len() > 60));
        let begun = Instant::now();
        serving.terminate();
        let code = serving.ended();
        over.store(true, Ordering::Relaxed);
        assert_eq!(code, 0, "{}", stage.host.said());
        begun.elapsed()
    });
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    assert!(stage.host.said().contains(r#""clean":true"#), "{}", stage.host.said());
    let acknowledged = |stage: &Stage| -> Vec<String> {
        let all = stage.jira.deliveries().into_iter();
        all.filter(|one| one["state"] == "delivered").map(|one| text(&one["identifier"])).collect()
    };
    let before = acknowledged(&stage);
    assert!(!before.is_empty());
    let db = rusqlite::Connection::open(stage.host.home().join("harness.db")).expect("the store can be opened");
    let known = |id: &str| -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM delivery WHERE service_id = ?1)";
        db.query_row(sql, [id], |row| row.get(0)).expect("the store can be asked")
    };
    let lost: Vec<_> = before.iter().filter(|id| !known(id)).collect();
    assert!(lost.is_empty(), "acknowledged and not on disk: {lost:?}");
    let cut: i64 = db
        .query_row("SELECT count(*) FROM run WHERE state = 'running'", [], |row| row.get(0))
        .expect("the store can be asked");
    assert_eq!(cut, 0, "nothing was cut off in the middle");

    let _again = stage.host.serve_at(&address, &ADMIN);
    eventually("all that was acknowledged to be done", || {
        let count = |sql: &str| -> i64 { db.query_row(sql, [], |row| row.get(0)).expect("the store can be asked") };
        let open = "SELECT count(*) FROM run WHERE state NOT IN ('done', 'skipped')";
        let unread = "SELECT count(*) FROM delivery WHERE state != 'done'";
        Some(()).filter(|()| count(open) + count(unread) == 0)
    });
}

#[test]
fn a_second_signal_ends_the_host_at_once() {
    let (stage, mut serving) = serving();
    // A write that hangs keeps the first one waiting.
    stage.jira.fault(&json!({"match": {"method": "POST", "path_contains": "comment"}, "times": 0, "delay_ms": 20_000}));
    stage.task("Slow");
    eventually("the run", || {
        stage.host.run(&["runs", "list"]).list().into_iter().find(|run| run["state"] == "running")
    });
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    serving.terminate();
    eventually("the first to be heard", || {
        Some(()).filter(|()| stage.host.said().contains("once more ends it at once"))
    });
    serving.terminate();
    assert_eq!(serving.ended(), 130);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// A collector of traces that keeps what it is sent.
fn collector() -> Service {
    Service::start(|_| Reply::json(200, &json!({})))
}

#[test]
fn traces_reach_a_collector_with_the_id_that_is_logged_and_nothing_an_operator_sees_holds_a_secret() {
    let collector = collector();
    let stage = Stage { jira: Jira::start(), host: Harness::new().loud() };
    assert_eq!(stage.connect("demo", "admin", &[]).code, 0);
    stage.host.file("flows/answer.yaml", FLOW);
    let endpoint = collector.url();
    let more = ["--log-format", "json", "--otlp-endpoint", &endpoint];
    let mut serving = stage.host.serve(&[&ADMIN[..], &more].concat());
    let (_, run, delivery) = one_bug(&stage);
    let callback = text(&delivery["url"]);
    http::send("POST", &callback, &[("x-hub-signature".to_owned(), "sha256=00".to_owned())], b"forged");
    let seen = ["/readyz", "/metrics", "/livez"].map(|path| serving.admin(path).body).concat();
    serving.terminate();
    assert_eq!(serving.ended(), 0);

    let trace = text(&stage.host.run(&["runs", "show", &text(&run["id"])]).expect(0)["trace"]);
    let mut spans: Vec<Value> = vec![];
    for request in collector.requests() {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/traces"));
        let of = request.json()["resourceSpans"][0]["scopeSpans"][0]["spans"].take();
        spans.extend(of.as_array().expect("spans").iter().filter(|span| span["traceId"] == trace.as_str()).cloned());
    }
    let named = |name: &str| -> Vec<&Value> { spans.iter().filter(|span| span["name"] == name).collect() };
    let below = |child: &&&Value, parent: &Value| child["parentSpanId"] == parent["spanId"];
    let (runs, calls, requests) = (named("run"), named("call"), named("request"));
    let invoked: Vec<_> = calls.iter().filter(|call| runs.iter().any(|run| below(call, run))).collect();
    let sent = requests.iter().filter(|request| invoked.iter().any(|call| below(request, call))).count();
    assert!(!named("delivery").is_empty() && !invoked.is_empty() && sent >= 1, "{spans:#?}");
    for span in &spans {
        let nanos = |name: &str| text(&span[name]).parse::<u128>().expect("nanoseconds");
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"), "{span:#}");
    }

    let account = stage.jira.account("admin");
    let exported: Vec<u8> = collector.requests().into_iter().flat_map(|request| request.body).collect();
    let all = [seen.into_bytes(), stage.host.said().into_bytes(), exported].concat();
    let canaries = [
        Canary::new("the token", &account.token),
        Canary::new("the header's value", stage.jira.authorization("admin").1.trim_start_matches("Basic ")),
        Canary::new("the callback's token", callback.rsplit('/').next().expect("a last segment")),
    ];
    let found: Vec<_> = canaries.iter().filter(|canary| canary.is_in(&all)).map(|canary| canary.name).collect();
    assert!(found.is_empty() && all.len() > 10_000, "{found:?} in {} bytes", all.len());
}

#[test]
fn a_collector_that_is_away_costs_nothing_but_its_traces() {
    let stage = Stage::connected();
    let nowhere = format!("http://{}", free_address());
    let ran = ["run", "get-issue", "--connection", "demo", "--input", r#"{"issue":"DEMO-1"}"#, "--otlp-endpoint"];
    let task = stage.task("There");
    let input = json!({ "issue": task }).to_string();
    let mut arguments = ran.to_vec();
    arguments[5] = &input;
    stage.host.run(&[&arguments[..], &[&nowhere]].concat()).expect(0);
    stage.host.run(&[&arguments[..], &["ftp://user:fake-password@x"]].concat()).fails(2, "host.otlp-endpoint");
}
