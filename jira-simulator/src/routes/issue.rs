//! Issues: create, read, update, delete.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::edit::{self, Errors};
use super::render::{self, Selection};
use super::{Answer, Call, Refusal, Routed, comment, screen, transition};
use crate::state::issue::{Issue, Occurrence};

/// An issue the caller may see.
///
/// # Errors
/// 404 in Jira's words, the same for missing and hidden ones.
pub(super) fn find(call: &Call<'_>, id_or_key: &str) -> Result<Arc<Issue>, Refusal> {
    call.jira
        .issue(id_or_key)
        .filter(|issue| call.jira.may_browse(issue.project, call.caller.account))
        .cloned()
        .ok_or_else(|| Refusal::new(404, "Issue does not exist or you do not have permission to see it."))
}

/// An issue that is valid but not yet stored: it has no id and no number.
pub(super) fn draft(call: &Call<'_>, body: &Value) -> Result<Issue, Refusal> {
    let (fields, update) = edit::parts(call, body)?;
    let Some(project) = edit::project_of(call, fields.get("project")) else {
        // Also what a caller who is silently anonymous reads.
        return Err(Refusal::field("project", "Specify a valid project ID or key"));
    };
    let account = call.account()?;
    let issue_type = match fields.get("issuetype") {
        None | Some(Value::Null) => return Err(Refusal::field("issuetype", "Specify an issue type")),
        Some(given) => match edit::type_of(call, project, given) {
            Some(kind) => kind,
            None if given["name"].is_string() => {
                return Err(Refusal::field("issuetype", "Specify a valid issue type"));
            }
            None => return Err(Refusal::field("issuetype", "The issue type selected is invalid.")),
        },
    };
    let now = call.jira.now();
    let mut issue = Issue {
        id: 0,
        number: 0,
        project,
        issue_type,
        status: 0,
        creator: account,
        created: now,
        updated: now,
        resolved: None,
        values: BTreeMap::from([("reporter", json!(call.jira.accounts[account].account_id)), ("priority", json!("3"))]),
        comments: Vec::new(),
        properties: BTreeMap::new(),
        histories: Vec::new(),
    };
    let mut errors = Errors::new();
    let extras = edit::apply(call, &mut issue, &fields, &update, &mut errors);
    edit::parent(call, &mut issue, fields.get("parent"), &mut errors);
    edit::required(call, &issue, &mut errors);
    if !errors.is_empty() {
        return Err(Refusal::fields(errors));
    }
    edit::properties(&mut issue.properties, body)?;
    for body in extras.comments {
        issue.comments.push(crate::state::issue::Comment {
            id: 0,
            author: account,
            update_author: account,
            body,
            created: now,
            updated: now,
            properties: BTreeMap::new(),
        });
    }
    Ok(issue)
}

/// Gives a draft its id, key and place, and announces it.
pub(super) fn open(call: &mut Call<'_>, mut issue: Issue) -> Value {
    let sequence = call.jira.projects[issue.project].key;
    issue.id = call.jira.next_id("issue", 10_000);
    issue.number = call.jira.next_id(sequence, 1);
    for number in 0..issue.comments.len() {
        issue.comments[number].id = call.jira.next_id("comment", 10_000);
    }
    let issue = call.jira.store(issue);
    call.jira.announce(Occurrence {
        event: "jira:issue_created",
        type_name: Some("issue_created"),
        actor: issue.creator,
        at: issue.created,
        issue: issue.clone(),
        history: None,
        comment: None,
    });
    json!({
        "id": issue.id.to_string(),
        "key": call.jira.key(&issue),
        "self": call.link(&format!("issue/{}", issue.id)),
    })
}

pub(super) fn create(call: &mut Call<'_>) -> Routed {
    let body = call.request.json()?;
    let issue = draft(call, &body)?;
    Ok(Answer::json(201, &open(call, issue)))
}

pub(super) fn get(call: &Call<'_>, id: &str) -> Routed {
    let issue = find(call, id)?;
    let selection = Selection::new(call.request.list("fields"), "*all");
    let mut body = render::issue(call.jira, &issue, call.api, &selection);
    expand(call, &issue, &mut body, &call.request.list("expand"));
    let wanted = call.request.list("properties");
    if !wanted.is_empty() {
        body["properties"] = properties(&issue, &wanted);
    }
    Ok(Answer::ok(body))
}

