//! Polls each connection that has subscriptions which are not delivered, in its own rhythm.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::Instrument as _;

use super::Flows;
use super::rounds::{Pace, Work};
use crate::clock::new_id;
use crate::host::{Host, is_delivered, off_thread};
use crate::observe::{metrics, poll_span};

/// How many connections are polled at once. Polls wait for the network for most of their time.
pub(super) const PACE: Pace = Pace { at_once: 32, look: Duration::from_secs(5) };
/// The shortest wait between two polls.
const SHORTEST: Duration = Duration::from_secs(1);
/// The wait after a poll that failed, at the least.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// The wait where nothing of the connection needs polling after all.
const NOT_NEEDED: Duration = Duration::from_secs(600);

/// Polling, as rounds.
pub(super) struct Polling {
    host: Arc<Host>,
    flows: Arc<Flows>,
    started: Arc<Notify>,
    /// The cards that each connection subscribed to when it was last looked at, and whether one needs polling.
    known: Mutex<HashMap<String, (Vec<String>, bool)>>,
}

impl Polling {
    pub(super) fn new(host: Arc<Host>, flows: Arc<Flows>, started: Arc<Notify>) -> Self {
        Self { host, flows, started, known: Mutex::default() }
    }

    fn known(&self, connection: &str, cards: &[String]) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(connection).filter(|(seen, _)| seen == cards).map(|(_, polled)| *polled)
    }

    /// Whether one of the cards is not delivered; none where the connector cannot be asked now.
    async fn needs_polling(&self, connection: &str, cards: &[String]) -> Option<bool> {
        let found = off_thread(|| self.host.store().connection_by_id(connection)).ok()??;
        let plugin = self.host.plugin_of(&found).await.ok()?;
        Some(cards.iter().any(|card| !is_delivered(&plugin, card)))
    }
}

impl Work for Polling {
    async fn look(&self) -> Option<HashSet<String>> {
        let mut cards_of: HashMap<String, Vec<String>> = HashMap::new();
        match off_thread(|| self.host.store().subscribed_cards()) {
            Ok(all) => {
                all.into_iter().for_each(|(connection, card)| cards_of.entry(connection).or_default().push(card))
            }
            Err(error) => {
                tracing::error!(%error, "the subscriptions could not be read");
                return None;
            }
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|one, _| cards_of.contains_key(one));
        let mut wanted = HashSet::new();
        for (connection, cards) in cards_of {
            let polled = match self.known(&connection, &cards) {
                Some(polled) => Some(polled),
                None => self.needs_polling(&connection, &cards).await,
            };
            if polled == Some(true) {
                wanted.insert(connection.clone());
            }
            if let Some(polled) = polled {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, (cards, polled));
            }
        }
        Some(wanted)
    }

    async fn once(&self, id: String) -> Duration {
        let connection = match off_thread(|| self.host.store().connection_by_id(&id)) {
            Ok(Some(connection)) => connection,
            // It was removed; the next look leaves it out.
            Ok(None) => return NOT_NEEDED,
            Err(error) => {
                tracing::error!(%error, "the store could not be read");
                return AFTER_FAILURE;
            }
        };
        let poll = new_id(&**self.host.clock());
        let span = poll_span(&poll, &connection.name);
        async {
            let polled = self.host.poll(connection, &poll, &|flow| self.flows.definition(flow)).await;
            metrics().polled(polled.is_ok());
            match polled {
                Ok(None) => NOT_NEEDED,
                Ok(Some(polled)) => {
                    if polled.fresh > 0 {
                        metrics().events(polled.fresh);
                        self.started.notify_one();
                    }
                    let wait = if polled.more { Duration::ZERO } else { Duration::from_millis(polled.after_ms) };
                    if polled.more { wait } else { wait.max(SHORTEST) }
                }
                Err(error) => {
                    tracing::warn!(%error, "polling failed; tried again later");
                    Duration::from_millis(error.retry_after_ms()).max(AFTER_FAILURE)
                }
            }
        }
        .instrument(span)
        .await
    }
}
