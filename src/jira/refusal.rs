//! Refusals: Jira's `errorMessages` and `errors`, and the statuses that carry them.

use super::client::{Ask, FieldPlace};
use crate::contract::{Failure, FailureClass, FieldFailure, Responsible};
use crate::host::Response;
use crate::json;
use serde_json::Value;

/// How much of a server's text is passed on.
const LONGEST: usize = 500;

/// Whether the body is a web page.
pub(crate) fn is_html(response: &Response) -> bool {
    let declared = response.header("content-type").unwrap_or_default().to_ascii_lowercase().contains("text/html");
    let start = response.body.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    start == Some(b'<') || (declared && !matches!(start, Some(b'{' | b'[')))
}

/// What to do where the address is wrong.
pub(crate) const ADDRESS: &str =
    "Open Jira in a browser and copy its address; with a context path, such as /jira, where it has one.";

/// A web page in place of an answer: what it is, and who can do what about it.
pub(crate) struct Page {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: &'static str,
    pub(crate) who: Responsible,
}

/// What a web page is that came in place of an answer.
pub(crate) fn page(status: u16, body: &str) -> Page {
    let body = body.to_ascii_lowercase();
    let words = ["type=\"password\"", "type='password'", "log in", "login", "sign in", "saml"];
    if words.iter().any(|word| body.contains(word)) {
        return Page {
            code: "login-page",
            message: format!("A login page answers in place of Jira (status {status}): single sign-on, or a proxy."),
            remedy: "Let requests to /rest/ and their credentials through to Jira itself, or give its own address.",
            who: Responsible::ServiceAdmin,
        };
    }
    let before = "perhaps a proxy, a firewall, or a network's login page";
    Page {
        code: "html-answer",
        message: format!("A web page answers in place of Jira (status {status}): {before}."),
        remedy: ADDRESS,
        who: Responsible::User,
    }
}

/// Jira refuses strangers with its own words or a page that says so; anything else stands before it.
pub(crate) fn is_page_of_another(response: &Response) -> bool {
    let body = String::from_utf8_lossy(&response.body);
    is_html(response) && !body.contains("jira") && !body.contains("Jira") && !body.contains("Unauthorized (401)")
}

/// Reads an answer with a 4xx status other than 408, 425 and 429.
pub(crate) fn read(ask: &Ask, response: &Response) -> Failure {
    let body = std::str::from_utf8(&response.body).map(json::value).unwrap_or_default();
    let said = said(&body);
    let mut failure = by_status(response, &body, &said);
    failure.status = Some(response.status);
    failure.fields = fields(ask, &body);
    if said.is_empty() && !failure.fields.is_empty() {
        failure.message = sentences(&failure.fields);
    }
    blame_first(&mut failure);
    failure
}

/// Gives the fields of a refusal the names that `name_of` knows for what Jira's answer called them, and says the rest
/// of the failure with these names.
pub(crate) fn rename(failure: &mut Failure, name_of: impl Fn(&str) -> Option<String>) {
    let of_fields = failure.message == sentences(&failure.fields);
    for field in &mut failure.fields {
        if let Some(name) = name_of(&field.name) {
            field.name = name;
        }
    }
    if of_fields {
        failure.message = sentences(&failure.fields);
    }
    blame_first(failure);
}

/// Takes code and remedy of a refused input from its first field.
fn blame_first(failure: &mut Failure) {
    if failure.class == FailureClass::Input
        && let Some(first) = failure.fields.first()
    {
        let (code, remedy) = field_trouble(first);
        failure.code = format!("jira.{code}");
        failure.remedy = remedy;
    }
}

fn sentences(fields: &[FieldFailure]) -> String {
    fields.iter().map(|field| sentence(&field.name, &field.message)).collect::<Vec<_>>().join(" ")
}

