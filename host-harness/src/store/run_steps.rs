//! How a run goes on: taken by turns, each step kept before it begins and after it ends, one run of a key at a time.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::Value;

use super::runs::{BEHIND, RUN, StoredRun, StoredStep, put_step, run};
use super::{Store, StoreError};
use crate::clock::EpochMs;

/// How many runs at the head of a lane are looked at. Those before them are in hand, or of a key that is.
pub(super) const LOOKED_AT: u32 = 256;

/// Where runs wait for their turn: those of one flow whose next step works on one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The flow's name.
    pub flow: String,
    /// The connection, by name.
    pub connection: String,
}

/// Whether a run of a key may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    Now,
    /// Another one of its key goes first; this one is let go on when that has ended.
    Behind,
    /// The run of a later event of its key is done, so this one is not run.
    Late,
}

/// How a run stands after a step.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Its state.
    pub state: &'a str,
    /// Why.
    pub failure: Option<&'a Value>,
    /// When it goes on, where it waits; none where it is over.
    pub due_at_ms: Option<EpochMs>,
    /// The time now.
    pub at_ms: EpochMs,
    /// The connection that it goes on with, where that is another one.
    pub connection: Option<&'a str>,
}

impl<'a> Standing<'a> {
    /// It is over.
    pub fn ended(state: &'a str, failure: Option<&'a Value>, now: EpochMs) -> Self {
        Self { state, failure, due_at_ms: None, at_ms: now, connection: None }
    }

    /// It goes on at a time.
    pub fn waiting(failure: Option<&'a Value>, due_at_ms: EpochMs, now: EpochMs) -> Self {
        // [`BEHIND`] is no time: who waits for one does not wait for another run.
        let due = due_at_ms.min(BEHIND - 1);
        Self { state: "waiting", failure, due_at_ms: Some(due), at_ms: now, connection: None }
    }
}

pub(super) const NEXT_LANE: &str = "SELECT flow, connection, due_at_ms FROM run WHERE state IN ('pending', 'waiting') \
     AND (flow, connection) > (?1, ?2) ORDER BY flow, connection, due_at_ms LIMIT 1";
pub(super) const HEAD_OF_LANE: &str = "SELECT id, order_key FROM run WHERE state IN ('pending', 'waiting') \
     AND flow = ?1 AND connection = ?2 AND due_at_ms <= ?3 ORDER BY due_at_ms, time_ms LIMIT ?4";
pub(super) const NEXT_DUE: &str = "SELECT min(due_at_ms) FROM run WHERE state IN ('pending', 'waiting')";
pub(super) const NEXT_OF_KEY: &str = "SELECT id FROM run WHERE order_key = ?1 AND state = 'pending' \
     ORDER BY order_key, time_ms, rowid LIMIT 1";

