//! Issue created.

use super::Event;
use super::issue::{self, IssueEvent, IssueFilter};
use crate::action::Page;
use crate::contract::{ChoiceQuery, Error};
use crate::jira::client::Client;
use crate::json::Members;
use serde_json::{Value, json};

/// The card.
pub(crate) struct IssueCreated;

impl Event for IssueCreated {
    const ID: &'static str = "issue-created";
    const TITLE: &'static str = "Issue created";
    const DESCRIPTION: &'static str = "An issue was created.";
    const WEBHOOK: &'static str = "jira:issue_created";
    type Filter = IssueFilter;
    type Payload<'t> = IssueEvent<'t>;

    fn sample() -> Value {
        json!({
            "id": "10001:created",
            "time": "2026-11-22T08:00:00.000Z",
            "event": "issue_created",
            "actor": issue::sample_actor(),
            "issue": issue::sample_issue()
        })
    }

    fn read<'t>(body: &Members<'t>) -> Option<IssueEvent<'t>> {
        issue::read(body, "created")
    }

    fn event<'p, 't>(payload: &'p Self::Payload<'t>) -> &'p IssueEvent<'t> {
        payload
    }

    fn passes(filter: &IssueFilter, payload: &IssueEvent<'_>) -> bool {
        issue::passes(&filter.projects, &filter.issue_types, payload)
    }

    fn options(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
        issue::options(client, query)
    }
}
