//! The ways into a Jira, with the component, the host and the simulated Jira: what is found out, and at what cost.

use jira_simulator::{Config, Personality};
use serde_json::{Value, json};

use crate::built;
use crate::harness::{Harness, Outcome};
use crate::main_job::deliver;
use crate::simulator::{Jira, eventually, text};
use crate::stage::Stage;

/// A Data Center of a release, below a context path.
fn center(version: &str) -> Jira {
    Jira::start_as(Config {
        personality: Personality::DataCenter,
        version: version.parse().expect("a release"),
        context_path: "/jira".to_owned(),
        ..Config::default()
    })
}

/// Adds a connection to a Jira on this machine.
fn add(host: &Harness, method: &str, fields: &[(&str, &str)], secret: (&str, &str)) -> Outcome {
    add_as("demo", host, method, fields, secret)
}

/// The same under another name.
fn add_as(name: &str, host: &Harness, method: &str, fields: &[(&str, &str)], secret: (&str, &str)) -> Outcome {
    let connector = built::connector();
    let file = host.file(&format!("{method}.secret"), secret.1);
    let sets: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let secret = format!("{}=@{}", secret.0, file.display());
    let mut arguments = vec!["connection", "add", name, "--connector", connector.to_str().expect("a plain path")];
    arguments.extend(["--method", method, "--allow-private", "--secret", &secret]);
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    host.run(&arguments)
}

/// The health report of `demo`.
fn report(host: &Harness) -> Value {
    host.run(&["connection", "check", "demo"]).json()
}

fn finding<'r>(report: &'r Value, code: &str) -> Option<&'r Value> {
    let findings = report["findings"].as_array()?;
    findings.iter().find(|finding| finding["code"] == format!("jira.{code}"))
}

fn logins(jira: &Jira) -> usize {
    jira.wire().iter().filter(|entry| matches!(entry["login"].as_str(), Some("ok" | "failed" | "denied"))).count()
}

#[test]
fn a_data_center_is_worked_with_by_its_personal_access_token() {
    for version in ["8.14.0", "9.12.0", "10.3.0"] {
        let (jira, host) = (center(version), Harness::new());
        let made =
            jira.control("POST", "/accounts/admin/tokens", &json!({"kind": "personal", "label": "flows", "days": 20}));
        let token = made["token"].as_str().expect("a token");
        let added = add(&host, "personal-access-token", &[("site", jira.url())], ("token", token));
        assert_eq!(added.code, 0, "{added:#?}");
        let report = report(&host);
        assert_eq!(report["proven"], true, "{report:#}");
        for code in ["reachable", "deployment", "identity", "expires-soon", "administer", "projects", "webhooks"] {
            assert!(finding(&report, code).is_some(), "{version} {code}: {report:#}");
        }
        assert_eq!(jira.refused_logins(), 0);
        let run =
            |card: &str, input: Value| host.run(&["run", card, "--connection", "demo", "--input", &input.to_string()]);
        let created = run(
            "create-issue",
            json!({"project": "DEMO", "issue-type": "Task", "summary": "By wiki", "description": "So **bold**."}),
        );
        let key = created.expect(0)["key"].as_str().expect("a key").to_owned();
        let read = run("get-issue", json!({"issue": key})).expect(0);
        assert_eq!(read["fields"]["description"], "So *bold*.");
        assert_eq!(read["url"], format!("{}/browse/{key}", jira.url()));
        run("add-comment", json!({"issue": key, "body": "Looked at."})).expect(0);
        run("update-issue", json!({"issue": key, "fields": {"labels": ["seen"], "assignee": "me"}})).expect(0);
        let found = run("search-issues", json!({"jql": "labels = seen", "all": true, "max-results": 1})).expect(0);
        assert_eq!(found["issues"].as_array().map(Vec::len), Some(1), "{found:#}");
    }
}

