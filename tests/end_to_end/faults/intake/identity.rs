//! W7, W8, W17: what makes a delivery the same, for how long, and for whom.

use rusqlite::Connection;

use super::sender::{Sender, WATCH, all_read, created, now_ms, starts, store, watching};
use crate::figure::figure;
use crate::simulator::{Jira, eventually};
use crate::stage::Stage;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn alarms(stage: &Stage, code: &str) -> usize {
    stage.host.run(&["alarms"]).list().iter().filter(|alarm| alarm["code"] == code).count()
}

#[test]
fn w7_the_same_identifier_from_two_sites_is_two_deliveries() {
    let stage = Stage::connected();
    let other = Jira::start();
    let account = other.account("admin");
    let added = stage.connect_at("second", other.url(), &account.email, &account.token, &[]);
    assert_eq!(added.code, 0, "{added:#?}");
    stage.host.file("flows/first.yaml", WATCH);
    let second = WATCH.replacen("name: watch", "name: second", 1).replacen("connection: demo", "connection: second", 1);
    stage.host.file("flows/second.yaml", second);
    let _serving = stage.host.serve(&["--flows", "flows"]);
    let senders = [Sender::of(&stage, "demo", &stage.jira), Sender::of(&stage, "second", &other)];
    let body = created(1, now_ms(), 0);
    let statuses: Vec<u16> = senders.iter().map(|sender| sender.deliver("w7-same", &body)).collect();
    eventually("the runs", || Some(()).filter(|()| starts(&stage) >= 2));
    let crossed = senders[0].deliver_with(
        &body,
        &[("x-atlassian-webhook-identifier", "w7-other"), ("x-hub-signature", &senders[1].signature(&body))],
    );
    all_read(&stage);
    figure(
        "W7",
        "one identifier, from two sites",
        "2 starts",
        format!("{} starts; acknowledged {statuses:?}; signed by the other site: {crossed}", starts(&stage)),
        starts(&stage) == 2 && statuses == [200, 200] && crossed == 401,
    );
}

#[test]
fn w8_an_identifier_that_is_used_again_for_another_body_starts_nothing_and_raises_an_alarm() {
    let (stage, _serving, sender) = watching();
    let statuses = [1, 2, 1].map(|number| sender.deliver("w8", &created(number, 1_792_007_200_123, 0)));
    all_read(&stage);
    eventually("the run", || Some(()).filter(|()| starts(&stage) >= 1));
    let raised = alarms(&stage, "host.delivery-differs");
    figure(
        "W8",
        "one identifier, two bodies",
        "1 start, 1 alarm",
        format!("{} start, {raised} alarm; answers {statuses:?}", starts(&stage)),
        starts(&stage) == 1 && raised == 1 && statuses == [200; 3],
    );
}

/// Makes all that is stored so much older.
fn age(stage: &Stage, days: u64) {
    let db = Connection::open(stage.host.home().join("harness.db")).expect("the store opens");
    db.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout can be set");
    for column in [
        "delivery SET received_at_ms = received_at_ms",
        "event SET received_at_ms = received_at_ms",
        "run SET created_at_ms = created_at_ms",
        "run SET ended_at_ms = ended_at_ms",
        "seen SET at_ms = at_ms",
    ] {
        db.execute(&format!("UPDATE {column} - ?1"), [days * DAY]).expect("the store can be changed");
    }
}

#[test]
fn w17_a_captured_delivery_starts_nothing_however_late_it_is_sent_again() {
    let (stage, serving, sender) = watching();
    let address = serving.url().trim_start_matches("http://").to_owned();
    let body = created(1, now_ms(), 0);
    let mut statuses = vec![sender.deliver("w17", &body)];
    eventually("the run", || Some(()).filter(|()| starts(&stage) == 1));
    statuses.push(sender.deliver("w17", &body));
    drop(serving);
    // 29 days later the body is gone, 60 days later the run; what is known is the id.
    let mut left = Vec::new();
    for days in [29, 31] {
        age(&stage, days);
        let serving = stage.host.serve_at(&address, &["--flows", "flows"]);
        let kept = store(&stage);
        let expected = usize::from(days == 29);
        eventually("what is old to go", || Some(()).filter(|()| kept.events(9).expect("read").len() == expected));
        statuses.push(sender.deliver("w17", &body));
        // Under another identifier, its event is still known.
        statuses.push(sender.deliver(&format!("w17-{days}"), &body));
        all_read(&stage);
        left.push(starts(&stage));
        drop(serving);
    }
    let _serving = stage.host.serve_at(&address, &["--flows", "flows"]);
    // It was never seen here, and is older than anything that could be known.
    statuses.push(sender.deliver("w17-ancient", &created(7, now_ms() - 100 * DAY, 0)));
    all_read(&stage);
    let (late_alarms, replayed) = (alarms(&stage, "host.event-late"), starts(&stage));
    // Late, but genuine.
    statuses.push(sender.deliver("w17-late", &created(2, now_ms() - 95 * MINUTE, 0)));
    eventually("the late run", || Some(()).filter(|()| starts(&stage) > replayed));
    let late = starts(&stage) - replayed;
    figure(
        "W17",
        "a captured delivery again after minutes, 29 and 60 days; one of 100 days ago; a genuine one 95 min late",
        "replays: 2xx, 0 starts, an alarm where ids cannot know it; the late one starts",
        format!(
            "runs left after 29 and 60 days {left:?}; {late_alarms} alarm; late one {late} start; answers {statuses:?}"
        ),
        left == [1, 0]
            && replayed == 0
            && late_alarms == 1
            && late == 1
            && statuses.iter().all(|status| *status == 200),
    );
}
