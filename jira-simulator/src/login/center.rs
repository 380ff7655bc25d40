//! Data Center's OAuth 2.0 provider, for incoming application links (from 8.22 on).
//!
//! A client has one of the scopes READ, WRITE, ADMIN, SYSTEM_ADMIN, each with those before it; a refresh
//! ends the access token before it as well.

use http::Method;

use super::app::AppKind;
use super::consent::{self, Authorization, What};
use super::grant::Issued;
use super::scope::CENTER;
use super::token_request::{Refused, TokenRequest};
use super::{Directory, page, pkce};
use crate::routes::{Answer, Request};
use crate::state::Jira;

pub(crate) fn authorize(login: &mut Directory, sites: &[Jira], request: &Request) -> Answer {
    match request.method {
        Method::GET => {}
        Method::POST => return consent::decide(login, sites, request),
        _ => return page::error(405, "Not allowed", "This address is for browsers."),
    }
    let client_id = request.parameter("client_id").unwrap_or_default();
    let Some(app) = login.app(client_id).filter(|app| app.kind == AppKind::IncomingLink) else {
        return page::error(400, "Something went wrong", "The client ID is not that of an incoming link.");
    };
    let redirect_uri = request.parameter("redirect_uri").unwrap_or_default();
    if !app.callbacks.iter().any(|callback| callback == redirect_uri) {
        return page::error(400, "Something went wrong", "The redirect URL is not the one of the incoming link.");
    }
    let rank = |scope: &str| CENTER.iter().position(|known| *known == scope);
    let most = app.scopes.iter().filter_map(|scope| rank(scope)).max();
    let scope = request.parameter("scope").unwrap_or_default();
    let mut authorization = Authorization {
        client_id: client_id.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        state: request.parameter("state").map(str::to_owned),
        scopes: vec![scope.to_owned()],
        challenge: None,
    };
    if request.parameter("response_type") != Some("code") {
        return authorization.error("unsupported_response_type", "Only the response type code is supported");
    }
    if rank(scope).is_none() || rank(scope) > most {
        return authorization.error("invalid_scope", "The requested scope is invalid, unknown or too large");
    }
    match pkce::challenge(request.parameter("code_challenge"), request.parameter("code_challenge_method")) {
        Ok(challenge) => authorization.challenge = challenge,
        Err(sentence) => return authorization.error("invalid_request", &sentence),
    }
    consent::ask(login, sites, request, What::Code(authorization))
}

pub(crate) fn token(login: &mut Directory, request: &Request) -> Answer {
    TokenRequest::answer(login, request, false, |login, asked| match asked.grant_type() {
        "authorization_code" => by_code(login, asked),
        "refresh_token" => by_refresh(login, asked),
        _ => Err(Refused::new(400, "unsupported_grant_type", "The grant type is not supported")),
    })
}

fn client(login: &Directory, asked: &TokenRequest) -> Result<String, Refused> {
    let app = login.authenticated_app(asked.require("client_id")?, asked.require("client_secret")?);
    match app.filter(|app| app.kind == AppKind::IncomingLink) {
        Some(app) => Ok(app.client_id.clone()),
        None => Err(Refused::new(400, "invalid_client", "The client ID or the client secret is wrong")),
    }
}

fn by_code(login: &mut Directory, asked: &TokenRequest) -> Result<Issued, Refused> {
    let client_id = client(login, asked)?;
    let invalid = || Refused::new(400, "invalid_grant", "The provided authorization grant is invalid");
    let code = login.take_code(asked.require("code")?).ok_or_else(invalid)?;
    let right = code.client_id == client_id && code.redirect_uri == asked.require("redirect_uri")?;
    if !right || !pkce::verify(code.challenge.as_ref(), asked.optional("code_verifier")) {
        return Err(invalid());
    }
    Ok(login.issue(&client_id, code.account, &code.sites, code.scopes, true))
}

fn by_refresh(login: &mut Directory, asked: &TokenRequest) -> Result<Issued, Refused> {
    let client_id = client(login, asked)?;
    let secret = asked.require("refresh_token")?;
    login.refresh(&client_id, secret).ok_or_else(|| Refused::refresh(login))
}
