//! Events through a flow of one step, in a store that is empty and in one with a year's history.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use host_harness::store::StoredDelivery;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::bodies;
use crate::homes::SpareHome;
use crate::report::{Figure, Report, short};
use crate::rounds::Samples;
use crate::stage::{CONNECTION, Stage, failed};

/// Events of one turn.
const EVENTS: usize = 600;
const ROUNDS: usize = 3;
/// Events, runs, steps and deliveries of a year.
const HISTORY: u32 = 1_000_000;
/// How long a turn may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Both stores take turns; the events wait in the store when the host starts, and the time is that between the end of
/// the first and the end of the last run.
pub(crate) fn throughput(stage: &Stage, report: &mut Report) -> Result<()> {
    let empty = SpareHome::connected(stage, stage.fixed.quick)?.with_flow()?;
    let full = SpareHome::connected(stage, stage.fixed.quick)?.with_flow()?;
    // The first start makes the subscriptions.
    drop(empty.serve(stage)?);
    drop(full.serve(stage)?);
    report.doing(format!("flow-throughput: a year's history, {} events", short(f64::from(HISTORY))));
    history(&Connection::open(full.database())?)?;
    let (mut in_empty, mut in_full) = (Samples::default(), Samples::default());
    for round in 1..=ROUNDS {
        report.doing(format!("flow-throughput: round {round} of {ROUNDS}"));
        in_empty.push(turn(stage, &empty, round)?);
        in_full.push(turn(stage, &full, round)?);
    }
    report.add(Figure::of("flow-throughput", &in_empty, "/s"));
    let size = std::fs::metadata(full.database())?.len() as f64 / f64::from(1 << 20);
    let against = format!("an empty store {}/s; this one has {} MiB", short(in_empty.median()), short(size));
    let figure = Figure::of("flow-throughput-year", &in_full, "/s").against(&against, in_full.ratio_to(&in_empty));
    report.add(figure.ratio_at_least(0.9));
    Ok(())
}

