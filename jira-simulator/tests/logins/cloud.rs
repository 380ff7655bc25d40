//! OAuth 2.0 of Cloud over TCP: what is refused, and how.

use crate::client::Jira;
use crate::oauth::{App, CALLBACK, CHALLENGE, VERIFIER, bearer, parameter};
use crate::raw::raw;
use jira_simulator::Config;
use serde_json::{Value, json};

const CLOUD_ID: &str = "00000000-0000-4000-8000-00000000c10d";
const DAY_MS: u64 = 86_400_000;

fn myself() -> String {
    format!("/ex/jira/{CLOUD_ID}/rest/api/3/myself")
}

fn advance(jira: &Jira, ms: u64) {
    jira.control("POST", "/time/advance", Some(json!({"ms": ms})));
}

fn settings(jira: &Jira, change: Value) {
    assert_eq!(jira.control("PATCH", "/settings", Some(change)).0, 200);
}

#[test]
fn a_code_is_bound_to_its_app_its_redirect_its_time_and_its_first_use() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    let other = App::new(&jira);
    let code = app.code(&[]);
    assert_eq!(app.exchange(&code).0, 200);
    let (status, refused) = app.exchange(&code);
    assert_eq!((status, &refused["error"]), (403, &json!("invalid_grant")), "used twice");
    assert_eq!(other.exchange(&app.code(&[])).0, 403, "of another app");
    let elsewhere =
        json!({"grant_type": "authorization_code", "code": app.code(&[]), "redirect_uri": "http://127.0.0.1:1/other"});
    assert_eq!(app.token(elsewhere).1["error"], "invalid_grant");
    let late = app.code(&[]);
    advance(&jira, 300_001);
    assert_eq!(app.exchange(&late).0, 403, "too late");
    let stranger = json!({"grant_type": "authorization_code", "code": app.code(&[]), "client_secret": "wrong"});
    let (status, refused) = app.token(stranger);
    assert_eq!((status, &refused["error"]), (401, &json!("access_denied")));
}

#[test]
fn a_verifier_proves_its_challenge_and_nothing_else() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    let s256 = [("code_challenge", Some(CHALLENGE)), ("code_challenge_method", Some("S256"))];
    let plain = [("code_challenge", Some(VERIFIER)), ("code_challenge_method", Some("plain"))];
    let with = |code: String, verifier: Value| {
        app.token(json!({"grant_type": "authorization_code", "code": code, "code_verifier": verifier})).0
    };
    assert_eq!(with(app.code(&s256), json!(VERIFIER)), 200);
    assert_eq!(with(app.code(&s256), json!(CHALLENGE)), 403);
    assert_eq!(with(app.code(&s256), Value::Null), 403);
    assert_eq!(with(app.code(&plain), json!(VERIFIER)), 200);
    assert_eq!(with(app.code(&plain), json!(CHALLENGE)), 403);
    assert_eq!(with(app.code(&[]), json!(VERIFIER)), 403, "a verifier without a challenge");
    let unknown = app.authorize(&[("code_challenge", Some(CHALLENGE)), ("code_challenge_method", Some("S512"))]);
    assert_eq!(parameter(&unknown, "error").as_deref(), Some("invalid_request"));
}

#[test]
fn a_wrong_client_or_redirect_is_told_on_a_page_and_the_rest_to_the_app() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    for wrong in [
        ("client_id", Some("<script>alert(1)</script>")),
        ("client_id", None),
        ("redirect_uri", Some("https://evil.example.test/")),
        ("redirect_uri", None),
    ] {
        let page = app.authorize(&[wrong]);
        assert_eq!(page.status(), 403, "{wrong:?}");
        assert!(page.headers().get("location").is_none() && !page.body().contains("<script"), "{}", page.body());
    }
    for (wrong, error) in [
        (("audience", None), "invalid_request"),
        (("audience", Some("api.example.test")), "access_denied"),
        (("response_type", Some("token")), "unsupported_response_type"),
        (("scope", Some("read:jira-user delete:everything")), "invalid_scope"),
        (("scope", None), "invalid_scope"),
    ] {
        let answer = app.authorize(&[wrong]);
        assert_eq!(parameter(&answer, "error").as_deref(), Some(error), "{wrong:?}");
        assert_eq!(parameter(&answer, "state").as_deref(), Some("a state & more"));
    }
    settings(&jira, json!({"consent": "refuse"}));
    assert_eq!(parameter(&app.authorize(&[]), "error").as_deref(), Some("access_denied"));
    settings(&jira, json!({"consent": "auto", "consent_account": "user"}));
    jira.control("PATCH", &format!("/apps/{}", app.id), Some(json!({"distributed": false})));
    assert_eq!(app.authorize(&[]).status(), 403, "a private app is its owner's");
}

