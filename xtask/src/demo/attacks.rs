//! The other half of the story: what goes wrong in the world, and does no harm.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

use super::Stage;
use super::flow::{Run, eventually, runs};
use super::story::{Step, Story};

/// How many calls are made with the revoked token.
const CALLS: usize = 10;

/// The most of them that may reach Jira: it locks an account after a few more.
const AT_MOST: usize = 2;

/// Long enough for a run that should not be there to show itself.
const SUSPENSE: Duration = Duration::from_millis(700);

pub(super) fn tell(stage: &Stage<'_>, story: &mut Story, run: &Run) -> Result<()> {
    story.step(
        "A stranger forges a delivery",
        "Somebody who knows the address sends an event that Jira never signed.",
        |step| forge(stage, step, run),
    )?;
    story.step(
        "Jira delivers twice",
        "It does so when an answer is slow. The second time must start nothing.",
        |step| deliver_again(stage, step, run),
    )?;
    story.step(
        "The token is revoked",
        "Jira locks accounts that keep failing to sign in. The host must stop by itself, at once.",
        |step| revoke(stage, step, run),
    )
}

fn forge(stage: &Stage<'_>, step: &mut Step, run: &Run) -> Result<()> {
    let before = runs(stage)?.len();
    let (headers, body) = genuine(stage, run)?;
    // A fresh identifier: the refusal must not come from having seen it before.
    let identifier = |name: &str| name.eq_ignore_ascii_case("x-atlassian-webhook-identifier");
    let signature = |name: &str| name.eq_ignore_ascii_case("x-hub-signature");
    let fresh = |(name, value): (String, String)| {
        let value = if identifier(&name) { "forged-0001".to_owned() } else { value };
        (name, value)
    };
    let signed: Vec<_> = headers.into_iter().map(fresh).collect();
    ensure!(signed.iter().any(|(name, _)| signature(name)), "Jira's own delivery was not signed: {signed:?}");
    let unsigned: Vec<_> = signed.iter().filter(|(name, _)| !signature(name)).cloned().collect();
    let changed = body.replacen("second floor", "third floor", 1);
    ensure!(changed != body, "the delivery does not hold the issue's summary");

    let attempts = [
        ("another body under Jira's own signature", &signed, &changed),
        ("the true body without a signature", &unsigned, &body),
    ];
    for (what, headers, body) in attempts {
        let answer = stage.jira.post(&run.hook, headers, body)?;
        ensure!(answer.status == 401, "{what} was answered with {}", answer.status);
        step.proved(&format!("{what}: refused with 401"));
    }
    nothing_started(stage, step, before)
}

/// The exact headers and body of Jira's delivery, without those a client sets itself.
fn genuine(stage: &Stage<'_>, run: &Run) -> Result<(Vec<(String, String)>, String)> {
    let request = stage.jira.observe(&format!("/webhooks/deliveries/{}/request", run.delivery))?;
    let own = ["host", "content-length", "connection", "transfer-encoding", "accept-encoding"];
    let sent = request["headers"].as_object().context("the simulator shows no headers of the delivery")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut headers: Vec<_> = sent.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    headers.retain(|(name, _)| !own.contains(&name.to_ascii_lowercase().as_str()));
    let body = request["body"].as_str().context("the simulator shows no body of the delivery")?;
    Ok((headers, body.to_owned()))
}

fn deliver_again(stage: &Stage<'_>, step: &mut Step, run: &Run) -> Result<()> {
    let before = runs(stage)?.len();
    stage.jira.make(&format!("/webhooks/deliveries/{}/redeliver", run.delivery))?.json()?;
    step.proved("Jira sent the same delivery again, with its true signature");
    eventually(step, "waiting for the host's answer", || {
        let deliveries = stage.jira.observe("/webhooks/deliveries")?;
        let mut all = deliveries.as_array().into_iter().flatten();
        let attempts = all.find(|one| one["identifier"] == *run.delivery).map(|one| one["attempts"].clone());
        let attempts = attempts.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let last = attempts.last().filter(|_| attempts.len() > 1);
        Ok(last.and_then(|attempt| attempt["status"].as_u64()).filter(|status| *status == 200))
    })?;
    step.proved("the host took it with 200, so that Jira stops repeating it");
    nothing_started(stage, step, before)
}

fn nothing_started(stage: &Stage<'_>, step: &mut Step, before: usize) -> Result<()> {
    let waiting = step.waiting("waiting whether a flow starts");
    thread::sleep(SUSPENSE);
    drop(waiting);
    let after = runs(stage)?.len();
    stage.harness.look(step, &["runs", "list"])?;
    ensure!(after == before, "{} flow runs were started", after - before);
    step.proved(&format!("nothing was started: still {after} flow run"));
    Ok(())
}

fn revoke(stage: &Stage<'_>, step: &mut Step, run: &Run) -> Result<()> {
    let account = stage.jira.administrator()?;
    let since = stage.jira.observe("/wire")?["next"].clone();
    stage.jira.make(&format!("/accounts/{}/revoke-token", account.name))?;

    let input = json!({ "issue": run.issue }).to_string();
    let arguments = ["run", "get-issue", "--connection", "demo", "--input", &input];
    step.command(&["harness"], &arguments);
    step.shows(&format!("({CALLS} times at once)"));
    let waiting = step.waiting("calling");
    let replies = thread::scope(|scope| {
        let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(|| stage.harness.quietly(&arguments, ""))).collect();
        calls
            .into_iter()
            .map(|call| call.join().unwrap_or_else(|_| anyhow::bail!("a call panicked")))
            .collect::<Result<Vec<_>>>()
    })?;
    drop(waiting);
    let last = stage.harness.call(step, &arguments)?;
    step.shows(&last.failure());

    ensure!(replies.iter().chain([&last]).all(|reply| reply.code != Some(0)), "a call with a revoked token succeeded");
    let wire = stage.jira.observe(&format!("/wire?since={since}"))?;
    let entries = wire["entries"].as_array().context("the simulator shows no wire log")?;
    let failed = entries.iter().filter(|entry| entry["login"] != "ok").count();
    ensure!(failed > 0, "no call reached Jira, so this shows nothing");
    ensure!(failed <= AT_MOST, "{failed} failed sign-ins reached Jira; more than {AT_MOST} put the account at risk");
    step.proved(&format!("{} calls failed, and only {failed} of them reached Jira", CALLS + 1));
    Ok(())
}
