//! From deliveries and polls to events.

use serde_json::{Value, json};

use super::subscriptions::{contract_subscription, is_delivered};
use super::{Host, HostError, off_thread};
use crate::engine::FlowStart;
use crate::observe::{TraceId, event_of_poll};
use crate::plugin::CardKind;
use crate::plugin::contract::event;
use crate::plugin::contract_json::{self, value_of};
use crate::store::{
    BroughtBy, NewEvent, NewRun, Origin, StoredConnection, StoredDelivery, StoredEvent, StoredRun, StoredSubscription,
};

/// A delivery that was captured somewhere.
#[derive(Debug)]
pub struct CapturedDelivery {
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// What processing a delivery or a poll came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    /// How many events were new.
    pub fresh: usize,
    /// For a poll: whether more is ready now.
    pub more: bool,
    /// For a poll: milliseconds to wait before the next.
    pub after_ms: u64,
}

/// What brought events, by the host's id.
#[derive(Debug, Clone, Copy)]
enum Brought<'a> {
    Delivery(&'a str),
    Poll(&'a str),
}

/// What starts the runs: for a flow's name, the flow as it is now.
pub(crate) type FlowLookup<'a> = &'a (dyn Fn(&str) -> Option<FlowStart> + Send + Sync);

impl Host {
    /// Reads a captured delivery into events, without proof and without any request: `[{id, card, time-ms, payload}]`.
    pub async fn decode_event(
        &self,
        component: &std::path::Path,
        captured: CapturedDelivery,
    ) -> Result<Value, HostError> {
        let plugin = self.load(component).await?;
        let cards = plugin.manifest().cards.iter().filter(|card| card.kind == CardKind::Event);
        let subscriptions: Vec<_> = cards
            .map(|card| event::Subscription {
                id: card.id.clone(),
                card: card.id.clone(),
                filter: "{}".into(),
                extra: "{}".into(),
            })
            .collect();
        let delivery = event::Delivery {
            id: "captured".into(),
            registration: String::new(),
            method: "POST".into(),
            query: String::new(),
            headers: captured
                .headers
                .into_iter()
                .map(|(name, value)| event::Header { name: name.to_ascii_lowercase(), value })
                .collect(),
            body: captured.body,
            received_at_ms: self.clock.now_ms(),
            extra: "{}".into(),
        };
        let received = plugin.receive(None, None, &delivery, &subscriptions).await?;
        Ok(Value::Array(received.occurrences.iter().map(contract_json::occurrence).collect()))
    }

    /// Reads a kept delivery, keeps its events and starts their runs.
    pub(crate) async fn process_delivery(
        &self,
        delivery: &StoredDelivery,
        flows: FlowLookup<'_>,
    ) -> Result<Processed, HostError> {
        let Some(connection) = off_thread(|| self.store.connection_by_id(&delivery.connection))? else {
            // No later attempt would find it.
            off_thread(|| self.store.close_delivery(&delivery.id, &connection_gone().to_json()))?;
            tracing::warn!("a delivery is given up, because its connection was removed before it was read");
            return Ok(Processed { fresh: 0, more: false, after_ms: 0 });
        };
        let session = self.session(connection).await?;
        let kept = off_thread(|| self.store.subscriptions(Some(&session.connection.id)))?;
        let wanted: Vec<_> = kept
            .iter()
            .filter(|one| is_delivered(&session.plugin, &one.card))
            .cloned()
            .map(contract_subscription)
            .collect();
        let call = self.call(&session, None)?;
        let contract = contract_delivery(delivery);
        let received = session.plugin.receive(Some(&session.access), Some(&call), &contract, &wanted).await;
        let received = self.settle(&session, received, |received| &received.aside)?;
        let events =
            self.new_events(&session.connection, &kept, &received.occurrences, Brought::Delivery(&delivery.id), flows);
        let events = self.without_late(delivery, events)?;
        let fresh = off_thread(|| self.store.keep_events(BroughtBy::Delivery(&delivery.id), &events))?;
        Ok(Processed { fresh, more: false, after_ms: 0 })
    }

    /// Asks the service for events that it does not deliver; `poll` is the id of this poll. None where no subscription of the connection needs it.
    pub(crate) async fn poll(
        &self,
        connection: StoredConnection,
        poll: &str,
        flows: FlowLookup<'_>,
    ) -> Result<Option<Processed>, HostError> {
        let session = self.session(connection).await?;
        let mut kept = off_thread(|| self.store.subscriptions(Some(&session.connection.id)))?;
        kept.retain(|one| !is_delivered(&session.plugin, &one.card));
        if kept.is_empty() {
            return Ok(None);
        }
        let wanted: Vec<_> = kept.iter().cloned().map(contract_subscription).collect();
        let cursor = off_thread(|| self.store.cursor(&session.connection.id))?;
        let call = self.call(&session, None)?;
        let polled = session.plugin.poll(&session.access, &call, &wanted, cursor.as_deref()).await;
        let polled = self.settle(&session, polled, |polled| &polled.aside)?;
        let events = self.new_events(&session.connection, &kept, &polled.occurrences, Brought::Poll(poll), flows);
        let brought_by = BroughtBy::Poll { connection: &session.connection.id, cursor: &polled.cursor };
        let fresh = off_thread(|| self.store.keep_events(brought_by, &events))?;
        Ok(Some(Processed { fresh, more: polled.more, after_ms: polled.after_ms }))
    }

    /// One event for each subscription that an occurrence matches; ids that were not asked for are ignored.
    fn new_events(
        &self,
        connection: &StoredConnection,
        subscriptions: &[StoredSubscription],
        occurrences: &[event::Occurrence],
        brought: Brought<'_>,
        flows: FlowLookup<'_>,
    ) -> Vec<NewEvent> {
        let mut events = Vec::new();
        for one in occurrences {
            let matched =
                subscriptions.iter().filter(|kept| kept.card == one.card && one.subscriptions.contains(&kept.id));
            for subscription in matched {
                let (id, delivery) = match brought {
                    Brought::Delivery(delivery) => (self.next_id(), Some(delivery.to_owned())),
                    Brought::Poll(poll) => (event_of_poll(poll, events.len()), None),
                };
                let event = StoredEvent {
                    id,
                    connection: connection.id.clone(),
                    subscription: subscription.id.clone(),
                    card: one.card.clone(),
                    event_id: one.id.clone(),
                    time_ms: one.time_ms,
                    payload: value_of(&one.payload),
                    delivery,
                    received_at_ms: self.clock.now_ms(),
                };
                let flow = subscription.flow.as_deref().and_then(flows);
                let run = flow.map(|flow| self.new_run(connection, &event, &one.extra, flow));
                let run_id = run.as_ref().map(|run: &NewRun| run.id.as_str());
                tracing::debug!(event = event.id, card = event.card, run = run_id, "an event was read");
                events.push(NewEvent { event, run });
            }
        }
        events
    }

    /// The trace of a run: that of its event.
    pub fn trace_of_run(&self, run: &StoredRun) -> Result<TraceId, HostError> {
        let delivery = off_thread(|| self.store.delivery_of_event(&run.event))?;
        Ok(TraceId::of_event(&run.event, delivery.flatten().as_deref()))
    }

    /// The run that an event starts.
    fn new_run(&self, connection: &StoredConnection, event: &StoredEvent, extra: &str, start: FlowStart) -> NewRun {
        let flow = &start.compiled.flow;
        let order = start.compiled.order_of(&event.payload).unwrap_or_else(|error| {
            tracing::warn!(flow = flow.name, event = event.id, %error, "the key of a run has no value; it is put in no order");
            None
        });
        let extra = value_of(extra);
        let text = |name: &str| extra.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let account = connection.identity.as_ref().map(|identity| identity.account.as_str());
        NewRun {
            id: self.next_id(),
            flow: flow.name.clone(),
            connection: flow.steps.first().map(|step| step.connection.clone()).unwrap_or_default(),
            order_key: order.as_ref().map(|(key, _)| key.clone()),
            skip_late: order.is_some_and(|(_, skip)| skip),
            origin: Origin {
                object: text("object").map(|object| (connection.id.clone(), object.to_owned())),
                ours: account.is_some() && text("actor") == account,
            },
            definition: start.definition,
        }
    }

    /// An event as JSON, with the runs it started.
    pub fn event_json(&self, event: &StoredEvent, whole: bool) -> Result<Value, HostError> {
        let name = off_thread(|| self.store.connection_by_id(&event.connection))?.map(|connection| connection.name);
        let runs = off_thread(|| self.store.runs_of_event(&event.id))?;
        let runs: Vec<_> =
            runs.iter().map(|run| json!({ "id": run.id, "flow": run.flow, "state": run.state })).collect();
        let mut json = json!({
            "id": event.id,
            "event-id": event.event_id,
            "card": event.card,
            "connection": name,
            "subscription": event.subscription,
            "time-ms": event.time_ms,
            "received-at-ms": event.received_at_ms,
            "delivery": event.delivery,
            "trace": TraceId::of_event(&event.id, event.delivery.as_deref()).to_string(),
            "runs": runs,
        });
        if let (true, Value::Object(members)) = (whole, &mut json) {
            members.insert("payload".into(), event.payload.clone());
        }
        Ok(json)
    }
}

/// Why a delivery of a connection that was removed is given up.
pub(super) fn connection_gone() -> HostError {
    HostError::other(
        "connection-gone",
        "the connection was removed before the delivery was read",
        "Nothing needs to be done.",
    )
}

pub(crate) fn contract_delivery(delivery: &StoredDelivery) -> event::Delivery {
    let headers = delivery.headers.iter();
    event::Delivery {
        id: delivery.id.clone(),
        registration: delivery.registration.clone(),
        method: delivery.method.clone(),
        query: delivery.query.clone(),
        headers: headers.map(|(name, value)| event::Header { name: name.clone(), value: value.clone() }).collect(),
        body: delivery.body.clone(),
        received_at_ms: delivery.received_at_ms,
        extra: "{}".into(),
    }
}
