//! Faults: what goes wrong on the wire, for which requests, how often.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::routes::Answer;

/// Where the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cut {
    /// Nothing was done, and no byte is answered.
    BeforeCommit,
    /// The request was done, and no byte is answered.
    AfterCommit,
    /// The request was done; the head and half of the body are sent.
    MidBody,
}

/// Which requests a fault hits; members left out match everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Match {
    pub(crate) method: Option<String>,
    /// The start of the path.
    pub(crate) path: Option<String>,
    pub(crate) path_contains: Option<String>,
    /// The name in the `Host` header, without a port.
    pub(crate) host: Option<String>,
}

fn once() -> u32 {
    1
}

/// One fault as the control API takes and shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    #[serde(default)]
    pub(crate) id: u64,
    #[serde(default, rename = "match")]
    pub(crate) matching: Match,
    /// How often it still happens; 0 until it is removed.
    #[serde(default = "once")]
    pub(crate) times: u32,
    /// Milliseconds between doing and answering.
    #[serde(default)]
    pub(crate) delay_ms: u64,
    /// Answered instead of Jira's status; nothing is done unless `commit`.
    #[serde(default)]
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
    /// A text, or any JSON.
    #[serde(default)]
    pub(crate) body: Option<Value>,
    /// With `body` a text: it is base64, for bodies that are no text.
    #[serde(default)]
    pub(crate) base64: bool,
    /// How often the body is sent in one answer, without end mark until then: a body of any size.
    #[serde(default)]
    pub(crate) repeat: u64,
    /// With `status`: the request is done all the same.
    #[serde(default)]
    pub(crate) commit: bool,
    #[serde(default)]
    pub(crate) cut: Option<Cut>,
    /// Milliseconds between every 64 bytes of the body.
    #[serde(default)]
    pub(crate) slow_ms_per_chunk: u64,
    /// The body ends here, properly framed: broken JSON rather than a broken transfer.
    #[serde(default)]
    pub(crate) truncate_body_to: Option<usize>,
}

impl Fault {
    pub(crate) fn comes_before_routes(&self) -> bool {
        self.cut == Some(Cut::BeforeCommit) || (self.status.is_some() && !self.commit)
    }

    /// Whether the body can be sent.
    pub(crate) fn is_sane(&self) -> bool {
        !self.base64
            || self.body.as_ref().is_some_and(|body| body.as_str().is_some_and(|text| STANDARD.decode(text).is_ok()))
    }

    /// The answer the fault prescribes.
    pub(crate) fn answer(&self) -> Answer {
        let (text, content_type) = match &self.body {
            None => (String::new(), None),
            Some(Value::String(text)) => (text.clone(), Some("text/plain;charset=UTF-8")),
            Some(json) => (json.to_string(), Some("application/json;charset=UTF-8")),
        };
        let mut answer = Answer::empty(self.status.unwrap_or(500));
        answer.body = match self.base64 {
            true => STANDARD.decode(&text).unwrap_or_default(),
            false => text.into_bytes(),
        };
        for (name, value) in &self.headers {
            // A list is the header repeated.
            let values = value.as_array().map_or_else(|| vec![value], |values| values.iter().collect());
            for value in values {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                answer.headers.push((name.clone(), text));
            }
        }
        if let Some(content_type) = content_type
            && !self.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"))
        {
            answer.headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        }
        answer
    }

    fn hits(&self, method: &Method, path: &str, host: &str) -> bool {
        self.matching.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method.as_str()))
            && self.matching.path.as_ref().is_none_or(|start| path.starts_with(start.as_str()))
            && self.matching.path_contains.as_ref().is_none_or(|part| path.contains(part.as_str()))
            && self.matching.host.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host))
    }
}

/// The faults that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct FaultBook {
    faults: Vec<Fault>,
    next: u64,
}

impl FaultBook {
    pub(crate) fn add(&mut self, mut fault: Fault) -> u64 {
        self.next += 1;
        fault.id = self.next;
        self.faults.push(fault);
        self.next
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.faults
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    /// Whether there was one.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.faults.len();
        self.faults.retain(|fault| fault.id != id);
        self.faults.len() < before
    }

    /// The oldest fault that hits a request, counted down.
    pub(crate) fn take(&mut self, method: &Method, path: &str, host: &str) -> Option<Fault> {
        let place = self.faults.iter().position(|fault| fault.hits(method, path, host))?;
        let fault = self.faults[place].clone();
        match fault.times {
            0 => {}
            1 => drop(self.faults.remove(place)),
            _ => self.faults[place].times -= 1,
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: Value) -> Fault {
        serde_json::from_value(json).expect("a fault")
    }

    #[test]
    fn a_fault_happens_as_often_as_asked() {
        let mut book = FaultBook::default();
        book.add(fault(
            serde_json::json!({"match": {"method": "post", "path": "/rest/api/3/issue"}, "times": 2, "status": 503}),
        ));
        assert!(book.take(&Method::GET, "/rest/api/3/issue", "h").is_none());
        assert!(book.take(&Method::POST, "/rest/api/3/issue", "h").is_some());
        assert!(book.take(&Method::POST, "/rest/api/3/issue/bulk", "h").is_some());
        assert!(book.take(&Method::POST, "/rest/api/3/issue", "h").is_none());
    }
}