impl Store {
    /// The next run that is due, by turns: of the first lane after `after` that has one, where `open` lets its lane
    /// have another and `free` the run (by id and key) is not in hand.
    pub fn next_run(
        &self,
        now: EpochMs,
        after: &Lane,
        open: &dyn Fn(&Lane) -> bool,
        free: &dyn Fn(&str, Option<&str>) -> bool,
    ) -> Result<Option<StoredRun>, StoreError> {
        let mut full = HashSet::new();
        loop {
            let found = self.read(|db| head(db, now, after, &|lane| open(lane) && !full.contains(lane), free))?;
            match found {
                Head::Run(run) => return Ok(Some(*run)),
                Head::None => return Ok(None),
                // They would hide those behind them at every look, so they are moved out of the way.
                Head::Full(lane, ids) => {
                    let behind = |db: &Transaction<'_>| -> Result<usize, StoreError> {
                        let moved = ids.iter().map(|id| turn_or_behind(db, id));
                        Ok(moved.collect::<Result<Vec<_>, _>>()?.iter().filter(|turn| **turn == Turn::Behind).count())
                    };
                    if self.write(behind)? == 0 {
                        full.insert(lane);
                    }
                }
            }
        }
    }

    /// When the next run that waits goes on.
    pub fn next_run_due(&self) -> Result<Option<EpochMs>, StoreError> {
        self.read(|db| Ok(db.prepare_cached(NEXT_DUE)?.query_row([], |row| row.get(0))?))
    }

    /// Whether it is a run's turn among those of its key. One that has begun goes before those that have not; else the
    /// event that happened first goes first.
    pub fn turn(&self, id: &str) -> Result<Turn, StoreError> {
        // Looked at first: most of the time nothing has to be written.
        match self.read(|db| turn(db, id))? {
            Turn::Behind => {}
            other => return Ok(other),
        }
        self.write(|transaction| turn_or_behind(transaction, id))
    }

    /// Lets go on whatever waits for its turn: for the start of a process. Each finds out anew whether it is its turn.
    pub fn let_go_on(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql =
                "UPDATE run SET due_at_ms = created_at_ms WHERE state IN ('pending', 'waiting') AND due_at_ms = ?1";
            transaction.execute(sql, [BEHIND])?;
            Ok(())
        })
    }

    /// Keeps steps that have ended, and that the next one begins, on disk. Where the run was cancelled meanwhile the
    /// next one is not kept, and the answer is false.
    pub fn begin_step(&self, id: &str, ended: &[StoredStep], next: &StoredStep) -> Result<bool, StoreError> {
        self.write(|transaction| begin_in(transaction, id, ended, next))
    }

    /// The same without waiting for the disk: for a step that may be done again where its beginning was forgotten.
    pub fn begin_repeatable_step(&self, id: &str, next: &StoredStep) -> Result<bool, StoreError> {
        self.note(|transaction| begin_in(transaction, id, &[], next))
    }

    /// Ends a run, or lets it wait, together with the steps that decided it. One that somebody wants to stop does not
    /// wait: it is cancelled. One that has ended stays as it is.
    pub fn settle_run(&self, id: &str, standing: &Standing<'_>, steps: &[StoredStep]) -> Result<(), StoreError> {
        self.write(|transaction| settle_in(transaction, id, standing, steps))
    }
}

fn begin_in(db: &Connection, id: &str, ended: &[StoredStep], next: &StoredStep) -> Result<bool, StoreError> {
    for step in ended {
        put_step(db, id, step)?;
    }
    let goes_on = db
        .prepare_cached(
            "UPDATE run SET state = 'running', failure = NULL, connection = ?2 \
             WHERE id = ?1 AND cancel = 0 AND ended_at_ms IS NULL",
        )?
        .execute(params![id, next.connection])?
        == 1;
    if goes_on {
        put_step(db, id, next)?;
    }
    Ok(goes_on)
}

fn settle_in(db: &Connection, id: &str, standing: &Standing<'_>, steps: &[StoredStep]) -> Result<(), StoreError> {
    for step in steps {
        put_step(db, id, step)?;
    }
    // Who waits and shall stop does not wait.
    let key: Option<Option<String>> = db
        .prepare_cached(
            "UPDATE run SET state = iif(cancel AND ?4 IS NOT NULL, 'cancelled', ?2), failure = ?3, \
             due_at_ms = coalesce(?4, 0), ended_at_ms = iif(?4 IS NULL OR cancel, ?5, NULL), \
             connection = coalesce(?6, connection) WHERE id = ?1 AND ended_at_ms IS NULL \
             RETURNING iif(ended_at_ms IS NULL, NULL, order_key)",
        )?
        .query_row(
            params![
                id,
                standing.state,
                standing.failure.map(Value::to_string),
                standing.due_at_ms,
                standing.at_ms,
                standing.connection
            ],
            |row| row.get(0),
        )
        .optional()?;
    match key.flatten() {
        Some(key) => pass_on(db, &key),
        None => Ok(()),
    }
}

/// A run of this key has ended: the next one that waits for its turn looks again whether it has come.
pub(super) fn pass_on(db: &Connection, key: &str) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE run SET due_at_ms = created_at_ms WHERE order_key = ?1 AND due_at_ms = ?2 \
         AND (state = 'waiting' OR (state = 'pending' AND id = ({NEXT_OF_KEY})))"
    );
    db.prepare_cached(&sql)?.execute(params![key, BEHIND])?;
    Ok(())
}

