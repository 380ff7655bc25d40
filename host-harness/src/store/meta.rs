//! Facts about this home, and alarms.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};
use crate::clock::EpochMs;

/// The fact by which the vault's key is known.
pub(crate) const KEY_MARK: &str = "vault-key-mark";

/// Something somebody should look at.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alarm {
    /// When it was raised.
    pub at_ms: EpochMs,
    /// The connection concerned, by id.
    pub connection: Option<String>,
    /// A stable code, `host.{name}`.
    pub code: String,
    /// One sentence.
    pub message: String,
}

impl Store {
    /// The value of a fact, which is `make`'s when there is none yet.
    pub fn meta_or(&self, key: &str, make: impl FnOnce() -> String) -> Result<String, StoreError> {
        self.write(|transaction| {
            let kept: Option<String> =
                transaction.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?;
            if let Some(value) = kept {
                return Ok(value);
            }
            let value = make();
            transaction.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", params![key, value])?;
            Ok(value)
        })
    }

    /// The value of a fact; none where there is none.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.read(|db| {
            let mut find = db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            Ok(find.query_row([key], |row| row.get(0)).optional()?)
        })
    }

    /// Keeps a fact, in place of what was known.
    pub fn put_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql =
                "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            transaction.execute(sql, params![key, value])?;
            Ok(())
        })
    }

    /// Raises an alarm.
    pub fn raise(&self, alarm: &Alarm) -> Result<(), StoreError> {
        self.write(|transaction| raise_in(transaction, alarm))
    }

    /// Raises an alarm that may come up again and again; nothing where one that says the same was raised before.
    pub fn raise_once(&self, alarm: &Alarm) -> Result<(), StoreError> {
        self.write(|transaction| {
            let told: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM alarm WHERE connection IS ?1 AND code = ?2 AND message = ?3)",
                params![alarm.connection, alarm.code, alarm.message],
                |row| row.get(0),
            )?;
            if told { Ok(()) } else { raise_in(transaction, alarm) }
        })
    }

    /// Takes back the alarms of these codes about these connections: what they told of is put right.
    pub fn clear_alarms(&self, connections: &[&str], codes: &[&str]) -> Result<usize, StoreError> {
        let list = |texts: &[&str]| serde_json::Value::from(texts.to_vec()).to_string();
        self.write(|transaction| {
            let sql = "DELETE FROM alarm WHERE connection IN (SELECT value FROM json_each(?1)) \
                       AND code IN (SELECT value FROM json_each(?2))";
            Ok(transaction.execute(sql, params![list(connections), list(codes)])?)
        })
    }

    /// Takes back the alarms of a code whose message begins so.
    pub fn clear_alarms_of(&self, code: &str, beginning: &str) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let sql = "DELETE FROM alarm WHERE code = ?1 AND substr(message, 1, length(?2)) = ?2";
            Ok(transaction.execute(sql, params![code, beginning])?)
        })
    }

    /// Raises an alarm; nothing where one of its code whose message begins the same was raised since then.
    pub fn raise_unless_since(&self, alarm: &Alarm, beginning: &str, since: EpochMs) -> Result<(), StoreError> {
        self.write(|transaction| {
            let told: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM alarm WHERE code = ?1 AND at_ms > ?2 \
                 AND substr(message, 1, length(?3)) = ?3)",
                params![alarm.code, since, beginning],
                |row| row.get(0),
            )?;
            if told { Ok(()) } else { raise_in(transaction, alarm) }
        })
    }

    /// All alarms, newest first, at most `limit`.
    pub fn alarms(&self, limit: u32) -> Result<Vec<Alarm>, StoreError> {
        self.read(|db| {
            let mut statement =
                db.prepare("SELECT at_ms, connection, code, message FROM alarm ORDER BY id DESC LIMIT ?1")?;
            let rows = statement
                .query_map([limit], |row| {
                    Ok(Alarm { at_ms: row.get(0)?, connection: row.get(1)?, code: row.get(2)?, message: row.get(3)? })
                })?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }
}

pub(super) fn raise_in(db: &rusqlite::Connection, alarm: &Alarm) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO alarm (at_ms, connection, code, message) VALUES (?1, ?2, ?3, ?4)",
        params![alarm.at_ms, alarm.connection, alarm.code, alarm.message],
    )?;
    Ok(())
}
