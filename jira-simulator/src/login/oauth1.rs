//! OAuth 1.0a of Data Center and Server: application links with RSA-SHA1.
//!
//! Refusals are `oauth_problem` answers in the body, as the server's OAuth plugin gives them.

use std::collections::BTreeSet;

use http::Method;
use rsa::RsaPublicKey;

use super::caller::{Decided, Login, accept, realm};
use super::consent::{self, What};
pub(crate) use super::oauth1_signature::public_key;
use super::oauth1_signature::{Signed, verify};
use super::page::{self, escape};
use super::{Caller, Directory, random_hex};
use crate::routes::{Answer, Request};
use crate::state::Jira;

/// How long a request token waits, and an access token is good: 10 minutes, 5 years.
const REQUEST_MS: i64 = 600_000;
const ACCESS_S: i64 = 157_680_000;
/// Nonces that are remembered.
const NONCES: usize = 200_000;

/// An application link.
pub(crate) struct Consumer {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) public_key: RsaPublicKey,
}

enum Standing {
    Waiting,
    Denied,
    Allowed { account: usize, verifier: String },
    Access { account: usize },
}

struct LinkToken {
    token: String,
    consumer: String,
    callback: String,
    expires: i64,
    standing: Standing,
}

/// The application links and their tokens.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) consumers: Vec<Consumer>,
    tokens: Vec<LinkToken>,
    nonces: BTreeSet<(i64, String, String)>,
}

impl Links {
    /// The name of the link behind a request token, and where its person goes next.
    pub(super) fn described(&self, token: &str) -> (&str, &str) {
        let Some(token) = self.tokens.iter().find(|known| known.token == token) else { return ("an app", "") };
        let consumer = self.consumers.iter().find(|consumer| consumer.key == token.consumer);
        (consumer.map_or("an app", |consumer| &consumer.name), &token.callback)
    }

    /// How many access tokens a link has.
    pub(crate) fn access_tokens(&self, key: &str) -> usize {
        let access = |token: &&LinkToken| token.consumer == key && matches!(token.standing, Standing::Access { .. });
        self.tokens.iter().filter(access).count()
    }

    /// Takes back every token of a link.
    pub(crate) fn revoke(&mut self, key: &str) {
        self.tokens.retain(|token| token.consumer != key);
    }
}

