//! One call's way out: every request of a guest goes through `Sender::send`.

mod granted;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody};

use super::body;
use super::echo;
use super::fault::SendFault;
use super::hide;
use super::network::Policy;
use super::origin::Mismatch;
use super::record::{Outcome, Recorder};
use crate::authorize::{Access, Authority, SigningSecret, is_stray, refusal, substitute};
use crate::observe::metrics;
use crate::vault::{Admission, Held, NotAdmitted, Refused};

/// How many requests of one call may be under way at once.
const MOST_AT_ONCE: usize = 64;
/// How much of the call's time is left to the guest after its last request timed out, so that it can
/// say what happened.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// The largest body in which the signing secret's placeholder is looked for.
const MOST_SUBSTITUTED: u64 = 1 << 20;

/// The headers that a guest may neither set nor see: credentials, cookies, and what frames or routes
/// a message.
const FORBIDDEN: [HeaderName; 10] = [
    AUTHORIZATION,
    CONNECTION,
    COOKIE,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    SET_COOKIE,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];
const FORBIDDEN_NAMES: [&str; 6] =
    ["cookie2", "set-cookie2", "http2-settings", "keep-alive", "proxy-connection", "authentication-info"];

/// The placeholder of a call that registers, and where it may stand.
pub(crate) struct Substitution {
    pub(crate) secret: SigningSecret,
    pub(crate) pointers: Vec<String>,
    pub(crate) done: AtomicBool,
}

/// What one call may send, and where that is taken down. Clones share it.
#[derive(Clone)]
pub(crate) struct Sender(Arc<Call>);

struct Call {
    access: Option<Access>,
    recorder: Recorder,
    substitution: Option<Substitution>,
    deadline: Instant,
    /// The call that the requests are part of.
    span: tracing::Span,
    begun: Instant,
    at_once: Semaphore,
    /// The refusals of the credential that this call met.
    refused: Mutex<Vec<Refused>>,
}

impl Sender {
    pub(crate) fn new(access: Option<Access>, substitution: Option<Substitution>, deadline: Instant) -> Self {
        Self(Arc::new(Call {
            access,
            recorder: Recorder::default(),
            substitution,
            deadline,
            span: tracing::Span::current(),
            begun: Instant::now(),
            at_once: Semaphore::new(MOST_AT_ONCE),
            refused: Mutex::default(),
        }))
    }

