//! Projects.

use serde_json::{Value, json};

use super::{Answer, Call, Refusal, Routed, render};

fn visible(call: &Call<'_>) -> Vec<usize> {
    (0..call.jira.projects.len()).filter(|project| call.jira.may_browse(*project, call.caller.account)).collect()
}

/// A project the caller may see.
///
/// # Errors
/// 404 in Jira's words, also for those that are hidden.
pub(super) fn find(call: &Call<'_>, name: &str) -> Result<usize, Refusal> {
    call.jira.project_index(name).filter(|project| call.jira.may_browse(*project, call.caller.account)).ok_or_else(
        || match name.parse::<u64>() {
            Ok(id) => Refusal::new(404, format!("No project could be found with id '{id}'.")),
            Err(_) => Refusal::new(404, format!("No project could be found with key '{name}'.")),
        },
    )
}

pub(super) fn all(call: &Call<'_>) -> Routed {
    Ok(Answer::ok(visible(call).into_iter().map(|project| render::project(call.jira, project, call.api)).collect()))
}

pub(super) fn search(call: &Call<'_>) -> Routed {
    let start = call.request.number("startAt", 0)?;
    let most = call.request.number("maxResults", 50)?.clamp(1, 100);
    let words = call.request.parameter("query").unwrap_or_default().to_lowercase();
    let keys = call.request.list("keys");
    let kinds = call.request.list("typeKey");
    let found: Vec<usize> = visible(call)
        .into_iter()
        .filter(|project| {
            let project = &call.jira.projects[*project];
            (project.name.to_lowercase().contains(&words) || project.key.to_lowercase().contains(&words))
                && (keys.is_empty() || keys.iter().any(|key| key == project.key))
                && (kinds.is_empty() || kinds.iter().any(|kind| kind == project.kind))
        })
        .collect();
    let values: Vec<Value> = found
        .iter()
        .skip(start)
        .take(most)
        .map(|project| {
            let mut body = render::project(call.jira, *project, call.api);
            body["isPrivate"] = json!(false);
            body
        })
        .collect();
    let last = start + values.len() >= found.len();
    let link = |start: usize| call.link(&format!("project/search?maxResults={most}&startAt={start}"));
    let mut page = json!({
        "self": link(start), "maxResults": most, "startAt": start, "total": found.len(), "isLast": last, "values": values,
    });
    if !last {
        page["nextPage"] = json!(link(start + most));
    }
    Ok(Answer::ok(page))
}

pub(super) fn get(call: &Call<'_>, name: &str) -> Routed {
    let index = find(call, name)?;
    let mut body = render::project(call.jira, index, call.api);
    let project = &call.jira.projects[index];
    body["expand"] = json!("description,lead,issueTypes,url,projectKeys,permissions,insight");
    body["description"] = json!("");
    body["lead"] = render::user(call.jira, 0, call.api);
    body["components"] = json!([]);
    body["versions"] = json!([]);
    body["roles"] = json!({});
    body["assigneeType"] = json!("UNASSIGNED");
    body["issueTypes"] = project.types.iter().map(|kind| render::issue_type(call.jira, *kind, call.api)).collect();
    if call.jira.cloud() {
        body["style"] = json!("classic");
        body["isPrivate"] = json!(false);
        body["properties"] = json!({});
    }
    Ok(Answer::ok(body))
}

pub(super) fn statuses(call: &Call<'_>, name: &str) -> Routed {
    let index = find(call, name)?;
    let statuses: Vec<Value> =
        (0..call.jira.statuses.len()).map(|status| render::status(call.jira, status, call.api)).collect();
    let types: Vec<Value> = call.jira.projects[index]
        .types
        .iter()
        .map(|kind| {
            let full = render::issue_type(call.jira, *kind, call.api);
            json!({
                "self": full["self"], "id": full["id"], "name": full["name"], "subtask": full["subtask"],
                "statuses": statuses,
            })
        })
        .collect();
    Ok(Answer::ok(Value::Array(types)))
}
