//! A2, A4: an account that Jira has locked is left alone at once, and nobody is taken for the account who is not.

use jira_simulator::{Config, Personality};
use serde_json::{Value, json};

use crate::built;
use crate::figure::{exceptions, figure};
use crate::harness::{Harness, Outcome};
use crate::simulator::{Jira, text};

/// A Jira that shows strangers what is unrestricted.
fn open(config: Config) -> Jira {
    let jira = Jira::start_as(config);
    jira.settings(&json!({"anonymous_access": true}));
    jira
}

fn center(version: &str) -> Config {
    let version = version.parse().expect("a release");
    Config { personality: Personality::DataCenter, version, context_path: "/jira".to_owned(), ..Config::default() }
}

/// Adds `demo`, which ends with its health report.
fn add(host: &Harness, jira: &Jira, method: &str, fields: &[(&str, &str)], secret: (&str, &str)) -> Outcome {
    let connector = built::connector();
    let connector = connector.to_string_lossy();
    let secret = format!("{}=@{}", secret.0, host.file("secret", secret.1).display());
    let mut sets = vec![format!("site={}", jira.url())];
    sets.extend(fields.iter().map(|(name, value)| format!("{name}={value}")));
    let mut arguments =
        vec!["connection", "add", "demo", "--connector", &connector, "--method", method, "--allow-private"];
    arguments.extend(["--secret", &secret]);
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    host.run(&arguments)
}

/// The calls that carried a credential.
fn with_credential(jira: &Jira) -> usize {
    jira.wire().iter().filter(|entry| !entry["headers"]["authorization"].is_null()).count()
}

