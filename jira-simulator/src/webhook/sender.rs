//! Sending: at most 20 at a time to one host, 20 s for an answer, retries in virtual time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rand::Rng;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::{Secret, Webhook};
use crate::clock::Clock;
use crate::state::settings::Settings;

/// Primary deliveries under way to one URL host.
const AT_ONCE: usize = 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
/// Minutes between attempts: at least, at most.
const PAUSE_MINUTES: (i64, i64) = (5, 15);

/// One attempt: its time and the status, or why there was none.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Attempt {
    pub(crate) at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    Pending,
    Delivered,
    Failed,
}

/// An event on its way to one webhook.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Delivery {
    pub(crate) identifier: String,
    pub(crate) webhook_id: u64,
    pub(crate) event: &'static str,
    pub(crate) url: String,
    pub(crate) state: State,
    pub(crate) attempts: Vec<Attempt>,
    /// Virtual time of the next attempt, while one is planned.
    pub(crate) next_attempt_ms: Option<i64>,
    #[serde(skip)]
    body: Bytes,
    #[serde(skip)]
    secret: Option<Secret>,
    #[serde(skip)]
    order: u64,
}

impl Delivery {
    pub(crate) fn new(webhook: &Webhook, event: &'static str, url: String, body: String) -> Self {
        Self {
            identifier: uuid(),
            webhook_id: webhook.id,
            event,
            url,
            state: State::Pending,
            attempts: Vec::new(),
            next_attempt_ms: None,
            body: Bytes::from(body),
            secret: webhook.secret.clone(),
            order: 0,
        }
    }

    fn request(&self, retry: usize) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("Content-Type", "application/json; charset=UTF-8".to_owned()),
            ("User-Agent", "Atlassian HttpClient 1.0 / jira-simulator".to_owned()),
            ("X-Atlassian-Webhook-Identifier", self.identifier.clone()),
            ("X-Atlassian-Webhook-Flow", "Primary".to_owned()),
        ];
        if retry > 0 {
            headers.push(("X-Atlassian-Webhook-Retry", retry.to_string()));
        }
        if let Some(secret) = &self.secret {
            headers.push(("X-Hub-Signature", secret.sign(&self.body)));
        }
        headers
    }
}

/// A random version 4 UUID.
fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// Exactly what was or would be sent.
#[derive(Debug, Serialize)]
pub(crate) struct SentRequest {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<&'static str, String>,
    pub(crate) body: String,
}

