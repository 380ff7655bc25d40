//! `GET /oauth/token/accessible-resources`: which sites a grant holds.

use http::Method;
use serde_json::{Value, json};

use super::{Directory, bearer};
use crate::hosts::Asked;
use crate::routes::{Answer, Request};
use crate::state::Jira;

pub(crate) fn list(login: &mut Directory, sites: &[Jira], asked: &Asked, request: &Request) -> Answer {
    if request.method != Method::GET {
        return Answer::text(405, "text/plain", "Method Not Allowed").with_header("Allow", "GET");
    }
    let token = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    let Some(access) = token.and_then(|token| login.use_access(token)) else {
        login.failures += 1;
        return bearer::unauthorized();
    };
    let mut resources = Vec::new();
    for (place, scopes) in &access.sites {
        let site = &sites[*place];
        if !site.accounts[access.account].member {
            continue;
        }
        let resource = |url: String, scopes: Vec<&String>| -> Value {
            json!({
                "id": site.cloud_id, "url": url, "name": site.display_name, "scopes": scopes,
                "avatarUrl": format!("https://site-admin-avatar-cdn.prod.public.atl-paas.net/avatars/240/{}.png", place + 1),
            })
        };
        let url = asked.site_url(site);
        if login.settings.confluence_resources {
            let mut confluence = resource(url.clone(), Vec::new());
            confluence["scopes"] = json!(["read:confluence-content.all", "read:confluence-space.summary"]);
            resources.push(confluence);
        }
        resources.push(resource(url, scopes.iter().collect()));
    }
    Answer::ok(Value::Array(resources))
}
