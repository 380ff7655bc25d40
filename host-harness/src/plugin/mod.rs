//! Connectors: compiling, caching, limiting, instantiating and calling them.

mod bindings;

/// The records of the contract, as Rust types.
pub mod contract {
    pub use super::bindings::exports::workflow::connector::{action, catalog, connection, event, types};
}
