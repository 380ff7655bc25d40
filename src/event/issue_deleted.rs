//! Issue deleted.

use super::Event;
use super::issue::{self, IssueEvent, IssueFilter};
use crate::action::Page;
use crate::contract::{ChoiceQuery, Error};
use crate::jira::client::Client;
use crate::json::Members;
use serde_json::{Value, json};

/// The card.
pub(crate) struct IssueDeleted;

impl Event for IssueDeleted {
    const ID: &'static str = "issue-deleted";
    const TITLE: &'static str = "Issue deleted";
    const DESCRIPTION: &'static str = "An issue was deleted.";
    const WEBHOOK: &'static str = "jira:issue_deleted";
    type Filter = IssueFilter;
    type Payload<'t> = IssueEvent<'t>;

    fn sample() -> Value {
        json!({
            "id": "10001:deleted",
            "time": "2026-11-22T08:00:00.000Z",
            "event": "issue_deleted",
            "actor": issue::sample_actor(),
            "issue": issue::sample_issue()
        })
    }

    fn read<'t>(body: &Members<'t>) -> Option<IssueEvent<'t>> {
        issue::read(body, "deleted")
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
