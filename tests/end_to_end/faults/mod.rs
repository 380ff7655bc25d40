//! The numbered fault and security tests, one file per group. Each records its figure for the table
//! of `cargo xtask test --faults`.

mod answers;
mod at_rest;
mod authentication;
mod bombs;
mod canary;
mod canary_grants;
pub(crate) mod cell;
mod crash;
mod determinism;
mod doc_traps;
mod engine;
mod expiry;
mod granted;
mod granted_by;
mod guest_secrets;
mod guest_values;
mod headers;
mod held;
mod intake;
mod journal;
mod lookup;
#[cfg(target_os = "linux")]
mod memory;
mod network;
mod order;
mod places;
mod queries;
mod renewal_crash;
mod renewal_races;
mod renewal_refusals;
mod renewal_signals;
mod response_bombs;
mod sandbox;
mod sandbox_floods;
mod shown;
mod signing;
mod strangers;
mod tee;
mod tls;
mod trace;
mod ways;
mod webhooks;

pub(crate) use canary::Canary;
