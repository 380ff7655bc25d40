//! `/rest/pat/latest/tokens`: a person's own personal access tokens, on Data Center from 8.14 on.

use http::Method;
use serde_json::{Value, json};

use super::token::{Kind, Token};
use super::{Caller, Directory};
use crate::clock::jira_time;
use crate::routes::{Answer, Refusal, Request};
use crate::state::Jira;

/// How many tokens a person may have, and for how many days at most: the defaults of an installation.
const MOST: usize = 10;
const MOST_DAYS: i64 = 365;

pub(crate) fn route(login: &mut Directory, jira: &Jira, caller: &Caller, request: &Request) -> Answer {
    let Some(account) = caller.account else { return Refusal::not_authenticated().into() };
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    match (&request.method, segments.as_slice()) {
        (&Method::GET, ["rest", "pat", _, "tokens"]) => {
            Answer::ok(own(login, account).map(shown).collect::<Vec<_>>().into())
        }
        (&Method::POST, ["rest", "pat", _, "tokens"]) => {
            create(login, jira, account, request).unwrap_or_else(Answer::from)
        }
        (&Method::DELETE, ["rest", "pat", _, "tokens", id]) => {
            let id: Option<u64> = id.parse().ok();
            let found = login.tokens.iter_mut().find(|token| Some(token.id) == id && token.account == account);
            match found.filter(|token| !token.revoked) {
                Some(token) => {
                    token.revoked = true;
                    Answer::empty(204)
                }
                None => Refusal::new(404, "The token does not exist.").into(),
            }
        }
        _ => Refusal::new(404, "null for uri").into(),
    }
}

fn own(login: &Directory, account: usize) -> impl Iterator<Item = &Token> {
    login.tokens.iter().filter(move |token| token.account == account && !token.revoked)
}

fn shown(token: &Token) -> Value {
    let mut body = json!({"id": token.id, "name": token.label, "createdAt": jira_time(token.created)});
    if let Some(expires) = token.expires {
        body["expiringAt"] = json!(jira_time(expires));
    }
    if let Some(used) = token.last_used {
        body["lastAccessedAt"] = json!(jira_time(used));
    }
    body
}

fn create(login: &mut Directory, jira: &Jira, account: usize, request: &Request) -> Result<Answer, Refusal> {
    let body = request.json()?;
    let name = body["name"].as_str().map(str::trim).unwrap_or_default();
    if name.is_empty() {
        return Err(Refusal::new(400, "The name of the token is required."));
    }
    let days = match &body["expirationDuration"] {
        Value::Null => None,
        days => Some(
            days.as_i64()
                .filter(|days| (1..=MOST_DAYS).contains(days))
                .ok_or_else(|| Refusal::new(400, format!("The token may expire after at most {MOST_DAYS} days.")))?,
        ),
    };
    if own(login, account).count() >= MOST {
        return Err(Refusal::new(400, format!("You have reached the limit of {MOST} tokens.")));
    }
    let owner = jira.accounts[account].name.clone();
    let token = login.add_token(account, &owner, Kind::Personal, name, Vec::new(), days);
    let mut body = shown(token);
    body["rawToken"] = json!(token.secret);
    Ok(Answer::json(201, &body))
}