#[test]
fn a_person_clicks_through_the_page_and_a_page_is_good_once() {
    let jira = Jira::start(Config { sites: vec!["demo".to_owned(), "second".to_owned()], ..Config::default() });
    let app = App::new(&jira);
    settings(&jira, json!({"consent": "ask"}));
    jira.control("PATCH", "/accounts/user", Some(json!({"sites": ["second"]})));
    let page = app.authorize(&[]);
    assert_eq!(page.status(), 200);
    assert!(!page.body().contains("<script") && !page.body().contains("src="), "{}", page.body());
    let ticket = page.body().split("name=\"ticket\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let ticket = ticket.expect("a ticket");
    let click = |fields: &str| {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        raw("POST", &jira.url("/authorize"), &form, &format!("ticket={ticket}&{fields}"))
    };
    assert_eq!(click("account=user&site=demo&decision=accept").status(), 400, "the user is not on that site");
    assert_eq!(click("account=user&site=second").status(), 400, "neither accepted nor cancelled");
    let code = parameter(&click("account=user&site=second&decision=accept"), "code").expect("a code");
    assert_eq!(click("account=user&site=second&decision=accept").status(), 400, "the page was answered");
    let tokens = app.exchange(&code).1;
    let sites = bearer(&jira, &tokens["access_token"], "/oauth/token/accessible-resources").1;
    assert_eq!((sites[0]["name"].as_str(), sites.as_array().map(Vec::len)), (Some("second"), Some(1)));
    let (status, refused) = bearer(&jira, &tokens["access_token"], &myself());
    assert_eq!((status, &refused["code"]), (403, &json!(403)), "a site the grant does not hold");
}

#[test]
fn an_access_token_ends_after_an_hour_and_a_refresh_token_after_its_first_use() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    let first = app.dance();
    assert_eq!(first["expires_in"], 3_600);
    let (status, account) = bearer(&jira, &first["access_token"], &myself());
    assert_eq!((status, &account["displayName"]), (200, &json!("Administrator")));
    advance(&jira, 3_600_001);
    let (status, refused) = bearer(&jira, &first["access_token"], &myself());
    assert_eq!((status, refused), (401, json!({"code": 401, "message": "Unauthorized"})));
    let (status, second) = app.refresh(&first["refresh_token"]);
    assert_eq!(status, 200);
    let (status, refused) = app.refresh(&first["refresh_token"]);
    let told = json!({"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."});
    assert_eq!((status, refused), (403, told));
    assert_eq!(bearer(&jira, &second["access_token"], &myself()).0, 200, "the winner's tokens live on");
    let third = app.refresh(&second["refresh_token"]).1;
    let (_, calls) = jira.control("GET", "/token-endpoint", None);
    assert_eq!(calls["calls"]["refresh_token"], json!({"invalid_grant": 1, "ok": 2}));
    jira.control("PATCH", "/accounts/admin", Some(json!({"password": "not-a-real-new-password"})));
    assert_eq!(app.refresh(&third["refresh_token"]).0, 403, "the password was changed");
}

#[test]
fn the_leeway_the_idle_time_and_the_absolute_time_are_kept() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    settings(&jira, json!({"refresh_leeway_s": 600}));
    let first = app.dance();
    assert_eq!(app.refresh(&first["refresh_token"]).0, 200);
    advance(&jira, 599_000);
    let (status, again) = app.refresh(&first["refresh_token"]);
    assert_eq!(status, 200, "within the leeway");
    advance(&jira, 2_000);
    assert_eq!(app.refresh(&first["refresh_token"]).0, 403, "after it");
    advance(&jira, 89 * DAY_MS);
    let (status, kept) = app.refresh(&again["refresh_token"]);
    assert_eq!(status, 200, "89 days unused");
    advance(&jira, 90 * DAY_MS);
    assert_eq!(app.refresh(&kept["refresh_token"]).0, 403, "90 days unused");
    settings(&jira, json!({"refresh_absolute_days": 365, "refresh_idle_days": 9_999}));
    let mut token = app.dance()["refresh_token"].clone();
    for _ in 0..4 {
        advance(&jira, 91 * DAY_MS);
        token = app.refresh(&token).1["refresh_token"].clone();
    }
    advance(&jira, 2 * DAY_MS);
    assert_eq!(app.refresh(&token).0, 403, "a year after the consent, however much it was used");
}

