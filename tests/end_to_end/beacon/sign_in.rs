//! Where people sign in to a Beacon: OAuth 2.0 with rotating refresh tokens and a choice of harbours, and application
//! links by OAuth 1.0a. It consents to everything at once; signatures are proved elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The app that is registered.
pub(crate) const CLIENT: &str = "beacon-client";
/// Its secret.
pub(crate) const CLIENT_SECRET: &str = "beacon-client-secret-not-real";

/// What was granted so far.
#[derive(Clone, Default)]
pub(crate) struct SignIn(Arc<Mutex<Granted>>);

#[derive(Default)]
struct Granted {
    drawn: u32,
    codes: HashMap<String, Code>,
    access: HashSet<String>,
    refresh: HashSet<String>,
    /// Verifiers of application links, by request token.
    verifiers: HashMap<String, String>,
    /// The scopes that were asked for.
    asked: Vec<String>,
    harbours: Vec<Value>,
    refusing: bool,
    /// The app's secret, where it was changed.
    other_secret: Option<&'static str>,
    /// Whether no tokens are given for now.
    away: bool,
    /// How long access tokens last, in seconds, where it is not an hour.
    lasts: Option<u64>,
    /// All secrets that were drawn or came, by kind.
    secrets: Vec<(&'static str, String)>,
}

struct Code {
    redirect: String,
    challenge: String,
}

impl SignIn {
    fn look(&self) -> MutexGuard<'_, Granted> {
        self.0.lock().expect("no request panicked in it")
    }

    /// Whether a request is authorized by what was granted.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let granted = self.look();
        let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match value.split_once(' ') {
            Some(("Bearer", token)) => granted.access.contains(token),
            Some(("OAuth", parameters)) => {
                oauth1(parameters, "oauth_token").is_some_and(|token| granted.access.contains(&token))
            }
            _ => false,
        }
    }

    /// The harbours that whoever signs in reaches.
    pub(crate) fn reaches(&self, harbours: &[(&str, &str)]) {
        self.look().harbours = harbours.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
    }

    /// The only harbour, which says that people sign in to it elsewhere.
    pub(crate) fn reaches_one_that_lies(&self, login_url: &str) {
        self.look().harbours = vec![json!({"id": "north", "name": "Twin", "login-url": login_url})];
    }

    /// From now on the person says no.
    pub(crate) fn refuses(&self, refusing: bool) {
        self.look().refusing = refusing;
    }

    /// From now on access tokens last for so many seconds.
    pub(crate) fn lasts(&self, seconds: u64) {
        self.look().lasts = Some(seconds);
    }

    /// From now on no tokens are given for now, or they are again.
    pub(crate) fn is_away(&self, away: bool) {
        self.look().away = away;
    }

    /// From now on the app has another secret.
    pub(crate) fn has_another_secret(&self, secret: &'static str) {
        self.look().other_secret = Some(secret);
    }

    /// Ends all that was granted.
    pub(crate) fn revoke(&self) {
        let mut granted = self.look();
        granted.access.clear();
        granted.refresh.clear();
    }

    /// All secrets that travelled so far, by kind, oldest first.
    pub(crate) fn secrets(&self) -> Vec<(&'static str, String)> {
        self.look().secrets.clone()
    }

    /// The scopes that were asked for last.
    pub(crate) fn asked(&self) -> String {
        self.look().asked.last().cloned().unwrap_or_default()
    }

    /// How many access tokens were given.
    pub(crate) fn given(&self) -> usize {
        self.look().access.len()
    }

    /// The pages of those who are not signed in.
    pub(super) fn pages(&self) -> Router {
        Router::new()
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/link/request-token", post(request_token))
            .route("/link/authorize", get(link))
            .route("/link/access-token", post(access_token))
            .with_state(self.clone())
    }

    /// What those who are signed in may ask.
    pub(super) fn harbours(&self) -> Router {
        let sign_in = self.clone();
        Router::new().route("/harbours", get(async move || json!({"harbours": sign_in.look().harbours}).to_string()))
    }
}

impl Granted {
    fn secret(&self) -> &'static str {
        self.other_secret.unwrap_or(CLIENT_SECRET)
    }

    fn draw(&mut self, kind: &'static str) -> String {
        self.drawn += 1;
        let secret = format!("fake-{kind}-{}-not-a-real-secret", self.drawn);
        self.secrets.push((kind, secret.clone()));
        secret
    }
}

