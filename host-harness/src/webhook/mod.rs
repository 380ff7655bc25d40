//! Deliveries: proving, storing, acknowledging, and only then processing.

mod callbacks;
mod handshake;
mod intake;
mod listen;
mod process;
pub mod proof;
#[cfg(test)]
mod proof_tests;
mod receiver;
#[cfg(test)]
mod receiver_tests;
mod room;

pub(crate) use listen::listen;
pub(crate) use process::{process, until_due};
pub(crate) use receiver::{Bounds, routes};
