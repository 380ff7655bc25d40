//! For tests: a service on loopback that grants tokens and takes them, and processes that share one home.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::{any, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use super::{Access, Context, Credential, GrantUse, Grants, Keeper, Registration, Scheme, Tokens, keep};
use crate::clock::SharedClock;
use crate::egress::{Network, Origin, PinnedOrigin, Policy};
use crate::host::Home;
use crate::store::{Edition, NewTokens, Store, StoredConnection, StoredCredential, StoredOauthClient, supersede};
use crate::test_clock::TestClock;
use crate::vault::{LockoutGuard, Secret, Space, Vault};

/// The one credential of a bench.
pub(crate) const CREDENTIAL: &str = "credential-1";
/// The secret of its OAuth client.
pub(crate) const CLIENT_SECRET: &str = "fake-client-secret";

/// What happens beside a refresh, before it is answered.
type Beside = Box<dyn FnMut() + Send>;

/// What the service saw and what it shall do.
pub(crate) struct World {
    /// The refresh token that counts.
    pub(crate) refresh: String,
    /// The access tokens that count.
    pub(crate) accepted: HashSet<String>,
    /// The challenge that belongs to the code `fake-code`, and where it may be taken to.
    pub(crate) challenge: Option<String>,
    pub(crate) redirect: String,
    /// How often tokens were asked for, and with which bodies and headers.
    pub(crate) asked: Vec<(HashMap<String, String>, HeaderMap)>,
    /// What is answered to the next requests for tokens.
    pub(crate) answers: VecDeque<(u16, String)>,
    pub(crate) beside: Option<Beside>,
    pub(crate) slow: Duration,
    /// How long the access tokens last, in seconds.
    pub(crate) lasts: Option<f64>,
    /// Whether a refresh ends the access tokens of before.
    pub(crate) ends_access: bool,
    /// The answer to accepted requests, and the one to others.
    pub(crate) refused_with: u16,
    /// Whether no access token counts.
    pub(crate) refuses_all: bool,
    /// A header of the answer to others.
    pub(crate) refused_says: Option<(&'static str, &'static str)>,
    /// The requests beside those for tokens: method, path with query, authorization, body.
    pub(crate) calls: Vec<(String, String, String, Bytes)>,
    /// What is answered to the next requests beside those for tokens; `{authorization}` in it is theirs.
    pub(crate) fixed: VecDeque<String>,
    minted: u64,
}

impl World {
    fn mint(&mut self) -> String {
        self.minted += 1;
        let number = self.minted;
        if self.ends_access {
            self.accepted.clear();
        }
        self.accepted.insert(format!("fake-access-{number}"));
        self.refresh = format!("fake-refresh-{number}");
        let mut granted = json!({
            "access_token": format!("fake-access-{number}"),
            "refresh_token": self.refresh,
            "token_type": "Bearer",
            "scope": "read write",
        });
        if let Some(lasts) = self.lasts {
            granted["expires_in"] = lasts.into();
        }
        granted.to_string()
    }
}

pub(crate) struct Bench {
    pub(crate) url: String,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) app: StoredOauthClient,
    world: Arc<Mutex<World>>,
    folder: tempfile::TempDir,
}

