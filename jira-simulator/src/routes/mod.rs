//! Jira's routes: one file per resource, and the table that finds them.

pub(crate) mod agile;
pub(crate) mod answer;
mod bulk;
mod comment;
mod edit;
mod issue;
mod meta;
mod permission;
mod project;
mod property;
pub(crate) mod render;
mod request;
mod screen;
mod search;
mod site;
mod transition;
mod user;
mod webhook;

use http::Method;

pub(crate) use answer::{Answer, Refusal};
pub(crate) use request::Request;

use crate::login::Caller;
use crate::state::Jira;

/// The version of the platform API a request used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    V2,
    V3,
}

impl Api {
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::V2 => "2",
            Self::V3 => "3",
        }
    }
}

type Routed = Result<Answer, Refusal>;

/// Everything a route may use.
pub(crate) struct Call<'a> {
    pub(crate) jira: &'a mut Jira,
    pub(crate) caller: &'a Caller,
    pub(crate) request: &'a Request,
    pub(crate) api: Api,
}

impl Call<'_> {
    /// The account that calls.
    ///
    /// # Errors
    /// 401 for anonymous callers.
    pub(crate) fn account(&self) -> Result<usize, Refusal> {
        self.caller.account.ok_or_else(Refusal::not_authenticated)
    }

    pub(crate) fn admin(&self) -> bool {
        self.caller.account.is_some_and(|account| self.jira.accounts[account].admin)
    }

    /// A link into the platform API.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}/rest/api/{}/{path}", self.jira.base_url, self.api.number())
    }
}

/// Answers a request from the state.
pub(crate) fn answer(jira: &mut Jira, caller: &Caller, request: &Request) -> Answer {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let routed = match segments.as_slice() {
        ["rest", "api", version, rest @ ..] => {
            let api = match *version {
                "2" | "latest" => Api::V2,
                "3" if jira.cloud() => Api::V3,
                _ => return dead_link(request),
            };
            platform(&mut Call { jira, caller, request, api }, rest)
        }
        _ => other(&mut Call { jira, caller, request, api: Api::V2 }, &segments),
    };
    match routed {
        Some(Ok(answer)) => answer,
        Some(Err(refusal)) => refusal.into(),
        None => missing(request),
    }
}

