//! Deliveries: kept before they are acknowledged, taken up again until they are processed.

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::meta::{Alarm, raise_in};
use super::subscriptions::proving_version;
use super::{Store, StoreError, json_column};
use crate::clock::EpochMs;

/// One proved delivery.
#[derive(Debug, Clone)]
pub struct StoredDelivery {
    /// The host's id of it.
    pub id: String,
    /// The connection, by id.
    pub connection: String,
    /// The service's id of the registration.
    pub registration: String,
    /// The id that is the same in every attempt, where the service gives one.
    pub service_id: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The query, without what proved it.
    pub query: String,
    /// The headers, without what proved it.
    pub headers: Vec<(String, String)>,
    /// The body as it arrived.
    pub body: Vec<u8>,
    /// SHA-256 of the body, hexadecimal.
    pub sha256: String,
    /// When it arrived.
    pub received_at_ms: EpochMs,
    /// How often it was processed in vain.
    pub attempts: u32,
}

/// What became of a delivery that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is new, and on disk.
    New,
    /// It was here before, byte for byte.
    Again,
    /// One with its id was here before, and said something else: the first one counts.
    Differs,
}

impl Store {
    /// Keeps a delivery, once per connection and service id. A second one that says something else raises an alarm.
    pub fn keep_delivery(&self, new: &StoredDelivery) -> Result<Kept, StoreError> {
        self.write(|transaction| keep_in(transaction, new))
    }

    /// Keeps many at once, with one sync: all of them or none. Each comes with the version of what was registered when
    /// it was proved; where that was changed since it is not kept, and none stands in its place.
    pub fn keep_proved<'a>(
        &self,
        new: impl IntoIterator<Item = (u64, &'a StoredDelivery)>,
    ) -> Result<Vec<Option<Kept>>, StoreError> {
        self.write(|transaction| {
            let now = proving_version(transaction)?;
            let keep = |(version, one)| if version == now { keep_in(transaction, one).map(Some) } else { Ok(None) };
            new.into_iter().map(keep).collect()
        })
    }

    /// When the last delivery of a connection came that is kept.
    pub fn last_delivery_ms(&self, connection: &str) -> Result<Option<EpochMs>, StoreError> {
        self.read(|db| {
            let sql = "SELECT max(received_at_ms) FROM delivery WHERE connection = ?1";
            Ok(db.query_row(sql, [connection], |row| row.get(0))?)
        })
    }

    /// How many deliveries wait to be processed, counted up to `most`.
    pub fn waiting_deliveries(&self, most: usize) -> Result<usize, StoreError> {
        self.read(|db| {
            let sql = "SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 'pending' LIMIT ?1)";
            Ok(db.prepare_cached(sql)?.query_row([most], |row| row.get(0))?)
        })
    }

    /// Deliveries that wait to be processed and are due, the longest due first. Those with an id in `busy` are left out.
    #[cfg(test)]
    pub(crate) fn pending_deliveries(
        &self,
        now: EpochMs,
        limit: usize,
        busy: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<String>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id FROM delivery WHERE state = 'pending' AND due_at_ms <= ?1 \
                 ORDER BY due_at_ms, received_at_ms, rowid",
            )?;
            let mut rows = statement.query([now])?;
            let mut ids = Vec::new();
            while ids.len() < limit {
                let Some(row) = rows.next()? else { break };
                let id: String = row.get(0)?;
                if !busy(&id) {
                    ids.push(id);
                }
            }
            Ok(ids)
        })
    }

    /// When the next delivery that waits for another attempt is due.
    pub fn next_delivery_due(&self, now: EpochMs) -> Result<Option<EpochMs>, StoreError> {
        self.read(|db| {
            let sql = "SELECT min(due_at_ms) FROM delivery WHERE state = 'pending' AND due_at_ms > ?1";
            Ok(db.prepare_cached(sql)?.query_row([now], |row| row.get(0))?)
        })
    }

    /// One delivery.
    pub fn delivery(&self, id: &str) -> Result<Option<StoredDelivery>, StoreError> {
        self.read(|db| {
            let sql = "SELECT id, connection, registration, service_id, method, query, headers, body, sha256, \
                       received_at_ms, attempts FROM delivery WHERE id = ?1";
            Ok(db
                .prepare_cached(sql)?
                .query_row([id], |row| {
                    Ok(StoredDelivery {
                        id: row.get(0)?,
                        connection: row.get(1)?,
                        registration: row.get(2)?,
                        service_id: row.get(3)?,
                        method: row.get(4)?,
                        query: row.get(5)?,
                        headers: json_column(row, 6)?,
                        body: row.get(7)?,
                        sha256: row.get(8)?,
                        received_at_ms: row.get(9)?,
                        attempts: row.get(10)?,
                    })
                })
                .optional()?)
        })
    }

    /// Notes that processing failed; it is tried again at `again`, or given up with an alarm where that is none.
    pub fn delivery_failed(
        &self,
        delivery: &StoredDelivery,
        failure: &Value,
        again: Option<EpochMs>,
        now: EpochMs,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE delivery SET attempts = attempts + 1, failure = ?2, state = ?3, due_at_ms = ?4 \
                 WHERE id = ?1 AND state = 'pending'",
                params![
                    delivery.id,
                    failure.to_string(),
                    if again.is_some() { "pending" } else { "failed" },
                    again.unwrap_or(0)
                ],
            )?;
            // One that was given up while it was read stays so.
            if changed == 1 && again.is_none() {
                let alarm = Alarm {
                    at_ms: now,
                    connection: Some(delivery.connection.clone()),
                    code: "host.delivery-failed".into(),
                    message: format!("delivery {} was acknowledged and could not be read", delivery.id),
                };
                raise_in(transaction, &alarm)?;
            }
            Ok(())
        })
    }
}

fn keep_in(db: &rusqlite::Connection, new: &StoredDelivery) -> Result<Kept, StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO delivery (id, connection, registration, service_id, method, query, headers, body, sha256, \
         received_at_ms, due_at_ms, state) SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?10,'pending' \
         WHERE NOT EXISTS (SELECT 1 FROM seen WHERE kind = 'delivery' AND owner = ?2 AND id = ?4) \
         ON CONFLICT (connection, service_id) DO NOTHING",
    )?;
    let inserted = insert.execute(params![
        new.id,
        new.connection,
        new.registration,
        new.service_id,
        new.method,
        new.query,
        serde_json::to_string(&new.headers).unwrap_or_default(),
        new.body,
        new.sha256,
        new.received_at_ms,
    ])?;
    if inserted == 1 {
        return Ok(Kept::New);
    }
    let mut find = db.prepare_cached(
        "SELECT sha256 FROM delivery WHERE connection = ?1 AND service_id = ?2 \
         UNION ALL SELECT mark FROM seen WHERE kind = 'delivery' AND owner = ?1 AND id = ?2",
    )?;
    let first: String = find.query_row(params![new.connection, new.service_id], |row| row.get(0))?;
    if first == new.sha256 {
        return Ok(Kept::Again);
    }
    let alarm = Alarm {
        at_ms: new.received_at_ms,
        connection: Some(new.connection.clone()),
        code: "host.delivery-differs".into(),
        message: "a delivery came twice under one id with different bodies; the first one counts".into(),
    };
    raise_in(db, &alarm)?;
    Ok(Kept::Differs)
}
