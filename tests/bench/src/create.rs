//! Creating an issue: one request each, through the host as a person's `harness run` goes, and natively.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use host_harness::host::Host;
use host_harness::plugin::KeptInstance;
use host_harness::plugin::contract::{action, types};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::native::Native;
use crate::report::{Figure, Report, short};
use crate::rounds::{Samples, Spent, micros};
use crate::stage::{CONNECTION, Stage, failed};

/// How many are created at once.
const AT_ONCE: usize = 32;
/// How long each side works in a round.
const TURN: Duration = Duration::from_millis(700);
const ROUNDS: usize = 7;
/// Creations of one turn, one after the other.
const IN_A_ROW: usize = 150;

/// What is created: the card's input.
pub(crate) fn input() -> Value {
    json!({
        "project": "DEMO",
        "issue-type": "Bug",
        "summary": "The door does not close",
        "description": "Seen **twice** this week, and nobody knows why.",
    })
}

/// The same as Jira takes it.
fn body() -> Value {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let mut strong = text("twice");
    strong["marks"] = json!([{ "type": "strong" }]);
    let words = json!([text("Seen "), strong, text(" this week, and nobody knows why.")]);
    json!({
        "fields": {
            "project": { "key": "DEMO" },
            "issuetype": { "name": "Bug" },
            "summary": "The door does not close",
            "description": { "type": "doc", "version": 1, "content": [{ "type": "paragraph", "content": words }] },
        },
        "properties": [{ "key": "workflow-connector.op", "value": { "id": "run-0000000000000001" } }],
    })
}

/// Creates one issue through the host.
async fn create(host: &Host, input: &Value, key: String) -> Result<()> {
    let ran = host.run_card(CONNECTION, "create-issue", input, key, |_| {}).await.map_err(failed)?;
    ensure!(ran.value()["key"] == "DEMO-1", "the card answered {}", ran.output);
    Ok(())
}

/// Instances that are kept, for as many calls at once: what a fresh one for each call costs is the difference.
#[derive(Clone)]
struct Kept {
    instances: Arc<Mutex<Vec<KeptInstance>>>,
    settings: String,
    input: String,
}

impl Kept {
    async fn of(host: &Host, input: &Value) -> Result<Self> {
        let session = host.session_of(CONNECTION).await.map_err(failed)?;
        let mut instances = Vec::new();
        for _ in 0..AT_ONCE {
            let made = session.plugin.keep_instance(Some(session.access.clone())).await;
            instances.push(made.map_err(|error| anyhow!("{error}"))?);
        }
        let settings = session.connection.settings.clone();
        Ok(Self { instances: Arc::new(Mutex::new(instances)), settings, input: input.to_string() })
    }

    /// Creates one issue in an instance that nobody else uses now.
    async fn create(&self, key: String) -> Result<()> {
        let free = || self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        let mut instance = free().pop().context("every kept instance is in use")?;
        let connection = types::Connection {
            id: CONNECTION.to_owned(),
            settings: self.settings.clone(),
            authorization: None,
            extra: "{}".to_owned(),
        };
        let call = types::Call {
            connection,
            deadline_ms: 30_000,
            idempotency_key: Some(key),
            held: Vec::new(),
            granted_scopes: None,
            memo: None,
            extra: "{}".to_owned(),
        };
        let invoked = instance.invoke(&call, "create-issue", &self.input).await;
        let invoked = invoked.map_err(|error| anyhow!("{error}"))?;
        free().push(instance);
        match invoked.step {
            action::Step::Done(output) if output.contains("DEMO-1") => Ok(()),
            _ => bail!("the card did not answer with a key"),
        }
    }
}

