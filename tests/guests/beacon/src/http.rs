//! One HTTP exchange over `wasi:http`, and how Beacon's answers become errors of the contract.

use crate::contract::types::{Backoff, Call, Error, Failure, FailureClass, FieldFailure, Responsible, Scope};
use serde_json::Value;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest};
use wasip2::http::types::{RequestOptions, Scheme};
use wasip2::io::streams::StreamError;

/// No answer of Beacon is larger.
const BODY_LIMIT: usize = 1 << 20;

/// What is left of the deadline for saying why a request was given up.
const MARGIN_MS: u64 = 500;

/// Why no answer came.
enum Lost {
    /// The request never left: nothing can have happened.
    Before(String),
    /// It may have arrived.
    After(String),
}

/// Sends a request to the connection's Beacon and answers with the JSON it sent back.
///
/// A status of 400 and above, and a lost answer, become the error a host can act on.
pub(crate) fn request(call: &Call, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
    if let Some(hold) = call.held.iter().find(|hold| !matches!(hold.scope, Scope::Object(_))) {
        let failure =
            failure(FailureClass::Limit, "beacon.held", "Beacon asked for patience earlier.", "Try again later.");
        return Err(Error::Transient(Backoff { failure, retry_after_ms: hold.for_ms, scope: hold.scope.clone() }));
    }
    let read_only = matches!(method, Method::Get);
    let (status, retry_after_s, body) = exchange(call, method, path, body).map_err(|lost| match lost {
        Lost::After(why) if !read_only => Error::PermanentUncertain(failure(
            FailureClass::Unavailable,
            "beacon.answer-lost",
            &format!("The request was sent and no answer came: {why}."),
            "Look at Beacon whether it was done before you repeat it.",
        )),
        Lost::Before(why) | Lost::After(why) => later(0, &format!("Beacon was not reached: {why}.")),
    })?;
    if status < 300 {
        return serde_json::from_slice(&body).map_err(|_| {
            Error::Permanent(Failure {
                status: Some(status),
                who: Responsible::ServiceAdmin,
                ..failure(FailureClass::Protocol, "beacon.not-json", "The answer is not JSON.", "Check the address.")
            })
        });
    }
    Err(refusal(status, retry_after_s, read_only, &body))
}

/// The error for an answer of Beacon that is not a success.
fn refusal(status: u16, retry_after_s: Option<u64>, read_only: bool, body: &[u8]) -> Error {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = told["message"].as_str().unwrap_or("Beacon refused without saying why.");
    let (class, code, remedy) = match status {
        401 => (FailureClass::Credential, "beacon.key-refused", "Make a new key and connect again."),
        403 => (FailureClass::Permission, "beacon.not-allowed", "Ask Beacon's administrator for the right."),
        404 => (FailureClass::NotFound, "beacon.not-found", "Check the name."),
        409 => (FailureClass::Conflict, "beacon.conflict", "Look at what is there now."),
        400 | 422 => (FailureClass::Input, "beacon.input-refused", "Correct the named field."),
        429 => return later(retry_after_s.unwrap_or(1) * 1000, message),
        503 => return later(retry_after_s.unwrap_or(0) * 1000, message),
        _ if status >= 500 && read_only => return later(0, message),
        _ if status >= 500 => (FailureClass::Unavailable, "beacon.failed", "Look whether it was done, then repeat it."),
        _ => (FailureClass::Protocol, "beacon.unexpected", "Check the address."),
    };
    let fields = told["field"].as_str().map(|field| FieldFailure {
        pointer: format!("/{field}"),
        name: field.to_owned(),
        message: message.to_owned(),
    });
    let failure =
        Failure { status: Some(status), fields: fields.into_iter().collect(), ..failure(class, code, message, remedy) };
    if status >= 500 { Error::PermanentUncertain(failure) } else { Error::Permanent(failure) }
}

