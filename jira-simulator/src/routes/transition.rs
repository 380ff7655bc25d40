//! Workflow transitions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::edit::{self, Errors};
use super::{Answer, Call, Refusal, Routed, comment, issue, render};
use crate::state::DONE;
use crate::state::issue::Issue;

/// The transitions out of the issue's status; anonymous callers have none.
pub(super) fn available(call: &Call<'_>, issue: &Issue, with_fields: bool) -> Value {
    if call.caller.account.is_none() {
        return json!([]);
    }
    call.jira
        .transitions(issue.status)
        .map(|transition| {
            let mut body = json!({
                "id": transition.id,
                "name": call.jira.statuses[transition.to].name,
                "to": render::status(call.jira, transition.to, call.api),
                "hasScreen": false, "isGlobal": false, "isInitial": false, "isAvailable": true,
                "isConditional": false, "isLooped": false,
            });
            if with_fields {
                body["fields"] = json!({});
            }
            body
        })
        .collect()
}

pub(super) fn list(call: &Call<'_>, id: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let with_fields = call.request.list("expand").iter().any(|part| part == "transitions.fields");
    let mut transitions = available(call, &issue, with_fields);
    if let (Some(wanted), Some(all)) = (call.request.parameter("transitionId"), transitions.as_array_mut()) {
        all.retain(|transition| transition["id"] == wanted);
    }
    Ok(Answer::ok(json!({"expand": "transitions", "transitions": transitions})))
}

pub(super) fn perform(call: &mut Call<'_>, id: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let account = call.account()?;
    let body = call.request.json()?;
    let (fields, update) = edit::parts(call, &body)?;
    let wanted = match &body["transition"]["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => return Err(Refusal::new(400, "Missing 'transition' identifier")),
    };
    let Some(transition) = call.jira.transitions(issue.status).find(|transition| transition.id == wanted) else {
        return Err(Refusal::new(400, format!("Transition id '{wanted}' is not valid for this issue.")));
    };
    // These transitions have no screen: nothing but a comment may come with them.
    let mut errors = Errors::new();
    for id in fields.keys().chain(update.keys().filter(|id| *id != "comment")) {
        errors.insert(id.clone(), crate::state::value::not_on_screen(id));
    }
    let mut after = Issue::clone(&issue);
    let extras = edit::apply(call, &mut after, &Map::new(), &update, &mut errors);
    if !errors.is_empty() {
        return Err(Refusal::fields(errors));
    }
    after.status = transition.to;
    after.resolved = (transition.to == DONE).then(|| call.jira.now());
    call.jira.update(after, account, Some("issue_generic"));
    for body in extras.comments {
        comment::store(call, issue.id, account, body, BTreeMap::new());
    }
    Ok(Answer::empty(204))
}
