//! O2: one trace id leads from a delivery to every request that came of it, also over a restart.

use serde_json::{Value, json};

use crate::figure::figure;
use crate::harness::Harness;
use crate::simulator::{Jira, eventually, text};
use crate::stage::Stage;

const FLOW: &str = r#"
name: trace
on: { event: issue-created, connection: demo }
steps:
  - id: label
    action: update-issue
    connection: demo
    input: { issue: '${{ event.issue.key }}', fields: { labels: [seen] } }
  - id: comment
    action: add-comment
    connection: demo
    input: { issue: '${{ event.issue.key }}', body: seen }
"#;

/// The trace id of a line of the log.
fn trace_of(line: &Value) -> &str {
    line["spans"][0]["trace_id"].as_str().unwrap_or_default()
}

#[test]
fn o2_one_id_leads_from_a_delivery_to_every_request_also_over_a_restart() {
    let stage = Stage { jira: Jira::start(), host: Harness::new().loud() };
    assert_eq!(stage.connect("demo", "admin", &[]).code, 0);
    stage.host.file("flows/trace.yaml", FLOW);
    let arguments = ["--flows", "flows", "--log-format", "json"];
    let serving = stage.host.serve(&arguments);
    let address = serving.url().trim_start_matches("http://").to_owned();
    let put_off = json!({"match": {"method": "POST", "path_contains": "/comment"}, "status": 429, "headers": {"retry-after": "2"}});
    stage.jira.fault(&put_off);
    stage.task("Traced");
    let in_state = |state: &str| {
        eventually(state, || stage.host.run(&["runs", "list"]).list().into_iter().find(|run| run["state"] == state))
    };
    in_state("waiting");
    let log = || std::fs::read_to_string(stage.host.folder().join("serve.log")).expect("serve logs");
    let before_restart = log().lines().count();
    drop(serving);
    let _again = stage.host.serve_at(&address, &arguments);
    let run = text(&in_state("done")["id"]);

    let shown = stage.host.run(&["runs", "show", &run]).expect(0);
    let event = stage.host.run(&["events", "show", &text(&shown["event"])]).expect(0);
    let trace = text(&shown["trace"]);
    assert_eq!(event["trace"], trace, "{event:#}");
    let delivery = text(&event["delivery"]);
    let mut lines: Vec<Value> = vec![];
    for line in log().lines() {
        lines.push(serde_json::from_str(line).unwrap_or_else(|_| panic!("a line is not JSON: {line}")));
    }
    // Every line that speaks of the delivery, the event or the run.
    let concerned: Vec<_> = lines
        .iter()
        .filter(|line| [&delivery, &run, &text(&event["id"])].iter().any(|id| line.to_string().contains(*id)))
        .collect();
    let astray: Vec<_> = concerned.iter().filter(|line| trace_of(line) != trace).collect();
    // Every stage of the way, as often as it was gone.
    let said = |message: &str, has: &[&str]| {
        let is_it = |line: &&Value| {
            trace_of(line) == trace
                && line["message"] == message
                && has.iter().all(|one| line.to_string().contains(one))
        };
        lines.iter().filter(is_it).count()
    };
    let way = [
        ("taken in", said("a delivery was taken in", &[]), 1),
        ("read", said("a call ended", &[r#""function":"receive""#]), 1),
        ("event", said("an event was read", &[]), 1),
        ("steps ended", said("an attempt at a step ended", &[r#""outcome":"done""#]), 2),
        ("step parked", said("an attempt at a step ended", &[r#""outcome":"parked""#]), 1),
        ("invoked", said("a call ended", &[r#""function":"invoke""#]), 3),
        ("posts", said("a request came out", &[r#""method":"POST""#]), 2),
        ("puts", said("a request came out", &[r#""method":"PUT""#]), 1),
        ("done", said("a run is done", &[]), 1),
    ];
    let missing: Vec<_> = way.iter().filter(|(_, found, expected)| found != expected).collect();
    assert!(before_restart > 0 && lines.len() > before_restart, "both processes logged");
    figure(
        "O2",
        "one delivery, its event, a run of two steps with one put off, the host killed in between and started again",
        "one trace id in 100 % of the lines, from the delivery to each request",
        format!(
            "{} of {} lines with trace {trace}, {} of {} stages{}",
            concerned.len() - astray.len(),
            concerned.len(),
            way.len() - missing.len(),
            way.len(),
            missing.iter().map(|one| format!("; {one:?}")).collect::<String>()
        ),
        astray.is_empty() && missing.is_empty() && concerned.len() >= 12,
    );
}
