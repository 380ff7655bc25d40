//! A workflow host: it loads connectors and owns their secrets, network, time and durability.

pub mod authorize;
pub mod clock;
pub mod egress;
pub mod plugin;
pub mod store;
pub mod vault;
