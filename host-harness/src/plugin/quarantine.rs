//! Components that fail again and again for a connection are set aside for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Faults in a row, by component and connection.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(Mutex<HashMap<(String, String), Row>>);

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    faults: u32,
    until: Option<Duration>,
}

impl Quarantine {
    /// For how long the component is still set aside; none where it may run. When the time is over,
    /// one call is let through: if it fails too, the component is set aside again.
    pub(crate) fn remaining(&self, component: &str, connection: &str, now: Duration) -> Option<Duration> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_empty() {
            return None;
        }
        let row = rows.get(&(component.to_owned(), connection.to_owned()))?;
        row.until?.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Notes how a call ended.
    pub(crate) fn note(&self, component: &str, connection: &str, faulty: bool, most: u32, until: Duration) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !faulty && rows.is_empty() {
            return;
        }
        let key = (component.to_owned(), connection.to_owned());
        if !faulty {
            rows.remove(&key);
            return;
        }
        let row = rows.entry(key).or_default();
        row.faults += 1;
        if row.faults >= most {
            row.until = Some(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn after_five_faults_in_a_row_the_component_is_set_aside_for_this_connection_only() {
        let quarantine = Quarantine::default();
        for _ in 0..5 {
            assert_eq!(quarantine.remaining("c", "a", S), None);
            quarantine.note("c", "a", true, 5, 61 * S);
        }
        assert_eq!(quarantine.remaining("c", "a", S), Some(60 * S));
        assert_eq!(quarantine.remaining("c", "b", S), None);
        assert_eq!(quarantine.remaining("c", "a", 61 * S), None);
        quarantine.note("c", "a", true, 5, 121 * S);
        assert_eq!(quarantine.remaining("c", "a", 61 * S), Some(60 * S));
    }

    #[test]
    fn a_call_that_goes_well_ends_the_row() {
        let quarantine = Quarantine::default();
        for round in 0..20 {
            quarantine.note("c", "a", round % 4 != 3, 5, 60 * S);
        }
        assert_eq!(quarantine.remaining("c", "a", S), None);
    }
}
