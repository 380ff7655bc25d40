//! Looks again at flows that were set aside: soon after something about their connections changed, in whichever
//! process, and regularly. One that can run by now is served.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Flows;
use super::registering::Registering;
use super::rounds::{Pace, Work};
use super::set_aside::{Aside, check, take_back, tell, trouble};
use super::subscribing::subscribe;
use crate::host::{Host, HostError, hashed, off_thread};
use crate::observe::{Service, metrics};
use crate::store::StoreError;

/// How many are looked at at once: a look may compile a component.
pub(super) const PACE: Pace = Pace { at_once: 1, look: Duration::from_secs(3600) };
/// How often it is looked whether something about a flow's connections changed.
const GLANCE: Duration = Duration::from_secs(5);
/// How often a flow is looked at where nothing did: a component may be there again, or a store can be read.
const LOOK: Duration = Duration::from_secs(60);

/// Flows that were set aside, as rounds.
pub(super) struct ComingBack {
    host: Arc<Host>,
    service: Arc<Service>,
    flows: Arc<Flows>,
    registering: Arc<Registering>,
    aside: Mutex<BTreeMap<String, Waiting>>,
}

/// A flow that was set aside, and when it was looked at.
struct Waiting {
    aside: Aside,
    /// What its connections were then.
    connections: Option<String>,
    /// On the clock that never goes back.
    looked: Option<Duration>,
}

impl ComingBack {
    pub(super) fn new(
        host: Arc<Host>,
        service: Arc<Service>,
        flows: Arc<Flows>,
        registering: Arc<Registering>,
        aside: Vec<Aside>,
    ) -> Self {
        let waiting = |aside: Aside| (aside.flow.flow.name.clone(), Waiting { aside, connections: None, looked: None });
        Self { host, service, flows, registering, aside: Mutex::new(aside.into_iter().map(waiting).collect()) }
    }

    fn aside(&self) -> MutexGuard<'_, BTreeMap<String, Waiting>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the connections of a flow are now, as far as it decides whether the flow can run.
    fn connections(&self, one: &Aside) -> Result<String, StoreError> {
        let flow = &one.flow.flow;
        let mut names: Vec<_> = flow.steps.iter().map(|step| step.connection.as_str()).collect();
        names.push(&flow.on.connection);
        names.sort_unstable();
        names.dedup();
        let mut all = String::new();
        for name in names {
            let Some(found) = self.host.store().connection_by_name(name)? else {
                all.push_str("gone\n");
                continue;
            };
            let grant = self.host.store().credential(&found.credential)?;
            let grant = grant.map(|grant| (grant.generation, grant.version, grant.dead.is_some()));
            let parts = (&found.id, &found.component, &found.method, &found.settings, &found.credential, grant);
            all.push_str(&format!("{parts:?}\n"));
        }
        Ok(hashed(all.as_bytes()))
    }

    /// Looks at a flow where that is due. Whether it is served now.
    async fn see_to(&self, name: &str) -> Result<bool, HostError> {
        let now = self.host.clock().monotonic();
        let (path, flow) = {
            let mut aside = self.aside();
            let Some(one) = aside.get_mut(name) else { return Ok(true) };
            let connections = off_thread(|| self.connections(&one.aside)).ok();
            let changed = connections.is_none() || connections != one.connections;
            if !changed && one.looked.is_some_and(|looked| now < looked + LOOK) {
                return Ok(false);
            }
            (one.connections, one.looked) = (connections, Some(now));
            (one.aside.path.clone(), Arc::clone(&one.aside.flow))
        };
        if let Err(error) = check(&self.host, &path, &flow).await {
            let found = trouble(&flow, &error);
            let mut aside = self.aside();
            let Some(one) = aside.get_mut(name).filter(|one| one.aside.trouble != found) else { return Ok(false) };
            // Something else is wrong than before.
            take_back(&self.host, name)?;
            tell(&self.host, &found)?;
            one.aside.trouble = found;
            self.show(&aside);
            return Ok(false);
        }
        self.flows.take(path, Arc::clone(&flow));
        subscribe(&self.host, &flow).await?;
        metrics().serves(name);
        take_back(&self.host, name)?;
        {
            let mut aside = self.aside();
            aside.remove(name);
            self.show(&aside);
        }
        tracing::info!(flow = name, "a flow that was set aside can run, and is served");
        if let Some(connection) = off_thread(|| self.host.store().connection_by_name(&flow.flow.on.connection))? {
            // Its own turn may be minutes away.
            self.registering.see_to(&connection.id).await?;
        }
        Ok(true)
    }

    fn show(&self, aside: &BTreeMap<String, Waiting>) {
        self.service.sets_aside(aside.values().map(|one| one.aside.trouble.clone()).collect());
    }
}

impl Work for ComingBack {
    async fn look(&self) -> Option<HashSet<String>> {
        Some(self.aside().keys().cloned().collect())
    }

    async fn once(&self, name: String) -> Duration {
        match self.see_to(&name).await {
            // The rounds forget it at their next look.
            Ok(true) => PACE.look,
            Ok(false) => GLANCE,
            Err(error) => {
                tracing::error!(%error, flow = name, "a flow that was set aside could not be looked at");
                LOOK
            }
        }
    }
}
