//! Subscriptions, the endpoint their deliveries come to, and what is registered for them.

use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};
use crate::clock::EpochMs;
use crate::plugin::contract::event::Registration;
use crate::plugin::contract_json::{registration_from_json, registration_to_json};

/// A wish to hear of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubscription {
    /// Its id.
    pub id: String,
    /// The connection, by id.
    pub connection: String,
    /// The event card.
    pub card: String,
    /// What narrows it: a JSON text.
    pub filter: String,
    /// The flow it was made for; none where a person made it.
    pub flow: Option<String>,
    /// When it was made.
    pub created_at_ms: EpochMs,
}

/// Where the deliveries of a connection arrive.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The connection, by id.
    pub connection: String,
    /// What stands before `/hooks/`.
    pub public_url: String,
    /// How many deliveries were refused because their proof did not hold.
    pub refused: u64,
    /// When the last of them was refused, and why.
    pub last_refusal: Option<(EpochMs, String)>,
    /// Until when the callback is being registered: the service may challenge it before a proof is known.
    pub registering_until_ms: EpochMs,
}

const ENDPOINT: &str = "connection, public_url, refused, refused_at_ms, refused_reason, registering_until_ms";

fn subscription(row: &Row<'_>) -> rusqlite::Result<StoredSubscription> {
    Ok(StoredSubscription {
        id: row.get(0)?,
        connection: row.get(1)?,
        card: row.get(2)?,
        filter: row.get(3)?,
        flow: row.get(4)?,
        created_at_ms: row.get(5)?,
    })
}

impl Store {
    /// Keeps a subscription; one for the same flow is replaced and keeps its id.
    /// Answers the id under which it is kept.
    pub fn put_subscription(&self, new: &StoredSubscription) -> Result<String, StoreError> {
        self.write(|transaction| {
            Ok(transaction.query_row(
                "INSERT INTO subscription (id, connection, card, filter, flow, created_at_ms) VALUES (?1,?2,?3,?4,?5,?6) \
                 ON CONFLICT (flow) DO UPDATE SET connection = excluded.connection, card = excluded.card, \
                 filter = excluded.filter RETURNING id",
                params![new.id, new.connection, new.card, new.filter, new.flow, new.created_at_ms],
                |row| row.get(0),
            )?)
        })
    }

    /// The subscriptions of one connection, or of all.
    pub fn subscriptions(&self, connection: Option<&str>) -> Result<Vec<StoredSubscription>, StoreError> {
        self.read(|db| {
            // Two texts, so that the one for a connection can use an index.
            let of_one = if connection.is_some() { "WHERE connection = ?1" } else { "WHERE ?1 IS NULL" };
            let mut statement = db.prepare_cached(&format!(
                "SELECT id, connection, card, filter, flow, created_at_ms FROM subscription {of_one} \
                 ORDER BY created_at_ms, id"
            ))?;
            let rows = statement.query_map([connection], subscription)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// One subscription.
    pub fn subscription(&self, id: &str) -> Result<Option<StoredSubscription>, StoreError> {
        self.read(|db| {
            let sql = "SELECT id, connection, card, filter, flow, created_at_ms FROM subscription WHERE id = ?1";
            Ok(db.prepare_cached(sql)?.query_row([id], subscription).optional()?)
        })
    }

    /// Forgets a subscription.
    pub fn delete_subscription(&self, id: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM subscription WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// Keeps where the deliveries of a connection arrive.
    pub fn put_endpoint(&self, connection: &str, token_hash: &str, public_url: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO endpoint (connection, token_hash, public_url) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (connection) DO UPDATE SET token_hash = excluded.token_hash, public_url = excluded.public_url",
                params![connection, token_hash, public_url],
            )?;
            Ok(())
        })
    }

    /// The endpoint of a connection.
    pub fn endpoint(&self, connection: &str) -> Result<Option<Endpoint>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {ENDPOINT} FROM endpoint WHERE connection = ?1");
            Ok(db.prepare_cached(&sql)?.query_row([connection], endpoint).optional()?)
        })
    }

    /// The endpoint whose token has this SHA-256 (hexadecimal).
    pub fn endpoint_by_token_hash(&self, token_hash: &str) -> Result<Option<Endpoint>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {ENDPOINT} FROM endpoint WHERE token_hash = ?1");
            Ok(db.prepare_cached(&sql)?.query_row([token_hash], endpoint).optional()?)
        })
    }

    /// A number that grows with every change of what deliveries are proved with: connections, endpoints, registrations,
    /// secrets.
    pub fn proving_version(&self) -> Result<u64, StoreError> {
        self.read(proving_version)
    }

    /// Counts deliveries whose proof did not hold: how many, when the last one came, and why it was refused.
    pub fn count_refused(&self, connection: &str, count: u64, at: EpochMs, reason: &str) -> Result<(), StoreError> {
        // Not waited for: who sends forged deliveries shall not keep the disk busy.
        self.note(|transaction| {
            let mut add = transaction.prepare_cached(
                "UPDATE endpoint SET refused = refused + ?4, refused_at_ms = ?2, refused_reason = ?3 \
                 WHERE connection = ?1",
            )?;
            add.execute(params![connection, at, reason, count])?;
            Ok(())
        })
    }

    /// Notes until when the callback of a connection is being registered; 0 when that is over.
    pub fn put_registering(&self, connection: &str, until: EpochMs) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE endpoint SET registering_until_ms = ?2 WHERE connection = ?1";
            transaction.execute(sql, params![connection, until])?;
            Ok(())
        })
    }

    /// Replaces what is registered for a connection. Callbacks are kept without their token.
    pub fn put_registrations(&self, connection: &str, registrations: &[Registration]) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM registration WHERE connection = ?1", [connection])?;
            for one in registrations {
                transaction.execute(
                    "INSERT INTO registration (connection, id, record) VALUES (?1, ?2, ?3)",
                    params![connection, one.id, registration_to_json(one)],
                )?;
            }
            Ok(())
        })
    }

    /// What is registered for a connection; callbacks without their token.
    pub fn registrations(&self, connection: &str) -> Result<Vec<Registration>, StoreError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT record FROM registration WHERE connection = ?1 ORDER BY id")?;
            let mut registrations = Vec::new();
            for row in statement.query_map([connection], |row| row.get::<_, String>(0))? {
                let read = registration_from_json(&row?).map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
                })?;
                registrations.push(read);
            }
            Ok(registrations)
        })
    }
}

fn endpoint(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    let refused_at: Option<EpochMs> = row.get(3)?;
    Ok(Endpoint {
        connection: row.get(0)?,
        public_url: row.get(1)?,
        refused: row.get(2)?,
        last_refusal: refused_at.zip(row.get(4)?),
        registering_until_ms: row.get(5)?,
    })
}

pub(super) fn proving_version(db: &rusqlite::Connection) -> Result<u64, StoreError> {
    Ok(db.prepare_cached("SELECT version FROM proving")?.query_row([], |row| row.get(0))?)
}
