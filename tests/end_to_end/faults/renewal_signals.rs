//! A7: a command is ended by a signal while it renews the tokens of a grant. It waits for what is on its way: nothing is
//! lost, whatever the service forgives.

use std::time::Duration;

use serde_json::json;

use super::granted::{Granted, ISSUE};
use super::held::{At, Held};
use crate::figure::{exceptions, figure};

const SIGNALS: [(&str, i32); 3] = [("INT", 130), ("TERM", 143), ("HUP", 129)];

#[test]
fn a7_a_command_that_is_ended_by_a_signal_waits_for_tokens_that_are_on_their_way() {
    let mut granted = Granted::connected();
    granted.stage.jira.settings(&json!({"refresh_leeway_s": 0}));
    let way = Held::before(granted.stage.jira.url(), "/oauth/token");
    granted.leads_to(&way.url());
    let input = json!({"issue": ISSUE}).to_string();
    let mut wrong = Vec::new();
    let mut judge = |what: &str, code: i32, expected: i32| {
        let next = granted.read();
        if code != expected || next.code != 0 || granted.alarms() != 0 {
            wrong.push(format!("{what}: exit {code}, then exit {}: {}", next.code, next.stdout));
        }
    };
    for (name, code) in SIGNALS {
        granted.time_passes();
        way.hold(At::Answer);
        let command = granted.stage.host.start(&["run", "get-issue", "--connection", "demo", "--input", &input]);
        way.wait_for(1);
        command.signal(name);
        // Long enough for the command to do whatever it does about it.
        std::thread::sleep(Duration::from_millis(200));
        way.release();
        judge(name, command.finish().code, code);
    }
    // Who sends a second one does not want to wait. The service forgives it here.
    granted.stage.jira.settings(&json!({"refresh_leeway_s": 600}));
    granted.time_passes();
    way.hold(At::Answer);
    let command = granted.stage.host.start(&["run", "get-issue", "--connection", "demo", "--input", &input]);
    way.wait_for(1);
    command.signal("TERM");
    std::thread::sleep(Duration::from_millis(200));
    command.signal("TERM");
    let code = command.finish().code;
    way.release();
    judge("TERM twice", code, 143);
    figure(
        "A7-signals",
        "SIGINT, SIGTERM, SIGHUP while the answer of a renewal is on its way, leeway 0; a second one at once",
        "the grant lives; the command ends as that signal ends one",
        format!("{} of {} as they should be{}", 4 - wrong.len(), 4, exceptions(&wrong)),
        wrong.is_empty(),
    );
}