#[test]
fn a_data_center_of_each_path_of_webhooks_signs_what_it_delivers() {
    for version in ["9.12.0", "10.3.0"] {
        let (jira, host) = (center(version), Harness::new());
        let made =
            jira.control("POST", "/accounts/admin/tokens", &json!({"kind": "personal", "label": "flows", "days": 90}));
        let token = made["token"].as_str().expect("a token");
        add(&host, "personal-access-token", &[("site", jira.url())], ("token", token)).expect(0);
        host.file(
            "flows/label.yaml",
            "name: label\non: { event: issue-created, connection: demo }\nsteps:\n  - id: label\n    \
             action: update-issue\n    connection: demo\n    \
             input: { issue: \"${{ event.issue.key }}\", fields: { labels: [seen] } }\n",
        );
        let _serving = host.serve(&["--flows", "flows"]);
        let quota = host.run(&["quota", "--connection", "demo"]).json();
        assert!(quota.to_string().contains("\"ours\":1"), "{version}: {quota:#}");
        let input = json!({"project": "DEMO", "issue-type": "Task", "summary": "By a webhook"}).to_string();
        let key =
            host.run(&["run", "create-issue", "--connection", "demo", "--input", &input]).expect(0)["key"].clone();
        eventually("the run", || host.run(&["runs", "list"]).list().into_iter().find(|run| run["state"] == "done"));
        let delivery = jira.deliveries().into_iter().find(|one| one["state"] == "delivered").expect("a delivery");
        let mut sent = jira.captured(&text(&delivery["identifier"]));
        assert!(sent.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-hub-signature")), "{version}");
        sent.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("x-hub-signature"));
        assert_eq!(deliver(&delivery, &sent), 401, "{version}: unsigned, it is not taken");
        let read = json!({"issue": key}).to_string();
        let read = host.run(&["run", "get-issue", "--connection", "demo", "--input", &read]).expect(0);
        assert_eq!(read["fields"]["labels"], json!(["seen"]), "{version}");
    }
}

#[test]
fn a_data_center_is_worked_with_by_name_and_password_and_locks_nobody() {
    let (jira, host) = (center("7.13.0"), Harness::new());
    let account = jira.account("admin");
    let wrong =
        add(&host, "password", &[("site", jira.url()), ("username", "admin")], ("password", "not-the-password"));
    assert_eq!(wrong.code, 3, "{wrong:#?}");
    assert_eq!(jira.refused_logins(), 1);
    host.run(&["connection", "remove", "demo"]).expect(0);
    let added = add(&host, "password", &[("site", jira.url()), ("username", "admin")], ("password", &account.password));
    assert_eq!(added.code, 0, "{added:#?}");
    let input = json!({"project": "DEMO", "issue-type": "Task", "summary": "Old", "fields": {"Labels": ["old"]}});
    host.run(&["run", "create-issue", "--connection", "demo", "--input", &input.to_string()]).expect(0);
    jira.control("POST", "/accounts/admin/lock", &Value::Null);
    let locked = report(&host);
    let captcha = finding(&locked, "captcha-required").expect("a finding");
    assert!(
        captcha["remedy"].as_str().is_some_and(|remedy| remedy.contains(&format!("{}/login.jsp", jira.url()))),
        "{captcha:#}"
    );
}

