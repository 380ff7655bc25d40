//! A connection by OAuth 2.0 to the simulated Jira, under the names that Atlassian's servers really have: what the tests
//! of grants begin with, and how they look at a grant in the store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use host_harness::clock::SystemClock;
use host_harness::store::Store;
use host_harness::vault::{Space, Vault};
use jira_simulator::{Config, Consent};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::built;
use crate::connections::browser::address;
use crate::harness::{Harness, Outcome, Started, free_address};
use crate::http;
use crate::simulator::{Jira, text};
use crate::stage::Stage;

/// Longer than any access token lasts.
pub(super) const PASSES: Duration = Duration::from_secs(2 * 3600 + 1);
/// What the app may ask for.
pub(super) const SCOPES: [&str; 4] =
    ["read:jira-user", "read:jira-work", "write:jira-work", "manage:jira-configuration"];

/// The issue that is read.
pub(super) const ISSUE: &str = "DEMO-1";

/// A Jira, a host, and an OAuth client that both know.
pub(super) struct Granted {
    pub(super) stage: Stage,
    /// The method of the connections.
    method: &'static str,
    /// Where the browser comes back to.
    pub(super) callback: String,
    detours: String,
}

/// A grant as it stands in the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) version: u64,
    pub(super) generation: u64,
    pub(super) dead: Option<String>,
}

impl Granted {
    /// A Jira Cloud with these sites, whose pages consent at once.
    pub(super) fn cloud(sites: &[&str]) -> Self {
        let sites = sites.iter().map(|site| (*site).to_owned()).collect();
        let jira = Jira::start_as(Config { sites, consent: Consent::Auto, ..Config::default() });
        let mut this = Self::with(jira, "oauth");
        let jira = this.stage.jira.url().to_owned();
        this.leads_to(&jira);
        this.register(&SCOPES, &[]);
        this
    }

    /// The same with a connection `demo`.
    pub(super) fn connected() -> Self {
        let this = Self::cloud(&["demo"]);
        this.authorize("demo", &[]).expect(0);
        this.issue();
        this
    }

    /// Creates the issue that is read.
    pub(super) fn issue(&self) {
        assert_eq!(self.stage.task("The first"), ISSUE);
    }

    /// A Jira, and a host that knows nothing of it.
    pub(super) fn with(jira: Jira, method: &'static str) -> Self {
        let callback = format!("http://{}/callback", free_address());
        Self { stage: Stage { jira, host: Harness::new() }, method, callback, detours: String::new() }
    }

    /// Where tokens are got from now on; all else stays at the Jira.
    pub(super) fn leads_to(&mut self, tokens: &str) {
        let jira = self.stage.jira.url().to_owned();
        self.detours = format!(
            "https://auth.atlassian.com={tokens},https://api.atlassian.com={jira},https://*.atlassian.net={jira}"
        );
        self.stage.host.set("HARNESS_CONNECT_TO", &self.detours);
    }

    /// What the host goes instead of Atlassian's addresses.
    pub(super) fn detours(&self) -> String {
        self.detours.clone()
    }

    /// Registers the app at the service and in the host, which asks for `wanted` (the usual scopes where there are none).
    pub(super) fn register(&self, scopes: &[&str], wanted: &[&str]) {
        let app = json!({"name": "Flows", "callback_urls": [self.callback], "scopes": scopes});
        let app = self.stage.jira.control("POST", "/apps", &app);
        let (id, secret) = (format!("client-id={}", text(&app["client_id"])), text(&app["client_secret"]));
        let secret = format!("client-secret=@{}", self.stage.host.file("client-secret", secret).display());
        let connector = built::connector();
        let connector = connector.to_string_lossy();
        let mut arguments = vec!["oauth-client", "add", "app", "--connector", &connector, "--method", self.method];
        arguments.extend(["--callback", &self.callback, "--set", &id, "--secret", &secret]);
        arguments.extend(wanted.iter().flat_map(|scope| ["--scope", scope]));
        self.stage.host.run(&arguments).expect(0);
    }

    /// Makes an application link of OAuth 1.0a, and registers its key at the service.
    pub(super) fn register_link(&self) {
        let connector = built::connector();
        let connector = connector.to_string_lossy();
        let arguments = ["oauth-client", "add", "app", "--connector", &connector, "--method", self.method];
        let more = ["--callback", &self.callback, "--set", "consumer-key=flows"];
        let made = self.stage.host.run(&[&arguments[..], &more].concat()).expect(0);
        let key = made.get("client").unwrap_or(&made)["public-key"].clone();
        self.stage.jira.control("POST", "/links", &json!({"consumer_key": "flows", "public_key": key}));
    }

