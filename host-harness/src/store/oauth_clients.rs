//! OAuth clients: what an operator registered at a service once, for many connections. Their secrets lie in the vault,
//! in the name space of apps, under their ids.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::Value;

use super::{Store, StoreError, json_column};
use crate::clock::EpochMs;

/// One OAuth client, or one application link, without its secrets.
#[derive(Debug, Clone)]
pub struct StoredOauthClient {
    /// Opaque, never reused.
    pub id: String,
    /// The person's name for it, unique.
    pub name: String,
    /// The manifest's id of the connector.
    pub connector: String,
    /// The manifest's id of the auth method.
    pub method: String,
    /// The method's app form without its secret fields.
    pub form: Value,
    /// Where the browser comes back to.
    pub callback: String,
    /// The ids of the scopes to ask for.
    pub scopes: Vec<String>,
    /// The public key (PEM), where the host made a key pair for it.
    pub public_key: Option<String>,
    /// When it was made.
    pub created_at_ms: EpochMs,
}

const COLUMNS: &str = "id, name, connector, method, form, callback, scopes, public_key, created_at_ms";

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredOauthClient> {
    let scopes: String = row.get(6)?;
    Ok(StoredOauthClient {
        id: row.get(0)?,
        name: row.get(1)?,
        connector: row.get(2)?,
        method: row.get(3)?,
        form: json_column(row, 4)?,
        callback: row.get(5)?,
        scopes: serde_json::from_str(&scopes).unwrap_or_default(),
        public_key: row.get(7)?,
        created_at_ms: row.get(8)?,
    })
}

/// Keeps a new OAuth client; part of the transaction that keeps its secrets. `false` where its name is taken.
pub(crate) fn insert(transaction: &Transaction<'_>, new: &StoredOauthClient) -> Result<bool, StoreError> {
    let inserted = transaction.execute(
        &format!(
            "INSERT INTO oauth_client ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
             ON CONFLICT (name) DO NOTHING"
        ),
        params![
            new.id,
            new.name,
            new.connector,
            new.method,
            new.form.to_string(),
            new.callback,
            Value::from(new.scopes.clone()).to_string(),
            new.public_key,
            new.created_at_ms,
        ],
    )?;
    Ok(inserted == 1)
}

/// What a person changes of an OAuth client; part of the transaction that keeps its secrets. Whoever could not get
/// tokens for it asks again. `false` where it is not there any more.
pub(crate) fn change(transaction: &Transaction<'_>, client: &StoredOauthClient) -> Result<bool, StoreError> {
    let sql = "UPDATE oauth_client SET callback = ?2, scopes = ?3 WHERE id = ?1";
    let scopes = Value::from(client.scopes.clone()).to_string();
    let changed = transaction.execute(sql, params![client.id, client.callback, scopes])?;
    transaction.execute("UPDATE credential SET paused = NULL WHERE client = ?1", [&client.id])?;
    Ok(changed == 1)
}

impl Store {
    /// The OAuth client of a name.
    pub fn oauth_client_by_name(&self, name: &str) -> Result<Option<StoredOauthClient>, StoreError> {
        self.oauth_client_where("name", name)
    }

    /// The OAuth client of an id.
    pub fn oauth_client(&self, id: &str) -> Result<Option<StoredOauthClient>, StoreError> {
        self.oauth_client_where("id", id)
    }

    fn oauth_client_where(&self, column: &'static str, value: &str) -> Result<Option<StoredOauthClient>, StoreError> {
        self.read(|db| {
            Ok(db
                .prepare_cached(&format!("SELECT {COLUMNS} FROM oauth_client WHERE {column} = ?1"))?
                .query_row([value], from_row)
                .optional()?)
        })
    }

    /// All OAuth clients, by name.
    pub fn oauth_clients(&self) -> Result<Vec<StoredOauthClient>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM oauth_client ORDER BY name"))?;
            let rows = statement.query_map([], from_row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// The names of the connections whose credential was granted to an OAuth client.
    pub fn connections_of_client(&self, id: &str) -> Result<Vec<String>, StoreError> {
        self.read(|db| {
            let sql = "SELECT connection.name FROM connection JOIN credential ON credential.id = connection.credential \
                       WHERE credential.client = ?1 ORDER BY connection.name";
            let mut statement = db.prepare_cached(sql)?;
            Ok(statement.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets an OAuth client that no credential was granted to, with its secrets. `false` where one was.
    pub fn delete_oauth_client(&self, id: &str) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let sql = "DELETE FROM oauth_client WHERE id = ?1 \
                       AND NOT EXISTS (SELECT 1 FROM credential WHERE client = ?1)";
            let deleted = transaction.execute(sql, [id])? == 1;
            if deleted {
                transaction.execute("DELETE FROM secret WHERE space = 'app' AND owner = ?1", [id])?;
            }
            Ok(deleted)
        })
    }
}
