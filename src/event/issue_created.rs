//! Issue created.

use super::Event;
use super::issue::{self, IssueEvent, IssueFilter};
use crate::action::Page;
use crate::contract::{ChoiceQuery, Error};
use crate::jira::client::Client;
use serde_json::{Value, json};

/// The card.
pub(crate) struct IssueCreated;

impl Event for IssueCreated {
    const ID: &'static str = "issue-created";
    const TITLE: &'static str = "Issue created";
    const DESCRIPTION: &'static str = "An issue was created.";
    const WEBHOOK: &'static str = "jira:issue_created";
    type Filter = IssueFilter;
    type Payload = IssueEvent;

    fn sample() -> Value {
        json!({
            "id": "10001:created",
            "time": "2026-11-22T08:00:00.000Z",
            "event": "issue_created",
            "actor": issue::sample_actor(),
            "issue": issue::sample_issue()
        })
    }

    fn read(body: &Value) -> Option<IssueEvent> {
        issue::read(body, "created")
    }

    fn id(payload: &IssueEvent) -> String {
        payload.id.clone()
    }

    fn passes(filter: &IssueFilter, payload: &IssueEvent) -> bool {
        issue::passes(filter, payload)
    }

    fn options(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
        issue::options(client, query)
    }
}
