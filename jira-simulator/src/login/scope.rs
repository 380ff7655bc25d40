//! Which scopes a route needs, by Atlassian's OpenAPI documents (classic scopes), and Data Center's three.

use http::Method;
use serde_json::json;

use super::{Caller, Directory};
use crate::routes::{Answer, Request};

/// The answer to a caller whose credential is not good for this request.
pub(crate) fn refuse(login: &Directory, caller: &Caller, request: &Request) -> Option<Answer> {
    let held = caller.scopes.as_ref()?;
    if login.cloud() {
        let missing = cloud(request).iter().any(|scope| !held.iter().any(|held| held == scope));
        let body = json!({"code": 401, "message": "Unauthorized; scope does not match"});
        return missing
            .then(|| Answer::json(401, &body).with_header("X-Failure-Category", "FAILURE_CLIENT_SCOPE_CHECK"));
    }
    let rank = |scope: &str| CENTER.iter().position(|known| *known == scope);
    let has = held.iter().filter_map(|scope| rank(scope)).max();
    (has < rank(center(request))).then(|| {
        let status = login.settings.insufficient_scope_status;
        Answer::json(status, &json!({"message": "The scope of the token is insufficient", "status-code": status}))
            .with_header("WWW-Authenticate", "Bearer error=\"insufficient_scope\"")
    })
}

/// The scopes of Data Center, each with those before it.
pub(super) const CENTER: [&str; 4] = ["READ", "WRITE", "ADMIN", "SYSTEM_ADMIN"];

fn center(request: &Request) -> &'static str {
    let administers = request.segments.iter().any(|part| matches!(part.as_str(), "webhooks" | "jira-webhook"));
    match request.method {
        _ if administers => "ADMIN",
        Method::GET | Method::HEAD | Method::OPTIONS => "READ",
        _ => "WRITE",
    }
}

fn cloud(request: &Request) -> &'static [&'static str] {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    match segments.as_slice() {
        ["rest", "api", _, "serverInfo"] | ["rest", "servicedeskapi", "info"] | ["_edge", ..] => &[],
        ["rest", "api", _, "myself" | "user" | "users" | "groupuserpicker", ..] => &["read:jira-user"],
        ["rest", "api", _, "webhook", ..] => &["read:jira-work", "manage:jira-webhook"],
        // Not in the documents, which know no admin webhooks.
        ["rest", "webhooks" | "jira-webhook", ..] => &["manage:jira-configuration"],
        ["rest", "api", _, "search", ..] => &["read:jira-work"],
        ["rest", "api", _, "project", ..] if !reads => &["manage:jira-project"],
        ["rest", "api", ..] if reads => &["read:jira-work"],
        ["rest", "api", ..] => &["write:jira-work"],
        // Boards know granular scopes only.
        ["rest", "agile", ..] => &["read:board-scope:jira-software"],
        ["rest", "servicedeskapi", ..] if reads => &["read:servicedesk-request"],
        ["rest", "servicedeskapi", ..] => &["write:servicedesk-request"],
        ["api", "v1", "customer", "details", ..] => &["read:customer.detail-field:jira-service-management"],
        ["api", "v1", "customer", ..] => {
            &["read:customer:jira-service-management", "read:customer.detail:jira-service-management"]
        }
        ["api", "v1", "organization", "details", ..] => &["read:organization.detail-field:jira-service-management"],
        ["api", "v1", "organization", ..] => {
            &["read:organization:jira-service-management", "read:organization.detail:jira-service-management"]
        }
        ["api", "v1", "product", ..] => &["read:product:jira-service-management"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(method: &str, path: &str) -> &'static [&'static str] {
        let parts = http::Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0;
        cloud(&Request::new(&parts, Default::default()))
    }

    #[test]
    fn a_route_needs_the_scopes_of_its_document() {
        assert_eq!(needs("GET", "/rest/api/3/serverInfo"), [""; 0]);
        assert_eq!(needs("GET", "/rest/api/3/myself"), ["read:jira-user"]);
        assert_eq!(needs("POST", "/rest/api/3/search/jql"), ["read:jira-work"]);
        assert_eq!(needs("GET", "/rest/api/3/issue/DEMO-1"), ["read:jira-work"]);
        assert_eq!(needs("POST", "/rest/api/3/issue"), ["write:jira-work"]);
        assert_eq!(needs("POST", "/rest/api/3/webhook"), ["read:jira-work", "manage:jira-webhook"]);
    }
}
