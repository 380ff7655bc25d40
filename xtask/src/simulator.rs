//! A running `jira-simulator`, and what we ask of it.

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;

use crate::native;
use crate::scene::{Running, Scene};
use crate::workspace::Workspace;

/// One simulated Jira on loopback.
pub(crate) struct Simulator {
    facts: Facts,
    running: Running,
    agent: Agent,
}

/// The line the simulator prints when it is ready.
#[derive(Deserialize)]
struct Facts {
    base_url: String,
    control_url: String,
    accounts: Vec<Account>,
}

/// An account of the simulated Jira. Its secrets are made up by the simulator.
#[derive(Deserialize)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) admin: bool,
}

/// An HTTP answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON, if the request was granted.
    pub(crate) fn json(&self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("status {}: {}", self.status, self.body);
        }
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

impl Simulator {
    /// Arguments that start it on any free port.
    pub(crate) const ARGUMENTS: [&str; 5] = ["--listen", "127.0.0.1:0", "--personality", "cloud", "--json"];

    pub(crate) fn start(workspace: &Workspace, scene: &Scene) -> Result<Self> {
        let mut command = native::command(workspace, "jira-simulator");
        let running = scene.start("jira-simulator", command.args(Self::ARGUMENTS))?;
        let facts = serde_json::from_str(&running.greeting)
            .with_context(|| format!("jira-simulator printed an unexpected line: {}", running.greeting))?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .new_agent();
        Ok(Self { facts, running, agent })
    }

    /// Where this Jira answers, as a person would type it.
    pub(crate) fn site(&self) -> &str {
        self.facts.base_url.trim_end_matches('/')
    }

    pub(crate) fn control_url(&self) -> &str {
        self.facts.control_url.trim_end_matches('/')
    }

    pub(crate) fn process(&self) -> &Running {
        &self.running
    }

    pub(crate) fn administrator(&self) -> Result<&Account> {
        self.facts.accounts.iter().find(|account| account.admin).context("the simulator has no administrator")
    }

    /// Asks Jira itself, signed in as an account.
    pub(crate) fn jira(&self, account: &Account, path: &str) -> Result<Answer> {
        let credential = STANDARD.encode(format!("{}:{}", account.email, account.token));
        let request = self.agent.get(format!("{}{path}", self.site()));
        answer(request.header("authorization", format!("Basic {credential}")).call())
    }

    /// Reads from the simulator's own controls, which no Jira has.
    pub(crate) fn observe(&self, path: &str) -> Result<Value> {
        answer(self.agent.get(self.control(path)).call())?.json().with_context(|| format!("GET {path}"))
    }

    /// Makes the simulator do something.
    pub(crate) fn make(&self, path: &str) -> Result<Answer> {
        answer(self.agent.post(self.control(path)).send_empty())
    }

    /// Sends what anybody on the network could send.
    pub(crate) fn post(&self, url: &str, headers: &[(String, String)], body: &str) -> Result<Answer> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        answer(request.send(body))
    }

    fn control(&self, path: &str) -> String {
        format!("{}{path}", self.control_url())
    }
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut response = result.map_err(|error| anyhow!("no HTTP answer: {error}"))?;
    let body = response.body_mut().read_to_string().context("the answer's body broke off")?;
    Ok(Answer { status: response.status().as_u16(), body })
}
