//! Data Center and Server: personalities, passwords and CAPTCHA, personal access tokens, OAuth 2.0.

use jira_simulator::{Config, Personality};
use serde_json::{Value, json};

use crate::client::Jira;
use crate::oauth::{CALLBACK, CHALLENGE, VERIFIER, bearer, parameter};
use crate::raw::{form, raw, read};

/// A Data Center of a release, under a context path.
pub fn center(version: &str) -> Jira {
    Jira::start(Config {
        personality: Personality::DataCenter,
        version: version.parse().expect("a version"),
        context_path: "/jira".to_owned(),
        ..Config::default()
    })
}

fn get(jira: &Jira, path: &str, authorization: &str) -> (u16, Value) {
    let headers = [("authorization", authorization)];
    read(&raw("GET", &jira.url(path), if authorization.is_empty() { &[] } else { &headers }, ""))
}

const MYSELF: &str = "/rest/api/2/myself";

#[test]
fn every_release_says_who_it_is_under_its_context_path() {
    for (version, build) in [
        ("7.13", 713_000),
        ("8.4", 804_000),
        ("8.14", 814_000),
        ("8.22.1", 822_001),
        ("9.12", 9_120_000),
        ("10.3", 10_030_000),
    ] {
        let jira = center(version);
        let (status, info) = get(&jira, "/rest/api/2/serverInfo", "");
        assert_eq!((status, &info["buildNumber"]), (200, &json!(build)), "{version}");
        assert_eq!((&info["deploymentType"], info["baseUrl"].as_str()), (&json!("Server"), Some(&*jira.url(""))));
        let outside = jira.url("").replace("/jira", "") + "/rest/api/2/serverInfo";
        assert_eq!(raw("GET", &outside, &[], "").status(), 404);
        let access = jira.account("admin");
        let (status, account) = get(&jira, MYSELF, &Jira::basic(&access.name, &access.password));
        assert_eq!(status, 200, "{version}");
        assert!(account["self"].as_str().is_some_and(|link| link.starts_with(&jira.url("/rest/api/2/user"))));
    }
}

#[test]
fn personal_access_tokens_and_oauth_begin_with_their_release() {
    let bearer_status = |version: &str| {
        let jira = center(version);
        let token = format!("Bearer {}", jira.account("admin").token);
        let answer = raw("GET", &jira.url(MYSELF), &[("authorization", &token)], "");
        let reason = answer.headers().get("x-seraph-loginreason").map(|reason| reason.to_str().unwrap().to_owned());
        (answer.status().as_u16(), reason)
    };
    assert_eq!(bearer_status("8.13"), (401, None), "an unknown scheme is anonymous");
    assert_eq!(bearer_status("8.14"), (200, Some("OK".to_owned())));
    let authorize = |version: &str| raw("GET", &center(version).url("/rest/oauth2/latest/authorize"), &[], "").status();
    assert_eq!((authorize("8.21").as_u16(), authorize("8.22").as_u16()), (404, 400));
}

#[test]
fn a_person_makes_lists_and_deletes_tokens_that_expire() {
    let jira = center("9.12");
    let access = jira.account("user");
    let basic = Jira::basic(&access.name, &access.password);
    let tokens = jira.url("/rest/pat/latest/tokens");
    let headers = [("authorization", &*basic), ("content-type", "application/json")];
    let make = |body: Value| read(&raw("POST", &tokens, &headers, &body.to_string()));
    let (status, made) = make(json!({"name": "mine", "expirationDuration": 30}));
    assert_eq!((status, &made["name"]), (201, &json!("mine")));
    let header = format!("Bearer {}", made["rawToken"].as_str().expect("a token"));
    assert_eq!(get(&jira, MYSELF, &header).1["name"], "user");
    let (_, listed) = get(&jira, "/rest/pat/latest/tokens", &basic);
    let listed = listed.as_array().expect("a list");
    let mine = listed.iter().find(|token| token["name"] == "mine").expect("listed");
    assert!(mine["expiringAt"].is_string() && mine.get("rawToken").is_none(), "{mine}");
    assert_eq!(make(json!({"name": "", "expirationDuration": 30})).0, 400);
    assert_eq!(make(json!({"name": "long", "expirationDuration": 366})).0, 400);
    jira.control("POST", "/time/advance", Some(json!({"ms": 30 * 86_400_000_u64 + 1})));
    assert_eq!(get(&jira, MYSELF, &header).0, 401);
    let (_, other) = make(json!({"name": "other"}));
    let header = format!("Bearer {}", other["rawToken"].as_str().expect("a token"));
    let one = format!("{tokens}/{}", other["id"]);
    assert_eq!(raw("DELETE", &one, &headers[..1], "").status(), 204);
    assert_eq!(get(&jira, MYSELF, &header).0, 401);
    assert_eq!(raw("DELETE", &one, &headers[..1], "").status(), 404);
    assert_eq!(get(&jira, "/rest/pat/latest/tokens", "").0, 401);
}

