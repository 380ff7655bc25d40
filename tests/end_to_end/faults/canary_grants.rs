//! K1: the secrets of authorizations: those of OAuth clients and grants, of application links, and passwords.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use host_harness::clock::SystemClock;
use host_harness::store::Store;
use host_harness::vault::{Space, Vault};
use jira_simulator::{Config, Personality};
use serde_json::{Value, json};

use super::Canary;
use crate::beacon::service::Beacon;
use crate::beacon::sign_in::{CLIENT, CLIENT_SECRET};
use crate::built;
use crate::harness::{Harness, Outcome, free_address};
use crate::http;
use crate::simulator::{Jira, eventually};

const PASSWORD: &str = "fake-canary-password-2b77e1";
const WRONG_PASSWORD: &str = "fake-canary-wrong-password-90c4";

/// A Beacon and what to call it with.
struct Harbour<'h> {
    beacon: Beacon,
    host: &'h Harness,
    component: String,
}

impl Harbour<'_> {
    fn client(&self, name: &str, method: &str, more: &[&str]) {
        let callback = format!("http://{}/callback", free_address());
        let arguments = ["oauth-client", "add", name, "--connector", &self.component, "--method", method];
        self.host.run(&[&arguments[..], &["--callback", &callback], more].concat()).expect(0);
    }

    fn add(&self, name: &str, method: &str, field: &str) -> Outcome {
        let arguments = ["connection", "add", name, "--connector", &self.component, "--method", method];
        self.browsed(&[&arguments[..], &["--set", field, "--allow-private"]].concat())
    }

    /// Runs a command that waits for a browser, which goes where the printed address leads.
    fn browsed(&self, arguments: &[&str]) -> Outcome {
        let (command, told) = self.host.start_telling(arguments);
        http::browse(&address(&told));
        let outcome = command.finish();
        let told = std::fs::read_to_string(&told).expect("what it told people");
        // What it told is to be searched like all that was printed.
        self.host.heard(&told);
        outcome
    }

    fn light(&self, connection: &str) -> Outcome {
        let light = json!({"name": "mole", "colour": "red"}).to_string();
        self.host.run(&["run", "light-beacon", "--connection", connection, "--input", &light])
    }
}

/// The address that a command told to open.
pub(super) fn address(told: &Path) -> String {
    eventually("the address to open", || {
        let told = std::fs::read_to_string(told).unwrap_or_default();
        let (_, rest) = told.split_once("open this address")?;
        let line = rest.split_inclusive('\n').map(str::trim_start).find(|line| line.starts_with("http"));
        line.filter(|line| line.ends_with('\n')).map(|line| line.trim_end().to_owned())
    })
}

const FLOW: &str = r#"
name: signed-in
on: { event: beacon-lit, connection: harbour, filter: { colours: [red] } }
steps:
  - { id: note, action: light-beacon, connection: harbour, input: { name: noted, colour: green } }
"#;

/// Lets a person sign in, tokens be renewed, and all of it fail; answers with the secrets that travelled.
fn grants(host: &Harness) -> Vec<Canary> {
    let component = built::component("guest_beacon").display().to_string();
    let harbour = Harbour { beacon: Beacon::start(), host, component };
    let sign_in = harbour.beacon.sign_in();
    sign_in.reaches(&[("north", "Only one")]);
    sign_in.lasts(2);
    let secret = format!("client-secret=@{}", host.file("client-secret", CLIENT_SECRET).display());
    harbour.client("app", "sign-in", &["--set", &format!("client-id={CLIENT}"), "--secret", &secret]);
    harbour.client("link", "link", &[]);
    let (login, base) = (format!("login-url={}", harbour.beacon.url()), format!("base-url={}", harbour.beacon.url()));
    harbour.add("harbour", "sign-in", &login).expect(0);
    harbour.add("linked", "link", &base).expect(0);
    harbour.light("linked").expect(0);

    host.file("grant-flows/signed-in.yaml", FLOW);
    let mut serving = host.serve(&["--flows", "grant-flows"]);
    eventually("the webhook", || Some(()).filter(|()| harbour.beacon.hooks().len() == 1));
    // The time of the first tokens passes: the next ones are renewed.
    std::thread::sleep(Duration::from_millis(2100));
    harbour.beacon.light_one();
    let is_done = |run: &Value| run["flow"] == "signed-in" && run["state"] == "done";
    eventually("the run", || host.run(&["runs", "list"]).list().into_iter().find(is_done));
    harbour.light("harbour").expect(0);
    let look = |arguments: &[&str]| drop((host.run(arguments), host.run_plain(arguments, "")));
    for arguments in [
        &["connection", "show", "harbour"][..],
        &["connection", "show", "linked"],
        &["oauth-client", "list"],
        &["oauth-client", "show", "app"],
        &["oauth-client", "show", "link"],
        &["connection", "check", "harbour"],
        &["connection", "check", "linked"],
        &["backup", "home/copied.db"],
    ] {
        look(arguments);
    }

    // Nothing of it holds any more: calls, renewals, answers to a sign-in that nobody asked for.
    sign_in.revoke();
    std::thread::sleep(Duration::from_millis(2100));
    for connection in ["harbour", "linked"] {
        assert_ne!(harbour.light(connection).code, 0, "{connection} is over");
        look(&["connection", "check", connection]);
    }
    look(&["alarms"]);
    serving.terminate();
    serving.ended();
    sign_in.refuses(true);
    assert_ne!(harbour.browsed(&["connection", "reauthorize", "harbour"]).code, 0);
    sign_in.refuses(false);
    let pasted = format!("http://127.0.0.1:1/?code={}&state=forged", sign_in.secrets()[0].1);
    host.run_with(&["connection", "reauthorize", "harbour", "--paste"], &pasted);
    // What the app's secret was before: the client is refused.
    let wrong = format!("client-secret=@{}", host.file("client-secret", "fake-canary-wrong-client-secret").display());
    harbour.client("wrong", "sign-in", &["--set", &format!("client-id={CLIENT}"), "--secret", &wrong]);
    let arguments = ["connection", "add", "refused", "--connector", &harbour.component, "--method", "sign-in"];
    let more = ["--client", "wrong", "--set", &login, "--allow-private"];
    assert_ne!(harbour.browsed(&[&arguments[..], &more].concat()).code, 0);

    // A request token stands in the address that the person opens (RFC 5849, section 2.2); its secret does not.
    let secrets = sign_in.secrets();
    let hidden = secrets.iter().filter(|(kind, _)| *kind != "request");
    let mut canaries: Vec<_> = hidden.map(|(kind, secret)| Canary::new(kind, secret)).collect();
    canaries.push(Canary::new("an OAuth client's secret", CLIENT_SECRET));
    canaries.push(Canary::new("a wrong client secret", "fake-canary-wrong-client-secret"));
    let key = private_key(host);
    // A line of it: as a whole it can be laid out in many ways.
    let line = key.lines().nth(3).expect("a key has many lines").to_owned();
    canaries.push(Canary::new("the private key of a link", &line));
    canaries
}

