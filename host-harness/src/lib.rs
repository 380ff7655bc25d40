//! A workflow host: it loads connectors and owns their secrets, network, time and durability.

pub mod clock;
pub mod engine;
pub mod plugin;
pub mod store;
pub mod webhook;