fn platform(call: &mut Call<'_>, rest: &[&str]) -> Option<Routed> {
    let cloud = call.jira.cloud();
    Some(match (&call.request.method, rest) {
        (&Method::GET, ["myself"]) => user::myself(call),
        (&Method::GET, ["serverInfo"]) => site::server_info(call),
        (&Method::GET, ["mypermissions"]) => permission::mine(call),
        (&Method::GET, ["user"]) => user::get(call),
        (&Method::GET, ["user", "search"]) => user::search(call),
        (&Method::GET, ["user", "assignable", "search"]) => user::assignable(call),
        (&Method::GET, ["project"]) => project::all(call),
        (&Method::GET, ["project", "search"]) if cloud => project::search(call),
        (&Method::GET, ["project", project]) => project::get(call, project),
        (&Method::GET, ["project", project, "statuses"]) => project::statuses(call, project),
        (&Method::GET, ["issuetype"]) => meta::issue_types(call),
        (&Method::GET, ["status"]) => meta::statuses(call),
        (&Method::GET, ["field"]) => meta::fields(call),
        (&Method::GET, ["priority"]) => meta::priorities(call),
        (&Method::GET, ["priority", "search"]) if cloud => meta::priority_page(call),
        (&Method::GET, ["resolution"]) => meta::resolutions(call),
        (&Method::GET, ["issue", "createmeta"]) if cloud || !call.jira.version.at_least(9, 0) => screen::all(call),
        (&Method::GET, ["issue", "createmeta", project, "issuetypes"]) if screen::by_project(call) => {
            screen::types(call, project)
        }
        (&Method::GET, ["issue", "createmeta", project, "issuetypes", kind]) if screen::by_project(call) => {
            screen::fields(call, project, kind)
        }
        (&Method::POST, ["issue"]) => issue::create(call),
        (&Method::POST, ["issue", "bulk"]) => bulk::create(call),
        (&Method::GET, ["issue", issue]) => issue::get(call, issue),
        (&Method::PUT, ["issue", issue]) => issue::update(call, issue),
        (&Method::DELETE, ["issue", issue]) => issue::delete(call, issue),
        (&Method::PUT, ["issue", issue, "assignee"]) => issue::assign(call, issue),
        (&Method::GET, ["issue", issue, "editmeta"]) => screen::edit(call, issue),
        (&Method::GET, ["issue", issue, "changelog"]) if cloud => issue::changelog(call, issue),
        (&Method::GET, ["issue", issue, "transitions"]) => transition::list(call, issue),
        (&Method::POST, ["issue", issue, "transitions"]) => transition::perform(call, issue),
        (&Method::GET, ["issue", issue, "comment"]) => comment::list(call, issue),
        (&Method::POST, ["issue", issue, "comment"]) => comment::add(call, issue),
        (&Method::GET, ["issue", issue, "comment", comment]) => comment::get(call, issue, comment),
        (&Method::PUT, ["issue", issue, "comment", comment]) => comment::update(call, issue, comment),
        (&Method::DELETE, ["issue", issue, "comment", comment]) => comment::delete(call, issue, comment),
        (&Method::GET, ["issue", issue, "properties"]) => property::keys(call, issue),
        (&Method::GET, ["issue", issue, "properties", key]) => property::get(call, issue, key),
        (&Method::PUT, ["issue", issue, "properties", key]) => property::set(call, issue, key),
        (&Method::DELETE, ["issue", issue, "properties", key]) => property::delete(call, issue, key),
        (&Method::GET | &Method::POST, ["search", "jql"]) if cloud => search::by_token(call),
        (&Method::POST, ["search", "approximate-count"]) if cloud => search::count(call),
        (&Method::GET | &Method::POST, ["search"]) if cloud => search::gone(),
        (&Method::GET | &Method::POST, ["search"]) => search::by_offset(call),
        _ => return None,
    })
}

fn other(call: &mut Call<'_>, segments: &[&str]) -> Option<Routed> {
    let method = &call.request.method;
    match segments {
        ["_edge", "tenant_info"] if method == Method::GET && call.jira.cloud() => Some(site::tenant_info(call)),
        ["rest", "agile", "1.0", "board"] if method == Method::GET => Some(agile::boards(call)),
        ["rest", "agile", "1.0", "board", id] if method == Method::GET => Some(agile::board(call, id)),
        ["rest", "servicedeskapi", "info"] if method == Method::GET => Some(agile::service_info(call)),
        ["rest", "servicedeskapi", "servicedesk"] if method == Method::GET => Some(agile::service_desks(call)),
        ["rest", "webhooks", "1.0", "webhook", rest @ ..] if !webhook::moved(call.jira) => webhook::route(call, rest),
        ["rest", "jira-webhook", "1.0", "webhooks", rest @ ..] if webhook::moved(call.jira) => {
            webhook::route(call, rest)
        }
        ["rest", "webhooks" | "jira-webhook", ..] => Some(Ok(dead_link(call.request))),
        _ => None,
    }
}

/// What Jira answers where the path exists in no installed API.
fn dead_link(request: &Request) -> Answer {
    Answer::text(
        404,
        "text/html;charset=UTF-8",
        format!(
            "<html><head><title>Oops, you've found a dead link.</title></head><body>{} was not found.</body></html>",
            escape(&request.path)
        ),
    )
}

/// A route Jira may have and the simulator has not: said so that nobody takes it for Jira's 404.
pub(crate) fn missing(request: &Request) -> Answer {
    let route = format!("{} {}", request.method, request.path);
    eprintln!("the simulator lacks route {route}");
    let mut answer: Answer = Refusal::new(404, format!("the simulator lacks route {route}")).into();
    answer.missing_route = Some(route.clone());
    answer.with_header("X-Simulator-Missing-Route", route)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
