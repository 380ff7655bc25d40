//! `createmeta` and `editmeta`: which fields a screen has, which are required, which values they take.

use serde_json::{Map, Value, json};

use super::{Answer, Call, Refusal, Routed, issue, project, render};
use crate::state::field::{Field, Kind};

/// Whether the per-project paths exist: Cloud, and Data Center from 8.4 on.
pub(super) fn by_project(call: &Call<'_>) -> bool {
    call.jira.cloud() || call.jira.version.at_least(8, 4)
}

fn page<'a>(call: &Call<'_>, member: &str, all: &'a [Value]) -> Result<(Value, &'a [Value]), Refusal> {
    let start = call.request.number("startAt", 0)?.min(all.len());
    let most = call.request.number("maxResults", 50)?.clamp(1, 200);
    let values = &all[start..all.len().min(start + most)];
    let body = if call.jira.cloud() {
        json!({"maxResults": most, "startAt": start, "total": all.len(), member: values})
    } else {
        let last = start + values.len() >= all.len();
        json!({"maxResults": most, "startAt": start, "total": all.len(), "isLast": last, "values": values})
    };
    Ok((body, values))
}

pub(super) fn types(call: &Call<'_>, name: &str) -> Routed {
    let index = project::find(call, name)?;
    call.account().map_err(|_| Refusal::new(404, "You do not have permission to create issues in this project."))?;
    let types: Vec<Value> = call.jira.projects[index]
        .types
        .iter()
        .map(|kind| {
            let mut body = render::issue_type(call.jira, *kind, call.api);
            if let Some(body) = body.as_object_mut() {
                body.remove("avatarId");
            }
            body
        })
        .collect();
    Ok(Answer::ok(page(call, "issueTypes", &types)?.0))
}

pub(super) fn fields(call: &Call<'_>, name: &str, kind: &str) -> Routed {
    let index = project::find(call, name)?;
    call.account().map_err(|_| Refusal::new(404, "You do not have permission to create issues in this project."))?;
    let kind = call.jira.projects[index].types.iter().copied().find(|known| call.jira.issue_types[*known].id == kind);
    let Some(kind) = kind else {
        return Err(Refusal::new(404, "The issue type is not available in this project."));
    };
    let described: Vec<Value> = call
        .jira
        .screen(index, kind, call.caller.account)
        .into_iter()
        .filter_map(|(id, required)| {
            let mut body = describe(call, call.jira.field(id)?, index, Some(kind), required);
            body["fieldId"] = json!(id);
            Some(body)
        })
        .collect();
    Ok(Answer::ok(page(call, "fields", &described)?.0))
}

/// The removed all-in-one `createmeta`: still on Cloud (deprecated) and below 9.0.
pub(super) fn all(call: &Call<'_>) -> Routed {
    let keys = call.request.list("projectKeys");
    let wanted_ids = call.request.list("projectIds");
    let names: Vec<String> =
        call.request.query.iter().filter(|(key, _)| key == "issuetypeNames").map(|(_, name)| name.clone()).collect();
    let with_fields = call.request.list("expand").iter().any(|part| part == "projects.issuetypes.fields");
    let mut projects = Vec::new();
    for (index, project) in call.jira.projects.iter().enumerate() {
        let named = |list: &[String], text: &str| list.is_empty() || list.iter().any(|entry| entry == text);
        if call.caller.account.is_none()
            || !call.jira.may_browse(index, call.caller.account)
            || !named(&keys, project.key)
            || !named(&wanted_ids, project.id)
        {
            continue;
        }
        let mut types = Vec::new();
        for kind in project.types.iter().filter(|kind| named(&names, call.jira.issue_types[**kind].name)) {
            let mut body = render::issue_type(call.jira, *kind, call.api);
            if with_fields {
                body["expand"] = json!("fields");
                body["fields"] = described(call, index, *kind);
            }
            types.push(body);
        }
        let full = render::project(call.jira, index, call.api);
        projects.push(json!({
            "self": full["self"], "id": project.id, "key": project.key, "name": project.name,
            "avatarUrls": full["avatarUrls"], "issuetypes": types,
        }));
    }
    Ok(Answer::ok(json!({"expand": "projects", "projects": projects})))
}

fn described(call: &Call<'_>, project: usize, kind: usize) -> Value {
    let mut fields = Map::new();
    for (id, required) in call.jira.screen(project, kind, call.caller.account) {
        if let Some(field) = call.jira.field(id) {
            fields.insert(id.to_owned(), describe(call, field, project, Some(kind), required));
        }
    }
    Value::Object(fields)
}

pub(super) fn edit(call: &Call<'_>, id: &str) -> Routed {
    let issue = issue::find(call, id)?;
    call.account()?;
    Ok(Answer::ok(json!({"fields": editable(call, issue.project, issue.issue_type)})))
}

pub(super) fn editable(call: &Call<'_>, project: usize, kind: usize) -> Value {
    let mut fields = described(call, project, kind);
    if let Some(fields) = fields.as_object_mut() {
        // A project is changed by moving, not by editing.
        fields.remove("project");
        fields.insert(
            "comment".to_owned(),
            json!({
                "required": false, "schema": {"type": "comments-page", "system": "comment"},
                "name": "Comment", "key": "comment", "operations": ["add", "edit", "remove"],
            }),
        );
    }
    fields
}

fn describe(call: &Call<'_>, field: &Field, project: usize, kind: Option<usize>, required: bool) -> Value {
    let mut body = json!({
        "required": required,
        "schema": field.schema(),
        "name": field.name,
        "key": field.id,
        "hasDefaultValue": matches!(field.id, "priority" | "reporter"),
        "operations": field.operations(),
    });
    match field.kind {
        Kind::Select | Kind::MultiSelect => {
            body["allowedValues"] =
                field.choices.iter().map(|choice| render::choice(call.jira, field, &choice.id, call.api)).collect();
        }
        Kind::Priority => {
            body["allowedValues"] = call
                .jira
                .priorities
                .iter()
                .map(|priority| render::priority(call.jira, priority.id, call.api))
                .collect();
            body["defaultValue"] = render::priority(call.jira, "3", call.api);
        }
        Kind::IssueType => {
            body["allowedValues"] = kind.iter().map(|kind| render::issue_type(call.jira, *kind, call.api)).collect();
        }
        Kind::Project => body["allowedValues"] = json!([render::project(call.jira, project, call.api)]),
        Kind::User => {
            body["autoCompleteUrl"] = json!(if field.id == "assignee" {
                call.link(&format!("user/assignable/search?project={}&query=", call.jira.projects[project].key))
            } else {
                call.link("user/search?query=")
            });
        }
        Kind::Labels => {
            body["autoCompleteUrl"] = json!(format!("{}/rest/api/1.0/labels/suggest?query=", call.jira.base_url));
        }
        _ => {}
    }
    body
}
