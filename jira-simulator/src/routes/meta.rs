//! Fields, issue types, statuses, priorities, resolutions.

use serde_json::{Value, json};

use super::{Answer, Call, Routed, render};

pub(super) fn issue_types(call: &Call<'_>) -> Routed {
    let seen = |kind: &usize| {
        let in_project = |project: usize| call.jira.projects[project].types.contains(kind);
        (0..call.jira.projects.len())
            .any(|project| in_project(project) && call.jira.may_browse(project, call.caller.account))
    };
    Ok(Answer::ok(
        (0..call.jira.issue_types.len())
            .filter(seen)
            .map(|kind| render::issue_type(call.jira, kind, call.api))
            .collect(),
    ))
}

pub(super) fn statuses(call: &Call<'_>) -> Routed {
    call.account()?;
    Ok(Answer::ok((0..call.jira.statuses.len()).map(|status| render::status(call.jira, status, call.api)).collect()))
}

pub(super) fn fields(call: &Call<'_>) -> Routed {
    let fields: Vec<Value> = call
        .jira
        .fields
        .iter()
        .map(|field| {
            let navigable = !matches!(field.id, "comment" | "attachment");
            let mut body = json!({
                "id": field.id,
                "name": field.name,
                "custom": field.custom_number().is_some(),
                "orderable": field.settable(),
                "navigable": navigable,
                "searchable": true,
                "clauseNames": field.clause_names(),
                "schema": field.schema(),
            });
            if call.jira.cloud() || field.custom_number().is_none() {
                body["key"] = json!(field.id);
            }
            body
        })
        .collect();
    Ok(Answer::ok(Value::Array(fields)))
}

fn all_priorities(call: &Call<'_>) -> Vec<Value> {
    call.jira
        .priorities
        .iter()
        .map(|priority| {
            let mut body = render::priority(call.jira, priority.id, call.api);
            body["statusColor"] = json!(priority.color);
            body["description"] = json!("");
            body
        })
        .collect()
}

pub(super) fn priorities(call: &Call<'_>) -> Routed {
    call.account()?;
    Ok(Answer::ok(Value::Array(all_priorities(call))))
}

pub(super) fn priority_page(call: &Call<'_>) -> Routed {
    call.account()?;
    let start = call.request.number("startAt", 0)?;
    let most = call.request.number("maxResults", 50)?.clamp(1, 50);
    let all = all_priorities(call);
    let values: Vec<Value> = all
        .iter()
        .skip(start)
        .take(most)
        .map(|priority| {
            let mut priority = priority.clone();
            priority["isDefault"] = json!(priority["id"] == "3");
            priority
        })
        .collect();
    Ok(Answer::ok(json!({
        "maxResults": most, "startAt": start, "total": all.len(),
        "isLast": start + values.len() >= all.len(), "values": values,
    })))
}

pub(super) fn resolutions(call: &Call<'_>) -> Routed {
    call.account()?;
    Ok(Answer::ok(json!([render::resolution(call.jira, call.api)])))
}
