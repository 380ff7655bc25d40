//! Memory: what a connection takes that does nothing, and what a call takes that waits for an answer.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use host_harness::clock::SystemClock;
use host_harness::host::{Home, Host, NewConnection};
use host_harness::plugin::{Compiler, Limits};
use host_harness::vault::Secret;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::child::{Part, end_with_stdin};
use crate::create;
use crate::homes::SpareHome;
use crate::machine::{Side, keep_to, resident};
use crate::native::Native;
use crate::report::{Figure, Report, short};
use crate::stage::{Stage, failed};

/// Connections that do nothing, and subscriptions of each.
const CONNECTIONS: usize = 1000;
const SUBSCRIPTIONS: usize = 10;
/// Calls that wait for an answer.
const CALLS: usize = 200;

pub(crate) fn measure(stage: &Stage, report: &mut Report) -> Result<()> {
    idle(stage, report)?;
    in_flight(stage, report)
}

/// `harness serve` with nothing but connections and subscriptions, against the same with one connection.
fn idle(stage: &Stage, report: &mut Report) -> Result<()> {
    report.doing(format!("memory: {CONNECTIONS} connections"));
    let one = SpareHome::connected(stage, stage.fixed.quick)?;
    let many = SpareHome::connected(stage, stage.fixed.quick)?;
    fill(stage, &many, stage.fixed.quick, CONNECTIONS, SUBSCRIPTIONS)?;
    let (alone, _) = settled(stage, &one)?;
    report.doing(format!("memory: serving {CONNECTIONS} connections"));
    let (together, ready) = settled(stage, &many)?;
    let mib = f64::from(1 << 20);
    let against = format!("one connection {} MiB; ready after {} s", short(alone / mib), short(ready.as_secs_f64()));
    report.add(Figure::exactly("memory-idle", together / mib, "MiB").against(&against, None));
    let each = (together - alone) / 1024.0 / CONNECTIONS as f64;
    let against = format!("{CONNECTIONS} of them, each with {SUBSCRIPTIONS} subscriptions");
    report.add(Figure::exactly("memory-connection", each, "KiB").against(&against, None));
    Ok(())
}

/// Memory of `harness serve` once it no longer changes, and how long it took to be ready.
fn settled(stage: &Stage, home: &SpareHome) -> Result<(f64, Duration)> {
    let began = Instant::now();
    let (serving, _) = home.serve(stage)?;
    let ready = began.elapsed();
    let mut before = 0.0;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_secs(1));
        let now = resident(serving.id())? as f64;
        if (now - before).abs() < 256.0 * 1024.0 {
            return Ok((now, ready));
        }
        before = now;
    }
    Ok((before, ready))
}

/// Makes connections of accounts of their own, and subscriptions of each.
fn fill(stage: &Stage, home: &SpareHome, site: SocketAddr, connections: usize, subscriptions: usize) -> Result<()> {
    let host = home.open()?;
    stage.wait(async {
        for number in 0..connections {
            let new = NewConnection {
                name: format!("c{number}"),
                component: stage.component(),
                method: "api-token".to_owned(),
                fields: vec![
                    ("site".to_owned(), format!("http://{site}")),
                    ("email".to_owned(), format!("account-{number}@example.test")),
                ],
                secrets: vec![("token".to_owned(), Secret::new(format!("obviously-fake-token-{number}")))],
                allow_private: true,
                ..NewConnection::default()
            };
            host.add_connection(new).await.map_err(failed)?;
        }
        anyhow::Ok(())
    })?;
    let mut database = Connection::open(home.database())?;
    let transaction = database.transaction()?;
    for number in 0..subscriptions {
        transaction.execute(
            "INSERT INTO subscription (id, connection, card, filter, created_at_ms) \
             SELECT id || ?1, id, 'issue-created', ?2, created_at_ms FROM connection WHERE name LIKE 'c%'",
            params![format!("-{number}"), json!({ "projects": [format!("P{number}")] }).to_string()],
        )?;
    }
    transaction.commit()?;
    Ok(())
}

/// The process of the calls that hang: prints what it takes before and with them.
pub(crate) fn hang(home: &Path, server: SocketAddr, calls: usize) -> Result<()> {
    keep_to(Side::Measured);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let limits = Limits { concurrent_calls: u32::try_from(calls)? + 8, ..Limits::default() };
        let home = Home::new(home, None);
        let host = Host::open_with(home, SystemClock::shared(), Compiler::Here, limits).map_err(failed)?;
        let host = std::sync::Arc::new(host);
        let native = Native::new(server)?;
        // One after the other first: what a process has once, it has before it is looked at.
        for number in 0..calls {
            host.run_card(&format!("c{number}"), "get-issue", &json!({ "issue": "DEMO-1" }), String::new(), |_| {})
                .await
                .map_err(failed)?;
        }
        let me = std::process::id();
        let before = resident(me)?;
        let mut tasks = JoinSet::new();
        for number in 0..calls {
            let host = std::sync::Arc::clone(&host);
            tasks.spawn(async move {
                let (name, key) = (format!("c{number}"), format!("h{number}"));
                host.run_card(&name, "create-issue", &create::input(), key, |_| {}).await.map(drop)
            });
        }
        let began = Instant::now();
        let mut hanging = 0;
        while hanging < calls && began.elapsed() < Duration::from_secs(20) && tasks.try_join_next().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            hanging = native.hanging().await?;
        }
        println!("{}", json!({ "before": before, "with": resident(me)?, "hanging": hanging }));
        end_with_stdin();
        std::future::pending::<()>().await;
        Ok(())
    })
}

fn in_flight(stage: &Stage, report: &mut Report) -> Result<()> {
    report.doing(format!("memory: {CALLS} calls in flight"));
    let home = SpareHome::connected(stage, stage.fixed.quick)?;
    fill(stage, &home, stage.fixed.hanging, CALLS, 0)?;
    let (path, server) = (home.path(), stage.fixed.quick.to_string());
    let part = Part::start(&["in-flight", &path.to_string_lossy(), &server, &CALLS.to_string()])?;
    let told: Value = serde_json::from_str(&part.greeting)?;
    let number = |name: &str| told[name].as_f64().with_context(|| format!("no {name} in {told}"));
    ensure!(number("hanging")? >= CALLS as f64, "only {} of {CALLS} calls were in flight at once", told["hanging"]);
    let (before, with, mib) = (number("before")?, number("with")?, f64::from(1 << 20));
    let against = format!("none in flight {} MiB", short(before / mib));
    report.add(Figure::exactly("memory-in-flight", with / mib, "MiB").against(&against, None));
    let against = format!("{CALLS} at once, each waiting for its answer");
    let each = (with - before) / 1024.0 / CALLS as f64;
    report.add(Figure::exactly("memory-call", each, "KiB").against(&against, None));
    Ok(())
}
