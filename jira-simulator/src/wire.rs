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
            _ => text,
        };
        match kept.get_mut(name.as_str()) {
            Some(Value::String(earlier)) => *earlier = format!("{earlier}, {text}"),
            _ => drop(kept.insert(name.as_str().to_owned(), Value::String(text))),
        }
    }
    kept
}

/// A body as text, cut at 1 MiB. Webhook secrets in it are replaced.
pub(crate) fn body_for_log(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(BODY_KEPT)]).into_owned();
    if !text.contains("\"secret\"") {
        return text;
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(mut object)) if object.contains_key("secret") => {
            object.insert("secret".to_owned(), Value::String("redacted".to_owned()));
            Value::Object(object).to_string()
        }
        _ => text,
    }
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
    }
}
