//! The engine: order, loops, crashes in the middle of long work, an exchange of the component, and what a refusal says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::beacon::service::{Beacon, KEY};
use crate::built;
use crate::figure::figure;
use crate::harness::Harness;
use crate::http;
use crate::simulator::{eventually, text};
use crate::stage::Stage;

/// Changes the summary of every issue whose summary was changed: it starts itself.
const ROUND: &str = r#"
name: round
on: { event: issue-updated, connection: demo, filter: { changed-fields: [summary] } }
steps:
  - id: again
    action: update-issue
    connection: demo
    input: { issue: "${{ event.issue.key }}", summary: "${{ event.issue.fields.summary }}!" }
"#;

#[test]
fn w19_a_flow_that_starts_itself_is_stopped_with_an_alarm() {
    let stage = Stage::connected();
    let key = stage.task("Round");
    stage.host.file("flows/round.yaml", ROUND);
    let _serving = stage.host.serve(&["--flows", "flows"]);
    let path = format!("/rest/api/3/issue/{key}");
    let somebody = [stage.jira.authorization("user")];
    let edited = http::send_json(
        "PUT",
        &format!("{}{path}", stage.jira.url()),
        &somebody,
        &json!({"fields": {"summary": "Round and"}}),
    );
    assert!((200..300).contains(&edited.status), "{edited:?}");
    let runs = eventually("the flow to be stopped", || {
        let runs = stage.host.run(&["runs", "list"]).list();
        runs.iter().any(|run| run["failure"]["code"] == "host.flow-loop").then_some(runs)
    });
    std::thread::sleep(Duration::from_millis(500));
    let done = stage.host.run(&["runs", "list", "--state", "done", "--flow", "round"]).list();
    let all = stage.host.run(&["runs", "list"]).list().len();
    let alarms = stage.host.run(&["subscriptions"]).list()[0]["deliveries"].clone();
    let alarm = &alarms["last-alarm"]["code"];
    let stopped = runs.iter().find(|run| run["state"] == "skipped").expect("the one that was stopped");
    assert!(done.iter().any(|run| run["id"] == stopped["caused-by"]), "{stopped:#}");
    let issue = stage.jira.ask("GET", &path, &Value::Null).json();
    assert_eq!(issue["fields"]["summary"], "Round and!!");
    figure(
        "W19",
        "a flow edits the issue that triggers it",
        "≤ 2 iterations, then an alarm",
        format!("{} iterations, {all} runs, alarm {}", done.len(), text(alarm)),
        done.len() <= 2 && all == 3 && alarm == "host.flow-loop",
    );
}

/// A beacon with so many lit ones, and a host that surveys them all when another one is lit.
fn surveyor(beacons: usize, component: &Path) -> (Beacon, Harness) {
    let (beacon, host) = (Beacon::start(), Harness::new());
    let key = host.file("key", KEY);
    let (component, base) = (component.to_string_lossy(), format!("base-url={}", beacon.url()));
    let key = format!("key=@{}", key.display());
    let add = ["connection", "add", "harbour", "--connector", &component, "--method", "api-key"];
    host.run(&[&add[..], &["--set", &base, "--secret", &key, "--allow-private"]].concat()).expect(0);
    let survey = "name: survey\non: { event: beacon-lit, connection: harbour }\nsteps:\n  \
                  - { id: count, action: survey, connection: harbour, input: {} }\n";
    host.file("flows/survey.yaml", survey);
    beacon.light_silently(beacons);
    (beacon, host)
}

/// The pages of the survey that the service was asked for, in order.
fn pages(beacon: &Beacon) -> Vec<String> {
    beacon.calls().into_iter().filter(|call| call.starts_with("GET /beacons")).collect()
}

/// A component that does the same and is another one, byte for byte: it has a custom section more.
fn exchanged(component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    bytes.extend([0, 6, 5]);
    bytes.extend(b"later");
    bytes
}

#[test]
fn o4_a_run_goes_on_over_kills_and_over_an_exchange_of_its_component_and_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let component = folder.path().join("beacon.wasm");
    let first = std::fs::read(built::component("guest_beacon")).expect("the component can be read");
    std::fs::write(&component, &first).expect("it can be written");
    let beacons = 60;
    let (beacon, host) = surveyor(beacons, &component);
    beacon.take_its_time(Duration::from_millis(40));
    let address = crate::harness::free_address();
    let mut serving = host.serve_at(&address, &["--flows", "flows"]);
    eventually("the webhook", || Some(()).filter(|()| beacon.hooks().len() == 1));
    beacon.light_one();
    for (kill, bytes) in [first.clone(), exchanged(&first), first.clone()].iter().enumerate() {
        let seen = pages(&beacon).len();
        eventually("some pages", || Some(()).filter(|()| pages(&beacon).len() >= seen + 4));
        drop(serving);
        std::fs::write(&component, bytes).expect("it can be written");
        let state = text(&host.run(&["runs", "list"]).list()[0]["state"]);
        assert_eq!(state, "running", "killed in the middle, for the {kill}. time");
        serving = host.serve_at(&address, &["--flows", "flows"]);
    }
    let run = eventually("the end of the survey", || {
        let run = host.run(&["runs", "list"]).list().remove(0);
        run["ended-at-ms"].is_u64().then_some(run)
    });
    let step = host.run(&["runs", "show", &text(&run["id"])]).expect(0)["steps"][0].clone();
    let total = step["output"]["total"].as_u64();
    let asked = pages(&beacon);
    let twice = asked.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let back = asked.len() - twice - asked.iter().collect::<std::collections::HashSet<_>>().len();
    figure(
        "O4",
        "3 kills in the middle of a card of many calls, with another component and back",
        "nothing lost, nothing from the beginning",
        format!(
            "{} of {} counted, {twice} pages asked for twice, {back} gone back to",
            total.unwrap_or(0),
            beacons + 1
        ),
        total == Some(beacons as u64 + 1) && twice <= 3 && back == 0,
    );
}

