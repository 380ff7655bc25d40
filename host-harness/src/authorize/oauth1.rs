//! OAuth 1.0a (RFC 5849, section 2): from a request token over a person's word to an access token.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::access::Access;
use super::signature::{SignatureError, Signer, Stamp};
use super::tokens::{TokenError, Tokens};
use crate::clock::SharedClock;
use crate::egress::Direct;
use crate::vault::Secret;

/// The longest token.
const LONGEST_TOKEN: usize = 4 << 10;

/// Asks for a request token (section 2.1); answers with it and its secret.
pub(super) async fn request_token(
    signer: &Signer,
    url: &Url,
    callback: &str,
    access: &Access,
    clock: &SharedClock,
) -> Result<(Secret, Secret), TokenError> {
    let answer = send(signer, url, &[("oauth_callback", callback)], access, clock).await?;
    let mut pairs = Pairs::read(&answer);
    if pairs.take("oauth_callback_confirmed").is_none_or(|value| value.expose() != "true") {
        let what = "the service did not confirm where the browser comes back to: it speaks an OAuth before 1.0a";
        return Err(TokenError::Client(what.into()));
    }
    Ok((pairs.token()?, pairs.take("oauth_token_secret").unwrap_or_else(|| Secret::new(""))))
}

/// Exchanges a request token that a person authorized (section 2.3).
pub(super) async fn access_token(
    signer: &Signer,
    url: &Url,
    token: &Secret,
    verifier: &Secret,
    access: &Access,
    clock: &SharedClock,
) -> Result<Tokens, TokenError> {
    let own = [("oauth_token", token.expose()), ("oauth_verifier", verifier.expose())];
    let answer = send(signer, url, &own, access, clock).await?;
    let mut pairs = Pairs::read(&answer);
    let seconds = pairs.take("oauth_expires_in").and_then(|value| value.expose().parse().ok());
    Ok(Tokens {
        access: pairs.token()?,
        refresh: None,
        token_secret: pairs.take("oauth_token_secret"),
        expires_in: seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        scopes: None,
    })
}

async fn send(
    signer: &Signer,
    url: &Url,
    own: &[(&str, &str)],
    access: &Access,
    clock: &SharedClock,
) -> Result<Direct, TokenError> {
    let denied = |reason: &str| TokenError::Denied(reason.to_owned());
    let uri: Uri = url.as_str().parse().map_err(|_| denied("its address is not one that can be sent to"))?;
    let header = header(signer, &Method::POST, &uri, own, clock).map_err(|error| denied(&error.to_string()))?;
    let mut request = Request::new(Zeroizing::new(Vec::new()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    request.headers_mut().insert(AUTHORIZATION, header);
    request.headers_mut().insert(CONTENT_LENGTH, 0.into());
    let answer = access.direct(request).await?;
    let said = format!("status {}", answer.status.as_u16());
    match answer.status {
        status if status.is_success() => Ok(answer),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(TokenError::Client(
            // The problem-reporting extension: one of its words, never what stands beside it.
            match PROBLEMS.into_iter().find(|problem| String::from_utf8_lossy(&answer.body).contains(problem)) {
                Some(problem) => format!("{said}, {problem}"),
                None => said,
            },
        )),
        _ => Err(TokenError::transient(format!("the service answered with {said}"))),
    }
}

/// The header of a signed request.
pub(super) fn header(
    signer: &Signer,
    method: &Method,
    uri: &Uri,
    own: &[(&str, &str)],
    clock: &SharedClock,
) -> Result<HeaderValue, SignatureError> {
    let value = signer.authorization(method, uri, own, &Stamp::now(clock), clock)?;
    // Encoded as it is, it can stand in a header.
    super::credential::secret_value(&value).map_err(|_| SignatureError::Address)
}

/// The words of the problem-reporting extension of OAuth 1.0 that services use.
const PROBLEMS: [&str; 11] = [
    "consumer_key_unknown",
    "consumer_key_rejected",
    "signature_invalid",
    "signature_method_rejected",
    "timestamp_refused",
    "nonce_used",
    "token_used",
    "token_expired",
    "token_revoked",
    "token_rejected",
    "permission_denied",
];

/// The form-encoded pairs of an answer.
struct Pairs(Vec<(String, Secret)>);

impl Pairs {
    fn read(answer: &Direct) -> Self {
        let pairs = form_urlencoded::parse(answer.body.trim_ascii());
        Self(pairs.map(|(name, value)| (name.into_owned(), Secret::new(value))).collect())
    }

    fn take(&mut self, name: &str) -> Option<Secret> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    fn token(&mut self) -> Result<Secret, TokenError> {
        let token = self.take("oauth_token").filter(|token| (1..=LONGEST_TOKEN).contains(&token.expose().len()));
        token.ok_or_else(|| TokenError::transient("the service's answer holds no token"))
    }
}
