//! A whole host over a small service on loopback, with a clock that the test turns.
//!
//! The components are built by `cargo xtask build`; without them, or with old ones, a test fails and says so.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::built;
use crate::clock::Clock as _;
use crate::engine::{Ready, Serving, serve};
use crate::host::{Home, Host, NewConnection, NewSubscription};
use crate::store::StoredSubscription;
use crate::test_clock::TestClock;
use crate::vault::Secret;

/// A flow of one step, which lights a beacon.
pub(crate) const LIGHT: &str = "name: answer
on: { event: beacon-lit, connection: harbour }
steps:
  - { id: light, action: light-beacon, connection: harbour, input: { name: \"to ${{ event.beacon }}\", colour: red } }
";

/// What the service saw and what it shall do.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) hooks: Vec<Value>,
    /// How many hooks are gone whose ids do not come again.
    pub(crate) gone: usize,
    /// Whether hooks are refused for good.
    pub(crate) full: bool,
    /// Whether lights are refused because of the credential.
    pub(crate) refuses: bool,
    /// The idempotency keys of the lights that were asked for, also of those that were put off.
    pub(crate) keys: Vec<String>,
    /// How many beacons were lit.
    pub(crate) lit: usize,
    /// Seconds to ask for, instead of doing what is asked.
    pub(crate) put_off: VecDeque<u64>,
    /// What it says of the account.
    pub(crate) account: Option<Value>,
    /// How often it was asked.
    pub(crate) accounts_asked: usize,
    /// How long it takes to light a beacon.
    pub(crate) slow: Option<Duration>,
}

type Shared = Arc<Mutex<World>>;

/// A host, a service, a clock.
pub(crate) struct Bench {
    pub(crate) host: Arc<Host>,
    pub(crate) clock: Arc<TestClock>,
    world: Shared,
    url: String,
    folder: tempfile::TempDir,
}

impl Bench {
    /// A host with the connection `harbour` of the guest `beacon`.
    pub(crate) async fn start() -> Self {
        let world = Shared::default();
        let routes = Router::new()
            .route("/account", get(account))
            .route("/beacons", get(beacons).post(light))
            .route("/signals", get(async || r#"{"signals":[],"next":0,"more":false,"after-ms":60000}"#))
            .route("/hooks", get(hooks).post(add_hook))
            .route("/hooks/{id}", delete(remove_hook))
            .with_state(Arc::clone(&world));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, routes).await });
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("flows")).unwrap();
        let clock = TestClock::shared();
        let host = Arc::new(Host::open(Home::new(folder.path().join("home"), None), clock.clone()).unwrap());
        let bench = Self { host, clock, world, url, folder };
        bench.connect("harbour", "guest_beacon", "api-key", "key").await;
        bench
    }

    /// Makes a connection.
    pub(crate) async fn connect(&self, name: &str, component: &str, method: &str, secret: &str) {
        let new = NewConnection {
            name: name.into(),
            component: built::component(component),
            method: method.into(),
            fields: vec![("base-url".into(), self.url.clone())],
            secrets: vec![(secret.into(), Secret::new("obviously-fake-secret"))],
            allow_private: true,
            ..NewConnection::default()
        };
        self.host.add_connection(new).await.unwrap();
    }

    /// Where the service is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn flow(&self, name: &str, text: &str) {
        std::fs::write(self.flows().join(name), text).unwrap();
    }

    pub(crate) async fn subscribe(&self, connection: &str, card: &str, filter: Value) -> StoredSubscription {
        self.host.keep_subscription(NewSubscription { connection, card, filter, flow: None }).await.unwrap()
    }

    /// The folder of flows.
    pub(crate) fn flows(&self) -> PathBuf {
        self.folder.path().join("flows")
    }

    /// A way into the database past the host: it does what a full or broken disk would.
    pub(crate) fn disk(&self) -> rusqlite::Connection {
        let disk = rusqlite::Connection::open(self.host.home().database()).unwrap();
        disk.busy_timeout(Duration::from_secs(10)).unwrap();
        disk
    }

    /// Serves until the answer is told to stop.
    pub(crate) async fn serve(&self) -> Running {
        let (host, flows) = (Arc::clone(&self.host), self.flows());
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let serving = Serving { flows: Some(&flows), ..Serving::at(SocketAddr::from(([127, 0, 0, 1], 0))) };
            let tell = move |_: &Ready| ready.send(()).unwrap();
            serve(host, serving, tell, async { _ = stopped.await }).await.unwrap();
        });
        is_ready.await.unwrap();
        Running { stop, task }
    }

    /// What comes to the callback of the only webhook, signed as the service signs.
    pub(crate) async fn deliver(&self, id: &str, body: &Value) -> u16 {
        let hook = self.world().hooks[0].clone();
        let body = body.to_string();
        let time = self.clock.now_ms() / 1000;
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(hook["secret"].as_str().unwrap().as_bytes()).unwrap();
        mac.update(format!("{time}.{body}").as_bytes());
        let signature = format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()));
        let headers = format!("beacon-delivery: {id}\r\nbeacon-signature: {signature}\r\n");
        post(hook["url"].as_str().unwrap(), &headers, body.as_bytes()).await
    }

    /// The same where what is registered may still change: asked to come back, it comes again, as services do.
    pub(crate) async fn deliver_at_last(&self, id: &str, body: &Value) -> u16 {
        for _ in 0..100 {
            match self.deliver(id, body).await {
                503 => tokio::time::sleep(Duration::from_millis(20)).await,
                status => return status,
            }
        }
        503
    }

    /// Waits, in real time, until the runs are in these states.
    pub(crate) async fn reach(&self, states: &[&str]) {
        for _ in 0..1500 {
            if self.states() == states {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("waited in vain for {states:?}: {:#?}", self.host.store().runs(100));
    }

    /// The states of all runs.
    pub(crate) fn states(&self) -> Vec<String> {
        self.host.store().runs(100).unwrap().into_iter().map(|run| run.state).collect()
    }
}

/// A host that serves.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

/// The body of a delivery: a beacon was lit.
pub(crate) fn lit(seq: u64) -> Value {
    json!({"seq": seq, "kind": "lit", "beacon": format!("b{seq}"), "colour": "red", "at-ms": 0})
}

/// Waits, in real time, until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for {what}");
}

