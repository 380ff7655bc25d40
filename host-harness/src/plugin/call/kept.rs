//! An instance that outlives its call.
//!
//! The host never uses one: a fresh instance per call is what keeps the calls of one tenant from those of another. It
//! is there to be measured: what a fresh instance costs, and what the guest's own code takes once it is warm.

use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::Instance;

use super::super::answer::Answer;
use super::super::contract::types::{self, Error};
use super::super::contract::{action, event};
use super::super::fault::{CallError, FaultKind, HostFault};
use super::super::guest::Guest;
use super::super::linked::Connector;
use super::super::trap::fault_of;
use super::Plugin;
use crate::authorize::Access;
use crate::egress::Sender;

/// One instance for many calls, one after the other, of one connection. For measurements only.
pub struct KeptInstance {
    plugin: Plugin,
    access: Option<Access>,
    store: Store<Guest>,
    instance: Instance,
}

impl Plugin {
    /// Makes an instance that is kept, for measurements only. After a fault of the host it is of no further use.
    #[doc(hidden)]
    pub async fn keep_instance(&self, access: Option<Access>) -> Result<KeptInstance, CallError> {
        let deadline = Instant::now() + self.0.shared.limits.time;
        let mut store = self.caller("kept").store(Sender::new(access.clone(), None, deadline));
        let made = self.0.linked.instantiate(&mut store).await.map(|connector| connector.instance());
        let instance = made.map_err(|error| fault_of(&error, store.data().meter.refused))?;
        Ok(KeptInstance { plugin: self.clone(), access, store, instance })
    }
}

impl KeptInstance {
    /// The same as [`Plugin::invoke`] of a card's first call.
    pub async fn invoke(&mut self, call: &types::Call, card: &str, input: &str) -> Result<action::Invoked, CallError> {
        let input = input.to_owned();
        self.run(async |store, connector| connector.action(store)?.call_invoke(store, call, card, &input, None).await)
            .await
    }

    /// The same as [`Plugin::receive`] without a call.
    pub async fn receive(
        &mut self,
        delivery: &event::Delivery,
        subscriptions: &[event::Subscription],
    ) -> Result<event::Received, CallError> {
        self.run(async |store, connector| {
            connector.event(store)?.call_receive(store, None, delivery, subscriptions).await
        })
        .await
    }

    /// The same as [`Plugin::answer`].
    pub async fn answer(&mut self, delivery: &event::Delivery) -> Result<Option<event::Reply>, CallError> {
        self.run(async |store, connector| connector.event(store)?.call_answer(store, delivery).await).await
    }

    async fn run<T: Answer>(
        &mut self,
        function: impl AsyncFnOnce(&mut Store<Guest>, &Connector<'_>) -> wasmtime::Result<Result<T, Error>>,
    ) -> Result<T, CallError> {
        let limits = &self.plugin.0.shared.limits;
        let deadline = Instant::now() + limits.time;
        self.store.data_mut().send_by(Sender::new(self.access.clone(), None, deadline));
        self.store.set_hostcall_fuel(limits.host_call_bytes);
        let connector = self.plugin.0.linked.connector(self.instance);
        let calling = function(&mut self.store, &connector);
        match tokio::time::timeout_at(deadline, calling).await {
            Err(_) => Err(HostFault::new(FaultKind::TimedOut, "the connector did not end in time").into()),
            Ok(Err(error)) => Err(fault_of(&error, self.store.data().meter.refused).into()),
            Ok(Ok(Err(error))) => Err(CallError::Connector(error.into())),
            Ok(Ok(Ok(value))) => value.checked(limits).map_err(CallError::Host),
        }
    }
}

impl std::fmt::Debug for KeptInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeptInstance({:?})", self.plugin)
    }
}
