//! The pools of connections, one for each connection policy and credential, so that no request
//! travels on a connection that was opened under another connection's rules.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use wasmtime_wasi_http::WasiBody;

use super::connect::{CheckedTcp, Connector};
use super::detour::Detours;
use super::origin::PinnedOrigin;
use super::resolve::{Resolver, SystemResolver};
use super::sender::Refusal;
use super::tls::Tls;

/// How many pools are kept at most; when there are more, all are dropped and made anew on demand.
const MOST_POOLS: usize = 2048;
/// How many idle connections a pool keeps: as many as there are calls at once, so that none is opened for each of them.
const MOST_IDLE: usize = 64;

/// What one connection's requests may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Where requests may go. Everything else is refused.
    pub origins: Vec<PinnedOrigin>,
    /// Whether the operator allowed private addresses and plain http for this connection.
    pub allow_private: bool,
    /// The largest request body, in bytes.
    pub max_request_bytes: u64,
    /// The largest response body, in bytes, as it comes over the wire.
    pub max_response_bytes: u64,
    /// How many headers a response may have.
    pub max_response_headers: usize,
    /// How many bytes the names and values of a response's headers may have together.
    pub max_response_header_bytes: usize,
    /// How long name resolution, connection and TLS may take together.
    pub connect_timeout: Duration,
    /// The certificate authorities (PEM) that are trusted instead of the system's.
    pub authorities: Option<Arc<str>>,
}

impl Policy {
    /// The usual bounds: bodies of 32 MiB, 100 headers of 64 KiB together, 10 s to connect.
    pub fn new(origins: Vec<PinnedOrigin>, allow_private: bool) -> Self {
        Self {
            origins,
            allow_private,
            max_request_bytes: 32 << 20,
            max_response_bytes: 32 << 20,
            max_response_headers: 100,
            max_response_header_bytes: 64 << 10,
            connect_timeout: Duration::from_secs(10),
            authorities: None,
        }
    }

    /// The same with these certificate authorities (PEM) instead of the system's, if any.
    #[must_use]
    pub fn trusting(self, authorities: Option<&str>) -> Self {
        Self { authorities: authorities.map(Into::into), ..self }
    }

    /// Whether a request of the host itself may go there; the reason where it may not.
    pub(crate) fn admits(&self, uri: &Uri) -> Result<(), String> {
        match super::sender::permit(self, &Method::POST, uri) {
            Ok(_) => Ok(()),
            Err(Refusal::Denied(reason) | Refusal::Unreached(reason, _) | Refusal::Lost(reason, _)) => Err(reason),
        }
    }

    /// The HTTP client of a pool: what is compared with a call is to send with the same settings.
    pub fn client(&self) -> Builder {
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(MOST_IDLE)
            .http1_max_headers(self.max_response_headers)
            .http1_max_buf_size(self.max_response_header_bytes.max(16 << 10));
        client
    }
}

pub(crate) type Pool = Client<Connector, WasiBody>;

/// All ways out of this process. Clones share the pools.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    resolver: Arc<dyn Resolver>,
    tls: Tls,
    detours: Detours,
    pools: Mutex<HashMap<(Policy, String), Pool>>,
}

/// Why there is no way out.
#[derive(Debug, thiserror::Error)]
#[error("TLS could not be set up: {0}")]
pub struct NetworkError(#[from] rustls::Error);

impl Network {
    /// The network with the operating system's resolver and trusted certificates. No proxy is used,
    /// whatever the environment says.
    pub fn new() -> Result<Self, NetworkError> {
        Self::with_resolver(SystemResolver)
    }

    /// The network with another resolver.
    pub fn with_resolver(resolver: impl Resolver) -> Result<Self, NetworkError> {
        Self::with(resolver, Detours::default())
    }

    /// The network with another resolver and the operator's detours.
    pub fn with(resolver: impl Resolver, detours: Detours) -> Result<Self, NetworkError> {
        Ok(Self(Arc::new(Shared {
            resolver: Arc::new(resolver),
            tls: Tls::new()?,
            detours,
            pools: Mutex::new(HashMap::new()),
        })))
    }

    /// The operator's detours.
    pub fn detours(&self) -> &Detours {
        &self.0.detours
    }

    /// The pool for a policy and the fingerprint of a credential.
    pub(crate) fn pool(&self, policy: &Policy, credential: &str) -> Pool {
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (policy.clone(), credential.to_owned());
        if let Some(pool) = pools.get(&key) {
            return pool.clone();
        }
        if pools.len() >= MOST_POOLS {
            pools.clear();
        }
        let tcp = CheckedTcp { resolver: self.0.resolver.clone(), allow_private: policy.allow_private };
        let tls = Arc::new(self.0.tls.trusting(policy.authorities.as_ref()));
        let connector = Connector::new(tcp, tls, policy.connect_timeout).with_detours(self.0.detours.clone());
        let pool = policy.client().build(connector);
        pools.insert(key, pool.clone());
        pool
    }
}

/// The way to what the operator names, such as a collector of traces. No connector's request goes by it.
pub(crate) type OperatorsClient = Client<Connector, Full<Bytes>>;

/// A client for what the operator names, private addresses included.
pub(crate) fn operators_client(connect_within: Duration) -> Result<OperatorsClient, NetworkError> {
    let tcp = CheckedTcp { resolver: Arc::new(SystemResolver), allow_private: true };
    let connector = Connector::new(tcp, Arc::new(Tls::new()?), connect_within);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}
