//! What this Jira knows.

pub(crate) mod account;
mod change;
pub(crate) mod field;
pub(crate) mod issue;
pub(crate) mod rich_text;
mod seed;
pub(crate) mod settings;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::clock::Clock;
use crate::version::{Personality, Version};
use crate::webhook::Webhook;
use account::Account;
use field::Field;
use issue::{Indexed, Issue, Occurrence};
use settings::Settings;

/// A workflow status; its category is id, key, colour, name.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) category: (u32, &'static str, &'static str, &'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Priority {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) color: &'static str,
}

/// An issue type; level -1 is a sub-task, 1 an epic.
#[derive(Debug, Clone)]
pub(crate) struct IssueType {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) avatar: u32,
    pub(crate) level: i32,
}

/// A project; `types` are indices, `kind` its `projectTypeKey`, `restricted` projects are seen by
/// administrators only.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) id: &'static str,
    pub(crate) key: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) types: Vec<usize>,
    pub(crate) restricted: bool,
}

/// A workflow transition: its id and the status it leads to. To Do → In Progress → Done, and back.
pub(crate) struct Transition {
    pub(crate) id: &'static str,
    pub(crate) to: usize,
}

const TRANSITIONS: [Transition; 3] =
    [Transition { id: "11", to: 0 }, Transition { id: "21", to: 1 }, Transition { id: "31", to: 2 }];

/// The status that ends the workflow.
pub(crate) const DONE: usize = 2;

/// The whole state behind one lock.
pub(crate) struct Jira {
    pub(crate) personality: Personality,
    pub(crate) version: Version,
    /// Its number among the sites.
    pub(crate) place: usize,
    /// Its name in `NAME.atlassian.net`.
    pub(crate) name: String,
    /// The name that a list of sites shows.
    pub(crate) display_name: String,
    pub(crate) cloud_id: String,
    /// Where links of an answer point: the site itself, or the gateway a request came through.
    pub(crate) base_url: String,
    /// The site's own address.
    pub(crate) site_url: String,
    pub(crate) clock: Arc<Clock>,
    pub(crate) settings: Settings,
    pub(crate) accounts: Vec<Account>,
    pub(crate) projects: Vec<Project>,
    pub(crate) issue_types: Vec<IssueType>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) priorities: Vec<Priority>,
    pub(crate) fields: Vec<Field>,
    pub(crate) webhooks: Vec<Webhook>,
    issues: BTreeMap<u64, Arc<Issue>>,
    index: BTreeMap<u64, Vec<Indexed>>,
    next_ids: BTreeMap<&'static str, u64>,
    outbox: Vec<Occurrence>,
    committed: bool,
}

impl Jira {
    pub(crate) fn new(personality: Personality, version: Version, base_url: String, clock: Arc<Clock>) -> Self {
        Self {
            personality,
            version,
            place: 0,
            name: String::new(),
            display_name: String::new(),
            cloud_id: String::new(),
            site_url: base_url.clone(),
            base_url,
            clock,
            settings: Settings::new(personality),
            accounts: vec![
                Account::new(1, "admin", "Administrator", true),
                Account::new(2, "user", "Ordinary User", false),
            ],
            projects: seed::projects(),
            issue_types: seed::issue_types(),
            statuses: seed::statuses(),
            priorities: seed::priorities(),
            fields: seed::fields(),
            webhooks: Vec::new(),
            issues: BTreeMap::new(),
            index: BTreeMap::new(),
            next_ids: BTreeMap::new(),
            outbox: Vec::new(),
            committed: false,
        }
    }

    /// The site as one of several.
    pub(crate) fn named(mut self, place: usize, name: &str) -> Self {
        self.place = place;
        self.name = name.to_owned();
        self.display_name = name.to_owned();
        self.cloud_id = format!("00000000-0000-4000-8000-{place:04x}0000c10d");
        self
    }

    /// Everything as at the start.
    pub(crate) fn reset(&mut self) {
        self.settings = Settings::new(self.personality);
        self.webhooks.clear();
        self.issues.clear();
        self.index.clear();
        self.next_ids.clear();
        self.outbox.clear();
        self.display_name = self.name.clone();
        for (place, account) in self.accounts.iter_mut().enumerate() {
            *account = Account::new(place + 1, &account.name, &account.display_name, place == 0);
        }
    }

