//! One request on its way: its body going out, its answer coming in.

use super::Deadline;
use super::fault::{invalid, send_error};
use crate::host::{Request, Response, SendError};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme, http_error_code,
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
    /// Ready when `future` is; it has to be dropped before.
    answered: Pollable,
    future: FutureIncomingResponse,
    head: Option<Result<IncomingResponse, SendError>>,
    limit: usize,
}

/// The part of a body that has not gone out yet. What is ready when the stream is has to be dropped before the stream,
/// and that before the body it belongs to.
struct Upload<'r> {
    ready: Option<Pollable>,
    stream: OutputStream,
    body: OutgoingBody,
    rest: &'r [u8],
    flushing: bool,
}

impl<'r> Flight<'r> {
    /// Hands a request to the host; nothing is waited for. `left` is what remains of the call's time, in nanoseconds.
    pub(super) fn begin(request: &'r Request, left: u64) -> Result<Self, SendError> {
        if left == 0 {
            return Err(SendError::NoTime);
        }
        let outgoing = build(request)?;
        let body = outgoing.body().map_err(|()| invalid("body"))?;
        let mut upload = None;
        match &request.body {
            None => {
                let _ = OutgoingBody::finish(body, None);
            }
            Some(bytes) => {
                let stream = body.write().map_err(|()| invalid("body"))?;
                upload = Some(Upload { ready: None, stream, body, rest: bytes, flushing: false });
            }
        }
        // Without timeouts: the deadline is watched here, in hosts that know none too.
        let future = outgoing_handler::handle(outgoing, None).map_err(|code| send_error(&code))?;
        let upload = upload.and_then(Upload::advance);
        Ok(Self { upload, answered: future.subscribe(), future, head: None, limit: request.limit })
    }

    /// Sends what can be sent and takes the answer's head where it is there, without waiting.
    pub(super) fn advance(&mut self) {
        if self.head.is_some() {
            return;
        }
        self.upload = self.upload.take().and_then(Upload::advance);
        if let Some(answer) = self.future.get() {
            self.head = Some(match answer {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(code)) => Err(send_error(&code)),
                Err(()) => Err(SendError::Broken("the answer was taken before".to_owned())),
            });
        }
    }

    /// What to wait for before [`Self::advance`] can do more; nothing once the answer's head is there.
    pub(super) fn pollables(&self) -> impl Iterator<Item = &Pollable> {
        let upload = self.upload.as_ref().and_then(|upload| upload.ready.as_ref());
        std::iter::once(&self.answered).chain(upload).filter(|_| self.head.is_none())
    }

    /// Reads the answer whole; without a head by now, its time is up.
    pub(super) fn land(self, deadline: &mut Deadline) -> Result<Response, SendError> {
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
    /// Sends what the stream takes now. Answers with what is left to do: nothing once everything is out, or when the
    /// stream takes no more; why is told by the answer then, which may well be a good one.
    fn advance(mut self) -> Option<Self> {
        while let Ok(room) = self.stream.check_write() {
            if room == 0 {
                self.ready.get_or_insert_with(|| self.stream.subscribe());
                return Some(self);
            }
            // A stream takes no new bytes while it flushes: once it does again, everything is out.
            if self.flushing {
                break;
            }
            let (now, later) = self.rest.split_at(usize::try_from(room).unwrap_or(usize::MAX).min(self.rest.len()));
            if !now.is_empty() && self.stream.write(now).is_err() {
                break;
            }
            self.rest = later;
            if later.is_empty() {
                if self.stream.flush().is_err() {
                    break;
                }
                self.flushing = true;
            }
        }
        let Self { ready, stream, body, .. } = self;
        drop((ready, stream));
        let _ = OutgoingBody::finish(body, None);
        None
    }
}

/// The headers of a request, in one call of the host.
fn fields(request: &Request) -> Result<Fields, SendError> {
    let given = request.headers.iter().filter(|(name, _)| request.body.is_none() || name != "content-length");
    let given = given.map(|(name, value)| (name.clone(), value.clone().into_bytes()));
    let length = request.body.as_ref().map(|body| ("content-length".to_owned(), body.len().to_string().into_bytes()));
    let entries: Vec<_> = given.chain(length).collect();
    Fields::from_list(&entries).map_err(|_| {
        // Which one it was is asked for one by one, only where one is wrong.
        let wrong = entries.iter().find(|entry| Fields::from_list(std::slice::from_ref(entry)).is_err());
        wrong.map_or_else(|| invalid("headers"), |(name, _)| invalid(&format!("header {name}")))
    })
}

fn build(request: &Request) -> Result<OutgoingRequest, SendError> {
    let (scheme, rest) = request.url.split_once("://").ok_or_else(|| invalid("url"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };

    let outgoing = OutgoingRequest::new(fields(request)?);
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
    deadline: &mut Deadline,
) -> Result<Vec<u8>, SendError> {
    let body: IncomingBody = response.consume().map_err(|()| SendError::Truncated { status })?;
    let stream: InputStream = body.stream().map_err(|()| SendError::Truncated { status })?;
    let mut ready = None;
    // What a server announces may be a lie, and more than a little is not taken on trust.
    let mut bytes = Vec::with_capacity(announced.min(limit).min(RESERVED));
    loop {
        match stream.read(READ) {
            Ok(chunk) if chunk.is_empty() => {
                if !deadline.wait(&[ready.get_or_insert_with(|| stream.subscribe())]) {
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
