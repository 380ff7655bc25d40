//! K1: no secret comes to light anywhere, in any form.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use serde_json::{Value, json};

use super::canary_grants;
use super::tee::Tee;
use crate::figure::figure;
use crate::harness::Harness;
use crate::http;
use crate::main_job::{finished_runs, webhooks};
use crate::service::{Reply, Service};
use crate::simulator::{eventually, text};
use crate::stage::Stage;

/// What is searched for: every form in which a secret may come to light.
pub(crate) struct Canary {
    pub(crate) name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    pub(crate) fn new(name: &'static str, secret: &str) -> Self {
        assert!(secret.len() >= 16, "{name} is too short to be searched for");
        let mut forms = vec![secret.as_bytes().to_vec(), hex::encode(secret).into_bytes()];
        forms.push(hex::encode_upper(secret).into_bytes());
        let percent = |all: bool| {
            let write = |byte: u8| {
                if !all && byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") }
            };
            secret.bytes().map(write).collect::<String>().into_bytes()
        };
        forms.extend([percent(false), percent(true)]);
        forms.push(secret.bytes().rev().collect());
        // In base 64 a text looks different by where it begins; the ends depend on what is beside it.
        for lead in 0..3 {
            let padded = ["\0".repeat(lead).into_bytes(), secret.as_bytes().to_vec()].concat();
            for engine in [STANDARD_NO_PAD.encode(&padded), URL_SAFE.encode(&padded)] {
                let body = engine.trim_end_matches('=');
                forms.push(body.as_bytes()[4 * usize::from(lead > 0)..body.len() - 2].to_vec());
            }
        }
        Self { name, forms }
    }

    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| memchr::memmem::find(bytes, form).is_some())
    }
}

/// Searches all files of a folder, but not those it must be in.
fn search_files(folder: &Path, canaries: &[Canary], found: &mut Vec<String>) -> usize {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            searched += search_files(&path, canaries, found);
        } else if path.file_name().is_some_and(|name| name != "vault.key") {
            search(&path.display().to_string(), &std::fs::read(&path).unwrap_or_default(), canaries, found);
            searched += 1;
        }
    }
    searched
}

fn search(place: &str, bytes: &[u8], canaries: &[Canary], found: &mut Vec<String>) {
    found.extend(
        canaries.iter().filter(|canary| canary.is_in(bytes)).map(|canary| format!("{} in {place}", canary.name)),
    );
}

/// What others see of the processes of a host, looked at again and again while they come and go.
struct ProcessList {
    ended: Arc<AtomicBool>,
    watcher: JoinHandle<(BTreeSet<u32>, BTreeSet<Vec<u8>>)>,
}