/// Does something over and over, in so many tasks at once, until the turn is over; answers how often. Each time has a
/// number of its own.
pub(crate) async fn at_once<F>(work: impl Fn(u64) -> F + Clone + Send + 'static) -> Result<u64>
where
    F: Future<Output = Result<()>> + Send,
{
    let until = Instant::now() + TURN;
    let mut tasks = JoinSet::new();
    for place in 0..AT_ONCE as u64 {
        let work = work.clone();
        tasks.spawn(async move {
            let mut done = 0;
            while Instant::now() < until {
                work(place << 32 | done).await?;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut all = 0;
    while let Some(done) = tasks.join_next().await {
        all += done??;
    }
    Ok(all)
}

/// The processor time of one creation where many are under way.
pub(crate) fn cpu(stage: &Stage, report: &mut Report) -> Result<()> {
    let (input, body) = (Arc::new(input()), Arc::new(body()));
    stage.wait(async {
        let native = Native::new(stage.fixed.quick)?;
        let (mut ours, mut floor) = (Samples::default(), Samples::default());
        let kept = Kept::of(&stage.host, &input).await?;
        let mut kept_cpu = Samples::default();
        let (mut our_rate, mut floor_rate) = (Samples::default(), Samples::default());
        // The first round warms up: connections, caches, pages.
        for round in 0..=ROUNDS {
            report.doing(format!("create-issue-cpu: round {round} of {ROUNDS}"));
            let (native, body) = (native.clone(), Arc::clone(&body));
            let natively = move |_| {
                let (native, body) = (native.clone(), Arc::clone(&body));
                async move { native.create(&body).await.map(drop) }
            };
            let (host, input) = (Arc::clone(&stage.host), Arc::clone(&input));
            let through = move |number| {
                let (host, input) = (Arc::clone(&host), Arc::clone(&input));
                async move { create(&host, &input, format!("r{round}-{number}")).await }
            };
            let kept = kept.clone();
            let in_kept = move |number| {
                let kept = kept.clone();
                async move { kept.create(format!("k{round}-{number}")).await }
            };
            let natively = Spent::on(async || at_once(natively).await).await?;
            let through = Spent::on(async || at_once(through).await).await?;
            let in_kept = Spent::on(async || at_once(in_kept).await).await?;
            if round > 0 {
                floor.push(natively.cpu_each());
                ours.push(through.cpu_each());
                kept_cpu.push(in_kept.cpu_each());
                floor_rate.push(natively.rate());
                our_rate.push(through.rate());
            }
        }
        let against = format!("native {} µs", short(floor.median()));
        let figure = Figure::of("create-issue-cpu", &ours, "µs").against(&against, floor.ratio_to(&ours));
        report.add(figure.ratio_at_least(0.10));
        let figure = Figure::of("create-issue-cpu-kept", &kept_cpu, "µs").against(&against, floor.ratio_to(&kept_cpu));
        report.add(figure.ratio_at_least(0.25));
        let against = format!("native {}/s", short(floor_rate.median()));
        let ratio = our_rate.ratio_to(&floor_rate);
        report.add(Figure::of("create-issue-rate", &our_rate, "/s").against(&against, ratio));
        Ok(())
    })
}

/// How long one creation takes where nothing else is under way.
pub(crate) fn latency(stage: &Stage, report: &mut Report) -> Result<()> {
    let (input, body) = (input(), body());
    stage.wait(async {
        let native = Native::new(stage.fixed.quick)?;
        let (mut ours, mut floor) = (Samples::default(), Samples::default());
        for round in 0..=ROUNDS {
            let (mut natively, mut through) = (Samples::default(), Samples::default());
            for number in 0..IN_A_ROW {
                let began = Instant::now();
                native.create(&body).await?;
                natively.push(micros(began.elapsed()));
                let began = Instant::now();
                create(&stage.host, &input, format!("l{round}-{number}")).await?;
                through.push(micros(began.elapsed()));
            }
            if round > 0 {
                floor.push(natively.median());
                ours.push(through.median());
            }
        }
        let against = format!("native median {} µs", short(floor.median()));
        let over = ours.minus(&floor);
        let figure = Figure::of("create-issue-latency", &over, "µs").against(&against, None);
        report.add(figure.at_most(200.0));
        Ok(())
    })
}
