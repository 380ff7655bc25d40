//! The calls of `tests/hosts/corpus.json` in our own host, beside Python and Node: the same component,
//! driven by the commands that stand for those calls. `cargo xtask test --hosts` reads the lines.

use serde_json::{Value, json};

use crate::built;
use crate::stage::Stage;

/// Prints what became of a case, for the table, and then fails with it.
fn case(name: &str, passed: bool, found: &Value) {
    let detail = if passed { String::new() } else { found.to_string() };
    println!("{}", json!({"host": "our-host", "case": name, "passed": passed, "detail": detail}));
    assert!(passed, "{name}: {found:#}");
}

fn corpus() -> Value {
    let text = std::fs::read_to_string(built::root().join("tests/hosts/corpus.json")).expect("the corpus is there");
    serde_json::from_str(&text).expect("the corpus is JSON")
}

#[test]
fn our_host_runs_the_corpus_too() {
    let stage = Stage::new();
    let connector = built::connector();
    let connector = connector.to_string_lossy();

    let inspected = stage.host.run(&["inspect", &connector]).expect(0);
    case("describe without a connection", inspected["manifest"]["connector"]["id"] == "jira", &inspected);

    let added = stage.connect("demo", "admin", &[]);
    case("prepare and check the connection", added.code == 0, &json!(added.stdout));

    let listed = stage.host.run(&["options", "create-issue", "/project", "--connection", "demo"]).expect(0);
    case("list the projects to choose from", listed.to_string().contains("DEMO"), &listed);

    let input = json!({"project": "DEMO", "issue-type": "Task", "summary": "Made by our host"});
    let created = stage.run("create-issue", &input).expect(0);
    let key = created["key"].as_str().unwrap_or_default();
    case("create an issue", key.starts_with("DEMO-"), &created);

    let read = stage.run("get-issue", &json!({"issue": key})).expect(0);
    case("read the created issue", read["fields"]["summary"] == "Made by our host", &read);

    let input = json!({"project": "DEMO", "issue-type": "Task", "summary": ""});
    let refused = stage.run("create-issue", &input);
    let named = refused.code != 0 && refused.stdout.contains("/summary");
    case("an input that the service refuses names its field", named, &json!(refused.stdout));

    let missing = stage.run("get-issue", &json!({"issue": "DEMO-99999"})).expect(3);
    case("an issue that does not exist", missing["error"]["class"] == "not-found", &missing);

    let body = stage.host.file("body.json", corpus()["shared"]["created"].to_string());
    let headers = stage.host.file("headers.txt", "content-type: application/json\n");
    let (body, headers) = (body.to_string_lossy(), headers.to_string_lossy());
    let decode = ["event", "decode", "--connector", &connector, "--headers", &headers, "--body", &body];
    let decoded = stage.host.run(&decode).expect(0);
    case("receive a captured delivery", decoded.to_string().contains("DEMO-77"), &decoded);
}
