//! K4: what lies sealed in the store opens in its place, with its key and unchanged, or not at all.

use std::path::Path;
use std::sync::Arc;

use host_harness::clock::SystemClock;
use host_harness::store::Store;
use host_harness::vault::{Secret, Space, Vault};
use serde_json::json;

use crate::figure::{exceptions, figure};
use crate::harness::Harness;
use crate::http;
use crate::main_job::webhooks;
use crate::simulator::eventually;
use crate::stage::Stage;

/// How many nonces are drawn.
const DRAWN: usize = 10_000_000;
/// How many secrets are sealed to look at their nonces.
const SEALED: usize = 500;

/// A sealed secret of the store.
struct Sealed {
    owner: String,
    bytes: Vec<u8>,
}

fn database(host: &Harness) -> rusqlite::Connection {
    rusqlite::Connection::open(host.home().join("harness.db")).expect("the database opens")
}

/// The sealed tokens of all connections, in the order in which they were made.
fn tokens(host: &Harness) -> Vec<Sealed> {
    let database = database(host);
    let sql = "SELECT owner, sealed FROM secret WHERE space = 'connection' AND name = 'token' ORDER BY rowid";
    let mut all = database.prepare(sql).expect("the store has secrets");
    let row = |row: &rusqlite::Row<'_>| Ok(Sealed { owner: row.get(0)?, bytes: row.get(1)? });
    let all: Result<Vec<_>, _> = all.query_map([], row).expect("they can be read").collect();
    all.expect("they can be read")
}

fn put(host: &Harness, owner: &str, sealed: &[u8]) {
    let sql = "UPDATE secret SET sealed = ?2 WHERE owner = ?1 AND name = 'token'";
    let changed = database(host).execute(sql, (owner, sealed)).expect("the store can be written to");
    assert_eq!(changed, 1);
}

/// What a home opens of one secret, by the host's own library.
fn opens(home: &Path, owner: &str, put: &[Vec<u8>]) -> usize {
    let store = Arc::new(Store::open(&home.join("harness.db")).expect("the store opens"));
    let vault = Vault::open(&home.join("vault.key"), store, SystemClock::shared()).expect("the vault opens");
    let database = rusqlite::Connection::open(home.join("harness.db")).expect("the database opens");
    let opened = put.iter().filter(|sealed| {
        let sql = "UPDATE secret SET sealed = ?2 WHERE owner = ?1 AND name = 'token'";
        database.execute(sql, (owner, sealed)).expect("the store can be written to");
        vault.get(Space::Connection, owner, "token").is_ok()
    });
    opened.count()
}

/// How many of many draws from where the vault gets its nonces begin with the eight bytes of another: of nonces, of
/// twelve, there are no more.
fn drawn_twice() -> usize {
    let clock = SystemClock::shared();
    let mut seen = vec![0_u64; DRAWN.next_power_of_two() * 2];
    let most = seen.len() - 1;
    let mut twice = 0;
    for _ in 0..DRAWN {
        let mut nonce = [0; 12];
        clock.fill_random(&mut nonce);
        let start = u64::from_le_bytes(nonce[..8].try_into().expect("eight bytes")).max(1);
        let mut place = start as usize & most;
        while seen[place] != 0 && seen[place] != start {
            place = (place + 1) & most;
        }
        twice += usize::from(seen[place] == start);
        seen[place] = start;
    }
    twice
}

/// How many secrets of many were sealed with the nonce of another.
fn sealed_twice() -> usize {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("harness.db");
    let store = Arc::new(Store::open(&path).expect("a store"));
    let vault = Vault::open(&folder.path().join("key"), store, SystemClock::shared()).expect("a vault");
    let secret = Secret::new("the-same-not-a-real-token");
    for number in 0..SEALED {
        vault.put(Space::Connection, &format!("c{}", number % 10), &format!("s{number}"), &secret).expect("it is kept");
    }
    let database = rusqlite::Connection::open(path).expect("the database opens");
    let sql = "SELECT count(*) - count(DISTINCT substr(sealed, 2, 12)) FROM secret";
    database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("they can be counted") as usize
}

const FLOW: &str = r#"
name: read
on: { event: issue-created, connection: demo }
steps:
  - { id: read, action: get-issue, connection: demo, input: { issue: '${{ event.issue.key }}' } }
"#;

/// Puts another key in the place of the vault's while flows run; how many runs there were, all of them done. What was
/// sealed with the key before must not open any more.
fn rotate_while_serving(stage: &Stage, owner: &str, sealed_before: &[u8]) -> Result<usize, String> {
    const EACH: usize = 8;
    stage.host.file("flows/read.yaml", FLOW);
    let mut serving = stage.host.serve(&["--flows", "flows"]);
    eventually("the webhook", || webhooks(stage).pop());
    let user = stage.jira.authorization("user");
    let create = |number: usize| {
        let fields =
            json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": format!("Issue {number}")});
        let url = format!("{}/rest/api/3/issue", stage.jira.url());
        let created = http::send_json("POST", &url, std::slice::from_ref(&user), &json!({"fields": fields}));
        assert_eq!(created.status, 201, "{}", created.body);
    };
    for _ in 0..3 {
        (0..EACH / 2).for_each(create);
        stage.host.run(&["rotate-key"]).expect(0);
        (0..EACH / 2).for_each(create);
    }
    let runs = eventually("the runs", || {
        let runs = stage.host.run(&["runs", "list"]).list();
        let over =
            runs.iter().filter(|run| ["done", "failed", "uncertain"].iter().any(|it| run["state"] == *it)).count();
        Some(runs).filter(|_| over == 3 * EACH)
    });
    serving.terminate();
    serving.ended();
    if let Some(bad) = runs.iter().find(|run| run["state"] != "done") {
        return Err(format!("a run ended badly: {bad}"));
    }
    if stage.jira.refused_logins() > 0 {
        return Err("a login was refused".to_owned());
    }
    put(&stage.host, owner, sealed_before);
    let stale = stage.run_as("other", "call-api", &json!({"path": "myself"}));
    if stale.code == 0 { Err("what the old key sealed still opens".to_owned()) } else { Ok(runs.len()) }
}