    pub(crate) fn cloud(&self) -> bool {
        self.personality == Personality::Cloud
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The next number of a sequence; issues, comments and histories count from 10000 each.
    pub(crate) fn next_id(&mut self, sequence: &'static str, first: u64) -> u64 {
        let next = self.next_ids.entry(sequence).or_insert(first);
        *next += 1;
        *next - 1
    }

    /// Marks that the request being answered changed something.
    pub(crate) fn commit(&mut self) {
        self.committed = true;
    }

    pub(crate) fn take_committed(&mut self) -> bool {
        std::mem::take(&mut self.committed)
    }

    pub(crate) fn announce(&mut self, occurrence: Occurrence) {
        self.outbox.push(occurrence);
    }

    pub(crate) fn take_outbox(&mut self) -> Vec<Occurrence> {
        std::mem::take(&mut self.outbox)
    }

    pub(crate) fn may_browse(&self, project: usize, account: Option<usize>) -> bool {
        match account {
            Some(account) => !self.projects[project].restricted || self.accounts[account].admin,
            None => self.settings.anonymous_access && !self.projects[project].restricted,
        }
    }

    pub(crate) fn project_index(&self, id_or_key: &str) -> Option<usize> {
        self.projects.iter().position(|project| project.id == id_or_key || project.key.eq_ignore_ascii_case(id_or_key))
    }

    pub(crate) fn field(&self, id: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// An account by what this deployment calls its id: account id on Cloud, name on Data Center.
    pub(crate) fn account_by_id(&self, id: &str) -> Option<usize> {
        self.accounts.iter().position(|account| {
            account.member && if self.cloud() { account.account_id == id } else { account.name == id }
        })
    }

    pub(crate) fn key(&self, issue: &Issue) -> String {
        format!("{}-{}", self.projects[issue.project].key, issue.number)
    }

    /// An issue by id or key (any case), whoever asks.
    pub(crate) fn issue(&self, id_or_key: &str) -> Option<&Arc<Issue>> {
        match id_or_key.parse::<u64>() {
            Ok(id) => self.issues.get(&id),
            Err(_) => self.issues.values().find(|issue| self.key(issue).eq_ignore_ascii_case(id_or_key)),
        }
    }

    pub(crate) fn issues(&self) -> impl Iterator<Item = &Arc<Issue>> {
        self.issues.values()
    }

    pub(crate) fn screen(
        &self,
        project: usize,
        issue_type: usize,
        account: Option<usize>,
    ) -> Vec<(&'static str, bool)> {
        let modify_reporter = account.is_some_and(|account| self.accounts[account].admin);
        seed::screen(&self.projects[project], &self.issue_types[issue_type], modify_reporter)
    }

    /// The transitions that lead on from a status.
    pub(crate) fn transitions(&self, status: usize) -> impl Iterator<Item = &'static Transition> {
        TRANSITIONS.iter().filter(move |transition| transition.to.abs_diff(status) == 1)
    }

    /// Stores an issue and lets the index see it once the lag has passed.
    pub(crate) fn store(&mut self, issue: Issue) -> Arc<Issue> {
        let issue = Arc::new(issue);
        self.issues.insert(issue.id, issue.clone());
        self.reindex(issue.id, Some(issue.clone()));
        self.commit();
        issue
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Arc<Issue>> {
        let removed = self.issues.remove(&id)?;
        self.reindex(id, None);
        self.commit();
        Some(removed)
    }

    fn reindex(&mut self, id: u64, issue: Option<Arc<Issue>>) {
        let now = self.now();
        let versions = self.index.entry(id).or_default();
        if let Some(current) = versions.iter().rposition(|version| version.from <= now) {
            versions.drain(..current);
        }
        versions.push(Indexed { from: now + self.settings.index_lag_ms.max(0), issue });
    }

    /// The issues search sees now; those in `reconciled` are seen as they are.
    pub(crate) fn indexed(&self, reconciled: &[u64]) -> Vec<Arc<Issue>> {
        let now = self.now();
        self.index
            .iter()
            .filter_map(|(id, versions)| {
                if reconciled.contains(id) {
                    return self.issues.get(id).cloned();
                }
                versions.iter().rfind(|version| version.from <= now)?.issue.clone()
            })
            .collect()
    }

    /// The text of a raw value as the issue's history and JQL show it.
    pub(crate) fn display(&self, field: &Field, raw: &Value) -> Option<String> {
        value::display(self, field, raw)
    }
}
