//! What is in hand: which runs go on now, and so which others may join them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::flow::{CompiledFlow, Flow};
use crate::store::{Lane, StoredRun};

/// How many runs go on at once.
pub(super) const AT_ONCE: usize = 32;
/// From how many on another is only for a flow and a connection that have none in hand: however many slow ones there
/// are, whoever comes new finds a place.
const FOR_ALL: usize = AT_ONCE - AT_ONCE / 4;
/// How many of them may be of one flow, so that a slow one does not stop the others.
const OF_ONE_FLOW: usize = 16;
/// How many of them may work on one connection, so that a slow service does not stop the others.
const OF_ONE_CONNECTION: usize = 24;
/// How many flows are kept ready to be run.
const MOST_COMPILED: usize = 256;

/// The runs in hand.
#[derive(Debug, Default)]
pub(super) struct InHand {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: HashMap<String, Lane>,
    keys: HashSet<String>,
    flows: HashMap<String, usize>,
    connections: HashMap<String, usize>,
    compiled: HashMap<String, Arc<CompiledFlow>>,
}

impl Inner {
    /// Whether there is room on a connection for one more, beside so many in hand.
    fn has_room(&self, connection: &str, others: usize) -> bool {
        self.connections.get(connection).is_none_or(|count| *count < share(OF_ONE_CONNECTION, others))
    }

    fn leave_connection(&mut self, connection: &str) {
        if let Some(count) = self.connections.get_mut(connection) {
            *count -= 1;
            if *count == 0 {
                self.connections.remove(connection);
            }
        }
    }
}

/// How many of one kind may be in hand: none beside others of it once the last places are given away.
fn share(most: usize, others: usize) -> usize {
    if others < FOR_ALL { most } else { 0 }
}

impl InHand {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another run of a lane may be taken in hand.
    pub(super) fn has_room(&self, lane: &Lane) -> bool {
        let inner = self.lock();
        let others = inner.runs.len();
        inner.has_room(&lane.connection, others)
            && inner.flows.get(&lane.flow).is_none_or(|count| *count < share(OF_ONE_FLOW, others))
    }

    /// Whether neither this run nor another of its key is in hand.
    pub(super) fn is_free(&self, id: &str, key: Option<&str>) -> bool {
        let inner = self.lock();
        !inner.runs.contains_key(id) && key.is_none_or(|key| !inner.keys.contains(key))
    }

    /// Takes a run in hand until what it answers with is dropped; none where it is in hand already.
    pub(super) fn take(self: &Arc<Self>, run: &StoredRun) -> Option<Held> {
        let lane = Lane { flow: run.flow.clone(), connection: run.connection.clone() };
        let mut inner = self.lock();
        if inner.runs.contains_key(&run.id) {
            return None;
        }
        *inner.flows.entry(lane.flow.clone()).or_default() += 1;
        *inner.connections.entry(lane.connection.clone()).or_default() += 1;
        inner.keys.extend(run.order_key.clone());
        inner.runs.insert(run.id.clone(), lane);
        drop(inner);
        Some(Held { id: run.id.clone(), key: run.order_key.clone(), hand: Arc::clone(self) })
    }