#[test]
fn however_many_connections_have_wrong_passwords_of_an_account_it_is_refused_twice() {
    let (jira, host) = (center("9.12.0"), Harness::new());
    let account = jira.account("admin");
    let with = |name: &str, user: &str, password: &str| {
        add_as(name, &host, "password", &[("site", jira.url()), ("username", user)], ("password", password))
    };
    // A name that was mistyped is another account's, and holds nobody else.
    with("good", "admin", &account.password).expect(0);
    assert_eq!(with("mistyped", "admni", &account.password).code, 3);
    assert_eq!(host.run(&["connection", "check", "mistyped"]).code, 3);
    host.run(&["connection", "check", "good"]).expect(0);
    host.run(&["connection", "remove", "mistyped"]).expect(0);

    let before = jira.refused_logins();
    let codes: Vec<i32> =
        ["first", "second", "third"].map(|name| with(name, "Admin", &format!("not-the-password-{name}")).code).into();
    assert_eq!((codes.as_slice(), jira.refused_logins() - before), (&[3, 3, 3][..], 2));
    let held = host.run(&["connection", "check", "good"]).expect(3);
    let line = held["findings"].as_array().and_then(|findings| findings.last()).expect("a line");
    assert_eq!(line["code"], "host.account-held", "{held:#}");
    assert!(text(&line["message"]).contains("`second`"), "the one that caused it is named: {line:#}");
    assert!(finding(&held, "reachable").is_some(), "what anybody may ask is told all the same: {held:#}");
    let holds = host.run(&["holds", "list"]).list();
    let of = |name: &str| holds.iter().find(|one| one["connection"] == name).map(|one| text(&one["remedy"]));
    assert!(["first", "second", "third"].iter().all(|name| of(name).is_some()), "{holds:#?}");
    let remedy = of("good").expect("it is held as well");
    assert!(remedy.contains("replace-credential second") && remedy.contains("check good --release"), "{remedy}");
    let input = json!({"issue": "DEMO-1"}).to_string();
    let run =
        || host.run(&["run", "get-issue", "--connection", "good", "--input", &input]).fails(3, "host.account-held");
    assert_eq!(text(&run()["remedy"]), remedy);
    assert!(host.run(&["connection", "show", "good"]).expect(0)["held"].is_string());
    // What Jira counts, it goes on counting: the end of a connection is not the end of the hold.
    for name in ["first", "second", "third"] {
        host.run(&["connection", "remove", name]).expect(0);
    }
    let left = run();
    assert!(!text(&left["remedy"]).contains("replace-credential"), "{left:#}");
    assert!(text(&left["remedy"]).contains("check good --release"), "{left:#}");
    host.run(&["connection", "check", "good", "--release"]).expect(0);
    assert_eq!(jira.refused_logins() - before, 2);
}

#[test]
fn an_account_is_refused_twice_however_often_its_connection_is_removed_and_made_again() {
    let (jira, host) = (center("9.12.0"), Harness::new());
    let account = jira.account("admin");
    let with =
        |password: &str| add(&host, "password", &[("site", jira.url()), ("username", "admin")], ("password", password));
    let mut told = vec![];
    for number in 0..3 {
        let added = with(&format!("not-the-password-{number}"));
        assert_eq!(added.code, 3, "{added:#?}");
        told.push(added.stderr);
        host.run(&["connection", "remove", "demo"]).expect(0);
    }
    assert_eq!(jira.refused_logins(), 2);
    assert!(told[0].contains("connection check demo") && !told[0].contains("held"), "{}", told[0]);
    assert!(told[1].contains("held now") && told[1].contains("replace-credential demo"), "{}", told[1]);
    // Whoever has the right one says so.
    assert_eq!(with(&account.password).code, 3);
    host.run(&["connection", "check", "demo", "--release"]).expect(0);
    assert_eq!(jira.refused_logins(), 2);
}

