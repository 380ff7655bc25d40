//! The fixed-answer server: a process on the other core that answers what a Jira answers, with bytes made beforehand.
//!
//! It has two addresses. The first answers at once; at the second whatever would change an issue waits for an answer
//! that does not come, as at a service that hangs. It ends when its stdin does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::bodies;
use crate::child::{Part, end_with_stdin};
use crate::machine::{Side, keep_to};

/// A running fixed-answer server.
pub(crate) struct FixedAnswers {
    _part: Part,
    /// Where it answers at once.
    pub(crate) quick: SocketAddr,
    /// Where what writes to an issue hangs.
    pub(crate) hanging: SocketAddr,
}

impl FixedAnswers {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Result<Self> {
        let part = Part::start(&["fixed"])?;
        let addresses: [SocketAddr; 2] =
            serde_json::from_str(&part.greeting).context("the fixed-answer server did not say where it listens")?;
        Ok(Self { _part: part, quick: addresses[0], hanging: addresses[1] })
    }
}

/// What is answered.
struct Answers {
    created: Bytes,
    issue: Bytes,
    page: Bytes,
    myself: Bytes,
    server: Bytes,
    permissions: Bytes,
    tenant: Bytes,
    /// Webhooks as they were registered, with the account's authorization; each account is a site of its own.
    hooks: Mutex<Vec<(String, Value)>>,
    /// How many requests hang.
    hanging: AtomicUsize,
}

impl Answers {
    fn new() -> Self {
        let bytes = |value: &Value| Bytes::from(value.to_string());
        let permission = json!({ "id": "0", "key": "ADMINISTER", "name": "Administer Jira", "type": "GLOBAL",
                                 "description": "", "havePermission": true });
        Self {
            created: bytes(&bodies::created()),
            issue: bytes(&bodies::issue()),
            page: bytes(&bodies::page()),
            myself: bytes(&json!({ "accountId": "712020:0", "displayName": "Administrator", "active": true,
                                   "accountType": "atlassian", "timeZone": "Europe/Berlin" })),
            server: bytes(&json!({ "baseUrl": "http://127.0.0.1", "version": "1001.0.0-SNAPSHOT",
                                   "versionNumbers": [1001, 0, 0], "deploymentType": "Cloud", "buildNumber": 100_000,
                                   "serverTitle": "Fixed answers" })),
            permissions: bytes(&json!({ "permissions": { "ADMINISTER": permission } })),
            tenant: bytes(&json!({ "cloudId": "00000000-0000-4000-8000-000000000001" })),
            hooks: Mutex::default(),
            hanging: AtomicUsize::new(0),
        }
    }

