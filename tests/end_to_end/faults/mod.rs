//! The numbered fault and security tests, one file per group. Each records its figure for the table
//! of `cargo xtask test --faults`.

mod answers;
mod authentication;
mod bombs;
mod canary;
pub(crate) mod cell;
mod crash;
mod determinism;
mod doc_traps;
mod engine;
mod granted;
mod guest_secrets;
mod guest_values;
mod held;
mod intake;
mod journal;
mod network;
mod order;
mod places;
mod renewal_crash;
mod renewal_races;
mod renewal_refusals;
mod sandbox;
mod sandbox_floods;
mod strangers;
mod tee;
mod trace;
mod webhooks;

pub(crate) use canary::Canary;
