//! A12, A13: the site that a person chose, and no other, is worked with; and each credential goes where its kind is taken.

use std::collections::HashMap;

use jira_simulator::{Config, Consent, Personality};
use serde_json::{Value, json};

use super::granted::{Granted, SCOPES};
use crate::built;
use crate::figure::{exceptions, figure};
use crate::harness::{Harness, Outcome};
use crate::simulator::{Jira, text};

/// The calls that reached a site, as `site door path`.
fn reached(jira: &Jira) -> Vec<(String, String, String)> {
    let sites = jira.wire().into_iter().filter(|entry| entry["site"].is_string());
    sites.map(|entry| (text(&entry["site"]), text(&entry["door"]), text(&entry["path"]))).collect()
}

/// Runs cards that read and write, by a connection.
fn work(granted: &Granted, connection: &str) -> Vec<Outcome> {
    let run = |card: &str, input: Value| granted.stage.run_as(connection, card, &input);
    vec![
        run("create-issue", json!({"project": "DEMO", "issue-type": "Task", "summary": "Where is it?"})),
        run("search-issues", json!({"jql": "project = DEMO"})),
        run("get-issue", json!({"issue": "DEMO-1"})),
        run("add-comment", json!({"issue": "DEMO-1", "body": "Here."})),
    ]
}

/// A grant that reaches several sites, and what came of choosing.
struct Choosing {
    granted: Granted,
    ids: HashMap<String, String>,
    cases: usize,
    wrong: Vec<String>,
    calls: usize,
    strayed: usize,
}

impl Choosing {
    /// Three sites of one name, each of them with another product.
    fn new() -> Self {
        let granted = Granted::cloud(&["demo", "second", "third"]);
        let jira = &granted.stage.jira;
        jira.settings(&json!({"consent_sites": ["demo", "second", "third"], "confluence_resources": true}));
        let sites = jira.control("GET", "/sites", &Value::Null).as_array().cloned().expect("sites");
        for site in &sites {
            jira.control("PATCH", &format!("/sites/{}", text(&site["name"])), &json!({"display_name": "Our Jira"}));
        }
        let ids = sites.iter().map(|site| (text(&site["name"]), text(&site["cloud_id"]))).collect();
        Self { granted, ids, cases: 0, wrong: Vec::new(), calls: 0, strayed: 0 }
    }

    fn jira(&self) -> &Jira {
        &self.granted.stage.jira
    }

    /// Notes a case, and that all calls since the last one reached the site that was chosen, if any was.
    fn expect(&mut self, what: &str, right: bool, chosen: Option<&str>, seen: &str) {
        self.cases += 1;
        let reached = reached(self.jira());
        self.calls += reached.len();
        self.strayed += reached.iter().filter(|(site, ..)| Some(site.as_str()) != chosen).count();
        if !right {
            self.wrong.push(format!("{what}: {seen}"));
        }
        self.jira().forget_wire();
    }

    /// A choice that nobody may take for one.
    fn refuses(&mut self, what: &str, outcome: &Outcome, code: &str) {
        let right = outcome.code != 0 && text(&outcome.json()["error"]["code"]).ends_with(code);
        self.expect(what, right, None, &outcome.stdout);
    }

    /// A site that was chosen: it is the one that is worked with.
    fn chooses(&mut self, what: &str, outcome: Outcome, connection: &str, site: &str) {
        let shown = self.granted.stage.host.run(&["connection", "show", connection]).json();
        let mut all = work(&self.granted, connection);
        all.insert(0, outcome);
        let failed = all.iter().find(|one| one.code != 0);
        let right = failed.is_none() && shown["settings"]["cloud-id"] == self.ids[site];
        self.expect(what, right, Some(site), &failed.map_or_else(|| shown.to_string(), |failed| failed.stdout.clone()));
    }

    /// Adds a connection with the same grant.
    fn share(&self, name: &str, more: &[&str]) -> Outcome {
        let connector = built::connector();
        let connector = connector.to_string_lossy();
        let arguments = ["connection", "add", name, "--connector", &connector, "--method", "oauth", "--share", "demo"];
        self.granted.stage.host.run(&[&arguments[..], more].concat())
    }

