//! Plain HTTP, as anybody on the network could speak it.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

/// An HTTP answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON; a test that asks for it expects JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("status {}, not JSON: {}", self.status, self.body))
    }
}

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
        config.timeout_global(Some(Duration::from_secs(60))).build().new_agent()
    })
}

/// Sends one request and reads the whole answer.
pub(crate) fn send(method: &str, url: &str, headers: &[(String, String)], body: &[u8]) -> Answer {
    try_send(method, url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: no HTTP answer: {error}"))
}

/// The same where no answer at all is a possible outcome.
pub(crate) fn try_send(
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Answer, ureq::Error> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(body).map_err(ureq::Error::from)?;
    let mut response = agent().run(request)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Opens an address and goes where it leads, as a browser does; the last page.
pub(crate) fn browse(url: &str) -> Answer {
    let mut next = url.to_owned();
    for _ in 0..5 {
        let mut response = agent().get(&next).call().unwrap_or_else(|error| panic!("GET {next}: {error}"));
        let Some(location) = response.headers().get("location").and_then(|value| value.to_str().ok()) else {
            let body = response.body_mut().read_to_string().unwrap_or_default();
            return Answer { status: response.status().as_u16(), body };
        };
        next = location.to_owned();
    }
    panic!("{url} leads round in circles");
}

/// Where an address leads to.
pub(crate) fn leads_to(url: &str) -> String {
    let response = agent().get(url).call().unwrap_or_else(|error| panic!("GET {url}: {error}"));
    let location = response.headers().get("location").and_then(|value| value.to_str().ok());
    location.unwrap_or_else(|| panic!("{url} leads nowhere: {}", response.status())).to_owned()
}

/// Sends JSON; `Value::Null` sends no body.
pub(crate) fn send_json(method: &str, url: &str, headers: &[(String, String)], body: &Value) -> Answer {
    if body.is_null() {
        return send(method, url, headers, b"");
    }
    let mut headers = headers.to_vec();
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    send(method, url, &headers, body.to_string().as_bytes())
}