impl ProcessList {
    /// Watches every process that has the home of this host in its command line.
    fn watch(host: &Harness) -> Self {
        let (ended, home) = (Arc::new(AtomicBool::new(false)), host.home().display().to_string());
        let end = Arc::clone(&ended);
        let watcher = std::thread::spawn(move || {
            let (mut processes, mut seen) = (BTreeSet::new(), BTreeSet::new());
            while !end.load(Ordering::Relaxed) {
                for id in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                    let Ok(id) = id.file_name().to_string_lossy().parse::<u32>() else { continue };
                    let read = |name: &str| std::fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
                    let line = read("cmdline");
                    if id != std::process::id() && String::from_utf8_lossy(&line).contains(&home) {
                        processes.insert(id);
                        seen.extend([line, read("environ"), read("comm")]);
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            (processes, seen)
        });
        Self { ended, watcher }
    }

    /// How many processes there were, and all that was to be seen of them.
    fn end(self) -> (usize, Vec<u8>) {
        self.ended.store(true, Ordering::Relaxed);
        let (processes, seen) = self.watcher.join().expect("the watcher only reads");
        (processes.len(), seen.into_iter().collect::<Vec<_>>().join(&b'\n'))
    }
}

/// Lets a guest crash twice: after it sent something with its token, and with last words of its own.
fn crash(stage: &Stage, canary: &str, farewell: &str) {
    let guest = crate::built::component("guest_hostile");
    let service = Service::start(|_| Reply::json(200, &json!({})));
    let (base, token) = (format!("base-url={}/", service.url()), stage.host.file("guest.token", canary));
    let (guest, token) = (guest.to_string_lossy().into_owned(), format!("token=@{}", token.display()));
    let mut add = vec!["connection", "add", "hostile", "--connector", &guest, "--method", "token"];
    add.extend(["--set", &base, "--secret", &token, "--allow-private"]);
    stage.host.run(&add);
    let run = |card: &str, input: &Value| {
        stage.host.run_with(&["run", card, "--connection", "hostile", "--input", "-"], &input.to_string())
    };
    let request = json!({"method": "POST", "path": "/x", "body": "{}"});
    let crashed = run("send", &json!({"request": request, "then": "panic"}));
    assert_ne!(crashed.code, 0, "{crashed:#?}");
    let authorized = service
        .requests()
        .into_iter()
        .any(|request| request.header("authorization").is_some_and(|sent| sent.contains(canary)));
    assert!(authorized, "the token was in use when the guest crashed: {crashed:#?}");
    let panicked = run("panic", &json!({"text": farewell}));
    assert_ne!(panicked.code, 0, "{panicked:#?}");
}

const FLOW: &str = r#"
name: answer
on: { event: issue-created, connection: demo }
steps:
  - id: comment
    action: add-comment
    connection: demo
    input: { issue: '${{ event.issue.key }}', body: seen }
  - id: fail
    action: get-issue
    connection: demo
    input: { issue: NOPE-1 }
"#;

/// Lets a host do all it does, with a tap on its wire; answers with what the tap learnt.
fn live(stage: &Stage) -> (String, String) {
    let tee = Tee::before(stage);
    let added = tee.connect(stage);
    assert_eq!(added.code, 0, "{added:#?}");
    stage.host.file("flows/answer.yaml", FLOW);
    let _serving = stage.host.serve(&["--flows", "flows"]);
    let hook = eventually("the webhook", || webhooks(stage).pop());
    let running = stage.host.start(&["run", "get-issue", "--connection", "demo", "--input", r#"{"issue":"DEMO-1"}"#]);
    running.finish();
    stage.task("Canary");
    eventually("the run", || finished_runs(stage).pop());
    let callback = text(&hook["url"]);
    for (url, body) in
        [(callback.clone(), "forged"), (format!("{callback}x"), "lost"), (format!("{callback}?a=b"), "{}")]
    {
        http::send("POST", &url, &[("x-hub-signature".to_owned(), "sha256=00".to_owned())], body.as_bytes());
    }
    for arguments in [
        &["connection", "list"][..],
        &["connection", "show", "demo"],
        &["connection", "check", "demo"],
        &["subscriptions"],
        &["quota", "--connection", "demo"],
        &["runs", "list"],
        &["events", "list"],
        &["options", "create-issue", "project", "--connection", "demo"],
    ] {
        stage.host.run(arguments);
        stage.host.run_plain(arguments, "");
    }
    for run in stage.host.run(&["runs", "list"]).list() {
        stage.host.run(&["runs", "show", &text(&run["id"])]);
    }
    for event in stage.host.run(&["events", "list"]).list() {
        stage.host.run(&["events", "show", &text(&event["id"])]);
    }
    assert!(tee.carried().contains(&callback), "the tap sees registrations");
    // Now, while the journal of the database is there; the home is searched again at the end.
    let journal = std::fs::read(stage.host.home().join("harness.db-wal")).expect("the database has a journal");
    assert!(!journal.is_empty());
    stage.host.file("home/searched.wal", journal);
    (tee.secret(), callback)
}

/// Lets everything fail that handles secrets.
fn fail(stage: &Stage, token: &str) {
    stage.jira.control("POST", "/accounts/admin/revoke-token", &Value::Null);
    for _ in 0..3 {
        stage.run("get-issue", &json!({"issue": "DEMO-1"}));
    }
    let email = stage.jira.account("admin").email;
    stage.connect_with("dead", &email, token, &[]);
    stage.connect_with("broken", &email, &format!("{token}\r\nx: y"), &[]);
    stage.connect_with("demo", &email, token, &[]);
    let connector = crate::built::connector().to_string_lossy().into_owned();
    let visible = format!("token={token}");
    // Whoever writes a token into the command line has shown it already: the host must not repeat it.
    stage.host.run(&[
        "connection",
        "add",
        "argv",
        "--connector",
        &connector,
        "--method",
        "api-token",
        "--set",
        &visible,
    ]);
    stage.host.run(&[
        "connection",
        "add",
        "argv",
        "--connector",
        &connector,
        "--method",
        "api-token",
        "--secret",
        &visible,
    ]);
    stage.host.run_with(
        &[
            "connection",
            "add",
            "stdin",
            "--connector",
            &connector,
            "--method",
            "api-token",
            "--secret",
            "token=-",
            "--set",
            "nonsense=1",
        ],
        token,
    );
    let key_file = stage.host.home().join("vault.key");
    let key = std::fs::read(&key_file).expect("the key file is there");
    std::fs::remove_file(&key_file).expect("the key file can be removed");
    assert_ne!(stage.host.run(&["connection", "check", "demo"]).code, 0, "without its key the vault stays closed");
    std::fs::write(&key_file, key).expect("the key file can be put back");
}

#[test]
fn k1_no_canary_comes_to_light() {
    let stage = Stage { jira: crate::simulator::Jira::start(), host: Harness::new().loud() };
    let token = stage.jira.account("admin").token;
    let list = ProcessList::watch(&stage.host);
    let (signing, callback) = live(&stage);
    let (crashing, farewell) = ("fake-canary-of-a-crashing-guest-5a71", "fake-canary-of-its-last-words-88e0");
    crash(&stage, crashing, farewell);
    let of_grants = canary_grants::live(&stage.host);
    // What fails next has a token in its command line, by its user's own will.
    let (processes, list) = list.end();
    fail(&stage, &token);
    let capability = callback.rsplit('/').next().expect("a callback has a last segment").to_owned();
    let credential = STANDARD.encode(format!("{}:{token}", stage.jira.account("admin").email));
    let mut canaries = vec![
        Canary::new("the token", &token),
        Canary::new("the header's value", &credential),
        Canary::new("the signing secret", &signing),
        Canary::new("the callback's token", &capability),
        Canary::new("the token of the crashing guest", crashing),
        Canary::new("the last words of the crashing guest", farewell),
    ];
    canaries.extend(of_grants);
    for canary in &canaries {
        assert!(canary.is_in(format!("<{}>", String::from_utf8_lossy(&canary.forms[0])).as_bytes()));
    }
    let encoded = STANDARD.encode(format!("somebody@example.test:{token}"));
    assert!(canaries[0].is_in(encoded.as_bytes()), "a token inside a Basic credential is found");

    let mut found = Vec::new();
    let said = stage.host.said();
    assert!(said.len() > 10_000, "there is something to search");
    search("what was printed and logged", said.as_bytes(), &canaries, &mut found);
    assert!(said.contains("a delivery was refused"), "what serve logged is searched too");
    search("the process list", &list, &canaries, &mut found);
    let files = search_files(&stage.host.home(), &canaries, &mut found);
    figure(
        "K1",
        "tokens, Basic credential, passwords, signing secret, callback token, panic text of a guest; of grants: client secret, code, PKCE verifier, access and refresh tokens, token secrets, a private key: in all output, traces, database with WAL and backup, cache, process list; also base 64, hex, percent",
        "0 hits",
        format!(
            "{} hits of {} canaries in {} kB of output, {files} files and {processes} processes{}",
            found.len(),
            canaries.len(),
            said.len() / 1024,
            found.iter().map(|one| format!("; {one}")).collect::<String>()
        ),
        found.is_empty() && files >= 2 && processes > 20,
    );
}
