//! K5 and K7: what is shown of secrets: of those in payloads nothing in the log, of those in forms nothing anywhere.

use serde_json::{Value, json};

use super::Canary;
use crate::built;
use crate::figure::{exceptions, figure};
use crate::harness::Harness;
use crate::http;
use crate::main_job::webhooks;
use crate::simulator::{eventually, text};
use crate::stage::Stage;

/// Secrets as people paste them into issues: what kind, the text, and the part that is worth hiding.
const PASTED: [(&str, &str, &str); 8] = [
    (
        "an API token",
        "ATATT3xFfGF0fakeFAKE0123456789fakefakeFAKE-fake_fake0A1B2C3D",
        "ATATT3xFfGF0fakeFAKE0123456789fake",
    ),
    ("a personal access token", "MDAwMDAwMDAwMDAwOmZha2UvZmFrZS9mYWtlLzEyMw", "MDAwMDAwMDAwMDAwOmZha2UvZmFr"),
    (
        "a JWT",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJmYWtlIiwiaWF0IjoxfQ.c2lnbmF0dXJlLXRoYXQtaXMtZmFrZQ",
        "eyJzdWIiOiJmYWtlIiwiaWF0IjoxfQ",
    ),
    ("Basic", "Basic ZmFrZTpmYWtl", "ZmFrZTpmYWtl"),
    ("Basic with an e-mail", "Basic ZmFrZUBleGFtcGxlLnRlc3Q6ZmFrZS1wYXNzd29yZC0x", "ZmFrZUBleGFtcGxlLnRlc3Q6"),
    ("Bearer", "Bearer fake-0123", "fake-0123"),
    ("a refresh token", "AbCdEf0123456789ghIJklMNopQRstUVwxYZ", "AbCdEf0123456789ghIJ"),
    ("a chat token", "xoxb-0000000000-FAKEfakeFAKEfake1", "FAKEfakeFAKEfake1"),
];

/// Tells what it saw, and then fails in words that repeat it.
const FLOW: &str = r#"
name: repeat
on: { event: issue-created, connection: demo }
steps:
  - { id: note, action: add-comment, connection: demo, input: { issue: '${{ event.issue.key }}', body: 'seen ${{ event.issue.fields.summary }}' } }
  - { id: fail, action: search-issues, connection: demo, input: { jql: 'project = "${{ event.issue.fields.summary }}"' } }
"#;

#[test]
fn k5_what_looks_like_a_secret_in_a_payload_is_in_no_log_and_in_all_data() {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for format in ["text", "json"] {
        let mut stage = Stage::connected();
        stage.host.set("HARNESS_LOG_FORMAT", format);
        stage.host.set("HARNESS_LOG", "trace");
        stage.host.file("flows/repeat.yaml", FLOW);
        let mut serving = stage.host.serve(&["--flows", "flows"]);
        eventually("the webhook", || webhooks(&stage).pop());
        let user = stage.jira.authorization("user");
        for (_, pasted, _) in PASTED {
            let fields = json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": format!("Uses {pasted} now")});
            let url = format!("{}/rest/api/3/issue", stage.jira.url());
            let created = http::send_json("POST", &url, std::slice::from_ref(&user), &json!({"fields": fields}));
            assert_eq!(created.status, 201, "{}", created.body);
        }
        let runs = eventually("the runs", || {
            let runs = stage.host.run(&["runs", "list"]).list();
            let over = runs.iter().filter(|run| run["state"] == "failed").count();
            Some(runs).filter(|_| over == PASTED.len())
        });
        serving.terminate();
        serving.ended();
        let log = std::fs::read_to_string(stage.host.folder().join("serve.log")).expect("serve logs");
        let told = log.lines().filter(|line| line.contains("ended badly")).count();
        lines += told;
        wrong.extend((told < PASTED.len()).then(|| format!("{format}: only {told} lines tell of the runs")));
        let shown = |command: &str, list: &[Value]| -> String {
            list.iter().map(|one| stage.host.run(&[command, "show", &text(&one["id"])]).stdout).collect()
        };
        let events = stage.host.run(&["events", "list"]).list();
        let (runs, events) = (shown("runs", &runs), shown("events", &events));
        let comments: String = (1..=PASTED.len())
            .map(|number| stage.jira.ask("GET", &format!("/rest/api/3/issue/DEMO-{number}/comment"), &Value::Null).body)
            .collect();
        for (kind, pasted, hidden) in PASTED {
            wrong.extend(log.contains(hidden).then(|| format!("{format}: {kind} is in the log")));
            for (place, data) in [("runs", &runs), ("events", &events), ("comments", &comments)] {
                wrong.extend((!data.contains(pasted)).then(|| format!("{format}: {kind} is not in the {place}")));
            }
        }
    }
    figure(
        "K5",
        "API token, access token, JWT, Basic, Bearer and others in a summary, repeated by Jira in the words of a failure; logs for people and as JSON, at trace",
        "hidden in logs only, kept in data: 100 % of the list",
        format!(
            "{} of {} as due, with {lines} lines in the logs that would tell{}",
            PASTED.len() * 8 - wrong.len().min(PASTED.len() * 8),
            PASTED.len() * 8,
            exceptions(&wrong)
        ),
        wrong.is_empty(),
    );
}

