//! The HTTP receiver: prove, store, acknowledge. Reading what was stored comes after, in `process`.
//!
//! Whatever goes wrong inside the host is answered 503, which services repeat; a final 4xx is only for what will not
//! be right the next time either.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use tokio::sync::{Notify, Semaphore};
use tracing::Instrument as _;

use super::callbacks::{Callback, Callbacks};
use super::gathered::Gathered;
use super::handshake;
use super::intake::{Intake, Outcome, Watched};
use super::listen::Seat;
use super::proof::{self, Incoming, Refusal, Stripped};
use super::refusals::Refusals;
use super::room::{Room, RoomBounds};
use super::unproved::{Share, Unproved};
use crate::clock::new_id;
use crate::host::{Host, HostError, hashed};
use crate::observe::{delivery_span, metrics};
use crate::plugin::CallError;
use crate::plugin::contract::event::{Delivery, Proof, Registration, Verdict};
use crate::store::{Kept, StoredDelivery};
use crate::vault::Secret;

/// What is taken in, and how much of it at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The largest body, in bytes.
    pub(crate) largest_body: usize,
    /// How long a body may take.
    pub(crate) slowest_body: Duration,
    /// How many deliveries that came whole are proved and kept at once.
    pub(crate) at_once: usize,
    /// How much of bodies is held in memory at once, in KiB.
    pub(crate) bodies_kib: usize,
    /// How much may wait on disk.
    pub(crate) room: RoomBounds,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            largest_body: 25 << 20,
            slowest_body: Duration::from_secs(30),
            at_once: 512,
            bodies_kib: 26 << 10,
            room: RoomBounds::default(),
        }
    }
}

/// How much of a body that goes nowhere is let come to its end, in bytes, and for how long.
const LITTLE: usize = 64 << 10;
const STRANGERS: Duration = Duration::from_secs(1);

/// Headers that are never passed on: they may hold credentials of somebody.
const NEVER_PASSED_ON: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// How often what is registered may change while one delivery is taken in.
const MOST_CHANGES: u32 = 4;

/// What became of a delivery.
enum Taken {
    /// The answer to its sender.
    Answered(Response),
    /// What is registered was changed meanwhile: it is to be looked at anew. Its body.
    Past(Vec<u8>),
}

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Receiver {
    host: Arc<Host>,
    stored: Arc<Notify>,
    callbacks: Callbacks,
    intake: Intake,
    refusals: Refusals,
    room: Room,
    slots: Semaphore,
    handshakes: Semaphore,
    bounds: Bounds,
    memory: Arc<Unproved>,
}

/// The routes, and what keeps the deliveries, to be watched over. `stored` is told of every new delivery.
pub(crate) fn routes(host: Arc<Host>, stored: Arc<Notify>, bounds: Bounds) -> (Router, Watched) {
    let receiver = Receiver {
        intake: Intake::start(Arc::clone(&host), bounds.at_once),
        refusals: Refusals::start(&host),
        host,
        stored,
        callbacks: Callbacks::default(),
        room: Room::new(bounds.room),
        slots: Semaphore::new(bounds.at_once),
        handshakes: Semaphore::new(handshake::AT_ONCE),
        bounds,
        memory: Unproved::new(bounds.bodies_kib << 10),
    };
    let watched = receiver.intake.watched();
    let routes = Router::new()
        .route("/hooks/{token}", post(at_token))
        .route("/hooks/{token}/{last}", post(below_token))
        .route("/healthz", get(async || "ok\n"))
        .with_state(Arc::new(receiver));
    (routes, watched)
}

async fn at_token(
    State(receiver): State<Arc<Receiver>>,
    Path(token): Path<String>,
    request: Request<Body>,
) -> Response {
    let last = token.clone();
    receiver.deliver(&token, &last, request).await
}

async fn below_token(
    State(receiver): State<Arc<Receiver>>,
    Path((token, last)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    receiver.deliver(&token, &last, request).await
}

fn nothing_here() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}

fn come_back() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], "come back later\n").into_response()
}

