//! Where each callback leads: its connection, and what proves its deliveries. Read from the store once, and again when
//! something of it changed. Whether it did is asked of the store when a delivery is kept, in the same transaction, or
//! before one is refused: a look for each delivery would cost as much as keeping it does.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::host::{Host, HostError, hashed, off_thread};
use crate::plugin::Plugin;
use crate::plugin::contract::event::{Proof, Registration};
use crate::store::{Endpoint, StoredConnection};
use crate::vault::Secret;

/// One callback.
#[derive(Debug)]
pub(super) struct Callback {
    /// Of what proves deliveries when this was read.
    pub(super) version: u64,
    pub(super) endpoint: Endpoint,
    pub(super) connection: StoredConnection,
    pub(super) plugin: Plugin,
    /// All that is registered for the connection.
    pub(super) registrations: Vec<Registration>,
    /// What a delivery may be proved by, with the secret where there is one.
    pub(super) proofs: Vec<(Registration, Option<Secret>)>,
}

/// The callbacks that were asked for since something last changed.
#[derive(Debug, Default)]
pub(super) struct Callbacks(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    version: u64,
    by_token: HashMap<String, Arc<Callback>>,
}

impl Callbacks {
    /// The callback of a token as it is known, which may be past; none where there is none.
    pub(super) async fn find(&self, host: &Host, token: &str) -> Result<Option<Arc<Callback>>, HostError> {
        let token = hashed(token.as_bytes());
        let known = self.known(&token);
        if known.is_some() { Ok(known) } else { self.read(host, token).await }
    }

    /// The callback of a token as it is now.
    pub(super) async fn find_anew(&self, host: &Host, token: &str) -> Result<Option<Arc<Callback>>, HostError> {
        let token = hashed(token.as_bytes());
        match self.known(&token) {
            Some(known) if known.is_current(host)? => Ok(Some(known)),
            Some(_) => {
                let found = self.read(host, token.clone()).await?;
                if found.is_none() {
                    self.0.write().unwrap_or_else(PoisonError::into_inner).by_token.remove(&token);
                }
                Ok(found)
            }
            None => self.read(host, token).await,
        }
    }

    fn known(&self, token: &str) -> Option<Arc<Callback>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_token.get(token).cloned()
    }

    async fn read(&self, host: &Host, token: String) -> Result<Option<Arc<Callback>>, HostError> {
        // The version is read first: what changes while the rest is read is read again next time.
        let version = off_thread(|| host.store().proving_version())?;
        let Some(callback) = read(host, &token, version).await? else { return Ok(None) };
        let callback = Arc::new(callback);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.version != version {
            *known = Known { version, by_token: HashMap::new() };
        }
        known.by_token.insert(token, Arc::clone(&callback));
        Ok(Some(callback))
    }
}

impl Callback {
    /// Whether nothing that proves deliveries was changed since this was read.
    pub(super) fn is_current(&self, host: &Host) -> Result<bool, HostError> {
        Ok(off_thread(|| host.store().proving_version())? == self.version)
    }
}

async fn read(host: &Host, token: &str, version: u64) -> Result<Option<Callback>, HostError> {
    let Some(endpoint) = off_thread(|| host.store().endpoint_by_token_hash(token))? else { return Ok(None) };
    let Some(connection) = off_thread(|| host.store().connection_by_id(&endpoint.connection))? else {
        return Ok(None);
    };
    let registrations = off_thread(|| host.registrations_of(&connection.id))?;
    let plugin = host.plugin_of(&connection).await?;
    let mut proofs = Vec::new();
    for registration in strongest_first(&registrations) {
        let secret = off_thread(|| host.proof_secret(&connection, &registration.proof))?;
        proofs.push((registration.clone(), secret));
    }
    Ok(Some(Callback { version, endpoint, connection, plugin, registrations, proofs }))
}

/// Several registrations may share one callback: one that proves more is never passed over for one that proves nothing.
fn strongest_first(registrations: &[Registration]) -> Vec<&Registration> {
    let proving: Vec<_> = registrations.iter().filter(|one| !matches!(one.proof, Proof::None)).collect();
    if proving.is_empty() { registrations.iter().take(1).collect() } else { proving }
}
