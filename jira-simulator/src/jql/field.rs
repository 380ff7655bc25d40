//! The fields JQL knows, and an issue's values in them.

use serde_json::Value;

use crate::state::Jira;
use crate::state::field::Kind;
use crate::state::issue::Issue;
use crate::state::rich_text;

/// How a field compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Project,
    Key,
    IssueType,
    Status,
    StatusCategory,
    Resolution,
    Creator,
    /// A field by its place in the state.
    Field(usize),
    Created,
    Updated,
    Text,
    Comment,
    Parent,
}

/// What a field is called in a query → what it means.
pub(super) fn subject(jira: &Jira, name: &str) -> Option<Subject> {
    let lower = name.to_lowercase();
    Some(match lower.as_str() {
        "project" => Subject::Project,
        "key" | "id" | "issue" | "issuekey" => Subject::Key,
        "issuetype" | "type" => Subject::IssueType,
        "status" => Subject::Status,
        "statuscategory" => Subject::StatusCategory,
        "resolution" => Subject::Resolution,
        "creator" => Subject::Creator,
        "created" | "createddate" => Subject::Created,
        "updated" | "updateddate" => Subject::Updated,
        "text" => Subject::Text,
        "comment" => Subject::Comment,
        "parent" => Subject::Parent,
        _ => {
            let place = jira.fields.iter().position(|field| {
                field.settable() && field.clause_names().iter().any(|clause| clause.to_lowercase() == lower)
            })?;
            Subject::Field(place)
        }
    })
}

impl Subject {
    pub(super) fn is_moment(&self) -> bool {
        matches!(self, Self::Created | Self::Updated)
    }

    pub(super) fn is_text(&self, jira: &Jira) -> bool {
        match self {
            Self::Text | Self::Comment => true,
            Self::Field(place) => matches!(jira.fields[*place].kind, Kind::Summary | Kind::Text | Kind::RichText),
            _ => false,
        }
    }

    pub(super) fn is_ordered(&self, jira: &Jira) -> bool {
        match self {
            Self::Created | Self::Updated | Self::Key => true,
            Self::Field(place) => matches!(jira.fields[*place].kind, Kind::Number | Kind::Date | Kind::Priority),
            _ => false,
        }
    }

    pub(super) fn is_user(&self, jira: &Jira) -> bool {
        match self {
            Self::Creator => true,
            Self::Field(place) => jira.fields[*place].kind == Kind::User,
            _ => false,
        }
    }

    /// Every name by which the issue's value answers, in lower case; none where it is empty.
    pub(super) fn values(&self, jira: &Jira, issue: &Issue) -> Vec<String> {
        let lower = |texts: &[&str]| texts.iter().map(|text| text.to_lowercase()).collect();
        let account = |place: usize| {
            let account = &jira.accounts[place];
            if jira.cloud() { lower(&[&account.account_id, &account.email]) } else { lower(&[&account.name]) }
        };
        match self {
            Self::Project => {
                let project = &jira.projects[issue.project];
                lower(&[project.id, project.key, project.name])
            }
            Self::Key => lower(&[&jira.key(issue), &issue.id.to_string()]),
            Self::IssueType => lower(&[jira.issue_types[issue.issue_type].id, jira.issue_types[issue.issue_type].name]),
            Self::Status => lower(&[jira.statuses[issue.status].id, jira.statuses[issue.status].name]),
            Self::StatusCategory => {
                let (id, key, _, name) = jira.statuses[issue.status].category;
                lower(&[&id.to_string(), key, name])
            }
            Self::Resolution if issue.resolved.is_some() => lower(&["10000", "Done"]),
            Self::Resolution => Vec::new(),
            Self::Creator => account(issue.creator),
            Self::Created => vec![issue.created.to_string()],
            Self::Updated => vec![issue.updated.to_string()],
            Self::Comment => {
                issue.comments.iter().map(|comment| rich_text::to_text(&comment.body).to_lowercase()).collect()
            }
            Self::Text => {
                let text = jira
                    .fields
                    .iter()
                    .filter(|field| matches!(field.kind, Kind::Summary | Kind::Text | Kind::RichText));
                text.filter_map(|field| issue.values.get(field.id))
                    .map(rich_text::to_text)
                    .chain(issue.comments.iter().map(|comment| rich_text::to_text(&comment.body)))
                    .map(|text| text.to_lowercase())
                    .collect()
            }
            Self::Parent => match issue.text("parent") {
                Some(id) => jira
                    .issue(id)
                    .map(|parent| jira.key(parent).to_lowercase())
                    .into_iter()
                    .chain([id.to_owned()])
                    .collect(),
                None => Vec::new(),
            },
            Self::Field(place) => {
                let field = &jira.fields[*place];
                let Some(raw) = issue.values.get(field.id) else { return Vec::new() };
                match (field.kind, raw) {
                    (Kind::User, Value::String(id)) => {
                        jira.accounts.iter().position(|known| known.account_id == *id).map(account).unwrap_or_default()
                    }
                    (Kind::Labels | Kind::MultiSelect, Value::Array(entries)) => entries
                        .iter()
                        .flat_map(|entry| {
                            entry
                                .as_str()
                                .map(str::to_owned)
                                .into_iter()
                                .chain(jira.display(field, &serde_json::json!([entry])))
                        })
                        .map(|text| text.to_lowercase())
                        .collect(),
                    (_, raw) => {
                        let id = raw.as_str().map(str::to_owned);
                        id.into_iter().chain(jira.display(field, raw)).map(|text| text.to_lowercase()).collect()
                    }
                }
            }
        }
    }

    /// Whether anybody's value could be this: the words of fields with a closed set.
    pub(super) fn knows(&self, jira: &Jira, word: &str) -> bool {
        let is = |texts: &[&str]| texts.iter().any(|text| text.eq_ignore_ascii_case(word));
        match self {
            Self::Project => jira.projects.iter().any(|project| is(&[project.id, project.key, project.name])),
            Self::IssueType => {
                let group = is(&["standardIssueTypes", "subTaskIssueTypes"]);
                group || jira.issue_types.iter().any(|kind| is(&[kind.id, kind.name]))
            }
            Self::Status => jira.statuses.iter().any(|status| is(&[status.id, status.name])),
            Self::StatusCategory => jira
                .statuses
                .iter()
                .any(|status| is(&[&status.category.0.to_string(), status.category.1, status.category.3])),
            Self::Resolution => is(&["10000", "Done", "Unresolved"]),
            Self::Field(place) => match jira.fields[*place].kind {
                Kind::Priority => jira.priorities.iter().any(|priority| is(&[priority.id, priority.name])),
                Kind::Select | Kind::MultiSelect => {
                    jira.fields[*place].choices.iter().any(|choice| is(&[&choice.id, &choice.value]))
                }
                Kind::Number => word.parse::<f64>().is_ok(),
                _ => true,
            },
            _ => true,
        }
    }
}
