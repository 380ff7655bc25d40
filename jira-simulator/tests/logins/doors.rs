//! The doors of Cloud over TCP: hosts, sites, both kinds of API token, service accounts.

use crate::client::Jira;
use crate::oauth::{App, CALLBACK, bearer};
use crate::raw::raw;
use jira_simulator::{Config, Personality, Simulator, StartError};
use serde_json::{Value, json};

const FIRST: &str = "00000000-0000-4000-8000-00000000c10d";
const SECOND: &str = "00000000-0000-4000-8000-00010000c10d";

fn two_sites() -> Jira {
    Jira::start(Config { sites: vec!["demo".to_owned(), "second".to_owned()], ..Config::default() })
}

/// Asks the listener as if it were a server of Atlassian's.
fn ask(jira: &Jira, host: &str, path: &str, authorization: &str) -> (u16, Value) {
    let mut headers = vec![("host", host)];
    if !authorization.is_empty() {
        headers.push(("authorization", authorization));
    }
    let answer = raw("GET", &jira.url(path), &headers, "");
    (answer.status().as_u16(), serde_json::from_str(answer.body()).unwrap_or(Value::Null))
}

fn token(jira: &Jira, account: &str, wanted: Value) -> Value {
    let (status, token) = jira.control("POST", &format!("/accounts/{account}/tokens"), Some(wanted));
    assert_eq!(status, 200, "{token}");
    token
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().expect("a text").to_owned()
}

#[test]
fn a_name_of_atlassians_serves_what_it_serves_in_reality() {
    let jira = two_sites();
    let id = |host: &str| ask(&jira, host, "/_edge/tenant_info", "").1["cloudId"].clone();
    assert_eq!(id("demo.atlassian.net"), FIRST);
    assert_eq!(id("SECOND.atlassian.net:443"), SECOND);
    assert_eq!(ask(&jira, "nobody.atlassian.net", "/_edge/tenant_info", "").0, 404);
    for (host, path) in [
        ("auth.atlassian.com", "/rest/api/3/serverInfo"),
        ("auth.atlassian.com", "/oauth/token/accessible-resources"),
        ("api.atlassian.com", "/authorize"),
        ("api.atlassian.com", "/rest/api/3/serverInfo"),
        ("demo.atlassian.net", "/authorize"),
        ("demo.atlassian.net", "/oauth/token"),
    ] {
        assert_eq!(ask(&jira, host, path, "").0, 404, "{host}{path}");
    }
    assert_eq!(ask(&jira, "auth.atlassian.com", "/authorize", "").0, 403);
    assert_eq!(ask(&jira, "auth.atlassian.com", "/oauth/token", "").0, 405);
    assert_eq!(ask(&jira, "api.atlassian.com", "/oauth/token/accessible-resources", "").0, 401);
    assert_eq!(ask(&jira, "api.atlassian.com", "/ex/jira/no-such-id/rest/api/3/myself", "").0, 404);
}

#[test]
fn names_that_no_site_has_are_refused_at_the_start() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let start = |config: Config| runtime.block_on(Simulator::start(config)).err();
    for sites in [vec![], vec!["Demo"], vec!["a.b"], vec!["demo", "demo"]] {
        let sites = sites.into_iter().map(str::to_owned).collect();
        assert!(matches!(start(Config { sites, ..Config::default() }), Some(StartError::Site(_))));
    }
    let center = |context_path: &str| Config {
        personality: Personality::DataCenter,
        context_path: context_path.to_owned(),
        ..Config::default()
    };
    for path in ["jira", "/", "/a/b", "/a?b"] {
        assert!(matches!(start(center(path)), Some(StartError::ContextPath(_))), "{path}");
    }
    assert!(matches!(
        start(Config { personality: Personality::Cloud, ..center("/jira") }),
        Some(StartError::ContextPath(_))
    ));
    assert!(start(center("/jira")).is_none());
}

#[test]
fn links_fit_the_name_that_was_asked() {
    let jira = two_sites();
    let access = jira.account("admin");
    let classic = Jira::basic(&access.email, &access.token);
    let scoped = token(&jira, "admin", json!({"kind": "scoped", "scopes": ["read:jira-user"]}));
    let scoped = Jira::basic(&access.email, scoped["token"].as_str().unwrap());
    let link = |answer: (u16, Value), name: &str| answer.1[name].as_str().unwrap_or_default().to_owned();
    let own = jira.url("");
    assert!(link(ask(&jira, "127.0.0.1", "/rest/api/3/myself", &classic), "self").starts_with(&own));
    let at = |host: &str| link(ask(&jira, host, "/rest/api/3/myself", &classic), "self");
    assert!(at("second.atlassian.net").starts_with("https://second.atlassian.net/rest/"));
    let gateway = format!("/ex/jira/{SECOND}/rest/api/3");
    let myself = ask(&jira, "api.atlassian.com", &format!("{gateway}/myself"), &scoped);
    assert!(link(myself, "self").starts_with(&format!("https://api.atlassian.com/ex/jira/{SECOND}/rest/")));
    let info = ask(&jira, "api.atlassian.com", &format!("{gateway}/serverInfo"), &scoped);
    assert_eq!(link(info, "baseUrl"), "https://second.atlassian.net", "the site's own address");
}

