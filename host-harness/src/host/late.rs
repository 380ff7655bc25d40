//! Events that come so late that nobody can tell whether they started something before.

use super::{Host, HostError, off_thread};
use crate::store::{Alarm, NewEvent, StoredDelivery};

impl Host {
    /// Leaves out what happened before the ids were kept by which it would be known, and raises an alarm for it: a
    /// delivery that was captured long ago and is sent again looks just so.
    pub(super) fn without_late(
        &self,
        delivery: &StoredDelivery,
        mut events: Vec<NewEvent>,
    ) -> Result<Vec<NewEvent>, HostError> {
        let now = self.clock.now_ms();
        let (keeping, before) = (self.store.keeping(), events.len());
        let known_from = keeping.ids_from(now);
        // Zero is what services write that know no time.
        events.retain(|one| one.event.time_ms.is_none_or(|time| time == 0 || time >= known_from));
        let late = before - events.len();
        if late > 0 {
            let message = format!(
                "delivery {} brought {late} events that are older than {} days, for which ids are kept: nothing was started",
                delivery.id,
                keeping.ids.as_secs() / (24 * 3600)
            );
            tracing::warn!(delivery = delivery.id, late, "events came too late to start anything");
            let connection = Some(delivery.connection.clone());
            let alarm = Alarm { at_ms: now, connection, code: "host.event-late".into(), message };
            off_thread(|| self.store.raise_once(&alarm))?;
        }
        Ok(events)
    }
}
