//! Traces for a collector, where an operator names one: OTLP over HTTP, as JSON.
//!
//! What is exported is what is logged: spans of deliveries, polls, runs, calls and requests, with the lines from
//! `info` on. It leaves in batches, beside the work; where the collector is slow or away, spans are dropped.
//!
//! The form is that of OTLP 1: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>. The SDK is not used:
//! it would bring a dozen crates, protocol buffers among them, for this one message.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::SharedClock;
use crate::egress::{OperatorsClient, operators_client};

/// How long a collector may take to take a batch, and how long the end of the program waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many spans wait to be sent.
const WAITING: usize = 4096;
/// How many spans are sent at once.
const BATCH: usize = 256;
/// For how long a batch is gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How many lines of one span are exported.
const MOST_LINES: usize = 32;

enum Message {
    Span(Value),
    /// Send what there is, then say so.
    Flush(oneshot::Sender<()>),
}

/// Exports traces as long as the program runs.
#[derive(Debug)]
pub struct Exporting(mpsc::Sender<Message>);

impl Exporting {
    /// Sends what is left, as long as the collector takes it in time.
    pub async fn finish(self) {
        let (done, is_done) = oneshot::channel();
        let flushing = async {
            if self.0.send(Message::Flush(done)).await.is_ok() {
                let _ = is_done.await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, flushing).await;
    }
}

/// The layer that exports to the collector at `endpoint`, the base of its addresses.
pub(super) fn layer<S>(
    endpoint: &str,
    clock: &SharedClock,
    runtime: &Handle,
) -> Result<(impl Layer<S> + use<S>, Exporting), String>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let usable =
        |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    let url = url::Url::parse(endpoint).ok().filter(usable);
    // What was given is not repeated: it may hold a password.
    let url = url.ok_or("it is no http or https URL without user and password")?;
    let target: http::Uri = format!("{}/v1/traces", url.as_str().trim_end_matches('/'))
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let client = operators_client(PATIENCE).map_err(|error| error.to_string())?;
    let (queue, waiting) = mpsc::channel(WAITING);
    runtime.spawn(export(client, target, waiting));
    let ours =
        FilterFn::new(|it| it.target().starts_with("host_harness") && (it.is_span() || *it.level() <= Level::INFO));
    let began = (u128::from(clock.now_ms()) * 1_000_000, clock.monotonic());
    let layer = Traces { queue: queue.clone(), clock: clock.clone(), began };
    Ok((layer.with_filter(ours.with_max_level_hint(LevelFilter::DEBUG)), Exporting(queue)))
}

/// Sends batches, until the queue is closed.
async fn export(client: OperatorsClient, target: http::Uri, mut waiting: mpsc::Receiver<Message>) {
    let mut failing = false;
    while let Some(first) = waiting.recv().await {
        let (mut spans, mut flushed) = (vec![], None);
        let mut take = |message| match message {
            Message::Span(span) => spans.push(span),
            Message::Flush(done) => flushed = Some(done),
        };
        take(first);
        let _ = tokio::time::timeout(GATHER, async {
            for _ in 1..BATCH {
                match waiting.recv().await {
                    Some(Message::Flush(done)) => {
                        take(Message::Flush(done));
                        break;
                    }
                    Some(span) => take(span),
                    None => break,
                }
            }
        })
        .await;
        if !spans.is_empty() {
            let sent = send(&client, &target, spans).await;
            // Told once, not for every batch.
            if let (Err(reason), false) = (&sent, failing) {
                tracing::warn!(reason, "the collector did not take traces; they are dropped until it does");
            }
            failing = sent.is_err();
        }
        if let Some(done) = flushed {
            let _ = done.send(());
        }
    }
}

async fn send(client: &OperatorsClient, target: &http::Uri, spans: Vec<Value>) -> Result<(), String> {
    let of = json!([attribute("service.name", "harness".into()), attribute("service.version", VERSION.into())]);
    let scoped = json!([{ "scope": { "name": "harness", "version": VERSION }, "spans": spans }]);
    let body = json!({ "resourceSpans": [{ "resource": { "attributes": of }, "scopeSpans": scoped }] });
    let request = http::Request::post(target.clone())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(PATIENCE, client.request(request)).await {
        Ok(Ok(response)) if response.status().is_success() => Ok(()),
        Ok(Ok(response)) => Err(format!("it answered with status {}", response.status().as_u16())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it did not answer in time".into()),
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

struct Traces {
    queue: mpsc::Sender<Message>,
    clock: SharedClock,
    /// Nanoseconds since 1970 and the monotonic time when it began.
    began: (u128, Duration),
}

/// A span that has not ended.
struct Open {
    trace: String,
    span: String,
    parent: Option<String>,
    since: String,
    fields: Fields,
    lines: Vec<Value>,
    failed: bool,
}

/// Fields as OTLP attributes.
#[derive(Default)]
struct Fields {
    trace: Option<String>,
    message: String,
    attributes: Vec<Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace_id" => self.trace = Some(value.to_owned()),
            "message" => value.clone_into(&mut self.message),
            name => self.attributes.push(attribute(name, value.into())),
        }
    }
}

fn attribute(name: &str, value: Value) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

impl Traces {
    fn now(&self) -> String {
        let (began, monotonic) = self.began;
        (began + self.clock.monotonic().saturating_sub(monotonic).as_nanos()).to_string()
    }

    fn id<const BYTES: usize>(&self) -> String {
        let mut bytes = [0; BYTES];
        self.clock.fill_random(&mut bytes);
        hex::encode(bytes)
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let above = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Open>().map(|open| (open.trace.clone(), open.span.clone())));
        let (above_trace, parent) = above.unzip();
        let trace = fields.trace.take().or(above_trace).unwrap_or_else(|| self.id::<16>());
        let (span_id, since) = (self.id::<8>(), self.now());
        let open = Open { trace, span: span_id, parent, since, fields, lines: vec![], failed: false };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else { return };
        let mut extensions = span.extensions_mut();
        let Some(open) = extensions.get_mut::<Open>() else { return };
        open.failed |= *event.metadata().level() == Level::ERROR;
        if open.lines.len() < MOST_LINES {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let line = json!({ "timeUnixNano": self.now(), "name": fields.message, "attributes": fields.attributes });
            open.lines.push(line);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        // CLIENT or INTERNAL; ERROR or UNSET.
        let (kind, status) = (if span.name() == "request" { 3 } else { 1 }, if open.failed { 2 } else { 0 });
        let exported = json!({
            "traceId": open.trace,
            "spanId": open.span,
            "parentSpanId": open.parent.unwrap_or_default(),
            "name": span.name(),
            "kind": kind,
            "startTimeUnixNano": open.since,
            "endTimeUnixNano": self.now(),
            "attributes": open.fields.attributes,
            "events": open.lines,
            "status": { "code": status },
        });
        // A full queue drops it: the work does not wait for the collector.
        let _ = self.queue.try_send(Message::Span(exported));
    }
}
