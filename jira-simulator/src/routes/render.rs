//! Entities as Jira writes them.

use serde_json::{Map, Value, json};

use super::Api;
use crate::clock::jira_time;
use crate::state::Jira;
use crate::state::field::{Field, Kind};
use crate::state::issue::{Comment, History, Issue};
use crate::state::rich_text;

pub(crate) fn link(jira: &Jira, api: Api, path: &str) -> String {
    format!("{}/rest/api/{}/{path}", jira.base_url, api.number())
}

/// A user as others see them: on Cloud without the e-mail address.
pub(crate) fn user(jira: &Jira, account: usize, api: Api) -> Value {
    let account = &jira.accounts[account];
    let picture = |size: &str| format!("{}/secure/useravatar?size={size}&avatarId=10605", jira.base_url);
    let avatars = json!({
        "48x48": picture("large"), "24x24": picture("small"), "16x16": picture("xsmall"), "32x32": picture("medium"),
    });
    let mut user = if jira.cloud() {
        json!({
            "self": link(jira, api, &format!("user?accountId={}", account.account_id)),
            "accountId": account.account_id,
            "accountType": if account.service { "app" } else { "atlassian" },
            "avatarUrls": avatars,
            "displayName": account.display_name,
            "active": true,
        })
    } else {
        json!({
        "self": link(jira, api, &format!("user?username={}", account.name)),
        "name": account.name,
        "key": account.name,
        "emailAddress": account.email,
        "avatarUrls": avatars,
        "displayName": account.display_name,
        "active": true,
        "deleted": false,
        })
    };
    if let Some(zone) = &account.time_zone {
        user["timeZone"] = json!(zone);
    }
    user
}

pub(crate) fn status(jira: &Jira, status: usize, api: Api) -> Value {
    let status = &jira.statuses[status];
    let (id, key, color, name) = status.category;
    json!({
        "self": link(jira, api, &format!("status/{}", status.id)),
        "description": "",
        "iconUrl": format!("{}/", jira.base_url),
        "name": status.name,
        "id": status.id,
        "statusCategory": {
            "self": link(jira, api, &format!("statuscategory/{id}")),
            "id": id, "key": key, "colorName": color, "name": name,
        },
    })
}

pub(crate) fn priority(jira: &Jira, id: &str, api: Api) -> Value {
    let Some(priority) = jira.priorities.iter().find(|priority| priority.id == id) else { return Value::Null };
    json!({
        "self": link(jira, api, &format!("priority/{id}")),
        "iconUrl": format!("{}/images/icons/priorities/{}.svg", jira.base_url, priority.name.to_lowercase()),
        "name": priority.name,
        "id": priority.id,
    })
}

pub(crate) fn resolution(jira: &Jira, api: Api) -> Value {
    json!({
        "self": link(jira, api, "resolution/10000"),
        "id": "10000",
        "description": "Work has been completed on this issue.",
        "name": "Done",
    })
}

pub(crate) fn issue_type(jira: &Jira, issue_type: usize, api: Api) -> Value {
    let kind = &jira.issue_types[issue_type];
    let mut body = json!({
        "self": link(jira, api, &format!("issuetype/{}", kind.id)),
        "id": kind.id,
        "description": kind.description,
        "iconUrl": format!(
            "{}/rest/api/2/universal_avatar/view/type/issuetype/avatar/{}?size=medium", jira.base_url, kind.avatar
        ),
        "name": kind.name,
        "subtask": kind.level == -1,
        "avatarId": kind.avatar,
    });
    if jira.cloud() {
        body["hierarchyLevel"] = json!(kind.level);
    }
    body
}

pub(crate) fn project(jira: &Jira, project: usize, api: Api) -> Value {
    let project = &jira.projects[project];
    let picture = |size: &str| format!("{}/secure/projectavatar?size={size}&avatarId=10324", jira.base_url);
    let mut body = json!({
        "self": link(jira, api, &format!("project/{}", project.id)),
        "id": project.id,
        "key": project.key,
        "name": project.name,
        "projectTypeKey": project.kind,
        "avatarUrls": {
            "48x48": picture("large"), "24x24": picture("small"), "16x16": picture("xsmall"), "32x32": picture("medium"),
        },
    });
    if jira.cloud() {
        body["simplified"] = json!(false);
    }
    body
}

pub(crate) fn choice(jira: &Jira, field: &Field, id: &str, api: Api) -> Value {
    match field.choices.iter().find(|choice| choice.id == id) {
        Some(choice) => json!({
            "self": link(jira, api, &format!("customFieldOption/{id}")), "value": choice.value, "id": choice.id,
        }),
        None => Value::Null,
    }
}

pub(crate) fn rich(stored: &Value, api: Api) -> Value {
    match api {
        Api::V3 => rich_text::to_document(stored),
        Api::V2 => json!(rich_text::to_text(stored)),
    }
}

pub(crate) fn comment(jira: &Jira, issue: &Issue, comment: &Comment, api: Api) -> Value {
    let mut body = json!({
        "self": link(jira, api, &format!("issue/{}/comment/{}", issue.id, comment.id)),
        "id": comment.id.to_string(),
        "author": user(jira, comment.author, api),
        "body": rich(&comment.body, api),
        "updateAuthor": user(jira, comment.update_author, api),
        "created": jira_time(comment.created),
        "updated": jira_time(comment.updated),
    });
    if jira.cloud() {
        body["jsdPublic"] = json!(true);
    }
    body
}

/// The changelog of a webhook or of an expanded issue.
pub(crate) fn changes(history: &History, cloud: bool) -> Vec<Value> {
    history
        .items
        .iter()
        .map(|change| {
            let mut item = json!({
                "field": change.field,
                "fieldtype": if change.custom { "custom" } else { "jira" },
                "from": change.from,
                "fromString": change.from_string,
                "to": change.to,
                "toString": change.to_string,
            });
            if cloud {
                item["fieldId"] = json!(change.field_id);
            }
            item
        })
        .collect()
}

