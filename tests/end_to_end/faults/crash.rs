//! W9: the host is killed (SIGKILL) at random points while deliveries come in, and started again. What it had
//! acknowledged is processed, once; what it had not is sent again; what nobody can know is reported.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::draw::Draw;
use crate::figure::figure;
use crate::harness::{Serving, free_address};
use crate::http;
use crate::main_job::webhooks;
use crate::simulator::{eventually, text};
use crate::stage::Stage;

/// Says once what it saw: a second comment on an issue would be a second effect of one event.
const FLOW: &str = r#"
name: note
on:
  event: issue-created
  connection: demo
  filter: { projects: [DEMO] }
steps:
  - id: comment
    action: add-comment
    connection: demo
    input:
      issue: ${{ event.issue.id }}
      body: seen by ${{ run.id }}
"#;

/// The most that one call of the simulator creates.
const BULK: usize = 50;

/// After so many kills the host works off what waits: else kills would meet nothing but new deliveries.
const KILLS_IN_A_ROW: usize = 50;

/// How much is done, and in which order of chances.
struct Plan {
    /// The number of the figure.
    id: &'static str,
    deliveries: usize,
    kills: usize,
    seed: u64,
}

impl Plan {
    /// A number that a person may set.
    fn from_environment(id: &'static str, deliveries: usize, kills: usize) -> Self {
        let set = |name: &str, usual: u64| {
            std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
        };
        Self {
            id,
            deliveries: set("W9_DELIVERIES", deliveries as u64) as usize,
            kills: set("W9_KILLS", kills as u64) as usize,
            seed: set("W9_SEED", 20_261_122),
        }
    }
}

/// Creates so many issues at the site; each causes one delivery.
fn create(stage: &Stage, count: usize) {
    let mut left = count;
    while left > 0 {
        let now = left.min(BULK);
        let fields = json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "One of many"});
        let updates = vec![json!({ "fields": fields }); now];
        let url = format!("{}/rest/api/3/issue/bulk", stage.jira.url());
        let answer =
            http::send_json("POST", &url, &[stage.jira.authorization("admin")], &json!({"issueUpdates": updates}));
        assert_eq!(answer.status, 201, "{answer:?}");
        left -= now;
    }
    // What the simulator noted of it is of no use here, and much.
    stage.jira.control("DELETE", "/wire", &Value::Null);
}

fn store(stage: &Stage) -> Connection {
    let path = stage.host.home().join("harness.db");
    open(if path.exists() { &path } else { panic!("there is no {}", path.display()) })
}

fn open(path: &Path) -> Connection {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store can be read");
    db.busy_timeout(Duration::from_secs(20)).expect("a timeout can be set");
    db
}

fn count(db: &Connection, sql: &str) -> usize {
    db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("the store can be asked") as usize
}

/// Serves while `count` issues are created and all that is to be sent again comes again, and is killed after as long
/// as chance says: at times before it is ready, mostly under load.
fn serve_and_kill(stage: &Stage, address: &str, count: usize, chance: &mut Draw) {
    let (early, serving) = match chance.below(8) {
        0 => (true, stage.host.serve_unready(address, &["--flows", "flows"])),
        _ => (false, stage.host.serve_at(address, &["--flows", "flows"])),
    };
    let lives = Duration::from_micros(chance.below(if early { 120_000 } else { 600_000 }));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(lives);
            drop(serving);
        });
        // At most fifteen minutes lie between two attempts.
        stage.jira.advance(Duration::from_secs(15 * 60));
        create(stage, count);
    });
}

/// How many deliveries are still to be sent.
fn unsettled(stage: &Stage) -> usize {
    stage.jira.deliveries().iter().filter(|delivery| delivery["state"] == "pending").count()
}

/// Serves without a kill until nothing is on its way any more.
fn drain(stage: &Stage, address: &str) -> Serving {
    let serving = stage.host.serve_at(address, &["--flows", "flows"]);
    let begun = Instant::now();
    loop {
        stage.jira.advance(Duration::from_secs(15 * 60));
        std::thread::sleep(Duration::from_millis(500));
        let db = store(stage);
        let waiting = count(&db, "SELECT count(*) FROM delivery WHERE state = 'pending'");
        let going = count(&db, "SELECT count(*) FROM run WHERE state IN ('pending', 'running', 'waiting')");
        // The list is long: it is asked for where nothing else is left.
        let unsettled = if waiting + going > 0 { usize::MAX } else { unsettled(stage) };
        if unsettled == 0 {
            return serving;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(1200),
            "{waiting} deliveries are not read, {going} runs not over, and some not settled"
        );
    }
}

/// How many comments each issue of the project has at the site.
fn comments(stage: &Stage) -> HashMap<String, usize> {
    let (mut found, mut page) = (HashMap::new(), Value::Null);
    loop {
        let mut asked = json!({"jql": "project = DEMO order by key", "fields": ["comment"], "maxResults": 1000});
        if page.is_string() {
            asked["nextPageToken"] = page.clone();
        }
        let answer = stage.jira.ask("POST", "/rest/api/3/search/jql", &asked).json();
        for issue in answer["issues"].as_array().expect("issues") {
            let comments = issue["fields"]["comment"]["comments"].as_array().map_or(0, Vec::len);
            found.insert(text(&issue["id"]), comments);
        }
        stage.jira.control("DELETE", "/wire", &Value::Null);
        page = answer["nextPageToken"].clone();
        if !page.is_string() {
            return found;
        }
    }
}