/// The answer to a sender whose body had to make room for those of others.
fn give_way() -> Response {
    let mut response = come_back();
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

fn internal(connection: &str, error: &HostError) -> Response {
    tracing::error!(connection, %error, "a delivery could not be taken in; the sender was asked to come back");
    come_back()
}

/// Lets a body come to its end, but for more than `most` bytes, and keeps nothing of it.
async fn read_off(mut body: Body, most: usize) {
    let mut left = most;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) else { break };
        left = rest;
    }
}

impl Receiver {
    async fn deliver(&self, token: &str, last: &str, request: Request<Body>) -> Response {
        // The address is checked before the body is read: strangers cost no memory.
        let callback = match self.callbacks.find(&self.host, token).await {
            Ok(Some(callback)) => callback,
            Ok(None) => {
                // Who still sends does not read the answer.
                let _ = tokio::time::timeout(STRANGERS, read_off(request.into_body(), LITTLE)).await;
                return nothing_here();
            }
            Err(error) => return internal("", &error),
        };
        if !self.room.is_there(&self.host) {
            return come_back();
        }
        let (mut parts, body) = request.into_parts();
        let seat = parts.extensions.remove::<Arc<Seat>>();
        let memory = self.memory.begin(&callback.connection.id);
        let reading = tokio::time::timeout(self.bounds.slowest_body, self.read(&memory, &parts.headers, body));
        let read = tokio::select! {
            read = reading => read,
            () = memory.has_to_go() => return give_way(),
        };
        let body = match read {
            Ok(Ok(body)) => body,
            Ok(Err(refused)) => return refused,
            Err(_) => {
                let close = [(header::CONNECTION, "close")];
                return (StatusCode::REQUEST_TIMEOUT, close, "the body took too long\n").into_response();
            }
        };
        if !memory.is_whole() {
            return give_way();
        }
        if let Some(seat) = seat {
            seat.request_is_whole();
        }
        // Only whole ones take a place, so that slow senders hold up nobody.
        let Ok(_slot) = self.slots.try_acquire() else { return come_back() };
        self.prove_and_keep(callback, token, last, &parts, body).await
    }

    /// Takes a delivery in by what is registered now, also where that is changed meanwhile.
    async fn prove_and_keep(
        &self,
        mut callback: Arc<Callback>,
        token: &str,
        last: &str,
        parts: &Parts,
        mut body: Vec<u8>,
    ) -> Response {
        for _ in 0..MOST_CHANGES {
            let url = format!("{}/hooks/{token}", callback.endpoint.public_url);
            body = match self.take_in(&callback, &url, last, &parts.uri, &parts.headers, body).await {
                Ok(Taken::Answered(response)) => return response,
                Ok(Taken::Past(body)) => body,
                Err(error) => return internal(&callback.connection.name, &error),
            };
            callback = match self.callbacks.find_anew(&self.host, token).await {
                Ok(Some(callback)) => callback,
                Ok(None) => return nothing_here(),
                Err(error) => return internal(&callback.connection.name, &error),
            };
        }
        come_back()
    }

