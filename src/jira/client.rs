//! Sends requests to one connection's Jira and hands back answers or errors.

use super::answer::{self, Answer};
use super::deployment::Deployment;
use super::path;
use super::site::{self, Site};
use crate::contract::{Aside, Call, Error, Failure, FailureClass, Notice, Scope, Severity};
use crate::host::{Host, Request, Response, SendError};
use crate::json;
use serde_json::Value;

/// How much of an answer is read unless a request says otherwise.
pub(crate) const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// What sending a request does at the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: a lost answer can be asked for again.
    Read,
    /// It writes, and writing the same again changes nothing more.
    Overwrite,
    /// It writes, and again each time.
    Write,
}

/// A field of the service's that an input fills: for telling a person which one was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPlace {
    /// A JSON Pointer into the input.
    pub(crate) pointer: String,
    /// The name a person knows it by.
    pub(crate) name: String,
}

/// Where fields are in the input, by the service's field id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Vec<(String, FieldPlace)>);

impl Places {
    /// Places by id, JSON Pointer and name.
    pub(crate) fn of(places: &[(&str, &str, &str)]) -> Self {
        let place = |(id, pointer, name): &(&str, &str, &str)| {
            ((*id).to_owned(), FieldPlace { pointer: (*pointer).to_owned(), name: (*name).to_owned() })
        };
        Self(places.iter().map(place).collect())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&FieldPlace> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, place)| place)
    }

    /// Notes a place; of one field the last one counts.
    pub(crate) fn insert(&mut self, id: String, place: FieldPlace) {
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => *known = place,
            None => self.0.push((id, place)),
        }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// To the API, with the path as it is.
    Whole,
    /// To Jira's platform API, in the version that the deployment has.
    Platform,
    /// To the site itself, as a stranger: without the credential.
    Stranger,
    /// To Atlassian's gateway itself, whichever site it is about.
    Gateway,
}

/// One request to the API.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) door: Door,
    /// Relative to where the door leads, encoded, without a leading slash.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) effect: Effect,
    /// What rate limits know it by: method and route.
    pub(crate) endpoint: String,
    /// The issue it writes to, where it does.
    pub(crate) object: Option<String>,
    /// Where refused fields are in the input, by the service's field id.
    pub(crate) fields: Places,
}

impl Ask {
    /// A request by method and path; `route` names the endpoint for rate limits: `issue/{issue}`.
    pub(crate) fn new(method: &str, path: impl Into<String>, route: &str) -> Self {
        let effect = match method {
            "GET" | "HEAD" | "OPTIONS" => Effect::Read,
            "PUT" | "DELETE" => Effect::Overwrite,
            _ => Effect::Write,
        };
        Self {
            method: method.to_owned(),
            door: Door::Whole,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            effect,
            endpoint: format!("{method} {route}"),
            object: None,
            fields: Places::default(),
        }
    }

    /// The same of Jira's platform API: `path` is relative to its version.
    pub(crate) fn api(method: &str, path: impl Into<String>, route: &str) -> Self {
        Self { door: Door::Platform, ..Self::new(method, path, route) }
    }

    /// A question that anybody may ask the site.
    pub(crate) fn stranger(path: &str, route: &str) -> Self {
        Self { door: Door::Stranger, ..Self::new("GET", path, route) }
    }

    pub(crate) fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    pub(crate) fn object(mut self, issue: &str) -> Self {
        self.object = Some(issue.trim().to_ascii_uppercase());
        self
    }

    pub(crate) fn fields(mut self, fields: Places) -> Self {
        self.fields = fields;
        self
    }
}

/// One connection's Jira during one call.
pub(crate) struct Client<'a> {
    pub(crate) host: &'a mut dyn Host,
    pub(crate) call: &'a Call,
    /// What people know it by: links lead there.
    pub(crate) site: Site,
    /// Where requests go: to the site, or to Atlassian's gateway. Ends in `/`.
    pub(crate) api: String,
    pub(crate) deployment: Deployment,
    aside: Aside,
}

impl<'a> Client<'a> {
    /// For the connection that a call is for.
    pub(crate) fn open(host: &'a mut dyn Host, call: &'a Call) -> Result<Self, Error> {
        let site = Site::of(&call.connection.settings)?;
        let api = match call.connection.settings.get("api").and_then(Value::as_str) {
            None => site.base().to_owned(),
            Some(api) if api == site.base() || api.starts_with(site::GATEWAY) => api.to_owned(),
            Some(_) => return Err(site::settings_invalid()),
        };
        Ok(Self::at(host, call, site, api))
    }

