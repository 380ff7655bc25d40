//! Connections: what a person made, what was pinned, what was last found out about it.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::Value;

use super::dead_letters::close_all;
use super::{Store, StoreError, json_column};
use crate::clock::EpochMs;

/// An origin that a connection may reach, as the person confirmed it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredOrigin {
    /// `https://example.test/path/`.
    pub url: String,
    /// Whether the credential is attached to requests that go there.
    pub credential: bool,
    /// What is there.
    pub purpose: String,
}

/// Whose connection it is, once that was proved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StoredIdentity {
    /// The tenant's lasting id.
    pub tenant: String,
    /// The account's lasting id within the tenant.
    pub account: String,
    /// What a person reads.
    pub label: String,
}

/// One connection.
#[derive(Debug, Clone)]
pub struct StoredConnection {
    /// Opaque, never reused.
    pub id: String,
    /// The person's name for it, unique.
    pub name: String,
    /// Path of the component.
    pub component: String,
    /// The manifest's id of the connector.
    pub connector: String,
    /// The manifest's id of the auth method.
    pub method: String,
    /// The form without its secret fields and without what belongs to the credential.
    pub form: Value,
    /// The credential, by id. Other connections may share it.
    pub credential: String,
    /// The connector's settings: a JSON text.
    pub settings: String,
    /// The pinned origins.
    pub origins: Vec<StoredOrigin>,
    /// Whether a person still has to choose which of the credential's sites it is for.
    pub site_open: bool,
    /// Whether private addresses and plain `http` are allowed.
    pub allow_private: bool,
    /// The certificate authorities (PEM) that it trusts instead of the system's.
    pub authorities: Option<String>,
    /// Whether its last health report had no failure.
    pub proven: bool,
    /// Whose it is.
    pub identity: Option<StoredIdentity>,
    /// The last health report.
    pub health: Option<Value>,
    /// The connector's memo and when it was left.
    pub memo: Option<(String, EpochMs)>,
    /// When it was made.
    pub created_at_ms: EpochMs,
    /// Grows with each change: what was read before one is not written over it.
    pub revision: u64,
}

const COLUMNS: &str = "id, name, component, connector, method, form, settings, origins, allow_private, proven, \
     tenant, account, label, health, memo, memo_at_ms, created_at_ms, credential, authorities, \
     revision, site_open";

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredConnection> {
    let identity = match (row.get(10)?, row.get(11)?, row.get(12)?) {
        (Some(tenant), Some(account), Some(label)) => Some(StoredIdentity { tenant, account, label }),
        _ => None,
    };
    let memo = match (row.get::<_, Option<String>>(14)?, row.get::<_, Option<EpochMs>>(15)?) {
        (Some(data), Some(at)) => Some((data, at)),
        _ => None,
    };
    let health: Option<String> = row.get(13)?;
    Ok(StoredConnection {
        id: row.get(0)?,
        name: row.get(1)?,
        component: row.get(2)?,
        connector: row.get(3)?,
        method: row.get(4)?,
        form: json_column(row, 5)?,
        settings: row.get(6)?,
        origins: json_column(row, 7)?,
        allow_private: row.get(8)?,
        proven: row.get(9)?,
        identity,
        health: health.and_then(|text| serde_json::from_str(&text).ok()),
        memo,
        created_at_ms: row.get(16)?,
        credential: row.get(17)?,
        authorities: row.get(18)?,
        revision: row.get(19)?,
        site_open: row.get(20)?,
    })
}

/// Keeps a new connection; part of the transaction that keeps its credential. `false` where its name is taken.
pub(crate) fn insert(transaction: &Transaction<'_>, new: &StoredConnection) -> Result<bool, StoreError> {
    let inserted = transaction.execute(
        "INSERT INTO connection (id, name, component, connector, method, form, settings, origins, \
         allow_private, proven, created_at_ms, updated_at_ms, credential, authorities, site_open) \
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?11,?12,?13,?14) ON CONFLICT (name) DO NOTHING",
        params![
            new.id,
            new.name,
            new.component,
            new.connector,
            new.method,
            new.form.to_string(),
            new.settings,
            serde_json::to_string(&new.origins).unwrap_or_default(),
            new.allow_private,
            new.proven,
            new.created_at_ms,
            new.credential,
            new.authorities,
            new.site_open,
        ],
    )?;
    Ok(inserted == 1)
}

