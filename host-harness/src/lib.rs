//! A workflow host: it loads connectors and owns their secrets, network, time and durability.
//!
//! `host::Host` opens a home and does everything a command line, a receiver or an engine needs;
//! `engine::serve` takes in deliveries and runs flows on top of it.

pub mod authorize;
#[cfg(test)]
mod bench;
// The end-to-end tests look for the same components in the same way.
#[cfg(test)]
#[allow(dead_code, reason = "only components are of use here")]
#[path = "../../tests/end_to_end/built.rs"]
mod built;
pub mod cli;
pub mod clock;
pub mod egress;
pub mod engine;
pub mod host;
mod legible;
pub mod observe;
pub mod plugin;
pub mod quota;
pub mod store;
#[cfg(test)]
mod test_clock;
pub mod vault;
pub mod webhook;