/// What stands at the head of the lanes.
enum Head {
    /// The next run.
    Run(Box<StoredRun>),
    /// Nothing that is due and free.
    None,
    /// None of so many at the head of this lane is free: these, by id.
    Full(Lane, Vec<String>),
}

fn head(
    db: &Connection,
    now: EpochMs,
    after: &Lane,
    open: &dyn Fn(&Lane) -> bool,
    free: &dyn Fn(&str, Option<&str>) -> bool,
) -> Result<Head, StoreError> {
    let next: Option<EpochMs> = db.prepare_cached(NEXT_DUE)?.query_row([], |row| row.get(0))?;
    if next.is_none_or(|due| due > now) {
        return Ok(Head::None);
    }
    let mut lanes = db.prepare_cached(NEXT_LANE)?;
    let mut heads = db.prepare_cached(HEAD_OF_LANE)?;
    let (mut at, mut around) = (after.clone(), false);
    loop {
        let found = lanes
            .query_row([&at.flow, &at.connection], |row| {
                Ok((Lane { flow: row.get(0)?, connection: row.get(1)? }, row.get::<_, EpochMs>(2)?))
            })
            .optional()?;
        let Some((lane, due)) = found else {
            if around {
                return Ok(Head::None);
            }
            // Round again from the beginning.
            (at, around) = (Lane::default(), true);
            continue;
        };
        if around && lane > *after {
            return Ok(Head::None);
        }
        if due <= now && open(&lane) {
            let mut rows = heads.query(params![lane.flow, lane.connection, now, LOOKED_AT])?;
            let mut in_the_way = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, key): (String, Option<String>) = (row.get(0)?, row.get(1)?);
                if free(&id, key.as_deref()) {
                    let sql = format!("SELECT {RUN} FROM run WHERE id = ?1");
                    let run = db.prepare_cached(&sql)?.query_row([&id], run).optional()?;
                    return Ok(run.map_or(Head::None, |run| Head::Run(Box::new(run))));
                }
                in_the_way.push(id);
            }
            if in_the_way.len() >= LOOKED_AT as usize {
                return Ok(Head::Full(lane, in_the_way));
            }
        }
        at = lane;
    }
}

/// Whether it is a run's turn; where another one of its key goes first, it is put behind.
fn turn_or_behind(db: &Connection, id: &str) -> Result<Turn, StoreError> {
    let turn = turn(db, id)?;
    if turn == Turn::Behind {
        let sql = "UPDATE run SET due_at_ms = ?2 WHERE id = ?1 AND state IN ('pending', 'waiting')";
        db.prepare_cached(sql)?.execute(params![id, BEHIND])?;
    }
    Ok(turn)
}

fn turn(db: &Connection, id: &str) -> Result<Turn, StoreError> {
    let found = db
        .prepare_cached("SELECT order_key, time_ms, rowid, state, skip_late FROM run WHERE id = ?1")?
        .query_row([id], |row| {
            let key: Option<String> = row.get(0)?;
            Ok((key, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, String>(3)?, row.get::<_, bool>(4)?))
        })
        .optional()?;
    let Some((Some(key), time, row_id, state, skip_late)) = found else { return Ok(Turn::Now) };
    let begun = state != "pending";
    // What has begun waits for nobody but what has begun and is older: so no two wait for one another.
    let blocked: bool = db
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM run WHERE order_key = ?1 AND rowid <> ?3 AND (state = 'running' \
             OR (state = 'waiting' AND (?4 = 0 OR (time_ms, rowid) < (?2, ?3))) \
             OR (state = 'pending' AND ?4 = 0 AND (time_ms, rowid) < (?2, ?3))))",
        )?
        .query_row(params![key, time, row_id, begun], |row| row.get(0))?;
    if blocked {
        return Ok(Turn::Behind);
    }
    let late: bool = !begun
        && skip_late
        && db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM run WHERE order_key = ?1 AND time_ms > ?2 AND state = 'done')",
            )?
            .query_row(params![key, time], |row| row.get(0))?;
    Ok(if late { Turn::Late } else { Turn::Now })
}