/// Events a second.
fn turn(stage: &Stage, home: &SpareHome, round: usize) -> Result<f64> {
    let runs = || -> Result<Connection> {
        Ok(Connection::open_with_flags(home.database(), OpenFlags::SQLITE_OPEN_READ_ONLY)?)
    };
    let before: i64 = runs()?.query_row("SELECT coalesce(max(rowid), 0) FROM run", [], |row| row.get(0))?;
    waiting(home, round)?;
    let (_serving, _) = home.serve(stage)?;
    let (began, database) = (Instant::now(), runs()?);
    let ended = "SELECT count(*), max(ended_at_ms) - min(ended_at_ms), \
                 coalesce(sum(state <> 'done'), 0), min(failure) FROM run WHERE rowid > ?1 AND ended_at_ms IS NOT NULL";
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let (count, took, bad, failure): (usize, Option<f64>, usize, Option<String>) =
            database.query_row(ended, [before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        if bad > 0 {
            bail!("{bad} runs ended badly: {}", failure.unwrap_or_default());
        }
        if count == EVENTS {
            return Ok((EVENTS - 1) as f64 * 1000.0 / took.unwrap_or(f64::NAN).max(1.0));
        }
        if began.elapsed() > PATIENCE {
            bail!("only {count} of {EVENTS} runs ended in {} s", PATIENCE.as_secs());
        }
    }
}

/// Keeps deliveries of distinct issues, as the receiver does.
fn waiting(home: &SpareHome, round: usize) -> Result<()> {
    let host = home.open()?;
    let connection = host.connection(CONNECTION).map_err(failed)?;
    let mut body = bodies::delivery();
    for number in 0..EVENTS {
        let id = 900_000_000 + round * EVENTS + number;
        body["issue"]["id"] = Value::from(id.to_string());
        let delivery = StoredDelivery {
            id: format!("w{round}-{number}"),
            connection: connection.id.clone(),
            registration: "1".to_owned(),
            service_id: Some(format!("bench-{id}")),
            method: "POST".to_owned(),
            query: String::new(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
            sha256: format!("{id:064x}"),
            received_at_ms: host.clock().now_ms(),
            attempts: 0,
        };
        host.store().keep_delivery(&delivery)?;
    }
    Ok(())
}

/// A year of events, each with its delivery, its run and the run's step. Their ids go up with time as real ones do.
fn history(database: &Connection) -> Result<()> {
    let (connection, subscription): (String, String) =
        database.query_row("SELECT connection, id FROM subscription", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let year_ms = 365_u64 * 24 * 3600 * 1000;
    let now: u64 = database.query_row("SELECT max(created_at_ms) FROM subscription", [], |row| row.get(0))?;
    database.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")?;
    let id = "printf('0%015x', n)";
    let at = ":now - :year + n * (:year / :count)";
    let event = "printf('%09d:created', n)";
    let payload = "json_object('id', printf('%09d:created', n), 'note', hex(randomblob(100)))";
    let tables: [(&str, &[(&str, &str)]); 4] = [
        (
            "delivery",
            &[
                ("id", id),
                ("connection", ":connection"),
                ("registration", "'1'"),
                ("service_id", "printf('service-%012d', n)"),
                ("method", "'POST'"),
                ("query", "''"),
                ("headers", "'[]'"),
                ("body", "randomblob(200)"),
                ("sha256", "printf('%064x', n)"),
                ("received_at_ms", at),
                ("state", "'done'"),
            ],
        ),
        (
            "event",
            &[
                ("id", id),
                ("connection", ":connection"),
                ("subscription", ":subscription"),
                ("card", "'issue-created'"),
                ("event_id", event),
                ("time_ms", at),
                ("payload", payload),
                ("delivery", id),
                ("received_at_ms", at),
            ],
        ),
        (
            "run",
            &[
                ("id", id),
                ("flow", "'copy'"),
                ("definition", "'{}'"),
                ("event", id),
                ("event_id", event),
                ("state", "'done'"),
                ("due_at_ms", "0"),
                ("created_at_ms", at),
                ("ended_at_ms", at),
                ("time_ms", at),
                ("connection", "'bench'"),
                ("skip_late", "0"),
                ("cancel", "0"),
            ],
        ),
        (
            "step",
            &[
                ("run", id),
                ("position", "0"),
                ("id", "'create'"),
                ("card", "'create-issue'"),
                ("connection", "'bench'"),
                ("state", "'done'"),
                ("input", "'{}'"),
                ("output", "'{}'"),
                ("attempts", "1"),
                ("began_at_ms", at),
                ("ended_at_ms", at),
                ("redone", "0"),
            ],
        ),
    ];
    for (table, columns) in tables {
        let mut statement = database.prepare(&filling(database, table, columns)?)?;
        for (name, value) in [(":count", u64::from(HISTORY)), (":now", now), (":year", year_ms)] {
            if let Some(place) = statement.parameter_index(name)? {
                statement.raw_bind_parameter(place, value)?;
            }
        }
        for (name, value) in [(":connection", &connection), (":subscription", &subscription)] {
            if let Some(place) = statement.parameter_index(name)? {
                statement.raw_bind_parameter(place, value)?;
            }
        }
        statement.raw_execute()?;
    }
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// The statement that fills a table with as many rows as there are events. Columns that a schema does not have are
/// left out.
fn filling(database: &Connection, table: &str, columns: &[(&str, &str)]) -> Result<String> {
    let mut known = Vec::new();
    let exists = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
    for (name, value) in columns {
        if database.prepare_cached(exists)?.exists([table, *name])? {
            known.push((*name, *value));
        }
    }
    let (names, values): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    Ok(format!(
        "INSERT INTO {table} ({}) WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers \
         WHERE n < :count - 1) SELECT {} FROM numbers",
        names.join(", "),
        values.join(", ")
    ))
}