async fn authorize(State(sign_in): State<SignIn>, Query(query): Query<HashMap<String, String>>) -> Response {
    let part = |name: &str| query.get(name).cloned().unwrap_or_default();
    if part("client_id") != CLIENT || part("response_type") != "code" || part("code_challenge_method") != "S256" {
        return (StatusCode::BAD_REQUEST, "no such app").into_response();
    }
    let mut granted = sign_in.look();
    granted.asked.push(part("scope"));
    let redirect = part("redirect_uri");
    let state = part("state");
    if granted.refusing {
        return found(format!("{redirect}?error=access_denied&state={state}"));
    }
    let code = granted.draw("code");
    granted.codes.insert(code.clone(), Code { redirect: redirect.clone(), challenge: part("code_challenge") });
    found(format!("{redirect}?code={code}&state={state}"))
}

fn found(location: String) -> Response {
    (StatusCode::FOUND, [(LOCATION, location)]).into_response()
}

async fn token(State(sign_in): State<SignIn>, body: String) -> Response {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let part = |name: &str| form.get(name).cloned().unwrap_or_default();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, json!({"error": error}).to_string()).into_response();
    if part("client_id") != CLIENT || part("client_secret") != sign_in.look().secret() {
        return (StatusCode::UNAUTHORIZED, json!({"error": "invalid_client"}).to_string()).into_response();
    }
    let mut granted = sign_in.look();
    if form.contains_key("code_verifier") {
        granted.secrets.push(("pkce-verifier", part("code_verifier")));
    }
    if granted.away {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")], "{}").into_response();
    }
    let fits = match part("grant_type").as_str() {
        "authorization_code" => granted.codes.remove(&part("code")).is_some_and(|code| {
            let verifier = URL_SAFE_NO_PAD.encode(Sha256::digest(part("code_verifier")));
            code.redirect == part("redirect_uri") && code.challenge == verifier
        }),
        "refresh_token" => granted.refresh.remove(&part("refresh_token")),
        _ => false,
    };
    if !fits {
        return refused("invalid_grant");
    }
    let (access, refresh) = (granted.draw("access"), granted.draw("refresh"));
    granted.access.insert(access.clone());
    granted.refresh.insert(refresh.clone());
    let lasts = granted.lasts.unwrap_or(3600);
    let tokens = json!({
        "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": lasts,
        "scope": granted.asked.last(),
    });
    ([("content-type", "application/json")], tokens.to_string()).into_response()
}

/// A parameter of an `Authorization: OAuth` header.
fn oauth1(parameters: &str, name: &str) -> Option<String> {
    let pairs = parameters.split(',').filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.into_iter().find(|(key, _)| *key == name)?.1.trim_matches('"');
    Some(url::form_urlencoded::parse(format!("v={value}").as_bytes()).next()?.1.into_owned())
}

fn parameters(headers: &HeaderMap) -> String {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.strip_prefix("OAuth ").unwrap_or_default().to_owned()
}

async fn request_token(State(sign_in): State<SignIn>, headers: HeaderMap) -> Response {
    let parameters = parameters(&headers);
    let method = oauth1(&parameters, "oauth_signature_method");
    let signed = oauth1(&parameters, "oauth_signature").is_some_and(|signature| !signature.is_empty());
    let Some(callback) = oauth1(&parameters, "oauth_callback").filter(|_| signed) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if method.as_deref() != Some("RSA-SHA1") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut granted = sign_in.look();
    let token = granted.draw("request");
    granted.verifiers.insert(token.clone(), callback);
    let secret = granted.draw("token-secret");
    format!("oauth_token={token}&oauth_token_secret={secret}&oauth_callback_confirmed=true").into_response()
}

async fn link(State(sign_in): State<SignIn>, Query(query): Query<HashMap<String, String>>) -> Response {
    let token = query.get("oauth_token").cloned().unwrap_or_default();
    let mut granted = sign_in.look();
    let Some(callback) = granted.verifiers.get(&token).cloned() else { return StatusCode::NOT_FOUND.into_response() };
    let verifier = granted.draw("verifier");
    granted.verifiers.insert(token.clone(), verifier.clone());
    found(format!("{callback}?oauth_token={token}&oauth_verifier={verifier}"))
}

async fn access_token(State(sign_in): State<SignIn>, headers: HeaderMap) -> Response {
    let parameters = parameters(&headers);
    let mut granted = sign_in.look();
    let token = oauth1(&parameters, "oauth_token").unwrap_or_default();
    let expected = granted.verifiers.remove(&token);
    if expected.is_none() || expected != oauth1(&parameters, "oauth_verifier") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let access = granted.draw("access");
    granted.access.insert(access.clone());
    let secret = granted.draw("token-secret");
    format!("oauth_token={access}&oauth_token_secret={secret}&oauth_expires_in=157680000").into_response()
}
