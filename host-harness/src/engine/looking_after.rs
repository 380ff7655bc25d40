//! Looks after connections that nobody looks at: each is checked once a day, each at a time of its own, so that a
//! credential that will expire is known before it has.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::rounds::{Pace, Work};
use crate::clock::EpochMs;
use crate::host::{Host, hashed, off_thread};
use crate::store::StoredConnection;

/// How many connections are checked at once: nobody waits for it.
pub(super) const PACE: Pace = Pace { at_once: 2, look: Duration::from_secs(300) };
/// How often each is checked.
const DAY_MS: EpochMs = 24 * 3600 * 1000;
/// After how long it is tried again where the store could not be read.
const LATER: Duration = Duration::from_secs(600);

/// Looking after connections, as rounds.
pub(super) struct LookingAfter(pub(super) Arc<Host>);

impl LookingAfter {
    async fn see_to(&self, connection: &StoredConnection) {
        match self.0.look_after(&connection.name).await {
            Ok(None) => {}
            Ok(Some(checked)) => {
                tracing::info!(connection = connection.name, proven = checked.proven, "the daily check was made");
            }
            Err(error) => {
                tracing::warn!(connection = connection.name, %error, "the daily check could not be made");
            }
        }
    }
}

/// The time of the day, in milliseconds, at which a connection is checked: drawn from its id, so that those of one
/// service do not all come at once, and that a new start changes nothing.
fn time_of_day(id: &str) -> EpochMs {
    let drawn = hashed(id.as_bytes()).get(..12).and_then(|text| u64::from_str_radix(text, 16).ok());
    drawn.unwrap_or_default() % DAY_MS
}

/// When a connection is to be checked next, after it was last: at its time of the day.
fn due_after(id: &str, last: EpochMs) -> EpochMs {
    let offset = time_of_day(id);
    let days = (last.saturating_sub(offset) / DAY_MS) + u64::from(last >= offset);
    offset + days * DAY_MS
}

/// When a connection was last checked, by whomever; when it was made, where it never was.
fn last_check(connection: &StoredConnection) -> EpochMs {
    let checked = connection.health.as_ref().and_then(|report| report["checked-at-ms"].as_u64());
    checked.unwrap_or(connection.created_at_ms)
}

impl Work for LookingAfter {
    async fn look(&self) -> Option<HashSet<String>> {
        match off_thread(|| self.0.store().connections()) {
            Ok(all) => Some(all.into_iter().map(|one| one.id).collect()),
            Err(error) => {
                tracing::error!(%error, "the connections could not be read");
                None
            }
        }
    }

    async fn once(&self, id: String) -> Duration {
        let read = || off_thread(|| self.0.store().connection_by_id(&id));
        let connection = match read() {
            Ok(Some(connection)) => connection,
            Ok(None) => return LATER,
            Err(error) => {
                tracing::error!(%error, "the store could not be read");
                return LATER;
            }
        };
        let now = self.0.clock().now_ms();
        let mut due = due_after(&id, last_check(&connection));
        if due <= now {
            self.see_to(&connection).await;
            due = due_after(&id, self.0.clock().now_ms());
        }
        Duration::from_millis(due.saturating_sub(self.0.clock().now_ms()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, until};

    /// Lets a day pass, an hour at a time, until the service was asked who it is once more.
    async fn a_day_passes(bench: &Bench) {
        let asked = bench.world().accounts_asked;
        for _ in 0..25 {
            bench.clock.advance(Duration::from_secs(3600));
            // What became due is done in real time.
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        until("the daily check", || bench.world().accounts_asked > asked).await;
        // The health report is kept after the answer.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn alarms(bench: &Bench) -> Vec<String> {
        bench.host.store().alarms(100).unwrap().into_iter().map(|one| format!("{} {}", one.code, one.message)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_newly_warns_or_fails_is_told_once() {
        let bench = Bench::start().await;
        let running = bench.serve().await;
        a_day_passes(&bench).await;
        let asked = bench.world().accounts_asked;
        assert!((1..=2).contains(&asked), "once a day: {asked}");
        assert!(alarms(&bench).is_empty(), "all is well: {:?}", alarms(&bench));

        bench.world().account = Some(json!({"workspace": "w", "account": "a", "name": "n", "key-expires-in-days": 20}));
        a_day_passes(&bench).await;
        let told = alarms(&bench);
        assert!(told.len() == 1 && told[0].starts_with("host.connection-warns"), "{told:?}");
        assert!(told[0].contains("expires in 20 days") && told[0].contains("Make a new key"), "{told:?}");
        bench.world().account = Some(json!({"workspace": "w", "account": "a", "name": "n", "key-expires-in-days": 19}));
        a_day_passes(&bench).await;
        assert_eq!(alarms(&bench).len(), 1, "and not again every day");
        running.stop().await;

        let running = bench.serve().await;
        bench.world().account = Some(json!({"workspace": "other", "account": "a", "name": "elsewhere"}));
        a_day_passes(&bench).await;
        let told = alarms(&bench);
        assert!(told.len() == 2 && told[0].starts_with("host.connection-fails"), "{told:?}");
        let kept = bench.host.connection("harbour").unwrap();
        assert_eq!(kept.identity.unwrap().tenant, "w", "what was kept for one is not another's");
        assert!(!kept.proven);
        running.stop().await;
    }

    #[test]
    fn a_connection_is_due_at_its_time_of_the_day_once_a_day() {
        let id = "a-connection";
        let offset = time_of_day(id);
        assert_eq!(due_after(id, 0), if offset == 0 { DAY_MS } else { offset });
        for day in [0, 1, 20_000] {
            let due = offset + day * DAY_MS;
            assert_eq!(due_after(id, due - 1), due);
            assert_eq!(due_after(id, due), due + DAY_MS);
            assert_eq!(due_after(id, due + 5), due + DAY_MS);
        }
    }

    #[test]
    fn connections_are_spread_over_the_day() {
        let mut hours = [0_u32; 24];
        for number in 0..2400 {
            hours[usize::try_from(time_of_day(&format!("connection-{number}")) / (DAY_MS / 24)).unwrap()] += 1;
        }
        assert!(hours.iter().all(|count| (50..=160).contains(count)), "{hours:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_that_wants_to_be_left_alone_is_not_asked_how_it_is() {
        use crate::plugin::contract::types::Scope;
        let bench = Bench::start().await;
        bench.host.check_connection("harbour", false).await.unwrap();
        let tenant = bench.host.session_of("harbour").await.unwrap().tenant.clone();
        let asked = bench.world().accounts_asked;
        let until = bench.host.clock().now_ms() + 120_000;
        bench.host.store().hold(&tenant, &Scope::Tenant, until).unwrap();
        // What another process keeps is seen a little later.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let refused = bench.host.check_connection("harbour", false).await.unwrap_err();
        assert_eq!((refused.to_json()["code"].as_str(), refused.retry_after_ms()), (Some("host.held-back"), 120_000));
        assert!(bench.host.look_after("harbour").await.unwrap().is_none());
        assert_eq!(bench.world().accounts_asked, asked);
        assert!(bench.host.connection("harbour").unwrap().proven, "what was known stays");
        bench.clock.advance(Duration::from_secs(121));
        bench.host.check_connection("harbour", false).await.unwrap();
        assert_eq!(bench.world().accounts_asked, asked + 1);
    }
}
