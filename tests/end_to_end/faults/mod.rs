//! The numbered fault and security tests, one file per group. Each records its figure for the table
//! of `cargo xtask test --faults`.

mod authentication;
mod bombs;
mod canary;
pub(crate) mod cell;
mod crash;
mod determinism;
mod guest_secrets;
mod guest_values;
mod network;
mod sandbox;
mod sandbox_floods;
mod tee;
mod webhooks;
