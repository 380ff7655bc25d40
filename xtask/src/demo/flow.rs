//! The good half of the story: from a site, an e-mail address and a token to an
//! issue that a flow changed.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::story::{Step, Story};
use super::{FLOWS, Stage};

const PROJECT: &str = "DEMO";
const SUMMARY: &str = "Printer on the second floor is on fire";
/// What the flow of `examples/flows/triage-new-bugs.yaml` makes of the summary.
const TRIAGED: &str = "[triage] Printer on the second floor is on fire";
const PATIENCE: Duration = Duration::from_secs(30);

/// What the good half leaves for the attacks.
pub(super) struct Run {
    /// The issue that was created, `DEMO-1` for instance.
    pub(super) issue: String,
    /// Where Jira delivered to, and under which identifier.
    pub(super) delivery: String,
    pub(super) hook: String,
}

pub(super) fn tell(stage: &Stage<'_>, story: &mut Story) -> Result<Run> {
    story.step("Look at the connector before trusting it", "What a security reviewer asks first.", |step| {
        inspect(stage, step)
    })?;
    story.step(
        "Make a connection and check its health",
        "A site, an e-mail address and an API token. The token goes into the host's vault, not to the connector.",
        |step| connect(stage, step),
    )?;
    story.step("Check the webhook limit", "A Jira Cloud site holds 100 webhooks. Is there room?", |step| {
        check_quota(stage, step)
    })?;
    story.step(
        "Start the host with a flow",
        "When a bug is created, a flow marks it for triage. The host registers one signed webhook for it.",
        |step| serve(stage, step),
    )?;
    let issue = story.step(
        "Create an issue with an action card",
        "As any workflow would: typed input, typed output.",
        |step| create(stage, step),
    )?;
    let (delivery, hook) =
        story.step("Jira tells the host", "Jira delivers the signed webhook to the host on its own.", |step| {
            delivered(stage, step)
        })?;
    story.step(
        "The flow runs",
        "The event card decoded the delivery; the flow mapped it into a second action card.",
        |step| flow_ran(stage, step, &issue),
    )?;
    story.step(
        "Read the result back from Jira",
        "Through an action card, and from Jira itself as a second witness.",
        |step| read_back(stage, step, &issue),
    )?;
    Ok(Run { issue, delivery, hook })
}

fn inspect(stage: &Stage<'_>, step: &mut Step) -> Result<()> {
    let found = stage.harness.look(step, &["inspect", &stage.component])?.done()?;
    let imports: Vec<_> = texts(&found["imports"]);
    ensure!(!imports.is_empty(), "`harness inspect` lists no imports: {found}");
    let allowed = ["wasi:http/", "wasi:io/", "wasi:clocks/", "wasi:random/"];
    let surprising: Vec<_> =
        imports.iter().filter(|import| !allowed.iter().any(|package| import.starts_with(package))).collect();
    ensure!(surprising.is_empty(), "the connector asks for more than HTTP, clocks and randomness: {surprising:?}");
    step.proved("no files, no sockets, no environment: it can only ask the host to send HTTP requests");
    Ok(())
}

fn connect(stage: &Stage<'_>, step: &mut Step) -> Result<()> {
    let account = stage.jira.administrator()?;
    let site = format!("site={}", stage.jira.site());
    let email = format!("email={}", account.email);
    // `--allow-private` because this Jira is on loopback without TLS.
    let arguments = [
        "connection",
        "add",
        "demo",
        "--connector",
        &stage.component,
        "--method",
        "api-token",
        "--set",
        &site,
        "--set",
        &email,
        "--secret",
        "token=-",
        "--allow-private",
    ];
    let added = stage.harness.call_with(step, &arguments, &account.token)?.done()?;
    for finding in added["health"]["findings"].as_array().into_iter().flatten() {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        step.shows(&format!("{:8} {}", text("outcome"), text("message")));
    }
    ensure!(added["health"]["proven"] == true, "the connection is not proven: {added}");
    let shown = stage.harness.call(step, &["connection", "show", "demo"])?.done()?;
    ensure!(!shown.to_string().contains(&account.token), "the token is shown with the connection");
    step.proved(&format!("signed in as {} and proved by Jira's own answer", account.email));
    step.proved("what is shown of the connection does not hold the token");
    Ok(())
}

fn check_quota(stage: &Stage<'_>, step: &mut Step) -> Result<()> {
    let quota = stage.harness.look(step, &["quota", "--connection", "demo"])?.done()?;
    ensure!(quota["standing"] == "fine", "the standing is {}", quota["standing"]);
    step.proved("there is room, counted at Jira and not guessed");
    Ok(())
}