#[test]
fn a_login_whose_answer_nobody_waited_for_counts_as_one_that_may_have_been_refused() {
    let (jira, host) = (center("9.12.0"), Harness::new());
    let account = jira.account("admin");
    let fields = [("site", jira.url()), ("username", "admin")];
    jira.fault(&json!({"match": {"path_contains": "myself"}, "times": 0, "delay_ms": 20_000}));
    let tried = || {
        let store = rusqlite::Connection::open(host.home().join("harness.db")).ok()?;
        store.query_row("SELECT max(unanswered) FROM guard", [], |row| row.get::<_, Option<u32>>(0)).ok()?
    };
    let file = host.file("wrong", "not-the-password");
    let (sets, secret) =
        (fields.map(|(name, value)| format!("{name}={value}")), format!("password=@{}", file.display()));
    let connector = built::connector();
    let connector = connector.to_str().expect("a plain path");
    let mut adding = vec!["connection", "add", "demo", "--connector", connector, "--method", "password"];
    adding.extend(["--allow-private", "--secret", &secret, "--set", &sets[0], "--set", &sets[1]]);
    for (times, command) in [(1, &adding[..]), (2, &["connection", "check", "demo"])] {
        let started = host.start(command);
        eventually("a login to be tried", || tried().filter(|tried| *tried == times));
        started.kill();
    }
    let paused = host.run(&["connection", "check", "demo"]).fails(4, "host.account-paused");
    assert!(text(&paused["message"]).contains("unknown whether they were refused"), "{paused:#}");
    assert!(text(&paused["message"]).contains("tried again in 15 minutes"), "{paused:#}");
    let issue = json!({"issue": "DEMO-1"}).to_string();
    let run = host.run(&["run", "get-issue", "--connection", "demo", "--input", &issue]);
    let after = run.fails(4, "host.account-paused")["retry-after-ms"].clone();
    assert!(after.as_u64().is_some_and(|after| (840_000..=900_000).contains(&after)), "{after}");
    assert_eq!(tried(), Some(2), "nothing was sent");
    let holds = host.run(&["holds", "list"]).list();
    assert!(holds.iter().any(|one| one["connection"] == "demo" && one["until-ms"].is_u64()), "{holds:?}");
    // Another password is another reason to try.
    jira.clear_faults();
    let right = format!("password=@{}", host.file("right", &account.password).display());
    host.run(&["connection", "replace-credential", "demo", "--secret", &right]).expect(0);
    assert!(host.run(&["holds", "list"]).list().is_empty());
}

#[test]
fn the_address_of_a_jira_of_ones_own_does_not_change() {
    let (jira, other, host) = (center("9.12.0"), center("9.12.0"), Harness::new());
    let account = jira.account("admin");
    add(&host, "password", &[("site", jira.url()), ("username", "admin")], ("password", &account.password)).expect(0);
    let there = format!("site={}", other.url());
    let secret = format!("password=@{}", host.file("again", &account.password).display());
    let edited = host.run(&["connection", "edit", "demo", "--set", &there, "--secret", &secret]);
    edited.fails(2, "host.other-tenant");
    assert_eq!(other.wire(), [] as [Value; 0], "nothing was sent");
    let same = format!("site={}/", jira.url().to_uppercase().replace("HTTP://", "http://").replace("/JIRA", "/jira"));
    host.run(&["connection", "edit", "demo", "--set", &same]).expect(0);
}

#[test]
fn a_way_in_that_does_not_fit_costs_no_login() {
    for (version, method, fields, secret, says) in [
        ("9.12.0", "api-token", vec![("email", "admin@example.test")], "token", "personal access token"),
        ("8.4.0", "personal-access-token", vec![], "token", "application link"),
    ] {
        let (jira, host) = (center(version), Harness::new());
        let mut all = vec![("site", jira.url())];
        all.extend(fields);
        let added = add(&host, method, &all, (secret, "not-a-real-token"));
        assert_eq!(added.code, 3, "{added:#?}");
        assert!(!added.stderr.contains("connection check"), "it would be found so each time: {added:#?}");
        let report = report(&host);
        let unfit = finding(&report, "method-unfit").unwrap_or_else(|| panic!("{report:#}"));
        assert!(unfit["remedy"].as_str().is_some_and(|remedy| remedy.contains(says)), "{unfit:#}");
        assert_eq!(logins(&jira), 0);
    }
    let (jira, host) = (Jira::start(), Harness::new());
    let fields = [("site", jira.url()), ("username", "admin")];
    let added = add(&host, "password", &fields, ("password", "not-a-real-password"));
    assert_eq!((added.code, logins(&jira)), (3, 0), "{added:#?}");
    let fields = [("site", "demo.atlassian.net"), ("username", "admin")];
    let offline = add(&Harness::new(), "password", &fields, ("password", "not-a-real-password"));
    assert_eq!(offline.code, 2, "{offline:#?}");
    assert!(offline.stdout.contains("API token") || offline.stderr.contains("API token"), "{offline:#?}");
}

