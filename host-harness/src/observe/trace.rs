//! One id from a delivery, or a poll, to every request that comes of it.
//!
//! The id is drawn from the origin's own id, so it is the same after a restart and needs no place in the store: a run
//! knows its event, an event its delivery; the id of an event that a poll brought begins with the poll's.

use std::fmt;

use sha2::{Digest as _, Sha256};
use tracing::Span;

/// What stands between a poll's id and the number of the event it brought.
const NUMBERED: char = '-';

/// The trace id of W3C Trace Context: 16 bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// The trace that begins with the delivery, or the poll, of this id.
    pub fn of_origin(id: &str) -> Self {
        let digest = Sha256::digest(format!("trace/{id}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(bytes)
    }

    /// The trace of an event, by the host's ids of it and of the delivery that brought it.
    pub fn of_event(event: &str, delivery: Option<&str>) -> Self {
        Self::of_origin(delivery.unwrap_or_else(|| event.split(NUMBERED).next().unwrap_or_default()))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of the event that a poll brought at this place.
pub(crate) fn event_of_poll(poll: &str, place: usize) -> String {
    format!("{poll}{NUMBERED}{place}")
}

// The level of these spans is the highest, so that no line lacks the id, whatever level is shown.

/// All that is done about a delivery.
pub(crate) fn delivery_span(delivery: &str) -> Span {
    tracing::error_span!("delivery", trace_id = %TraceId::of_origin(delivery), delivery)
}

/// All that is done in a poll.
pub(crate) fn poll_span(poll: &str, connection: &str) -> Span {
    tracing::error_span!("poll", trace_id = %TraceId::of_origin(poll), poll, connection)
}

/// All that is done about a run, until it waits or ends.
pub(crate) fn run_span(trace: TraceId, run: &str, flow: &str) -> Span {
    tracing::error_span!("run", trace_id = %trace, run, flow)
}

/// One call of a connector, seen where `debug` is shown or traces are exported.
pub(crate) fn call_span(function: &'static str, card: &str, connection: &str) -> Span {
    tracing::debug_span!("call", function, card, connection)
}

/// One request of a call: its method and where it goes, without path and query.
pub(crate) fn request_span<B>(call: &Span, request: &http::Request<B>) -> Span {
    let host = request.uri().host().unwrap_or_default();
    tracing::debug_span!(parent: call, "request", method = %request.method(), host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_origin_share_its_trace() {
        let delivered = TraceId::of_event("x", Some("d1"));
        assert_eq!(delivered, TraceId::of_origin("d1"));
        assert_ne!(delivered, TraceId::of_origin("d2"));
        for place in [0, 7, 123] {
            assert_eq!(TraceId::of_event(&event_of_poll("p1", place), None), TraceId::of_origin("p1"));
        }
    }

    #[test]
    fn a_trace_id_is_written_as_w3c_asks() {
        let written = TraceId::of_origin("d1").to_string();
        assert!(written.len() == 32 && written.bytes().all(|one| b"0123456789abcdef".contains(&one)), "{written}");
    }
}
