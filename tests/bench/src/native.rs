//! The native floor: the HTTP library the host uses, with the pool settings the host uses, doing nothing but the
//! exchange: write the body, send it, read the answer, find what was asked for in it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde::Deserialize;
use serde_json::Value;

/// A client of the fixed-answer server.
#[derive(Clone)]
pub(crate) struct Native {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: HeaderValue,
}

/// What is read of a creation's answer.
#[derive(Deserialize)]
struct Created {
    key: String,
}

impl Native {
    pub(crate) fn new(server: SocketAddr) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = host_harness::egress::Policy::new(vec![], true).client().build(connector);
        let basic = base64::engine::general_purpose::STANDARD.encode("administrator@example.test:obviously-fake-token");
        let mut authorization = HeaderValue::from_str(&format!("Basic {basic}"))?;
        authorization.set_sensitive(true);
        Ok(Self { client, base: format!("http://{server}"), authorization })
    }

    /// Creates an issue and answers with its key.
    pub(crate) async fn create(&self, body: &Value) -> Result<String> {
        let answer = self.exchange(Method::POST, "/rest/api/3/issue", Bytes::from(serde_json::to_vec(body)?)).await?;
        Ok(serde_json::from_slice::<Created>(&answer)?.key)
    }

    /// The webhooks that are registered, their signing secrets with them.
    pub(crate) async fn hooks(&self) -> Result<Vec<Value>> {
        Ok(serde_json::from_slice(&self.exchange(Method::GET, "/rest/webhooks/1.0/webhook", Bytes::new()).await?)?)
    }

    /// How many requests hang at the server's other address.
    pub(crate) async fn hanging(&self) -> Result<usize> {
        Ok(serde_json::from_slice(&self.exchange(Method::GET, "/hanging", Bytes::new()).await?)?)
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        let uri: Uri = format!("{}{path}", self.base).parse()?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body))?;
        let response = self.client.request(request).await.context("the native client got no answer")?;
        ensure!(response.status().is_success(), "the native client was answered {}", response.status());
        Ok(response.into_body().collect().await?.to_bytes())
    }
}
