//! Credentials: what connections authorize themselves with. Several connections may share one; its secrets lie in the
//! vault under its id.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
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
    /// How its tokens could not be renewed, where that may pass.
    pub paused: Option<Pause>,
}

impl StoredCredential {
    /// Which tokens it has.
    pub(crate) fn edition(&self) -> Edition {
        Edition { version: self.version, generation: self.generation }
    }
}

/// That tokens could not be renewed, and nobody asks again for a while: no process of the home, and none that is
/// started meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pause {
    /// Since when.
    pub at_ms: EpochMs,
    /// For how long.
    pub for_ms: u64,
    /// How often they could not, one time after the other.
    pub times: u32,
    /// Why.
    pub reason: String,
    /// Whether it was the OAuth client that was refused.
    #[serde(default)]
    pub client: bool,
}

impl Pause {
    /// How long it lasts yet; zero where it is over. One that began later than now is of a clock that went wrong.
    pub(crate) fn left(&self, now: EpochMs) -> Duration {
        let gone = now.checked_sub(self.at_ms);
        Duration::from_millis(gone.map_or(0, |gone| self.for_ms.saturating_sub(gone)))
    }
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
     access_until_ms, renewed_at_ms, dead, paused";

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredCredential> {
    let scopes: Option<String> = row.get(8)?;
    let paused: Option<String> = row.get(12)?;
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
        paused: paused.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

/// What a new connection needs to be there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// The credential that it shares.
    Credential,
    /// The OAuth client of its credential.
    Client,
}

/// Whether something of this id is still there, within a transaction.
pub(crate) fn is_in(transaction: &Transaction<'_>, what: Kept, id: &str) -> Result<bool, StoreError> {
    let sql = match what {
        Kept::Credential => "SELECT count(*) FROM credential WHERE id = ?1",
        Kept::Client => "SELECT count(*) FROM oauth_client WHERE id = ?1",
    };
    Ok(transaction.query_row(sql, [id], |row| row.get::<_, u64>(0))? > 0)
}

/// Keeps a new credential, without tokens; part of the transaction that keeps its secrets.
pub(crate) fn insert(transaction: &Transaction<'_>, new: &StoredCredential) -> Result<(), StoreError> {
    transaction.execute(
        "INSERT INTO credential (id, connector, method, form, client, generation, created_at_ms, version) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)",
        params![new.id, new.connector, new.method, new.form.to_string(), new.client, new.generation, new.created_at_ms],
    )?;
    Ok(())
}

impl Store {
    /// Keeps a new credential, without tokens. Its secrets are the vault's.
    pub fn insert_credential(&self, new: &StoredCredential) -> Result<(), StoreError> {
        self.write(|transaction| insert(transaction, new))
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
    /// newer tokens came meanwhile, or a person gave it anew, or it was known before.
    pub fn bury_grant(&self, id: &str, of: Edition, reason: &str, alarm: &Alarm) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE credential SET dead = ?4, paused = NULL \
                       WHERE id = ?1 AND version = ?2 AND generation = ?3 AND dead IS NULL";
            let buried = transaction.execute(sql, params![id, of.version, of.generation, reason])? == 1;
            if buried {
                raise_in(transaction, alarm)?;
            }
            Ok(buried)
        })
    }

    /// Notes that tokens could not be renewed. `false`, and nothing of it, where there are others by now.
    pub(crate) fn pause_grant(&self, id: &str, of: Edition, pause: &Pause) -> Result<bool, StoreError> {
        let pause = serde_json::to_string(pause).unwrap_or_default();
        self.write(|transaction| {
            let sql = "UPDATE credential SET paused = ?4 WHERE id = ?1 AND version = ?2 AND generation = ?3";
            Ok(transaction.execute(sql, params![id, of.version, of.generation, pause])? == 1)
        })
    }

    /// Whoever wants tokens asks again: a person says so.
    pub fn resume_grant(&self, id: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute("UPDATE credential SET paused = NULL WHERE id = ?1 AND paused IS NOT NULL", [id])?;
            Ok(())
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

/// Which of the tokens of a credential are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition {
    /// Grows with each set of tokens.
    pub version: u64,
    /// Grows when a person replaces the credential.
    pub generation: u64,
}

impl Edition {
    /// Whether others came since. Both only grow.
    pub(crate) fn is_newer_than(self, other: Self) -> bool {
        self.version > other.version || self.generation > other.generation
    }
}

/// A new set of tokens in the place of those of an edition; part of the transaction that keeps the tokens themselves.
/// `false` where others came first: then nothing is changed.
pub(crate) fn supersede(
    transaction: &Transaction<'_>,
    id: &str,
    of: Edition,
    tokens: &NewTokens,
) -> Result<bool, StoreError> {
    let scopes = tokens.scopes.as_ref().map(|scopes| Value::from(scopes.clone()).to_string());
    let changed = transaction.execute(
        "UPDATE credential SET version = version + 1, scopes = coalesce(?3, scopes), access_until_ms = ?4, \
         renewed_at_ms = ?5, dead = NULL, paused = NULL WHERE id = ?1 AND version = ?2 AND generation = ?6",
        params![id, of.version, scopes, tokens.access_until_ms, tokens.renewed_at_ms, of.generation],
    )?;
    Ok(changed == 1)
}

/// A person gave the credential anew: its form, and a generation that tells it from the one before. What is on its way
/// to renew tokens of before comes too late. Part of the transaction that keeps its secrets.
pub(crate) fn replace(transaction: &Transaction<'_>, id: &str, form: &Value) -> Result<(), StoreError> {
    transaction.execute(
        "UPDATE credential SET form = ?2, generation = generation + 1, version = version + (version > 0), dead = NULL, \
         paused = NULL, access_until_ms = NULL WHERE id = ?1",
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
