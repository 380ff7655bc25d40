//! W10, W15: what senders are told while the machine fails the host, and what is lost by it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;

use super::sender::{Sender, WATCH, all_read, created, now_ms, watching};
use crate::figure::{exceptions, figure};
use crate::stage::Stage;

/// A disk that fails on command. None where there is no C compiler to make it with.
struct FaultyDisk {
    command: PathBuf,
}

impl FaultyDisk {
    fn before(stage: &mut Stage) -> Option<Self> {
        let source = stage.host.file("disk.c", include_str!("disk.c"));
        let library = source.with_extension("so");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let made =
            Command::new(&compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
        if !cfg!(target_os = "linux") || !made.is_ok_and(|status| status.success()) {
            println!("skipped: there is no C compiler `{compiler}` to make a failing disk with (CC names another)");
            return None;
        }
        let command = stage.host.file("disk.command", "");
        stage.host.set("LD_PRELOAD", &library.to_string_lossy());
        stage.host.set("FAULTY_DISK", &command.to_string_lossy());
        Some(Self { command })
    }

    /// `full`, `broken`, `unsynced`, or nothing for a sound one.
    fn is(&self, how: &str) {
        std::fs::write(&self.command, how).expect("the command can be given");
    }
}

#[test]
fn w10_a_full_or_broken_disk_is_told_and_loses_nothing_that_was_acknowledged() {
    let mut stage = Stage::connected();
    let Some(disk) = FaultyDisk::before(&mut stage) else { return };
    stage.host.file("flows/watch.yaml", WATCH);
    let serving = stage.host.serve(&["--flows", "flows"]);
    let sender = Sender::of(&stage, "demo", &stage.jira);
    let (mut acknowledged, mut refused, mut other) = (BTreeSet::new(), Vec::new(), 0);
    let (mut number, at) = (0, now_ms());
    let mut send = |count: usize, refused: &mut Vec<String>, acknowledged: &mut BTreeSet<String>| {
        let mut statuses = Vec::new();
        for _ in 0..count {
            number += 1;
            let identifier = format!("w10-{number}");
            let status = sender.deliver(&identifier, &created(number, at, 5_000));
            match status {
                200 => drop(acknowledged.insert(identifier)),
                503 => refused.push(identifier),
                _ => other += 1,
            }
            statuses.push(status);
        }
        statuses
    };
    let mut slowest = Duration::ZERO;
    let mut through = 0;
    for how in ["full", "broken", "unsynced", "full", "unsynced"] {
        send(10, &mut refused, &mut acknowledged);
        disk.is(how);
        let during = send(10, &mut refused, &mut acknowledged);
        through += during.iter().filter(|status| **status == 200).count();
        disk.is("");
        let begun = Instant::now();
        while send(1, &mut refused, &mut acknowledged) != [200] {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not go on after the disk was {how}");
            std::thread::sleep(Duration::from_millis(50));
        }
        slowest = slowest.max(begun.elapsed());
    }
    // What was refused comes again, as services send it again.
    let again = refused.iter().filter(|identifier| {
        let number: usize = identifier.rsplit('-').next().and_then(|text| text.parse().ok()).expect("a number");
        sender.deliver(identifier, &created(number, at, 5_000)) == 200
    });
    let again = again.count();
    let refusals = refused.len();
    acknowledged.extend(refused);
    let address = serving.url().trim_start_matches("http://").to_owned();
    // The process ends as if by SIGKILL; what it acknowledged is processed by the next one.
    drop(serving);
    let _next = stage.host.serve_at(&address, &["--flows", "flows"]);
    all_read(&stage);
    let db = Connection::open(stage.host.home().join("harness.db")).expect("the store opens");
    let mut find = db.prepare("SELECT count(*) FROM delivery WHERE service_id = ?1 AND state = 'done'").expect("sql");
    let lost = acknowledged.iter().filter(|id| find.query_row([id], |row| row.get::<_, u32>(0)) != Ok(1)).count();
    let told = stage.host.run(&["alarms"]).list().iter().filter(|one| one["code"] == "host.intake-refused").count();
    figure(
        "W10",
        "a disk that is full, breaks off writes, or fails to sync, five times while deliveries come",
        "503, then on without a restart; 0 acknowledged but lost",
        format!(
            "{} acknowledged, {lost} of them lost; {refusals} refused with 503, {again} of them taken when they came \
             again, {other} answered otherwise; {through} acknowledged meanwhile; on after ≤ {} ms; {told} alarms",
            acknowledged.len(),
            slowest.as_millis()
        ),
        lost == 0 && other == 0 && through == 0 && refusals >= 50 && again == refusals && told >= 3,
    );
}

/// Changes the store as a fault would, and back.
fn in_store(stage: &Stage, sql: &str) {
    let db = Connection::open(stage.host.home().join("harness.db")).expect("the store opens");
    db.busy_timeout(Duration::from_secs(10)).expect("a timeout can be set");
    db.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[test]
fn w15_whatever_fails_inside_the_sender_is_asked_to_come_back() {
    let (stage, _serving, sender) = watching();
    let faults = [
        (
            "the component is gone",
            "UPDATE connection SET component = component || '.gone'",
            "UPDATE connection SET component = replace(component, '.gone', '')",
        ),
        (
            "the secret is damaged",
            "UPDATE secret SET sealed = CAST(x'00' || sealed AS BLOB) WHERE name = 'signing-secret'",
            "UPDATE secret SET sealed = substr(sealed, 2) WHERE name = 'signing-secret'",
        ),
        (
            "the secret is gone",
            "UPDATE secret SET name = 'gone' WHERE name = 'signing-secret'",
            "UPDATE secret SET name = 'signing-secret' WHERE name = 'gone'",
        ),
        (
            "the registration is damaged",
            "UPDATE registration SET record = '{' || record",
            "UPDATE registration SET record = substr(record, 2)",
        ),
        (
            "the connection is damaged",
            "UPDATE connection SET origins = 'x' || origins, name = name || ''",
            "UPDATE connection SET origins = substr(origins, 2), name = name || ''",
        ),
        (
            "a table is gone",
            "ALTER TABLE delivery RENAME TO delivery_gone",
            "ALTER TABLE delivery_gone RENAME TO delivery",
        ),
        (
            "the version of the proofs cannot be read",
            "ALTER TABLE proving RENAME TO proving_gone",
            "ALTER TABLE proving_gone RENAME TO proving",
        ),
    ];
    let mut wrong = Vec::new();
    for (number, (what, break_it, mend_it)) in faults.iter().enumerate() {
        let body = created(number, now_ms(), 0);
        in_store(&stage, break_it);
        let during = sender.deliver(&format!("w15-{number}"), &body);
        in_store(&stage, mend_it);
        let after = sender.deliver(&format!("w15-{number}"), &body);
        if (during, after) != (503, 200) {
            wrong.push(json!({"fault": what, "during": during, "after": after}));
        }
    }
    // Forged ones are refused for good, also while something fails.
    in_store(&stage, "UPDATE endpoint SET registering_until_ms = 0");
    let forged = sender.deliver_with(b"{}", &[("x-atlassian-webhook-identifier", "w15-forged")]);
    all_read(&stage);
    figure(
        "W15",
        "faults inside the host while genuine deliveries come",
        "only 2xx or a status that is repeated; 100 %",
        format!(
            "{} of {} answered 503 and taken afterwards; forged: {forged}{}",
            faults.len() - wrong.len(),
            faults.len(),
            exceptions(&wrong)
        ),
        wrong.is_empty() && forged == 401,
    );
}
