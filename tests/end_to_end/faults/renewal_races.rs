//! A6, A8, A10: many who use a grant at once, in one process or several, and what its renewal does to them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use host_harness::clock::{SharedClock, SystemClock};
use host_harness::egress::{Detour, Detours};
use host_harness::host::{Home, Host};
use jira_simulator::{Config, Consent, Personality};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::cell::LeapClock;
use super::granted::{Granted, ISSUE, PASSES};
use super::held::{At, Held};
use crate::figure::{exceptions, figure};
use crate::runtime::wait_for;
use crate::simulator::{Jira, eventually};

/// A host as a library, on a home that others use as well.
pub(super) fn host(home: &Path, detours: &str, clock: SharedClock) -> Arc<Host> {
    let _entered = crate::runtime::runtime().enter();
    let detours = detours.split(',').filter(|one| !one.is_empty());
    let detours: Vec<Detour> = detours.map(|one| one.parse().expect("a detour")).collect();
    let host = Host::open(Home::new(home, None), clock).expect("the home opens");
    Arc::new(host.with_detours(Detours::new(detours)).expect("TLS can be set up"))
}

/// Reads the issue so often at once; what went wrong. `calls` counts those that have begun.
async fn read_at_once(host: &Arc<Host>, times: usize, calls: &Arc<AtomicUsize>) -> Vec<String> {
    let mut all = JoinSet::new();
    for number in 0..times {
        let (host, calls) = (Arc::clone(host), Arc::clone(calls));
        all.spawn(async move {
            calls.fetch_add(1, Ordering::SeqCst);
            let input = json!({"issue": ISSUE});
            let ran = host.run_card("demo", "get-issue", &input, format!("{number}"), |_| ()).await;
            ran.map(drop).map_err(|error| error.to_json().to_string())
        });
    }
    all.join_all().await.into_iter().filter_map(Result::err).collect()
}

/// Where a process that is one of several finds its home.
const HOME: &str = "A6_HOME";
const PROCESSES: usize = 4;
const CALLERS: usize = 125;

