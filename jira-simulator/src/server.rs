//! Bytes in, bytes out: reads a request, lets the routes answer, applies faults, keeps the wire log.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::control::fault::{Cut, Fault, FaultBook};
use crate::control::hold::{Hold, When};
use crate::hosts::{self, Place};
use crate::login::{self, Caller, Door, Login, captcha, center, cloud, oauth1, pat, resources, scope};
use crate::respond::{Body, respond};
use crate::routes::{self, Answer, Refusal, Request};
use crate::simulator::Config;
use crate::state::Jira;
use crate::webhook::sender::Deliveries;
use crate::wire::{Entry, WireLog, body_for_log, headers_for_log, query_for_log};
use crate::world::World;

/// The largest request body, in bytes; Jira's own limit for JSON is unknown.
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// Everything both listeners share.
pub(crate) struct Hub {
    world: Mutex<World>,
    wire: Mutex<WireLog>,
    faults: Mutex<FaultBook>,
    /// Where the listener is, with the context path.
    base_url: String,
    pub(crate) hold: Hold,
    pub(crate) clock: Arc<Clock>,
    pub(crate) deliveries: Arc<Deliveries>,
}

impl Hub {
    pub(crate) fn new(config: &Config, base_url: String, stopped: watch::Receiver<bool>) -> Self {
        let clock = Arc::new(Clock::default());
        Self {
            world: Mutex::new(World::new(config, &base_url, &clock)),
            wire: Mutex::default(),
            faults: Mutex::default(),
            base_url,
            hold: Hold::default(),
            deliveries: Arc::new(Deliveries::new(clock.clone(), stopped)),
            clock,
        }
    }