    /// The call that the requests are part of.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.0.span
    }

    /// What was taken down so far.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// The refusals of the credential so far, to be settled.
    pub(crate) fn refused(&self) -> Vec<Refused> {
        std::mem::take(&mut *self.0.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a guest may neither set nor see this header.
    pub(crate) fn is_forbidden(&self, name: &HeaderName) -> bool {
        let credential = self.0.access.as_ref().and_then(|access| access.authority.as_ref());
        FORBIDDEN.contains(name)
            || FORBIDDEN_NAMES.contains(&name.as_str())
            || credential.is_some_and(|authority| authority.credential.header_name() == Some(name))
    }

    /// Sends one request, if it may be sent.
    pub(crate) async fn send(
        self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, HttpError> {
        let begun = Instant::now();
        let uri = request.uri();
        let place = self.0.recorder.begin(request.method(), uri);
        let result = self.checked(request, options).await;
        let (outcome, result) = match result {
            Ok(response) => (Outcome::Status(response.status().as_u16()), Ok(response)),
            Err(Refusal::Denied(reason)) => (Outcome::Denied(reason), Err(HttpError::HttpRequestDenied)),
            Err(Refusal::Unreached(reason, error)) => (Outcome::Unreached(reason), Err(error)),
            Err(Refusal::Lost(reason, error)) => (Outcome::Lost(reason), Err(error)),
        };
        metrics().requested(&outcome, begun.elapsed());
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.recorder.end(place, outcome, took);
        result
    }

    async fn checked(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Refusal> {
        let Some(access) = &self.0.access else {
            return Err(Refusal::Denied("this function of a connector may not reach the network".into()));
        };
        let _turn =
            self.0.at_once.try_acquire().map_err(|_| {
                Refusal::Unreached("too many requests at once".into(), HttpError::ConnectionLimitReached)
            })?;
        let (mut parts, body) = request.into_parts();
        let (uri, credentialed) = permit(&access.policy, &parts.method, &parts.uri)?;
        parts.uri = uri;
        parts.headers.remove(HOST);
        if parts.headers.keys().any(|name| self.is_forbidden(name) || name == TRAILER) {
            return Err(Refusal::Denied("it sets a header that only the host may set".into()));
        }
        let authority = access.authority.as_ref().filter(|_| credentialed);
        if self.0.substitution.is_some() || authority.is_some() {
            // A secret could not be found in what is compressed.
            parts.headers.remove(ACCEPT_ENCODING);
        }
        self.refuse_stray_head(&parts)?;
        let body = self.body(&mut parts.headers, body, credentialed, access.policy.max_request_bytes).await?;
        let request = Request::from_parts(parts, body);
        let (response, traces) = match authority.map(|authority| (authority, authority.credential.grant())) {
            None => (self.exchange(access.pool(None), request, options).await?, None),
            Some((authority, None)) => {
                let response = self.with_secret(access, authority, request, options).await?;
                (response, Some(authority.credential.traces().clone()))
            }
            Some((authority, Some(grant))) => {
                let (response, used) = self.with_grant(access, authority, grant, request, options).await?;
                (response, Some(used.traces().clone()))
            }
        };
        let (mut parts, body) = response.into_parts();
        bound_headers(&access.policy, &parts.headers)?;
        let between = options.between_bytes_timeout.unwrap_or(Duration::MAX).min(self.left()).min(YEAR);
        let most = access.policy.max_response_bytes;
        let mut body = body::incoming(body, most, between);
        if let Some(traces) = &traces {
            // A service may say the credential back: in an echo, or in its words about a bad request.
            hide::headers(traces, &mut parts.headers);
            body = hide::body(traces, body);
        }
        if let Some(substitution) = &self.0.substitution {
            body = self.without_secret(&substitution.secret, &mut parts.headers, body, most).await?;
        }
        Ok(Response::from_parts(parts, body))
    }

    /// Sends a request with a credential that stays the same.
    async fn with_secret(
        &self,
        access: &Access,
        authority: &Authority,
        mut request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<Incoming>, Refusal> {
        // Before leave is asked for: what never leaves is no login that nobody answered.
        let mut uri = std::mem::take(request.uri_mut());
        authority
            .credential
            .attach(&mut uri, request.headers_mut())
            .map_err(|_| Refusal::Denied("the credential cannot be attached to it".into()))?;
        *request.uri_mut() = uri;
        let admission = self.admit(access, authority, request.method()).await?;
        self.0.recorder.mark(|record| record.credential_sent = true);
        let pool = access.pool(Some(&authority.credential));
        let (admission, response) = self.exchange_under(admission, pool, request, options).await?;
        self.judge(&authority.rejections, admission, &response)?;
        Ok(response)
    }

    /// The body of an answer in a call that registers: read whole, so that no signing secret is in it.
    async fn without_secret(
        &self,
        signing: &SigningSecret,
        headers: &mut HeaderMap,
        body: WasiBody,
        most: u64,
    ) -> Result<WasiBody, Refusal> {
        let lost = |error| Refusal::Lost("its answer was not whole or too large".into(), error);
        if echo::is_veiled(headers) {
            let reason = "its answer is compressed, so that nobody can see whether a secret is in it";
            return Err(Refusal::Lost(reason.into(), HttpError::HttpResponseContentCoding(None)));
        }
        let whole = tokio::time::timeout(self.left().saturating_sub(LAST_WORDS), body::collect(body, most)).await;
        let whole = whole.unwrap_or(Err(HttpError::HttpResponseTimeout)).map_err(lost)?;
        Ok(body::whole(echo::hide(signing, headers, whole)))
    }

    /// Refuses a request that shows the placeholder in its address or its headers.
    fn refuse_stray_head(&self, parts: &http::request::Parts) -> Result<(), Refusal> {
        let Some(substitution) = &self.0.substitution else { return Ok(()) };
        let placeholder = &substitution.secret.placeholder;
        let address = parts.uri.to_string();
        let plain = percent_encoding::percent_decode_str(&address);
        let shown = is_stray(address.as_bytes(), placeholder)
            || is_stray(&Vec::from_iter(plain), placeholder)
            || parts.headers.values().any(|value| is_stray(value.as_bytes(), placeholder));
        if shown { Err(stray()) } else { Ok(()) }
    }

    /// The body as it is sent: with the signing secret where that is due. With the placeholder
    /// anywhere else it is not sent: the service would take that for the secret.
    async fn body(
        &self,
        headers: &mut HeaderMap,
        body: WasiBody,
        credentialed: bool,
        most: u64,
    ) -> Result<WasiBody, Refusal> {
        let Some(substitution) = &self.0.substitution else { return Ok(body::outgoing(body, most)) };
        let too_large = |error| Refusal::Unreached("its body was not whole or too large".into(), error);
        let collecting = body::collect(body, MOST_SUBSTITUTED.min(most));
        let whole = tokio::time::timeout(self.left(), collecting).await;
        let mut whole = whole.unwrap_or(Err(HttpError::ConnectionWriteTimeout)).map_err(too_large)?;
        let secret = &substitution.secret;
        if credentialed
            && let Some(changed) = substitute(&whole, &substitution.pointers, &secret.placeholder, &secret.secret)
            && !is_stray(&changed, &secret.placeholder)
            // Only the first of several requests that are under way at once.
            && !substitution.done.swap(true, Ordering::SeqCst)
        {
            whole = Bytes::from(changed);
        }
        if is_stray(&whole, &secret.placeholder) {
            return Err(stray());
        }
        // The client writes the length of the body it is given.
        headers.remove(CONTENT_LENGTH);
        Ok(body::whole(whole))
    }

    /// The guard's leave. What may change something waits for half of the call's time at most: sent
    /// later, it could be cut off before its answer came, and then nobody would know.
    async fn admit(&self, access: &Access, authority: &Authority, method: &Method) -> Result<Admission, Refusal> {
        let longest = self.0.deadline.saturating_duration_since(self.0.begun);
        let last = if is_unsafe(method) { self.0.begun + longest / 2 } else { self.0.deadline - longest / 8 };
        let patience = last.saturating_duration_since(Instant::now());
        let place = access.guarded(authority);
        let admitted = authority.guard.admit_after(&self.0.refused, place, patience, longest).await;
        admitted.map_err(|error| match &error {
            NotAdmitted::Held { reason, blame } => {
                let granted = authority.credential.is_granted_by_a_person();
                let held = Held { reason: reason.clone(), blame: blame.clone() };
                self.0.recorder.mark(|record| {
                    (record.account_held, record.granted, record.held) = (true, granted, Some(held));
                });
                Refusal::Denied(error.to_string())
            }
            NotAdmitted::Paused { after_ms, .. } => {
                let told = Some((error.to_string(), *after_ms));
                self.0.recorder.mark(|record| record.account_paused = told);
                Refusal::Unreached(error.to_string(), HttpError::DestinationUnavailable)
            }
            // A fault that every guest knows as one of a request that never left; the host itself says why.
            NotAdmitted::Busy => {
                self.0.recorder.mark(|record| record.account_busy = true);
                Refusal::Unreached(error.to_string(), HttpError::DestinationUnavailable)
            }
            NotAdmitted::Store(_) => {
                Refusal::Unreached(error.to_string(), HttpError::InternalError(Some("the host's store failed".into())))
            }
        })
    }

    /// Sends a request under the guard's leave, which is given back where it never left.
    async fn exchange_under(
        &self,
        admission: Admission,
        pool: &super::network::Pool,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<(Admission, Response<Incoming>), Refusal> {
        match self.exchange(pool, request, options).await {
            Ok(response) => Ok((admission, response)),
            Err(refusal) => {
                if !matches!(refusal, Refusal::Lost(..)) {
                    admission.settled();
                }
                Err(refusal)
            }
        }
    }

    async fn exchange(
        &self,
        pool: &super::network::Pool,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<Incoming>, Refusal> {
        let unsafe_method = is_unsafe(request.method());
        let within = self.left().saturating_sub(LAST_WORDS).min(options.first_byte_timeout.unwrap_or(YEAR));
        if unsafe_method {
            // Before it is sent: if the call ends in the middle, it may have left.
            self.0.recorder.mark(|record| record.unsafe_requests_sent += 1);
        }
        match tokio::time::timeout(within, pool.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(match SendFault::from_client(&error) {
                SendFault::Unreached(fault) => {
                    if unsafe_method {
                        self.0.recorder.mark(|record| record.unsafe_requests_sent -= 1);
                    }
                    match fault {
                        super::fault::ConnectFault::Prohibited { .. } => Refusal::Denied(fault.to_string()),
                        _ => Refusal::Unreached(fault.to_string(), fault.to_http()),
                    }
                }
                SendFault::Lost(error, reason) => Refusal::Lost(reason, error),
            }),
            Err(_) => Err(Refusal::Lost("no answer came in time".into(), HttpError::HttpResponseTimeout)),
        }
    }

    /// Tells the guard what the answer says about the credential.
    fn judge<B>(
        &self,
        rejections: &[crate::authorize::Rejection],
        admission: Admission,
        response: &Response<B>,
    ) -> Result<(), Refusal> {
        if let Some(refusal) = refusal(rejections, response.status(), response.headers()) {
            self.0.recorder.mark(|record| record.refusals += 1);
            // Not known, it could be tried until the service locks the account.
            let told = if refusal.locks { Admission::locked } else { Admission::refused };
            let refused = told(admission, &refusal.reason).map_err(|error| {
                Refusal::Lost(error.to_string(), HttpError::InternalError(Some("the host's store failed".into())))
            })?;
            self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).push(refused);
        } else if !response.status().is_success() {
            admission.settled();
        } else if let Err(error) = admission.accepted() {
            // The work is done, and its answer is here: what was not noted costs the next request a turn.
            tracing::warn!(%error, "it could not be noted that a credential was accepted");
        }
        Ok(())
    }

    fn left(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn stray() -> Refusal {
    Refusal::Denied("the placeholder of the signing secret stands in it where it is not replaced".into())
}

/// Whether a request with this method may change something (RFC 9110, section 9.2.1).
fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Why a request got no answer.
pub(super) enum Refusal {
    Denied(String),
    Unreached(String, HttpError),
    Lost(String, HttpError),
}

/// Whether the policy lets a request go, in which spelling, and whether with the credential.
pub(super) fn permit(policy: &Policy, method: &Method, uri: &Uri) -> Result<(Uri, bool), Refusal> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::Denied(format!("the method {method} is not allowed")));
    }
    let mut nearest = Mismatch::Elsewhere;
    let mut best: Option<(usize, Uri, bool)> = None;
    for pinned in &policy.origins {
        match pinned.origin.admit(uri) {
            Ok(_) if !pinned.origin.is_secure() && !policy.allow_private => {
                return Err(Refusal::Denied(
                    "plain http is refused; the operator can allow it for this connection (--allow-private)".into(),
                ));
            }
            // Where several pinned origins hold the path, the narrowest decides about the credential.
            Ok(own) => {
                let depth = pinned.origin.path().len();
                if best.as_ref().is_none_or(|(deepest, ..)| depth > *deepest) {
                    best = Some((depth, own, pinned.credential));
                }
            }
            Err(Mismatch::Elsewhere) => {}
            Err(closer) => nearest = closer,
        }
    }
    best.map(|(_, uri, credential)| (uri, credential)).ok_or_else(|| Refusal::Denied(nearest.to_string()))
}

pub(super) fn bound_headers(policy: &Policy, headers: &HeaderMap) -> Result<(), Refusal> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > policy.max_response_headers || bytes > policy.max_response_header_bytes {
        let error = HttpError::HttpResponseHeaderSectionSize(u32::try_from(bytes).ok());
        return Err(Refusal::Lost("the answer has too many or too large headers".into(), error));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > policy.max_response_bytes => {
            Err(Refusal::Lost("the answer is too large".into(), HttpError::HttpResponseBodySize(Some(length))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "sender_test.rs"]
mod tests;
