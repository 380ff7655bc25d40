//! A plain HTTP client for one simulator in the test's own process.

use base64::Engine;
use jira_simulator::{AccountAccess, Config, Running, Simulator};
use serde_json::Value;

pub struct Jira {
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    agent: ureq::Agent,
}

impl Jira {
    pub fn start(config: Config) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let running = runtime.block_on(Simulator::start(config)).expect("a simulator");
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { runtime, running: Some(running), agent }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("still running")
    }

    pub fn account(&self, name: &str) -> AccountAccess {
        self.running().accounts().into_iter().find(|account| account.name == name).expect("an account")
    }

    pub fn basic(name: &str, secret: &str) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{secret}")))
    }

    /// Sends a request; the transport error, where the connection was cut.
    pub fn send(
        &self,
        method: &str,
        url: &str,
        authorization: &str,
        body: Option<&Value>,
    ) -> Result<http::Response<String>, ureq::Error> {
        let mut request = http::Request::builder().method(method).uri(url);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let mut response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                self.agent.run(request.expect("a request"))?
            }
            None => self.agent.run(request.body(()).expect("a request"))?,
        };
        let text = response.body_mut().read_to_string()?;
        Ok(response.map(|_| text))
    }

    fn json(&self, method: &str, url: &str, authorization: &str, body: Option<&Value>) -> (u16, Value) {
        let response = self.send(method, url, authorization, body).expect("an answer");
        (response.status().as_u16(), serde_json::from_str(response.body()).unwrap_or(Value::Null))
    }

    /// A call to Jira by an account.
    pub fn call(&self, name: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let access = self.account(name);
        self.json(method, &self.url(path), &Self::basic(&access.email, &access.token), body.as_ref())
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running().base_url())
    }

    pub fn control(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.json(method, &format!("{}{path}", self.running().control_url()), "", body.as_ref())
    }
}

impl Drop for Jira {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}
