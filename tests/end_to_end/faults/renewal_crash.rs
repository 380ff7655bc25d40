//! A7: a host is killed (SIGKILL) while it renews the tokens of a grant. Whatever it had written is whole; what the next
//! host can go on with, it goes on with; where it cannot, a person is told once.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::granted::{Granted, ISSUE, reader, row};
use super::held::{At, Held};
use crate::draw::Draw;
use crate::figure::{exceptions, figure};
use crate::harness::{Outcome, Started};
use crate::simulator::{eventually, text};

/// When it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// It is about to ask: it waits for the lock of those who ask.
    BeforeSend,
    /// It has asked, and that never arrives.
    AfterSendLost,
    /// It has asked; the service does as it was asked once nobody waits for it any more.
    AfterSend,
    /// The service has answered, and the answer is on its way.
    AfterAnswer,
    /// The answer is there, and is being written down: a little sooner or later.
    MidWrite,
    /// The new tokens are in the store, and nothing was sent with them yet.
    AfterWrite,
}

const POINTS: [Point; 6] =
    [Point::BeforeSend, Point::AfterSendLost, Point::AfterSend, Point::AfterAnswer, Point::MidWrite, Point::AfterWrite];

/// How often a host is killed in the midst of writing, and how often at each of the other points; both for each leeway.
struct Plan {
    id: &'static str,
    writes: usize,
    others: usize,
}

/// What was seen of the kills of one leeway.
#[derive(Default)]
struct Seen {
    kills: usize,
    recovered: usize,
    /// Ended in one clear "reconnect".
    over: usize,
    /// Killed while it wrote: nothing of it written, something, all.
    writes: [usize; 3],
    wrong: Vec<String>,
}

/// A grant whose tokens are renewed by a way that can be held.
struct Crash {
    granted: Granted,
    way: Held,
    leeway: bool,
    chance: Draw,
    seen: Seen,
}

impl Crash {
    fn new(leeway_s: u64) -> Self {
        let mut granted = Granted::connected();
        granted.stage.jira.settings(&json!({"refresh_leeway_s": leeway_s}));
        let way = Held::before(granted.stage.jira.url(), "/oauth/token");
        granted.leads_to(&way.url());
        Self { granted, way, leeway: leeway_s > 0, chance: Draw(7 + leeway_s), seen: Seen::default() }
    }

    fn start(&self) -> Started {
        let input = json!({"issue": ISSUE}).to_string();
        self.granted.stage.host.start(&["run", "get-issue", "--connection", "demo", "--input", &input])
    }

    /// Starts a host that has to renew, and kills it.
    fn kill_at(&mut self, point: Point) {
        match point {
            Point::BeforeSend => {
                let lock = self.lock();
                lock.lock().expect("nobody renews");
                let host = self.start();
                eventually("the host to wait for its turn", || waits_for_lock(&host).then_some(()));
                host.kill();
            }
            Point::AfterSendLost | Point::AfterSend | Point::AfterAnswer => {
                self.way.hold(if point == Point::AfterAnswer { At::Answer } else { At::Request });
                let host = self.start();
                self.way.wait_for(1);
                host.kill();
                match point {
                    Point::AfterSendLost => self.way.lose(),
                    _ => self.way.release(),
                }
            }
            Point::MidWrite => self.kill_while_it_writes(),
            Point::AfterWrite => {
                let db = reader(&self.granted.stage.host.home());
                let before = row(&db).version;
                let host = self.start();
                let begun = Instant::now();
                while row(&db).version == before {
                    assert!(begun.elapsed() < Duration::from_secs(60), "no tokens came within a minute");
                }
                host.kill();
            }
        }
    }

    /// Lets the answer arrive and kills the host as soon as its store changes, or a moment after the answer.
    fn kill_while_it_writes(&mut self) {
        self.way.hold(At::Answer);
        let host = self.start();
        self.way.wait_for(1);
        let before = self.written_at();
        let (sees, late) = (self.chance.below(4) > 0, Duration::from_micros(self.chance.below(400)));
        let alone = Duration::from_micros(self.chance.below(12_000));
        self.way.release();
        let begun = Instant::now();
        while begun.elapsed() < if sees { Duration::from_secs(60) } else { alone } {
            if sees && self.written_at() != before {
                let changed = Instant::now();
                while changed.elapsed() < late {}
                break;
            }
        }
        host.kill();
        let wrote = if self.written_at() == before { 0 } else { 1 };
        self.seen.writes[wrote] += 1;
    }

    /// When the log of the store was last written to.
    fn written_at(&self) -> Option<(SystemTime, u64)> {
        let log = std::fs::metadata(self.granted.stage.host.home().join("harness.db-wal")).ok()?;
        Some((log.modified().ok()?, log.len()))
    }

    fn lock(&self) -> File {
        let home = self.granted.stage.host.home();
        let id: String =
            reader(&home).query_row("SELECT id FROM credential", [], |row| row.get(0)).expect("there is a grant");
        let path = home.join(format!("renewing-{id}.lock"));
        File::options().create(true).append(true).open(path).expect("the lock's file can be opened")
    }