    fn choose(&self, site: &str) -> Outcome {
        self.granted.stage.host.run(&["connection", "reauthorize", "demo", "--site", site])
    }
}

#[test]
fn a12_the_site_that_was_chosen_by_its_id_or_address_is_the_only_one_worked_with() {
    let mut choosing = Choosing::new();
    let (second, third) = (choosing.ids["second"].clone(), choosing.ids["third"].clone());
    // The person has to choose, and nothing is sent to any of them before.
    let open = choosing.granted.authorize("demo", &[]);
    let remedy = text(&open.json()["error"]["remedy"]);
    let offers = |name: &&str| remedy.contains(&format!("https://{name}.atlassian.net"));
    assert!(["demo", "second", "third"].iter().all(offers), "{remedy}");
    choosing.refuses("three sites", &open, "site-open");
    for (what, site) in [
        ("the name that all have", "Our Jira"),
        ("a name of the address alone", "second"),
        ("an address that only begins alike", "https://second.atlassian.net.example.test"),
        ("an address with a user", "https://second.atlassian.net@example.test"),
        ("part of an id", &second[..8]),
        ("more than an id", &format!("{second}0")),
        ("an address without encryption", "http://second.atlassian.net"),
    ] {
        let told = choosing.choose(site);
        choosing.refuses(what, &told, "site-unknown");
    }
    let chosen = choosing.choose("https://second.atlassian.net");
    choosing.chooses("by its address", chosen, "demo", "second");
    let again = choosing.granted.reauthorize();
    choosing.chooses("authorized anew", again, "demo", "second");
    let added = choosing.share("by-id", &["--site", &third]);
    choosing.chooses("by its id, with the same grant", added, "by-id", "third");
    // What the person may no longer reach is not offered: one site is chosen, and named; and none is none.
    let member = |choosing: &Choosing, sites: Value| {
        choosing.jira().control("PATCH", "/accounts/admin", &json!({"sites": sites}))
    };
    member(&choosing, json!(["third"]));
    let only = choosing.share("only", &[]);
    assert!(only.stdout.contains("third.atlassian.net"), "{only:#?}");
    choosing.chooses("the only one", only, "only", "third");
    member(&choosing, json!([]));
    let none = choosing.share("none", &[]);
    choosing.refuses("none", &none, "no-site");
    member(&choosing, json!(["demo", "second", "third"]));
    let other = json!([{"id": second, "name": "Our Jira", "url": "https://second.atlassian.net", "avatarUrl": "",
                        "scopes": ["read:confluence-content.all"]}]);
    let resources = json!({"path": "/oauth/token/accessible-resources"});
    choosing.jira().fault(&json!({"match": resources, "status": 200, "body": other}));
    let other = choosing.share("other", &[]);
    choosing.refuses("another product alone", &other, "no-site");
    let Choosing { cases, wrong, calls, strayed, .. } = &choosing;
    figure(
        "A12",
        "a grant of 3, 1 or 0 sites of one name beside another product's: chosen by address, by id, by other texts",
        "explicit choice by id or address only; wrong-site calls = 0",
        format!(
            "{} of {cases} as they should be, {strayed} of {calls} calls to another site{}",
            cases - wrong.len(),
            exceptions(&wrong[..wrong.len().min(3)])
        ),
        wrong.is_empty() && *strayed == 0 && *calls >= 20,
    );
}

/// A way in, proven, and where its calls have to go.
struct Way {
    what: &'static str,
    granted: Granted,
    door: &'static str,
    base: String,
    /// What is asked for, below the base.
    path: &'static str,
}

