//! Whose delivery is read next: the connections have their turns one after the other, and none has more than its
//! share of the places. A flood for one connection waits for itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::clock::EpochMs;
use crate::store::{Store, StoreError};

/// How many deliveries may be read at once for one connection.
const OF_ONE_CONNECTION: usize = 6;
/// How many deliveries of a connection are looked up at once.
const AHEAD: usize = 32;
/// How often it is looked which connections have deliveries, while there is enough to do.
const LOOK: Duration = Duration::from_secs(1);

/// The order of the connections, and what is being read.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Connections that have deliveries; the first has its turn next.
    ring: VecDeque<String>,
    /// Their next deliveries.
    next: HashMap<String, VecDeque<String>>,
    looked_at: Duration,
    reading: HashSet<String>,
    share: HashMap<String, usize>,
}

impl Turns {
    /// The next delivery to read, with its connection; it counts as being read until `ended`. None where nothing is
    /// due, or all that is due must wait for its share.
    pub(super) fn next(
        &mut self,
        store: &Store,
        now: EpochMs,
        monotonic: Duration,
    ) -> Result<Option<(String, String)>, StoreError> {
        let looked = self.ring.is_empty() || monotonic.saturating_sub(self.looked_at) >= LOOK;
        if looked {
            self.look(store, now, monotonic)?;
        }
        let found = self.around(store, now)?;
        if found.is_some() || looked {
            return Ok(found);
        }
        self.look(store, now, monotonic)?;
        self.around(store, now)
    }

    /// Takes in connections that have deliveries now. Those known keep their place.
    fn look(&mut self, store: &Store, now: EpochMs, monotonic: Duration) -> Result<(), StoreError> {
        self.looked_at = monotonic;
        for connection in store.connections_with_deliveries(now)? {
            if !self.next.contains_key(&connection) {
                self.next.insert(connection.clone(), VecDeque::new());
                self.ring.push_back(connection);
            }
        }
        Ok(())
    }

    /// Goes around once.
    fn around(&mut self, store: &Store, now: EpochMs) -> Result<Option<(String, String)>, StoreError> {
        for _ in 0..self.ring.len() {
            let Some(connection) = self.ring.pop_front() else { break };
            if self.share.get(&connection).is_some_and(|reading| *reading >= OF_ONE_CONNECTION) {
                self.ring.push_back(connection);
                continue;
            }
            let queue = self.next.entry(connection.clone()).or_default();
            if queue.is_empty() {
                let reading = &self.reading;
                match store.deliveries_to_read(&connection, now, AHEAD, &|id| reading.contains(id)) {
                    Ok(found) => *queue = found,
                    Err(error) => {
                        self.ring.push_back(connection);
                        return Err(error);
                    }
                }
            }
            let Some(id) = queue.pop_front() else {
                self.next.remove(&connection);
                continue;
            };
            self.ring.push_back(connection.clone());
            self.reading.insert(id.clone());
            *self.share.entry(connection.clone()).or_default() += 1;
            return Ok(Some((connection, id)));
        }
        Ok(None)
    }

    /// A delivery was read, or put off.
    pub(super) fn ended(&mut self, connection: &str, id: &str) {
        self.reading.remove(id);
        if let Some(reading) = self.share.get_mut(connection) {
            *reading -= 1;
            if *reading == 0 {
                self.share.remove(connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoredDelivery;

    const NOW: EpochMs = 1_000_000;

    fn store(deliveries: &[(&str, usize)]) -> (Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db")).unwrap();
        let mut all = vec![];
        for (connection, count) in deliveries {
            for number in 0..*count {
                all.push(delivery(connection, number));
            }
        }
        store.keep_deliveries(&all).unwrap();
        (store, folder)
    }

    fn delivery(connection: &str, number: usize) -> StoredDelivery {
        StoredDelivery {
            id: format!("{connection}{number}"),
            connection: connection.into(),
            registration: "r".into(),
            service_id: Some(number.to_string()),
            method: "POST".into(),
            query: String::new(),
            headers: vec![],
            body: vec![],
            sha256: "0".into(),
            received_at_ms: number as u64,
            attempts: 0,
        }
    }

    fn take(turns: &mut Turns, store: &Store) -> Option<String> {
        turns.next(store, NOW, Duration::ZERO).unwrap().map(|(_, id)| id)
    }

    #[test]
    fn connections_have_turns_however_many_deliveries_one_of_them_has() {
        let (store, _folder) = store(&[("flood", 500), ("a", 2), ("b", 1)]);
        let mut turns = Turns::default();
        let order: Vec<_> = std::iter::from_fn(|| take(&mut turns, &store)).take(6).collect();
        assert_eq!(order, ["a0", "b0", "flood0", "a1", "flood1", "flood2"]);
    }

    #[test]
    fn one_connection_has_no_more_than_its_share_and_none_is_read_twice_at_once() {
        let (store, _folder) = store(&[("flood", 500)]);
        let mut turns = Turns::default();
        let taken: Vec<_> = std::iter::from_fn(|| take(&mut turns, &store)).collect();
        assert_eq!(taken, (0..OF_ONE_CONNECTION).map(|number| format!("flood{number}")).collect::<Vec<_>>());
        store.keep_delivery(&delivery("late", 0)).unwrap();
        assert_eq!(take(&mut turns, &store).as_deref(), Some("late0"), "there is room for another");
        turns.ended("flood", "flood0");
        assert_eq!(take(&mut turns, &store).as_deref(), Some("flood6"));
    }

    #[test]
    fn all_are_read_in_the_end_and_none_twice() {
        let (store, _folder) = store(&[("a", 70), ("b", 3)]);
        let (mut turns, mut seen) = (Turns::default(), vec![]);
        while let Some((connection, id)) = turns.next(&store, NOW, Duration::ZERO).unwrap() {
            store
                .write(|db| {
                    db.execute("UPDATE delivery SET state = 'done' WHERE id = ?1", [&id]).map_err(StoreError::from)
                })
                .unwrap();
            turns.ended(&connection, &id);
            seen.push(id);
        }
        let different: HashSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), different.len()), (73, 73));
        assert!(turns.ring.is_empty() && turns.next.is_empty() && turns.share.is_empty(), "nothing is kept of them");
    }
}
