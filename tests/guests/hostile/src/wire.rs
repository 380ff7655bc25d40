//! Requests that a connector should not send, sent as they were asked for.

use crate::memory::raw;
use serde::Deserialize;
use serde_json::{Value, json};
use wasip2::http::outgoing_handler::{self, FutureIncomingResponse};
use wasip2::http::types::{Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// A request in every detail. Nothing in it is checked or put right by the guest. Every text may be `hex:…`: bytes that
/// need not be text.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Shot {
    /// `GET` where it is empty.
    pub(crate) method: String,
    /// That of the connection's base URL where it is absent.
    pub(crate) scheme: Option<String>,
    /// That of the connection's base URL where it is absent.
    pub(crate) authority: Option<String>,
    /// The path with its query, as it is: without the base URL's own path.
    pub(crate) path: String,
    /// Names and values.
    pub(crate) headers: Vec<(String, String)>,
    /// How many headers `x-flood-N` to add.
    pub(crate) flood_headers: usize,
    /// How many bytes the value of a further header `x-long` has.
    pub(crate) long_header: usize,
    /// How many `a` to add to the path.
    pub(crate) long_path: usize,
    /// The body as text.
    pub(crate) body: Option<String>,
}

impl Shot {
    /// The same request with every `{{secret}}` in it replaced.
    pub(crate) fn with_secret(mut self, secret: &str) -> Self {
        let put = |text: &mut String| *text = text.replace("{{secret}}", secret);
        put(&mut self.method);
        put(&mut self.path);
        self.authority.as_mut().map(put);
        self.body.as_mut().map(put);
        for (name, value) in &mut self.headers {
            put(name);
            put(value);
        }
        self
    }

    /// Sends it and answers `{"status", "headers", "body"}`, or `{"refused": why, "at": where}`.
    pub(crate) fn fire(self, base: &str) -> Value {
        self.start(base).and_then(finish).unwrap_or_else(|(at, why)| json!({"refused": why, "at": at}))
    }

    /// Sends it and waits for nothing.
    pub(crate) fn start(self, base: &str) -> Result<FutureIncomingResponse, (&'static str, String)> {
        let (base_scheme, rest) = base.split_once("://").unwrap_or(("https", base));
        let base_authority = rest.split('/').next().unwrap_or(rest);
        let unnamed = |at: &'static str| move |()| (at, "not acceptable".to_owned());

        let headers = Fields::new();
        let append =
            |name: &str, value: &[u8]| headers.append(name, value).map_err(|error| ("header", error.to_string()));
        for (name, value) in &self.headers {
            append(&raw(name), raw(value).as_bytes())?;
        }
        for number in 0..self.flood_headers {
            append(&format!("x-flood-{number}"), b"flood")?;
        }
        if self.long_header > 0 {
            append("x-long", &vec![b'a'; self.long_header])?;
        }

        let request = OutgoingRequest::new(headers);
        request.set_method(&method(&raw(&self.method))).map_err(unnamed("method"))?;
        let scheme = match self.scheme.as_deref().unwrap_or(base_scheme) {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(raw(other)),
        };
        request.set_scheme(Some(&scheme)).map_err(unnamed("scheme"))?;
        let authority = self.authority.as_deref().unwrap_or(base_authority);
        request.set_authority(Some(&raw(authority))).map_err(unnamed("authority"))?;
        let path = raw(&self.path) + &"a".repeat(self.long_path);
        request.set_path_with_query(Some(&path)).map_err(unnamed("path"))?;
        let sink = request.body().map_err(unnamed("body"))?;
        let answer = outgoing_handler::handle(request, None).map_err(|code| ("send", code.to_string()))?;
        if let Some(body) = self.body {
            let stream = sink.write().map_err(unnamed("body"))?;
            for piece in body.as_bytes().chunks(4096) {
                stream.blocking_write_and_flush(piece).map_err(|error| ("body", error.to_string()))?;
            }
        }
        OutgoingBody::finish(sink, None).map_err(|code| ("body", code.to_string()))?;
        Ok(answer)
    }
}

fn finish(answer: FutureIncomingResponse) -> Result<Value, (&'static str, String)> {
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => read(response),
        Some(Ok(Err(code))) => Err(("send", code.to_string())),
        _ => Err(("send", "no answer".to_owned())),
    }
}

fn read(response: IncomingResponse) -> Result<Value, (&'static str, String)> {
    let status = response.status();
    let entries = response.headers().entries();
    let headers: Vec<_> = entries.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
    let headers = json!(headers);
    let lost = |()| ("answer", "no body".to_owned());
    let source = response.consume().map_err(lost)?;
    let stream = source.stream().map_err(lost)?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(1 << 20) {
            Ok(piece) => body.extend(piece),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(("answer", error.to_string())),
        }
    }
    Ok(json!({"status": status, "headers": headers, "body": String::from_utf8_lossy(&body)}))
}

fn method(name: &str) -> Method {
    match name {
        "" | "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "HEAD" => Method::Head,
        other => Method::Other(other.to_owned()),
    }
}
