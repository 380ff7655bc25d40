//! Credentials: what connections authorize themselves with. Several connections may share one; its secrets lie in the
//! vault under its id.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::Value;

use super::meta::raise_in;
use super::{Alarm, Store, StoreError, json_column};
use crate::clock::EpochMs;

/// One credential, without its secrets.
#[derive(Debug, Clone)]
pub struct StoredCredential {
    /// Opaque, never reused.
    pub id: String,
    /// The manifest's id of the connector.
    pub connector: String,
    /// The manifest's id of the auth method.
    pub method: String,
    /// The form's fields that belong to it, without its secrets: a user name.
    pub form: Value,
    /// The OAuth client that it was granted to, by id.
    pub client: Option<String>,
    /// Grows when a person replaces it.
    pub generation: u64,
    /// When it was made.
    pub created_at_ms: EpochMs,
    /// Of a grant: grows with each set of tokens. 0: not authorized yet.
    pub version: u64,
    /// The scopes granted, where the service says so.
    pub scopes: Option<Vec<String>>,
    /// When the access token expires, where the service says so.
    pub access_until_ms: Option<EpochMs>,
    /// When the tokens came.
    pub renewed_at_ms: Option<EpochMs>,
    /// Why only a person can help, where that is so.
    pub dead: Option<String>,
}

/// What is kept beside a new set of tokens.
#[derive(Debug, Clone)]
pub struct NewTokens {
    /// The scopes granted, where the service says so; what was known stays otherwise.
    pub scopes: Option<Vec<String>>,
    /// When the access token expires, where the service says so.
    pub access_until_ms: Option<EpochMs>,
    /// Now.
    pub renewed_at_ms: EpochMs,
}

const COLUMNS: &str = "id, connector, method, form, client, generation, created_at_ms, version, scopes, \
     access_until_ms, renewed_at_ms, dead";

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredCredential> {
    let scopes: Option<String> = row.get(8)?;
    Ok(StoredCredential {
        id: row.get(0)?,
        connector: row.get(1)?,
        method: row.get(2)?,
        form: json_column(row, 3)?,
        client: row.get(4)?,
        generation: row.get(5)?,
        created_at_ms: row.get(6)?,
        version: row.get(7)?,
        scopes: scopes.and_then(|text| serde_json::from_str(&text).ok()),
        access_until_ms: row.get(9)?,
        renewed_at_ms: row.get(10)?,
        dead: row.get(11)?,
    })
}

impl Store {
    /// Keeps a new credential, without tokens. Its secrets are the vault's.
    pub fn insert_credential(&self, new: &StoredCredential) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO credential (id, connector, method, form, client, generation, created_at_ms, version) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)",
                params![
                    new.id,
                    new.connector,
                    new.method,
                    new.form.to_string(),
                    new.client,
                    new.generation,
                    new.created_at_ms,
                ],
            )?;
            Ok(())
        })
    }

    /// The credential of an id.
    pub fn credential(&self, id: &str) -> Result<Option<StoredCredential>, StoreError> {
        self.read(|db| {
            Ok(db
                .prepare_cached(&format!("SELECT {COLUMNS} FROM credential WHERE id = ?1"))?
                .query_row([id], from_row)
                .optional()?)
        })
    }

    /// All credentials that are grants (authorized or not), oldest first.
    pub fn grants(&self) -> Result<Vec<StoredCredential>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM credential WHERE version > 0 ORDER BY created_at_ms, id");
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([], from_row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// Notes that only a person can help a grant, and raises the alarm that says so. `false`, and nothing of it, where
    /// newer tokens came meanwhile or it was known before.
    pub fn bury_grant(&self, id: &str, version: u64, reason: &str, alarm: &Alarm) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE credential SET dead = ?3 WHERE id = ?1 AND version = ?2 AND dead IS NULL";
            let buried = transaction.execute(sql, params![id, version, reason])? == 1;
            if buried {
                raise_in(transaction, alarm)?;
            }
            Ok(buried)
        })
    }

    /// Notes that tokens were renewed before their time, and that it did not help.
    pub fn renewed_in_vain(&self, id: &str, now: EpochMs) -> Result<(), StoreError> {
        self.note(|transaction| {
            transaction.execute("UPDATE credential SET in_vain_at_ms = ?2 WHERE id = ?1", params![id, now])?;
            Ok(())
        })
    }

    /// When that was last.
    pub fn in_vain_at_ms(&self, id: &str) -> Result<Option<EpochMs>, StoreError> {
        self.read(|db| {
            let mut find = db.prepare_cached("SELECT in_vain_at_ms FROM credential WHERE id = ?1")?;
            Ok(find.query_row([id], |row| row.get(0)).optional()?.flatten())
        })
    }

    /// Forgets a credential that no connection uses, with its secrets.
    pub fn delete_credential_unused(&self, id: &str) -> Result<bool, StoreError> {
        self.write(|transaction| delete_unused(transaction, id))
    }
}

/// A new set of tokens in the place of those of `version`; part of the transaction that keeps the tokens themselves.
/// `false` where others came first: then nothing is changed.
pub(crate) fn supersede(
    transaction: &Transaction<'_>,
    id: &str,
    version: u64,
    tokens: &NewTokens,
) -> Result<bool, StoreError> {
    let scopes = tokens.scopes.as_ref().map(|scopes| Value::from(scopes.clone()).to_string());
    let changed = transaction.execute(
        "UPDATE credential SET version = version + 1, scopes = coalesce(?3, scopes), access_until_ms = ?4, \
         renewed_at_ms = ?5, dead = NULL WHERE id = ?1 AND version = ?2",
        params![id, version, scopes, tokens.access_until_ms, tokens.renewed_at_ms],
    )?;
    Ok(changed == 1)
}

/// A person gave the credential anew: its form, and a generation that tells it from the one before. What is on its way
/// to renew tokens of before comes too late. Part of the transaction that keeps its secrets.
pub(crate) fn replace(transaction: &Transaction<'_>, id: &str, form: &Value) -> Result<(), StoreError> {
    transaction.execute(
        "UPDATE credential SET form = ?2, generation = generation + 1, version = version + (version > 0), dead = NULL, \
         access_until_ms = NULL WHERE id = ?1",
        params![id, form.to_string()],
    )?;
    Ok(())
}

/// Forgets a credential that no connection uses, with its secrets.
pub(super) fn delete_unused(transaction: &Transaction<'_>, id: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM credential WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM connection WHERE credential = ?1)";
    let deleted = transaction.execute(sql, [id])? == 1;
    if deleted {
        transaction.execute("DELETE FROM secret WHERE space = 'connection' AND owner = ?1", [id])?;
    }
    Ok(deleted)
}
