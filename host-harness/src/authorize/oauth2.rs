//! OAuth 2.0 (RFC 6749): the address where a person authorizes, with state and PKCE (RFC 7636), and requests for
//! tokens.
//!
//! The requests are those of the `oauth2` crate. Their answers are read here: the crate forgets their status, which
//! tells what may pass from what is over, and refuses answers whose tokens must not be lost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::RETRY_AFTER;
use http::{Request, StatusCode};
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicRequestTokenError};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope, TokenUrl,
};
use serde::Deserialize;
use serde_json::Value as Json;
use url::Url;
use zeroize::{Zeroize as _, Zeroizing};

use super::scheme::{ClientAuthentication, Oauth2};
use super::tokens::{TokenError, Tokens};
use crate::clock::SharedClock;
use crate::egress::{Direct, DirectFault};
use crate::vault::Secret;

/// The longest access or refresh token.
const LONGEST_TOKEN: usize = 32 << 10;

/// The client and where it asks.
pub(super) struct Client<'a> {
    pub(super) scheme: &'a Oauth2,
    pub(super) id: Secret,
    pub(super) secret: Option<Secret>,
    pub(super) token_url: Url,
    pub(super) scopes: Vec<String>,
}

/// What a person's browser has to bring back.
pub(super) struct Begun {
    pub(super) url: Url,
    pub(super) state: Secret,
    pub(super) verifier: Option<Secret>,
}

/// What tokens are asked for with.
pub(super) enum Asking<'a> {
    Code { code: &'a Secret, verifier: Option<&'a Secret>, redirect: &'a str },
    ClientCredentials,
    Refresh(&'a Secret),
}

impl Client<'_> {
    /// The address where a person authorizes.
    pub(super) fn begin(&self, authorization_url: Url, redirect: &str, clock: &SharedClock) -> Option<Begun> {
        let state = random(clock);
        let verifier = self.scheme.pkce.then(|| random(clock));
        let client =
            BasicClient::new(ClientId::new(self.id.expose().into())).set_auth_uri(AuthUrl::from_url(authorization_url));
        let redirect = RedirectUrl::new(redirect.to_owned()).ok()?;
        let mut request = client
            .authorize_url(|| CsrfToken::new(state.expose().to_owned()))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new));
        for (name, value) in &self.scheme.parameters {
            request = request.add_extra_param(name, value);
        }
        if let Some(verifier) = &verifier {
            let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
            request = request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        }
        let (url, _) = request.url();
        Some(Begun { url, state, verifier })
    }

    /// The request for tokens.
    pub(super) async fn request(&self, asking: Asking<'_>) -> Option<Request<Zeroizing<Vec<u8>>>> {
        let auth_type = match self.scheme.client_authentication {
            ClientAuthentication::Body => AuthType::RequestBody,
            ClientAuthentication::Basic => AuthType::BasicAuth,
        };
        let mut client = BasicClient::new(ClientId::new(self.id.expose().into()))
            .set_auth_type(auth_type)
            .set_token_uri(TokenUrl::from_url(self.token_url.clone()));
        if let Some(secret) = &self.secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose().into()));
        }
        let built = Mutex::new(None);
        // In the place of an HTTP client: the request is sent under the connection's policy.
        let take = |request: HttpRequest| {
            *built.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
            std::future::ready(Err(Taken))
        };
        let more = &self.scheme.token_parameters;
        let told: Result<_, BasicRequestTokenError<Taken>> = match asking {
            Asking::Code { code, verifier, redirect } => {
                let client = client.set_redirect_uri(RedirectUrl::new(redirect.to_owned()).ok()?);
                let mut request = client.exchange_code(AuthorizationCode::new(code.expose().into()));
                if let Some(verifier) = verifier {
                    request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().into()));
                }
                for (name, value) in more {
                    request = request.add_extra_param(name, value);
                }
                request.request_async(&take).await
            }
            Asking::ClientCredentials => {
                let scopes = self.scopes.iter().cloned().map(Scope::new);
                let mut request = client.exchange_client_credentials().add_scopes(scopes);
                for (name, value) in more {
                    request = request.add_extra_param(name, value);
                }
                request.request_async(&take).await
            }
            Asking::Refresh(token) => {
                let token = RefreshToken::new(token.expose().into());
                let mut request = client.exchange_refresh_token(&token);
                for (name, value) in more {
                    request = request.add_extra_param(name, value);
                }
                request.request_async(&take).await
            }
        };
        debug_assert!(matches!(told, Err(RequestTokenError::<_, BasicErrorResponse>::Request(Taken))));
        Some(built.into_inner().unwrap_or_else(PoisonError::into_inner)?.map(Zeroizing::new))
    }
}