    /// One kill, and what the next host makes of it.
    fn round(&mut self, point: Point) {
        self.granted.time_passes();
        let (before, refused) = (self.granted.row(), self.granted.renewals().1);
        let (kept, alarms) = (self.place_of_kept(), self.granted.alarms());
        let given = self.way.issued().len();
        self.kill_at(point);
        // What was held goes its way: the service has done what it was asked for, or never will.
        let answered = matches!(point, Point::AfterSend | Point::AfterAnswer | Point::MidWrite | Point::AfterWrite);
        if answered {
            eventually("the service's answer", || Some(()).filter(|()| self.way.issued().len() > given));
        }
        let written = self.granted.row().version > before.version;
        if point == Point::MidWrite && written {
            self.seen.writes[1] -= 1;
            self.seen.writes[2] += 1;
        }
        self.seen.kills += 1;
        let lost = answered && !written;
        let next = self.granted.read();
        let wrong = match next.code {
            0 => self.recovered(lost, kept, before.version),
            _ => self.ended(&next, lost, refused, alarms),
        };
        if let Some(wrong) = wrong {
            self.seen.wrong.push(format!("{point:?}, leeway {}: {wrong}", self.leeway));
        }
    }

    /// The next host went on: rightly?
    fn recovered(&mut self, lost: bool, kept: Option<usize>, version: u64) -> Option<String> {
        self.seen.recovered += 1;
        let place = self.place_of_kept();
        let newest = place > kept && place == self.way.issued().len().checked_sub(1);
        match () {
            () if lost && !self.leeway => Some("it went on with tokens that the service had ended".to_owned()),
            () if !newest => Some("the store has other tokens than the newest".to_owned()),
            () if self.granted.row().version <= version => Some("its version is not higher".to_owned()),
            () => self.granted.row().dead.map(|dead| format!("it goes on and is over: {dead}")),
        }
    }

    /// The next host did not go on: because nothing else was left, and did it say so, once?
    fn ended(&mut self, next: &Outcome, lost: bool, refused: u64, alarms: usize) -> Option<String> {
        self.seen.over += 1;
        let error = next.json()["error"].clone();
        let clear = error["code"] == "host.grant-dead" && text(&error["remedy"]).contains("connection reauthorize");
        let again = self.granted.read();
        let (asked, told) = (self.granted.renewals().1 - refused, self.granted.alarms() - alarms);
        // A person authorizes it anew, and it lives.
        let healed = self.granted.reauthorize().code == 0 && self.granted.read().code == 0;
        match () {
            () if !lost || self.leeway => Some(format!("it could have gone on: {error}")),
            () if !clear => Some(format!("not a clear word: {error}")),
            () if again.code == 0 || asked != 1 || told != 1 => Some(format!("asked {asked} times, {told} alarms")),
            () => (!healed).then(|| "authorizing anew did not help".to_owned()),
        }
    }

    /// Which of the tokens that were ever given the store has: always a pair that belongs together. None: the first ones,
    /// or those of a person's authorization, which came another way.
    fn place_of_kept(&mut self) -> Option<usize> {
        let kept = self.granted.tokens();
        let issued = self.way.issued();
        let place = issued.iter().position(|pair| *pair == kept);
        if issued.iter().any(|pair| (pair.0 == kept.0) != (pair.1 == kept.1)) {
            self.seen.wrong.push("half of one pair of tokens with half of another".to_owned());
        }
        place
    }
}

/// Whether a process has opened the lock of those who renew.
fn waits_for_lock(host: &Started) -> bool {
    let open = std::fs::read_dir(format!("/proc/{}/fd", host.id()));
    let mut open = open.into_iter().flatten().flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    open.any(|path| path.to_string_lossy().contains("renewing-"))
}

fn crash(plan: &Plan) {
    let run = |leeway_s: u64| {
        let mut crash = Crash::new(leeway_s);
        for point in POINTS {
            let times = if point == Point::MidWrite { plan.writes } else { plan.others };
            (0..times).for_each(|_| crash.round(point));
        }
        crash.seen
    };
    // One beside the other: what takes long is waiting.
    let (without, with) = std::thread::scope(|scope| {
        let with = scope.spawn(|| run(600));
        (run(0), with.join().expect("no panic"))
    });
    let wrong: Vec<_> = without.wrong.iter().chain(&with.wrong).take(4).collect();
    let said = |seen: &Seen| {
        let [none, some, all] = seen.writes;
        format!(
            "{} of {} recovered, {} ended in one clear reconnect (killed while writing: {none} with nothing written, \
             {some} in the midst, {all} with all)",
            seen.recovered, seen.kills, seen.over
        )
    };
    figure(
        plan.id,
        &format!("SIGKILL at 6 points of a renewal, {} kills in the midst of writing for each leeway", plan.writes),
        "leeway 600 s: 100 % recover; leeway 0: all but those whose answer was given and not yet written, which end in \
         one clear reconnect; no older token over a newer one",
        format!(
            "leeway 600 s: {}; leeway 0: {}; wrong: {}{}",
            said(&with),
            said(&without),
            wrong.len(),
            exceptions(&wrong)
        ),
        wrong.is_empty()
            && with.recovered == with.kills
            && without.recovered + without.over == without.kills
            && without.kills == plan.writes + 5 * plan.others
            && without.over >= 2 * plan.others,
    );
}

#[test]
fn a7_a_host_that_is_killed_while_it_renews_loses_nothing_that_can_be_kept() {
    crash(&Plan { id: "A7", writes: 6, others: 1 });
}

#[test]
#[ignore = "long: hundreds of kills (cargo xtask test --long)"]
fn a7_the_same_hundreds_of_times() {
    crash(&Plan { id: "A7-long", writes: 300, others: 20 });
}