/// The calls that make a refusal, with the number of their arguments and the place of the remedy.
const MAKERS: [(&str, usize, usize); 6] = [
    ("HostError::bad_input(", 3, 2),
    ("HostError::other(", 3, 2),
    ("Problem::new(", 3, 2),
    ("Failure::new(", 4, 3),
    ("Failure::input(", 5, 4),
    ("own_failure(", 2, 1),
];

/// The text between a bracket and the one that closes it.
fn within(source: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1_i32, false, false);
    for (at, letter) in source.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &source[..at];
        }
    }
    source
}

/// The arguments of a call.
fn arguments(source: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
    let mut found = vec![String::new()];
    for letter in within(source).chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        found.last_mut().expect("it begins with one").push(letter);
    }
    found.iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![built::root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.to_string_lossy().contains("test")
            {
                let text = std::fs::read_to_string(&path).expect("the file can be read");
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
fn o1_every_refusal_says_why_who_when_and_whether_it_may_be_repeated() {
    let (mut made, mut bare) = (0, Vec::new());
    for (path, source) in sources("host-harness/src").into_iter().chain(sources("src")) {
        for (maker, count, remedy) in MAKERS {
            for (at, _) in source.match_indices(maker) {
                if source[..at].ends_with("fn ") || source[..at].ends_with("pub fn ") {
                    continue;
                }
                let given = arguments(&source[at + maker.len()..]);
                made += 1;
                if given.len() != count
                    || given[count - 2..].iter().any(|one| one == "\"\"")
                    || given[remedy].is_empty()
                {
                    bare.push(format!("{}: {maker}{}", path.display(), given.join(", ")));
                }
            }
        }
        // What is kept of a run is JSON written by hand.
        for (at, _) in source.match_indices("\"code\": \"host.") {
            let open = source[..at].rfind("json!({").expect("a code stands in an object") + "json!({".len();
            let written = within(&source[open..]);
            made += 1;
            // A finding of a health report is no refusal of something that could be asked again.
            let is_finding = written.contains("\"outcome\"");
            let of_refusals = ["\"kind\"", "\"repeatable\""].into_iter().filter(|_| !is_finding);
            for part in ["\"message\"", "\"remedy\"", "\"who\""].into_iter().chain(of_refusals) {
                if !written.contains(part) {
                    bare.push(format!("{}: no {part} in {written}", path.display()));
                }
            }
        }
    }
    // And as a person gets them: of every kind one.
    let stage = Stage::connected();
    let refusal =
        |status: u16| json!({"match": {"path": "/rest/api/3/issue"}, "times": 1, "status": status, "body": "{}"});
    let mut told = vec![
        stage.host.run(&["runs", "show", "nobody"]),
        stage.host.run(&["runs", "cancel", "nobody"]),
        stage.host.run(&["dead-letters", "show", "nobody"]),
        stage.host.run(&["flow", "test", "no-such-file"]),
        stage.host.run(&["inspect", "no-such-file"]),
        stage.run("create-issue", &json!({})),
    ];
    for status in [400, 403, 404, 429, 500] {
        stage.jira.fault(&refusal(status));
        told.push(stage.run("get-issue", &json!({"issue": "DEMO-1"})));
    }
    for outcome in &told {
        let error = outcome.json()["error"].clone();
        let text = |part: &str| error[part].as_str().is_some_and(|text| !text.is_empty());
        let whole =
            ["code", "message", "remedy", "who", "when"].into_iter().all(text) && error["repeatable"].is_boolean();
        if !whole {
            bare.push(format!("{outcome:#?}"));
        }
    }
    for line in &bare {
        println!("{line}");
    }
    figure(
        "O1",
        "every refusal in host and connector",
        "100 % say why, who can mend it, when to try again, whether it may be repeated",
        format!("{} of {} do", made + told.len() - bare.len(), made + told.len()),
        bare.is_empty() && made > 100,
    );
}
