//! Search issues.

use super::{Action, Behaviour, Progress, get_issue};
use crate::contract::{Continuation, Error, Failure, FailureClass};
use crate::form::{Form, Misfit, Read};
use crate::jira::answer::Answer;
use crate::jira::client::{Ask, Client, Effect};
use crate::jira::jql;
use crate::jira::scope::{self, Needs};
use crate::json::{self, Members, Object, Part, Write};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The card.
pub(crate) struct SearchIssues;

/// How many issues are asked for at once where nothing else is said.
const PAGE: u64 = 50;
/// No run collects more than this: an output has to fit into a host's limits.
const MOST: usize = 5000;
/// What is read of each issue where nothing else is said: without it Jira answers with ids alone.
const FIELDS: &[&str] =
    &["summary", "status", "issuetype", "project", "priority", "assignee", "reporter", "labels", "created", "updated"];

/// What to look for.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Input {
    /// The query in JQL. Jira wants it bounded by a condition: project = DEMO ORDER BY created.
    #[schemars(title = "JQL", length(min = 1))]
    jql: String,
    /// Values for places in the query, by name: {phrase} in it, without quotes, stands for the value of phrase, as a
    /// literal whatever is in it. A text, a number, or a list of these for IN.
    #[schemars(title = "Values")]
    #[serde(default)]
    values: Map<String, Value>,
    /// Which fields of each issue, by id. The usual ones where left out.
    #[schemars(title = "Fields")]
    #[serde(default)]
    fields: Vec<String>,
    /// How many issues on a page, 1 to 1000; Jira may give fewer.
    #[schemars(title = "Page size", range(min = 1, max = 1000))]
    max_results: Option<u64>,
    /// Where to go on: next-page-token of the page before.
    #[schemars(title = "Page token")]
    page_token: Option<String>,
    /// Whether to collect all pages, up to 5000 issues.
    #[schemars(title = "All pages")]
    #[serde(default)]
    all: bool,
}

impl Read for Input {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        Ok(Self {
            jql: form.text("jql")?,
            values: form.members("values")?,
            fields: form.texts("fields")?,
            max_results: form.count("max-results")?,
            page_token: form.optional_text("page-token")?,
            all: form.flag("all")?.unwrap_or_default(),
        })
    }
}

/// What was found.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Output<'t> {
    /// The issues, in the order of the query. Jira's search lags behind changes by seconds to minutes.
    issues: Vec<get_issue::Output<'t>>,
    /// Where the next page begins; null where this is the last. Valid for seven days.
    next_page_token: Option<Cow<'t, str>>,
    /// Whether there are more issues than these.
    more: bool,
}

impl Write for Output<'_> {
    fn write_members(&self, object: &mut Object) {
        object.objects("issues", self.issues.iter().map(|issue| issue as &dyn Write));
        object.optional("next-page-token", self.next_page_token.as_deref());
        object.raw("more", if self.more { "true" } else { "false" });
    }

    fn room(&self) -> usize {
        self.issues.iter().map(Write::room).sum::<usize>() + 256
    }
}

/// What is kept between the pages of one run.
struct State<'t> {
    token: Cow<'t, str>,
    issues: Vec<Part<'t>>,
}

impl Write for State<'_> {
    fn write_members(&self, object: &mut Object) {
        object.string("token", &self.token);
        object.raw("issues", &json::list(self.issues.iter().map(|issue| issue.text())));
    }

    fn room(&self) -> usize {
        self.issues.iter().map(|issue| issue.text().len() + 1).sum::<usize>() + 256
    }
}

impl<'t> State<'t> {
    fn read(text: &'t str) -> Option<Self> {
        json::check(text).ok()?;
        let members = Members::of(text)?;
        Some(Self { token: members.string("token")?, issues: members.items("issues")? })
    }
}

impl Action for SearchIssues {
    const ID: &'static str = "search-issues";
    const TITLE: &'static str = "Search issues";
    const DESCRIPTION: &'static str = "Finds issues with JQL, a page at a time or all of them.";
    const BEHAVIOUR: Behaviour =
        Behaviour { read_only: true, destructive: false, idempotent: true, idempotency_key: "ignored" };
    const SCOPES: Needs = scope::SEARCH;
    type Input = Input;
    type Output<'t> = Output<'t>;

    fn sample() -> (Value, Value) {
        let (_, issue) = get_issue::GetIssue::sample();
        (
            json!({ "jql": "project = DEMO ORDER BY created DESC", "max-results": 50 }),
            json!({ "issues": [issue], "next-page-token": null, "more": false }),
        )
    }

