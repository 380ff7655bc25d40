//! What changed between two versions of an issue, in the words of the changelog.

use serde_json::Value;

use super::Jira;
use super::issue::{Change, History, Issue, Occurrence};

impl Jira {
    /// Stores `after`, records what differs from the stored version, and announces it.
    ///
    /// Nothing differing is no update: `updated` stays, and no event is sent.
    pub(crate) fn update(&mut self, mut after: Issue, actor: usize, type_name: Option<&'static str>) {
        let Some(before) = self.issue(&after.id.to_string()).cloned() else { return };
        let items = self.differences(&before, &after);
        if items.is_empty() {
            self.store(after);
            return;
        }
        let type_name = type_name.unwrap_or(match &items[..] {
            [only] if only.field_id == "assignee" => "issue_assigned",
            _ => "issue_updated",
        });
        let now = self.now();
        let history = History { id: self.next_id("history", 10_000), author: actor, created: now, items };
        after.updated = now;
        after.histories.push(history.clone());
        let issue = self.store(after);
        self.announce(Occurrence {
            event: "jira:issue_updated",
            type_name: Some(type_name),
            actor,
            at: now,
            issue,
            history: Some(history),
            comment: None,
        });
    }

    fn differences(&self, before: &Issue, after: &Issue) -> Vec<Change> {
        let mut changes = Vec::new();
        for field in &self.fields {
            let (old, new) = (before.values.get(field.id), after.values.get(field.id));
            if old == new {
                continue;
            }
            let text = |raw: Option<&Value>| raw.and_then(|raw| self.display(field, raw));
            let id = |raw: Option<&Value>| raw.and_then(|raw| super::value::change_id(self, field, raw));
            let name = if field.custom_number().is_some() { field.name } else { field.id };
            let name = if field.id == "parent" { "IssueParentAssociation" } else { name };
            changes.push(Change {
                field: name.to_owned(),
                field_id: field.id.to_owned(),
                custom: field.custom_number().is_some(),
                from: id(old),
                from_string: text(old),
                to: id(new),
                to_string: text(new),
            });
        }
        if before.issue_type != after.issue_type {
            let (old, new) = (&self.issue_types[before.issue_type], &self.issue_types[after.issue_type]);
            changes.push(system("issuetype", (old.id, old.name), (new.id, new.name)));
        }
        if before.resolved.is_some() != after.resolved.is_some() {
            let resolution = |resolved: Option<i64>| resolved.map(|_| "10000".to_owned());
            let name = |resolved: Option<i64>| resolved.map(|_| "Done".to_owned());
            changes.push(Change {
                field: "resolution".to_owned(),
                field_id: "resolution".to_owned(),
                custom: false,
                from: resolution(before.resolved),
                from_string: name(before.resolved),
                to: resolution(after.resolved),
                to_string: name(after.resolved),
            });
        }
        if before.status != after.status {
            let (old, new) = (&self.statuses[before.status], &self.statuses[after.status]);
            changes.push(system("status", (old.id, old.name), (new.id, new.name)));
        }
        changes
    }
}

fn system(field: &str, old: (&str, &str), new: (&str, &str)) -> Change {
    Change {
        field: field.to_owned(),
        field_id: field.to_owned(),
        custom: false,
        from: Some(old.0.to_owned()),
        from_string: Some(old.1.to_owned()),
        to: Some(new.0.to_owned()),
        to_string: Some(new.1.to_owned()),
    }
}
