//! Who says yes in the browser, and what is looked at before anybody is sent there.

use jira_simulator::{Config, Consent, Personality};
use serde_json::json;

use super::granted::Granted;
use crate::harness::free_address;
use crate::http;
use crate::simulator::{Jira, text};
use crate::stage::Stage;

#[test]
fn a_connection_becomes_another_persons_only_where_that_is_meant() {
    let granted = Granted::connected();
    let label = || granted.stage.host.run(&["connection", "show", "demo"]).json()["identity"]["label"].to_string();
    let (before, tokens) = (label(), granted.tokens());
    granted.stage.jira.settings(&json!({"consent_account": "user"}));
    let refused = granted.reauthorize().fails(2, "host.other-account");
    assert!(text(&refused["message"]).contains("keeps the authorization that it has"), "{refused:#}");
    assert!(text(&refused["remedy"]).contains("--other-account"), "{refused:#}");
    assert_eq!((label(), granted.tokens()), (before.clone(), tokens), "nothing was changed");
    assert_eq!(granted.read().code, 0);

    let meant = granted.in_browser(&["connection", "reauthorize", "demo", "--other-account"]).expect(0);
    let findings = meant["connections"][0]["health"]["findings"].to_string();
    assert!(findings.contains("host.other-account"), "{meant:#}");
    assert_ne!(label(), before);
}

#[test]
fn an_authorization_takes_the_place_of_one_that_works_only_where_it_is_proved_whose_it_is() {
    let granted = Granted::cloud(&["demo", "second"]);
    granted.authorize("demo", &["--site", "https://demo.atlassian.net"]).expect(0);
    granted.issue();
    let tokens = granted.tokens();
    let keeps = |away: bool, code: i32, told: &str| {
        let (command, address) = granted.begin();
        if away {
            let fault = json!({"match": {"path_contains": "/myself"}, "times": 0, "status": 503, "body": ""});
            granted.stage.jira.fault(&fault);
        }
        http::browse(&address);
        let refused = command.finish().fails(code, told);
        granted.stage.jira.clear_faults();
        assert!(text(&refused["message"]).contains("keeps the authorization that it has"), "{refused:#}");
        assert_eq!(granted.tokens(), tokens, "nothing was changed");
        let shown = granted.stage.host.run(&["connection", "show", "demo"]).json();
        assert_eq!(shown["state"], "proven", "{shown:#}");
        assert_eq!(granted.read().code, 0);
    };
    // Another person, who says yes for another site only.
    granted.stage.jira.settings(&json!({"consent_account": "user", "consent_sites": ["second"]}));
    keeps(false, 3, "jira.app-not-installed");
    // Another person, and who it is cannot be asked.
    granted.stage.jira.settings(&json!({"consent_account": "user", "consent_sites": []}));
    keeps(true, 4, "jira.server-fault");
    granted.stage.jira.settings(&json!({"consent_account": "admin"}));
    granted.reauthorize().expect(0);
    assert_ne!(granted.tokens(), tokens);
}

#[test]
fn an_application_link_that_another_person_allows_is_theirs_only_where_that_is_meant() {
    let jira = Jira::start_as(Config {
        personality: Personality::DataCenter,
        version: "9.12.0".parse().expect("a release"),
        consent: Consent::Auto,
        ..Config::default()
    });
    let granted = Granted::with(jira, "application-link");
    granted.register_link();
    let site = format!("site={}", granted.stage.jira.url());
    granted.authorize("demo", &["--set", &site]).expect(0);
    let report = granted.stage.host.run(&["connection", "check", "demo"]).expect(0);
    let ends = report["findings"].as_array().and_then(|all| all.iter().find(|one| one["code"] == "host.grant-ends"));
    assert_eq!(ends.map(|one| &one["outcome"]), Some(&json!("passed")), "it holds for years: {report:#}");
    let tokens = granted.tokens();
    granted.stage.jira.settings(&json!({"consent_account": "user"}));
    granted.reauthorize().fails(2, "host.other-account");
    assert_eq!(granted.tokens(), tokens, "nothing was changed");
    granted.stage.jira.settings(&json!({"consent_account": "admin"}));
    granted.reauthorize().expect(0);
}

