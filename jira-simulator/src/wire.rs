//! What arrived on the wire and what was answered, for tests that count calls.

use std::collections::VecDeque;

use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};

/// How many calls the log keeps before it forgets the oldest.
const KEPT: usize = 20_000;
/// How much of one body the log keeps, in bytes.
const BODY_KEPT: usize = 1024 * 1024;

/// One request and its answer. Authorization values are never kept.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) at_ms: i64,
    pub(crate) method: String,
    pub(crate) path: String,
    /// The path within the site.
    pub(crate) route: String,
    /// The site and the door; none for the servers of logins.
    pub(crate) site: Option<String>,
    pub(crate) door: Option<&'static str>,
    pub(crate) query: String,
    pub(crate) headers: Map<String, Value>,
    pub(crate) account: Option<String>,
    pub(crate) login: &'static str,
    pub(crate) request_body: String,
    /// 0 where the connection was cut before an answer.
    pub(crate) status: u16,
    pub(crate) response_headers: Map<String, Value>,
    pub(crate) response_body: String,
    pub(crate) committed: bool,
    pub(crate) fault: Option<u64>,
    pub(crate) missing_route: bool,
}

/// The log, newest last.
#[derive(Debug, Default)]
pub(crate) struct WireLog {
    entries: VecDeque<Entry>,
    next: u64,
}

impl WireLog {
    pub(crate) fn push(&mut self, mut entry: Entry) {
        entry.seq = self.next;
        self.next += 1;
        self.entries.push_back(entry);
        if self.entries.len() > KEPT {
            self.entries.pop_front();
        }
    }

    /// Entries with `seq >= since`, and the number to ask from next time.
    pub(crate) fn since(&self, since: u64) -> (u64, Vec<Entry>) {
        (self.next, self.entries.iter().filter(|entry| entry.seq >= since).cloned().collect())
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// Headers as JSON; `authorization` and `cookie` keep only their scheme.
pub(crate) fn headers_for_log(headers: &HeaderMap) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let text = match name.as_str() {
            "authorization" | "proxy-authorization" => {
                format!("{} redacted", text.split(' ').next().filter(|scheme| scheme.len() < 12).unwrap_or("?"))
            }
            "cookie" => "redacted".to_owned(),
            "location" => match text.split_once('?') {
                Some((address, query)) => format!("{address}?{}", query_for_log(query)),
                None => text,
            },
            _ => text,
        };
        match kept.get_mut(name.as_str()) {
            Some(Value::String(earlier)) => *earlier = format!("{earlier}, {text}"),
            _ => drop(kept.insert(name.as_str().to_owned(), Value::String(text))),
        }
    }
    kept
}

/// Members and parameters whose values are never kept.
const SECRETS: &[&str] = &[
    "secret",
    "client_secret",
    "access_token",
    "refresh_token",
    "code",
    "code_verifier",
    "rawToken",
    "oauth_token",
    "oauth_token_secret",
    "oauth_verifier",
    "oauth_session_handle",
    "oauth_signature",
    "os_password",
    "ticket",
];

/// A body as text, cut at 1 MiB. Secrets in it are replaced.
pub(crate) fn body_for_log(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(BODY_KEPT)]).into_owned();
    if !SECRETS.iter().any(|name| text.contains(name)) {
        return text;
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(mut object)) => {
            let mut replaced = false;
            for (name, value) in &mut object {
                // The code of a gateway's error is a number.
                if SECRETS.contains(&name.as_str()) && value.is_string() {
                    *value = Value::String("redacted".to_owned());
                    replaced = true;
                }
            }
            if replaced { Value::Object(object).to_string() } else { text }
        }
        Ok(_) => text,
        Err(_) if text.starts_with('<') => text,
        Err(_) => query_for_log(&text),
    }
}

/// A query or form with its secrets replaced; one without any stays as it was sent.
pub(crate) fn query_for_log(query: &str) -> String {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if !pairs.iter().any(|(name, _)| SECRETS.contains(&name.as_str())) {
        return query.to_owned();
    }
    let kept = pairs.iter().map(|(name, value)| {
        (name.as_str(), if SECRETS.contains(&name.as_str()) { "redacted" } else { value.as_str() })
    });
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Basic c2VjcmV0".parse().unwrap());
        assert_eq!(headers_for_log(&headers)["authorization"], "Basic redacted");
        headers.insert("authorization", "c2VjcmV0LXdpdGhvdXQtc2NoZW1l".parse().unwrap());
        assert_eq!(headers_for_log(&headers)["authorization"], "? redacted");
        assert!(!body_for_log(br#"{"name":"n","secret":"fake-secret"}"#).contains("fake-secret"));
        assert!(!body_for_log(br#"{"refresh_token":"fake-secret"}"#).contains("fake-secret"));
        assert_eq!(body_for_log(b"grant_type=x&client_secret=fake"), "grant_type=x&client_secret=redacted");
        assert_eq!(body_for_log(br#"{"code":401}"#), r#"{"code":401}"#);
        headers.insert("location", "http://127.0.0.1:1/cb?code=fake-secret&state=s".parse().unwrap());
        assert_eq!(headers_for_log(&headers)["location"], "http://127.0.0.1:1/cb?code=redacted&state=s");
    }
}
