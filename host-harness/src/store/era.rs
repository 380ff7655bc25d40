//! Which time what is old is deleted by: one that a clock which is wrong for a while does not move.

use std::time::Duration;

use super::{Alarm, Store, StoreError};
use crate::clock::EpochMs;

/// How far the clock may be ahead of the last time that was believed: a host that was switched off over a weekend.
const LEAP: Duration = Duration::from_secs(2 * 24 * 3600);
/// For how long a host has to run, in all, while its clock stays further ahead, until it is believed.
const PROOF: Duration = Duration::from_secs(24 * 3600);

/// How far it goes on before it is kept anew.
const NEXT: Duration = Duration::from_secs(600);

const BELIEVED: &str = "time-believed-ms";
const DOUBTED: &str = "time-doubted-for-ms";

/// What a host knows of the time since it was started.
#[derive(Debug)]
pub struct Era {
    believed: EpochMs,
    /// For how long the host has run while the clock was further ahead.
    doubted: Duration,
    looked_at: Duration,
    /// What of it is on disk.
    kept: Option<EpochMs>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Store {
    /// The time that was believed last; at first that of the newest thing that is kept.
    pub fn era(&self, now: EpochMs, monotonic: Duration) -> Result<Era, StoreError> {
        let number = |key: &str| Ok::<_, StoreError>(self.meta(key)?.and_then(|text| text.parse().ok()));
        let kept = number(BELIEVED)?;
        let believed = match kept {
            Some(time) => time,
            None => self.newest()?.unwrap_or(now),
        };
        let doubted = Duration::from_millis(number(DOUBTED)?.unwrap_or(0));
        Ok(Era { believed, doubted, looked_at: monotonic, kept })
    }

    /// Whether what is old by the time of the clock may be deleted. Where the clock is far ahead it is not, until the
    /// host has run so for a day; an alarm tells of it.
    pub fn believes(&self, era: &mut Era, now: EpochMs, monotonic: Duration) -> Result<bool, StoreError> {
        let ran = monotonic.saturating_sub(era.looked_at);
        era.looked_at = monotonic;
        if now > era.believed.saturating_add(millis(ran)).saturating_add(millis(LEAP)) {
            era.doubted += ran;
            if era.doubted < PROOF {
                self.put_meta(BELIEVED, &era.believed.to_string())?;
                self.put_meta(DOUBTED, &millis(era.doubted).to_string())?;
                self.raise_once(&Alarm {
                    at_ms: now,
                    connection: None,
                    code: "host.clock-leapt".into(),
                    message: format!(
                        "the clock is more than two days ahead of the last time that the host knows ({} ms since \
                         1970): nothing old is deleted until it has run so for a day. Look whether the clock is right",
                        era.believed
                    ),
                })?;
                return Ok(false);
            }
        }
        era.believed = era.believed.max(now);
        if std::mem::take(&mut era.doubted) > Duration::ZERO {
            self.put_meta(DOUBTED, "0")?;
        }
        if era.kept.is_none_or(|kept| era.believed >= kept.saturating_add(millis(NEXT))) {
            self.put_meta(BELIEVED, &era.believed.to_string())?;
            era.kept = Some(era.believed);
        }
        Ok(true)
    }

    fn newest(&self) -> Result<Option<EpochMs>, StoreError> {
        self.read(|db| {
            let newest = "SELECT max(at) FROM (SELECT max(created_at_ms) AS at FROM run UNION ALL \
                          SELECT max(received_at_ms) FROM event UNION ALL SELECT max(received_at_ms) FROM delivery)";
            Ok(db.query_row(newest, [], |row| row.get(0))?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: u64 = 24 * 3600 * 1000;
    const NOW: EpochMs = 20_000 * DAY;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("db")).unwrap();
        (home, store)
    }

    #[test]
    fn a_clock_that_leaps_for_a_while_is_not_believed() {
        let (_home, store) = store();
        let mut era = store.era(NOW, HOUR).unwrap();
        assert!(store.believes(&mut era, NOW, HOUR).unwrap());
        assert!(!store.believes(&mut era, NOW + 400 * DAY, HOUR).unwrap());
        assert!(!store.believes(&mut era, NOW + 400 * DAY, 2 * HOUR).unwrap());
        let alarms = store.alarms(9).unwrap();
        assert_eq!((alarms.len(), alarms[0].code.as_str()), (1, "host.clock-leapt"), "once");
        // A start with a clock that is wrong.
        let mut later = store.era(NOW + 400 * DAY, HOUR).unwrap();
        assert!(!store.believes(&mut later, NOW + 400 * DAY, HOUR).unwrap());
        assert!(store.believes(&mut later, NOW + DAY, HOUR).unwrap(), "it is right again");
    }

    #[test]
    fn a_clock_that_stays_ahead_is_believed_when_the_host_has_run_so_for_a_day() {
        let (_home, store) = store();
        assert!(store.believes(&mut store.era(NOW, HOUR).unwrap(), NOW, HOUR).unwrap());
        let mut days = 0;
        for start in 0..3 {
            // Each start runs for half a day, and has a clock of its own.
            let now = NOW + (60 + start) * DAY;
            let mut era = store.era(now, Duration::ZERO).unwrap();
            days += u64::from(!store.believes(&mut era, now, Duration::ZERO).unwrap());
            let _ = store.believes(&mut era, now + DAY / 2, 12 * HOUR).unwrap();
        }
        assert_eq!(days, 2);
    }

    #[test]
    fn time_that_the_host_itself_has_seen_pass_is_believed() {
        let (_home, store) = store();
        let mut era = store.era(NOW, HOUR).unwrap();
        assert!(store.believes(&mut era, NOW + 30 * DAY, 721 * HOUR).unwrap());
    }
}