#[test]
fn a_token_with_scopes_is_found_out_at_the_gateway_with_two_logins() {
    let mut stage = Stage::new();
    let stand_in: Vec<String> = ["demo.atlassian.net", "api.atlassian.com", "auth.atlassian.com"]
        .iter()
        .map(|name| format!("https://{name}={}", stage.jira.url()))
        .collect();
    stage.host.set("HARNESS_CONNECT_TO", &stand_in.join(","));
    let scopes = json!(["read:jira-user", "read:jira-work", "write:jira-work"]);
    let made = stage.jira.control("POST", "/accounts/admin/tokens", &json!({"kind": "scoped", "scopes": scopes}));
    let email = stage.jira.account("admin").email;
    let added = stage.connect_at("demo", "demo", &email, made["token"].as_str().expect("a token"), &[]);
    assert_eq!(added.code, 0, "{added:#?}");
    assert_eq!(stage.jira.refused_logins(), 1, "at the site, and then the gateway took it");
    let key = stage.task("Through the gateway");
    stage.jira.forget_wire();
    let report = report(&stage.host);
    assert_eq!(report["proven"], true, "{report:#}");
    let paths: Vec<String> = stage.jira.wire().iter().map(|entry| entry["path"].to_string()).collect();
    assert!(stage.jira.refused_logins() <= 1, "only the webhooks' scope is refused: {paths:?}");
    assert!(paths.iter().filter(|path| path.contains("myself")).count() == 1, "{paths:?}");
    let read = stage.run("get-issue", &json!({"issue": key})).expect(0);
    assert_eq!(read["url"], format!("https://demo.atlassian.net/browse/{key}"), "links for people name the site");
}

#[test]
fn a_token_of_the_other_kind_takes_the_place_of_one_with_one_refused_login() {
    let mut stage = Stage::new();
    let stand_in: Vec<String> = ["demo.atlassian.net", "api.atlassian.com"]
        .iter()
        .map(|name| format!("https://{name}={}", stage.jira.url()))
        .collect();
    stage.host.set("HARNESS_CONNECT_TO", &stand_in.join(","));
    let token = |kind: Value| text(&stage.jira.control("POST", "/accounts/admin/tokens", &kind)["token"]);
    let scoped = json!({"kind": "scoped", "scopes": ["read:jira-user", "read:jira-work", "write:jira-work"]});
    let (classic, scoped) = (token(json!({"kind": "classic"})), token(scoped));
    let email = stage.jira.account("admin").email;
    stage.connect_at("demo", "demo", &email, &classic, &[]).expect(0);
    let gateway = |shown: &Value| -> Vec<String> {
        let origins = shown["origins"].as_array().into_iter().flatten().map(|one| text(&one["url"]));
        origins.filter(|url| url.contains("api.atlassian.com")).collect()
    };
    let shown = stage.host.run(&["connection", "show", "demo"]).json();
    let own = format!("https://api.atlassian.com/ex/jira/{}/", text(&shown["settings"]["cloud-id"]));
    assert_eq!(gateway(&shown), [own.as_str()], "once its id is known, the site's own path is enough");
    for (token, refused) in [(&scoped, 1), (&classic, 2)] {
        let file = stage.host.file("new.secret", token);
        let (secret, set) = (format!("token=@{}", file.display()), format!("email={email}"));
        let replaced =
            stage.host.run(&["connection", "replace-credential", "demo", "--set", &set, "--secret", &secret]);
        assert_eq!((replaced.code, stage.jira.refused_logins()), (0, refused), "{replaced:#?}");
    }
    assert_eq!(gateway(&stage.host.run(&["connection", "show", "demo"]).json()), [own]);
}