#[test]
fn three_wrong_passwords_lock_the_account_until_somebody_solves_the_captcha() {
    let jira = center("9.12");
    let access = jira.account("user");
    for _ in 0..3 {
        assert_eq!(get(&jira, MYSELF, &Jira::basic("user", "wrong")).0, 401);
    }
    let right = Jira::basic("user", &access.password);
    let denied = raw("GET", &jira.url(MYSELF), &[("authorization", &right)], "");
    assert_eq!(denied.status(), 403);
    assert_eq!(denied.headers()["x-seraph-loginreason"], "AUTHENTICATION_DENIED");
    let told = denied.headers()["x-authentication-denied-reason"].to_str().unwrap();
    assert_eq!(told, format!("CAPTCHA_CHALLENGE; login-url={}", jira.url("/login.jsp")));
    let login = |captcha: &str| {
        form(
            &jira.url("/login.jsp"),
            &[("os_username", "user"), ("os_password", &access.password), ("os_captcha", captcha)],
        )
    };
    login("");
    assert_eq!(get(&jira, MYSELF, &right).0, 403, "without the word");
    login("picture");
    assert_eq!(get(&jira, MYSELF, &right).0, 200);
    assert!(!jira.control("GET", "/wire", None).1.to_string().contains(&access.password));
}

/// A client of an incoming link with the scope WRITE.
struct Link<'a> {
    jira: &'a Jira,
    id: String,
    secret: String,
}

impl<'a> Link<'a> {
    fn new(jira: &'a Jira) -> Self {
        jira.control("PATCH", "/settings", Some(json!({"consent": "auto"})));
        let app = json!({"name": "link", "callback_urls": [CALLBACK], "scopes": ["WRITE"]});
        let made = jira.control("POST", "/apps", Some(app)).1;
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        Self { jira, id: text("client_id"), secret: text("client_secret") }
    }

    fn authorize(&self, scope: &str) -> http::Response<String> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("client_id", &*self.id), ("redirect_uri", CALLBACK), ("response_type", "code")])
            .extend_pairs([("scope", scope), ("state", "s"), ("code_challenge", CHALLENGE)])
            .append_pair("code_challenge_method", "S256")
            .finish();
        raw("GET", &format!("{}?{query}", self.jira.url("/rest/oauth2/latest/authorize")), &[], "")
    }

    fn token(&self, pairs: &[(&str, &str)]) -> (u16, Value) {
        let mut all = vec![("client_id", &*self.id), ("client_secret", &*self.secret), ("redirect_uri", CALLBACK)];
        all.extend_from_slice(pairs);
        read(&form(&self.jira.url("/rest/oauth2/latest/token"), &all))
    }

    fn dance(&self, scope: &str) -> Value {
        let code = parameter(&self.authorize(scope), "code").expect("a code");
        let (status, tokens) =
            self.token(&[("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)]);
        assert_eq!(status, 200, "{tokens}");
        tokens
    }
}

#[test]
fn a_refresh_ends_the_access_token_before_it() {
    let jira = center("8.22");
    let link = Link::new(&jira);
    let first = link.dance("WRITE");
    assert_eq!((&first["scope"], &first["expires_in"]), (&json!("WRITE"), &json!(7_200)));
    assert_eq!(bearer(&jira, &first["access_token"], MYSELF).1["name"], "admin");
    let refresh = |token: &Value| {
        link.token(&[("grant_type", "refresh_token"), ("refresh_token", token.as_str().expect("a token"))])
    };
    let (status, second) = refresh(&first["refresh_token"]);
    assert_eq!(status, 200);
    assert_eq!(bearer(&jira, &first["access_token"], MYSELF).0, 401);
    assert_eq!(bearer(&jira, &second["access_token"], MYSELF).0, 200);
    let (status, refused) = refresh(&first["refresh_token"]);
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    assert_eq!(bearer(&jira, &second["access_token"], MYSELF).0, 200, "the winner's token lives on");
}

#[test]
fn a_scope_opens_what_it_opens_and_a_code_needs_its_verifier() {
    let jira = center("10.3");
    let link = Link::new(&jira);
    let read_only = link.dance("READ");
    let header = format!("Bearer {}", read_only["access_token"].as_str().expect("a token"));
    let create = |header: &str| {
        let headers = [("authorization", header), ("content-type", "application/json")];
        let issue = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Bug"}, "summary": "s"}});
        raw("POST", &jira.url("/rest/api/2/issue"), &headers, &issue.to_string())
    };
    assert_eq!(create(&header).status(), 403);
    assert_eq!(create(&header).headers()["www-authenticate"], "Bearer error=\"insufficient_scope\"");
    let write = format!("Bearer {}", link.dance("WRITE")["access_token"].as_str().expect("a token"));
    assert_eq!(create(&write).status(), 201);
    assert_eq!(get(&jira, "/rest/jira-webhook/1.0/webhooks", &write).0, 403, "webhooks are for ADMIN");
    for scope in ["ADMIN", "read:jira-work", ""] {
        assert_eq!(parameter(&link.authorize(scope), "error").as_deref(), Some("invalid_scope"), "{scope}");
    }
    let code = parameter(&link.authorize("READ"), "code").expect("a code");
    let exchange = |verifier: &str| {
        link.token(&[("grant_type", "authorization_code"), ("code", &code), ("code_verifier", verifier)]).0
    };
    assert_eq!(exchange(CHALLENGE), 400);
    assert_eq!(exchange(VERIFIER), 400, "the code is used up");
    let wrong = Link { secret: "wrong".to_owned(), ..Link::new(&jira) };
    assert_eq!(wrong.token(&[("grant_type", "refresh_token"), ("refresh_token", "x")]).1["error"], "invalid_client");
}