    /// For an API that the settings do not name yet.
    pub(crate) fn at(host: &'a mut dyn Host, call: &'a Call, site: Site, api: String) -> Self {
        let deployment = Deployment::of(&call.connection.settings);
        Self { host, call, site, api, deployment, aside: Aside::default() }
    }

    /// Sends one request.
    pub(crate) fn send(&mut self, ask: &Ask) -> Result<Answer, Error> {
        let mut answers = self.send_all(std::slice::from_ref(ask));
        answers.pop().unwrap_or_else(|| {
            let message = "The host gave no answer to a request.";
            Err(Failure::new(FailureClass::Unavailable, "no-answer", message, "Report this to the host's maintainer.")
                .uncertain())
        })
    }

    /// Sends several requests side by side; the answers stand in the same order. Where one of them is held back, none
    /// is sent.
    pub(crate) fn send_all(&mut self, asks: &[Ask]) -> Vec<Result<Answer, Error>> {
        let answers = match self.send_raw(asks) {
            Ok(answers) => answers,
            Err(held) => return asks.iter().map(|_| Err(held.clone())).collect(),
        };
        asks.iter().zip(answers).map(|(ask, answer)| self.interpret(ask, answer)).collect()
    }

    /// Sends several requests side by side and hands on what came back, whatever it means. An error says that they
    /// are held back.
    pub(crate) fn send_raw(&mut self, asks: &[Ask]) -> Result<Vec<Result<Response, SendError>>, Error> {
        match asks.iter().find_map(|ask| self.held(ask)) {
            Some(held) => Err(held),
            None => {
                let requests = asks.iter().map(|ask| self.request(ask)).collect();
                Ok(self.host.send(requests))
            }
        }
    }

    /// What an answer means.
    pub(crate) fn interpret(&self, ask: &Ask, answer: Result<Response, SendError>) -> Result<Answer, Error> {
        answer::interpret(ask, answer, self.host.now_ms()).map_err(|error| answer::with_login(error, &self.site))
    }

    /// Leaves a note for later calls; the last one counts.
    pub(crate) fn remember(&mut self, memo: String) {
        self.aside.memo = Some(memo);
    }

    /// Tells a person something that is no reason to fail. `code` comes without the connector's prefix.
    pub(crate) fn notice(&mut self, severity: Severity, code: &str, message: String) {
        self.aside.notices.push(Notice { severity, code: format!("jira.{code}"), message });
    }

    /// What goes along with the result.
    pub(crate) fn into_aside(self) -> Aside {
        self.aside
    }

    fn request(&self, ask: &Ask) -> Request {
        let mut headers = ask.headers.clone();
        if !headers.iter().any(|(name, _)| name == "accept") {
            headers.push(("accept".to_owned(), "application/json".to_owned()));
        }
        if ask.body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let (base, version) = match ask.door {
            Door::Whole => (self.api.as_str(), ""),
            Door::Platform => (self.api.as_str(), self.deployment.platform()),
            Door::Stranger => (self.site.base(), ""),
            Door::Gateway => (site::GATEWAY, ""),
        };
        if let Some(authorization) = self.call.connection.authorization.as_ref().filter(|_| ask.door != Door::Stranger)
        {
            headers.push(("authorization".to_owned(), authorization.clone()));
        }
        Request {
            method: ask.method.clone(),
            url: format!("{base}{version}{}{}", ask.path, path::query(&ask.query)),
            headers,
            body: ask.body.as_ref().map(|body| json::text(body).into_bytes()),
            limit: ANSWER_LIMIT,
        }
    }

    fn held(&self, ask: &Ask) -> Option<Error> {
        let hold = self.call.held.iter().filter(|hold| hold.for_ms > 0).find(|hold| match &hold.scope {
            Scope::Tenant | Scope::App => true,
            Scope::Endpoint(endpoint) => *endpoint == ask.endpoint,
            Scope::Object(object) => ask.effect != Effect::Read && ask.object.as_ref() == Some(object),
        })?;
        let message = "Jira asked for a pause that is not over yet; nothing was sent.";
        let failure = Failure::new(FailureClass::Limit, "held", message, "Wait and try again.");
        Some(failure.transient(hold.for_ms, hold.scope.clone()))
    }
}