/// The wanted properties of an issue, by key; `*all` is all of them.
pub(super) fn properties(issue: &Issue, wanted: &[String]) -> Value {
    let kept: Map<String, Value> = issue
        .properties
        .iter()
        .filter(|(key, _)| wanted.iter().any(|name| name == "*all" || name == *key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Value::Object(kept)
}

/// Adds what `expand` asks for.
pub(super) fn expand(call: &Call<'_>, issue: &Issue, body: &mut Value, parts: &[String]) {
    let shown: Vec<&crate::state::field::Field> =
        call.jira.fields.iter().filter(|field| body["fields"].get(field.id).is_some()).collect();
    for part in parts {
        let value = match part.as_str() {
            "names" => shown.iter().map(|field| (field.id.to_owned(), json!(field.name))).collect::<Map<_, _>>().into(),
            "schema" => shown.iter().map(|field| (field.id.to_owned(), field.schema())).collect::<Map<_, _>>().into(),
            "transitions" => transition::available(call, issue, false),
            "editmeta" => json!({"fields": screen::editable(call, issue.project, issue.issue_type)}),
            "changelog" => {
                let histories: Vec<Value> =
                    issue.histories.iter().rev().map(|history| render::history(call.jira, history, call.api)).collect();
                json!({"startAt": 0, "maxResults": histories.len(), "total": histories.len(), "histories": histories})
            }
            "renderedFields" => {
                let html = |id: &str| {
                    issue
                        .values
                        .get(id)
                        .map(|raw| format!("<p>{}</p>", super::escape(&crate::state::rich_text::to_text(raw))))
                };
                json!({"description": html("description")})
            }
            _ => continue,
        };
        body[part.as_str()] = value;
    }
}

pub(super) fn changelog(call: &Call<'_>, id: &str) -> Routed {
    let issue = find(call, id)?;
    let start = call.request.number("startAt", 0)?;
    let most = call.request.number("maxResults", 100)?.clamp(1, 100);
    let values: Vec<Value> = issue
        .histories
        .iter()
        .skip(start)
        .take(most)
        .map(|history| render::history(call.jira, history, call.api))
        .collect();
    let total = issue.histories.len();
    Ok(Answer::ok(json!({
        "self": call.link(&format!("issue/{id}/changelog?maxResults={most}&startAt={start}")),
        "maxResults": most, "startAt": start, "total": total, "isLast": start + values.len() >= total, "values": values,
    })))
}

pub(super) fn update(call: &mut Call<'_>, id: &str) -> Routed {
    let issue = find(call, id)?;
    let account = call.account()?;
    let body = call.request.json()?;
    let (fields, update) = edit::parts(call, &body)?;
    if call.request.flag("overrideScreenSecurity") {
        return Err(Refusal::new(403, "You do not have permission to override screen security."));
    }
    let mut after = Issue::clone(&issue);
    let mut errors = Errors::new();
    if let Some(given) = fields.get("issuetype") {
        match edit::type_of(call, after.project, given) {
            Some(kind) if call.jira.issue_types[kind].level == call.jira.issue_types[after.issue_type].level => {
                after.issue_type = kind;
            }
            Some(_) | None => drop(errors.insert("issuetype".into(), "The issue type selected is invalid.".into())),
        }
    }
    if let Some(given) = fields.get("project")
        && edit::project_of(call, Some(given)) != Some(after.project)
    {
        errors.insert("project".to_owned(), crate::state::value::not_on_screen("project"));
    }
    let extras = edit::apply(call, &mut after, &fields, &update, &mut errors);
    if fields.contains_key("parent") {
        edit::parent(call, &mut after, fields.get("parent"), &mut errors);
    }
    edit::required(call, &after, &mut errors);
    if !errors.is_empty() {
        return Err(Refusal::fields(errors));
    }
    edit::properties(&mut after.properties, &body)?;
    call.jira.update(after, account, None);
    for body in extras.comments {
        comment::store(call, issue.id, account, body, BTreeMap::new());
    }
    if call.request.flag("returnIssue") {
        return get(call, id);
    }
    Ok(Answer::empty(204))
}

pub(super) fn assign(call: &mut Call<'_>, id: &str) -> Routed {
    let issue = find(call, id)?;
    let account = call.account()?;
    let body = call.request.json()?;
    let mut errors = Errors::new();
    let mut after = Issue::clone(&issue);
    let fields = Map::from_iter([("assignee".to_owned(), body)]);
    edit::apply(call, &mut after, &fields, &Map::new(), &mut errors);
    if !errors.is_empty() {
        return Err(Refusal::fields(errors));
    }
    call.jira.update(after, account, None);
    Ok(Answer::empty(204))
}

pub(super) fn delete(call: &mut Call<'_>, id: &str) -> Routed {
    let issue = find(call, id)?;
    let account = call.account()?;
    if !call.admin() {
        return Err(Refusal::new(403, "You do not have permission to delete issues in this project."));
    }
    let parent = issue.id.to_string();
    let children: Vec<u64> = call
        .jira
        .issues()
        .filter(|child| child.text("parent") == Some(&parent) && call.jira.issue_types[child.issue_type].level == -1)
        .map(|child| child.id)
        .collect();
    if !children.is_empty() && !call.request.flag("deleteSubtasks") {
        return Err(Refusal::new(
            400,
            format!(
                "The issue '{}' has subtasks.  You must specify the 'deleteSubtasks' parameter to delete this issue and all its subtasks.",
                call.jira.key(&issue)
            ),
        ));
    }
    for id in children.into_iter().chain([issue.id]) {
        let at = call.jira.now();
        if let Some(issue) = call.jira.remove(id) {
            call.jira.announce(Occurrence {
                event: "jira:issue_deleted",
                type_name: None,
                actor: account,
                at,
                issue,
                history: None,
                comment: None,
            });
        }
    }
    Ok(Answer::empty(204))
}
