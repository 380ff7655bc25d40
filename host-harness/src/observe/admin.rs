//! The operator's listener: `/livez`, `/readyz`, `/metrics`. It is never the public one.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::{Service, figures, metrics};

/// The operator's routes.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(service)
}

async fn readyz(State(service): State<Arc<Service>>) -> Response {
    let readiness = service.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, json, format!("{:#}\n", readiness.json)).into_response()
}

async fn scrape(State(service): State<Arc<Service>>) -> Response {
    let readiness = service.readiness().await;
    let writable = readiness.json["checks"]["store"]["ok"] == true;
    match figures::text(&service, readiness.ready, writable) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n").into_response()
        }
    }
}

/// Around the receiver: counts its answers, and times those that acknowledge.
pub(crate) async fn acknowledging(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    let status = response.status();
    metrics().answered.with_label_values(&[status.as_str()]).inc();
    if status == StatusCode::OK {
        metrics().acknowledged.observe(begun.elapsed().as_secs_f64());
    }
    response
}