    /// Adds a connection and authorizes it in a browser.
    pub(super) fn authorize(&self, name: &str, more: &[&str]) -> Outcome {
        let connector = built::connector();
        let connector = connector.to_string_lossy();
        let arguments = ["connection", "add", name, "--connector", &connector, "--method", self.method];
        self.in_browser(&[&arguments[..], &["--allow-private"], more].concat())
    }

    /// Runs a command that waits for a browser, which goes where the printed address leads.
    pub(super) fn in_browser(&self, arguments: &[&str]) -> Outcome {
        let (command, told) = self.stage.host.start_telling(arguments);
        http::browse(&address(&told));
        command.finish()
    }

    /// Begins to authorize `demo` anew: the command that waits for the browser, and the address to open.
    pub(super) fn begin(&self) -> (Started, String) {
        let (command, told) = self.stage.host.start_telling(&["connection", "reauthorize", "demo"]);
        let address = address(&told);
        (command, address)
    }

    /// A person authorizes `demo` anew.
    pub(super) fn reauthorize(&self) -> Outcome {
        self.in_browser(&["connection", "reauthorize", "demo"])
    }

    /// Reads an issue by `demo`.
    pub(super) fn read(&self) -> Outcome {
        self.stage.run("get-issue", &json!({"issue": ISSUE}))
    }

    pub(super) fn database(&self) -> Connection {
        let db = Connection::open(self.stage.host.home().join("harness.db")).expect("the store opens");
        db.busy_timeout(Duration::from_secs(20)).expect("a timeout can be set");
        db
    }

    /// Lets the time of the access token pass: at the service, and in the store of a host that does not run meanwhile.
    pub(super) fn time_passes(&self) {
        self.stage.jira.advance(PASSES);
        self.time_passes_here();
    }

    /// The same in the store alone.
    pub(super) fn time_passes_here(&self) {
        let sql = "UPDATE credential SET access_until_ms = access_until_ms - ?1, renewed_at_ms = renewed_at_ms - ?1";
        let changed = self.database().execute(sql, [PASSES.as_millis() as i64]).expect("the store can be changed");
        assert_eq!(changed, 1, "there is one grant");
    }

    /// Lets the time pass for which nobody asks for tokens.
    pub(super) fn pause_is_over(&self) {
        self.database().execute("UPDATE credential SET paused = NULL", []).expect("the store can be changed");
    }

    /// How the grant stands.
    pub(super) fn row(&self) -> Row {
        row(&reader(&self.stage.host.home()))
    }

    /// The access and the refresh token that the store has.
    pub(super) fn tokens(&self) -> (String, String) {
        let home = self.stage.host.home();
        let store = Arc::new(Store::open(&home.join("harness.db")).expect("the store opens"));
        let id: String = reader(&home).query_row("SELECT id FROM credential", [], |row| row.get(0)).expect("a grant");
        let vault = Vault::open(&home.join("vault.key"), store, SystemClock::shared()).expect("the vault opens");
        let sealed = vault.get(Space::Connection, &id, "grant").expect("a secret").expect("the tokens are there");
        let kept: Value = serde_json::from_str(sealed.expose()).expect("tokens are JSON");
        (text(&kept["access"]), text(&kept["refresh"]))
    }

    /// How many alarms say that the grant is over.
    pub(super) fn alarms(&self) -> usize {
        let sql = "SELECT count(*) FROM alarm WHERE code = 'host.grant-dead'";
        self.database().query_row(sql, [], |row| row.get::<_, i64>(0)).expect("alarms can be counted") as usize
    }

    /// How often tokens were renewed, and how often that was refused, by the service's own count.
    pub(super) fn renewals(&self) -> (u64, u64) {
        let calls = self.stage.jira.control("GET", "/token-endpoint", &Value::Null);
        let of = calls["calls"]["refresh_token"].as_object().cloned().unwrap_or_default();
        let count = |ok: bool| of.iter().filter(|(is, _)| (*is == "ok") == ok).filter_map(|(_, n)| n.as_u64()).sum();
        (count(true), count(false))
    }
}

/// A store, to be read while hosts use it.
pub(super) fn reader(home: &Path) -> Connection {
    let db = Connection::open_with_flags(home.join("harness.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let db = db.expect("the store can be read");
    db.busy_timeout(Duration::from_secs(20)).expect("a timeout can be set");
    db
}

/// How the only grant of a store stands.
pub(super) fn row(db: &Connection) -> Row {
    let sql = "SELECT version, generation, dead FROM credential";
    let read = |row: &rusqlite::Row<'_>| Ok(Row { version: row.get(0)?, generation: row.get(1)?, dead: row.get(2)? });
    db.query_row(sql, [], read).expect("there is a grant")
}
