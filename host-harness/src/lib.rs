//! A workflow host: it loads connectors and owns their secrets, network, time and durability.
//!
//! `host::Host` opens a home and does everything a command line, a receiver or an engine needs;
//! `webhook::serve` and `engine::Engine` run on top of it.

pub mod authorize;
pub mod cli;
pub mod clock;
pub mod egress;
pub mod engine;
pub mod host;
pub mod plugin;
pub mod quota;
pub mod store;
pub mod vault;
pub mod webhook;