fn by_status(response: &Response, body: &Value, said: &str) -> Failure {
    let or = |text: &str| if said.is_empty() { text.to_owned() } else { said.to_owned() };
    let text = String::from_utf8_lossy(&response.body);
    match response.status {
        400 | 422 => {
            let failure =
                Failure::new(FailureClass::Input, "input-refused", or("Jira refused the input."), "Correct the input.");
            match jql_trouble(said) {
                Some((code, remedy)) => Failure { code: format!("jira.{code}"), remedy: remedy.to_owned(), ..failure },
                None => failure,
            }
        }
        401 if said.to_ascii_lowercase().contains("scope does not match") => Failure::new(
            FailureClass::Scope,
            "scope-missing",
            "The credential was accepted but lacks a scope that this needs.",
            "Get a credential with the scopes that Atlassian's reference of the API names for this.",
        )
        .by(Responsible::User),
        401 if text.contains("with passwords is deprecated") => Failure::new(
            FailureClass::Credential,
            "password-given",
            "What was given is the account's password, which Jira Cloud takes no more.",
            "Make an API token at id.atlassian.com under Security, and enter it in place of the password.",
        ),
        403 if text.contains("Connect Session Auth Token") => Failure::new(
            FailureClass::Credential,
            "token-of-other-kind",
            "The site took the token for one of another kind: what OAuth gives, or Data Center, is of no use there.",
            "Connect with an API token and its e-mail address, or choose the way in that the token is for.",
        ),
        401 => Failure::new(
            FailureClass::Credential,
            "credential-refused",
            or("Jira did not accept the credential."),
            "Check the credential, or make a new one and enter it: tokens expire, and can be revoked.",
        ),
        403 if text.contains("not installed on this instance") => Failure::new(
            FailureClass::Permission,
            "app-not-installed",
            "Nobody has authorized the app for this site.",
            "Authorize the connection again and choose this site; a site's administrator may have blocked the app.",
        )
        .by(Responsible::User),
        403 if text.contains("XSRF") => Failure::new(
            FailureClass::Protocol,
            "xsrf-refused",
            "Jira took the request for one that a browser was tricked into.",
            "Report this to the connector's maintainer.",
        ),
        403 if is_page_of_another(response) => {
            let Page { code, message, remedy, who } = page(403, &text);
            Failure::new(FailureClass::Protocol, code, message, remedy).by(who)
        }
        403 => Failure::new(
            FailureClass::Permission,
            "forbidden",
            or("The account may not do this."),
            "Ask a Jira administrator for the permission, or connect with another account.",
        ),
        404 => Failure::new(
            FailureClass::NotFound,
            "not-found",
            or("It does not exist, or the account may not see it."),
            "Check the key or id, and that the account may see it.",
        )
        .by(Responsible::User),
        409 => Failure::new(
            FailureClass::Conflict,
            "conflict",
            or("Somebody changed it meanwhile."),
            "Look at its present state, then try again.",
        ),
        410 => Failure::new(
            FailureClass::Protocol,
            "gone",
            or("Jira has removed this part of its API."),
            "Use a newer version of the connector; in a raw call, use the path that replaces it.",
        ),
        413 => {
            Failure::new(FailureClass::Limit, "too-large", or("What was sent is larger than Jira takes."), "Send less.")
        }
        other => {
            let message = match body {
                Value::Null => format!("Jira refused the request with status {other}."),
                _ => or(&format!("Jira refused the request with status {other}.")),
            };
            Failure::new(FailureClass::Protocol, "refused", message, "Correct the request.").by(Responsible::User)
        }
    }
}

/// Every sentence of `errorMessages`, or the `message` of Atlassian's gateway.
fn said(body: &Value) -> String {
    let list = body.get("errorMessages").or_else(|| body.get("errors").filter(|errors| errors.is_array()));
    let mut said: Vec<String> = list
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().or_else(|| item.get("message").or_else(|| item.get("title"))?.as_str()))
        .map(str::to_owned)
        .collect();
    if said.is_empty() {
        let one = ["message", "errorMessage", "error"].iter().find_map(|name| body.get(*name)?.as_str());
        said.extend(one.map(str::to_owned));
    }
    cut(&said.join(" "))
}

fn cut(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    plain.trim().to_owned()
}

fn fields(ask: &Ask, body: &Value) -> Vec<FieldFailure> {
    let Some(errors) = body.get("errors").and_then(Value::as_object) else { return Vec::new() };
    errors
        .iter()
        .map(|(id, message)| {
            let place = ask.fields.get(id).cloned().unwrap_or_else(|| FieldPlace {
                pointer: format!("/fields/{}", id.replace('~', "~0").replace('/', "~1")),
                name: id.clone(),
            });
            let message = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
            FieldFailure { pointer: place.pointer, name: place.name, message: cut(&message) }
        })
        .collect()
}

fn sentence(name: &str, message: &str) -> String {
    if message.contains(name) { message.to_owned() } else { format!("{name}: {message}") }
}

/// What to do where a project is not found.
pub(crate) fn project_remedy() -> &'static str {
    "Give the key (such as DEMO) or the id of a project in which the account may create issues."
}

/// The code and the remedy for what Jira says of a field.
fn field_trouble(field: &FieldFailure) -> (&'static str, String) {
    let name = &field.name;
    let lower = field.message.to_ascii_lowercase();
    if field.pointer == "/project" {
        ("project-unknown", project_remedy().to_owned())
    } else if field.pointer == "/issue-type" {
        ("issue-type-unknown", "Give the name or id of an issue type that this project has.".to_owned())
    } else if lower.contains("required") || lower.contains("must specify") {
        ("field-required", format!("Fill in {name}."))
    } else if lower.contains("not on the appropriate screen") {
        let remedy =
            format!("Leave {name} out, or ask a Jira administrator to put it on the screen of this issue type.");
        ("field-not-on-screen", remedy)
    } else {
        ("field-refused", format!("Correct {name}."))
    }
}

fn jql_trouble(said: &str) -> Option<(&'static str, &'static str)> {
    let lower = said.to_ascii_lowercase();
    if lower.contains("unbounded jql") {
        return Some((
            "jql-unbounded",
            "Narrow the query with a condition, such as project = DEMO or created >= -30d.",
        ));
    }
    let jql = lower.contains("jql")
        || lower.contains("does not exist for the field")
        || lower.contains("does not exist or you do not have permission to view it");
    jql.then_some(("jql-refused", "Correct the JQL; Jira's issue search shows where it goes wrong."))
}
