//! Deliveries: proving, storing, acknowledging, and only then processing.

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::host::Host;

mod callbacks;
mod gathered;
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
mod refusals;
mod room;
mod turns;
mod unproved;

pub(crate) use listen::listen;
pub(crate) use process::{process, until_due};
pub(crate) use receiver::{Bounds, routes};

/// Takes deliveries in until `stop` ends, and reads none of them: the receiver alone, to be measured.
pub async fn take_in(host: Arc<Host>, listener: TcpListener, stop: impl Future<Output = ()>) {
    listen(listener, routes(host, Arc::default(), Bounds::default()).0, stop).await;
}