impl Store {
    /// Keeps a new connection. `false` where its name is taken.
    pub fn insert_connection(&self, new: &StoredConnection) -> Result<bool, StoreError> {
        self.write(|transaction| insert(transaction, new))
    }

    /// The connection of a name.
    pub fn connection_by_name(&self, name: &str) -> Result<Option<StoredConnection>, StoreError> {
        self.read(|db| {
            Ok(db
                .prepare_cached(&format!("SELECT {COLUMNS} FROM connection WHERE name = ?1"))?
                .query_row([name], from_row)
                .optional()?)
        })
    }

    /// The connection of an id.
    pub fn connection_by_id(&self, id: &str) -> Result<Option<StoredConnection>, StoreError> {
        self.read(|db| {
            Ok(db
                .prepare_cached(&format!("SELECT {COLUMNS} FROM connection WHERE id = ?1"))?
                .query_row([id], from_row)
                .optional()?)
        })
    }

    /// All connections, by name.
    pub fn connections(&self) -> Result<Vec<StoredConnection>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM connection ORDER BY name"))?;
            let rows = statement.query_map([], from_row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// Keeps what a check found out of a connection as it was read for it; `false`, and nothing of it, where it was
    /// changed meanwhile. An identity once proved stays when a later check fails.
    pub fn save_health(
        &self,
        checked: &StoredConnection,
        settings: &str,
        identity: Option<&StoredIdentity>,
        health: &Value,
        proven: bool,
        now: EpochMs,
    ) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let kept = transaction.execute(
                "UPDATE connection SET settings = ?2, health = ?3, proven = ?4, updated_at_ms = ?5, \
                 revision = revision + (settings IS NOT ?2), \
                 tenant = coalesce(?6, tenant), account = coalesce(?7, account), label = coalesce(?8, label) \
                 WHERE id = ?1 AND revision = ?9",
                params![
                    checked.id,
                    settings,
                    health.to_string(),
                    proven,
                    now,
                    identity.map(|it| &it.tenant),
                    identity.map(|it| &it.account),
                    identity.map(|it| &it.label),
                    checked.revision,
                ],
            )?;
            Ok(kept == 1)
        })
    }

    /// Keeps that no report could be made of a connection as it was read for it, unless it was changed meanwhile.
    pub fn save_no_health(&self, checked: &StoredConnection, health: &Value, now: EpochMs) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql =
                "UPDATE connection SET health = ?2, proven = 0, updated_at_ms = ?3 WHERE id = ?1 AND revision = ?4";
            transaction.execute(sql, params![checked.id, health.to_string(), now, checked.revision])?;
            Ok(())
        })
    }

    /// Forgets the reports of the connections that share a credential: it is another one from now on.
    pub fn uncheck(&self, credential: &str) -> Result<(), StoreError> {
        self.write(|transaction| uncheck(transaction, credential))
    }

    /// Pins other origins in the place of some. `false` where somebody has pinned others meanwhile.
    pub fn replace_origins(&self, id: &str, from: &[StoredOrigin], to: &[StoredOrigin]) -> Result<bool, StoreError> {
        let text = |origins: &[StoredOrigin]| serde_json::to_string(origins).unwrap_or_default();
        self.write(|transaction| {
            let sql = "UPDATE connection SET origins = ?3, revision = revision + 1 WHERE id = ?1 AND origins = ?2";
            Ok(transaction.execute(sql, params![id, text(from), text(to)])? == 1)
        })
    }

    /// Keeps what a person changed of a connection; `false`, and nothing of it, where it was changed since it was read.
    /// Its memo goes: it may be about what was before.
    pub fn change_connection(&self, changed: &StoredConnection, now: EpochMs) -> Result<bool, StoreError> {
        self.write(|transaction| change(transaction, changed, now))
    }

    /// Keeps the connector's memo.
    pub fn save_memo(&self, id: &str, memo: &str, now: EpochMs) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction
                .execute("UPDATE connection SET memo = ?2, memo_at_ms = ?3 WHERE id = ?1", params![id, memo, now])?;
            Ok(())
        })
    }

    /// Forgets a connection with its subscriptions, registrations and their secrets, and its credential where no other
    /// connection shares it. What it brought (events, runs) stays; deliveries that were not read are given up for this
    /// reason. Answers how many those are.
    pub fn delete_connection(&self, id: &str, reason: &Value) -> Result<usize, StoreError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM secret WHERE owner = ?1 AND space = 'registration'", [id])?;
            // What the service refused counts there, whoever is gone here: others of the account stay held, and are told.
            let sql = "UPDATE alarm SET connection = coalesce((SELECT other.id FROM connection one JOIN connection other \
                       ON other.guard_account = one.guard_account AND other.id <> one.id WHERE one.id = ?1 \
                       ORDER BY other.name LIMIT 1), connection) WHERE connection = ?1 AND code = 'host.account-held'";
            transaction.execute(sql, [id])?;
            transaction.execute("DELETE FROM alarm WHERE connection = ?1 AND code = 'host.account-held'", [id])?;
            let sql = "DELETE FROM connection WHERE id = ?1 RETURNING credential";
            let credential: Option<String> = transaction.query_row(sql, [id], |row| row.get(0)).optional()?;
            if let Some(credential) = credential {
                super::credentials::delete_unused(transaction, &credential)?;
            }
            close_all(transaction, id, reason)
        })
    }

    /// Keeps which account the lockout guard counts a connection's logins for, and by what it knows the credential.
    pub fn save_account(&self, id: &str, account: &str, credential: &str) -> Result<(), StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM connection \
                   WHERE id = ?1 AND (guard_account, guard_credential) IS NOT (?2, ?3))";
        let values = params![id, account, credential];
        // Written where it is not known yet, which is seldom.
        if self
            .read(|db| Ok::<_, StoreError>(db.prepare_cached(sql)?.query_row(values, |row| row.get::<_, bool>(0))?))?
        {
            let sql = "UPDATE connection SET guard_account = ?2, guard_credential = ?3 WHERE id = ?1";
            self.note(|transaction| Ok::<_, StoreError>(transaction.execute(sql, values).map(drop)?))?;
        }
        Ok(())
    }

    /// The connections, by name, of which nobody knows their account for the lockout guard: they were not used yet, or
    /// not since they were changed.
    pub fn without_account(&self) -> Result<Vec<String>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT name FROM connection WHERE guard_account IS NULL ORDER BY name")?;
            let rows = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// The connections that share a credential, by name.
    pub fn connections_sharing(&self, credential: &str) -> Result<Vec<StoredConnection>, StoreError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM connection WHERE credential = ?1 ORDER BY name");
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([credential], from_row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }
}

