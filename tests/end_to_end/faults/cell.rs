//! The hostile guest in the host's own library, with limits and a clock of the test's choosing.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use host_harness::authorize::{Access, Credential};
use host_harness::clock::{Clock, EpochMs, SharedClock, SystemClock};
use host_harness::egress::{Network, Origin, PinnedOrigin, Policy};
use host_harness::plugin::contract::action::{Invoked, Step};
use host_harness::plugin::contract::types::{Call, Connection};
use host_harness::plugin::{CallError, Limits, Plugin, Plugins};
use host_harness::store::Store;
use host_harness::vault::{LockoutGuard, Secret, Space, Vault};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::built;
use crate::runtime::wait_for;

/// A clock that a test moves on; the rest is the system's.
pub(crate) struct LeapClock {
    system: SharedClock,
    leapt_ms: AtomicU64,
    /// How far the date alone is ahead.
    ahead_ms: AtomicU64,
}

impl LeapClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { system: SystemClock::shared(), leapt_ms: AtomicU64::new(0), ahead_ms: AtomicU64::new(0) })
    }

    pub(crate) fn leap(&self, by: Duration) {
        self.leapt_ms.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// Moves the date on, and no measured time.
    pub(crate) fn set_ahead(&self, by: Duration) {
        self.ahead_ms.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for LeapClock {
    fn now_ms(&self) -> EpochMs {
        self.system.now_ms() + self.leapt_ms.load(Ordering::Relaxed) + self.ahead_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + Duration::from_millis(self.leapt_ms.load(Ordering::Relaxed))
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.system.sleep(duration)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.system.fill_random(bytes);
    }
}

/// Compiled code, shared by all cells of the test process.
fn cache() -> &'static Path {
    static CACHE: OnceLock<TempDir> = OnceLock::new();
    CACHE.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

/// The host's connectors under given limits.
pub(crate) fn plugins(limits: Limits, clock: SharedClock) -> Plugins {
    // The engine wants a runtime to be there.
    let _entered = crate::runtime::runtime().enter();
    Plugins::new(cache(), limits, clock).expect("the engine starts")
}

/// The hostile guest under given limits.
pub(crate) fn hostile(limits: Limits) -> Plugin {
    load(limits, SystemClock::shared())
}

/// The same with another clock.
pub(crate) fn load(limits: Limits, clock: SharedClock) -> Plugin {
    let component = built::component("guest_hostile");
    wait_for(plugins(limits, clock).load(&component)).expect("the hostile guest is a connector")
}

/// Limits under which no fault sets the guest aside.
pub(crate) fn patient() -> Limits {
    Limits { faults_until_quarantine: u32::MAX, ..Limits::default() }
}

/// Access to nothing.
pub(crate) fn locked_in(connection: &str) -> Access {
    Access::new(Network::new().expect("TLS can be set up"), Policy::new(Vec::new(), false), connection)
}

/// A pinned origin that takes the credential.
pub(crate) fn pinned(url: &str) -> PinnedOrigin {
    PinnedOrigin { origin: Origin::parse(url).expect("an origin"), credential: true }
}

/// A bearer token in a vault of its own, attached to what goes to the given origins.
pub(crate) fn with_token(network: Network, origins: Vec<PinnedOrigin>, allow_private: bool, token: &str) -> Access {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = SystemClock::shared();
    let store = Arc::new(Store::open(&folder.path().join("store.db")).expect("a store"));
    let vault = Vault::open(&folder.path().join("key"), Arc::clone(&store), clock.clone()).expect("a vault");
    vault.put(Space::Connection, "c", "token", &Secret::new(token)).expect("the vault takes a secret");
    let scheme = serde_json::from_value(json!({"type": "bearer", "token": {"secret": "token"}})).expect("a scheme");
    let credential = Credential::from_vault(&scheme, &json!({}), &vault, "c").expect("a credential");
    let guard = LockoutGuard::new(store, clock);
    // The guard goes on writing to its store: the folder stays until the process ends.
    let _ = folder.keep();
    Access::new(network, Policy::new(origins, allow_private), "c").with_credential(
        credential,
        Vec::new(),
        guard,
        "tenant/account",
    )
}

/// A call for a connection with these settings.
pub(crate) fn call(connection: &str, settings: &Value) -> Call {
    Call {
        connection: Connection {
            id: connection.to_owned(),
            settings: settings.to_string(),
            authorization: None,
            extra: "{}".to_owned(),
        },
        deadline_ms: 30_000,
        idempotency_key: None,
        held: Vec::new(),
        granted_scopes: None,
        memo: None,
        extra: "{}".to_owned(),
    }
}

/// Runs a card of the hostile guest without any access, and answers with its output.
pub(crate) fn run(plugin: &Plugin, connection: &str, card: &str, input: &Value) -> Result<Value, CallError> {
    wait_for(run_with(plugin, &locked_in(connection), &call(connection, &json!({})), card, input))
}

/// Runs a card and answers with its output.
pub(crate) async fn run_with(
    plugin: &Plugin,
    access: &Access,
    call: &Call,
    card: &str,
    input: &Value,
) -> Result<Value, CallError> {
    let Invoked { step, .. } = plugin.invoke(access, call, card, &input.to_string(), None).await?;
    match step {
        Step::Done(output) => Ok(serde_json::from_str(&output).expect("the host lets through JSON only")),
        Step::More(more) => Ok(json!({"more": more.state})),
    }
}

/// A pattern as the guest wants it: veiled, so that the question is not itself a hit.
pub(crate) fn veiled(text: &str) -> String {
    hex::encode(text.bytes().map(|byte| byte ^ 0x5a).collect::<Vec<_>>())
}
