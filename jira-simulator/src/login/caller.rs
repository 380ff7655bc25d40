//! Who calls: the one place where a credential becomes an account, or an answer.

use super::{Directory, basic, bearer, oauth1};
use crate::routes::{Answer, Request};
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

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The site itself: `NAME.atlassian.net`, or a Data Center.
    Site,
    /// `api.atlassian.com/ex/jira/{cloudId}`.
    Gateway,
    /// `api.atlassian.com/jsm/csm/cloudid/{cloudId}`.
    Csm,
}

impl Door {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Gateway => "gateway",
            Self::Csm => "csm",
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
    /// What the credential is limited to; none where it may all that the account may.
    pub(crate) scopes: Option<Vec<String>>,
}

impl Caller {
    pub(crate) fn anonymous() -> Self {
        Self { account: None, login: Login::Anonymous, named: None, scopes: None }
    }

    pub(super) fn refused(login: Login, named: Option<usize>) -> Self {
        Self { account: None, login, named, scopes: None }
    }
}

/// A caller, and the answer where it comes before any route.
pub(super) type Decided = (Caller, Option<Answer>);

/// Decides who calls.
pub(crate) fn authenticate(login: &mut Directory, jira: &Jira, door: Door, request: &Request) -> Decided {
    let Some(header) = request.header("authorization") else {
        if !login.cloud() && oauth1::is_signed(request) {
            return oauth1::authenticate(login, jira, request);
        }
        return match door {
            Door::Site => (Caller::anonymous(), None),
            Door::Gateway | Door::Csm => (Caller::anonymous(), Some(bearer::unauthorized())),
        };
    };
    let scheme = header.split(' ').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("basic") && header.len() > scheme.len() {
        let credential = &header[scheme.len() + 1..];
        return basic::authenticate(login, jira, door, credential);
    }
    if !login.cloud() && scheme.eq_ignore_ascii_case("oauth") {
        return oauth1::authenticate(login, jira, request);
    }
    bearer::authenticate(login, jira, door, header)
}

/// Lets an account in.
pub(super) fn accept(login: &mut Directory, place: usize, scopes: Option<Vec<String>>) -> Decided {
    login.people[place].failures = 0;
    (Caller { account: Some(place), login: Login::Ok, named: Some(place), scopes }, None)
}

/// Refuses a credential: Cloud's site goes on as anonymous, its gateway and Data Center answer 401.
pub(super) fn failed(login: &mut Directory, jira: &Jira, door: Door, named: Option<usize>) -> Decided {
    login.note_failure(named);
    let caller = Caller::refused(Login::Failed, named);
    if login.cloud() {
        return (caller, (door != Door::Site).then(bearer::unauthorized));
    }
    let page = "<html><head><title>Unauthorized (401)</title></head><body><h1>Basic Authentication Failure - Reason : AUTHENTICATED_FAILED</h1></body></html>";
    (caller, Some(Answer::text(401, "text/html;charset=UTF-8", page).with_header("WWW-Authenticate", realm(jira))))
}

/// The challenge of a Data Center.
pub(super) fn realm(jira: &Jira) -> String {
    format!("OAuth realm=\"{}\"", jira.site_url.replace(':', "%3A").replace('/', "%2F"))
}

/// Refuses an account that must solve a CAPTCHA, whatever the credential.
pub(super) fn denied(login: &mut Directory, jira: &Jira, place: usize) -> Decided {
    login.failures += 1;
    let page = "<html><head><title>Forbidden (403)</title></head><body><h1>Basic Authentication Failure - Reason : AUTHENTICATION_DENIED</h1></body></html>";
    let reason = format!("CAPTCHA_CHALLENGE; login-url={}/login.jsp", jira.site_url);
    let answer =
        Answer::text(403, "text/html;charset=UTF-8", page).with_header("X-Authentication-Denied-Reason", reason);
    (Caller::refused(Login::Denied, Some(place)), Some(answer))
}