    async fn read(&self, memory: &Share, headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Response> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > self.bounds.largest_body) {
            return Err(self.too_large(body, 0).await);
        }
        let mut gathered = Gathered::default();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err((StatusCode::BAD_REQUEST, "the body broke off\n").into_response());
            };
            let Ok(data) = frame.into_data() else { continue };
            if gathered.len() + data.len() > self.bounds.largest_body {
                let had = gathered.len();
                drop(gathered);
                memory.give_back();
                return Err(self.too_large(body, had).await);
            }
            if !memory.grow(data.len()) {
                return Err(come_back());
            }
            gathered.push(&data);
        }
        Ok(gathered.whole())
    }

    /// Lets a body that is a little too large come to its end before it is refused: who still sends does not read the
    /// answer.
    async fn too_large(&self, body: Body, had: usize) -> Response {
        read_off(body, (self.bounds.largest_body + self.bounds.largest_body / 4).saturating_sub(had)).await;
        (StatusCode::PAYLOAD_TOO_LARGE, [(header::CONNECTION, "close")], "the body is too large\n").into_response()
    }

    async fn take_in(
        &self,
        callback: &Callback,
        url: &str,
        last: &str,
        uri: &Uri,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> Result<Taken, HostError> {
        let host = &self.host;
        let connection = &callback.connection;
        let headers: Vec<(String, Vec<u8>)> =
            headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
        let query = uri.query().unwrap_or_default();
        let incoming = Incoming { url, last_segment: last, query, headers: &headers, body: &body };
        let (mut proved, mut refusal) = (None, None);
        for (registration, secret) in &callback.proofs {
            match self.prove(callback, registration, secret.as_ref(), &incoming).await {
                Ok(Ok(stripped)) => {
                    proved = Some(self.stripped(callback, registration, &incoming, &stripped));
                    break;
                }
                Ok(Err(reason)) => refusal = refusal.or(Some(reason)),
                Err(_) if !callback.is_current(host)? => return Ok(Taken::Past(body)),
                Err(error) => return Err(error),
            }
        }
        if let Some(delivery) = proved {
            let sha256 = hashed(&body);
            let span = delivery_span(&delivery.id);
            return self.acknowledge(callback, StoredDelivery { body, sha256, ..delivery }).instrument(span).await;
        }
        // Nobody is refused by what was registered before.
        if !callback.is_current(host)? {
            return Ok(Taken::Past(body));
        }
        if handshake::is_being_registered(&callback.endpoint, &callback.registrations, url, host.clock().now_ms()) {
            return Ok(Taken::Answered(self.introduce(callback, &incoming).await));
        }
        let reason = refusal.unwrap_or_else(|| "nothing is registered for this connection".to_owned());
        self.refusals.count(host, (&connection.id, &connection.name), reason);
        Ok(Taken::Answered((StatusCode::UNAUTHORIZED, "the delivery is not proved\n").into_response()))
    }

    /// Answers a challenge. A delivery proper, whose proof is not known yet, is asked to come again.
    async fn introduce(&self, callback: &Callback, incoming: &Incoming<'_>) -> Response {
        let Ok(_slot) = self.handshakes.try_acquire() else { return come_back() };
        let delivery = Delivery {
            id: new_id(&**self.host.clock()),
            registration: String::new(),
            method: "POST".into(),
            query: incoming.query.to_owned(),
            headers: text_headers(incoming, &NEVER_PASSED_ON),
            body: incoming.body.to_vec(),
            received_at_ms: self.host.clock().now_ms(),
            extra: "{}".into(),
        };
        let reply = handshake::reply(&callback.plugin, &delivery).await;
        let answered = reply.is_some();
        tracing::info!(connection = callback.connection.name, answered, "the service called while it registers");
        reply.unwrap_or_else(come_back)
    }

    /// Proves by exactly what was registered. The inner error is the reason of a refusal.
    async fn prove(
        &self,
        callback: &Callback,
        registration: &Registration,
        secret: Option<&Secret>,
        incoming: &Incoming<'_>,
    ) -> Result<Result<Stripped, String>, HostError> {
        if matches!(registration.proof, Proof::Authenticate) {
            let delivery = self.stripped(callback, registration, incoming, &Stripped::default());
            // The connector looks at what proves it, so here nothing is left out.
            let (headers, body) = (text_headers(incoming, &[]), incoming.body.to_vec());
            let delivery = Delivery { headers, body, ..contract(&delivery) };
            return match callback.plugin.authenticate(&delivery, registration).await {
                Ok(Verdict::Genuine) => Ok(Ok(Stripped::default())),
                // It is shown to people: nothing in it may move their cursor.
                Ok(Verdict::Forged(reason)) => Ok(Err(reason.replace(char::is_control, " "))),
                Err(error) => Err(error.into()),
            };
        }
        let secret = secret.map(|secret| secret.expose().as_bytes());
        match proof::prove(&registration.proof, incoming, secret, self.host.clock().now_ms()) {
            Ok(stripped) => Ok(Ok(stripped)),
            // Ours to put right: the sender shall come back.
            Err(Refusal::NoSecret) => Err(HostError::other(
                "secret-missing",
                Refusal::NoSecret.to_string(),
                "Run `harness subscribe` again, so that the registration is made anew.",
            )),
            Err(refusal) => Ok(Err(refusal.to_string())),
        }
    }

    /// The delivery without what proved it, and still without its body.
    fn stripped(
        &self,
        callback: &Callback,
        registration: &Registration,
        incoming: &Incoming<'_>,
        stripped: &Stripped,
    ) -> StoredDelivery {
        let host = &self.host;
        let mut left_out: Vec<&str> = NEVER_PASSED_ON.to_vec();
        left_out.extend(stripped.headers.iter().map(String::as_str));
        let headers: Vec<(String, String)> =
            text_headers(incoming, &left_out).into_iter().map(|one| (one.name, one.value)).collect();
        let id_header = callback.plugin.manifest().deliveries.id_header.as_deref();
        let service_id = id_header.and_then(|wanted| {
            headers.iter().find(|(name, value)| name.eq_ignore_ascii_case(wanted) && !value.is_empty())
        });
        StoredDelivery {
            id: host.next_id(),
            connection: callback.connection.id.clone(),
            registration: registration.id.clone(),
            service_id: service_id.map(|(_, value)| value.clone()),
            method: "POST".into(),
            query: without(incoming.query, &stripped.query),
            headers,
            body: vec![],
            sha256: String::new(),
            received_at_ms: host.clock().now_ms(),
            attempts: 0,
        }
    }

    async fn acknowledge(&self, callback: &Callback, delivery: StoredDelivery) -> Result<Taken, HostError> {
        let (connection, plugin) = (&callback.connection, &callback.plugin);
        if plugin.manifest().deliveries.handshake {
            if !callback.is_current(&self.host)? {
                return Ok(Taken::Past(delivery.body));
            }
            let answer =
                plugin.answer(&contract(&delivery)).await.map_err(|error: CallError| HostError::from(error))?;
            if let Some(reply) = answer {
                return Ok(Taken::Answered(handshake::response(reply)));
            }
        }
        let id = delivery.id.clone();
        let kept = match self.intake.keep(callback.version, delivery).await? {
            Outcome::Kept(kept) => kept,
            Outcome::Past(body) => return Ok(Taken::Past(body)),
        };
        // From here on the delivery is on disk: only now may the sender forget it.
        match kept {
            Kept::New => {
                metrics().delivery("new");
                tracing::info!(connection = connection.name, delivery = id, "a delivery was taken in");
                self.stored.notify_one();
            }
            Kept::Again => {
                metrics().delivery("again");
                tracing::info!(connection = connection.name, "a delivery came again and starts nothing");
            }
            Kept::Differs => {
                metrics().delivery("differs");
                tracing::warn!(
                    connection = connection.name,
                    "a delivery came again with another body; the first one counts"
                );
            }
        }
        Ok(Taken::Answered((StatusCode::OK, "taken in\n").into_response()))
    }
}

fn contract(delivery: &StoredDelivery) -> Delivery {
    crate::host::contract_delivery(delivery)
}

fn text_headers(incoming: &Incoming<'_>, left_out: &[&str]) -> Vec<crate::plugin::contract::event::Header> {
    incoming
        .headers
        .iter()
        .filter(|(name, _)| !left_out.iter().any(|one| name.eq_ignore_ascii_case(one)))
        .filter_map(|(name, value)| {
            let value = std::str::from_utf8(value).ok()?.to_owned();
            Some(crate::plugin::contract::event::Header { name: name.clone(), value })
        })
        .collect()
}

fn without(query: &str, left_out: &[String]) -> String {
    if left_out.is_empty() {
        return query.to_owned();
    }
    let kept =
        url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !left_out.iter().any(|one| one == name));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
}
