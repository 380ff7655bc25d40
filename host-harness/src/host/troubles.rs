//! What went wrong with the deliveries of a connection, for whoever looks after it.

use serde_json::{Value, json};

use super::{Host, HostError, off_thread};
use crate::clock::EpochMs;
use crate::store::{Alarm, StoredConnection};

/// How many alarms are looked through.
const MOST_ALARMS: u32 = 1000;

/// What went wrong with the deliveries of one connection.
#[derive(Debug, Clone)]
pub struct DeliveryTroubles {
    /// How many were refused because their proof did not hold.
    pub refused: u64,
    /// When the last of them was refused, in milliseconds since 1970, and why.
    pub last_refusal: Option<(EpochMs, String)>,
    /// What somebody should look at, newest first: a delivery that came twice with different bodies, one that was
    /// acknowledged and could not be read.
    pub alarms: Vec<Alarm>,
}

impl DeliveryTroubles {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.refused == 0 && self.alarms.is_empty()
    }

    /// `{refused, last-refusal: {at-ms, reason} | null, alarms, last-alarm: {at-ms, code, message} | null}`.
    pub fn to_json(&self) -> Value {
        let refusal = self.last_refusal.as_ref().map(|(at, reason)| json!({ "at-ms": at, "reason": reason }));
        let alarm = self.alarms.first();
        let alarm = alarm.map(|one| json!({ "at-ms": one.at_ms, "code": one.code, "message": one.message }));
        json!({
            "refused": self.refused,
            "last-refusal": refusal,
            "alarms": self.alarms.len(),
            "last-alarm": alarm,
        })
    }
}

impl Host {
    /// What went wrong with the deliveries of a connection so far.
    pub fn delivery_troubles(&self, connection: &StoredConnection) -> Result<DeliveryTroubles, HostError> {
        let endpoint = off_thread(|| self.store.endpoint(&connection.id))?;
        let mut alarms = off_thread(|| self.store.alarms(MOST_ALARMS))?;
        alarms.retain(|one| one.connection.as_ref() == Some(&connection.id));
        let refused = endpoint.as_ref().map_or(0, |endpoint| endpoint.refused);
        Ok(DeliveryTroubles { refused, last_refusal: endpoint.and_then(|endpoint| endpoint.last_refusal), alarms })
    }
}
