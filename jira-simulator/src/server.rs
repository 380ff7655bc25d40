//! Bytes in, bytes out: reads a request, lets the routes answer, applies faults, keeps the wire log.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Limited, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::auth::{self, Caller, Login};
use crate::clock::Clock;
use crate::control::fault::{Cut, Fault, FaultBook};
use crate::routes::{self, Answer, Refusal, Request};
use crate::state::Jira;
use crate::version::{Personality, Version};
use crate::webhook::sender::Deliveries;
use crate::wire::{Entry, WireLog, body_for_log, headers_for_log};

/// The largest request body, in bytes; Jira's own limit for JSON is unknown.
const BODY_LIMIT: usize = 10 * 1024 * 1024;
/// Bytes of a slow body sent at a time.
const CHUNK: usize = 64;

/// Everything both listeners share.
pub(crate) struct Site {
    jira: Mutex<Jira>,
    wire: Mutex<WireLog>,
    faults: Mutex<FaultBook>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) deliveries: Arc<Deliveries>,
}

impl Site {
    pub(crate) fn new(
        personality: Personality,
        version: Version,
        base_url: String,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let clock = Arc::new(Clock::default());
        Self {
            jira: Mutex::new(Jira::new(personality, version, base_url, clock.clone())),
            wire: Mutex::default(),
            faults: Mutex::default(),
            deliveries: Arc::new(Deliveries::new(clock.clone(), stopped)),
            clock,
        }
    }

    // A panic while a lock was held is a defect of one request; the others go on.
    pub(crate) fn jira(&self) -> MutexGuard<'_, Jira> {
        self.jira.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wire(&self) -> MutexGuard<'_, WireLog> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, FaultBook> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Body = BoxBody<Bytes, io::Error>;

/// Accepts connections until told to stop.
pub(crate) async fn serve(site: Arc<Site>, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    loop {
        let stream = tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        // Small answers must not wait for acknowledgements of the earlier ones.
        let _ = stream.set_nodelay(true);
        let site = site.clone();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let site = site.clone();
                async move { handle(&site, request).await }
            });
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // An error here is a cut connection, by a fault or by the client.
                _ = connection => {}
                _ = stopped.changed() => {}
            }
        });
    }
}

async fn handle(site: &Arc<Site>, incoming: hyper::Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let (parts, body) = incoming.into_parts();
    let (request, early) = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => (Request::new(&parts, body.to_bytes()), None),
        Err(_) => {
            let refusal = Refusal::new(413, "The request body is too large.");
            (Request::new(&parts, Bytes::new()), Some(Answer::from(refusal)))
        }
    };
    let fault = site.faults().take(&request.method, &request.path);
    let (answer, caller, committed) = match (&fault, early) {
        (Some(fault), _) if fault.comes_before_routes() => (fault.answer(), named(site, &request), false),
        (_, Some(answer)) => (answer, named(site, &request), false),
        (fault, None) => {
            let (mut answer, caller, committed) = route(site, &request);
            if let Some(fault) = fault.as_ref().filter(|fault| fault.status.is_some()) {
                answer = fault.answer();
            }
            (answer, caller, committed)
        }
    };
    record(site, &request, &answer, &caller, committed, fault.as_ref());
    let Some(fault) = fault else { return Ok(respond(answer, None)) };
    // What was committed stays committed, also when the client does not wait this long.
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    match fault.cut {
        Some(Cut::BeforeCommit | Cut::AfterCommit) => {
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"))
        }
        _ => Ok(respond(answer, Some(&fault))),
    }
}

/// Who a request that no route answered would have been from.
fn named(site: &Site, request: &Request) -> Caller {
    auth::authenticate(&mut site.jira(), request.header("authorization")).0
}