/// Posts a body; the status of the answer.
pub(crate) async fn post(url: &str, headers: &str, body: &[u8]) -> u16 {
    let (mut stream, path) = open(url).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    status(&mut stream).await
}

/// A connection to the place of a URL, and the URL's path.
pub(crate) async fn open(url: &str) -> (TcpStream, String) {
    let url = url::Url::parse(url).unwrap();
    let place = (url.host_str().unwrap(), url.port().unwrap());
    (TcpStream::connect(place).await.unwrap(), url.path().to_owned())
}

/// The status of the answer on a connection that ends with it.
pub(crate) async fn status(stream: &mut TcpStream) -> u16 {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}

async fn account(State(world): State<Shared>) -> String {
    let mut world = world.lock().unwrap();
    world.accounts_asked += 1;
    let usual = || json!({"workspace": "w", "account": "a", "name": "n"});
    world.account.clone().unwrap_or_else(usual).to_string()
}

async fn beacons(Query(query): Query<HashMap<String, String>>) -> String {
    let after: usize = query.get("after").map_or(0, |after| after.parse().unwrap());
    let next = (after < 2).then(|| (after + 1).to_string());
    json!({"beacons": [{"colour": "red"}], "next": next}).to_string()
}

async fn light(State(world): State<Shared>, headers: HeaderMap, _whole_body: String) -> Response {
    let slow = {
        let mut world = world.lock().unwrap();
        world.keys.push(headers["idempotency-key"].to_str().unwrap().to_owned());
        world.slow
    };
    if let Some(slow) = slow {
        tokio::time::sleep(slow).await;
    }
    let mut world = world.lock().unwrap();
    if world.refuses {
        return (StatusCode::UNAUTHORIZED, "{}").into_response();
    }
    if let Some(seconds) = world.put_off.pop_front() {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds.to_string())], "{}").into_response();
    }
    world.lit += 1;
    (StatusCode::CREATED, r#"{"id":"b1","name":"n","colour":"red"}"#).into_response()
}

async fn hooks(State(world): State<Shared>) -> String {
    json!({"hooks": world.lock().unwrap().hooks}).to_string()
}

async fn add_hook(State(world): State<Shared>, body: String) -> Response {
    let mut hook: Value = serde_json::from_str(&body).unwrap();
    let mut world = world.lock().unwrap();
    if world.full {
        return (StatusCode::BAD_REQUEST, "{}").into_response();
    }
    hook["id"] = json!(format!("h{}", world.gone + world.hooks.len() + 1));
    world.hooks.push(hook.clone());
    hook.to_string().into_response()
}

async fn remove_hook(State(world): State<Shared>, Path(id): Path<String>) -> &'static str {
    world.lock().unwrap().hooks.retain(|hook| hook["id"] != *id);
    "{}"
}