fn serve(stage: &Stage<'_>, step: &mut Step) -> Result<()> {
    let text = flow_text(stage)?;
    let comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    for line in text.lines().filter(|line| !comment(line)) {
        step.shows(line);
    }
    let ready = stage.harness.serve(step, &["serve", "--listen", "127.0.0.1:0", "--flows", FLOWS])?;
    let ready: Value = serde_json::from_str(&ready.greeting).context("`harness serve` printed an unexpected line")?;
    step.shows(&format!("reached at {}", ready["public-url"]));
    let account = stage.jira.administrator()?;
    let hooks = eventually(step, "waiting for the webhook", || {
        let hooks = stage.jira.jira(account, "/rest/webhooks/1.0/webhook")?.json()?;
        Ok(hooks.as_array().filter(|hooks| !hooks.is_empty()).cloned())
    })?;
    ensure!(hooks.len() == 1, "{} webhooks were registered instead of one", hooks.len());
    let signed = &hooks[0]["isSigned"];
    step.proved(&format!(
        "Jira lists one webhook for {}{}",
        hooks[0]["events"],
        if signed == &json!(true) { ", and signs what it sends" } else { "" }
    ));
    Ok(())
}

fn create(stage: &Stage<'_>, step: &mut Step) -> Result<String> {
    let input = json!({
        "project": PROJECT,
        "issue-type": "Bug",
        "summary": SUMMARY,
        "description": "It burns **brightly**. Seen by everybody on the second floor.",
    });
    let arguments = ["run", "create-issue", "--connection", "demo", "--input", &input.to_string()];
    let created = stage.harness.call(step, &arguments)?.done()?;
    let key = created["key"].as_str().with_context(|| format!("the card did not answer a key: {created}"))?;
    step.proved(&format!("Jira created {key}"));
    Ok(key.to_owned())
}

fn delivered(stage: &Stage<'_>, step: &mut Step) -> Result<(String, String)> {
    let delivery = eventually(step, "waiting for Jira's delivery", || {
        let deliveries = stage.jira.observe("/webhooks/deliveries")?;
        let mut list = deliveries.as_array().into_iter().flatten();
        Ok(list.find(|delivery| delivery["state"] == "delivered").cloned())
    })?;
    let text = |name: &str| {
        delivery[name].as_str().map(str::to_owned).with_context(|| format!("the delivery has no {name}: {delivery}"))
    };
    let (identifier, hook) = (text("identifier")?, text("url")?);
    step.proved(&format!("Jira delivered {} and the host accepted it", text("event")?));
    Ok((identifier, hook))
}

fn flow_ran(stage: &Stage<'_>, step: &mut Step, issue: &str) -> Result<()> {
    let run = eventually(step, "waiting for the flow", || {
        let runs = runs(stage)?;
        Ok(runs.into_iter().find(is_over))
    })?;
    stage.harness.look(step, &["runs", "list"])?;
    let id = run["id"].as_str().context("the run has no id")?;
    let shown = stage.harness.look(step, &["runs", "show", id])?.done()?;
    let state = run["state"].as_str().unwrap_or_default();
    ensure!(state == "done", "the run ended as {state}: {shown}");
    ensure!(shown.to_string().contains(issue), "the run is not about {issue}: {shown}");
    step.proved(&format!("one run, {state}: triage-new-bugs → update-issue {issue}"));
    Ok(())
}

fn read_back(stage: &Stage<'_>, step: &mut Step, issue: &str) -> Result<()> {
    let input = json!({ "issue": issue }).to_string();
    let read = stage.harness.call(step, &["run", "get-issue", "--connection", "demo", "--input", &input])?.done()?;
    ensure!(read.to_string().contains(TRIAGED), "get-issue does not show the flow's change: {read}");
    let account = stage.jira.administrator()?;
    let path = format!("/rest/api/3/issue/{issue}?fields=summary,labels");
    step.shows(&format!("GET {path}"));
    let fields = stage.jira.jira(account, &path)?.json()?["fields"].take();
    step.shows(&format!("summary  {}", fields["summary"]));
    step.shows(&format!("labels   {}", fields["labels"]));
    ensure!(fields["summary"] == TRIAGED, "Jira's own answer is {fields}");
    ensure!(texts(&fields["labels"]).iter().any(|label| label == "triage"), "the label is missing: {fields}");
    step.proved(&format!("{issue} carries what the flow gave it"));
    Ok(())
}

/// All flow runs the host knows.
pub(super) fn runs(stage: &Stage<'_>) -> Result<Vec<Value>> {
    match stage.harness.quietly(&["runs", "list"], "")?.done()? {
        Value::Array(runs) => Ok(runs),
        other => bail!("`harness runs list --json` gave {other}"),
    }
}

fn is_over(run: &Value) -> bool {
    matches!(run["state"].as_str(), Some("done" | "skipped" | "failed" | "uncertain"))
}

fn flow_text(stage: &Stage<'_>) -> Result<String> {
    let path = stage.workspace.root().join(FLOWS).join("triage-new-bugs.yaml");
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Asks again and again until there is an answer.
pub(super) fn eventually<T>(step: &Step, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let _waiting = step.waiting(what);
    let started = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if started.elapsed() > PATIENCE {
            bail!("{what}: nothing came in {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
