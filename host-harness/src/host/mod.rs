//! The host of one home: its connections and what can be done with them.

mod accepted;
mod adding;
mod authorizing;
mod backup;
mod cards;
mod checking;
mod clients;
mod credentials;
mod error;
mod events;
mod forms;
mod home;
mod input;
mod late;
mod narrowing;
mod parking;
mod places;
mod placing;
mod removing;
mod restore;
mod runs;
mod session;
mod sessions;
mod subscriptions;
mod trial;
mod troubles;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use adding::{Added, Draft, NewConnection};
pub use authorizing::{Authorizing, Granted, Site};
pub use backup::{Copied, back_up};
pub use cards::{CardSource, Ran};
pub(crate) use cards::{card_of_kind, check_action};
pub use checking::Checked;
pub(crate) use clients::is_loopback;
pub use clients::{AddedClient, ClientEdit, EditedClient, NewClient, USUAL_CALLBACK};
pub use credentials::{Edit, Edited, Replaced, Replacing};
pub use error::{FieldProblem, HostError, Problem};
pub(crate) use events::contract_delivery;
pub use events::{CapturedDelivery, Processed};
pub(crate) use forms::method_of;
pub use forms::{Entries, Secrets};
pub use home::Home;
pub(crate) use input::check_members;
pub use parking::HeldScope;
pub use removing::{Leftovers, Removed};
pub use restore::restore;
pub use runs::{Doubt, Retried, Retry};
pub use session::Session;
pub(crate) use session::hashed;
pub use subscriptions::{Ensuring, NewSubscription};
pub(crate) use subscriptions::{check_filter, is_delivered, public_base};
pub use troubles::DeliveryTroubles;

use crate::authorize::{Grants, Keeper};
use crate::clock::{Series, SharedClock, new_id};
use crate::egress::{Detours, Network, NetworkError, SystemResolver};
use crate::observe::Metrics;
use crate::plugin::{Compiler, Limits, Plugin, Plugins};
pub(crate) use crate::store::off_thread;
use crate::store::{Store, StoredConnection};
use crate::vault::{LockoutGuard, Vault};

/// The host of one home. Cheap to share behind an `Arc`.
pub struct Host {
    pub(crate) home: Home,
    pub(crate) store: Arc<Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) guard: LockoutGuard,
    pub(crate) clock: SharedClock,
    pub(crate) limits: Limits,
    pub(crate) id: String,
    ids: Series,
    sessions: sessions::Sessions,
    network: Network,
    grants: Grants,
    plugins: Plugins,
    loaded: tokio::sync::Mutex<HashMap<PathBuf, Plugin>>,
    ensuring: [tokio::sync::Mutex<()>; home::REGISTERING_LOCKS],
    activity: Mutex<String>,
}

impl Host {
    /// Opens a home, and makes it where it does not exist. One of an earlier version is brought up to date, unless a
    /// host serves it. Components are compiled in this process.
    pub fn open(home: Home, clock: SharedClock) -> Result<Self, HostError> {
        Self::open_with(home, clock, Compiler::Here, Limits::default())
    }

    /// The same with another place to compile in and other limits for calls.
    pub fn open_with(home: Home, clock: SharedClock, compiler: Compiler, limits: Limits) -> Result<Self, HostError> {
        let folder = home.folder.display().to_string();
        let remedy = "Check the rights of the folder, or name another one with --home.";
        home.create().map_err(|error| HostError::other("home", format!("{folder} cannot be made: {error}"), remedy))?;
        home.check_rights()?;
        let store = Arc::new(home.open_store()?);
        let vault = Arc::new(Vault::open(&home.key_file, Arc::clone(&store), Arc::clone(&clock))?);
        let guard = LockoutGuard::new(Arc::clone(&store), Arc::clone(&clock));
        let id = store.meta_or("host-id", || new_id(&*clock))?;
        let plugins = Plugins::with(Some(&home.cache()), compiler, limits.clone(), Arc::clone(&clock))
            .map_err(|error| HostError::other("sandbox", error.to_string(), remedy))?;
        let keeper = Keeper::new(Arc::clone(&vault), Arc::clone(&store), Arc::clone(&clock), home.clone());
        let network = Network::new().map_err(of_network)?;
        Ok(Self {
            home,
            store,
            vault,
            guard,
            clock,
            limits,
            id,
            ids: Series::default(),
            sessions: sessions::Sessions::default(),
            network,
            grants: Grants::new(keeper),
            plugins,
            loaded: tokio::sync::Mutex::default(),
            ensuring: Default::default(),
            activity: Mutex::default(),
        })
    }

    /// The same host with the operator's detours: requests to some addresses go to this machine instead.
    pub fn with_detours(mut self, detours: Detours) -> Result<Self, HostError> {
        if !detours.is_empty() {
            tracing::warn!("requests to some addresses go to this machine instead (--connect-to)");
        }
        self.network = Network::with(SystemResolver, detours).map_err(of_network)?;
        Ok(self)
    }

    /// The address as a browser on this machine has to open it: another one where a detour says so.
    pub fn shown_url(&self, url: &url::Url) -> url::Url {
        self.network.detours().shown(url)
    }

    /// An id for what is kept in great numbers.
    pub(crate) fn next_id(&self) -> String {
        self.ids.next(&*self.clock)
    }

    /// Loads a component, once per process. The first load of a component on a machine compiles it.
    pub async fn load(&self, component: &Path) -> Result<Plugin, HostError> {
        let path = std::path::absolute(component).unwrap_or_else(|_| component.to_owned());
        let mut loaded = self.loaded.lock().await;
        if let Some(plugin) = loaded.get(&path) {
            return Ok(plugin.clone());
        }
        self.doing(format!("loading {} (compiled once, then kept)", path.display()));
        let plugin = self.plugins.load(&path).await.map_err(|error| HostError::of_load(&path, &error))?;
        self.doing("working".to_owned());
        loaded.insert(path, plugin.clone());
        Ok(plugin)
    }

    /// The connection of a name.
    pub fn connection(&self, name: &str) -> Result<StoredConnection, HostError> {
        off_thread(|| self.store.connection_by_name(name))?.ok_or_else(|| {
            let known: Vec<_> = self.store.connections().unwrap_or_default().into_iter().map(|one| one.name).collect();
            let remedy = match known.as_slice() {
                [] => "Make one with `harness connection add`.".to_owned(),
                names => format!("Known here: {}.", names.join(", ")),
            };
            HostError::bad_input("connection-unknown", format!("there is no connection `{name}` in this home"), remedy)
        })
    }

    /// The plugin of a connection.
    pub(crate) async fn plugin_of(&self, connection: &StoredConnection) -> Result<Plugin, HostError> {
        self.load(Path::new(&connection.component)).await.map_err(|error| match error {
            // The component was right when the connection was made: this is the machine's trouble.
            HostError::BadInput(problem) => HostError::other(
                "component",
                problem.message,
                "Put the component back where it was, or remove the connection and add it again.",
            ),
            other => other,
        })
    }

    /// What the host does now, for a person who waits.
    pub fn activity(&self) -> String {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn doing(&self, what: String) {
        *self.activity.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// The metrics of this process.
    pub fn metrics(&self) -> &'static Metrics {
        crate::observe::metrics()
    }

    /// Where it keeps its data.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The vault.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The lockout guard.
    pub fn guard(&self) -> &LockoutGuard {
        &self.guard
    }

    /// The clock.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }
}

fn of_network(error: NetworkError) -> HostError {
    HostError::other("network", error.to_string(), "Check the certificates that the system trusts.")
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("home", &self.home).finish_non_exhaustive()
    }
}
