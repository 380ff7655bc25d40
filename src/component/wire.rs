//! The core's host over WASI: requests by `wasi:http`, time by `wasi:clocks`, chance by `wasi:random`.

use crate::host::{Host, Request, Response, SendError};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, StreamError};

/// How much is asked of a stream, or given to it, at once. A stream takes no more in one blocking write.
const CHUNK: usize = 4096;
/// How much is read at once.
const READ: u64 = 64 * 1024;
/// What is left to say why, when the deadline comes near.
const RESERVE_MS: u64 = 250;
const NANOSECONDS: u64 = 1_000_000;

/// Network, time and chance of one call.
pub(super) struct Wire {
    /// When to give up, on the monotonic clock.
    until: u64,
}

impl Wire {
    /// For a call that ends `deadline_ms` from now.
    pub(super) fn new(deadline_ms: u64) -> Self {
        let budget = deadline_ms.saturating_sub(RESERVE_MS).max(deadline_ms / 2);
        Self { until: monotonic_clock::now().saturating_add(budget.saturating_mul(NANOSECONDS)) }
    }

    fn left(&self) -> u64 {
        self.until.saturating_sub(monotonic_clock::now())
    }
}

impl Host for Wire {
    fn send(&mut self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        let left = self.left();
        // All of them are begun before the first is waited for: that is what makes them concurrent.
        let begun: Vec<_> = requests.iter().map(|request| begin(request, left)).collect();
        begun
            .into_iter()
            .zip(&requests)
            .map(|(begun, request)| begun.and_then(|future| finish(&future, request.limit, self.until)))
            .collect()
    }

    fn now_ms(&self) -> u64 {
        let now = wall_clock::now();
        now.seconds.saturating_mul(1000).saturating_add(u64::from(now.nanoseconds) / 1_000_000)
    }

    fn random(&mut self) -> u64 {
        wasip2::random::random::get_random_u64()
    }
}

fn invalid(part: &str) -> SendError {
    SendError::Invalid(part.to_owned())
}

/// Sends a request without waiting for its answer.
fn begin(request: &Request, left: u64) -> Result<FutureIncomingResponse, SendError> {
    if left == 0 {
        // Nothing has left yet, and there is no time for an answer.
        return Err(SendError::Refused);
    }
    let headers = Fields::new();
    for (name, value) in &request.headers {
        headers.append(name, value.as_bytes()).map_err(|_| invalid(&format!("header {name}")))?;
    }
    if let Some(body) = &request.body {
        let length = body.len().to_string();
        headers.set("content-length", &[length.into_bytes()]).map_err(|_| invalid("header content-length"))?;
    }
    let (scheme, rest) = request.url.split_once("://").ok_or_else(|| invalid("url"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };

    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&method(&request.method)).map_err(|()| invalid("method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| invalid("scheme"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| invalid("authority"))?;
    outgoing.set_path_with_query(Some(path)).map_err(|()| invalid("path"))?;

    let options = RequestOptions::new();
    // A host that knows no timeouts may refuse these; the deadline is watched here as well.
    let _ = options.set_connect_timeout(Some(left));
    let _ = options.set_first_byte_timeout(Some(left));
    let _ = options.set_between_bytes_timeout(Some(left));

    let body = outgoing.body().map_err(|()| invalid("body"))?;
    let future = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| send_error(&code))?;
    if let Some(bytes) = &request.body {
        let stream = body.write().map_err(|()| invalid("body"))?;
        for chunk in bytes.chunks(CHUNK) {
            // A stream that closes early is told by the answer, which may well be a good one.
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
    Ok(future)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// Waits for an answer and reads it whole.
fn finish(future: &FutureIncomingResponse, limit: usize, until: u64) -> Result<Response, SendError> {
    let ready = future.subscribe();
    let timeout = monotonic_clock::subscribe_instant(until);
    let answer = loop {
        if let Some(answer) = future.get() {
            break answer;
        }
        if monotonic_clock::now() >= until {
            return Err(SendError::TimedOut);
        }
        poll(&[&ready, &timeout]);
    };
    let response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => return Err(send_error(&code)),
        Err(()) => return Err(SendError::Broken("the answer was taken before".to_owned())),
    };
    let status = response.status();
    let headers = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let body = read(&response, status, limit, until)?;
    Ok(Response { status, headers, body })
}

fn read(response: &IncomingResponse, status: u16, limit: usize, until: u64) -> Result<Vec<u8>, SendError> {
    let body: IncomingBody = response.consume().map_err(|()| SendError::Truncated { status })?;
    let stream: InputStream = body.stream().map_err(|()| SendError::Truncated { status })?;
    let ready = stream.subscribe();
    let timeout = monotonic_clock::subscribe_instant(until);
    let mut bytes = Vec::new();
    loop {
        match stream.read(READ) {
            Ok(chunk) if chunk.is_empty() => {
                if monotonic_clock::now() >= until {
                    return Err(SendError::TimedOut);
                }
                poll(&[&ready, &timeout]);
            }
            Ok(chunk) if bytes.len() + chunk.len() > limit => return Err(SendError::TooLarge { status, limit }),
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(match http_error_code(&error) {
                    Some(ErrorCode::HttpResponseBodySize(_)) => SendError::TooLarge { status, limit },
                    _ => SendError::Truncated { status },
                });
            }
        }
    }
}

/// Which failures certainly never reached the server: only those that every host reports before it sends.
fn send_error(code: &ErrorCode) -> SendError {
    match code {
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => SendError::Dns,
        ErrorCode::ConnectionRefused | ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            SendError::Refused
        }
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => SendError::Denied,
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => SendError::Tls,
        ErrorCode::HttpRequestMethodInvalid => invalid("method"),
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestUriTooLong => invalid("url"),
        ErrorCode::HttpRequestHeaderSectionSize(_) | ErrorCode::HttpRequestHeaderSize(_) => invalid("headers"),
        ErrorCode::HttpRequestBodySize(_) => invalid("body"),
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => SendError::TimedOut,
        ErrorCode::HttpResponseBodySize(_) => SendError::TooLarge { status: 0, limit: 0 },
        ErrorCode::ConnectionTerminated => SendError::Broken("closed before the answer was whole".to_owned()),
        ErrorCode::HttpResponseIncomplete => SendError::Broken("the answer is incomplete".to_owned()),
        _ => SendError::Broken("no valid HTTP answer came".to_owned()),
    }
}