#[test]
fn what_was_pasted_along_with_the_address_is_kept_nowhere() {
    let (jira, host) = (center("9.12.0"), Harness::new());
    let pasted = format!("{}/secure/Dashboard.jspa?os_username=admin&os_password=canary-not-real", jira.url());
    let password = jira.account("admin").password;
    let added = add(&host, "password", &[("site", &pasted), ("username", " admin ")], ("password", &password));
    assert_eq!(added.code, 0, "{added:#?}");
    assert!(!added.stdout.contains("canary-not-real"), "{added:#?}");
    let shown = host.run(&["connection", "show", "demo"]).json();
    assert!(!shown.to_string().contains("canary-not-real"), "{shown:#}");
    for entry in std::fs::read_dir(host.home()).expect("the home").flatten().filter(|one| one.path().is_file()) {
        let kept = std::fs::read(entry.path()).expect("a file of the home");
        assert!(!kept.windows(15).any(|bytes| bytes == b"canary-not-real"), "{}", entry.path().display());
    }
}

#[test]
fn the_scopes_of_a_service_account_are_held_against_what_each_card_needs() {
    let (jira, mut host) = (Jira::start(), Harness::new());
    let stand_in: Vec<String> = ["demo.atlassian.net", "api.atlassian.com", "auth.atlassian.com"]
        .iter()
        .map(|name| format!("https://{name}={}", jira.url()))
        .collect();
    host.set("HARNESS_CONNECT_TO", &stand_in.join(","));
    jira.control("POST", "/accounts", &json!({"name": "robot", "service": true}));
    let scopes = json!(["read:jira-user", "read:jira-work"]);
    let app = json!({"name": "r", "kind": "service-account", "owner": "robot", "scopes": scopes});
    let app = jira.control("POST", "/apps", &app);
    let fields = [("site", "demo"), ("client-id", app["client_id"].as_str().expect("an id"))];
    let secret = ("client-secret", app["client_secret"].as_str().expect("a secret"));
    let added = add(&host, "service-account", &fields, secret);
    // Of the very first check, too.
    let first = added.json();
    for report in [&first["health"], &report(&host)] {
        let found = finding(report, "scopes-missing").unwrap_or_else(|| panic!("{report:#}"));
        let message = text(&found["message"]);
        assert!(message.contains("create-issue (write:jira-work)"), "{message}");
        assert!(message.contains("Granted: read:jira-user, read:jira-work."), "{message}");
        assert!(!message.contains("get-issue"), "{message}");
    }
}

#[test]
fn what_is_pasted_into_the_wrong_field_is_said_before_anything_is_sent() {
    let (jira, host) = (Jira::start(), Harness::new());
    let with = |email: &str, token: &str| {
        let added = add(&host, "api-token", &[("site", jira.url()), ("email", email)], ("token", token));
        let said = format!("{}{}", added.stdout, added.stderr);
        host.run(&["connection", "remove", "demo"]);
        (added.code, said)
    };
    let (code, said) = with("admin@example.test", "Bearer fake-token-canary");
    assert!(code == 2 && said.contains("host.secret-mistaken") && !said.contains("canary"), "{said}");
    let (code, said) = with("ATATT3-fake-canary", "fake-token");
    assert!(code == 2 && said.contains("There is an API token where the e-mail") && !said.contains("canary"), "{said}");
    let (code, said) = with("admin@example.test", "canary@example.test");
    assert!(code == 2 && said.contains("looks like an e-mail address") && !said.contains("canary"), "{said}");
    for broken in ["fake canary token", "\"\"", "fake-canary\"token"] {
        let (code, said) = with("admin@example.test", broken);
        assert!(code == 2 && said.contains("white space or a quotation mark") && !said.contains("canary"), "{said}");
    }
    assert_eq!(logins(&jira), 0, "nothing was sent");
    let (_, said) = with("admin@example.test", "eyJmYWtlIjoxfQ.eyJmYWtlIjoxfQ.canary");
    assert!(said.contains("a JWT") && !said.contains("canary"), "{said}");

    let (center, host) = (center("9.12.0"), Harness::new());
    let added = add(&host, "personal-access-token", &[("site", center.url())], ("token", "ATATT3-fake-canary"));
    let said = format!("{}{}", added.stdout, added.stderr);
    assert!(said.contains("API token of an Atlassian account") && !said.contains("canary"), "{said}");
}

