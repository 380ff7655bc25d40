//! Admin webhooks.
//!
//! The paths are those of the webhooks plugin: `/rest/webhooks/1.0/webhook`, and from Data Center 10
//! on `/rest/jira-webhook/1.0/webhooks`.

use http::Method;
use serde_json::{Value, json};

use super::{Answer, Call, Refusal, Routed};
use crate::jql;
use crate::state::Jira;
use crate::webhook::{EVENTS, Secret, Webhook};

/// Whether this release has its webhooks under the newer path.
pub(super) fn moved(jira: &Jira) -> bool {
    !jira.cloud() && jira.version.at_least(10, 0)
}

pub(super) fn route(call: &mut Call<'_>, rest: &[&str]) -> Option<Routed> {
    Some(match (&call.request.method, rest) {
        (&Method::GET, []) => list(call),
        (&Method::POST, []) => register(call),
        (&Method::GET, [id]) => get(call, id),
        (&Method::PUT, [id]) => change(call, id),
        (&Method::DELETE, [id]) => remove(call, id),
        _ => return None,
    })
}

fn administrator(call: &Call<'_>) -> Result<usize, Refusal> {
    let account = call.account()?;
    if call.admin() {
        return Ok(account);
    }
    Err(Refusal::new(
        403,
        "You do not have permission to administer webhooks. This needs the global permission 'Administer Jira'.",
    ))
}

fn body(jira: &Jira, webhook: &Webhook) -> Value {
    let path = if moved(jira) { "rest/jira-webhook/1.0/webhooks" } else { "rest/webhooks/1.0/webhook" };
    let updater = &jira.accounts[webhook.updated_by];
    let mut body = json!({
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "filters": {"issue-related-events-section": webhook.jql},
        "excludeBody": webhook.exclude_body,
        "enabled": webhook.enabled,
        "isSigned": webhook.secret.is_some(),
        "self": format!("{}/{path}/{}", jira.base_url, webhook.id),
        "lastUpdatedDisplayName": updater.display_name,
        "lastUpdated": webhook.updated,
    });
    body["lastUpdatedUser"] = json!(if jira.cloud() { &updater.account_id } else { &updater.name });
    body
}

fn list(call: &Call<'_>) -> Routed {
    administrator(call)?;
    Ok(Answer::ok(call.jira.webhooks.iter().map(|webhook| body(call.jira, webhook)).collect()))
}

fn place(call: &Call<'_>, id: &str) -> Result<usize, Refusal> {
    administrator(call)?;
    call.jira
        .webhooks
        .iter()
        .position(|webhook| webhook.id.to_string() == id)
        .ok_or_else(|| Refusal::new(404, format!("No webhook with the id {id} exists.")))
}

fn get(call: &Call<'_>, id: &str) -> Routed {
    let place = place(call, id)?;
    Ok(Answer::ok(body(call.jira, &call.jira.webhooks[place])))
}

/// Puts a body onto a webhook; members left out stay.
fn apply(call: &Call<'_>, webhook: &mut Webhook, body: &Value) -> Result<(), Refusal> {
    let bad = |message: String| Refusal::new(400, message);
    if let Some(name) = body.get("name") {
        webhook.name = name.as_str().unwrap_or_default().trim().to_owned();
    }
    if let Some(url) = body.get("url") {
        webhook.url = url.as_str().unwrap_or_default().to_owned();
    }
    if webhook.name.is_empty() {
        return Err(bad("The webhook name is required.".to_owned()));
    }
    let url = url::Url::parse(&webhook.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_none_or(|url| url.host_str().is_none()) {
        return Err(bad("The webhook URL is not a valid URL.".to_owned()));
    }
    if let Some(events) = body.get("events") {
        let events = events.as_array().ok_or_else(|| bad("The webhook events must be a list.".to_owned()))?;
        webhook.events.clear();
        for event in events {
            let event = event.as_str().unwrap_or_default();
            if !EVENTS.contains(&event) {
                return Err(bad(format!("The event '{event}' is not a webhook event.")));
            }
            if !webhook.events.iter().any(|known| known == event) {
                webhook.events.push(event.to_owned());
            }
        }
    }
    if let Some(filters) = body.get("filters") {
        webhook.jql = filters["issue-related-events-section"].as_str().unwrap_or_default().to_owned();
        jql::parse(&webhook.jql)
            .and_then(|query| jql::check(call.jira, &query, call.caller.account))
            .map_err(|error| bad(error.to_string()))?;
    }
    if let Some(exclude) = body.get("excludeBody") {
        webhook.exclude_body = exclude.as_bool().unwrap_or_default();
    }
    if let Some(enabled) = body.get("enabled") {
        webhook.enabled = enabled.as_bool().unwrap_or(true);
    }
    match body.get("secret") {
        Some(Value::String(secret)) if !secret.is_empty() => webhook.secret = Some(Secret::new(secret)),
        Some(Value::Null | Value::String(_)) => webhook.secret = None,
        Some(_) => return Err(bad("The webhook secret must be a text.".to_owned())),
        None => {}
    }
    Ok(())
}

fn check_limit(call: &Call<'_>, webhook: &Webhook) -> Result<(), Refusal> {
    let active = call.jira.webhooks.iter().filter(|other| other.enabled && other.id != webhook.id).count();
    let limit = call.jira.settings.webhook_limit;
    if webhook.enabled && active >= limit {
        return Err(Refusal::new(
            call.jira.settings.webhook_limit_status,
            format!(
                "The maximum number of active webhooks ({limit}) has been reached. Delete or disable a webhook to add another."
            ),
        ));
    }
    Ok(())
}

fn register(call: &mut Call<'_>) -> Routed {
    let account = administrator(call)?;
    let request = call.request.json()?;
    let mut webhook = Webhook::new(account, call.jira.now());
    apply(call, &mut webhook, &request)?;
    check_limit(call, &webhook)?;
    webhook.id = call.jira.next_id("webhook", 1);
    webhook.site_url = call.jira.site_url.clone();
    let answer = body(call.jira, &webhook);
    call.jira.webhooks.push(webhook);
    call.jira.commit();
    let location = answer["self"].as_str().unwrap_or_default().to_owned();
    Ok(Answer::json(201, &answer).with_header("Location", location))
}

fn change(call: &mut Call<'_>, id: &str) -> Routed {
    let place = place(call, id)?;
    let request = call.request.json()?;
    let mut webhook = call.jira.webhooks[place].clone();
    apply(call, &mut webhook, &request)?;
    check_limit(call, &webhook)?;
    webhook.updated = call.jira.now();
    webhook.updated_by = call.account()?;
    let answer = body(call.jira, &webhook);
    call.jira.webhooks[place] = webhook;
    call.jira.commit();
    Ok(Answer::ok(answer))
}

fn remove(call: &mut Call<'_>, id: &str) -> Routed {
    let place = place(call, id)?;
    call.jira.webhooks.remove(place);
    call.jira.commit();
    Ok(Answer::empty(204))
}