#[test]
fn each_site_has_its_own_issues_and_a_person_may_be_on_one_of_them() {
    let jira = two_sites();
    let access = jira.account("user");
    let credential = Jira::basic(&access.email, &access.token);
    jira.call(
        "admin",
        "POST",
        "/rest/api/3/issue",
        Some(json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Bug"}, "summary": "first"}})),
    );
    let issue = "/rest/api/3/issue/DEMO-1";
    assert_eq!(ask(&jira, "demo.atlassian.net", issue, &credential).0, 200);
    assert_eq!(ask(&jira, "second.atlassian.net", issue, &credential).0, 404);
    let myself = |host: &str| ask(&jira, host, "/rest/api/3/myself", &credential);
    assert_eq!(myself("demo.atlassian.net").1["accountId"], myself("second.atlassian.net").1["accountId"]);
    jira.control("PATCH", "/accounts/user", Some(json!({"sites": ["second"], "time_zone": null})));
    assert_eq!(myself("demo.atlassian.net").0, 401);
    assert_eq!(myself("second.atlassian.net").1.get("timeZone"), None);
}

#[test]
fn a_scoped_token_opens_the_gateway_alone_as_far_as_its_scopes_go() {
    let jira = two_sites();
    let access = jira.account("admin");
    let made = token(&jira, "admin", json!({"kind": "scoped", "scopes": ["read:jira-work"], "days": 30, "label": "l"}));
    let scoped = Jira::basic(&access.email, made["token"].as_str().unwrap());
    let answer = raw("GET", &jira.url("/rest/api/3/myself"), &[("authorization", &scoped)], "");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-seraph-loginreason"]),
        (401, &"AUTHENTICATED_FAILED".parse().unwrap())
    );
    let gateway = |path: &str| ask(&jira, "127.0.0.1", &format!("/ex/jira/{FIRST}/rest/api/3/{path}"), &scoped);
    assert_eq!(gateway("project/search").0, 200);
    assert_eq!(gateway("myself").1["message"], "Unauthorized; scope does not match");
    jira.control("PATCH", &format!("/tokens/{}", made["id"]), Some(json!({"scopes": ["read:jira-user"]})));
    assert_eq!(gateway("myself").0, 200);
    jira.control("POST", "/time/advance", Some(json!({"ms": 30 * 86_400_000_u64 + 1})));
    assert_eq!(gateway("myself"), (401, json!({"code": 401, "message": "Unauthorized"})), "expired");
    jira.control("PATCH", &format!("/tokens/{}", made["id"]), Some(json!({"expires_in_s": 60})));
    assert_eq!(gateway("myself").0, 200);
    jira.control("DELETE", &format!("/tokens/{}", made["id"]), None);
    assert_eq!(gateway("myself").0, 401);
    let classic = Jira::basic(&access.email, &access.token);
    let at_gateway = || ask(&jira, "127.0.0.1", &format!("/ex/jira/{FIRST}/rest/api/3/myself"), &classic).0;
    assert_eq!(at_gateway(), 401);
    jira.control("PATCH", "/settings", Some(json!({"classic_token_at_gateway": true})));
    assert_eq!(at_gateway(), 200);
    for bad in [json!({"days": 0}), json!({"days": 366}), json!({"kind": "personal"})] {
        assert_eq!(jira.control("POST", "/accounts/admin/tokens", Some(bad)).0, 400);
    }
}

#[test]
fn the_list_of_sites_holds_what_was_consented_to_under_names_that_may_be_equal() {
    let jira = two_sites();
    let app = App::new(&jira);
    for site in ["demo", "second"] {
        jira.control("PATCH", &format!("/sites/{site}"), Some(json!({"display_name": "Same name"})));
    }
    let sites = |tokens: &Value| bearer(&jira, &tokens["access_token"], "/oauth/token/accessible-resources").1;
    let one = sites(&app.dance());
    assert_eq!((one.as_array().map(Vec::len), &one[0]["id"]), (Some(1), &json!(FIRST)));
    assert_eq!(one[0]["url"], jira.url(""));
    jira.control("PATCH", "/settings", Some(json!({"consent_sites": ["second"], "confluence_resources": true})));
    let all = sites(&app.dance());
    let listed: Vec<(&Value, &Value)> =
        all.as_array().unwrap().iter().map(|site| (&site["id"], &site["name"])).collect();
    let (first, second, name) = (json!(FIRST), json!(SECOND), json!("Same name"));
    assert_eq!(listed, [(&first, &name), (&first, &name), (&second, &name), (&second, &name)]);
    assert!(
        all[0]["scopes"].to_string().contains("confluence") && !all[1]["scopes"].to_string().contains("confluence")
    );
}