/// A failure without particulars, for the person who runs the flow.
pub(crate) fn failure(class: FailureClass, code: &str, message: &str, remedy: &str) -> Failure {
    Failure {
        class,
        code: code.to_owned(),
        message: message.to_owned(),
        remedy: remedy.to_owned(),
        who: Responsible::User,
        repeatable: false,
        fields: Vec::new(),
        status: None,
        request_id: None,
        extra: "{}".to_owned(),
    }
}

fn later(retry_after_ms: u64, message: &str) -> Error {
    let failure = Failure {
        repeatable: true,
        ..failure(FailureClass::Unavailable, "beacon.unavailable", message, "Nothing: it is tried again.")
    };
    Error::Transient(Backoff { failure, retry_after_ms, scope: Scope::Tenant })
}

/// Sends one request; answers with status, `Retry-After` in seconds, and body.
fn exchange(
    call: &Call,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, Option<u64>, Vec<u8>), Lost> {
    let base = crate::settings(call).map_err(|_| Lost::Before("the connection has no address".to_owned()))?.base_url;
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", &base));
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));

    let mut headers = vec![("accept", b"application/json".to_vec())];
    let body = body.map(|value| value.to_string().into_bytes());
    if body.is_some() {
        headers.push(("content-type", b"application/json".to_vec()));
    }
    if let Some(key) = &call.idempotency_key {
        headers.push(("idempotency-key", key.clone().into_bytes()));
    }
    if let Some(key) = &call.connection.authorization {
        headers.push(("x-beacon-key", key.clone().into_bytes()));
    }
    let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let headers = Fields::from_list(&headers).map_err(|error| Lost::Before(error.to_string()))?;

    let refused = |()| Lost::Before("the address is not acceptable".to_owned());
    let request = OutgoingRequest::new(headers);
    request.set_method(&method).map_err(refused)?;
    request.set_scheme(Some(&if scheme == "http" { Scheme::Http } else { Scheme::Https })).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(&format!("/{prefix}{path}"))).map_err(refused)?;
    let sink = request.body().map_err(refused)?;

    let options = RequestOptions::new();
    let patience = Some(call.deadline_ms.saturating_sub(MARGIN_MS).max(1) * 1_000_000);
    options.set_connect_timeout(patience).map_err(refused)?;
    options.set_first_byte_timeout(patience).map_err(refused)?;
    let answer = outgoing_handler::handle(request, Some(options)).map_err(judge)?;
    {
        let stream = sink.write().map_err(|()| Lost::After("the body could not be sent".to_owned()))?;
        for piece in body.unwrap_or_default().chunks(4096) {
            stream.blocking_write_and_flush(piece).map_err(|error| Lost::After(error.to_string()))?;
        }
    }
    OutgoingBody::finish(sink, None).map_err(judge)?;
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => read(response),
        Some(Ok(Err(code))) => Err(judge(code)),
        _ => Err(Lost::After("no answer".to_owned())),
    }
}

fn read(response: IncomingResponse) -> Result<(u16, Option<u64>, Vec<u8>), Lost> {
    let status = response.status();
    let retry_after =
        response.headers().get("retry-after").first().and_then(|v| String::from_utf8_lossy(v).parse().ok());
    let cut = |why: &str| Lost::After(format!("the answer was cut: {why}"));
    let source: IncomingBody = response.consume().map_err(|()| cut("no body"))?;
    let stream = source.stream().map_err(|()| cut("no stream"))?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(piece) => body.extend(piece),
            Err(StreamError::Closed) => return Ok((status, retry_after, body)),
            Err(error) => return Err(cut(&error.to_string())),
        }
        if body.len() > BODY_LIMIT {
            return Err(cut("too large"));
        }
    }
}

/// Which faults mean that the request never left.
fn judge(code: ErrorCode) -> Lost {
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_)
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestUriInvalid => Lost::Before(code.to_string()),
        other => Lost::After(other.to_string()),
    }
}
