//! Requests of the host itself in a connection's name: where tokens are got. They obey the connection's policy like
//! those of its connector, carry no credential but what is in them, and follow no redirect.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::body;
use super::fault::{ConnectFault, SendFault};
use super::sender::{Refusal, bound_headers, permit};
use crate::authorize::Access;

/// The largest answer.
const MOST_ANSWERED: u64 = 64 << 10;
/// How long a request may take, from the name's resolution to the end of the answer.
const WITHIN: Duration = Duration::from_secs(20);

/// An answer. Its body may hold secrets: it has no `Debug` form, and its memory is overwritten.
pub(crate) struct Direct {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DirectFault {
    /// The policy does not let it go.
    #[error("{0}")]
    Denied(String),
    /// It never left.
    #[error("{0}")]
    Unreached(String),
    /// It may have left.
    #[error("{0}")]
    Lost(String),
}

impl Access {
    /// Sends a request of the host itself, whose body holds secrets.
    pub(crate) async fn direct(&self, request: Request<Zeroizing<Vec<u8>>>) -> Result<Direct, DirectFault> {
        let (mut parts, secret) = request.into_parts();
        let (uri, _) = permit(&self.policy, &parts.method, &parts.uri).map_err(of_refusal)?;
        parts.uri = uri;
        let request = Request::from_parts(parts, body::whole(Bytes::from_owner(secret)));
        let deadline = Instant::now() + WITHIN;
        let late = || DirectFault::Lost("no answer came in time".into());
        let sent = tokio::time::timeout_at(deadline, self.pool(None).request(request)).await.map_err(|_| late())?;
        let response = sent.map_err(|error| match SendFault::from_client(&error) {
            SendFault::Unreached(fault @ ConnectFault::Prohibited { .. }) => DirectFault::Denied(fault.to_string()),
            SendFault::Unreached(fault) => DirectFault::Unreached(fault.to_string()),
            SendFault::Lost(_, reason) => DirectFault::Lost(reason),
        })?;
        let (parts, body) = response.into_parts();
        bound_headers(&self.policy, &parts.headers).map_err(of_refusal)?;
        let body = body::incoming(body, MOST_ANSWERED, WITHIN);
        let whole = tokio::time::timeout_at(deadline, body::collect(body, MOST_ANSWERED)).await.map_err(|_| late())?;
        let whole = whole.map_err(|_| DirectFault::Lost("its answer was not whole or too large".into()))?;
        Ok(Direct { status: parts.status, headers: parts.headers, body: Zeroizing::new(whole.to_vec()) })
    }
}

fn of_refusal(refusal: Refusal) -> DirectFault {
    match refusal {
        Refusal::Denied(reason) => DirectFault::Denied(reason),
        Refusal::Unreached(reason, _) => DirectFault::Unreached(reason),
        Refusal::Lost(reason, _) => DirectFault::Lost(reason),
    }
}