    fn answer(&self, method: &Method, path: &str, account: &str, body: &Bytes) -> (StatusCode, Bytes) {
        // Clients differ in the version of the API they ask for.
        let path = path.trim_start_matches("/rest/api/3/").trim_start_matches("/rest/api/2/");
        let found = match (method, path) {
            (&Method::POST, "issue") => return (StatusCode::CREATED, self.created.clone()),
            (&Method::PUT, _) if path.starts_with("issue/") => return (StatusCode::NO_CONTENT, Bytes::new()),
            (&Method::POST, _) if path.ends_with("/comment") => return (StatusCode::CREATED, self.created.clone()),
            (_, "search/jql" | "search") => &self.page,
            (&Method::GET, _) if path.starts_with("issue/") => &self.issue,
            (_, "myself") => &self.myself,
            (_, "serverInfo") => &self.server,
            (_, "mypermissions") => &self.permissions,
            (_, "/_edge/tenant_info") => &self.tenant,
            (_, "/hanging") => &Bytes::from(self.hanging.load(Ordering::Relaxed).to_string()),
            (_, "field") => &Bytes::from_static(b"[]"),
            _ if path.starts_with("/rest/webhooks/1.0/webhook") => return self.hook(method, path, account, body),
            _ => return (StatusCode::NOT_FOUND, Bytes::from_static(br#"{"errorMessages":["no such route"]}"#)),
        };
        (StatusCode::OK, found.clone())
    }

    /// Webhooks are the one thing it remembers: a host looks at what it registered. The secret is shown, so that the
    /// load can be signed with it.
    fn hook(&self, method: &Method, path: &str, account: &str, body: &Bytes) -> (StatusCode, Bytes) {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let hook: Value = serde_json::from_slice(body).unwrap_or_default();
        match *method {
            Method::GET => {
                let ours = hooks.iter().filter(|(owner, _)| owner == account).map(|(_, hook)| hook.clone());
                (StatusCode::OK, Value::from_iter(ours).to_string().into())
            }
            Method::POST => {
                let mut hook = hook;
                hook["self"] = json!(format!("http://127.0.0.1/rest/webhooks/1.0/webhook/{}", hooks.len() + 1));
                hooks.push((account.to_owned(), hook.clone()));
                (StatusCode::CREATED, hook.to_string().into())
            }
            Method::PUT => {
                let link = format!("http://127.0.0.1{path}");
                if let Some(known) = hooks.iter_mut().map(|(_, hook)| hook).find(|known| known["self"] == *link) {
                    *known = hook;
                    known["self"] = json!(link);
                }
                (StatusCode::OK, body.clone())
            }
            _ => {
                hooks.retain(|(_, known)| !known["self"].as_str().unwrap_or_default().ends_with(path));
                (StatusCode::NO_CONTENT, Bytes::new())
            }
        }
    }
}

/// Serves until stdin ends.
pub(crate) fn serve() -> Result<()> {
    keep_to(Side::Other);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    end_with_stdin();
    runtime.block_on(async {
        let answers = Arc::new(Answers::new());
        let (quick, hanging) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        println!("{}", json!([quick.local_addr()?, hanging.local_addr()?]));
        tokio::join!(listen(quick, Arc::clone(&answers), false), listen(hanging, answers, true));
        Ok(())
    })
}

async fn listen(listener: TcpListener, answers: Arc<Answers>, hang: bool) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let answers = Arc::clone(&answers);
        let service = service_fn(move |request: Request<Incoming>| {
            let answers = Arc::clone(&answers);
            async move { Ok::<_, Infallible>(one(&answers, request, hang).await) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A request that hangs, for as long as somebody waits for it.
struct Hanging<'a>(&'a Answers);

impl<'a> Hanging<'a> {
    fn count(answers: &'a Answers) -> Self {
        answers.hanging.fetch_add(1, Ordering::Relaxed);
        Self(answers)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.hanging.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn one(answers: &Answers, request: Request<Incoming>, hang: bool) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let changes = parts.method != Method::GET && parts.uri.path().contains("/issue");
    if hang && changes {
        let _counted = Hanging::count(answers);
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let account = parts.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (status, bytes) = answers.answer(&parts.method, parts.uri.path(), account.unwrap_or_default(), &body);
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json;charset=UTF-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_webhook_is_listed_and_can_be_removed() {
        let answers = Answers::new();
        let path = "/rest/webhooks/1.0/webhook";
        let hook = Bytes::from_static(br#"{"url":"http://127.0.0.1:1/hooks/x","secret":"obviously-fake"}"#);
        let (status, made) = answers.answer(&Method::POST, path, "a", &hook);
        assert_eq!(status, StatusCode::CREATED);
        let made: Value = serde_json::from_slice(&made).unwrap();
        let listed =
            || -> Value { serde_json::from_slice(&answers.answer(&Method::GET, path, "a", &Bytes::new()).1).unwrap() };
        assert_eq!(listed()[0]["secret"], "obviously-fake");
        let others = answers.answer(&Method::GET, path, "b", &Bytes::new()).1;
        assert_eq!(others, "[]", "another account is another site");
        let link = made["self"].as_str().unwrap().trim_start_matches("http://127.0.0.1");
        answers.answer(&Method::DELETE, link, "a", &Bytes::new());
        assert_eq!(listed(), json!([]));
    }

    #[test]
    fn both_versions_of_the_api_lead_to_the_same_answers() {
        let answers = Answers::new();
        for version in [2, 3] {
            let path = |rest: &str| format!("/rest/api/{version}/{rest}");
            assert_eq!(answers.answer(&Method::POST, &path("issue"), "a", &Bytes::new()).0, StatusCode::CREATED);
            assert_eq!(answers.answer(&Method::GET, &path("issue/DEMO-1"), "a", &Bytes::new()).1, answers.issue);
            assert_eq!(answers.answer(&Method::POST, &path("search/jql"), "a", &Bytes::new()).1, answers.page);
        }
    }
}
