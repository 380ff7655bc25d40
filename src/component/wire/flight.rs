//! One request on its way: its body going out, its answer coming in.

use super::Deadline;
use super::fault::{invalid, send_error};
use crate::host::{Request, Response, SendError};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// How much is read at once.
const READ: u64 = 64 * 1024;
/// How much room is made at once for a body because it was announced.
const RESERVED: usize = 1024 * 1024;

/// A request that was handed to the host.
pub(super) struct Flight<'r> {
    upload: Option<Upload<'r>>,
    future: FutureIncomingResponse,
    head: Option<Result<IncomingResponse, SendError>>,
    limit: usize,
}

/// The part of a body that has not gone out yet. A stream has to be dropped before the body it belongs to.
struct Upload<'r> {
    stream: OutputStream,
    body: OutgoingBody,
    rest: &'r [u8],
    flushing: bool,
}

enum Sent {
    Whole,
    /// The stream takes no more; why is told by the answer, which may well be a good one.
    Closed,
    NotYet,
}

impl<'r> Flight<'r> {
    /// Hands a request to the host; nothing is waited for. `left` is what remains of the call's time, in nanoseconds.
    pub(super) fn begin(request: &'r Request, left: u64) -> Result<Self, SendError> {
        if left == 0 {
            return Err(SendError::NoTime);
        }
        let outgoing = build(request)?;
        let options = RequestOptions::new();
        // A host that knows no timeouts may refuse these; the deadline is watched here as well.
        let _ = options.set_connect_timeout(Some(left));
        let _ = options.set_first_byte_timeout(Some(left));
        let _ = options.set_between_bytes_timeout(Some(left));
        let body = outgoing.body().map_err(|()| invalid("body"))?;
        let mut upload = None;
        match &request.body {
            None => {
                let _ = OutgoingBody::finish(body, None);
            }
            Some(bytes) => {
                let stream = body.write().map_err(|()| invalid("body"))?;
                upload = Some(Upload { stream, body, rest: bytes, flushing: false });
            }
        }
        let future = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| send_error(&code))?;
        Ok(Self { upload, future, head: None, limit: request.limit })
    }

    /// Sends what can be sent and takes the answer's head where it is there, without waiting.
    pub(super) fn advance(&mut self) {
        if self.head.is_some() {
            return;
        }
        if let Some(upload) = &mut self.upload
            && !matches!(upload.advance(), Sent::NotYet)
            && let Some(Upload { stream, body, .. }) = self.upload.take()
        {
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
        if let Some(answer) = self.future.get() {
            self.head = Some(match answer {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(code)) => Err(send_error(&code)),
                Err(()) => Err(SendError::Broken("the answer was taken before".to_owned())),
            });
        }
    }

    /// What to wait for before [`Self::advance`] can do more; nothing once the answer's head is there.
    pub(super) fn pollables(&self) -> Vec<Pollable> {
        if self.head.is_some() {
            return Vec::new();
        }
        let mut all = vec![self.future.subscribe()];
        all.extend(self.upload.as_ref().map(|upload| upload.stream.subscribe()));
        all
    }

    /// Reads the answer whole; without a head by now, its time is up.
    pub(super) fn land(self, deadline: Deadline) -> Result<Response, SendError> {
        let response = self.head.unwrap_or(Err(SendError::TimedOut))?;
        let status = response.status();
        let headers: Vec<(String, String)> = response
            .headers()
            .entries()
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(&value).into_owned()))
            .collect();
        let announced = headers.iter().find(|(name, _)| name == "content-length");
        let announced = announced.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
        let body = read(&response, status, self.limit, announced, deadline)?;
        Ok(Response { status, headers, body })
    }
}

impl Upload<'_> {
    fn advance(&mut self) -> Sent {
        loop {
            let room = match self.stream.check_write() {
                Ok(0) => return Sent::NotYet,
                Ok(room) => usize::try_from(room).unwrap_or(usize::MAX),
                Err(_) => return Sent::Closed,
            };
            if self.rest.is_empty() {
                // A stream takes no new bytes while it flushes: once it does again, everything is out.
                if self.flushing {
                    return Sent::Whole;
                }
                if self.stream.flush().is_err() {
                    return Sent::Closed;
                }
                self.flushing = true;
                continue;
            }
            let (now, later) = self.rest.split_at(room.min(self.rest.len()));
            if self.stream.write(now).is_err() {
                return Sent::Closed;
            }
            self.rest = later;
        }
    }
}

fn build(request: &Request) -> Result<OutgoingRequest, SendError> {
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
    Ok(outgoing)
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

fn read(
    response: &IncomingResponse,
    status: u16,
    limit: usize,
    announced: usize,
    deadline: Deadline,
) -> Result<Vec<u8>, SendError> {
    let body: IncomingBody = response.consume().map_err(|()| SendError::Truncated { status })?;
    let stream: InputStream = body.stream().map_err(|()| SendError::Truncated { status })?;
    let ready = stream.subscribe();
    // What a server announces may be a lie, and more than a little is not taken on trust.
    let mut bytes = Vec::with_capacity(announced.min(limit).min(RESERVED));
    loop {
        match stream.read(READ) {
            Ok(chunk) if chunk.is_empty() => {
                if !deadline.wait(&[&ready]) {
                    return Err(SendError::TimedOut);
                }
            }
            Ok(chunk) if bytes.len() + chunk.len() > limit => return Err(SendError::TooLarge { status: Some(status) }),
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(match http_error_code(&error) {
                    Some(ErrorCode::HttpResponseBodySize(_)) => SendError::TooLarge { status: Some(status) },
                    _ => SendError::Truncated { status },
                });
            }
        }
    }
}
