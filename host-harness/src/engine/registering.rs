//! Sees to what is registered at the services: for each connection that wants deliveries, or has something registered.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::rounds::{Pace, Work};
use crate::host::{Ensuring, Host, HostError, off_thread};
use crate::observe::{Service, Trouble, metrics, troubles_of};
use crate::plugin::contract::event::Ensured;
use crate::store::{Alarm, StoreError, StoredConnection};

/// How many connections are seen to at once.
pub(super) const PACE: Pace = Pace { at_once: 8, look: Duration::from_secs(15) };
/// How often it is checked whether what is registered is still as wanted.
const DRIFT: Duration = Duration::from_secs(600);
/// How often it is looked whether a held account was released.
const HELD: Duration = Duration::from_secs(60);
/// After how long a registration that failed in passing is tried again, at the soonest.
const SOONEST: Duration = Duration::from_secs(10);

/// Seeing to registrations, as rounds.
pub(super) struct Registering {
    host: Arc<Host>,
    service: Arc<Service>,
    public_url: String,
    /// Connections of the first look that were not seen to yet; none before that look.
    first: Mutex<Option<HashSet<String>>>,
    all_seen: Notify,
}

impl Registering {
    pub(super) fn new(host: Arc<Host>, service: Arc<Service>, public_url: String) -> Self {
        Self { host, service, public_url, first: Mutex::default(), all_seen: Notify::new() }
    }

    /// Ends when every connection that was there at the start was seen to once, well or not.
    pub(super) async fn all_seen(&self) {
        self.all_seen.notified().await;
    }

    fn seen(&self, change: impl FnOnce(&mut Option<HashSet<String>>)) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut first);
        if first.as_ref().is_some_and(HashSet::is_empty) {
            self.service.is_registered();
            self.all_seen.notify_one();
        }
    }

    /// Of the first look only those are waited for that are still there.
    fn looked(&self, found: &HashSet<String>) {
        self.seen(|first| first.get_or_insert_with(|| found.clone()).retain(|id| found.contains(id)));
    }

    fn candidates(&self) -> Result<HashSet<String>, StoreError> {
        let store = self.host.store();
        let subscribed = store.subscribed_cards()?.into_iter().map(|(connection, _)| connection);
        Ok(subscribed.chain(store.registered_connections()?).collect())
    }

    /// Sees to one connection now; after how long it is to be seen to again.
    pub(super) async fn see_to(&self, id: &str) -> Result<Duration, HostError> {
        let Some(connection) = off_thread(|| self.host.store().connection_by_id(id))? else { return Ok(DRIFT) };
        let name = &connection.name;
        match self.host.needs_registration(&connection).await {
            Ok(true) => {}
            Ok(false) => {
                self.service.troubles_with(name, vec![]);
                return Ok(DRIFT);
            }
            Err(error) => {
                tracing::error!(connection = name, %error, "what is registered could not be looked at");
                self.service.troubles_with(name, vec![trouble(name, &error)]);
                return Ok(DRIFT);
            }
        }
        let ensured = self.host.ensure(name, Ensuring::Apply(Some(&self.public_url))).await;
        metrics().ensured(ensured.is_ok());
        match ensured {
            Ok(ensured) => {
                let troubles = troubles_of(name, &ensured);
                self.count(name, &ensured);
                for one in &troubles {
                    tracing::warn!(connection = name, code = one.code, remedy = one.remedy, "{}", one.message);
                }
                self.service.troubles_with(name, troubles);
                tracing::info!(connection = name, registrations = ensured.registrations.len(), "registered");
                Ok(DRIFT)
            }
            Err(error) => {
                let trouble = trouble(name, &error);
                let remedy = &trouble.remedy;
                tracing::error!(connection = name, %error, remedy, "deliveries could not be registered; tried again later");
                if error.is_held_account() {
                    // The guard tells of it for as long as it lasts; nothing is sent meanwhile.
                    self.service.troubles_with(name, vec![]);
                    return Ok(HELD);
                }
                if error.kind() != "transient" {
                    self.tell(&connection, &trouble)?;
                }
                let mut troubles = vec![trouble];
                // A site without room refuses what is new, and says in a plan how full it is.
                if let Ok(planned) = self.host.ensure(name, Ensuring::Plan).await {
                    self.count(name, &planned);
                    troubles.extend(troubles_of(name, &planned));
                }
                self.service.troubles_with(name, troubles);
                let asked = Duration::from_millis(error.retry_after_ms());
                Ok(if error.kind() == "transient" { asked.max(SOONEST).min(DRIFT) } else { DRIFT })
            }
        }
    }
}

impl Registering {
    fn count(&self, connection: &str, ensured: &Ensured) {
        for one in &ensured.allowances {
            metrics().allowance(connection, &one.name, one.used, one.limit);
        }
    }

    /// Raises the alarm of a registration that fails for good, once.
    fn tell(&self, connection: &StoredConnection, trouble: &Trouble) -> Result<(), StoreError> {
        let alarm = Alarm {
            at_ms: self.host.clock().now_ms(),
            connection: Some(connection.id.clone()),
            code: "host.registration-failed".into(),
            message: format!("its events do not come: {} ({}). {}", trouble.message, trouble.code, trouble.remedy),
        };
        off_thread(|| self.host.store().raise_once(&alarm))
    }
}

fn trouble(connection: &str, error: &HostError) -> Trouble {
    let json = error.to_json();
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    Trouble {
        connection: Some(connection.to_owned()),
        code: text("code"),
        message: text("message"),
        remedy: text("remedy"),
    }
}

impl Work for Registering {
    async fn look(&self) -> Option<HashSet<String>> {
        match off_thread(|| self.candidates()) {
            Ok(found) => {
                if let Ok(connections) = off_thread(|| self.host.store().connection_names()) {
                    self.service.only(&|name| connections.contains(name));
                }
                self.looked(&found);
                Some(found)
            }
            Err(error) => {
                tracing::error!(%error, "the store could not be read");
                None
            }
        }
    }

    async fn once(&self, id: String) -> Duration {
        let again = self.see_to(&id).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the store could not be read");
            SOONEST
        });
        self.seen(|first| {
            if let Some(first) = first {
                first.remove(&id);
            }
        });
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Home;
    use crate::test_clock::TestClock;

    #[tokio::test]
    async fn a_connection_that_was_removed_meanwhile_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"), None);
        let host = Arc::new(Host::open(home, TestClock::shared()).unwrap());
        let service = Arc::new(Service::new(Arc::clone(&host)));
        let registering = Registering::new(host, Arc::clone(&service), "http://127.0.0.1:9".into());
        let found = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<HashSet<_>>();
        registering.looked(&found(&["stays", "goes"]));
        let _ = registering.once("stays".into()).await;
        assert_eq!(service.readiness().await.json["checks"]["registrations"]["ok"], false);
        registering.looked(&found(&["stays", "comes"]));
        assert_eq!(service.readiness().await.json["checks"]["registrations"]["ok"], true);
    }
}
