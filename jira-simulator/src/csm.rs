//! Customer Service Management: enough to prove a connection and to read customers and organizations.
//!
//! Routes and shapes by Atlassian's reference; only bearer tokens come this far.

use http::Method;
use serde_json::{Value, json};

use crate::login::Caller;
use crate::routes::{Answer, Refusal, Request};
use crate::state::Jira;

const CUSTOMERS: [(&str, &str, &str); 2] = [
    ("00000000-0000-4000-8000-0000000c0001", "Customer One", "1"),
    ("00000000-0000-4000-8000-0000000c0002", "Customer Two", "2"),
];
const ORGANIZATIONS: [(&str, &str); 2] = [("1", "First Organization"), ("2", "Second Organization")];

fn region() -> Value {
    json!({"name": "Region", "type": {"name": "SELECT", "options": ["AU", "EU", "US"]}})
}

fn details(value: &str) -> Value {
    let mut field = region();
    field["values"] = json!([value]);
    json!([field])
}

fn customer(id: &str) -> Option<Value> {
    let (id, name, organization) = CUSTOMERS.iter().find(|(known, ..)| *known == id)?;
    let (organization_id, organization_name) = ORGANIZATIONS.iter().find(|(known, _)| known == organization)?;
    Some(json!({
        "id": id, "name": name, "details": details("EU"),
        "organizations": [{"id": organization_id, "name": organization_name}],
    }))
}

fn organization(id: &str) -> Option<Value> {
    let (id, name) = ORGANIZATIONS.iter().find(|(known, _)| *known == id)?;
    Some(json!({"id": id, "name": name, "details": details("EU")}))
}

pub(crate) fn answer(jira: &Jira, caller: &Caller, request: &Request) -> Answer {
    let administers = caller.account.is_some_and(|account| jira.accounts[account].admin);
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let found = match (&request.method, segments.as_slice()) {
        (&Method::GET, ["api", "v1", "customer" | "organization", "details"]) if !administers => {
            return Refusal::new(403, "This needs the global permission 'Administer Jira'.").into();
        }
        (&Method::GET, ["api", "v1", "customer" | "organization", "details"]) => {
            let mut field = region();
            field["configuration"] = json!({"position": 1});
            Some(json!({"results": [field]}))
        }
        (&Method::GET, ["api", "v1", "product"]) => Some(json!({"results": [{"id": "1", "name": "A product"}]})),
        (&Method::POST, ["api", "v1", "customer", "profile", "fetch"]) => {
            return fetch(request, "customerIds", customer).unwrap_or_else(Answer::from);
        }
        (&Method::POST, ["api", "v1", "organization", "fetch"] | ["api", "v1", "organization", "profile", "fetch"]) => {
            return fetch(request, "organizationIds", organization).unwrap_or_else(Answer::from);
        }
        (&Method::GET, ["api", "v1", "customer", id] | ["api", "v1", "customer", "profile", id]) => customer(id),
        (&Method::GET, ["api", "v1", "organization", id] | ["api", "v1", "organization", "profile", id]) => {
            organization(id)
        }
        _ => return crate::routes::missing(request),
    };
    found.map_or_else(|| Refusal::new(404, "Not Found").into(), Answer::ok)
}

/// Up to 25 by id; those that are not there are left out. There is no list of all of them.
fn fetch(request: &Request, member: &str, find: fn(&str) -> Option<Value>) -> Result<Answer, Refusal> {
    let body = request.json()?;
    let ids: Option<Vec<&str>> =
        body[member].as_array().and_then(|ids| ids.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let ids = ids.filter(|ids| (1..=25).contains(&ids.len()));
    let ids = ids.ok_or_else(|| Refusal::new(400, format!("'{member}' must hold 1 to 25 ids.")))?;
    let results: Vec<Value> = ids.into_iter().filter_map(find).collect();
    Ok(Answer::ok(json!({"results": results})))
}
