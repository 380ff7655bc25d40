//! Work that comes again and again for each of many connections, in the rhythm of each: polls, and looks at what is
//! registered.
//!
//! Whoever has nothing due costs nothing: the loop sleeps until the next is due, and looks seldom whether there are
//! new ones. Those that are due go in the order in which they became due, a bounded number at once, so that a slow
//! service holds up its own connection and not the others.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{self, JoinSet};

use crate::clock::{EpochMs, SharedClock};

/// What the rounds do.
pub(super) trait Work: Send + Sync + 'static {
    /// The ids of those for which there is something to do; none where that cannot be told now.
    fn look(&self) -> impl Future<Output = Option<HashSet<String>>> + Send;

    /// Does it for one of them, and answers after which time it is to be done again.
    fn once(&self, id: String) -> impl Future<Output = Duration> + Send;
}

/// How the rounds go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How many at once.
    pub(super) at_once: usize,
    /// How often it is looked for new ones.
    pub(super) look: Duration,
}

/// Goes round until `stop` says so; then what is under way comes to its end.
pub(super) async fn go<W: Work>(
    clock: SharedClock,
    pace: Pace,
    work: std::sync::Arc<W>,
    mut stop: watch::Receiver<bool>,
) {
    let mut plan = Plan::default();
    let mut under_way: JoinSet<Duration> = JoinSet::new();
    let mut ids: HashMap<task::Id, String> = HashMap::new();
    let mut next_look = 0;
    while !*stop.borrow() {
        let now = clock.now_ms();
        if now >= next_look {
            if let Some(wanted) = work.look().await {
                plan.only(wanted, now);
            }
            next_look = now.saturating_add(millis(pace.look));
        }
        while under_way.len() < pace.at_once {
            let Some(id) = plan.take_due(clock.now_ms()) else { break };
            let (work, of) = (std::sync::Arc::clone(&work), id.clone());
            ids.insert(under_way.spawn(async move { work.once(of).await }).id(), id);
        }
        let due =
            plan.next_due().filter(|_| under_way.len() < pace.at_once).map_or(next_look, |due| due.min(next_look));
        let sleep: Pin<Box<dyn Future<Output = ()> + Send>> =
            clock.sleep(Duration::from_millis(due.saturating_sub(clock.now_ms()).max(1)));
        tokio::select! {
            Some(ended) = under_way.join_next_with_id() => {
                let (task, again) = match ended {
                    Ok((task, again)) => (task, Some(again)),
                    Err(error) => (error.id(), None),
                };
                let Some(id) = ids.remove(&task) else { continue };
                if again.is_none() {
                    tracing::error!(id, "work of the rounds panicked; it comes again");
                }
                plan.ended(id, clock.now_ms().saturating_add(millis(again.unwrap_or(pace.look))));
            }
            () = sleep => {}
            _ = stop.changed() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Who is due when.
#[derive(Debug, Default)]
struct Plan {
    order: BTreeSet<(EpochMs, String)>,
    due: HashMap<String, EpochMs>,
    busy: HashSet<String>,
    /// Those that are under way and not wanted any more.
    unwanted: HashSet<String>,
}

impl Plan {
    /// Only these from now on: new ones are due at once, the others keep their time.
    fn only(&mut self, wanted: HashSet<String>, now: EpochMs) {
        let gone: Vec<String> = self.due.keys().filter(|id| !wanted.contains(*id)).cloned().collect();
        for id in gone {
            if let Some(due) = self.due.remove(&id) {
                self.order.remove(&(due, id));
            }
        }
        self.unwanted = self.busy.iter().filter(|id| !wanted.contains(*id)).cloned().collect();
        for id in wanted {
            if !self.busy.contains(&id) && !self.due.contains_key(&id) {
                self.at(id, now);
            }
        }
    }

    fn at(&mut self, id: String, due: EpochMs) {
        self.order.insert((due, id.clone()));
        self.due.insert(id, due);
    }

    fn next_due(&self) -> Option<EpochMs> {
        self.order.first().map(|(due, _)| *due)
    }

    fn take_due(&mut self, now: EpochMs) -> Option<String> {
        if self.next_due()? > now {
            return None;
        }
        let (_, id) = self.order.pop_first()?;
        self.due.remove(&id);
        self.busy.insert(id.clone());
        Some(id)
    }

    fn ended(&mut self, id: String, due: EpochMs) {
        self.busy.remove(&id);
        if !self.unwanted.remove(&id) {
            self.at(id, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::test_clock::TestClock;

    fn set(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn those_due_go_in_the_order_in_which_they_became_due() {
        let mut plan = Plan::default();
        plan.only(set(&["a", "b", "c"]), 5);
        assert_eq!(plan.take_due(4), None);
        assert_eq!(plan.take_due(5).as_deref(), Some("a"));
        // One that always has more does not go before those that wait.
        plan.ended("a".into(), 6);
        let order: Vec<_> = std::iter::from_fn(|| plan.take_due(9)).collect();
        assert_eq!(order, ["b", "c", "a"]);
    }

    #[test]
    fn one_that_is_wanted_no_more_is_forgotten_even_while_it_is_under_way() {
        let mut plan = Plan::default();
        plan.only(set(&["a", "b"]), 0);
        assert_eq!(plan.take_due(0).as_deref(), Some("a"));
        plan.only(set(&["c"]), 0);
        plan.ended("a".into(), 0);
        assert_eq!(std::iter::from_fn(|| plan.take_due(9)).collect::<Vec<_>>(), ["c"]);
        plan.only(set(&["a", "c"]), 1);
        assert_eq!(plan.take_due(1).as_deref(), Some("a"), "and comes back when it is wanted again");
    }

    #[test]
    fn one_under_way_is_not_begun_a_second_time() {
        let mut plan = Plan::default();
        plan.only(set(&["a"]), 0);
        plan.take_due(0).unwrap();
        plan.only(set(&["a"]), 1);
        assert_eq!(plan.take_due(9), None);
    }

    /// Does this work, so many at once, for 20 s of a clock that the test turns.
    async fn for_20_s(work: &Arc<impl Work>, at_once: usize) {
        let clock = TestClock::shared();
        let (_stopping, stopped) = watch::channel(false);
        let pace = Pace { at_once, look: Duration::from_secs(5) };
        let going = tokio::spawn(go(clock.clone(), pace, Arc::clone(work), stopped));
        for _ in 0..21 {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_secs(1));
        }
        going.abort();
    }

    /// One that never ends, and others that note when they were done.
    struct Mixed {
        done: Mutex<VecDeque<String>>,
    }

    impl Work for Mixed {
        async fn look(&self) -> Option<HashSet<String>> {
            Some(set(&["stuck", "quick", "slow"]))
        }

        async fn once(&self, id: String) -> Duration {
            if id == "stuck" {
                std::future::pending::<()>().await;
            }
            self.done.lock().unwrap().push_back(id.clone());
            Duration::from_secs(if id == "quick" { 1 } else { 10 })
        }
    }

    #[tokio::test]
    async fn each_comes_again_in_its_own_rhythm_whatever_the_others_do() {
        let work = Arc::new(Mixed { done: Mutex::default() });
        for_20_s(&work, 2).await;
        let done = work.done.lock().unwrap().clone();
        let count = |name: &str| done.iter().filter(|id| *id == name).count();
        assert_eq!((count("quick"), count("slow"), count("stuck")), (21, 3, 0), "{done:?}");
    }

    /// One that panics, and one that takes very long; both note when they are begun.
    #[derive(Default)]
    struct Panicking {
        begun: Mutex<Vec<String>>,
    }

    impl Work for Panicking {
        async fn look(&self) -> Option<HashSet<String>> {
            Some(set(&["breaks", "long"]))
        }

        async fn once(&self, id: String) -> Duration {
            self.begun.lock().unwrap().push(id.clone());
            assert_ne!(id, "breaks", "on purpose");
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn one_that_panics_comes_again_and_the_others_are_not_begun_twice() {
        let work = Arc::new(Panicking::default());
        for_20_s(&work, 4).await;
        let begun = work.begun.lock().unwrap().clone();
        let count = |name: &str| begun.iter().filter(|id| *id == name).count();
        assert_eq!((count("breaks"), count("long")), (5, 1), "{begun:?}");
    }
}
