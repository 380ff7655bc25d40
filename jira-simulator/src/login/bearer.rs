//! `Authorization: Bearer`: OAuth access tokens and personal access tokens.
//!
//! Cloud reads `Bearer ` with exactly one space and this spelling; its sites take no bearer token at all
//! (opaque → 403, shaped like a JWT → 401) and serve other spellings as anonymous. Its gateway refuses
//! all that is not a token it knows. Data Center before 8.14 does not know the scheme.

use serde_json::json;

use super::caller::{Decided, Door, Login, accept, failed};
use super::token::Kind;
use super::{Caller, Directory};
use crate::routes::{Answer, Refusal};
use crate::state::Jira;

/// What the gateway answers where a credential is missing or not good.
pub(super) fn unauthorized() -> Answer {
    Answer::json(401, &json!({"code": 401, "message": "Unauthorized"}))
}

pub(super) fn authenticate(login: &mut Directory, jira: &Jira, door: Door, header: &str) -> Decided {
    let token = header.strip_prefix("Bearer ").filter(|token| !token.starts_with(' '));
    let Some(token) = token else {
        let answer = (door != Door::Site).then(unauthorized);
        return (Caller::anonymous(), answer);
    };
    if !login.cloud() {
        return center(login, jira, token);
    }
    match door {
        Door::Site => {
            login.failures += 1;
            // A site takes no bearer token, however right it is.
            let answer = if token.split('.').count() == 3 {
                Refusal::not_authenticated().into()
            } else {
                Answer::json(403, &json!({"error": "Failed to parse Connect Session Auth Token"}))
            };
            (Caller::refused(Login::Failed, None), Some(answer))
        }
        Door::Gateway | Door::Csm => gateway(login, jira, door, token),
    }
}

fn gateway(login: &mut Directory, jira: &Jira, door: Door, token: &str) -> Decided {
    let Some(access) = login.use_access(token) else { return failed(login, jira, door, None) };
    match access.sites.get(&jira.place) {
        Some(_) if !jira.accounts[access.account].member => failed(login, jira, door, Some(access.account)),
        Some(scopes) => accept(login, access.account, Some(scopes.clone())),
        None => {
            let status = login.settings.foreign_site_status;
            let message = "The app is not installed on this instance";
            let answer = Answer::json(status, &json!({"code": status, "message": message}));
            (Caller::refused(Login::Anonymous, Some(access.account)), Some(answer))
        }
    }
}

fn center(login: &mut Directory, jira: &Jira, token: &str) -> Decided {
    let version = login.version;
    if !version.at_least(8, 14) {
        return (Caller::anonymous(), None);
    }
    let owner = login.use_token(token).filter(|token| token.kind == Kind::Personal).map(|token| token.account);
    if let Some(place) = owner {
        return accept(login, place, None);
    }
    match login.use_access(token).filter(|_| version.at_least(8, 22)) {
        Some(access) => {
            let scopes = access.sites.get(&jira.place).cloned().unwrap_or_default();
            accept(login, access.account, Some(scopes))
        }
        None => failed(login, jira, Door::Site, None),
    }
}
