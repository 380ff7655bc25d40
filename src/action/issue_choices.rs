//! What the fields `project` and `issue-type` of the issue cards may hold.

use super::Page;
use crate::catalog::no_options;
use crate::contract::{Choice, ChoiceQuery, Error, Failure};
use crate::field::meta;
use crate::jira::answer::named;
use crate::jira::client::{Ask, Client};
use crate::sorted;
use serde_json::{Value, json};

/// How many projects stand on a page.
const PAGE: u64 = 50;

/// Options for `/project` and `/issue-type` of an action's input.
pub(crate) fn options(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
    match query.field.as_str() {
        "/project" => projects(client, query),
        "/issue-type" => types_of_project(client, query),
        _ => Err(no_options(query)),
    }
}

/// Projects, searched and paged by Jira; Data Center can only list them all. Source: Cloud v3,
/// `GET /rest/api/3/project/search`; Data Center, `GET /rest/api/2/project`.
pub(crate) fn projects(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
    let start = query.page.as_deref().map_or(Ok(0), str::parse::<u64>).map_err(|_| {
        let message = "The page asked for is none of this list.";
        Failure::input("page-invalid", &query.field, "Page", message, "Begin at the first page.").permanent()
    })?;
    if !client.deployment.is_cloud() {
        return listed(client, query, usize::try_from(start).unwrap_or(usize::MAX));
    }
    let mut ask = Ask::api("GET", "project/search", "project/search")
        .query("startAt", start)
        .query("maxResults", PAGE)
        .query("orderBy", "name");
    if !query.text.trim().is_empty() {
        ask = ask.query("query", query.text.trim());
    }
    let answer = client.send(&ask)?;
    let body = answer.value();
    let values = body.get("values").and_then(Value::as_array);
    let items: Option<Vec<Choice>> = values.and_then(|values| values.iter().map(project).collect());
    let items = items.ok_or_else(|| answer.invalid(NO_PROJECTS))?;
    let seen = start + u64::try_from(items.len()).unwrap_or(0);
    let last = body.get("isLast").and_then(Value::as_bool);
    let total = body.get("total").and_then(Value::as_u64);
    let more = !items.is_empty() && last.map_or(total.is_some_and(|total| seen < total), |last| !last);
    Ok((items, more.then(|| seen.to_string())))
}

const NO_PROJECTS: &str = "Jira's list of projects is not what was due.";

fn project(project: &Value) -> Option<Choice> {
    let key = named(project, "key")?;
    let name = named(project, "name").unwrap_or(key);
    Some(Choice { value: json!(key), label: name.to_owned(), detail: key.to_owned() })
}

/// A page of all projects, searched and sorted here.
fn listed(client: &mut Client<'_>, query: &ChoiceQuery, start: usize) -> Result<Page, Error> {
    let answer = client.send(&Ask::api("GET", "project", "project"))?;
    let list = answer.value();
    let all: Option<Vec<Choice>> = list.as_array().and_then(|projects| projects.iter().map(project).collect());
    let text = query.text.trim().to_lowercase();
    let matching = all
        .ok_or_else(|| answer.invalid(NO_PROJECTS))?
        .into_iter()
        .filter(|choice| choice.label.to_lowercase().contains(&text) || choice.detail.to_lowercase().contains(&text));
    let sorted = sorted::by(matching, |one, other| one.label.cmp(&other.label));
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let next = start.saturating_add(page);
    let more = sorted.len() > next;
    Ok((sorted.into_iter().skip(start).take(page).collect(), more.then(|| next.to_string())))
}

fn types_of_project(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
    let project = query.input.get("project").and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if project.is_empty() {
        let message = "Which issue types there are depends on the project.";
        return Err(
            Failure::input("field-required", "/project", "Project", message, "Choose a project first.").permanent()
        );
    }
    let types = meta::types(client, project)?;
    Ok((choices(&types, &query.text), None))
}

/// Issue types of the whole site, for filters. Source: Cloud v3, `GET /rest/api/3/issuetype`.
pub(crate) fn all_types(client: &mut Client<'_>, query: &ChoiceQuery) -> Result<Page, Error> {
    let answer = client.send(&Ask::api("GET", "issuetype", "issuetype"))?;
    let list = answer.value();
    let types = list.as_array().filter(|types| types.iter().all(meta::is_type));
    let types = types.ok_or_else(|| answer.invalid("Jira's list of issue types is not what was due."))?;
    let mut items = choices(types, &query.text);
    // Team-managed projects each have types of the same names; a filter goes by the name.
    items.dedup_by(|one, other| one.label == other.label);
    Ok((items, None))
}

fn choices(types: &[Value], text: &str) -> Vec<Choice> {
    let text = text.trim().to_lowercase();
    let items = types
        .iter()
        .filter_map(|kind| {
            let name = kind.get("name")?.as_str()?;
            let detail = kind.get("description").and_then(Value::as_str).unwrap_or_default();
            Some(Choice { value: json!(name), label: name.to_owned(), detail: detail.to_owned() })
        })
        .filter(|choice| choice.label.to_lowercase().contains(&text));
    sorted::by(items, |one, other| one.label.cmp(&other.label))
}

#[cfg(test)]
mod tests;
