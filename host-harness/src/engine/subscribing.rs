//! What flows subscribe to.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Flows;
use super::flow::CompiledFlow;
use super::set_aside::Aside;
use crate::host::{Host, HostError, NewSubscription, off_thread};

/// Subscribes the flows that are served to their events, and ends the subscriptions of those that are gone.
pub(super) async fn subscribe_all(host: &Arc<Host>, flows: &Flows, aside: &[String]) -> Result<(), HostError> {
    let served = flows.all();
    // One that was set aside keeps what it subscribed to: it is to come back.
    let wanted: BTreeSet<&str> =
        served.iter().map(|(_, one)| one.flow.name.as_str()).chain(aside.iter().map(String::as_str)).collect();
    for gone in off_thread(|| host.store().subscriptions(None))? {
        if gone.flow.as_deref().is_some_and(|flow| !wanted.contains(flow)) {
            off_thread(|| host.store().delete_subscription(&gone.id))?;
        }
    }
    for (_, one) in &served {
        subscribe(host, one).await?;
    }
    Ok(())
}

/// Subscribes a flow to its event.
pub(super) async fn subscribe(host: &Arc<Host>, one: &CompiledFlow) -> Result<(), HostError> {
    let trigger = &one.flow.on;
    let new = NewSubscription {
        connection: &trigger.connection,
        card: &trigger.event,
        filter: trigger.filter.clone(),
        flow: Some(&one.flow.name),
    };
    host.keep_subscription(new).await?;
    Ok(())
}

/// The names of flows that were set aside.
pub(super) fn names(aside: &[Aside]) -> Vec<String> {
    aside.iter().map(|one| one.flow.flow.name.clone()).collect()
}
