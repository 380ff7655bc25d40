//! Giving a connection another name, everywhere its name is written.

use std::collections::BTreeSet;

use rusqlite::{Transaction, params};
use serde_json::Value;

use super::{Store, StoreError};
use crate::clock::EpochMs;

/// What came of giving a connection another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renamed {
    /// It has it; these flows name it, as far as is known here: their files still have the old name.
    Done {
        /// The flows, by name.
        flows: Vec<String>,
    },
    /// Another connection has that name.
    Taken,
}

impl Store {
    /// Gives a connection another name. Subscriptions and events know it by its id; runs, and the flows as they were
    /// when these began, by its name: they follow.
    pub fn rename_connection(&self, id: &str, to: &str, now: EpochMs) -> Result<Renamed, StoreError> {
        self.write(|transaction| {
            let sql = "SELECT EXISTS (SELECT 1 FROM connection WHERE name = ?1 AND id <> ?2)";
            if transaction.query_row(sql, [to, id], |row| row.get(0))? {
                return Ok(Renamed::Taken);
            }
            let sql = "SELECT name FROM connection WHERE id = ?1";
            let from: String = transaction.query_row(sql, [id], |row| row.get(0))?;
            let sql = "UPDATE connection SET name = ?2, updated_at_ms = ?3 WHERE id = ?1";
            transaction.execute(sql, params![id, to, now])?;
            transaction.execute("UPDATE run SET connection = ?2 WHERE connection = ?1", [&from, to])?;
            transaction.execute("UPDATE step SET connection = ?2 WHERE connection = ?1", [&from, to])?;
            let mut flows = rewrite_definitions(transaction, &from, to)?;
            let mut own =
                transaction.prepare("SELECT flow FROM subscription WHERE connection = ?1 AND flow IS NOT NULL")?;
            for flow in own.query_map([id], |row| row.get::<_, String>(0))? {
                flows.insert(flow?);
            }
            Ok(Renamed::Done { flows: flows.into_iter().collect() })
        })
    }
}

/// Puts the new name into the flows as runs keep them. Many runs keep the same: each is read once.
fn rewrite_definitions(transaction: &Transaction<'_>, from: &str, to: &str) -> Result<BTreeSet<String>, StoreError> {
    let mut flows = BTreeSet::new();
    let mut find = transaction.prepare("SELECT DISTINCT flow, definition FROM run WHERE instr(definition, ?1) > 0")?;
    let found: Vec<(String, String)> = find
        .query_map([Value::from(from).to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (flow, definition) in found {
        let Some(renamed) = renamed_definition(&definition, from, to) else { continue };
        transaction.execute("UPDATE run SET definition = ?2 WHERE definition = ?1", [&definition, &renamed])?;
        flows.insert(flow);
    }
    Ok(flows)
}

/// A flow with another name of a connection in the places that name connections; none where it is in none of them.
fn renamed_definition(definition: &str, from: &str, to: &str) -> Option<String> {
    let mut flow: Value = serde_json::from_str(definition).ok()?;
    let mut changed = false;
    let mut rename = |place: Option<&mut Value>| {
        if let Some(place) = place.filter(|name| **name == *from) {
            *place = to.into();
            changed = true;
        }
    };
    rename(flow.pointer_mut("/on/connection"));
    for step in flow.get_mut("steps").and_then(Value::as_array_mut).into_iter().flatten() {
        rename(step.get_mut("connection"));
    }
    changed.then(|| flow.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_changed_where_a_connection_is_named_and_nowhere_else() {
        let flow = json!({
            "name": "demo", "on": {"connection": "demo", "event": "demo"},
            "steps": [{"id": "demo", "connection": "demo", "input": {"connection": "demo"}}, {"connection": "other"}],
        });
        let renamed: Value =
            serde_json::from_str(&renamed_definition(&flow.to_string(), "demo", "new").unwrap()).unwrap();
        let expected = json!({
            "name": "demo", "on": {"connection": "new", "event": "demo"},
            "steps": [{"id": "demo", "connection": "new", "input": {"connection": "demo"}}, {"connection": "other"}],
        });
        assert_eq!(renamed, expected);
        assert_eq!(renamed_definition(&flow.to_string(), "nobody", "new"), None);
    }
}