#[test]
fn a_service_account_comes_in_with_a_scoped_token_or_with_client_credentials() {
    let jira = two_sites();
    jira.control("POST", "/accounts", Some(json!({"name": "robot", "service": true, "sites": ["second"]})));
    let myself = format!("/ex/jira/{SECOND}/rest/api/3/myself");
    let made = token(&jira, "robot", json!({"scopes": ["read:jira-user"]}));
    let basic = Jira::basic("robot@serviceaccount.example.test", made["token"].as_str().unwrap());
    assert_eq!(ask(&jira, "127.0.0.1", &myself, &basic).1["accountType"], "app");
    let app = json!({"name": "r", "kind": "service-account", "owner": "robot", "scopes": ["read:jira-user"]});
    let app = jira.control("POST", "/apps", Some(app)).1;
    let ask_token = |secret: &Value| {
        let body = json!({"grant_type": "client_credentials", "client_id": app["client_id"], "client_secret": secret});
        let answer = jira.send("POST", &jira.url("/oauth/token"), "", Some(&body)).expect("an answer");
        (answer.status().as_u16(), serde_json::from_str::<Value>(answer.body()).expect("JSON"))
    };
    let (status, tokens) = ask_token(&app["client_secret"]);
    assert_eq!((status, tokens.get("refresh_token")), (200, None));
    assert_eq!(bearer(&jira, &tokens["access_token"], &myself).0, 200);
    assert_eq!(bearer(&jira, &tokens["access_token"], &myself.replace(SECOND, FIRST)).0, 403, "no member there");
    let (status, refused) = ask_token(&json!("wrong"));
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_client")));
}

#[test]
fn customer_service_takes_bearer_tokens_with_its_scopes_and_nothing_else() {
    let jira = two_sites();
    let access = jira.account("admin");
    let path = |rest: &str| format!("/jsm/csm/cloudid/{FIRST}/api/v1/{rest}");
    for token in [access.token.clone(), text(&token(&jira, "admin", json!({"kind": "scoped"})), "token")] {
        let basic = Jira::basic(&access.email, &token);
        assert_eq!(ask(&jira, "api.atlassian.com", &path("product"), &basic).0, 401);
    }
    let names = ["product", "customer", "customer.detail", "organization", "organization.detail"];
    let scopes = names.map(|name| format!("read:{name}:jira-service-management"));
    jira.control("PATCH", "/settings", Some(json!({"consent": "auto"})));
    let app = json!({"name": "c", "callback_urls": [CALLBACK], "scopes": scopes});
    let made = jira.control("POST", "/apps", Some(app)).1;
    let app = App { jira: &jira, id: text(&made, "client_id"), secret: text(&made, "client_secret") };
    let tokens = app.exchange(&app.code(&[("scope", Some(&scopes.join(" ")))])).1;
    let get = |rest: &str| bearer(&jira, &tokens["access_token"], &path(rest));
    assert_eq!(get("product").0, 200);
    assert_eq!(get("organization/2").1["name"], "Second Organization");
    assert_eq!(get("organization/9").0, 404);
    assert_eq!(get("customer/details").1["message"], "Unauthorized; scope does not match");
    let authorization = format!("Bearer {}", text(&tokens, "access_token"));
    let fetch = |what: &str, body: Value| {
        let answer = jira.send("POST", &jira.url(&path(what)), &authorization, Some(&body)).expect("an answer");
        (answer.status().as_u16(), serde_json::from_str::<Value>(answer.body()).expect("JSON"))
    };
    let (status, found) = fetch("organization/profile/fetch", json!({"organizationIds": ["1", "9", "2"]}));
    assert_eq!((status, found["results"].as_array().map(Vec::len)), (200, Some(2)));
    let customers = json!({"customerIds": ["00000000-0000-4000-8000-0000000c0001"]});
    assert_eq!(fetch("customer/profile/fetch", customers).1["results"][0]["name"], "Customer One");
    assert_eq!(fetch("customer/profile/fetch", json!({"customerIds": vec!["1"; 26]})).0, 400);
}