/// All deliveries since the start or the last reset.
pub(crate) struct Deliveries {
    known: Mutex<HashMap<String, Delivery>>,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    client: Client<HttpConnector, Full<Bytes>>,
    clock: Arc<Clock>,
    stopped: watch::Receiver<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deliveries {
    pub(crate) fn new(clock: Arc<Clock>, stopped: watch::Receiver<bool>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { known: Mutex::default(), hosts: Mutex::default(), client, clock, stopped }
    }

    /// Starts a delivery, with the retries the settings allow now.
    pub(crate) fn send(self: &Arc<Self>, mut delivery: Delivery, settings: &Settings) {
        let identifier = delivery.identifier.clone();
        {
            let mut known = lock(&self.known);
            delivery.order = known.len() as u64;
            known.insert(identifier.clone(), delivery);
        }
        let retries = settings.delivery_retries;
        let private = settings.allow_private_delivery;
        let this = self.clone();
        let mut stopped = self.stopped.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = this.deliver(&identifier, retries, private) => {}
                _ = stopped.changed() => {}
            }
        });
    }

    async fn deliver(&self, identifier: &str, retries: u32, private: bool) {
        for retry in 0..=retries {
            let again = self.attempt(identifier, retry as usize, private).await;
            if !again || retry == retries {
                self.change(identifier, |delivery| {
                    delivery.next_attempt_ms = None;
                    if delivery.state == State::Pending {
                        delivery.state = State::Failed;
                    }
                });
                return;
            }
            let (least, most) = PAUSE_MINUTES;
            let due = self.clock.now_ms() + rand::rng().random_range(least * 60_000..=most * 60_000);
            self.change(identifier, |delivery| delivery.next_attempt_ms = Some(due));
            self.clock.wait_until(due).await;
            // A reset forgot it.
            if !lock(&self.known).contains_key(identifier) {
                return;
            }
        }
    }

    /// One attempt; `true` where Jira would try again.
    async fn attempt(&self, identifier: &str, retry: usize, private: bool) -> bool {
        let Some(delivery) = lock(&self.known).get(identifier).cloned() else { return false };
        let _permit = match self.host(&delivery.url).acquire_owned().await {
            Ok(permit) => permit,
            Err(_) => return false,
        };
        let at_ms = self.clock.now_ms();
        let outcome = self.post(&delivery, retry, private).await;
        let (status, error) = match outcome {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(error)),
        };
        let again = match status {
            None => true,
            Some(status) => matches!(status, 408 | 409 | 425 | 429 | 500..=599),
        };
        self.change(identifier, |delivery| {
            delivery.attempts.push(Attempt { at_ms, status, error });
            match status {
                Some(200..=299) => delivery.state = State::Delivered,
                _ if !again => delivery.state = State::Failed,
                _ => {}
            }
        });
        again
    }

    fn host(&self, url: &str) -> Arc<Semaphore> {
        let host = url::Url::parse(url).ok().map(|url| url.authority().to_owned()).unwrap_or_default();
        lock(&self.hosts).entry(host).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
    }

    async fn post(&self, delivery: &Delivery, retry: usize, private: bool) -> Result<u16, String> {
        if delivery.url.starts_with("https:") {
            return Err("the simulator sends over plain http only".to_owned());
        }
        if !private && is_private(&delivery.url) {
            return Err("the address is not reachable from Atlassian's network".to_owned());
        }
        let mut request = http::Request::post(&delivery.url);
        for (name, value) in delivery.request(retry) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(delivery.body.clone())).map_err(|error| error.to_string())?;
        match tokio::time::timeout(RESPONSE_TIMEOUT, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string)),
            Err(_) => Err("no answer within 20 s".to_owned()),
        }
    }

    fn change(&self, identifier: &str, change: impl FnOnce(&mut Delivery)) {
        if let Some(delivery) = lock(&self.known).get_mut(identifier) {
            change(delivery);
        }
    }

    /// Sends a delivery again now: same identifier, same body, with a retry header.
    pub(crate) async fn redeliver(&self, identifier: &str, private: bool) -> Option<Delivery> {
        let attempts = lock(&self.known).get(identifier)?.attempts.len();
        self.attempt(identifier, attempts.max(1), private).await;
        lock(&self.known).get(identifier).cloned()
    }

    /// What the last attempt sent (or the first will).
    pub(crate) fn request(&self, identifier: &str) -> Option<SentRequest> {
        let delivery = lock(&self.known).get(identifier)?.clone();
        let retry = delivery.attempts.len().saturating_sub(1);
        Some(SentRequest {
            method: "POST",
            url: delivery.url.clone(),
            headers: delivery.request(retry).into_iter().collect(),
            body: String::from_utf8_lossy(&delivery.body).into_owned(),
        })
    }

    /// All deliveries, oldest first.
    pub(crate) fn list(&self) -> Vec<Delivery> {
        let mut all: Vec<Delivery> = lock(&self.known).values().cloned().collect();
        all.sort_by_key(|delivery| delivery.order);
        all
    }

    pub(crate) fn clear(&self) {
        lock(&self.known).clear();
    }
}

fn is_private(url: &str) -> bool {
    match url::Url::parse(url).ok().and_then(|url| url.host().map(|host| host.to_owned())) {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Some(url::Host::Domain(name)) => name == "localhost" || !name.contains('.'),
        None => true,
    }
}
