//! Who calls: credentials, the silent fall-back to anonymous, and CAPTCHA.
//!
//! Cloud: a wrong Basic credential is served as anonymous with `X-Seraph-LoginReason:
//! AUTHENTICATED_FAILED`; `Bearer ` with exactly one space and this spelling is read (opaque → 403,
//! shaped like a JWT → 401), other spellings are served as anonymous. Data Center refuses with 401.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::routes::{Answer, Refusal};
use crate::state::Jira;

/// How the login went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    Ok,
    Anonymous,
    Failed,
    Denied,
}

impl Login {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Anonymous => "anonymous",
            Self::Failed => "failed",
            Self::Denied => "denied",
        }
    }
}

/// The caller of a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) account: Option<usize>,
    pub(crate) login: Login,
    /// The account the credential names, whether or not it was accepted.
    pub(crate) named: Option<usize>,
}

/// Decides who calls; `Err` is an answer that comes before any route.
pub(crate) fn authenticate(jira: &mut Jira, authorization: Option<&str>) -> (Caller, Option<Answer>) {
    let anonymous = Caller { account: None, login: Login::Anonymous, named: None };
    let Some(header) = authorization else { return (anonymous, None) };
    if let Some(encoded) = header.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case("basic ")).map(|_| &header[6..])
    {
        let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((name, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
            return failed(jira, None);
        };
        return basic(jira, name, secret);
    }
    match header.strip_prefix("Bearer ") {
        Some(token) if !token.starts_with(' ') => bearer(jira, token),
        _ => (anonymous, None),
    }
}

fn basic(jira: &mut Jira, name: &str, secret: &str) -> (Caller, Option<Answer>) {
    let cloud = jira.cloud();
    let named = jira.accounts.iter().position(|account| {
        if cloud { account.email.eq_ignore_ascii_case(name) } else { account.name.eq_ignore_ascii_case(name) }
    });
    let Some(place) = named else { return failed(jira, None) };
    let account = &jira.accounts[place];
    if account.locked {
        return denied(jira, place);
    }
    if cloud && account.has_password(secret) {
        let (caller, _) = failed(jira, Some(place));
        let body = "Basic authentication with passwords is deprecated.  For more information, see: https://developer.atlassian.com/cloud/confluence/deprecation-notice-basic-auth/\n";
        return (caller, Some(Answer::text(401, "text/plain", body)));
    }
    let accepted = if cloud { account.has_token(secret) } else { account.has_password(secret) };
    if accepted { accept(jira, place) } else { failed(jira, Some(place)) }
}

fn bearer(jira: &mut Jira, token: &str) -> (Caller, Option<Answer>) {
    let owner = jira.accounts.iter().position(|account| account.has_token(token));
    if jira.cloud() {
        let (caller, _) = failed(jira, None);
        // An API token is no bearer token, however right it is.
        let answer = if token.split('.').count() == 3 {
            Refusal::not_authenticated().into()
        } else {
            Answer::json(403, &serde_json::json!({"error": "Failed to parse Connect Session Auth Token"}))
        };
        return (caller, Some(answer));
    }
    match owner {
        Some(place) if jira.version.at_least(8, 14) => accept(jira, place),
        _ => failed(jira, None),
    }
}

fn accept(jira: &mut Jira, place: usize) -> (Caller, Option<Answer>) {
    jira.accounts[place].failures = 0;
    (Caller { account: Some(place), login: Login::Ok, named: Some(place) }, None)
}

fn failed(jira: &mut Jira, named: Option<usize>) -> (Caller, Option<Answer>) {
    jira.auth_failures += 1;
    let limit = jira.settings.lock_after_failures;
    if let Some(place) = named {
        let account = &mut jira.accounts[place];
        account.failures += 1;
        account.locked = limit > 0 && account.failures >= limit;
    }
    let caller = Caller { account: None, login: Login::Failed, named };
    if jira.cloud() {
        return (caller, None);
    }
    let page = "<html><head><title>Unauthorized (401)</title></head><body><h1>Basic Authentication Failure - Reason : AUTHENTICATED_FAILED</h1></body></html>";
    let answer = Answer::text(401, "text/html;charset=UTF-8", page).with_header(
        "WWW-Authenticate",
        format!("OAuth realm=\"{}\"", jira.base_url.replace(':', "%3A").replace('/', "%2F")),
    );
    (caller, Some(answer))
}

fn denied(jira: &mut Jira, place: usize) -> (Caller, Option<Answer>) {
    jira.auth_failures += 1;
    let caller = Caller { account: None, login: Login::Denied, named: Some(place) };
    let page = "<html><head><title>Forbidden (403)</title></head><body><h1>Basic Authentication Failure - Reason : AUTHENTICATION_DENIED</h1></body></html>";
    let reason = format!("CAPTCHA_CHALLENGE; login-url={}/login.jsp", jira.base_url);
    let answer =
        Answer::text(403, "text/html;charset=UTF-8", page).with_header("X-Authentication-Denied-Reason", reason);
    (caller, Some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Personality, Version};

    fn jira(personality: Personality) -> Jira {
        Jira::new(personality, Version::DEFAULT, "http://jira.test".to_owned(), Default::default())
    }

    fn basic_header(name: &str, secret: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
    }

    #[test]
    fn the_e_mail_address_is_matched_in_any_case() {
        let mut jira = jira(Personality::Cloud);
        let access = jira.accounts[0].access();
        let (caller, answer) = authenticate(&mut jira, Some(&basic_header("ADMIN@Example.TEST", &access.token)));
        assert_eq!((caller.account, answer.is_none()), (Some(0), true));
    }

    #[test]
    fn a_wrong_token_is_served_as_anonymous_on_cloud_and_refused_on_data_center() {
        let mut cloud = jira(Personality::Cloud);
        let (caller, answer) = authenticate(&mut cloud, Some(&basic_header("admin@example.test", "wrong")));
        assert_eq!((caller.account, caller.login), (None, Login::Failed));
        assert!(answer.is_none());
        let mut center = jira(Personality::DataCenter);
        let (_, answer) = authenticate(&mut center, Some(&basic_header("admin", "wrong")));
        assert_eq!(answer.unwrap().status, 401);
    }

    #[test]
    fn the_spelling_of_bearer_matters_on_cloud() {
        let mut jira = jira(Personality::Cloud);
        let mut status = |header: &str| authenticate(&mut jira, Some(header)).1.map(|answer| answer.status);
        assert_eq!(status("Bearer opaque"), Some(403));
        assert_eq!(status("Bearer a.b.c"), Some(401));
        assert_eq!(status("bearer opaque"), None);
        assert_eq!(status("Bearer  opaque"), None);
    }

    #[test]
    fn three_failures_lock_an_account_of_a_data_center_until_captcha_is_solved() {
        let mut jira = jira(Personality::DataCenter);
        let password = jira.accounts[1].access().password;
        for _ in 0..3 {
            authenticate(&mut jira, Some(&basic_header("user", "wrong")));
        }
        let (caller, answer) = authenticate(&mut jira, Some(&basic_header("user", &password)));
        assert_eq!((caller.login, answer.unwrap().status), (Login::Denied, 403));
    }
}