/// One process of the home.
pub(crate) struct Process {
    pub(crate) store: Arc<Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) guard: LockoutGuard,
    pub(crate) access: Access,
    grants: Grants,
    clock: SharedClock,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World {
            refresh: "fake-refresh-0".into(),
            accepted: HashSet::new(),
            challenge: None,
            redirect: "http://127.0.0.1:7777/callback".into(),
            asked: vec![],
            answers: VecDeque::new(),
            beside: None,
            slow: Duration::ZERO,
            lasts: Some(3600.0),
            ends_access: false,
            refused_with: 401,
            refuses_all: false,
            refused_says: None,
            calls: vec![],
            fixed: VecDeque::new(),
            minted: 0,
        }));
        let routes =
            Router::new().route("/token", post(token)).route("/{*path}", any(call)).with_state(Arc::clone(&world));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, routes).await });
        let app = StoredOauthClient {
            id: "client-1".into(),
            name: "client".into(),
            connector: "fake".into(),
            method: "oauth".into(),
            form: json!({"client-id": "fake-client"}),
            callback: "http://127.0.0.1:7777/callback".into(),
            scopes: vec!["read".into(), "extra".into()],
            public_key: None,
            created_at_ms: 0,
        };
        Self { url, clock: TestClock::shared(), app, world, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// How often tokens were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.world().asked.len()
    }

    /// How often anything else was asked.
    pub(crate) fn called(&self) -> usize {
        self.world().calls.len()
    }

    pub(crate) fn settings(&self) -> Value {
        json!({"site": self.url})
    }

    /// A scheme with a person, PKCE and a client's secret; `more` is added to it.
    pub(crate) fn scheme(more: &Value) -> Scheme {
        let mut scheme = json!({
            "type": "oauth2",
            "grant": "authorization-code",
            "authorization-url": "{site}authorize",
            "token-url": "{site}token",
            "client-id": {"app": "client-id"},
            "client-secret": {"app": "client-secret"},
            "pkce": true,
            "parameters": {"audience": "fake-audience"},
            "scopes": [
                {"id": "read", "description": "reads", "default": true},
                {"id": "write", "description": "writes"},
                {"id": "offline", "description": "stays", "required": true}
            ],
            "idle-days": 90
        });
        for (name, value) in more.as_object().unwrap() {
            scheme[name] = value.clone();
        }
        serde_json::from_value(scheme).unwrap()
    }

    /// A process of the home.
    pub(crate) fn process(&self) -> Process {
        let home = Home::new(self.folder.path(), None);
        let clock: SharedClock = self.clock.clone();
        let store = Arc::new(Store::open(&home.database()).unwrap());
        let vault = Arc::new(Vault::open(&home.key_file, Arc::clone(&store), Arc::clone(&clock)).unwrap());
        vault.put(Space::App, &self.app.id, "client-secret", &Secret::new(CLIENT_SECRET)).unwrap();
        let origins = vec![PinnedOrigin { origin: Origin::parse(&self.url).unwrap(), credential: true }];
        let access = Access::new(Network::new().unwrap(), Policy::new(origins, true), "c1");
        let keeper = Keeper::new(Arc::clone(&vault), Arc::clone(&store), Arc::clone(&clock), home);
        let guard = LockoutGuard::new(Arc::clone(&store), Arc::clone(&clock));
        Process { store, vault, guard, access, grants: Grants::new(keeper), clock }
    }

    /// A process whose home has the credential, authorized with the service's first tokens.
    pub(crate) fn authorized(&self) -> Process {
        let process = self.process();
        process.insert_credential();
        process.keep(&self.mint());
        process
    }

    /// Further tokens, as the service would give them.
    pub(crate) fn mint(&self) -> Tokens {
        let granted: Value = serde_json::from_str(&self.world().mint()).unwrap();
        Tokens {
            access: Secret::new(granted["access_token"].as_str().unwrap()),
            refresh: granted["refresh_token"].as_str().map(Secret::new),
            token_secret: None,
            expires_in: granted["expires_in"].as_f64().map(Duration::from_secs_f64),
            scopes: None,
        }
    }

    /// The grant as a connection of a process uses it.
    pub(crate) fn grant(&self, process: &Process, scheme: Scheme) -> GrantUse {
        let stored = process.stored();
        let context = Context { scheme, settings: self.settings(), form: json!({}), app: Some(self.app.clone()) };
        GrantUse::new(process.grants.open(&stored).unwrap(), context)
    }

    /// What a call of a process may use, with the grant.
    pub(crate) fn granted(&self, process: &Process, scheme: Scheme) -> Access {
        let grant = self.grant(process, scheme);
        let stored = process.stored();
        let credential = Credential::of_grant(grant, &process.vault, &stored.id, stored.generation);
        process.access.clone().with_credential(credential, vec![], process.guard.clone(), "account")
    }
}

/// The credential, without tokens.
fn insert_credential(store: &Store) {
    let credential = StoredCredential {
        id: CREDENTIAL.into(),
        connector: "fake".into(),
        method: "oauth".into(),
        form: json!({}),
        client: None,
        generation: 1,
        created_at_ms: 0,
        version: 0,
        scopes: None,
        access_until_ms: None,
        renewed_at_ms: None,
        dead: None,
        paused: None,
    };
    store.insert_credential(&credential).unwrap();
}

