//! Comments.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Call, Refusal, Routed, edit, issue, render};
use crate::state::issue::{Comment, Issue, Occurrence};
use crate::state::value;

fn body_of(call: &Call<'_>, body: &Value) -> Result<Value, Refusal> {
    match value::rich(&body["body"], call.api) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(Refusal::field("comment", "Comment body can not be empty!")),
        Err(_) if body["body"].is_null() => Err(Refusal::field("comment", "Comment body can not be empty!")),
        Err(message) if message.contains("too long") => Err(Refusal::field("comment", message)),
        Err(_) => Err(Refusal::field("comment", "Comment body is not valid!")),
    }
}

/// Adds a comment to a stored issue and announces it.
pub(super) fn store(
    call: &mut Call<'_>,
    issue: u64,
    account: usize,
    body: Value,
    properties: BTreeMap<String, Value>,
) -> Option<Comment> {
    let mut issue = Issue::clone(call.jira.issue(&issue.to_string())?);
    let now = call.jira.now();
    let id = call.jira.next_id("comment", 10_000);
    let comment = Comment { id, author: account, update_author: account, body, created: now, updated: now, properties };
    issue.comments.push(comment.clone());
    issue.updated = now;
    announce(call, "comment_created", account, issue, comment.clone());
    Some(comment)
}

fn announce(call: &mut Call<'_>, event: &'static str, actor: usize, issue: Issue, comment: Comment) {
    let at = call.jira.now();
    let issue = call.jira.store(issue);
    call.jira.announce(Occurrence { event, type_name: None, actor, at, issue, history: None, comment: Some(comment) });
}

fn rendered(call: &Call<'_>, issue: &Issue, comment: &Comment) -> Value {
    let mut body = render::comment(call.jira, issue, comment, call.api);
    let expands = call.request.list("expand");
    if expands.iter().any(|part| part == "properties") {
        body["properties"] =
            comment.properties.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    }
    if expands.iter().any(|part| part == "renderedBody") {
        let text = crate::state::rich_text::to_text(&comment.body);
        body["renderedBody"] = json!(format!("<p>{}</p>", super::escape(&text)));
    }
    body
}

pub(super) fn list(call: &Call<'_>, id: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let start = call.request.number("startAt", 0)?;
    let most = call.request.number("maxResults", if call.jira.cloud() { 100 } else { 1_048_576 })?;
    let most = if call.jira.cloud() { most.min(100) } else { most };
    let mut all: Vec<&Comment> = issue.comments.iter().collect();
    match call.request.parameter("orderBy") {
        None | Some("created" | "+created") => {}
        Some("-created") => all.reverse(),
        Some(other) => return Err(Refusal::new(400, format!("Comments cannot be ordered by '{other}'."))),
    }
    let comments: Vec<Value> =
        all.iter().skip(start).take(most).map(|comment| rendered(call, &issue, comment)).collect();
    Ok(Answer::ok(json!({"startAt": start, "maxResults": most, "total": all.len(), "comments": comments})))
}

pub(super) fn add(call: &mut Call<'_>, id: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let account = call.account()?;
    let body = call.request.json()?;
    let text = body_of(call, &body)?;
    let mut properties = BTreeMap::new();
    edit::properties(&mut properties, &body)?;
    let gone = || Refusal::new(404, "Issue does not exist or you do not have permission to see it.");
    let comment = store(call, issue.id, account, text, properties).ok_or_else(gone)?;
    Ok(Answer::json(201, &rendered(call, &issue, &comment)))
}

fn place(issue: &Issue, comment: &str) -> Result<usize, Refusal> {
    issue
        .comments
        .iter()
        .position(|known| known.id.to_string() == comment)
        .ok_or_else(|| Refusal::new(404, format!("Can not find a comment for the id: {comment}.")))
}

pub(super) fn get(call: &Call<'_>, id: &str, comment: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let place = place(&issue, comment)?;
    Ok(Answer::ok(rendered(call, &issue, &issue.comments[place])))
}

fn own(call: &Call<'_>, comment: &Comment, verb: &str) -> Result<usize, Refusal> {
    let account = call.account()?;
    if comment.author != account && !call.admin() {
        return Err(Refusal::new(403, format!("You do not have the permission to {verb} this comment.")));
    }
    Ok(account)
}

pub(super) fn update(call: &mut Call<'_>, id: &str, comment: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let place = place(&issue, comment)?;
    let account = own(call, &issue.comments[place], "edit")?;
    let body = call.request.json()?;
    let text = body_of(call, &body)?;
    let now = call.jira.now();
    let mut after = Issue::clone(&issue);
    after.comments[place].body = text;
    after.comments[place].updated = now;
    after.comments[place].update_author = account;
    edit::properties(&mut after.comments[place].properties, &body)?;
    after.updated = now;
    let changed = after.comments[place].clone();
    announce(call, "comment_updated", account, after, changed.clone());
    Ok(Answer::ok(rendered(call, &issue, &changed)))
}

pub(super) fn delete(call: &mut Call<'_>, id: &str, comment: &str) -> Routed {
    let issue = issue::find(call, id)?;
    let place = place(&issue, comment)?;
    let account = own(call, &issue.comments[place], "delete")?;
    let mut after = Issue::clone(&issue);
    let removed = after.comments.remove(place);
    after.updated = call.jira.now();
    announce(call, "comment_deleted", account, after, removed);
    Ok(Answer::empty(204))
}
