//! Connectors: compiling, caching, limiting, instantiating and calling them.

mod answer;
mod bindings;
mod cache;
mod call;
mod compile;
pub mod contract_json;
mod fault;
mod guest;
mod guest_clock;
mod inspect;
mod limits;
mod linked;
mod manifest;
mod outline;
mod plugins;
mod quarantine;
mod registration_json;
mod ticker;
mod trap;

#[doc(hidden)] // For measurements only: see there.
pub use call::KeptInstance;
pub use call::Plugin;
pub use compile::{Compiler, compile_if_asked};
pub use fault::{CallError, FaultKind, HostFault};
pub use inspect::{Inspection, NotAConnector};
pub use limits::Limits;
pub(crate) use manifest::secret_fields;
pub use manifest::{
    AuthMethod, Behaviour, Card, CardKind, ConnectorInfo, Deliveries, IdempotencyKey, Manifest, ManifestError, Routing,
    Source,
};
pub(crate) use outline::read as read_json;
pub(crate) use plugins::finds_dirty_pages;
pub use plugins::{LoadError, PluginError, Plugins};

/// The records of the contract, as Rust types.
pub mod contract {
    pub use super::bindings::exports::workflow::connector::{action, catalog, connection, event, types};
}