/// The credential as if it were authorized, and a connection that uses it.
pub(crate) fn insert(store: &Store, name: &str) {
    insert_credential(store);
    let tokens = NewTokens { scopes: None, access_until_ms: None, renewed_at_ms: 0 };
    let kept =
        store.write(|transaction| supersede(transaction, CREDENTIAL, Edition { version: 0, generation: 1 }, &tokens));
    assert!(kept.unwrap());
    let connection = StoredConnection {
        id: "c1".into(),
        name: name.into(),
        component: "fake.wasm".into(),
        connector: "fake".into(),
        method: "oauth".into(),
        form: json!({}),
        credential: CREDENTIAL.into(),
        settings: "{}".into(),
        origins: vec![],
        site_open: false,
        allow_private: false,
        authorities: None,
        proven: false,
        identity: None,
        health: None,
        memo: None,
        created_at_ms: 0,
        revision: 0,
    };
    assert!(store.insert_connection(&connection).unwrap());
}

impl Process {
    /// Waits until it renews nothing.
    pub(crate) async fn settled(&self) {
        self.grants.settled().await;
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    pub(crate) fn insert_credential(&self) {
        insert_credential(&self.store);
    }

    pub(crate) fn keep(&self, tokens: &Tokens) {
        keep(&self.vault, &self.store, &self.clock, CREDENTIAL, tokens).unwrap();
    }

    pub(crate) fn stored(&self) -> StoredCredential {
        self.store.credential(CREDENTIAL).unwrap().unwrap()
    }

    pub(crate) fn registration<'a>(
        &'a self,
        scheme: &'a Scheme,
        settings: &'a Value,
        app: Option<&'a StoredOauthClient>,
    ) -> Registration<'a> {
        const NO_FORM: &Value = &Value::Null;
        Registration {
            scheme,
            settings,
            form: NO_FORM,
            form_secrets_of: CREDENTIAL,
            typed: &[],
            app,
            access: &self.access,
            vault: &self.vault,
            clock: &self.clock,
        }
    }
}

async fn token(State(world): State<Arc<Mutex<World>>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let (slow, beside) = {
        let mut world = world.lock().unwrap();
        world.asked.push((form.clone(), headers));
        (world.slow, world.beside.take())
    };
    tokio::time::sleep(slow).await;
    if let Some(mut beside) = beside {
        let beside = tokio::task::spawn_blocking(move || {
            beside();
            beside
        });
        world.lock().unwrap().beside = Some(beside.await.unwrap());
    }
    let mut world = world.lock().unwrap();
    if let Some((status, body)) = world.answers.pop_front() {
        return (StatusCode::from_u16(status).unwrap(), body);
    }
    let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
    let granted = match form.get("grant_type").map(String::as_str) {
        Some("refresh_token") => is("refresh_token", &world.refresh),
        Some("client_credentials") => true,
        Some("authorization_code") => {
            let verifier = form.get("code_verifier").map(|verifier| Sha256::digest(verifier.as_bytes()));
            let challenge = verifier.map(|digest| URL_SAFE_NO_PAD.encode(digest));
            is("code", "fake-code") && is("redirect_uri", &world.redirect) && challenge == world.challenge
        }
        _ => false,
    };
    if granted {
        (StatusCode::OK, world.mint())
    } else {
        let refused = r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#;
        (StatusCode::FORBIDDEN, refused.into())
    }
}

async fn call(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let mut world = world.lock().unwrap();
    let mut said = HeaderMap::new();
    let authorization =
        headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let path = Uri::path_and_query(&uri).map(ToString::to_string).unwrap_or_default();
    world.calls.push((method.to_string(), path, authorization.clone(), body));
    if let Some(fixed) = world.fixed.pop_front() {
        return (StatusCode::OK, said, fixed.replace("{authorization}", &authorization));
    }
    let accepted = authorization.strip_prefix("Bearer ").is_some_and(|token| world.accepted.contains(token));
    let accepted = accepted && !world.refuses_all;
    if accepted {
        (StatusCode::OK, said, "{}".into())
    } else {
        if let Some((name, value)) = world.refused_says {
            said.insert(name, value.parse().unwrap());
        }
        (StatusCode::from_u16(world.refused_with).unwrap(), said, "{}".into())
    }
}
