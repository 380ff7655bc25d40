//! What a service asked to be left alone, and until when.

use rusqlite::params;

use super::{Store, StoreError};
use crate::clock::EpochMs;
use crate::plugin::contract::types::{Hold, Scope};

fn parts(scope: &Scope) -> (&'static str, &str) {
    match scope {
        Scope::Endpoint(name) => ("endpoint", name),
        Scope::Object(name) => ("object", name),
        Scope::Tenant => ("tenant", ""),
        Scope::App => ("app", ""),
    }
}

impl Store {
    /// Holds a scope back until `until`. An earlier, longer hold stays.
    pub fn hold(&self, owner: &str, scope: &Scope, until: EpochMs) -> Result<(), StoreError> {
        let (kind, name) = parts(scope);
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO hold (owner, kind, name, until_ms) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)",
                params![owner, kind, name, until],
            )?;
            Ok(())
        })
    }

    /// What is held back now for any of the owners.
    pub fn holds(&self, owners: &[&str], now: EpochMs) -> Result<Vec<Hold>, StoreError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT kind, name, until_ms FROM hold WHERE owner = ?1 AND until_ms > ?2")?;
            let mut holds = Vec::new();
            for owner in owners {
                let rows = statement.query_map(params![owner, now], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, EpochMs>(2)?))
                })?;
                for row in rows {
                    let (kind, name, until) = row?;
                    let scope = match kind.as_str() {
                        "endpoint" => Scope::Endpoint(name),
                        "object" => Scope::Object(name),
                        "app" => Scope::App,
                        _ => Scope::Tenant,
                    };
                    holds.push(Hold { scope, for_ms: until - now });
                }
            }
            Ok(holds)
        })
    }
}