/// Why a signed request is refused.
struct Problem {
    status: u16,
    name: &'static str,
    more: Vec<(&'static str, String)>,
}

impl Problem {
    fn new(name: &'static str) -> Self {
        let bad = [
            "version_rejected",
            "parameter_absent",
            "parameter_rejected",
            "timestamp_refused",
            "signature_method_rejected",
        ];
        Self { status: if bad.contains(&name) { 400 } else { 401 }, name, more: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.more.push((name, value.into()));
        self
    }

    fn answer(&self, jira: &Jira) -> Answer {
        let pairs =
            std::iter::once(("oauth_problem", self.name)).chain(self.more.iter().map(|(n, v)| (*n, v.as_str())));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Answer::text(self.status, "text/plain;charset=UTF-8", body)
            .with_header("WWW-Authenticate", format!("{}, oauth_problem=\"{}\"", realm(jira), self.name))
    }
}

pub(super) fn is_signed(request: &Request) -> bool {
    Signed::read(request).is_signed()
}

/// Checks a signed request; answers with the key of the link.
fn check(login: &mut Directory, jira: &Jira, request: &Request, signed: &Signed) -> Result<String, Problem> {
    let needed = ["oauth_consumer_key", "oauth_signature_method", "oauth_signature", "oauth_timestamp", "oauth_nonce"];
    let absent: Vec<&str> = needed.into_iter().filter(|name| signed.get(name).is_none()).collect();
    if !absent.is_empty() {
        return Err(Problem::new("parameter_absent").with("oauth_parameters_absent", absent.join("&")));
    }
    let get = |name: &str| signed.get(name).unwrap_or_default();
    if signed.get("oauth_version").is_some_and(|version| version != "1.0") {
        return Err(Problem::new("version_rejected").with("oauth_acceptable_versions", "1.0-1.0"));
    }
    let key = get("oauth_consumer_key").to_owned();
    let Some(consumer) = login.links.consumers.iter().find(|consumer| consumer.key == key) else {
        return Err(Problem::new("consumer_key_unknown"));
    };
    if get("oauth_signature_method") != "RSA-SHA1" {
        return Err(Problem::new("signature_method_rejected").with("oauth_acceptable_signature_methods", "RSA-SHA1"));
    }
    let now = login.now() / 1_000;
    let skew = login.settings.clock_skew_s;
    let timestamp: i64 = get("oauth_timestamp").parse().map_err(|_| Problem::new("parameter_rejected"))?;
    if i128::from(now.abs_diff(timestamp)) > i128::from(skew) {
        let window = format!("{}-{}", now.saturating_sub(skew), now.saturating_add(skew));
        return Err(Problem::new("timestamp_refused").with("oauth_acceptable_timestamps", window));
    }
    let scheme = jira.site_url.split(':').next().unwrap_or("http");
    let base = signed.base_string(request, scheme);
    if !verify(&consumer.public_key, &base, get("oauth_signature")) {
        return Err(Problem::new("signature_invalid")
            .with("oauth_signature", get("oauth_signature"))
            .with("oauth_signature_base_string", base)
            .with("oauth_signature_method", "RSA-SHA1"));
    }
    // Only what was signed well counts: others must not use up somebody's nonces.
    let nonces = &mut login.links.nonces;
    if !nonces.insert((timestamp, key.clone(), get("oauth_nonce").to_owned())) {
        return Err(Problem::new("nonce_used"));
    }
    while nonces.len() > NONCES {
        nonces.pop_first();
    }
    Ok(key)
}

/// The caller of a signed request for Jira itself.
pub(super) fn authenticate(login: &mut Directory, jira: &Jira, request: &Request) -> Decided {
    let signed = Signed::read(request);
    let now = login.now();
    let decided = check(login, jira, request, &signed).and_then(|key| {
        let Some(token) = signed.get("oauth_token") else {
            return Err(Problem::new("parameter_absent").with("oauth_parameters_absent", "oauth_token"));
        };
        let known = login.links.tokens.iter().find(|known| known.token == token && known.consumer == key);
        match known.map(|known| (&known.standing, known.expires > now)) {
            Some((Standing::Access { account }, true)) => Ok(*account),
            Some((Standing::Access { .. }, false)) => Err(Problem::new("token_expired")),
            _ => Err(Problem::new("token_rejected")),
        }
    });
    match decided {
        Ok(account) => accept(login, account, None),
        Err(problem) => {
            login.note_failure(None);
            (Caller::refused(Login::Failed, None), Some(problem.answer(jira)))
        }
    }
}

/// `/plugins/servlet/oauth/{step}`.
pub(crate) fn route(login: &mut Directory, sites: &[Jira], request: &Request, step: &str) -> Answer {
    match (&request.method, step) {
        (&Method::GET, "authorize") => authorize(login, sites, request),
        (&Method::POST, "authorize") => consent::decide(login, sites, request),
        (&Method::POST, "request-token") => {
            request_token(login, &sites[0], request).unwrap_or_else(|problem| problem.answer(&sites[0]))
        }
        (&Method::POST, "access-token") => {
            let given = access_token(login, &sites[0], request);
            login.count_token_call("oauth1", given.as_ref().map_or_else(|problem| problem.name, |_| "ok"));
            given.unwrap_or_else(|problem| problem.answer(&sites[0]))
        }
        (_, "authorize" | "request-token" | "access-token") => Answer::text(405, "text/plain", "Method Not Allowed"),
        _ => page::error(404, "Not found", "There is no such page."),
    }
}

fn tokens(pairs: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Answer::text(200, "text/plain;charset=UTF-8", body)
}

fn request_token(login: &mut Directory, jira: &Jira, request: &Request) -> Result<Answer, Problem> {
    let signed = Signed::read(request);
    let consumer = check(login, jira, request, &signed)?;
    let Some(callback) = signed.get("oauth_callback") else {
        return Err(Problem::new("parameter_absent").with("oauth_parameters_absent", "oauth_callback"));
    };
    let web = url::Url::parse(callback).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if callback != "oob" && !web {
        return Err(Problem::new("parameter_rejected").with("oauth_parameters_rejected", "oauth_callback"));
    }
    let now = login.now();
    login.links.tokens.retain(|known| known.expires > now || matches!(known.standing, Standing::Access { .. }));
    let expires = now + REQUEST_MS;
    let token = format!("fake-request-token-{}", random_hex());
    login.links.tokens.push(LinkToken {
        token: token.clone(),
        consumer,
        callback: callback.to_owned(),
        expires,
        standing: Standing::Waiting,
    });
    // The secret has no use with RSA-SHA1; Jira gives one all the same.
    let secret = random_hex();
    Ok(tokens(&[("oauth_token", &token), ("oauth_token_secret", &secret), ("oauth_callback_confirmed", "true")]))
}

fn authorize(login: &mut Directory, sites: &[Jira], request: &Request) -> Answer {
    let token = request.parameter("oauth_token").unwrap_or_default();
    let now = login.now();
    let waits = |known: &&LinkToken| known.token == token && matches!(known.standing, Standing::Waiting);
    match login.links.tokens.iter().find(waits) {
        Some(known) if known.expires > now => consent::ask(login, sites, request, What::Link(token.to_owned())),
        Some(_) => page::error(401, "OAuth problem", "oauth_problem=token_expired"),
        None => page::error(401, "OAuth problem", "oauth_problem=token_rejected"),
    }
}

/// Writes a person's answer onto a request token and sends them on.
pub(super) fn settle(login: &mut Directory, token: &str, account: usize, accept: bool) -> Answer {
    let waits = |known: &&mut LinkToken| known.token == token && matches!(known.standing, Standing::Waiting);
    let Some(known) = login.links.tokens.iter_mut().find(waits) else {
        return page::error(401, "OAuth problem", "oauth_problem=token_rejected");
    };
    let verifier = if accept { random_hex()[..8].to_owned() } else { "denied".to_owned() };
    known.standing = if accept { Standing::Allowed { account, verifier: verifier.clone() } } else { Standing::Denied };
    if known.callback == "oob" {
        let sentence = format!("<p>Your verification code is <code>{}</code>.</p>", escape(&verifier));
        return page::page(200, if accept { "Access approved" } else { "Access denied" }, &sentence);
    }
    page::redirect(&page::with_parameters(&known.callback, &[("oauth_token", token), ("oauth_verifier", &verifier)]))
}

fn access_token(login: &mut Directory, jira: &Jira, request: &Request) -> Result<Answer, Problem> {
    let signed = Signed::read(request);
    let consumer = check(login, jira, request, &signed)?;
    let Some(token) = signed.get("oauth_token") else {
        return Err(Problem::new("parameter_absent").with("oauth_parameters_absent", "oauth_token"));
    };
    let now = login.now();
    let mine = |known: &&mut LinkToken| known.token == token && known.consumer == consumer;
    let known = login.links.tokens.iter_mut().find(mine).ok_or_else(|| Problem::new("token_rejected"))?;
    let account = match &known.standing {
        Standing::Access { .. } => return Err(Problem::new("token_rejected")),
        _ if known.expires <= now => return Err(Problem::new("token_expired")),
        Standing::Waiting => return Err(Problem::new("permission_unknown")),
        Standing::Denied => return Err(Problem::new("permission_denied")),
        Standing::Allowed { account, verifier } => match signed.get("oauth_verifier") {
            Some(sent) if sent == verifier => *account,
            Some(_) => return Err(Problem::new("token_rejected")),
            None => return Err(Problem::new("parameter_absent").with("oauth_parameters_absent", "oauth_verifier")),
        },
    };
    // The request token becomes the access token, so it cannot be exchanged twice.
    known.token = format!("fake-link-token-{}", random_hex());
    known.expires = now + ACCESS_S * 1_000;
    known.standing = Standing::Access { account };
    let (token, secret, session) = (known.token.clone(), random_hex(), random_hex());
    let (lifetime, session_lifetime) = (ACCESS_S.to_string(), (ACCESS_S + 30 * 86_400).to_string());
    Ok(tokens(&[
        ("oauth_token", &token),
        ("oauth_token_secret", &secret),
        ("oauth_expires_in", &lifetime),
        ("oauth_session_handle", &session),
        ("oauth_authorization_expires_in", &session_lifetime),
    ]))
}