pub(crate) fn history(jira: &Jira, history: &History, api: Api) -> Value {
    json!({
        "id": history.id.to_string(),
        "author": user(jira, history.author, api),
        "created": jira_time(history.created),
        "items": changes(history, jira.cloud()),
    })
}

/// Which fields a request wants: `*all`, `*navigable`, ids, `-id`.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    names: Vec<String>,
}

impl Selection {
    pub(crate) fn new(names: Vec<String>, default: &str) -> Self {
        Self { names: if names.is_empty() { vec![default.to_owned()] } else { names } }
    }

    pub(crate) fn only_id(&self) -> bool {
        self.names.iter().all(|name| name == "id")
    }

    fn wants(&self, field: &Field) -> bool {
        let named = |name: &str| name == field.id || name.eq_ignore_ascii_case(field.name);
        if self.names.iter().any(|name| name.strip_prefix('-').is_some_and(named)) {
            return false;
        }
        let only_minus = self.names.iter().all(|name| name.starts_with('-'));
        only_minus
            || self.names.iter().any(|name| match name.as_str() {
                "*all" => true,
                "*navigable" => !matches!(field.id, "comment" | "attachment"),
                name => named(name),
            })
    }
}

pub(crate) fn fields(jira: &Jira, issue: &Issue, api: Api, selection: &Selection) -> Value {
    let mut fields = Map::new();
    for field in jira.fields.iter().filter(|field| selection.wants(field)) {
        // Whether a parent exists decides whether Jira shows the field at all.
        if field.id == "parent" && !issue.values.contains_key("parent") {
            continue;
        }
        fields.insert(field.id.to_owned(), value(jira, issue, field, api));
    }
    Value::Object(fields)
}

pub(crate) fn value(jira: &Jira, issue: &Issue, field: &Field, api: Api) -> Value {
    let raw = issue.values.get(field.id);
    let account = |id: &str| jira.accounts.iter().position(|account| account.account_id == id);
    match (field.kind, raw) {
        (Kind::Computed(..), _) => computed(jira, issue, field.id, api),
        (Kind::Project, _) => project(jira, issue.project, api),
        (Kind::IssueType, _) => issue_type(jira, issue.issue_type, api),
        (Kind::Labels, None) if field.id == "labels" => json!([]),
        (_, None) => Value::Null,
        (Kind::RichText, Some(raw)) => rich(raw, api),
        (Kind::Select, Some(Value::String(id))) => choice(jira, field, id, api),
        (Kind::MultiSelect, Some(Value::Array(ids))) => {
            ids.iter().filter_map(Value::as_str).map(|id| choice(jira, field, id, api)).collect()
        }
        (Kind::User, Some(Value::String(id))) => account(id).map_or(Value::Null, |account| user(jira, account, api)),
        (Kind::Priority, Some(Value::String(id))) => priority(jira, id, api),
        (Kind::Parent, Some(Value::String(id))) => {
            jira.issue(id).map_or(Value::Null, |parent| brief(jira, parent, api))
        }
        (_, Some(raw)) => raw.clone(),
    }
}

fn computed(jira: &Jira, issue: &Issue, field: &str, api: Api) -> Value {
    match field {
        "status" => status(jira, issue.status, api),
        "resolution" => issue.resolved.map_or(Value::Null, |_| resolution(jira, api)),
        "resolutiondate" => issue.resolved.map_or(Value::Null, |at| json!(jira_time(at))),
        "created" => json!(jira_time(issue.created)),
        "updated" => json!(jira_time(issue.updated)),
        "creator" => user(jira, issue.creator, api),
        "comment" => {
            let comments: Vec<Value> = issue.comments.iter().map(|entry| comment(jira, issue, entry, api)).collect();
            json!({
                "comments": comments,
                "self": link(jira, api, &format!("issue/{}/comment", issue.id)),
                "maxResults": issue.comments.len(), "total": issue.comments.len(), "startAt": 0,
            })
        }
        "subtasks" => {
            let id = issue.id.to_string();
            jira.issues()
                .filter(|child| child.text("parent") == Some(&id) && jira.issue_types[child.issue_type].level == -1)
                .map(|child| brief(jira, child, api))
                .collect()
        }
        "watches" => json!({
            "self": link(jira, api, &format!("issue/{}/watchers", jira.key(issue))),
            "watchCount": 0, "isWatching": false,
        }),
        "votes" => json!({
            "self": link(jira, api, &format!("issue/{}/votes", jira.key(issue))), "votes": 0, "hasVoted": false,
        }),
        _ => json!([]),
    }
}

/// A parent or sub-task inside another issue.
fn brief(jira: &Jira, issue: &Issue, api: Api) -> Value {
    json!({
        "id": issue.id.to_string(),
        "key": jira.key(issue),
        "self": link(jira, api, &format!("issue/{}", issue.id)),
        "fields": {
            "summary": issue.values.get("summary"),
            "status": status(jira, issue.status, api),
            "priority": issue.text("priority").map(|id| priority(jira, id, api)),
            "issuetype": issue_type(jira, issue.issue_type, api),
        },
    })
}

/// An issue without expansions.
pub(crate) fn issue(jira: &Jira, issue: &Issue, api: Api, selection: &Selection) -> Value {
    json!({
        "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
        "id": issue.id.to_string(),
        "self": link(jira, api, &format!("issue/{}", issue.id)),
        "key": jira.key(issue),
        "fields": fields(jira, issue, api, selection),
    })
}