/// The request was taken to be sent elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("taken")]
struct Taken;

/// 256 random bits as 43 characters that need no encoding: a state, or a verifier (RFC 7636, section 4.1).
fn random(clock: &SharedClock) -> Secret {
    let mut bytes = Zeroizing::new([0; 32]);
    clock.fill_random(bytes.as_mut());
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
}

/// An answer with tokens (RFC 6749, section 5.1). Members that the host does not need may be anything.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: Option<String>,
    token_type: Option<Json>,
    expires_in: Option<Json>,
    scope: Option<Json>,
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

/// Reads what came of asking for tokens. A client that is the account itself is over where it is refused.
pub(super) fn read(answer: Result<Direct, DirectFault>, client_is_the_account: bool) -> Result<Tokens, TokenError> {
    let answer = answer?;
    if answer.status.is_success() {
        return granted(&answer.body).map_err(|what| TokenError::transient(format!("the service's answer {what}")));
    }
    Err(refused(&answer, client_is_the_account))
}

fn granted(body: &[u8]) -> Result<Tokens, &'static str> {
    let mut granted: Granted = serde_json::from_slice(body).map_err(|_| "holds no tokens")?;
    let bearer = granted.token_type.as_ref().is_none_or(|kind| {
        // What `Bearer` means stands in RFC 6750; other kinds want more than the host does.
        kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))
    });
    if !bearer {
        return Err("holds a token of a kind other than `Bearer`");
    }
    // As in RFC 6750, section 2.1: anything else could not stand in a header.
    let fits =
        |token: &str| !token.is_empty() && token.len() <= LONGEST_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    if !fits(&granted.access_token) {
        return Err("holds an access token that cannot stand in a header");
    }
    let access = Secret::new(std::mem::take(&mut granted.access_token));
    let refresh = granted.refresh_token.take().filter(|token| !token.is_empty());
    // Left out, the grant would end with its access token and nobody would know why.
    if refresh.as_ref().is_some_and(|token| token.len() > LONGEST_TOKEN) {
        return Err("holds a refresh token of more than 32 KiB");
    }
    let seconds = granted.expires_in.as_ref().and_then(|value| match value {
        // Some services write the number as a text.
        Json::String(text) => text.trim().parse().ok(),
        Json::Number(number) => number.as_f64(),
        _ => None,
    });
    let expires_in = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let scopes = granted.scope.as_ref().and_then(Json::as_str);
    Ok(Tokens {
        access,
        refresh: refresh.map(Secret::new),
        token_secret: None,
        // No time at all is what some services say who do not know.
        expires_in: expires_in.filter(|time| !time.is_zero()),
        scopes: scopes.map(|scopes| scopes.split_ascii_whitespace().map(str::to_owned).collect()),
    })
}

/// The codes of RFC 6749 (sections 4.1.2.1 and 5.2): nothing else of a service's answer is repeated.
const CODES: [&str; 10] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "unsupported_response_type",
    "server_error",
    "temporarily_unavailable",
];

/// The code as it is known.
pub(super) fn known_code(code: &str) -> Option<&'static str> {
    CODES.into_iter().find(|known| *known == code)
}

fn refused(answer: &Direct, client_is_the_account: bool) -> TokenError {
    let status = answer.status;
    let members: HashMap<String, Json> = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| members.get(name).and_then(Json::as_str).unwrap_or_default();
    let code = known_code(text("error"));
    let said = match code {
        Some(code) => format!("status {}, {code}", status.as_u16()),
        None => format!("status {}", status.as_u16()),
    };
    let judged = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    // Some services put it into words alone.
    let in_words = [text("error_description"), text("message"), text("error")]
        .iter()
        .any(|text| text.to_ascii_lowercase().contains("unknown or invalid refresh token"));
    match code {
        Some("invalid_grant" | "unauthorized_client") if judged => TokenError::Dead(said),
        // `access_denied` is no code of a token endpoint, and what some say of a wrong client secret.
        Some("invalid_client" | "access_denied") if judged && client_is_the_account => TokenError::Dead(said),
        Some("invalid_client" | "access_denied" | "invalid_request" | "invalid_scope" | "unsupported_grant_type")
            if judged =>
        {
            TokenError::Client(said)
        }
        _ if judged && in_words => TokenError::Dead(said),
        _ => {
            let after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let reason = format!("the service answered with {said}");
            TokenError::Transient { reason, after: after.map(Duration::from_secs) }
        }
    }
}

#[cfg(test)]
#[path = "oauth2_test.rs"]
mod tests;
