//! What most tests need: a Jira, a home of the host, and a connection between them.

use serde_json::Value;

use crate::built;
use crate::harness::{Harness, Outcome};
use crate::simulator::Jira;

/// A simulated Jira and a host. `demo` is the administrator's connection once [`Stage::connected`] made it.
pub(crate) struct Stage {
    pub(crate) jira: Jira,
    pub(crate) host: Harness,
}

impl Stage {
    /// A Jira and a host that do not know of each other.
    pub(crate) fn new() -> Self {
        Self { jira: Jira::start(), host: Harness::new() }
    }

    /// The same with a proven connection `demo` of the administrator.
    pub(crate) fn connected() -> Self {
        let stage = Self::new();
        let added = stage.connect("demo", "admin", &[]);
        assert_eq!(added.code, 0, "{added:#?}");
        stage
    }

    /// Adds a connection of an account, with its token as a file.
    pub(crate) fn connect(&self, name: &str, account: &str, more: &[&str]) -> Outcome {
        let account = self.jira.account(account);
        self.connect_with(name, &account.email, &account.token, more)
    }

    /// Adds a connection with any token.
    pub(crate) fn connect_with(&self, name: &str, email: &str, token: &str, more: &[&str]) -> Outcome {
        self.connect_at(name, self.jira.url(), email, token, more)
    }

    /// Adds a connection to any site.
    pub(crate) fn connect_at(&self, name: &str, site: &str, email: &str, token: &str, more: &[&str]) -> Outcome {
        let token = self.host.file(&format!("{name}.token"), token);
        let connector = built::connector();
        let (connector, site) = (connector.to_string_lossy(), format!("site={site}"));
        let (email, token) = (format!("email={email}"), format!("token=@{}", token.display()));
        let mut arguments = vec!["connection", "add", name, "--connector", &connector, "--method", "api-token"];
        arguments.extend(["--set", &site, "--set", &email, "--secret", &token, "--allow-private"]);
        arguments.extend(more);
        self.host.run(&arguments)
    }

    /// Runs a card on `demo`.
    pub(crate) fn run(&self, card: &str, input: &Value) -> Outcome {
        self.run_as("demo", card, input)
    }

    /// Runs a card on a connection.
    pub(crate) fn run_as(&self, connection: &str, card: &str, input: &Value) -> Outcome {
        self.host.run(&["run", card, "--connection", connection, "--input", &input.to_string()])
    }

    /// Creates a task in `DEMO` and answers with its key.
    pub(crate) fn task(&self, summary: &str) -> String {
        let input = serde_json::json!({"project": "DEMO", "issue-type": "Task", "summary": summary});
        let created = self.run("create-issue", &input).expect(0);
        created["key"].as_str().expect("a key").to_owned()
    }
}
