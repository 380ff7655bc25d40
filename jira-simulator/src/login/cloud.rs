//! `auth.atlassian.com`: OAuth 2.0 for Cloud, three-legged and for service accounts.
//!
//! A wrong client or redirect URI is told on a page, everything else to the app by redirect. What
//! the pages and descriptions say exactly is a guess after the server behind it (Auth0).

use http::Method;

use super::app::AppKind;
use super::consent::{self, Authorization, What};
use super::grant::{Issued, Sites};
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
    let app = login.app(client_id).filter(|app| app.kind == AppKind::ThreeLegged);
    let Some(app) = app else {
        return page::error(403, "Something went wrong", &format!("unauthorized_client: Unknown client: {client_id}"));
    };
    let redirect_uri = request.parameter("redirect_uri").unwrap_or_default();
    if !app.callbacks.iter().any(|callback| callback == redirect_uri) {
        let sentence = format!("redirect_uri is not registered for client: {redirect_uri}");
        return page::error(403, "Something went wrong", &sentence);
    }
    let asked: Vec<String> = request
        .parameter("scope")
        .unwrap_or_default()
        .split(' ')
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect();
    let allowed = |scope: &String| scope == "offline_access" || app.scopes.contains(scope);
    let stranger = asked.iter().find(|scope| !allowed(scope)).cloned();
    let mut authorization = Authorization {
        client_id: client_id.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        state: request.parameter("state").map(str::to_owned),
        scopes: asked,
        challenge: None,
    };
    match request.parameter("response_type") {
        Some("code") => {}
        None => return authorization.error("invalid_request", "Missing required parameter: response_type"),
        Some(_) => return authorization.error("unsupported_response_type", "Unsupported response type"),
    }
    match request.parameter("audience") {
        Some("api.atlassian.com") => {}
        None => return authorization.error("invalid_request", "Missing required parameter: audience"),
        Some(other) => return authorization.error("access_denied", &format!("Service not found: {other}")),
    }
    if let Some(stranger) = stranger {
        return authorization.error("invalid_scope", &format!("Scope is not allowed for this app: {stranger}"));
    }
    if authorization.scopes.is_empty() {
        return authorization.error("invalid_scope", "Missing required parameter: scope");
    }
    match pkce::challenge(request.parameter("code_challenge"), request.parameter("code_challenge_method")) {
        Ok(challenge) => authorization.challenge = challenge,
        Err(sentence) => return authorization.error("invalid_request", &sentence),
    }
    consent::ask(login, sites, request, What::Code(authorization))
}

pub(crate) fn token(login: &mut Directory, sites: &[Jira], request: &Request) -> Answer {
    TokenRequest::answer(login, request, true, |login, asked| match asked.grant_type() {
        "authorization_code" => by_code(login, asked),
        "refresh_token" => by_refresh(login, asked),
        "client_credentials" => by_credentials(login, sites, asked),
        "" => Err(Refused::new(400, "invalid_request", "Missing required parameter: grant_type")),
        _ => Err(Refused::new(400, "unsupported_grant_type", "Unsupported grant type")),
    })
}

/// The app that asks, proved by its secret.
fn client(login: &Directory, asked: &TokenRequest, kind: AppKind) -> Result<String, Refused> {
    let app = login.authenticated_app(asked.get("client_id"), asked.get("client_secret"));
    match app {
        Some(app) if app.kind == kind => Ok(app.client_id.clone()),
        Some(_) => Err(Refused::new(403, "unauthorized_client", "Grant type not allowed for the client.")),
        None if kind == AppKind::ServiceAccount => {
            Err(Refused::new(400, "invalid_client", "Client authentication failed"))
        }
        None => Err(Refused::new(401, "access_denied", "Unauthorized")),
    }
}

fn by_code(login: &mut Directory, asked: &TokenRequest) -> Result<Issued, Refused> {
    let client_id = client(login, asked, AppKind::ThreeLegged)?;
    let invalid = || Refused::new(403, "invalid_grant", "Invalid authorization code");
    let code = login.take_code(asked.require("code")?).ok_or_else(invalid)?;
    if code.client_id != client_id {
        return Err(invalid());
    }
    if code.redirect_uri != asked.require("redirect_uri")? {
        return Err(Refused::new(403, "invalid_grant", "The redirect URI is not the one of the authorization request"));
    }
    if !pkce::verify(code.challenge.as_ref(), asked.optional("code_verifier")) {
        return Err(Refused::new(403, "invalid_grant", "Failed to verify code verifier"));
    }
    let offline = code.scopes.iter().any(|scope| scope == "offline_access");
    Ok(login.issue(&client_id, code.account, &code.sites, code.scopes, offline))
}

fn by_refresh(login: &mut Directory, asked: &TokenRequest) -> Result<Issued, Refused> {
    let client_id = client(login, asked, AppKind::ThreeLegged)?;
    let secret = asked.require("refresh_token")?;
    login.refresh(&client_id, secret).ok_or_else(|| Refused::refresh(login))
}

fn by_credentials(login: &mut Directory, sites: &[Jira], asked: &TokenRequest) -> Result<Issued, Refused> {
    let client_id = client(login, asked, AppKind::ServiceAccount)?;
    let Some(app) = login.app(&client_id) else { return Err(Refused::new(400, "invalid_client", "No such client")) };
    let (account, scopes) = (app.owner, app.scopes.clone());
    let member = sites.iter().filter(|site| site.accounts[account].member);
    let held: Sites = member.map(|site| (site.place, scopes.clone())).collect();
    Ok(login.issue(&client_id, account, &held, scopes, false))
}
