//! Create metadata of Data Center and Server before 8.4, which has all of it in one answer. It is asked for one project
//! alone, and for fields of one type alone: that of a whole Jira would be hundreds of megabytes.
//!
//! Source: Jira Server 7.13, `GET /rest/api/2/issue/createmeta`; removed in 9.0.

use super::{Field, is_type};
use crate::contract::{Error, Failure};
use crate::jira::client::{Ask, Client};
use serde_json::Value;

/// The issue types with which issues can be created in a project.
pub(super) fn types(client: &mut Client<'_>, project: &str) -> Result<Vec<Value>, Error> {
    found(client, &ask(project), project)
}

/// The fields with which an issue of a type can be created in a project.
pub(super) fn fields(client: &mut Client<'_>, project: &str, issue_type: &str) -> Result<Vec<Field>, Error> {
    let by = if all_digits(issue_type) { "issuetypeIds" } else { "issuetypeNames" };
    let ask = ask(project).query(by, issue_type).query("expand", "projects.issuetypes.fields");
    let types = found(client, &ask, project)?;
    let fields = types.first().and_then(|kind| kind.get("fields")?.as_object()).ok_or_else(|| {
        let message = format!("There is no project {project:?} with the issue type {issue_type:?}.");
        let remedy = "Give a project and the name or id of one of its issue types.";
        Failure::input("issue-type-unknown", "/issue-type", "Issue type", message, remedy).permanent()
    })?;
    Ok(fields.iter().filter_map(|(id, field)| Field::read(Some(id), field)).collect())
}

fn ask(project: &str) -> Ask {
    let by = if all_digits(project) { "projectIds" } else { "projectKeys" };
    Ask::api("GET", "issue/createmeta", "issue/createmeta").query(by, project)
}

fn found(client: &mut Client<'_>, ask: &Ask, project: &str) -> Result<Vec<Value>, Error> {
    let answer = client.send(ask)?;
    let body = answer.value();
    let invalid = || answer.invalid("Jira's list of fields or issue types is not what was due.");
    let projects = body.get("projects").and_then(Value::as_array).ok_or_else(invalid)?;
    let Some(one) = projects.first() else {
        let message = format!("There is no project {project:?}, or the account may not create issues in it.");
        let remedy = crate::jira::refusal::project_remedy();
        return Err(Failure::input("project-unknown", "/project", "Project", message, remedy).permanent());
    };
    let types = one.get("issuetypes").and_then(Value::as_array);
    let types = types.filter(|types| types.iter().all(is_type)).ok_or_else(invalid)?;
    Ok(types.clone())
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
