//! Search: token pages on Cloud, `startAt` pages on Data Center.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::render::{self, Selection};
use super::{Answer, Call, Refusal, Routed, issue};
use crate::jql::{self, Query};
use crate::state::issue::Issue;

/// What a search asks for, from the query or the body.
struct Asked {
    jql: String,
    most: Option<usize>,
    start: usize,
    fields: Vec<String>,
    expand: Vec<String>,
    properties: Vec<String>,
    reconcile: Vec<u64>,
    token: Option<String>,
}

fn asked(call: &Call<'_>) -> Result<Asked, Refusal> {
    if call.request.method == http::Method::GET {
        let request = call.request;
        return Ok(Asked {
            jql: request.parameter("jql").unwrap_or_default().to_owned(),
            most: request.parameter("maxResults").map(|_| request.number("maxResults", 50)).transpose()?,
            start: request.number("startAt", 0)?,
            fields: request.list("fields"),
            expand: request.list("expand"),
            properties: request.list("properties"),
            reconcile: request.list("reconcileIssues").iter().filter_map(|id| id.parse().ok()).collect(),
            token: request.parameter("nextPageToken").filter(|token| !token.is_empty()).map(str::to_owned),
        });
    }
    let body = call.request.json()?;
    let payload = || Refusal::new(400, "Invalid request payload. Refer to the REST API documentation and try again.");
    const KNOWN: [&str; 10] = [
        "jql",
        "maxResults",
        "startAt",
        "fields",
        "fieldsByKeys",
        "expand",
        "properties",
        "reconcileIssues",
        "nextPageToken",
        "validateQuery",
    ];
    let object = body.as_object().ok_or_else(payload)?;
    if object.keys().any(|key| !KNOWN.contains(&key.as_str())) || (call.jira.cloud() && object.contains_key("startAt"))
    {
        return Err(payload());
    }
    let list = |name: &str| -> Result<Vec<String>, Refusal> {
        match &body[name] {
            Value::Null => Ok(Vec::new()),
            Value::String(text) if name == "expand" => Ok(text.split(',').map(|part| part.trim().to_owned()).collect()),
            Value::Array(values) if name != "expand" || !call.jira.cloud() => {
                values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(payload)).collect()
            }
            _ => Err(payload()),
        }
    };
    let number = |name: &str| match &body[name] {
        Value::Null => Ok(None),
        value => value.as_u64().and_then(|number| usize::try_from(number).ok()).map(Some).ok_or_else(payload),
    };
    Ok(Asked {
        jql: match &body["jql"] {
            Value::Null => String::new(),
            Value::String(jql) => jql.clone(),
            _ => return Err(payload()),
        },
        most: number("maxResults")?,
        start: number("startAt")?.unwrap_or(0),
        fields: list("fields")?,
        expand: list("expand")?,
        properties: list("properties")?,
        reconcile: body["reconcileIssues"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect(),
        token: body["nextPageToken"].as_str().map(str::to_owned),
    })
}

fn parse(call: &Call<'_>, text: &str) -> Result<Query, Refusal> {
    jql::parse(text)
        .and_then(|query| jql::check(call.jira, &query, call.caller.account).map(|()| query))
        .map_err(|error| Refusal::new(400, error.to_string()))
}

fn find(call: &Call<'_>, query: &Query, reconcile: &[u64]) -> Vec<Arc<Issue>> {
    let visible = call
        .jira
        .indexed(reconcile)
        .into_iter()
        .filter(|issue| call.jira.may_browse(issue.project, call.caller.account));
    jql::select(call.jira, query, call.caller.account, visible)
}

fn rendered(call: &Call<'_>, asked: &Asked, selection: &Selection, found: &Issue) -> Value {
    if call.jira.cloud() && selection.only_id() && asked.expand.is_empty() && asked.properties.is_empty() {
        return json!({"id": found.id.to_string()});
    }
    let mut body = render::issue(call.jira, found, call.api, selection);
    issue::expand(call, found, &mut body, &asked.expand);
    if let Some(body) = body.as_object_mut() {
        // The search lists these once for the whole page.
        body.remove("names");
        body.remove("schema");
    }
    if !asked.properties.is_empty() {
        body["properties"] = issue::properties(found, &asked.properties);
    }
    body
}

pub(super) fn by_token(call: &Call<'_>) -> Routed {
    let asked = asked(call)?;
    let query = parse(call, &asked.jql)?;
    if query.is_unbounded() {
        return Err(Refusal::new(
            400,
            "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.",
        ));
    }
    if query.order_length() > 7 {
        return Err(Refusal::new(400, "The ORDER BY clause may hold at most 7 fields."));
    }
    if asked.reconcile.len() > 50 || asked.properties.len() > 5 {
        return Err(Refusal::new(400, "At most 50 issues can be reconciled, and at most 5 properties returned."));
    }
    let start = match &asked.token {
        None => 0,
        Some(token) => {
            place(token, &asked.jql).ok_or_else(|| Refusal::new(400, "The nextPageToken is invalid or has expired."))?
        }
    };
    let most = asked.most.unwrap_or(50).clamp(1, call.jira.settings.search_page_limit.max(1));
    let selection = Selection::new(asked.fields.clone(), "id");
    let found = find(call, &query, &asked.reconcile);
    let issues: Vec<Value> =
        found.iter().skip(start).take(most).map(|issue| rendered(call, &asked, &selection, issue)).collect();
    let last = start + issues.len() >= found.len();
    let mut body = json!({"issues": issues, "isLast": last});
    if !last {
        body["nextPageToken"] = json!(token(start + most, &asked.jql));
    }
    for part in &asked.expand {
        let fields = call.jira.fields.iter();
        match part.as_str() {
            "names" => body["names"] = fields.map(|field| (field.id.to_owned(), json!(field.name))).collect(),
            "schema" => body["schema"] = fields.map(|field| (field.id.to_owned(), field.schema())).collect(),
            _ => {}
        }
    }
    Ok(Answer::ok(body))
}

/// A page token: opaque to clients, and of use for the same query only.
fn token(start: usize, jql: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({"at": start, "jql": jql}).to_string())
}

fn place(token: &str, jql: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let value: Value = serde_json::from_slice(&bytes).ok()?;
    (value["jql"] == jql).then_some(())?;
    usize::try_from(value["at"].as_u64()?).ok()
}

pub(super) fn count(call: &Call<'_>) -> Routed {
    let body = call.request.json()?;
    let query = parse(call, body["jql"].as_str().unwrap_or_default())?;
    if query.is_unbounded() {
        return Err(Refusal::new(
            400,
            "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.",
        ));
    }
    Ok(Answer::ok(json!({"count": find(call, &query, &[]).len()})))
}

/// Cloud removed `/search` in 2025.
pub(super) fn gone() -> Routed {
    Err(Refusal::new(
        410,
        "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. A full migration guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046",
    ))
}

pub(super) fn by_offset(call: &Call<'_>) -> Routed {
    let asked = asked(call)?;
    let query = parse(call, &asked.jql)?;
    let most = asked.most.unwrap_or(50).min(call.jira.settings.search_page_limit);
    let selection = Selection::new(asked.fields.clone(), "*navigable");
    let found = find(call, &query, &[]);
    let issues: Vec<Value> =
        found.iter().skip(asked.start).take(most).map(|issue| rendered(call, &asked, &selection, issue)).collect();
    Ok(Answer::ok(json!({
        "expand": "names,schema", "startAt": asked.start, "maxResults": most, "total": found.len(), "issues": issues,
    })))
}