impl Way {
    /// Asks for something, and looks where that arrived and with what success.
    fn judge(&self) -> Result<usize, String> {
        self.granted.stage.jira.forget_wire();
        let mut ran = vec![self.granted.stage.run("call-api", &json!({"method": "GET", "path": self.path}))];
        if self.door != "csm" {
            let read = json!({"jql": "project = DEMO"});
            ran.push(self.granted.stage.run("search-issues", &read));
            ran.push(self.granted.stage.run("call-api", &json!({"method": "GET", "path": "myself"})));
        }
        if let Some(failed) = ran.iter().find(|one| one.code != 0) {
            return Err(format!("{}: {}", self.what, failed.stdout));
        }
        let reached = reached(&self.granted.stage.jira);
        let astray = reached.iter().find(|(_, door, path)| *door != self.door || !path.starts_with(&self.base));
        match astray {
            Some(astray) => Err(format!("{}: {astray:?} is not below {} {}", self.what, self.door, self.base)),
            None if reached.len() < ran.len() => Err(format!("{}: {} calls", self.what, reached.len())),
            None if self.granted.stage.jira.refused_logins() > 0 => Err(format!("{}: refused", self.what)),
            None => Ok(reached.len()),
        }
    }
}

fn cloud(method: &'static str) -> Granted {
    let jira = Jira::start_as(Config { consent: Consent::Auto, ..Config::default() });
    let mut granted = Granted::with(jira, method);
    let jira = granted.stage.jira.url().to_owned();
    granted.leads_to(&jira);
    granted
}

fn center(version: &str, context: &str, method: &'static str) -> Granted {
    let config = Config {
        personality: Personality::DataCenter,
        version: version.parse().expect("a release"),
        context_path: context.to_owned(),
        consent: Consent::Auto,
        ..Config::default()
    };
    Granted::with(Jira::start_as(config), method)
}

/// Adds `demo` with a secret.
fn add(granted: &Granted, method: &str, fields: &[(&str, &str)], secret: (&str, &str)) {
    let host: &Harness = &granted.stage.host;
    let connector = built::connector();
    let connector = connector.to_string_lossy();
    let secret = format!("{}=@{}", secret.0, host.file("secret", secret.1).display());
    let sets: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut arguments =
        vec!["connection", "add", "demo", "--connector", &connector, "--method", method, "--allow-private"];
    arguments.extend(["--secret", &secret]);
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    host.run(&arguments).expect(0);
}

fn site(granted: &Granted) -> String {
    format!("site={}", granted.stage.jira.url())
}

fn ways() -> Vec<Way> {
    let id = |granted: &Granted| {
        let sites = granted.stage.jira.control("GET", "/sites", &Value::Null);
        text(&sites[0]["cloud_id"])
    };
    let gateway = |granted: &Granted| format!("/ex/jira/{}/rest/", id(granted));
    let token = |granted: &Granted, new: Value| {
        text(&granted.stage.jira.control("POST", "/accounts/admin/tokens", &new)["token"])
    };
    let mut ways = Vec::new();
    let path = "/rest/api/2/myself";

    let granted = cloud("api-token");
    let account = granted.stage.jira.account("admin");
    add(&granted, "api-token", &[("site", "demo"), ("email", &account.email)], ("token", &account.token));
    ways.push(Way { what: "classic API token", granted, door: "site", base: "/rest/".to_owned(), path });

    let granted = cloud("api-token");
    let scoped = token(&granted, json!({"kind": "scoped", "scopes": ["read:jira-user", "read:jira-work"]}));
    let email = granted.stage.jira.account("admin").email;
    add(&granted, "api-token", &[("site", "demo"), ("email", &email)], ("token", &scoped));
    let base = gateway(&granted);
    ways.push(Way { what: "scoped API token", granted, door: "gateway", base, path });

    let granted = Granted::connected();
    let base = gateway(&granted);
    ways.push(Way { what: "OAuth 2.0 (3LO)", granted, door: "gateway", base, path });

    let granted = cloud("service-account");
    granted.stage.jira.control("POST", "/accounts", &json!({"name": "robot", "service": true, "sites": ["demo"]}));
    let app = json!({"name": "Robot", "kind": "service-account", "owner": "robot", "scopes": SCOPES});
    let app = granted.stage.jira.control("POST", "/apps", &app);
    let fields = [("site", "demo"), ("client-id", app["client_id"].as_str().expect("an id"))];
    add(&granted, "service-account", &fields, ("client-secret", &text(&app["client_secret"])));
    let base = gateway(&granted);
    ways.push(Way { what: "service account", granted, door: "gateway", base, path });

    let granted = cloud("customer-service");
    let of = |what: &str| format!("read:{what}:jira-service-management");
    let own = ["customer", "customer.detail", "organization", "organization.detail", "product"].map(of);
    let scopes: Vec<&str> = own.iter().map(String::as_str).chain(["read:jira-user"]).collect();
    granted.register(&scopes, &[]);
    granted.authorize("demo", &[]).expect(0);
    let base = format!("/jsm/csm/cloudid/{}/api/v1/", id(&granted));
    ways.push(Way { what: "Customer Service Management", granted, door: "csm", base, path: "organization/1" });

    for (context, base) in [("/jira", "/jira/rest/"), ("", "/rest/")] {
        let granted = center("9.12.0", context, "personal-access-token");
        let personal = token(&granted, json!({"kind": "personal", "days": 30}));
        add(&granted, "personal-access-token", &[("site", granted.stage.jira.url())], ("token", &personal));
        let what = if context.is_empty() { "personal access token, no context path" } else { "personal access token" };
        ways.push(Way { what, granted, door: "site", base: base.to_owned(), path });
    }

    let granted = center("8.22.0", "/jira", "data-center-oauth");
    granted.register(&["WRITE"], &[]);
    granted.authorize("demo", &["--set", &site(&granted)]).expect(0);
    ways.push(Way { what: "OAuth 2.0 incoming link", granted, door: "site", base: "/jira/rest/".to_owned(), path });

    let granted = center("7.13.0", "/jira", "application-link");
    granted.register_link();
    granted.authorize("demo", &["--set", &site(&granted)]).expect(0);
    ways.push(Way { what: "OAuth 1.0a link", granted, door: "site", base: "/jira/rest/".to_owned(), path });

    let granted = center("8.4.0", "/jira", "password");
    let password = granted.stage.jira.account("admin").password;
    add(&granted, "password", &[("site", granted.stage.jira.url()), ("username", "admin")], ("password", &password));
    ways.push(Way { what: "user name and password", granted, door: "site", base: "/jira/rest/".to_owned(), path });
    ways
}