/// Answers that say that the account is locked, and where somebody else would like the person to log in.
fn locked(jira: &Jira, elsewhere: bool) -> [(&'static str, Option<Value>); 4] {
    let place =
        if elsewhere { "https://jira.example.test/login.jsp".to_owned() } else { format!("{}/login.jsp", jira.url()) };
    let captcha = format!("CAPTCHA_CHALLENGE; login-url={place}");
    let both = json!({"X-Seraph-LoginReason": "AUTHENTICATION_DENIED", "X-Authentication-Denied-Reason": captcha});
    let answer = |status: u16, headers: Value| {
        Some(
            json!({"match": {"path_contains": "/rest/"}, "times": 0, "status": status, "headers": headers, "body": ""}),
        )
    };
    [
        ("the account is locked", None),
        ("403 with both headers", answer(403, both.clone())),
        ("401 with both headers", answer(401, both)),
        ("401, denied", answer(401, json!({"X-Seraph-LoginReason": "AUTHENTICATION_DENIED"}))),
    ]
}

#[test]
fn a2_an_account_that_is_locked_is_left_alone_at_once() {
    let (mut cases, mut wrong, mut most) = (0, Vec::new(), 0);
    for elsewhere in [false, true] {
        let jira = Jira::start_as(center("9.12.0"));
        let password = jira.account("admin").password;
        for (what, fault) in locked(&jira, elsewhere) {
            let host = Harness::new();
            add(&host, &jira, "password", &[("username", "admin")], ("password", &password)).expect(0);
            let read = json!({"jql": "project = DEMO"}).to_string();
            let read = || host.run(&["run", "search-issues", "--connection", "demo", "--input", &read]);
            read().expect(0);
            match &fault {
                None => drop(jira.control("POST", "/accounts/admin/lock", &Value::Null)),
                Some(fault) => jira.fault(fault),
            }
            jira.forget_wire();
            let first = read().json()["error"].clone();
            let later = [read(), read(), host.run(&["connection", "check", "demo"])];
            let calls = with_credential(&jira);
            cases += 1;
            most = most.max(calls);
            let shown = first["remedy"].to_string();
            // An answer need not say where, and what it says may lead elsewhere.
            let names_place = fault.is_none() || (!elsewhere && what.contains("both"));
            let told = first["code"] == "jira.captcha-required"
                && (shown.contains(&format!("{}/login.jsp", jira.url())) || !names_place)
                && !host.said().contains("jira.example.test");
            if calls != 1 || !told || later.iter().any(|one| one.code == 0) {
                wrong.push(format!("{what}: {calls} calls, {first}"));
            }
            // The person solved it.
            jira.clear_faults();
            jira.control("POST", "/accounts/admin/unlock", &Value::Null);
            host.run(&["connection", "check", "demo", "--release"]).expect(0);
            read().expect(0);
        }
    }
    figure(
        "A2",
        "an account is locked: 403 and 401 with both headers, 401 denied, with a login address here or elsewhere; 4 commands",
        "1 call, then none; the login address of the same host alone is shown",
        format!(
            "{} of {cases} as they should be, {most} call at most{}",
            cases - wrong.len(),
            exceptions(&wrong[..wrong.len().min(3)])
        ),
        wrong.is_empty() && most == 1,
    );
}

#[test]
fn a4_nobody_is_taken_for_an_account_where_strangers_may_read() {
    let (cloud, old, new) = (open(Config::default()), open(center("7.13.0")), open(center("9.12.0")));
    for (jira, version) in [(&cloud, 3), (&old, 2), (&new, 2)] {
        let public = crate::http::send("GET", &format!("{}/rest/api/{version}/serverInfo", jira.url()), &[], b"");
        assert_eq!(public.status, 200, "{public:?}");
    }
    let token = |jira: &Jira, name: &str, new: Value| jira.control("POST", &format!("/accounts/{name}/tokens"), &new);
    let admin = cloud.account("admin");
    let expired = token(&cloud, "admin", json!({"kind": "classic", "days": 30}));
    cloud.control("PATCH", &format!("/tokens/{}", expired["id"]), &json!({"expires_in_s": 0}));
    let revoked = token(&cloud, "admin", json!({"kind": "classic"}));
    cloud.control("DELETE", &format!("/tokens/{}", revoked["id"]), &Value::Null);
    let scoped = token(&cloud, "admin", json!({"kind": "scoped", "scopes": ["read:jira-work"]}));
    let other = cloud.account("user");
    cloud.control("POST", "/accounts", &json!({"name": "gone", "sites": []}));
    let gone = token(&cloud, "gone", json!({"kind": "classic"}));
    let personal = token(&new, "admin", json!({"kind": "personal", "days": 30}));
    new.control("DELETE", &format!("/tokens/{}", personal["id"]), &Value::Null);
    let late = token(&new, "admin", json!({"kind": "personal", "days": 30}));
    new.control("PATCH", &format!("/tokens/{}", late["id"]), &json!({"expires_in_s": 0}));
    let by_token = |email: &str, token: &str| {
        (&cloud, "api-token", vec![("email", email.to_owned())], ("token", token.to_owned()))
    };
    let by_password = |name: &str, password: &str| {
        (&old, "password", vec![("username", name.to_owned())], ("password", password.to_owned()))
    };
    let personal_token = |token: &str| (&new, "personal-access-token", vec![], ("token", token.to_owned()));
    let variants = [
        ("a made-up token", by_token(&admin.email, "not-a-real-token")),
        ("an expired token", by_token(&admin.email, &text(&expired["token"]))),
        ("a revoked token", by_token(&admin.email, &text(&revoked["token"]))),
        ("another account's token", by_token(&admin.email, &other.token)),
        ("an address that nobody has", by_token("nobody@example.test", &admin.token)),
        ("the account's password", by_token(&admin.email, &admin.password)),
        ("a token with scopes, at the site", by_token(&admin.email, &text(&scoped["token"]))),
        ("an account that is not on the site", by_token("gone@example.test", &text(&gone["token"]))),
        ("a wrong password", by_password("admin", "not-a-real-password")),
        ("a name that nobody has", by_password("nobody", &old.account("admin").password)),
        ("a made-up personal token", personal_token("not-a-real-token")),
        ("a revoked personal token", personal_token(&text(&personal["token"]))),
        ("an expired personal token", personal_token(&text(&late["token"]))),
    ];
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (what, (jira, method, fields, secret)) in &variants {
        let host = Harness::new();
        jira.forget_wire();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let added = add(&host, jira, method, &fields, (secret.0, &secret.1));
        let checked = host.run(&["connection", "check", "demo"]);
        asked += usize::from(jira.wire().iter().any(|entry| text(&entry["path"]).ends_with("/myself")));
        let proven =
            |one: &Outcome| one.code == 0 || one.json()["proven"] == true || one.json()["health"]["proven"] == true;
        if proven(&added) || proven(&checked) {
            wrong.push(format!("{what}: {}", added.stdout));
        }
        let shown = host.run(&["connection", "show", "demo"]).json();
        if shown["proven"] == true || !shown["identity"].is_null() {
            wrong.push(format!("{what} has an identity: {shown}"));
        }
    }
    figure(
        "A4",
        "connections with credentials that are not good, on sites that show strangers what is public; added and checked",
        "`/myself` decides; false OK = 0 of ≥ 10 variants",
        format!(
            "{} false OK of {}, /myself asked in {asked}{}",
            wrong.len(),
            variants.len(),
            exceptions(&wrong[..wrong.len().min(3)])
        ),
        wrong.is_empty() && asked == variants.len() && variants.len() >= 10,
    );
}
