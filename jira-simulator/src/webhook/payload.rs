//! What happened → which webhooks are told, in which body.

use serde_json::{Value, json};

use super::Webhook;
use super::sender::Delivery;
use crate::jql;
use crate::routes::Api;
use crate::routes::render::{self, Selection};
use crate::state::Jira;
use crate::state::issue::Occurrence;

/// The deliveries that some occurrences cause, one for each active webhook that wants it.
pub(crate) fn deliveries(jira: &mut Jira, occurrences: Vec<Occurrence>) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for occurrence in occurrences {
        // One body for each address the site is known by.
        let mut bodies: Vec<(String, String)> = Vec::new();
        let wanted: Vec<Webhook> =
            jira.webhooks.iter().filter(|webhook| wants(jira, webhook, &occurrence)).cloned().collect();
        for webhook in &wanted {
            let body = match bodies.iter().find(|(site, _)| *site == webhook.site_url) {
                _ if webhook.exclude_body => String::new(),
                Some((_, body)) => body.clone(),
                None => {
                    jira.base_url =
                        if webhook.site_url.is_empty() { jira.site_url.clone() } else { webhook.site_url.clone() };
                    bodies.push((webhook.site_url.clone(), payload(jira, &occurrence).to_string()));
                    bodies[bodies.len() - 1].1.clone()
                }
            };
            // Old URL templates name the issue.
            let url = webhook
                .url
                .replace("${issue.id}", &occurrence.issue.id.to_string())
                .replace("${issue.key}", &jira.key(&occurrence.issue))
                .replace("${project.key}", jira.projects[occurrence.issue.project].key);
            deliveries.push(Delivery::new(webhook, occurrence.event, url, body));
        }
    }
    deliveries
}

fn wants(jira: &Jira, webhook: &Webhook, occurrence: &Occurrence) -> bool {
    webhook.enabled
        && webhook.events.iter().any(|event| event == occurrence.event)
        && jql::parse(&webhook.jql)
            .is_ok_and(|query| jql::matches(jira, &query, Some(webhook.updated_by), &occurrence.issue))
}

/// Webhook bodies are those of the v2 API: rich text as a string.
fn payload(jira: &Jira, occurrence: &Occurrence) -> Value {
    let api = Api::V2;
    let mut body = json!({"timestamp": occurrence.at, "webhookEvent": occurrence.event});
    if let Some(name) = occurrence.type_name {
        body["issue_event_type_name"] = json!(name);
    }
    let issue = &occurrence.issue;
    if let Some(comment) = &occurrence.comment {
        body["comment"] = render::comment(jira, issue, comment, api);
        // Comment events carry a short issue and no user.
        let names = ["summary", "issuetype", "project", "assignee", "priority", "status"].map(str::to_owned);
        body["issue"] = short(render::issue(jira, issue, api, &Selection::new(names.to_vec(), "*all")));
        return body;
    }
    body["user"] = render::user(jira, occurrence.actor, api);
    body["issue"] = short(render::issue(jira, issue, api, &Selection::new(vec!["-comment".to_owned()], "*all")));
    if let Some(history) = &occurrence.history {
        body["changelog"] = json!({"id": history.id.to_string(), "items": render::changes(history, jira.cloud())});
    }
    body
}

fn short(mut issue: Value) -> Value {
    if let Some(issue) = issue.as_object_mut() {
        issue.remove("expand");
    }
    issue
}