#[test]
fn k4_what_was_sealed_opens_in_its_place_with_its_key_and_unchanged_only() {
    let stage = Stage::connected();
    assert_eq!(stage.connect("other", "user", &[]).code, 0);
    assert_eq!(stage.task("To be read"), "DEMO-1");
    let tokens = tokens(&stage.host);
    assert_eq!(tokens.len(), 2);
    let (first, second) = (&tokens[0], &tokens[1]);
    stage.jira.forget_wire();
    let mut wrong = Vec::new();
    let mut asked = 0;
    let mut refused = |connection: &str, what: String, code: &str| {
        asked += 1;
        let outcome = stage.run_as(connection, "get-issue", &json!({"issue": "DEMO-1"}));
        let error = serde_json::from_str::<serde_json::Value>(&outcome.stdout).unwrap_or_default()["error"].clone();
        let told = error["message"].as_str().is_some_and(|told| !told.is_empty())
            && error["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty());
        if outcome.code == 0 || !told || error["code"] != code || !stage.jira.wire().is_empty() {
            wrong.push(format!("{what}: {} {error}, {} requests", outcome.code, stage.jira.wire().len()));
            stage.jira.forget_wire();
        }
    };

    // Each byte, by the program; then each bit and each length, by its library.
    for place in 0..first.bytes.len() {
        let mut changed = first.bytes.clone();
        changed[place] ^= 1 << (place % 8);
        put(&stage.host, &first.owner, &changed);
        refused("demo", format!("byte {place}"), "host.secret-damaged");
    }
    let changes: Vec<Vec<u8>> = (0..first.bytes.len() * 8)
        .map(|bit| {
            let mut changed = first.bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            changed
        })
        .chain((0..first.bytes.len()).map(|length| first.bytes[..length].to_vec()))
        .collect();
    let opened = opens(&stage.host.home(), &first.owner, &changes);

    put(&stage.host, &first.owner, &second.bytes);
    put(&stage.host, &second.owner, &first.bytes);
    refused("demo", "another connection's".to_owned(), "host.secret-damaged");
    refused("other", "another connection's".to_owned(), "host.secret-damaged");
    put(&stage.host, &first.owner, &first.bytes);
    put(&stage.host, &second.owner, &second.bytes);

    let key_file = stage.host.home().join("vault.key");
    let key = std::fs::read(&key_file).expect("the key file is there");
    let foreign = Stage::connected();
    let others = std::fs::read(foreign.host.home().join("vault.key")).expect("it has a key of its own");
    std::fs::write(&key_file, others).expect("it can be written");
    refused("demo", "the key of another home".to_owned(), "host.key-wrong");
    std::fs::write(&key_file, &key[..key.len() - 2]).expect("it can be written");
    refused("demo", "half a key".to_owned(), "host.key-malformed");
    std::fs::write(&key_file, key).expect("it can be written");
    let away = stage.host.folder().join("vault.key");
    std::fs::rename(&key_file, &away).expect("it can be put away");
    refused("demo", "no key".to_owned(), "host.key-missing");
    let made = key_file.exists();
    std::fs::rename(&away, &key_file).expect("it can be put back");

    // What is damaged keeps nobody from putting another in its place, and keeps nothing else shut.
    put(&stage.host, &first.owner, &first.bytes[1..]);
    refused("demo", "a byte less".to_owned(), "host.secret-damaged");
    let works = |connection: &str| stage.run_as(connection, "get-issue", &json!({"issue": "DEMO-1"})).code == 0;
    let beside = works("other");
    let token = stage.host.file("new.token", stage.jira.account("admin").token);
    let token = format!("token=@{}", token.display());
    stage.host.run(&["connection", "replace-credential", "demo", "--secret", &token]).expect(0);
    let goes_on = beside && works("demo");
    let rotated = rotate_while_serving(&stage, &second.owner, &second.bytes);
    let (drawn, sealed) = (drawn_twice(), sealed_twice());
    figure(
        "K4",
        "each byte of a sealed token flipped, records swapped between connections, the key of another home, half a key, none; `rotate-key` beside `serve`",
        "all fail closed; rotation keeps service; nonces reused: 0 of 10⁷",
        format!(
            "{} of {asked} refused by the program before anything was sent, {opened} of {} changes opened by its library; \
             with the right key and a credential replaced it {}; with another key put in its place 3 times under load {}; nonces reused: {drawn} of {DRAWN} drawn, {sealed} of \
             {SEALED} sealed{}",
            asked - wrong.len(),
            changes.len(),
            if goes_on && !made { "works on" } else { "fails" },
            rotated.as_ref().map_or_else(|what| what.clone(), |runs| format!("all {runs} runs were done")),
            exceptions(&wrong)
        ),
        wrong.is_empty() && opened == 0 && rotated.is_ok() && goes_on && !made && drawn == 0 && sealed == 0,
    );
}
