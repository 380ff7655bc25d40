//! Where the browser comes back to: a listener on this machine that takes one answer and is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use url::Url;

use super::registration::Answer;
use crate::clock::SharedClock;
use crate::vault::Secret;

/// How long a person may take.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// What marks an answer as the one that is awaited: it was in the address that the person opened.
const MARKS: [&str; 2] = ["state", "oauth_token"];

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The address cannot be listened at.
    #[error("nobody can listen at {address} for the browser to come back: {reason}")]
    Unusable {
        /// Where.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// Nobody came.
    #[error("the browser did not come back within {} minutes", PATIENCE.as_secs() / 60)]
    Late,
}

/// A listener that is bound, so that the browser finds it whenever it comes back.
#[derive(Debug)]
pub struct Callback {
    listeners: Vec<TcpListener>,
    path: String,
    authorities: Vec<String>,
}

/// What the listener knows while it waits.
struct Waiting {
    path: String,
    authorities: Vec<String>,
    marks: Vec<(String, String)>,
    answers: mpsc::Sender<Secret>,
}

impl Callback {
    /// Binds the address of a callback URL, which names this machine.
    pub async fn bind(url: &Url) -> Result<Self, CallbackError> {
        let port = url.port_or_known_default().unwrap_or(80);
        let unusable = |reason: String| CallbackError::Unusable { address: authority(url, port), reason };
        let addresses: Vec<SocketAddr> = url
            .socket_addrs(|| None)
            .map_err(|error| unusable(error.to_string()))?
            .into_iter()
            .filter(|address| address.ip().is_loopback())
            .collect();
        let (mut listeners, mut trouble) = (Vec::new(), "it is not an address of this machine".to_owned());
        for address in addresses {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => trouble = error.to_string(),
            }
        }
        if listeners.is_empty() {
            return Err(unusable(trouble));
        }
        let mut authorities = vec![authority(url, port)];
        if port == 80 {
            authorities.push(url.host_str().unwrap_or_default().to_owned());
        }
        Ok(Self { listeners, path: url.path().to_owned(), authorities })
    }

    /// Waits until the browser comes back from the address that the person opened; answers with the query it brought.
    /// What does not carry that address's own mark is told so, and the waiting goes on.
    pub async fn answer(self, opened: &Url, clock: &SharedClock) -> Result<Secret, CallbackError> {
        let (answers, mut answered) = mpsc::channel(1);
        let marks = opened.query_pairs().filter(|(name, _)| MARKS.contains(&name.as_ref()));
        let marks = marks.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let waiting = Waiting { path: self.path, authorities: self.authorities, marks, answers };
        let routes = Router::new().fallback(come_back).with_state(Arc::new(waiting));
        let mut serving = Vec::new();
        for listener in self.listeners {
            let (end, ended) = oneshot::channel::<()>();
            let routes = routes.clone();
            let served = axum::serve(listener, routes).with_graceful_shutdown(async {
                let _ = ended.await;
            });
            serving.push((end, tokio::spawn(async { served.await })));
        }
        drop(routes);
        let outcome = tokio::select! {
            Some(query) = answered.recv() => Ok(query),
            () = clock.sleep(PATIENCE) => Err(CallbackError::Late),
        };
        // The page that says so is to reach the browser; what keeps its connection open does not hold us up.
        for (end, served) in serving {
            let _ = end.send(());
            let abort = served.abort_handle();
            if tokio::time::timeout(Duration::from_millis(500), served).await.is_err() {
                abort.abort();
            }
        }
        outcome
    }
}

fn authority(url: &Url, port: u16) -> String {
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

async fn come_back(State(waiting): State<Arc<Waiting>>, request: Request) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let here = waiting.authorities.iter().any(|authority| authority.eq_ignore_ascii_case(host));
    if !here || request.uri().path() != waiting.path || request.method() != Method::GET {
        return page(StatusCode::NOT_FOUND, "There is nothing here.");
    }
    let query = request.uri().query().unwrap_or_default();
    let is_awaited = Answer::read(query).is_ok_and(|answer| {
        waiting.marks.iter().all(|(name, value)| answer.get(name).is_some_and(|found| found == value))
    });
    if !is_awaited {
        return page(
            StatusCode::BAD_REQUEST,
            "This is not the answer that is awaited: it belongs to another authorization, or to an earlier one. \
             Open the address that the terminal shows.",
        );
    }
    match waiting.answers.try_send(Secret::new(query)) {
        Ok(()) => page(StatusCode::OK, "The answer has arrived. You can close this page and go back to the terminal."),
        Err(_) => page(StatusCode::GONE, "An answer has arrived already. Go back to the terminal."),
    }
}

/// A plain page: nothing in it runs, nothing of the address goes elsewhere or is kept.
fn page(status: StatusCode, text: &str) -> Response {
    let body = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Authorization</title></head>\
         <body><p>{text}</p></body></html>"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
#[path = "callback_test.rs"]
mod tests;
