//! Users.

use serde_json::{Value, json};

use super::{Answer, Call, Refusal, Routed, render};

pub(super) fn myself(call: &Call<'_>) -> Routed {
    let account = call.account()?;
    let mut body = render::user(call.jira, account, call.api);
    // A person's own e-mail address is always visible to them.
    body["emailAddress"] = json!(call.jira.accounts[account].email);
    body["locale"] = json!("en_US");
    body["groups"] = json!({"size": 1, "items": []});
    body["applicationRoles"] = json!({"size": 1, "items": []});
    body["expand"] = json!("groups,applicationRoles");
    Ok(Answer::ok(body))
}

pub(super) fn get(call: &Call<'_>) -> Routed {
    call.account()?;
    let name = if call.jira.cloud() { "accountId" } else { "username" };
    let Some(id) = call.request.parameter(name) else {
        return Err(Refusal::new(400, format!("The query parameter '{name}' is required.")));
    };
    match call.jira.account_by_id(id) {
        Some(account) => Ok(Answer::ok(render::user(call.jira, account, call.api))),
        None if call.jira.cloud() => {
            Err(Refusal::new(404, "Specified user does not exist or you do not have required permissions"))
        }
        None => Err(Refusal::new(404, format!("The user named '{id}' does not exist"))),
    }
}

pub(super) fn search(call: &Call<'_>) -> Routed {
    call.account()?;
    page(call)
}

pub(super) fn assignable(call: &Call<'_>) -> Routed {
    call.account()?;
    let request = call.request;
    let visible = |project| call.jira.may_browse(project, call.caller.account);
    let known = match (request.parameter("project"), request.parameter("issueKey").or(request.parameter("issueId"))) {
        (Some(project), _) => call.jira.project_index(project).filter(|project| visible(*project)).is_some(),
        (None, Some(issue)) => call.jira.issue(issue).is_some_and(|issue| visible(issue.project)),
        (None, None) => {
            return Err(Refusal::new(400, "Either the 'project' or the 'issueKey' query parameter is required."));
        }
    };
    if !known {
        return Err(Refusal::new(404, "No project could be found with the given key."));
    }
    page(call)
}

fn page(call: &Call<'_>) -> Routed {
    let request = call.request;
    let words = request.parameter("query").or(request.parameter("username")).unwrap_or_default().to_lowercase();
    let id = request.parameter("accountId");
    if words.is_empty() && id.is_none() && !request.segments.iter().any(|segment| segment == "assignable") {
        let name = if call.jira.cloud() { "query" } else { "username" };
        return Err(Refusal::new(400, format!("The {name} parameter is required.")));
    }
    let start = request.number("startAt", 0)?;
    let most = request.number("maxResults", 50)?.min(1_000);
    let people: Vec<Value> = call
        .jira
        .accounts
        .iter()
        .enumerate()
        .filter(|(_, account)| account.member)
        .filter(|(_, account)| match id {
            Some(id) => account.account_id == id,
            None => {
                words == "." && !call.jira.cloud()
                    || account.display_name.to_lowercase().split(' ').any(|part| part.starts_with(&words))
                    || account.display_name.to_lowercase().starts_with(&words)
                    || account.email.starts_with(&words)
                    || account.name.starts_with(&words)
            }
        })
        .skip(start)
        .take(most)
        .map(|(account, _)| render::user(call.jira, account, call.api))
        .collect();
    Ok(Answer::ok(Value::Array(people)))
}
