//! An OAuth 2.0 client that does as the test says, right or wrong.

use serde_json::{Value, json};

use crate::client::Jira;
use crate::raw::raw;

pub const CALLBACK: &str = "http://127.0.0.1:1/callback";
pub const SCOPES: &str = "read:jira-user read:jira-work offline_access";
/// A verifier and its S256 challenge, of RFC 7636.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An app of one Jira.
pub struct App<'a> {
    pub jira: &'a Jira,
    pub id: String,
    pub secret: String,
}

impl<'a> App<'a> {
    /// An app that may ask for [`SCOPES`], at a Jira that consents at once.
    pub fn new(jira: &'a Jira) -> Self {
        jira.control("PATCH", "/settings", Some(json!({"consent": "auto"})));
        let scopes: Vec<&str> = SCOPES.split(' ').collect();
        let (status, app) =
            jira.control("POST", "/apps", Some(json!({"name": "test", "callback_urls": [CALLBACK], "scopes": scopes})));
        assert_eq!(status, 200, "{app}");
        let text = |name: &str| app[name].as_str().expect("a text").to_owned();
        Self { jira, id: text("client_id"), secret: text("client_secret") }
    }

    /// The parameters of a good authorization request, with some changed; `None` leaves one out.
    pub fn parameters(&self, changes: &[(&str, Option<&str>)]) -> String {
        let good = [
            ("audience", "api.atlassian.com"),
            ("client_id", &self.id),
            ("scope", SCOPES),
            ("redirect_uri", CALLBACK),
            ("state", "a state & more"),
            ("response_type", "code"),
            ("prompt", "consent"),
        ];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in good {
            if !changes.iter().any(|(changed, _)| *changed == name) {
                query.append_pair(name, value);
            }
        }
        for (name, value) in changes {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }

    pub fn authorize(&self, changes: &[(&str, Option<&str>)]) -> http::Response<String> {
        let url = format!("{}?{}", self.jira.url("/authorize"), self.parameters(changes));
        raw("GET", &url, &[], "")
    }

    /// A fresh code.
    pub fn code(&self, changes: &[(&str, Option<&str>)]) -> String {
        parameter(&self.authorize(changes), "code").expect("a code")
    }

    /// A call of the token endpoint with JSON; null leaves a member out.
    pub fn token(&self, changes: Value) -> (u16, Value) {
        let mut body = json!({"client_id": self.id, "client_secret": self.secret, "redirect_uri": CALLBACK});
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let answer = self.jira.send("POST", &self.jira.url("/oauth/token"), "", Some(&body)).expect("an answer");
        (answer.status().as_u16(), serde_json::from_str(answer.body()).unwrap_or(Value::Null))
    }

    pub fn exchange(&self, code: &str) -> (u16, Value) {
        self.token(json!({"grant_type": "authorization_code", "code": code}))
    }

    pub fn refresh(&self, token: &Value) -> (u16, Value) {
        self.token(json!({"grant_type": "refresh_token", "refresh_token": token}))
    }

    /// The tokens of a whole dance.
    pub fn dance(&self) -> Value {
        let (status, tokens) = self.exchange(&self.code(&[]));
        assert_eq!(status, 200, "{tokens}");
        tokens
    }
}

/// Asks with a bearer token.
pub fn bearer(jira: &Jira, token: &Value, path: &str) -> (u16, Value) {
    let header = format!("Bearer {}", token.as_str().expect("a token"));
    let answer = jira.send("GET", &jira.url(path), &header, None).expect("an answer");
    (answer.status().as_u16(), serde_json::from_str(answer.body()).unwrap_or(Value::Null))
}

/// A parameter of the address a redirect leads to.
pub fn parameter(answer: &http::Response<String>, name: &str) -> Option<String> {
    assert_eq!(answer.status(), 302, "{}", answer.body());
    let location = answer.headers()["location"].to_str().expect("a text");
    let url = url::Url::parse(location).expect("an address");
    assert!(location.starts_with(CALLBACK), "{location}");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