#[test]
fn a13_each_credential_goes_where_its_kind_is_taken() {
    let judged: Vec<Result<usize, String>> = ways().iter().map(Way::judge).collect();
    let calls: usize = judged.iter().flatten().sum();
    let wrong: Vec<&String> = judged.iter().filter_map(|one| one.as_ref().err()).collect();
    figure(
        "A13",
        "classic and scoped token, 3LO, service account, CSM, Data Center with and without context path, each by its way in",
        "100 % of the table: the right base URL",
        format!(
            "{} of {} ways, {calls} calls, all at their base{}",
            judged.len() - wrong.len(),
            judged.len(),
            exceptions(&wrong[..wrong.len().min(3)])
        ),
        wrong.is_empty() && judged.len() == 10,
    );
}

/// What the page of this way in promises, followed letter by letter.
#[test]
fn customer_service_management_answers_raw_calls_and_every_other_card_is_refused_by_name() {
    let granted = cloud("customer-service");
    let of = |what: &str| format!("read:{what}:jira-service-management");
    let own = ["customer", "customer.detail", "organization", "organization.detail", "product"].map(of);
    let scopes: Vec<&str> = own.iter().map(String::as_str).chain(["read:jira-user"]).collect();
    granted.register(&scopes, &[]);
    let added = granted.authorize("demo", &[]).expect(0);
    let findings = added["health"]["findings"].as_array().cloned().unwrap_or_default();
    let outcome = |code: &str| {
        let finding = findings.iter().find(|finding| finding["code"] == code);
        finding.map(|finding| text(&finding["outcome"])).unwrap_or_default()
    };
    for code in ["jira.scopes", "jira.cards-lacking", "jira.customer-service"] {
        assert_eq!(outcome(code), "passed", "{code}: {findings:#?}");
    }
    let listed = granted.stage.run("call-api", &json!({"path": "product", "query": {"limit": 10}})).expect(0);
    assert_eq!(listed["body"]["results"][0]["name"], "A product", "{listed:#}");
    let before = granted.stage.jira.wire().len();
    let refused = granted.read();
    refused.fails(3, "jira.card-lacking");
    assert_eq!(granted.stage.jira.wire().len(), before, "nothing is sent to an API that it is not for");
}
