//! The first pages of the agile and service desk APIs: one board per project, one service desk.

use serde_json::{Value, json};

use super::{Answer, Call, Refusal, Routed};

fn visible_boards(call: &Call<'_>) -> Vec<Value> {
    call.jira
        .projects
        .iter()
        .enumerate()
        .filter(|(index, _)| call.jira.may_browse(*index, call.caller.account))
        .map(|(index, project)| {
            json!({
                "id": index + 1,
                "self": format!("{}/rest/agile/1.0/board/{}", call.jira.base_url, index + 1),
                "name": format!("{} board", project.key),
                "type": "kanban",
                "location": {
                    "projectId": project.id.parse::<u64>().unwrap_or_default(),
                    "displayName": format!("{} ({})", project.name, project.key),
                    "projectName": project.name, "projectKey": project.key, "projectTypeKey": project.kind,
                    "name": format!("{} ({})", project.name, project.key),
                },
            })
        })
        .collect()
}

pub(super) fn boards(call: &Call<'_>) -> Routed {
    call.account()?;
    let start = call.request.number("startAt", 0)?;
    let most = call.request.number("maxResults", 50)?.clamp(1, 50);
    let wanted = call.request.parameter("projectKeyOrId");
    if let Some(project) = wanted {
        super::project::find(call, project)?;
    }
    let all: Vec<Value> = visible_boards(call)
        .into_iter()
        .filter(|board| {
            let location = &board["location"];
            wanted.is_none_or(|wanted| location["projectKey"] == wanted || is_number(&location["projectId"], wanted))
        })
        .collect();
    let values: Vec<&Value> = all.iter().skip(start).take(most).collect();
    Ok(Answer::ok(json!({
        "maxResults": most, "startAt": start, "total": all.len(), "isLast": start + values.len() >= all.len(),
        "values": values,
    })))
}

pub(super) fn board(call: &Call<'_>, id: &str) -> Routed {
    call.account()?;
    visible_boards(call)
        .into_iter()
        .find(|board| is_number(&board["id"], id))
        .map(Answer::ok)
        .ok_or_else(|| Refusal::new(404, "The requested board cannot be viewed because it either does not exist or you do not have permission to view it."))
}

/// Whether a number of an answer is the one that a path or query spells.
fn is_number(value: &Value, spelled: &str) -> bool {
    spelled.parse().is_ok_and(|number: u64| value.as_u64() == Some(number))
}

pub(super) fn service_info(call: &Call<'_>) -> Routed {
    let build = format!("{}/rest/servicedeskapi/info", call.jira.base_url);
    Ok(Answer::ok(json!({
        "version": "5.12.0", "platformVersion": call.jira.version.to_string(), "buildChangeSet": "0000000",
        "isLicensedForUse": true, "_links": {"self": build},
    })))
}

pub(super) fn service_desks(call: &Call<'_>) -> Routed {
    call.account()?;
    let start = call.request.number("start", 0)?;
    let limit = call.request.number("limit", 50)?.clamp(1, 50);
    let link = format!("{}/rest/servicedeskapi/servicedesk", call.jira.base_url);
    let all: Vec<Value> = (0..call.jira.projects.len())
        .filter(|index| call.jira.projects[*index].kind == "service_desk")
        .filter(|index| call.jira.may_browse(*index, call.caller.account))
        .enumerate()
        .map(|(number, index)| {
            let project = &call.jira.projects[index];
            let id = (number + 1).to_string();
            json!({
                "id": id, "projectId": project.id, "projectName": project.name, "projectKey": project.key,
                "_links": {"self": format!("{link}/{id}")},
            })
        })
        .collect();
    let values: Vec<&Value> = all.iter().skip(start).take(limit).collect();
    Ok(Answer::ok(json!({
        "_expands": [], "size": values.len(), "start": start, "limit": limit, "isLastPage": true,
        "_links": {"self": link, "base": call.jira.base_url, "context": ""}, "values": values,
    })))
}