/// A method of a connector, what else its form wants, and its secrets.
struct Form {
    component: String,
    method: String,
    fields: Vec<String>,
    /// Whether they are of the app that a person registers first.
    of_app: bool,
    secrets: Vec<String>,
}

/// Every form of the connectors that has secrets, as their manifests have it; and what is no secret but should be, or
/// the other way round.
fn forms(host: &Harness, wrong: &mut Vec<String>) -> Vec<Form> {
    let mut forms = Vec::new();
    for name in ["jira_connector", "guest_beacon"] {
        let component = built::component(name).display().to_string();
        let manifest = host.run(&["inspect", &component]).expect(0)["manifest"].clone();
        for method in manifest["auth-methods"].as_array().expect("auth methods") {
            for (part, of_app) in [("form", false), ("app", true)] {
                let fields = method[part]["properties"].as_object().cloned().unwrap_or_default();
                let secret = |field: &Value| field["writeOnly"] == true;
                let (secrets, open): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, field)| secret(field));
                let looks = |name: &str| ["token", "secret", "password", "key"].iter().any(|it| name.ends_with(it));
                let exposed = open.iter().filter(|(name, _)| looks(name) && *name != "consumer-key");
                wrong.extend(exposed.map(|(name, _)| format!("{}: {name} is not write-only", method["id"])));
                if !secrets.is_empty() {
                    forms.push(Form {
                        component: component.clone(),
                        method: text(&method["id"]),
                        fields: open.iter().map(|(name, field)| filled(name, field)).collect(),
                        of_app,
                        secrets: secrets.iter().map(|(name, _)| (*name).clone()).collect(),
                    });
                }
            }
        }
    }
    forms
}

/// A field as a person fills it in.
fn filled(name: &str, field: &Value) -> String {
    let usual = if name.ends_with("url") { "https://tracker.example.test/" } else { "fake-value" };
    format!("{name}={}", field["examples"][0].as_str().unwrap_or(usual))
}

#[test]
fn k7_what_a_form_takes_as_secret_is_never_returned() {
    let host = Harness::new();
    let mut wrong = Vec::new();
    let forms = forms(&host, &mut wrong);
    let (mut canaries, mut asked) = (Vec::new(), forms.len());
    for (number, form) in forms.iter().enumerate() {
        let name = format!("c{number}");
        let mut given = Vec::new();
        for field in &form.secrets {
            let value = format!("fake-canary-of-{number}-{field}-7d21");
            given.push(format!("{field}=@{}", host.file(&format!("{name}.{field}"), &value).display()));
            canaries.push(Canary::new("a secret of a form", &value));
        }
        let command = if form.of_app { "oauth-client" } else { "connection" };
        let mut add = vec![command, "add", &name, "--connector", &form.component, "--method", &form.method];
        if !form.of_app {
            add.push("--no-check");
        }
        let fields: Vec<&str> = form.fields.iter().flat_map(|field| ["--set", field.as_str()]).collect();
        let secrets: Vec<&str> = given.iter().flat_map(|secret| ["--secret", secret.as_str()]).collect();
        let made = host.run(&[&add[..], &fields, &secrets].concat()).code == 0;
        wrong.extend((!made).then(|| format!("{} was not made", form.method)));
        let visible = format!("{}=fake-visible", form.secrets[0]);
        for arguments in [
            vec![command, "show", &name],
            vec![command, "list"],
            vec!["inspect", &form.component],
            vec!["connection", "edit", &name, "--set", &visible],
            vec!["connection", "check", &name],
            vec!["connection", "rename", &name, "renamed"],
            vec!["connection", "rename", "renamed", &name],
            vec!["card", "list", "--connection", &name],
        ] {
            asked += 2;
            host.run(&arguments);
            host.run_plain(&arguments, "");
        }
    }
    host.run(&["backup", "copied.db"]).expect(0);
    let said = host.said();
    let found = canaries.iter().filter(|canary| canary.is_in(said.as_bytes())).count();
    let known = forms.iter().map(|form| form.method.clone()).collect::<std::collections::BTreeSet<_>>().len();
    figure(
        "K7",
        "every secret field of every auth method's form and app: write-only, and looked for in what shows, lists, checks, changes and renames",
        "returned: 0",
        format!(
            "{found} of {} secrets of {known} methods returned, by {asked} commands{}",
            canaries.len(),
            exceptions(&wrong)
        ),
        found == 0 && wrong.is_empty() && known >= 7,
    );
}