#[test]
fn a_credential_of_another_account_is_taken_only_where_that_is_meant() {
    let stage = Stage::connected();
    let account = stage.jira.account("user");
    let token = format!("token=@{}", stage.host.file("user.token", account.token).display());
    let email = format!("email={}", account.email);
    let replace = |more: &[&str]| {
        let arguments = ["connection", "replace-credential", "demo", "--set", &email, "--secret", &token];
        stage.host.run(&[&arguments[..], more].concat())
    };
    let shown = || stage.host.run(&["connection", "show", "demo"]).json();
    let before = shown();
    let refused = replace(&[]).fails(2, "host.other-account");
    assert!(text(&refused["message"]).contains("nothing was replaced"), "{refused:#}");
    assert!(text(&refused["remedy"]).contains("--other-account"), "{refused:#}");
    assert_eq!(shown(), before);
    stage.host.run(&["connection", "check", "demo"]).expect(0);
    replace(&["--other-account"]).expect(0);
    assert_ne!(shown()["identity"], before["identity"]);
}

#[test]
fn nobody_is_sent_to_a_browser_for_an_address_where_no_jira_is() {
    let jira = Jira::start_as(Config {
        personality: Personality::DataCenter,
        version: "8.14.0".parse().expect("a release"),
        context_path: "/jira".to_owned(),
        consent: Consent::Auto,
        ..Config::default()
    });
    let granted = Granted::with(jira, "data-center-oauth");
    let host = &granted.stage.host;
    let base = granted.stage.jira.url().trim_end_matches("/jira").to_owned();
    let connector = crate::built::connector();
    let connector = connector.to_string_lossy();
    let secret = format!("client-secret=@{}", host.file("client-secret", "fake-client-secret").display());
    let arguments = ["oauth-client", "add", "app", "--connector", &connector, "--method", "data-center-oauth"];
    host.run(&[&arguments[..], &["--set", "client-id=fake-client", "--secret", &secret]].concat()).expect(0);
    for (name, site, word, code) in [
        ("closed", format!("http://{}/", free_address()), "could not be asked", 4),
        ("elsewhere", format!("{base}/other/"), "Jira", 3),
        ("old", format!("{base}/jira/"), "8.22", 3),
    ] {
        let site = format!("site={site}");
        let arguments = ["connection", "add", name, "--connector", &connector, "--method", "data-center-oauth"];
        let ended = host.run(&[&arguments[..], &["--allow-private", "--set", &site]].concat());
        assert!(!ended.stderr.contains("open this address"), "{name}: {ended:?}");
        let error = ended.json()["error"].clone();
        assert!(ended.code == code && text(&error["message"]).contains(word), "{name}: {error:#}");
        assert!(text(&error["message"]).contains("is not authorized"), "{name}: {error:#}");
        // Going on helps only where another time another answer comes.
        assert_eq!(text(&error["remedy"]).contains("Go on with"), code == 4, "{name}: {error:#}");
    }
    // What this host keeps it from lasts until somebody allows it.
    let (closed, open) = (format!("site={}/jira/", base.replace("http:", "https:")), format!("site={base}/jira/"));
    let arguments = ["connection", "add", "inside", "--connector", &connector, "--method", "data-center-oauth"];
    let ended = host.run(&[&arguments[..], &["--set", &closed]].concat());
    let error = ended.json()["error"].clone();
    assert!(ended.code == 3 && error["code"] == "host.egress-denied", "{ended:#?}");
    assert!(text(&error["remedy"]).contains("`harness connection edit inside --allow-private`"), "{error:#}");
    host.run(&["connection", "edit", "inside", "--allow-private", "--set", &open]).expect(0);
    let again = host.run(&["connection", "edit", "inside", "--forbid-private"]);
    again.fails(2, "host.plain-http");
    // Nobody has authorized it yet: its address may be put right.
    let right = format!("site={base}/jira/");
    host.run(&["connection", "edit", "elsewhere", "--set", &right]).expect(0);
    let old = host.run(&["connection", "reauthorize", "elsewhere"]);
    assert!(old.code == 3 && old.json()["error"].to_string().contains("8.22"), "{old:#?}");
}
