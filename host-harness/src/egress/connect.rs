//! Connections whose address was checked: the name is resolved once, and the very address that
//! passed the check is the one connected to, so that a name that changes its mind in between
//! (DNS rebinding) gains nothing.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::reserved;
use super::detour::Detours;
use super::fault::ConnectFault;
use super::resolve::Resolver;
use super::tls::Tls;
use crate::store::off_thread;

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, ConnectFault>> + Send>>;

/// Makes plain TCP connections to checked addresses.
#[derive(Clone)]
pub(crate) struct CheckedTcp {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) allow_private: bool,
}

impl CheckedTcp {
    /// The addresses of the URI's host that may be connected to.
    async fn permitted(&self, uri: &Uri) -> Result<Vec<SocketAddr>, ConnectFault> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let found = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await.map_err(|_| ConnectFault::Name(host.to_owned()))?,
        };
        let mut refused = None;
        let mut permitted = Vec::new();
        for address in found {
            match reserved(address) {
                Some(what) if !self.allow_private => refused = Some(what),
                _ => permitted.push(SocketAddr::new(address, port)),
            }
        }
        match (permitted.is_empty(), refused) {
            (false, _) => Ok(permitted),
            (true, Some(what)) => Err(ConnectFault::Prohibited { what }),
            (true, None) => Err(ConnectFault::Name(host.to_owned())),
        }
    }
}

impl Service<Uri> for CheckedTcp {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectFault;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { connect_to(&this.permitted(&uri).await?).await })
    }
}

/// Connects to the first of these that takes the connection.
async fn connect_to(addresses: &[SocketAddr]) -> Result<TokioIo<TcpStream>, ConnectFault> {
    let mut last = ConnectFault::Refused;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => last = ConnectFault::Refused,
            Err(error) => last = ConnectFault::Unreachable(error.to_string()),
        }
    }
    Err(last)
}

/// The same with TLS where the scheme asks for it, all of it within a bounded time.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: CheckedTcp,
    tls: Arc<Tls>,
    within: Duration,
    detours: Detours,
}

impl Connector {
    pub(crate) fn new(tcp: CheckedTcp, tls: Arc<Tls>, within: Duration) -> Self {
        Self { tcp, tls, within, detours: Detours::default() }
    }

    /// The same with the operator's detours.
    pub(crate) fn with_detours(self, detours: Detours) -> Self {
        Self { detours, ..self }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = ConnectFault;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { mut tcp, tls, within, detours } = self.clone();
        let connecting = async move {
            if let Some(target) = detours.of(&uri) {
                return connect_to(&[target]).await.map(MaybeHttpsStream::Http);
            }
            if uri.scheme_str() == Some("http") {
                return tcp.call(uri).await.map(MaybeHttpsStream::Http);
            }
            let config = off_thread(|| tls.config())?;
            HttpsConnector::from((tcp, config)).call(uri).await.map_err(ConnectFault::from_tls)
        };
        Box::pin(async move { tokio::time::timeout(within, connecting).await.unwrap_or(Err(ConnectFault::TimedOut)) })
    }
}

#[cfg(test)]
#[path = "connect_test.rs"]
mod tests;
