//! A component that is ready to be instantiated, and where its functions are.
//!
//! Only the interface that a call needs is looked up in its instance: holding all twelve functions to their types
//! again would cost a call more than making the instance.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::contract::{action, catalog, connection, event};
use super::guest::Guest;

/// A component with its imports linked.
pub(crate) struct Linked {
    pre: InstancePre<Guest>,
    catalog: catalog::GuestIndices,
    connection: connection::GuestIndices,
    action: action::GuestIndices,
    event: event::GuestIndices,
}

impl Linked {
    /// Finds the functions of the contract; an error where one is missing.
    pub(crate) fn new(pre: InstancePre<Guest>) -> wasmtime::Result<Self> {
        Ok(Self {
            catalog: catalog::GuestIndices::new(&pre)?,
            connection: connection::GuestIndices::new(&pre)?,
            action: action::GuestIndices::new(&pre)?,
            event: event::GuestIndices::new(&pre)?,
            pre,
        })
    }

    /// Makes an instance.
    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Connector<'_>> {
        Ok(self.connector(self.pre.instantiate_async(store).await?))
    }

    /// The connector in an instance that was made before.
    pub(crate) fn connector(&self, instance: Instance) -> Connector<'_> {
        Connector { linked: self, instance }
    }
}

/// An instance of a connector.
pub(crate) struct Connector<'a> {
    linked: &'a Linked,
    instance: Instance,
}

impl Connector<'_> {
    /// The instance, to be used again.
    pub(crate) fn instance(&self) -> Instance {
        self.instance
    }

    pub(crate) fn catalog(&self, store: &mut Store<Guest>) -> wasmtime::Result<catalog::Guest> {
        self.linked.catalog.load(store, &self.instance)
    }

    pub(crate) fn connection(&self, store: &mut Store<Guest>) -> wasmtime::Result<connection::Guest> {
        self.linked.connection.load(store, &self.instance)
    }

    pub(crate) fn action(&self, store: &mut Store<Guest>) -> wasmtime::Result<action::Guest> {
        self.linked.action.load(store, &self.instance)
    }

    pub(crate) fn event(&self, store: &mut Store<Guest>) -> wasmtime::Result<event::Guest> {
        self.linked.event.load(store, &self.instance)
    }
}
