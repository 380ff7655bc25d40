//! Whose delivery is read next: the connections have their turns one after the other, and none has more than its
//! share of the places. A flood for one connection waits for itself.
//!
//! What waits is looked through in the order in which it became due, each row once, a piece at a time; ids are put
//! into a queue for each connection. How many there can be is bounded by what the receiver takes in.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::clock::EpochMs;
use crate::store::{DuePlace, Store, StoreError};

/// How many deliveries may be read at once for one connection.
const OF_ONE_CONNECTION: usize = 6;
/// How many rows are looked through at once.
const PIECE: usize = 256;
/// How often it is looked for new ones while there is enough to do.
const LOOK: Duration = Duration::from_millis(200);
/// How often all is looked through from the beginning, for one that was committed behind a later one.
const ANEW: Duration = Duration::from_secs(30);

/// The order of the connections, and what is being read.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Connections that have deliveries; the first has its turn next.
    ring: VecDeque<String>,
    queues: HashMap<String, VecDeque<String>>,
    /// Ids in a queue, or being read.
    known: HashSet<String>,
    /// How many are being read, by connection.
    reading: HashMap<String, usize>,
    /// Up to where it was looked.
    place: DuePlace,
    /// Whether more was there when it was looked last.
    more: bool,
    looked_at: Duration,
    anew_at: Duration,
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
        if self.ring.is_empty() || monotonic >= self.anew_at + ANEW {
            (self.place, self.anew_at, self.more) = (DuePlace::default(), monotonic, true);
        }
        if self.more || monotonic >= self.looked_at + LOOK {
            self.look(store, now, monotonic)?;
        }
        loop {
            let found = self.around();
            if found.is_some() || !self.more {
                return Ok(found);
            }
            // All in sight must wait: others may come behind them.
            self.look(store, now, monotonic)?;
        }
    }

    fn look(&mut self, store: &Store, now: EpochMs, monotonic: Duration) -> Result<(), StoreError> {
        let found = store.due_deliveries(now, self.place, PIECE)?;
        (self.more, self.looked_at) = (found.len() == PIECE, monotonic);
        for due in found {
            self.place = due.place;
            if !self.known.insert(due.id.clone()) {
                continue;
            }
            let queue = self.queues.entry(due.connection.clone()).or_default();
            if queue.is_empty() {
                self.ring.push_back(due.connection);
            }
            queue.push_back(due.id);
        }
        Ok(())
    }

    /// Goes around once.
    fn around(&mut self) -> Option<(String, String)> {
        for _ in 0..self.ring.len() {
            let connection = self.ring.pop_front()?;
            let reading = self.reading.entry(connection.clone()).or_default();
            if *reading >= OF_ONE_CONNECTION {
                self.ring.push_back(connection);
                continue;
            }
            let queue = self.queues.get_mut(&connection)?;
            let id = queue.pop_front()?;
            *reading += 1;
            if queue.is_empty() {
                self.queues.remove(&connection);
            } else {
                self.ring.push_back(connection.clone());
            }
            return Some((connection, id));
        }
        None
    }

    /// A delivery was read, or put off.
    pub(super) fn ended(&mut self, connection: &str, id: &str) {
        self.known.remove(id);
        if let Some(reading) = self.reading.get_mut(connection) {
            *reading -= 1;
            if *reading == 0 {
                self.reading.remove(connection);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::StoredDelivery;

    const NOW: EpochMs = 1_000_000;

    fn store(deliveries: &[(&str, usize)]) -> (Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db")).unwrap();
        let mut all = vec![];
        for (connection, count) in deliveries {
            all.extend((0..*count).map(|number| delivery(connection, number)));
        }
        let version = store.proving_version().unwrap();
        store.keep_proved(all.iter().map(|one| (version, one))).unwrap();
        (store, folder)
    }

    pub(in crate::webhook) fn delivery(connection: &str, number: usize) -> StoredDelivery {
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

    fn late(connection: &str) -> StoredDelivery {
        StoredDelivery { received_at_ms: NOW, ..delivery(connection, 0) }
    }

    fn take(turns: &mut Turns, store: &Store) -> Option<String> {
        turns.next(store, NOW, Duration::ZERO).unwrap().map(|(_, id)| id)
    }

    #[test]
    fn connections_have_turns_however_many_deliveries_one_of_them_has() {
        let (store, _folder) = store(&[("flood", 200), ("a", 2), ("b", 1)]);
        let mut turns = Turns::default();
        let order: Vec<_> = std::iter::from_fn(|| take(&mut turns, &store)).take(6).collect();
        assert_eq!(order, ["flood0", "a0", "b0", "flood1", "a1", "flood2"]);
    }

    #[test]
    fn one_that_comes_behind_a_long_flood_has_its_turn_when_the_flood_has_its_share() {
        let (store, _folder) = store(&[("flood", 2000)]);
        store.keep_delivery(&late("late")).unwrap();
        let mut turns = Turns::default();
        let taken: Vec<_> = std::iter::from_fn(|| take(&mut turns, &store)).collect();
        let flood = (0..OF_ONE_CONNECTION).map(|number| format!("flood{number}"));
        assert_eq!(taken, flood.chain(["late0".to_owned()]).collect::<Vec<_>>());
        turns.ended("flood", "flood0");
        assert_eq!(take(&mut turns, &store).as_deref(), Some("flood6"));
        assert_eq!(take(&mut turns, &store), None, "none is read twice at once");
    }

    #[test]
    fn a_new_one_is_seen_soon_and_one_committed_behind_a_later_one_in_the_end() {
        let (store, _folder) = store(&[("flood", 50)]);
        let mut turns = Turns::default();
        let mut next = |at| turns.next(&store, NOW, at).unwrap().map(|(connection, _)| connection);
        assert_eq!(next(Duration::ZERO).as_deref(), Some("flood"));
        store.keep_delivery(&late("new")).unwrap();
        store.keep_delivery(&delivery("behind", 0)).unwrap();
        let seen: Vec<_> = std::iter::from_fn(|| next(LOOK)).collect();
        assert!(seen.contains(&"new".to_owned()) && !seen.contains(&"behind".to_owned()), "{seen:?}");
        assert_eq!(next(ANEW).as_deref(), Some("behind"));
    }

    #[test]
    fn all_are_read_in_the_end_and_none_twice() {
        let (store, _folder) = store(&[("a", 700), ("b", 3)]);
        let (mut turns, mut seen) = (Turns::default(), vec![]);
        while let Some((connection, id)) = turns.next(&store, NOW, Duration::ZERO).unwrap() {
            let done = "UPDATE delivery SET state = 'done' WHERE id = ?1";
            store.note(|db| db.execute(done, [&id]).map_err(StoreError::from)).unwrap();
            turns.ended(&connection, &id);
            seen.push(id);
        }
        let different: HashSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), different.len()), (703, 703));
        let left = (turns.ring.len(), turns.queues.len(), turns.known.len(), turns.reading.len());
        assert_eq!(left, (0, 0, 0, 0), "nothing is kept of them");
    }
}
