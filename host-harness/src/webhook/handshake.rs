//! What comes to a callback while it is being registered: the service's challenge, and deliveries that are too early.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::clock::EpochMs;
use crate::plugin::Plugin;
use crate::plugin::contract::event::{Delivery, Registration, Reply};
use crate::store::Endpoint;

/// The largest body that is looked at before anything proves it.
const LARGEST_CHALLENGE: usize = 64 << 10;
/// The largest body of a reply to it.
const LARGEST_REPLY: usize = 64 << 10;
/// How many are looked at at once, over all callbacks.
pub(super) const AT_ONCE: usize = 4;

/// Whether the callback is being registered right now, so that nobody can know yet how its deliveries are proved.
pub(super) fn is_being_registered(
    endpoint: &Endpoint,
    registrations: &[Registration],
    callback: &str,
    now: EpochMs,
) -> bool {
    endpoint.registering_until_ms > now && !registrations.iter().any(|one| one.callback == callback)
}

/// The reply of the connector to what may be a challenge; none where it is not, or is too large for one. The connector
/// sees it without a connection and without the network, and nothing of it is kept.
pub(super) async fn reply(plugin: &Plugin, delivery: &Delivery) -> Option<Response> {
    if !plugin.manifest().deliveries.handshake || delivery.body.len() > LARGEST_CHALLENGE {
        return None;
    }
    match plugin.answer(delivery).await {
        Ok(reply) => reply.filter(is_modest).map(response),
        Err(error) => {
            tracing::warn!(%error, "the connector failed at what may be a challenge");
            None
        }
    }
}

/// Whether a reply may go out to somebody who proved nothing.
fn is_modest(reply: &Reply) -> bool {
    (200..300).contains(&reply.status) && reply.body.len() <= LARGEST_REPLY
}

/// The reply of a connector as it is sent. What frames a message is the host's.
pub(super) fn response(reply: Reply) -> Response {
    let framing = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    for one in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(one.name), HeaderValue::try_from(one.value))
            && !framing.contains(&name)
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}