    // A panic while a lock was held is a defect of one request; the others go on.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wire(&self) -> MutexGuard<'_, WireLog> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, FaultBook> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until told to stop.
pub(crate) async fn serve(hub: Arc<Hub>, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
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
        let hub = hub.clone();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let hub = hub.clone();
                async move { handle(&hub, request).await }
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

async fn handle(hub: &Arc<Hub>, incoming: hyper::Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let (parts, body) = incoming.into_parts();
    let (mut request, early) = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => (Request::new(&parts, body.to_bytes()), None),
        Err(_) => {
            let refusal = Refusal::new(413, "The request body is too large.");
            (Request::new(&parts, Bytes::new()), Some(Answer::from(refusal)))
        }
    };
    let tokens = is_token_endpoint(&request.path);
    if tokens {
        hub.hold.pass(When::Before).await;
    }
    let fault = hub.faults().take(&request.method, &request.path, &hosts::host(&request));
    let outcome = match (&fault, early) {
        (Some(fault), _) if fault.comes_before_routes() => unrouted(hub, &mut request, fault.answer()),
        (_, Some(answer)) => unrouted(hub, &mut request, answer),
        (fault, None) => {
            let mut outcome = route(hub, &mut request);
            if let Some(fault) = fault.as_ref().filter(|fault| fault.status.is_some()) {
                outcome.answer = fault.answer();
            }
            outcome
        }
    };
    record(hub, &request, &outcome, fault.as_ref());
    if tokens {
        hub.hold.pass(When::After).await;
    }
    let answer = outcome.answer;
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

/// Whether a path ends a request at one of the endpoints that give tokens.
fn is_token_endpoint(path: &str) -> bool {
    path == "/oauth/token" || path.ends_with("/oauth/access-token") || is_center_token(path)
}

fn is_center_token(path: &str) -> bool {
    path.ends_with("/token") && path.contains("/rest/oauth2/")
}

/// What became of a request.
struct Outcome {
    answer: Answer,
    caller: Caller,
    committed: bool,
    /// The site it was for, and the door it came in by; none for the servers of logins.
    site: Option<(String, Door)>,
}

/// A request that no route answers: who it would have been from.
fn unrouted(hub: &Hub, request: &mut Request, answer: Answer) -> Outcome {
    let mut world = hub.world();
    let (asked, place) = hosts::resolve(&world, &hub.base_url, request);
    let World { sites, login } = &mut *world;
    let Place::Jira { site, door } = place else {
        return Outcome { answer, caller: Caller::anonymous(), committed: false, site: None };
    };
    asked.enter(&mut sites[site], door);
    let (caller, _) = login::authenticate(login, &sites[site], door, request);
    Outcome { answer, caller, committed: false, site: Some((sites[site].name.clone(), door)) }
}

fn route(hub: &Arc<Hub>, request: &mut Request) -> Outcome {
    let mut world = hub.world();
    let (asked, place) = hosts::resolve(&world, &hub.base_url, request);
    let World { sites, login } = &mut *world;
    let (answer, committed) = match place {
        Place::Jira { site, door } => {
            asked.enter(&mut sites[site], door);
            drop(world);
            return in_jira(hub, request, site, door);
        }
        Place::Authorize => (cloud::authorize(login, sites, request), false),
        Place::Token => (cloud::token(login, sites, request), true),
        Place::Resources => (resources::list(login, sites, &asked, request), false),
        Place::CenterAuthorize => (center::authorize(login, sites, request), false),
        Place::CenterToken => (center::token(login, request), true),
        Place::Link(step) => (oauth1::route(login, sites, request, &step), true),
        Place::LoginPage => (captcha::login_page(login, &sites[0], request), true),
        Place::Nowhere(answer) => (answer, false),
    };
    let answer = answer.with_header("Cache-Control", "no-store");
    let committed = committed && answer.status < 400;
    Outcome { answer, caller: Caller::anonymous(), committed, site: None }
}

fn in_jira(hub: &Arc<Hub>, request: &Request, site: usize, door: Door) -> Outcome {
    let mut world = hub.world();
    let World { sites, login } = &mut *world;
    let jira = &mut sites[site];
    let (caller, refused) = login::authenticate(login, jira, door, request);
    let refused = refused.or_else(|| scope::refuse(login, &caller, request));
    let personal = request.segments.starts_with(&["rest".to_owned(), "pat".to_owned()]);
    let mut answer = match refused {
        Some(answer) => answer,
        None if door == Door::Csm => crate::csm::answer(jira, &caller, request),
        None if personal && !login.cloud() && login.version.at_least(8, 14) => {
            pat::route(login, jira, &caller, request)
        }
        None => routes::answer(jira, &caller, request),
    };
    add_headers(jira, &caller, &mut answer);
    let committed = jira.take_committed();
    let occurrences = jira.take_outbox();
    let deliveries = crate::webhook::payload::deliveries(jira, occurrences);
    let settings = jira.settings.clone();
    let name = jira.name.clone();
    drop(world);
    for delivery in deliveries {
        hub.deliveries.send(delivery, &settings);
    }
    Outcome { answer, caller, committed, site: Some((name, door)) }
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

fn record(hub: &Hub, request: &Request, outcome: &Outcome, fault: Option<&Fault>) {
    let Outcome { answer, caller, committed, site } = outcome;
    let account = caller.account.or(caller.named).map(|place| hub.world().sites[0].accounts[place].name.clone());
    let cut = matches!(fault.and_then(|fault| fault.cut), Some(Cut::BeforeCommit | Cut::AfterCommit));
    let mut response_headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            let _ = response_headers.try_append(name, value);
        }
    }
    let entry = Entry {
        seq: 0,
        at_ms: hub.clock.now_ms(),
        method: request.method.to_string(),
        path: request.path.clone(),
        route: request.route.clone(),
        site: site.as_ref().map(|(name, _)| name.clone()),
        door: site.as_ref().map(|(_, door)| door.name()),
        query: query_for_log(&request.raw_query),
        headers: headers_for_log(&request.headers),
        account,
        login: caller.login.name(),
        request_body: body_for_log(&request.body),
        status: if cut { 0 } else { answer.status },
        response_headers: headers_for_log(&response_headers),
        response_body: body_for_log(&answer.body),
        committed: *committed,
        fault: fault.map(|fault| fault.id),
        missing_route: answer.missing_route.is_some(),
    };
    hub.wire().push(entry);
}
