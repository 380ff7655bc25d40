//! Requests with the tokens of a grant: renewed before they are sent, and sent once more where the answer says that
//! others are needed by now.
//!
//! The first of two answers counts for nothing: not for the lockout guard, for the credential is the grant and not one
//! of its tokens, and not as a request that may have changed something, for it was refused.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody};

use super::{LAST_WORDS, Refusal, Sender, is_unsafe};
use crate::authorize::{Access, Authority, Current, GrantError, GrantUse, refusal};
use crate::egress::body::{self, Start};

/// The largest body that is kept to be sent once more.
const MOST_KEPT: u64 = 1 << 20;

impl Sender {
    /// Sends a request with the tokens of a grant. Answers also with the tokens that the answer came for.
    pub(super) async fn with_grant(
        &self,
        access: &Access,
        authority: &Authority,
        grant: &GrantUse,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<(Response<Incoming>, Arc<Current>), Refusal> {
        let (parts, body) = request.into_parts();
        if grant.signs_bodies() && is_form(&parts.headers) {
            let reason = "a form-encoded body would have to be signed too under OAuth 1.0a, which the host does not do";
            return Err(Refusal::Denied(reason.into()));
        }
        let start = tokio::time::timeout(self.left(), body::start(body, MOST_KEPT)).await;
        let start = start.unwrap_or(Err(HttpError::ConnectionWriteTimeout));
        let start = start.map_err(|error| Refusal::Unreached("its body was not whole or too large".into(), error))?;
        // What cannot be sent a second time needs tokens that last until it is through.
        let lasting = if matches!(start, Start::Larger(_)) { self.left() } else { Duration::ZERO };
        let used = self.in_time(grant, grant.current(access, lasting)).await?;
        self.exchanged(access, authority, grant, &parts, start, used, options).await
    }

    /// Sends it with these tokens, or newer ones, and once more where the answer asks for that.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one request")]
    async fn exchanged(
        &self,
        access: &Access,
        authority: &Authority,
        grant: &GrantUse,
        parts: &Parts,
        start: Start,
        mut used: Arc<Current>,
        options: RequestOptions,
    ) -> Result<(Response<Incoming>, Arc<Current>), Refusal> {
        let mut start = Some(start);
        let mut first = true;
        loop {
            let (body, again) = match start.take() {
                Some(Start::Whole(whole)) => (body::whole(whole.clone()), Some(Start::Whole(whole))),
                Some(Start::Larger(larger)) => (larger, None),
                None => return Err(Refusal::Denied("its body is gone".into())),
            };
            let admission = self.admit(access, authority, &parts.method).await?;
            // Others may have renewed them while this one waited for its turn.
            used = grant.newest(used);
            let request = match attached(access, grant, &used, parts, body) {
                Ok(request) => request,
                Err(refusal) => {
                    admission.settled();
                    return Err(refusal);
                }
            };
            self.0.recorder.mark(|record| record.credential_sent = true);
            let pool = access.pool(Some(&authority.credential));
            let (admission, response) = self.exchange_under(admission, pool, request, options).await?;
            // Where the service says that it accepted the tokens, others would not help.
            let stands = response.status() == StatusCode::UNAUTHORIZED
                && refusal(&authority.rejections, response.status(), response.headers()).is_none();
            if first && !stands {
                let newer = self.in_time(grant, grant.after(access, &used, response.status())).await;
                if !matches!(newer, Ok(None)) {
                    admission.settled();
                    if is_unsafe(&parts.method) {
                        self.0.recorder.mark(|record| record.unsafe_requests_sent -= 1);
                    }
                    match (newer?, again) {
                        (Some(newer), Some(again)) => (used, start, first) = (newer, Some(again), false),
                        // What cannot be sent a second time was refused for its old tokens, and did nothing.
                        _ => return Err(self.renewed_meanwhile()),
                    }
                    continue;
                }
            }
            if !first && !stands && response.status() == StatusCode::UNAUTHORIZED {
                grant.renewed_in_vain();
            }
            self.judge(&authority.rejections, admission, &response)?;
            return Ok((response, used));
        }
    }

    /// The tokens of a request that cannot be sent once more were renewed while it was on its way.
    fn renewed_meanwhile(&self) -> Refusal {
        let reason = "they were renewed while a body was on its way that is too large to be kept";
        self.not_renewed(reason.to_owned(), Duration::ZERO)
    }

    /// Waits for tokens as long as the call has time.
    async fn in_time<T>(
        &self,
        grant: &GrantUse,
        tokens: impl Future<Output = Result<T, GrantError>>,
    ) -> Result<T, Refusal> {
        match tokio::time::timeout(self.left().saturating_sub(LAST_WORDS), tokens).await {
            Ok(Ok(tokens)) => Ok(tokens),
            Ok(Err(GrantError::Later { reason, again })) => Err(self.not_renewed(reason, again)),
            Ok(Err(error @ GrantError::Dead(_))) => {
                self.0.recorder.mark(|record| (record.grant_dead, record.granted) = (true, grant.is_persons()));
                Err(Refusal::Denied(error.to_string()))
            }
            Ok(Err(GrantError::Client(reason))) => {
                let told = (reason.clone(), grant.client_remedy(&reason));
                self.0.recorder.mark(|record| record.client_refused = Some(told));
                Err(Refusal::Denied(reason))
            }
            Err(_) => Err(self.not_renewed("it took too long".into(), Duration::ZERO)),
        }
    }

    /// There are no tokens for it now.
    fn not_renewed(&self, reason: String, after: Duration) -> Refusal {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.0.recorder.mark(|record| record.not_renewed = Some((reason.clone(), after)));
        let reason = format!("the access token could not be renewed now: {reason}");
        Refusal::Unreached(reason, HttpError::DestinationUnavailable)
    }
}

/// The request with the tokens, as it is sent.
fn attached(
    access: &Access,
    grant: &GrantUse,
    tokens: &Current,
    parts: &Parts,
    body: WasiBody,
) -> Result<Request<WasiBody>, Refusal> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    grant
        .attach(access, tokens, &parts.method, &parts.uri, request.headers_mut())
        .map_err(|reason| Refusal::Denied(format!("the tokens cannot be attached to it: {reason}")))?;
    Ok(request)
}

fn is_form(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(|value| {
        let kind = String::from_utf8_lossy(value.as_bytes());
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

#[cfg(test)]
#[path = "granted_test.rs"]
mod tests;
