//! Raw call of Jira's API, for what no card does.

use super::{Action, Behaviour, Progress};
use crate::connection;
use crate::contract::{Error, Failure};
use crate::form::{Form, Misfit, Read};
use crate::jira::client::{Ask, Client};
use crate::jira::path;
use crate::jira::scope::{self, Needs};
use crate::json::{self, Object, Write};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The card.
pub(crate) struct CallApi;

/// Headers that a person may set. All others are the host's or the connector's.
const ALLOWED: &[&str] = &[
    "accept",
    "accept-language",
    "if-match",
    "if-none-match",
    "x-experimentalapi",
    "x-atlassian-token",
    "x-force-accept-language",
];
/// Headers of the answer that are handed on.
const SHOWN: &[&str] = &[
    "content-type",
    "etag",
    "last-modified",
    "link",
    "location",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// What to call.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Input {
    /// The method.
    #[schemars(title = "Method")]
    #[serde(default)]
    method: Method,
    /// Which of Jira's APIs the path belongs to.
    #[schemars(title = "API")]
    #[serde(default)]
    api: Api,
    /// The path below the API's own: issue/DEMO-1. One that begins with /rest/ is taken whole, whatever the API. With a
    /// connection to Customer Service Management it is below that API's own: product.
    #[schemars(title = "Path", length(min = 1))]
    path: String,
    /// Parameters. A list repeats its parameter.
    #[schemars(title = "Query")]
    #[serde(default)]
    query: Map<String, Value>,
    /// Headers, where an endpoint wants one: X-ExperimentalApi, If-Match, Accept-Language.
    #[schemars(title = "Headers", with = "BTreeMap<String, String>")]
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// The body, sent as JSON; null sends none.
    #[schemars(title = "Body")]
    #[serde(default)]
    body: Value,
}

impl Read for Input {
    fn read(form: &mut Form) -> Result<Self, Misfit> {
        let methods =
            [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Head, Method::Options];
        let apis = [("platform", Api::Platform), ("agile", Api::Agile), ("service-desk", Api::ServiceDesk)];
        Ok(Self {
            method: form.choice("method", &methods.map(|method| (method.name(), method)))?.unwrap_or_default(),
            api: form.choice("api", &apis)?.unwrap_or_default(),
            path: form.text("path")?,
            query: form.members("query")?,
            headers: form.texts_by_name("headers")?,
            body: form.value("body"),
        })
    }
}

/// HTTP methods.
#[derive(JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    #[default]
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Head,
    Options,
}

/// Jira's APIs.
#[derive(JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Api {
    /// Jira itself: /rest/api/3/, on Data Center /rest/api/2/.
    #[default]
    Platform,
    /// Boards and sprints: /rest/agile/1.0/.
    Agile,
    /// Jira Service Management: /rest/servicedeskapi/.
    ServiceDesk,
}

/// What Jira answered.
#[derive(JsonSchema)]
pub(crate) struct Output<'t> {
    /// The HTTP status, 200 to 299: others are errors.
    status: u16,
    /// Some of the headers, names in lower case.
    #[schemars(with = "BTreeMap<String, String>")]
    headers: Map<String, Value>,
    /// The body; null where there was none.
    #[schemars(with = "Value")]
    body: &'t str,
}

impl Write for Output<'_> {
    fn write_members(&self, object: &mut Object) {
        object.raw("status", &self.status.to_string());
        object.raw("headers", &json::text(&self.headers));
        object.raw("body", self.body);
    }
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }
}

impl Action for CallApi {
    const ID: &'static str = "call-api";
    const TITLE: &'static str = "Call API";
    const DESCRIPTION: &'static str = "Calls any endpoint of Jira's platform, agile or service desk API.";
    const BEHAVIOUR: Behaviour =
        Behaviour { read_only: false, destructive: true, idempotent: false, idempotency_key: "ignored" };
    const SCOPES: Needs = scope::ANY;
    type Input = Input;
    type Output<'t> = Output<'t>;

    fn sample() -> (Value, Value) {
        (
            json!({ "method": "GET", "api": "agile", "path": "board", "query": { "maxResults": 1 } }),
            json!({ "status": 200, "headers": { "content-type": "application/json" }, "body": { "values": [] } }),
        )
    }

    fn run(client: &mut Client<'_>, input: Input, _: Option<String>) -> Result<Progress, Error> {
        let path = whole_path(client, &input)?;
        let mut ask = Ask::new(input.method.name(), path.clone(), &path);
        for (name, value) in &input.query {
            for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                match value {
                    Value::Null => {}
                    Value::String(text) => ask = ask.query(name, text),
                    Value::Number(_) | Value::Bool(_) => ask = ask.query(name, value),
                    _ => return Err(refused("/query", "Query", "A parameter is text, a number, true or false.")),
                }
            }
        }
        for (name, value) in &input.headers {
            ask.headers.push(header(name, value)?);
        }
        if !input.body.is_null() {
            ask = ask.body(input.body.clone());
        }
        let answer = client.send(&ask)?;
        let shown = answer.headers.iter().filter(|(name, _)| SHOWN.contains(&name.as_str()));
        let headers = shown.map(|(name, value)| (name.clone(), json!(value))).collect();
        let body = answer.raw();
        Ok(Progress::done::<Self>(&Output { status: answer.status, headers, body }))
    }
}

/// The path below the base of the connection's API, checked and encoded.
fn whole_path(client: &Client<'_>, input: &Input) -> Result<String, Error> {
    let path = path::relative(&input.path, "/path")?;
    if path.starts_with("rest/") || connection::is_customer_service(&client.call.connection.settings) {
        return Ok(path);
    }
    let base = match input.api {
        Api::Platform => client.deployment.platform(),
        Api::Agile => "rest/agile/1.0/",
        Api::ServiceDesk => "rest/servicedeskapi/",
    };
    Ok(format!("{base}{path}"))
}

fn header(name: &str, value: &str) -> Result<(String, String), Error> {
    let lower = name.trim().to_ascii_lowercase();
    let plain = value.len() <= 1024 && value.bytes().all(|byte| (32..127).contains(&byte));
    if ALLOWED.contains(&lower.as_str()) && plain {
        return Ok((lower, value.to_owned()));
    }
    Err(refused(
        &crate::field::pointer("/headers", name),
        "Headers",
        &format!("The header {name:?} can't be set here."),
    ))
}

fn refused(pointer: &str, name: &str, message: &str) -> Error {
    let remedy = format!("Allowed headers: {}. Parameters are plain values.", ALLOWED.join(", "));
    Failure::input("call-refused", pointer, name, message, remedy).permanent()
}

#[cfg(test)]
mod tests;