    /// A kept flow, ready to be run. The error says where and what is wrong.
    pub(super) fn compiled(&self, definition: &str) -> Result<Arc<CompiledFlow>, (String, String)> {
        if let Some(known) = self.lock().compiled.get(definition) {
            return Ok(Arc::clone(known));
        }
        let flow: Flow =
            serde_json::from_str(definition).map_err(|error| ("definition".to_owned(), error.to_string()))?;
        let compiled = Arc::new(CompiledFlow::compile(flow)?);
        let mut inner = self.lock();
        if inner.compiled.len() >= MOST_COMPILED {
            inner.compiled.clear();
        }
        inner.compiled.insert(definition.to_owned(), Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// A run in hand. Dropped, it is in hand no more.
#[derive(Debug)]
pub(super) struct Held {
    id: String,
    key: Option<String>,
    hand: Arc<InHand>,
}

impl Held {
    /// Goes over to another connection; false, and no change, where that one has no room.
    pub(super) fn move_to(&self, connection: &str) -> bool {
        let mut inner = self.hand.lock();
        let Some(lane) = inner.runs.get(&self.id).cloned() else { return false };
        if lane.connection == connection {
            return true;
        }
        if !inner.has_room(connection, inner.runs.len() - 1) {
            return false;
        }
        inner.leave_connection(&lane.connection);
        *inner.connections.entry(connection.to_owned()).or_default() += 1;
        inner.runs.insert(self.id.clone(), Lane { connection: connection.to_owned(), ..lane });
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = self.hand.lock();
        let Some(lane) = inner.runs.remove(&self.id) else { return };
        if let Some(key) = &self.key {
            inner.keys.remove(key);
        }
        inner.leave_connection(&lane.connection);
        if let Some(count) = inner.flows.get_mut(&lane.flow) {
            *count -= 1;
            if *count == 0 {
                inner.flows.remove(&lane.flow);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: usize, flow: &str, connection: &str) -> StoredRun {
        StoredRun {
            id: id.to_string(),
            flow: flow.into(),
            definition: "{}".into(),
            event: "e".into(),
            event_id: "e".into(),
            state: "pending".into(),
            due_at_ms: 0,
            failure: None,
            created_at_ms: 0,
            ended_at_ms: None,
            connection: connection.into(),
            order_key: None,
            cancel: false,
            again_of: None,
            cause: None,
        }
    }

    #[test]
    fn slow_flows_never_take_the_last_places() {
        let hand = Arc::new(InHand::default());
        let lane = |name: &str| Lane { flow: name.into(), connection: name.into() };
        let mut held = Vec::new();
        while let Some(name) = ["a", "b"].into_iter().find(|name| hand.has_room(&lane(name))) {
            held.push(hand.take(&run(held.len(), name, name)).unwrap());
        }
        assert_eq!(held.len(), FOR_ALL, "two slow ones leave a quarter");
        for new in 0..AT_ONCE - FOR_ALL {
            let name = format!("new{new}");
            assert!(hand.has_room(&lane(&name)), "{name} finds a place");
            held.push(hand.take(&run(100 + new, &name, &name)).unwrap());
            assert!(!hand.has_room(&lane(&name)), "one each");
        }
        assert!(!held[FOR_ALL].move_to("a"), "nor does one come to a slow connection from another");
        assert!(held[FOR_ALL].move_to("elsewhere"));
    }

    #[test]
    fn neither_a_flow_nor_a_connection_takes_all_the_room() {
        let hand = Arc::new(InHand::default());
        let lane = |flow: &str, connection: &str| Lane { flow: flow.into(), connection: connection.into() };
        let mut held: Vec<_> = (0..OF_ONE_FLOW).map(|id| hand.take(&run(id, "slow", "a")).unwrap()).collect();
        assert!(!hand.has_room(&lane("slow", "a")), "the flow has its share");
        assert!(hand.has_room(&lane("other", "a")));
        held.extend((OF_ONE_FLOW..OF_ONE_CONNECTION).map(|id| hand.take(&run(id, "other", "a")).unwrap()));
        assert!(!hand.has_room(&lane("third", "a")), "the connection has its share");
        assert!(hand.has_room(&lane("third", "b")));
        let guest = hand.take(&run(99, "third", "b")).unwrap();
        assert!(!guest.move_to("a"), "also for a run that would go over to it");
        assert!(hand.take(&run(99, "third", "b")).is_none(), "a run is in hand once");
        drop(held);
        assert!(guest.move_to("a"));
        drop(guest);
        let inner = hand.lock();
        assert!(inner.runs.is_empty() && inner.flows.is_empty() && inner.connections.is_empty());
    }
}