/// One of the processes: it reads at once as soon as it is told to, and says how that went.
fn be_one_of_them(home: &Path) {
    let host = host(home, &std::env::var("HARNESS_CONNECT_TO").unwrap_or_default(), SystemClock::shared());
    let say = |what: Value| println!("\n{what}");
    say(json!({"ready": std::process::id()}));
    std::io::stdin().read_line(&mut String::new()).expect("told to go on");
    let calls = Arc::<AtomicUsize>::default();
    let wrong = wait_for(async {
        let (reader, counted) = (Arc::clone(&host), Arc::clone(&calls));
        let reading = tokio::spawn(async move { read_at_once(&reader, CALLERS, &counted).await });
        while calls.load(Ordering::SeqCst) < CALLERS {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        say(json!({"called": CALLERS}));
        let wrong = reading.await.expect("no panic");
        host.settle_grants().await;
        wrong
    });
    say(json!({"wrong": wrong}));
}

/// A process that is one of several.
struct One {
    child: Child,
    tell: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl One {
    fn start(granted: &Granted, detours: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the test knows its own path"));
        let test = "faults::renewal_races::a6_five_hundred_callers_in_four_processes_ask_once";
        command.args(["--exact", test, "--nocapture"]).env(HOME, granted.stage.host.home());
        command.env("HARNESS_CONNECT_TO", detours).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the test starts once more");
        let (tell, said) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, tell, said: BufReader::new(said) }
    }

    /// What it says next under a name.
    fn says(&mut self, name: &str) -> Value {
        for line in self.said.by_ref().lines() {
            let said: Value = serde_json::from_str(&line.expect("it says text")).unwrap_or_default();
            if !said[name].is_null() {
                return said[name].clone();
            }
        }
        panic!("one of the processes ended and did not say `{name}`");
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a6_five_hundred_callers_in_four_processes_ask_once() {
    if let Some(home) = std::env::var_os(HOME) {
        return be_one_of_them(Path::new(&home));
    }
    let granted = Granted::connected();
    granted.time_passes();
    let jira = &granted.stage.jira;
    jira.forget_wire();
    jira.control("DELETE", "/token-endpoint/calls", &Value::Null);
    let mut processes: Vec<One> = (0..PROCESSES).map(|_| One::start(&granted, &granted.detours())).collect();
    processes.iter_mut().for_each(|one| drop(one.says("ready")));
    // Nobody is answered before all have called.
    jira.control("POST", "/token-endpoint/hold", &json!({"when": "before"}));
    processes.iter_mut().for_each(|one| one.tell.write_all(b"\n").expect("it listens"));
    processes.iter_mut().for_each(|one| drop(one.says("called")));
    let waiting = || jira.control("GET", "/token-endpoint", &Value::Null)["waiting"].as_u64().unwrap_or(0);
    eventually("somebody to ask for tokens", || Some(()).filter(|()| waiting() > 0));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let at_once = waiting();
    jira.control("POST", "/token-endpoint/release", &Value::Null);
    let wrong: Vec<String> = processes
        .iter_mut()
        .flat_map(|one| one.says("wrong").as_array().cloned().unwrap_or_default())
        .map(|one| one.to_string())
        .collect();
    let asked = jira.control("GET", "/token-endpoint", &Value::Null)["calls"].clone();
    let reads = jira.calls("GET", "/issue/");
    let well = reads.iter().filter(|read| read["login"] == "ok" && read["status"] == 200).count();
    let refused = jira.refused_logins();
    let callers = PROCESSES * CALLERS;
    figure(
        "A6",
        &format!("{callers} callers in {PROCESSES} host processes on one home, whose token is over"),
        "token-endpoint calls = 1; all get the new token",
        format!(
            "token-endpoint calls: {asked}, {at_once} at once; {} of {callers} callers served, {well} reads with the \
             new token, {refused} with another{}",
            callers - wrong.len(),
            exceptions(&wrong[..wrong.len().min(2)])
        ),
        asked == json!({"refresh_token": {"ok": 1}})
            && at_once == 1
            && wrong.is_empty()
            && well >= callers
            && refused == 0,
    );
    assert_eq!((granted.row().version, granted.alarms()), (2, 0));
}

/// One race: a host's renewal is on its way, another, which knows nothing of the lock, is faster, and the service
/// refuses the first.
const RACES: usize = 8;
const RACES_IN_THE_LIBRARY: usize = 150;

/// Makes as if there were no locks among processes.
fn unlock(home: &Path) {
    for entry in std::fs::read_dir(home).expect("the home can be read").flatten() {
        if entry.file_name().to_string_lossy().starts_with("renewing-") {
            std::fs::remove_file(entry.path()).expect("a lock can be removed");
        }
    }
}

#[test]
fn a8_the_loser_of_a_race_goes_on_with_the_winners_tokens() {
    let mut granted = Granted::connected();
    let way = Held::before(granted.stage.jira.url(), "/oauth/token");
    granted.leads_to(&way.url());
    let home = granted.stage.host.home();
    let input = json!({"issue": ISSUE}).to_string();
    let run = ["run", "get-issue", "--connection", "demo", "--input", &input];
    let mut wrong = Vec::new();
    for race in 0..RACES {
        granted.time_passes();
        way.hold(At::Request);
        let loser = granted.stage.host.start(&run);
        way.wait_for(1);
        way.let_others_pass();
        unlock(&home);
        let winner = granted.stage.host.run(&run);
        way.release();
        let loser = loser.finish();
        if (winner.code, loser.code) != (0, 0) {
            wrong.push(format!("race {race}: winner {}, loser {}: {}", winner.code, loser.code, loser.stdout));
        }
    }
    // Many more of them with both hosts in this process.
    let clock = LeapClock::new();
    let library = || host(&home, &granted.detours(), clock.clone());
    let (one, other) = (library(), library());
    for race in 0..RACES_IN_THE_LIBRARY {
        granted.stage.jira.advance(PASSES);
        clock.leap(PASSES);
        way.hold(At::Request);
        let (loser, winner) = if race % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let (loser, calls) = (Arc::clone(loser), Arc::<AtomicUsize>::default());
        let losing = crate::runtime::runtime().spawn(async move { read_at_once(&loser, 1, &calls).await });
        way.wait_for(1);
        way.let_others_pass();
        unlock(&home);
        let won = wait_for(read_at_once(winner, 1, &Arc::default()));
        way.release();
        let lost = wait_for(losing).expect("no panic");
        wrong.extend(won.into_iter().map(|error| format!("race {race}, winner: {error}")));
        wrong.extend(lost.into_iter().map(|error| format!("race {race}, loser: {error}")));
    }
    let races = (RACES + RACES_IN_THE_LIBRARY) as u64;
    let (renewed, refused) = granted.renewals();
    let (row, alarms) = (granted.row(), granted.alarms());
    let destroyed = u64::from(row.dead.is_some()) + wrong.len() as u64;
    figure(
        "A8",
        &format!(
            "a renewal is refused as invalid_grant because another process was faster: {RACES} races of processes, \
             {RACES_IN_THE_LIBRARY} of hosts as a library"
        ),
        "the loser uses the winner's tokens; grants destroyed = 0 (of 10⁴ in the catalogue)",
        format!(
            "{refused} of {races} renewals refused, {renewed} done, {destroyed} grants destroyed, {alarms} alarms{}",
            exceptions(&wrong[..wrong.len().min(2)])
        ),
        destroyed == 0 && refused == races && renewed == races && alarms == 0 && row.version == races + 1,
    );
}

/// Calls in flight, in two hosts: one runs 64 at once.
const IN_FLIGHT: usize = 100;

#[test]
fn a10_calls_whose_token_a_renewal_ends_are_sent_once_more() {
    let jira = Jira::start_as(Config {
        personality: Personality::DataCenter,
        version: "9.12.0".parse().expect("a release"),
        context_path: "/jira".to_owned(),
        consent: Consent::Auto,
        ..Config::default()
    });
    let way = Held::before(jira.url().trim_end_matches("/jira"), "/issue/");
    let granted = Granted::with(jira, "data-center-oauth");
    granted.register(&["WRITE"], &[]);
    granted.authorize("demo", &["--set", &format!("site={}/jira", way.url())]).expect(0);
    granted.issue();
    let clock = LeapClock::new();
    let hosts = [(); 2].map(|()| host(&granted.stage.host.home(), "", clock.clone()));
    // Half of the calls in each.
    let read_in_both = |times: usize| {
        let (hosts, counted) = (hosts.clone(), Arc::<AtomicUsize>::default());
        crate::runtime::runtime().spawn(async move {
            let (one, other) = tokio::join!(
                read_at_once(&hosts[0], times / 2, &counted),
                read_at_once(&hosts[1], times / 2, &counted)
            );
            [one, other].concat()
        })
    };
    let mut wrong = Vec::new();
    let mut figures = Vec::new();
    for other_process in [true, false] {
        // So that the host knows that all goes well: it sends the more at once, the more went well.
        wrong.extend(wait_for(read_in_both(2 * IN_FLIGHT)).expect("no panic"));
        granted.stage.jira.forget_wire();
        let before = granted.renewals();
        way.hold(At::Request);
        let reading = read_in_both(IN_FLIGHT);
        way.wait_for(IN_FLIGHT);
        if other_process {
            granted.time_passes_here();
            granted.stage.run("search-issues", &json!({"jql": "project = DEMO"})).expect(0);
        } else {
            clock.set_ahead(PASSES);
            let input = json!({"jql": "project = DEMO"});
            let ran = wait_for(hosts[0].run_card("demo", "search-issues", &input, "s".to_owned(), |_| ()));
            wrong.extend(ran.err().map(|error| error.to_json().to_string()));
        }
        way.release();
        let failed = wait_for(reading).expect("no panic");
        let failures = failed.len();
        wrong.extend(failed);
        let reads = granted.stage.jira.calls("GET", "/issue/");
        let count = |status: u16| reads.iter().filter(|read| read["status"] == status).count();
        let after = granted.renewals();
        figures.push((count(401), count(200), reads.len(), after.0 - before.0, after.1 - before.1, failures));
    }
    let said = |(dead, well, all, renewed, refused, failures): &(usize, usize, usize, u64, u64, usize)| {
        format!(
            "{dead} met a dead token, {well} of {all} then answered, {renewed} renewals, {refused} refused, {failures} failures"
        )
    };
    let check = granted.stage.host.run(&["connection", "check", "demo"]).json();
    figure(
        "A10",
        &format!(
            "Data Center: a renewal ends the access token under {IN_FLIGHT} calls in flight of two hosts, by one of them or by a third"
        ),
        "each sent once more with the new token; extra renewals = 0; failures = 0",
        format!(
            "by a third: {}; by one of them: {}{}",
            said(&figures[0]),
            said(&figures[1]),
            exceptions(&wrong[..wrong.len().min(2)])
        ),
        wrong.is_empty()
            && figures.iter().all(|figure| *figure == (IN_FLIGHT, IN_FLIGHT, 2 * IN_FLIGHT, 1, 0, 0))
            && check["proven"] == true,
    );
}