/// The private key that the host made for its application link.
fn private_key(host: &Harness) -> String {
    let home = host.home();
    let store = Arc::new(Store::open(&home.join("harness.db")).expect("the store opens"));
    let database = rusqlite::Connection::open(home.join("harness.db")).expect("the database opens");
    let vault = Vault::open(&home.join("vault.key"), store, SystemClock::shared()).expect("the vault opens");
    let mut all =
        database.prepare("SELECT owner, name FROM secret WHERE space = 'app'").expect("the store has secrets");
    let named = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let names = all.query_map([], named).expect("they can be read").flatten();
    let opened = names.filter_map(|(owner, name)| vault.get(Space::App, &owner, &name).ok().flatten());
    let key = opened.map(|secret| secret.expose().to_owned()).find(|secret| secret.contains("PRIVATE KEY"));
    key.expect("the host keeps the private key")
}

/// Lets people log in with a password, rightly and wrongly.
fn passwords(host: &Harness) -> Vec<Canary> {
    let jira = Jira::start_as(Config {
        personality: Personality::DataCenter,
        version: "8.4.0".parse().expect("a release"),
        ..Config::default()
    });
    jira.control("PATCH", "/accounts/admin", &json!({"password": PASSWORD}));
    let connector = built::connector().display().to_string();
    let site = format!("site={}", jira.url());
    for (name, password) in [("center", PASSWORD), ("mistaken", WRONG_PASSWORD)] {
        let secret = format!("password=@{}", host.file(name, password).display());
        let arguments = ["connection", "add", name, "--connector", &connector, "--method", "password"];
        let more = ["--set", &site, "--set", "username=admin", "--secret", &secret, "--allow-private"];
        let added = host.run(&[&arguments[..], &more].concat());
        assert_eq!(added.code == 0, password == PASSWORD, "{added:#?}");
    }
    let ask = || host.run(&["run", "call-api", "--connection", "center", "--input", r#"{"path": "myself"}"#]);
    ask().expect(0);
    jira.control("PATCH", "/accounts/admin", &json!({"password": "another-not-a-real-password"}));
    for _ in 0..3 {
        assert_ne!(ask().code, 0);
    }
    jira.control("POST", "/accounts/admin/lock", &Value::Null);
    for name in ["center", "mistaken"] {
        host.run(&["connection", "check", name, "--release"]);
    }
    vec![Canary::new("a password", PASSWORD), Canary::new("a wrong password", WRONG_PASSWORD)]
}

/// Uses all that authorizes a connection besides a token; answers with the secrets there were.
pub(super) fn live(host: &Harness) -> Vec<Canary> {
    let mut canaries = grants(host);
    canaries.extend(passwords(host));
    for kind in ["code", "pkce-verifier", "access", "refresh", "verifier", "token-secret"] {
        assert!(canaries.iter().any(|canary| canary.name == kind), "no {kind} travelled");
    }
    canaries
}
