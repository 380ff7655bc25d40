//! Admin webhooks.
//!
//! The paths are those of the webhooks plugin: `/rest/webhooks/1.0/webhook`, and from Data Center 10
//! on `/rest/jira-webhook/1.0/webhooks`.
//!
//! With the newer path come other bodies: `active` instead of `enabled`, and the members of `configuration`, all of
//! them texts: `SECRET`, `EXCLUDE_BODY`, `FILTERS`. A `secret` beside them is ignored, and then nothing is signed.
//! Sources: the schemas of jira.js 6 for Data Center, and clients of this interface (OpenHands) that sign so. Whether a
//! secret is said back is not known; here it is not.

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
    if moved(jira) {
        return moved_body(webhook);
    }
    let updater = &jira.accounts[webhook.updated_by];
    let mut body = json!({
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "filters": {"issue-related-events-section": webhook.jql},
        "excludeBody": webhook.exclude_body,
        "enabled": webhook.enabled,
        "isSigned": webhook.secret.is_some(),
        "self": format!("{}/rest/webhooks/1.0/webhook/{}", jira.base_url, webhook.id),
        "lastUpdatedDisplayName": updater.display_name,
        "lastUpdated": webhook.updated,
    });
    body["lastUpdatedUser"] = json!(if jira.cloud() { &updater.account_id } else { &updater.name });
    body
}

fn moved_body(webhook: &Webhook) -> Value {
    let mut configuration = json!({"EXCLUDE_BODY": webhook.exclude_body.to_string()});
    if !webhook.jql.is_empty() {
        configuration["FILTERS"] = json!(webhook.jql);
    }
    json!({
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "createdDate": webhook.updated,
        "updatedDate": webhook.updated,
        "configuration": configuration,
        "active": webhook.enabled,
        "scopeType": "global",
        "sslVerificationRequired": true,
    })
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
    if moved(call.jira) {
        return apply_moved(call, webhook, body);
    }
    if let Some(filters) = body.get("filters") {
        filter(call, webhook, filters["issue-related-events-section"].as_str().unwrap_or_default())?;
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

/// What differs where the webhooks have moved.
fn apply_moved(call: &Call<'_>, webhook: &mut Webhook, body: &Value) -> Result<(), Refusal> {
    if let Some(active) = body.get("active") {
        webhook.enabled = active.as_bool().unwrap_or(true);
    }
    let Some(configuration) = body.get("configuration") else { return Ok(()) };
    let text = |name: &str| configuration.get(name).and_then(Value::as_str);
    if configuration.as_object().is_none_or(|members| members.values().any(|value| !value.is_string())) {
        return Err(Refusal::new(400, "The members of the webhook's configuration must be texts."));
    }
    // It is taken as a whole: what is left out is not set any more.
    webhook.exclude_body = text("EXCLUDE_BODY") == Some("true");
    webhook.secret = text("SECRET").filter(|secret| !secret.is_empty()).map(Secret::new);
    filter(call, webhook, text("FILTERS").unwrap_or_default())
}

fn filter(call: &Call<'_>, webhook: &mut Webhook, jql: &str) -> Result<(), Refusal> {
    jql.clone_into(&mut webhook.jql);
    jql::parse(jql)
        .and_then(|query| jql::check(call.jira, &query, call.caller.account))
        .map_err(|error| Refusal::new(400, error.to_string()))
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
    let created = Answer::json(201, &answer);
    Ok(match answer["self"].as_str() {
        Some(location) => created.with_header("Location", location.to_owned()),
        None => created,
    })
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