#[test]
fn a_dead_token_costs_two_logins_at_most_and_then_none() {
    let mut stage = Stage::new();
    let url = stage.jira.url().to_owned();
    stage.host.set("HARNESS_CONNECT_TO", &format!("https://*.atlassian.net={url},https://api.atlassian.com={url}"));
    let added = stage.connect_at("demo", "demo", "admin@example.test", "not-a-real-token", &[]);
    assert_eq!(added.code, 3, "{added:#?}");
    assert_eq!(stage.jira.refused_logins(), 2);
    stage.host.run(&["connection", "check", "demo"]);
    assert_eq!(stage.jira.refused_logins(), 2, "the account is held");
}

#[test]
fn a_refused_client_secret_of_a_service_account_is_a_finding_and_is_replaced() {
    let (jira, mut host) = (Jira::start(), Harness::new());
    let stand_in: Vec<String> = ["demo.atlassian.net", "api.atlassian.com", "auth.atlassian.com"]
        .iter()
        .map(|name| format!("https://{name}={}", jira.url()))
        .collect();
    host.set("HARNESS_CONNECT_TO", &stand_in.join(","));
    jira.control("POST", "/accounts", &json!({"name": "robot", "service": true}));
    let scopes = json!(["read:jira-user", "read:jira-work", "write:jira-work"]);
    let app = json!({"name": "r", "kind": "service-account", "owner": "robot", "scopes": scopes});
    let app = jira.control("POST", "/apps", &app);
    let id = app["client_id"].as_str().expect("an id");
    let wrong = ("client-secret", "obviously-fake-secret");
    let added = add(&host, "service-account", &[("site", "demo"), ("client-id", id)], wrong);
    assert_eq!(added.code, 3, "{added:#?}");
    assert!(added.stderr.contains("connection replace-credential demo`"), "{added:#?}");
    let state = || host.run(&["connection", "show", "demo"]).json()["state"].clone();
    assert_eq!(state(), "refused", "nobody could say yes again");
    for report in [&added.json()["health"], &report(&host)] {
        let findings = report["findings"].as_array().expect("a report");
        let failed: Vec<&Value> = findings.iter().filter(|finding| finding["outcome"] == "failed").collect();
        assert_eq!((failed.len(), &failed[0]["code"]), (1, &json!("host.grant-dead")), "{report:#}");
        assert!(text(&failed[0]["remedy"]).contains("harness connection replace-credential demo"), "{report:#}");
        assert!(findings.len() > 1, "what anybody may ask is told, too: {report:#}");
    }
    let file = host.file("right.secret", app["client_secret"].as_str().expect("a secret"));
    let (id, secret) = (format!("client-id={id}"), format!("client-secret=@{}", file.display()));
    host.run(&["connection", "replace-credential", "demo", "--set", &id, "--secret", &secret]).expect(0);
    assert_eq!(report(&host)["proven"], true);
    assert_eq!(state(), "proven");
    // One that works is not given up for one that is refused.
    let wrong = format!("client-secret=@{}", host.file("wrong.secret", wrong.1).display());
    let kept = host.run(&["connection", "replace-credential", "demo", "--set", &id, "--secret", &wrong]);
    assert!(kept.code != 0 && kept.json()["error"].to_string().contains("nothing was replaced"), "{kept:#?}");
    // The right secret does not make up for an id in other letters, which is another one.
    let other = id.to_uppercase().replace("CLIENT-ID", "client-id");
    assert_ne!(other, id);
    let kept = host.run(&["connection", "replace-credential", "demo", "--set", &other, "--secret", &secret]);
    assert!(kept.code != 0 && kept.json()["error"].to_string().contains("nothing was replaced"), "{kept:#?}");
    assert_eq!(report(&host)["proven"], true);
    host.run(&["connection", "replace-credential", "demo", "--no-check", "--set", &other, "--secret", &secret])
        .expect(0);
    assert_eq!(state(), "unchecked");
    host.run(&["connection", "replace-credential", "demo", "--set", &id, "--secret", &secret]).expect(0);
    assert_eq!(state(), "proven");
    assert!(host.run(&["alarms"]).list().is_empty(), "what was told is taken back");
}