#[test]
fn a_refusal_of_a_refresh_token_has_the_form_that_is_set_and_reuse_may_end_all() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    settings(
        &jira,
        json!({"refresh_refusal_status": 400, "refresh_refusal_error": "unauthorized_client", "refresh_reuse_revokes": true}),
    );
    let first = app.dance();
    let second = app.refresh(&first["refresh_token"]).1;
    let (status, refused) = app.refresh(&first["refresh_token"]);
    assert_eq!((status, &refused["error"]), (400, &json!("unauthorized_client")));
    assert_eq!(app.refresh(&second["refresh_token"]).0, 400, "the whole family ended");
    assert_eq!(bearer(&jira, &second["access_token"], &myself()).0, 401);
}

#[test]
fn scopes_are_checked_route_by_route_and_offline_access_alone_gives_a_refresh_token() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    let tokens = app.exchange(&app.code(&[("scope", Some("read:jira-user"))])).1;
    assert!(tokens.get("refresh_token").is_none());
    assert_eq!(bearer(&jira, &tokens["access_token"], &myself()).0, 200);
    let search = format!("/ex/jira/{CLOUD_ID}/rest/api/3/project/search");
    let (status, refused) = bearer(&jira, &tokens["access_token"], &search);
    assert_eq!((status, refused), (401, json!({"code": 401, "message": "Unauthorized; scope does not match"})));
    let info = format!("/ex/jira/{CLOUD_ID}/rest/api/3/serverInfo");
    assert_eq!(bearer(&jira, &tokens["access_token"], &info).0, 200, "no scope is needed");
    assert_eq!(bearer(&jira, &tokens["access_token"], "/rest/api/3/myself").0, 401, "the site takes no bearer token");
}

#[test]
fn grants_are_listed_revoked_and_expired_and_a_held_answer_waits() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    let tokens = app.dance();
    let grant = jira.control("GET", "/grants", None).1[0].clone();
    assert_eq!((&grant["account"], &grant["refresh_tokens"]), (&json!("admin"), &json!(1)));
    let expire = format!("/grants/{}/expire", grant["id"]);
    jira.control("POST", &expire, Some(json!({"access": true})));
    assert_eq!(bearer(&jira, &tokens["access_token"], &myself()).0, 401);

    jira.control("POST", "/token-endpoint/hold", Some(json!({"when": "after"})));
    let renewed = std::thread::scope(|scope| {
        let waits = scope.spawn(|| app.refresh(&tokens["refresh_token"]));
        let waiting = || jira.control("GET", "/token-endpoint", None).1["waiting"] == 1;
        while !waiting() {
            std::thread::yield_now();
        }
        assert!(!waits.is_finished(), "the answer is held back");
        let calls = jira.control("GET", "/token-endpoint", None).1["calls"]["refresh_token"].clone();
        assert_eq!(calls, json!({"ok": 1}), "but the exchange was made");
        jira.control("POST", "/token-endpoint/release", None);
        waits.join().expect("no panic")
    });
    assert_eq!(renewed.0, 200);
    jira.control("DELETE", &format!("/grants/{}", grant["id"]), None);
    assert_eq!(app.refresh(&renewed.1["refresh_token"]).0, 403);
}

#[test]
fn the_token_endpoint_takes_forms_and_basic_and_keeps_no_secret_in_its_log() {
    let jira = Jira::start(Config::default());
    let app = App::new(&jira);
    let code = app.code(&[]);
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)])
        .finish();
    let basic = Jira::basic(&app.id, &app.secret);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", &basic)];
    let answer = raw("POST", &jira.url("/oauth/token"), &headers, &form);
    assert_eq!(answer.status(), 200, "{}", answer.body());
    let tokens: Value = serde_json::from_str(answer.body()).expect("JSON");
    assert_eq!(app.refresh(&tokens["refresh_token"]).0, 200);
    let wire = jira.control("GET", "/wire", None).1.to_string();
    for secret in
        [&code, &app.secret, tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap()]
    {
        assert!(!wire.contains(secret), "{secret} is in the log");
    }
    let (status, refused) = app.token(json!({"grant_type": "password"}));
    assert_eq!((status, &refused["error"]), (400, &json!("unsupported_grant_type")));
    let text = raw("POST", &jira.url("/oauth/token"), &[("content-type", "text/plain")], "grant_type=x");
    assert_eq!(text.status(), 400);
    assert_eq!(raw("GET", &jira.url("/oauth/token"), &[], "").status(), 405);
}