/// What became of one issue's event in the host.
#[derive(Default)]
struct Fate {
    runs: usize,
    done: usize,
    uncertain: usize,
    failed: usize,
    /// The state that is neither.
    other: String,
}

fn fates(db: &Connection) -> HashMap<String, Fate> {
    let mut fates: HashMap<String, Fate> = HashMap::new();
    let sql =
        "SELECT json_extract(event.payload, '$.issue.id'), run.state FROM event LEFT JOIN run ON run.event = event.id";
    let mut statement = db.prepare(sql).expect("the store can be asked");
    let mut rows = statement.query([]).expect("the store can be asked");
    while let Some(row) = rows.next().expect("the store can be read") {
        let issue: String = row.get(0).expect("an issue");
        let state: Option<String> = row.get(1).expect("a state");
        let fate = fates.entry(issue).or_default();
        match state.as_deref() {
            Some("done") => fate.done += 1,
            Some("uncertain") => fate.uncertain += 1,
            Some("failed") => fate.failed += 1,
            other => other.unwrap_or_default().clone_into(&mut fate.other),
        }
        fate.runs += usize::from(state.is_some());
    }
    fates
}

fn crash(plan: &Plan) {
    let stage = Stage::connected();
    stage.jira.settings(&json!({"delivery_retries": 1000}));
    stage.host.file("flows/note.yaml", FLOW);
    let address = free_address();
    drop(stage.host.serve_at(&address, &["--flows", "flows"]));
    eventually("the webhook", || Some(()).filter(|()| webhooks(&stage).len() == 1));

    let mut chance = Draw(plan.seed);
    let per_kill = plan.deliveries.div_ceil(plan.kills);
    let mut created = 0;
    for kill in 1..=plan.kills {
        let now = per_kill.min(plan.deliveries - created);
        serve_and_kill(&stage, &address, now, &mut chance);
        created += now;
        if kill % KILLS_IN_A_ROW == 0 {
            drop(drain(&stage, &address));
            eprintln!("{kill} of {} kills, {created} deliveries", plan.kills);
        }
    }
    drop(drain(&stage, &address));

    let sent = stage.jira.deliveries();
    let acknowledged = |delivery: &&Value| delivery["state"] == "delivered";
    let unacknowledged = sent.len() - sent.iter().filter(acknowledged).count();
    let again = sent.iter().filter(|delivery| delivery["attempts"].as_array().is_some_and(|all| all.len() > 1)).count();
    let db = store(&stage);
    // By the columns of an index: it is asked for each delivery.
    let kept = "SELECT count(*) FROM delivery WHERE connection = (SELECT id FROM connection) AND service_id = ?1 \
                AND state = 'done'";
    let mut kept = db.prepare(kept).expect("sql");
    let lost_deliveries = sent
        .iter()
        .filter(acknowledged)
        .filter(|delivery| kept.query_row([text(&delivery["identifier"])], |row| row.get::<_, i64>(0)) != Ok(1))
        .count();
    let (fates, comments) = (fates(&db), comments(&stage));
    let none = Fate::default();
    let (mut lost, mut twice, mut unreported, mut uncertain, mut failed) = (lost_deliveries, 0, Vec::new(), 0, 0);
    for (issue, comments) in &comments {
        let fate = fates.get(issue).unwrap_or(&none);
        lost += usize::from(fate.runs == 0);
        twice += usize::from(fate.runs > 1 || *comments > 1);
        // Done means that the comment is there; anything else has to be told.
        if fate.runs == 1 && fate.uncertain + fate.failed == 0 && (fate.done != 1 || *comments != 1) {
            unreported.push(format!("{issue}: {comments} comments, {} done {}", fate.done, fate.other));
        }
        uncertain += fate.uncertain;
        failed += fate.failed;
    }
    // A run that is uncertain raises an alarm; one that failed is told of among the dead letters.
    let alarms = count(&db, "SELECT count(*) FROM alarm WHERE code = 'host.run-uncertain'");
    let dead = stage.host.run(&["dead-letters", "list", "--limit", "1000000"]).expect(0);
    let dead = dead.as_array().map_or(0, |all| all.iter().filter(|one| one["kind"] == "run").count());
    figure(
        plan.id,
        &format!("{} kills (SIGKILL) during {} deliveries, seed {}", plan.kills, sent.len(), plan.seed),
        "lost acknowledged = 0; duplicate starts = 0; unreported = 0; not acknowledged → sent again",
        format!(
            "lost acknowledged {lost}; duplicate starts {twice}; unreported {}; {again} sent again, \
             {unacknowledged} never acknowledged; {uncertain} interrupted steps reported as uncertain ({alarms} alarms), {failed} failed, {dead} dead letters{}",
            unreported.len(),
            unreported.iter().take(3).map(|one| format!("; {one}")).collect::<String>()
        ),
        sent.len() >= plan.deliveries
            && comments.len() >= plan.deliveries
            && lost + twice + unreported.len() + unacknowledged == 0
            && alarms >= uncertain
            && dead == uncertain + failed,
    );
}

#[test]
fn w9_a_host_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    crash(&Plan::from_environment("W9", 1_000, 15));
}

#[test]
#[ignore = "long: a thousand kills take half an hour (cargo xtask test --long)"]
fn w9_the_same_a_thousand_times() {
    crash(&Plan::from_environment("W9-long", 100_000, 1_000));
}