    fn run(client: &mut Client<'_>, input: Input, state: Option<String>) -> Result<Progress, Error> {
        let invalid = || {
            let message = "The state that was handed back is none of this card's.";
            Failure::new(FailureClass::Input, "state-invalid", message, "Begin anew.").permanent()
        };
        let (token, mut issues) = match &state {
            Some(state) => State::read(state).map(|state| (Some(state.token), state.issues)).ok_or_else(invalid)?,
            None => (input.page_token.as_deref().map(Cow::Borrowed), Vec::new()),
        };
        let answer = ask(client, &input, token.as_deref())?;
        let (page, next) = read(&answer, token.as_deref())?;
        let known = issues.len();
        issues.extend(page);
        match next {
            Some(token) if input.all && issues.len() < MOST => {
                let named = |issue: &Part<'_>| issue.members().is_some_and(|issue| issue.named("id").is_some());
                if !issues[known..].iter().all(named) {
                    return Err(no_list(&answer));
                }
                let done = u64::try_from(issues.len()).unwrap_or(u64::MAX);
                let message = format!("{done} issues found so far");
                let state = State { token, issues }.write();
                Ok(Progress::More(Continuation { state, after_ms: 0, done, total: None, message }))
            }
            next => {
                let mut found = Vec::with_capacity(issues.len());
                for issue in issues {
                    let issue = issue.members().and_then(|issue| get_issue::Output::read(client, issue));
                    found.push(issue.ok_or_else(|| no_list(&answer))?);
                }
                Ok(Progress::done::<Self>(&Output { issues: found, more: next.is_some(), next_page_token: next }))
            }
        }
    }
}

/// One page. Source: Cloud v3, `POST /rest/api/3/search/jql`; Data Center, `POST /rest/api/2/search`, which counts from
/// where on: its page tokens are numbers.
fn ask(client: &mut Client<'_>, input: &Input, token: Option<&str>) -> Result<Answer, Error> {
    let fields: Vec<&str> =
        if input.fields.is_empty() { FIELDS.to_vec() } else { input.fields.iter().map(String::as_str).collect() };
    let mut body = json!({
        "jql": jql::fill(&input.jql, &input.values)?,
        "fields": fields,
        "maxResults": input.max_results.unwrap_or(PAGE).clamp(1, 1000)
    });
    let path = if client.deployment.is_cloud() { "search/jql" } else { "search" };
    match token {
        Some(token) if client.deployment.is_cloud() => body["nextPageToken"] = json!(token),
        Some(token) => body["startAt"] = json!(token.parse::<u64>().map_err(|_| token_invalid("It is no number."))?),
        None => {}
    }
    let ask = Ask::api("POST", path, path).effect(Effect::Read).body(body);
    client.send(&ask).map_err(|error| at_input(error, token.is_some()))
}

/// The issues of a page and where the next begins: the last page has no token, whatever number of issues it has.
fn read<'t>(answer: &'t Answer, token: Option<&str>) -> Result<(Vec<Part<'t>>, Option<Cow<'t, str>>), Error> {
    let body = answer.members();
    let issues = body.items("issues").ok_or_else(|| no_list(answer))?;
    let count = |name: &str| body.get(name).and_then(|number| number.parse::<u64>().ok());
    if let (Some(start), Some(total)) = (count("startAt"), count("total")) {
        let seen = start.saturating_add(u64::try_from(issues.len()).unwrap_or(0));
        let more = !issues.is_empty() && seen < total;
        return Ok((issues, more.then(|| Cow::Owned(seen.to_string()))));
    }
    let next = body.named("nextPageToken").filter(|next| Some(next.as_ref()) != token);
    let last = body.get("isLast").is_some_and(|last| last == "true");
    Ok((issues, next.filter(|_| !last)))
}

fn no_list(answer: &Answer) -> Error {
    answer.invalid("Jira's answer to the search holds no list of issues.")
}

fn token_invalid(why: &str) -> Error {
    let message = format!("The page can't be had any more: {why}");
    let remedy = "Search again from the first page, without a page token.";
    Failure::input("page-token-invalid", "/page-token", "Page token", message, remedy).permanent()
}

/// What Jira refuses of a search is the page token, where its words name one, and else the query.
fn at_input(error: Error, paged: bool) -> Error {
    match error {
        Error::Permanent(mut failure) if failure.class == FailureClass::Input && failure.fields.is_empty() => {
            if paged && failure.message.to_lowercase().contains("token") {
                let mut expired = token_invalid(&failure.message);
                if let Error::Permanent(expired) = &mut expired {
                    (expired.status, expired.request_id) = (failure.status, failure.request_id);
                }
                return expired;
            }
            let message = failure.message.clone();
            failure.fields.push(crate::contract::FieldFailure {
                pointer: "/jql".to_owned(),
                name: "JQL".to_owned(),
                message,
            });
            Error::Permanent(failure)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
