//! Other people's clients on the same work in the same run, each alone on the same core.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::create::{self, at_once};
use crate::report::{Figure, Report, short};
use crate::rounds::{Samples, Spent};
use crate::stage::{CONNECTION, Stage, failed};

const ROUNDS: usize = 3;
/// How long a peer does each work in a round.
const SECONDS: &str = "1.5";

/// What all of them do: its name, our card and its input, and how many times cheaper it is to be than with jira.js and
/// with Python's jira.
struct Work {
    name: &'static str,
    card: &'static str,
    input: Value,
    goals: [f64; 2],
}

fn works() -> [Work; 3] {
    let search = json!({ "jql": "project = DEMO ORDER BY created DESC", "max-results": 50 });
    [
        Work { name: "create", card: "create-issue", input: create::input(), goals: [6.0, 8.0] },
        Work { name: "get", card: "get-issue", input: json!({ "issue": "DEMO-1" }), goals: [3.0, 3.0] },
        Work { name: "search", card: "search-issues", input: search, goals: [1.0, 1.0] },
    ]
}

/// What one side spent on each work: processor time, and how many a second.
#[derive(Default)]
struct Side {
    cpu: [Samples; 3],
    rate: [Samples; 3],
}

impl Side {
    fn add(&mut self, work: usize, cpu: f64, rate: f64) {
        self.cpu[work].push(cpu);
        self.rate[work].push(rate);
    }
}

/// `installed` is the folder that `cargo xtask test --hosts` and `cargo xtask bench --peers` install packages in.
pub(crate) fn compare(stage: &Stage, report: &mut Report, installed: &Path) -> Result<()> {
    let scripts = installed.join("scripts");
    let works = works();
    let (mut ours, mut peers) = (Side::default(), [Side::default(), Side::default()]);
    for round in 1..=ROUNDS {
        report.doing(format!("peers: round {round} of {ROUNDS}"));
        for (place, work) in works.iter().enumerate() {
            let spent = ourselves(stage, work)?;
            ours.add(place, spent.cpu_each(), spent.rate());
        }
        let mut node = Command::new("node");
        let mut python = Command::new(installed.join("venv/bin/python"));
        let commands = [node.arg("bench/jira_js.mjs"), python.arg("bench/python_jira.py")];
        for (side, command) in peers.iter_mut().zip(commands) {
            let told = theirs(stage, command.current_dir(&scripts))?;
            for (place, work) in works.iter().enumerate() {
                let number = |name: &str| told[work.name][name].as_f64().with_context(|| format!("no {name}: {told}"));
                side.add(place, number("cpu-us")?, number("rate")?);
            }
        }
    }
    for (place, work) in works.iter().enumerate() {
        for ((name, goal), side) in ["jira.js", "python jira"].iter().zip(work.goals).zip(&peers) {
            let against =
                format!("{name} {} µs, {}/s", short(side.cpu[place].median()), short(side.rate[place].median()));
            let figure = Figure::of(&format!("peers-{}", work.name), &ours.cpu[place], "µs");
            report.add(figure.against(&against, side.cpu[place].ratio_to(&ours.cpu[place])).ratio_at_least(goal));
        }
    }
    Ok(())
}

fn ourselves(stage: &Stage, work: &Work) -> Result<Spent> {
    let (host, input, card) = (Arc::clone(&stage.host), Arc::new(work.input.clone()), work.card);
    let run = move |number| {
        let (host, input) = (Arc::clone(&host), Arc::clone(&input));
        async move {
            let ran = host.run_card(CONNECTION, card, &input, format!("p-{number}"), |_| {}).await.map_err(failed)?;
            // An output is a text that was checked; whoever wants it as a tree makes one.
            ensure!(ran.output.contains(r#""key":"DEMO-1""#), "`{card}` answered something else");
            Ok(())
        }
    };
    stage.wait(Spent::on(async || at_once(run).await))
}

fn theirs(stage: &Stage, command: &mut Command) -> Result<Value> {
    command.env("BASE_URL", format!("http://{}", stage.fixed.quick)).env("SECONDS", SECONDS);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