/// Forgets what was reported of connections with the credential that they had. A check that began before comes too late.
pub(crate) fn uncheck(transaction: &rusqlite::Transaction<'_>, credential: &str) -> Result<(), StoreError> {
    let sql = "UPDATE connection SET proven = 0, health = NULL, revision = revision + 1 WHERE credential = ?1";
    transaction.execute(sql, [credential])?;
    Ok(())
}

/// Keeps what a person changed of a connection: its form, and what follows from it. `false` where it was changed since
/// it was read.
pub(crate) fn change(
    transaction: &rusqlite::Transaction<'_>,
    changed: &StoredConnection,
    now: EpochMs,
) -> Result<bool, StoreError> {
    let kept = transaction.execute(
        "UPDATE connection SET form = ?2, settings = ?3, origins = ?4, authorities = ?5, memo = NULL, \
         memo_at_ms = NULL, updated_at_ms = ?6, site_open = ?7, revision = revision + 1, \
         guard_account = NULL, guard_credential = NULL, allow_private = ?9 \
         WHERE id = ?1 AND revision = ?8",
        params![
            changed.id,
            changed.form.to_string(),
            changed.settings,
            serde_json::to_string(&changed.origins).unwrap_or_default(),
            changed.authorities,
            now,
            changed.site_open,
            changed.revision,
            changed.allow_private,
        ],
    )?;
    Ok(kept == 1)
}