fn route(site: &Arc<Site>, request: &Request) -> (Answer, Caller, bool) {
    let mut jira = site.jira();
    let (caller, refused) = auth::authenticate(&mut jira, request.header("authorization"));
    let mut answer = refused.unwrap_or_else(|| routes::answer(&mut jira, &caller, request));
    add_headers(&jira, &caller, &mut answer);
    let committed = jira.take_committed();
    let occurrences = jira.take_outbox();
    let deliveries = crate::webhook::payload::deliveries(&jira, occurrences);
    let settings = jira.settings.clone();
    drop(jira);
    for delivery in deliveries {
        site.deliveries.send(delivery, &settings);
    }
    (answer, caller, committed)
}

fn add_headers(jira: &Jira, caller: &Caller, answer: &mut Answer) {
    let id = hex::encode(rand::random::<[u8; 16]>());
    let mut add = |name: &str, value: String| answer.headers.push((name.to_owned(), value));
    add("X-Arequestid", id.clone());
    add("Cache-Control", "no-cache, no-store, no-transform".to_owned());
    add("X-Content-Type-Options", "nosniff".to_owned());
    match caller.login {
        Login::Failed => add("X-Seraph-Loginreason", "AUTHENTICATED_FAILED".to_owned()),
        Login::Denied => add("X-Seraph-Loginreason", "AUTHENTICATION_DENIED".to_owned()),
        Login::Ok if !jira.cloud() => add("X-Seraph-Loginreason", "OK".to_owned()),
        _ => {}
    }
    if jira.cloud() {
        add("Server", "AtlassianEdge".to_owned());
        add("Atl-Traceid", id);
        if let Some(account) = caller.account {
            add("X-Aaccountid", jira.accounts[account].account_id.clone());
        }
    } else {
        let name = caller.account.map_or("anonymous", |account| &jira.accounts[account].name);
        add("X-Ausername", name.to_owned());
    }
}

fn record(site: &Site, request: &Request, answer: &Answer, caller: &Caller, committed: bool, fault: Option<&Fault>) {
    let account = caller.account.or(caller.named).map(|place| site.jira().accounts[place].name.clone());
    let cut = matches!(fault.and_then(|fault| fault.cut), Some(Cut::BeforeCommit | Cut::AfterCommit));
    let mut response_headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            response_headers.append(name, value);
        }
    }
    let entry = Entry {
        seq: 0,
        at_ms: site.clock.now_ms(),
        method: request.method.to_string(),
        path: request.path.clone(),
        query: request.raw_query.clone(),
        headers: headers_for_log(&request.headers),
        account,
        login: caller.login.name(),
        request_body: body_for_log(&request.body),
        status: if cut { 0 } else { answer.status },
        response_headers: headers_for_log(&response_headers),
        response_body: body_for_log(&answer.body),
        committed,
        fault: fault.map(|fault| fault.id),
        missing_route: answer.missing_route.is_some(),
    };
    site.wire().push(entry);
}

fn respond(answer: Answer, fault: Option<&Fault>) -> Response<Body> {
    let mut response = Response::new(body(answer.body, fault));
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn body(bytes: Vec<u8>, fault: Option<&Fault>) -> Body {
    let whole = |bytes: Vec<u8>| {
        http_body_util::Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed()
    };
    let Some(fault) = fault else { return whole(bytes) };
    let mut bytes = bytes;
    if let Some(length) = fault.truncate_body_to {
        bytes.truncate(length);
    }
    let cut = fault.cut == Some(Cut::MidBody);
    if !cut && fault.slow_ms_per_chunk == 0 {
        return whole(bytes);
    }
    if cut {
        bytes.truncate(bytes.len() / 2);
    }
    let pause = Duration::from_millis(fault.slow_ms_per_chunk);
    let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, io::Error>>(1);
    tokio::spawn(async move {
        for chunk in bytes.chunks(CHUNK) {
            if sender.send(Ok(Frame::data(Bytes::copy_from_slice(chunk)))).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
        if cut {
            // The first half has to be on the wire before the connection is cut.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = sender.send(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"))).await;
        }
    });
    Frames(receiver).boxed()
}

/// The frames of a channel as a body.
struct Frames(mpsc::Receiver<Result<Frame<Bytes>, io::Error>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context)
    }
}
