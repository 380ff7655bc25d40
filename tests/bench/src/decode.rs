//! Reading a delivery: the guest's own time on a warm instance against the same core compiled natively.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use host_harness::plugin::contract::event::{Delivery, Subscription};
use jira_connector::contract::event as native;
use serde_json::{Value, json};

use crate::bodies;
use crate::report::{Figure, Report, short};
use crate::rounds::{Samples, micros};
use crate::stage::{Stage, failed};

/// Deliveries of one turn.
const DELIVERIES: usize = 500;
const ROUNDS: usize = 9;
/// What Node does: verify, parse, extract.
const IN_NODE: &str = include_str!("decode.mjs");

fn delivery(body: &str) -> Delivery {
    Delivery {
        id: "d".to_owned(),
        registration: "1".to_owned(),
        method: "POST".to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        received_at_ms: 0,
        extra: "{}".to_owned(),
    }
}

fn subscription() -> Subscription {
    Subscription {
        id: "s".to_owned(),
        card: "issue-created".to_owned(),
        filter: json!({ "projects": ["DEMO"] }).to_string(),
        extra: "{}".to_owned(),
    }
}

/// What the component's glue does around the core, natively: the filter is parsed, the payload printed.
fn natively(delivery: &native::Delivery) -> Result<usize> {
    let filter: Value = serde_json::from_str(r#"{"projects":["DEMO"]}"#)?;
    let subscription = native::Subscription { id: "s".to_owned(), card: "issue-created".to_owned(), filter };
    let received = jira_connector::event::receive(delivery, &[subscription]).map_err(|error| anyhow!("{error}"))?;
    Ok(received.occurrences.iter().map(|one| one.payload.to_string().len()).sum())
}

/// What the way in and out of the guest costs is measured with `event.answer`, which is given the same delivery and
/// does nothing; the rest of `event.receive` is the guest's.
pub(crate) fn webhook(stage: &Stage, report: &mut Report) -> Result<()> {
    let body = bodies::delivery().to_string();
    let (delivery, subscriptions) = (delivery(&body), [subscription()]);
    let core = native::Delivery {
        id: "d".to_owned(),
        headers: Vec::new(),
        body: body.clone().into_bytes(),
        received_at_ms: 0,
    };
    ensure!(natively(&core)? > 1000, "the core reads nothing from the delivery");
    let (mut guest, mut bare, mut whole) = (Samples::default(), Samples::default(), Samples::default());
    stage.wait(async {
        let plugin = stage.host.load(&stage.component()).await.map_err(failed)?;
        let mut warm = plugin.keep_instance(None).await.map_err(|error| anyhow!("{error}"))?;
        for round in 0..=ROUNDS {
            let (mut way, mut received, mut native, mut fresh) = <(Samples, Samples, Samples, Samples)>::default();
            for _ in 0..DELIVERIES {
                native.push(timed(|| natively(&core).map(drop))?);
                let began = Instant::now();
                warm.answer(&delivery).await.map_err(|error| anyhow!("{error}"))?;
                way.push(micros(began.elapsed()));
                let began = Instant::now();
                warm.receive(&delivery, &subscriptions).await.map_err(|error| anyhow!("{error}"))?;
                received.push(micros(began.elapsed()));
                let began = Instant::now();
                plugin.receive(None, None, &delivery, &subscriptions).await.map_err(|error| anyhow!("{error}"))?;
                fresh.push(micros(began.elapsed()));
            }
            if round > 0 {
                guest.push(received.median() - way.median());
                bare.push(native.median());
                whole.push(fresh.median());
            }
        }
        anyhow::Ok(())
    })?;
    let against = format!("native core {} µs", short(bare.median()));
    let figure = Figure::of("decode-webhook", &guest, "µs").against(&against, bare.ratio_to(&guest));
    report.add(figure.ratio_at_least(0.6));
    let figure = Figure::of("decode-webhook-call", &whole, "µs");
    match in_node(&body) {
        Ok(node) => {
            let against = format!("Node verify, parse, extract {} µs", short(node));
            report.add(figure.against(&against, node / whole.median()));
        }
        Err(error) => {
            report.remark(format!("decode-webhook: not compared with Node: {error:#}"));
            report.add(figure);
        }
    }
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(micros(began.elapsed()))
}

/// The median of the same work in Node, in microseconds.
fn in_node(body: &str) -> Result<f64> {
    let mut node = Command::new("node")
        .args(["--input-type=module", "--eval", IN_NODE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("Node cannot be started")?;
    node.stdin.take().context("no pipe")?.write_all(body.as_bytes())?;
    let output = node.wait_with_output()?;
    ensure!(output.status.success(), "Node ended with {}", output.status);
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let took = told["median-us"].as_f64().context("Node printed no figure")?;
    Ok(took)
}
