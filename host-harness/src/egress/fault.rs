//! What can go wrong on the way to a server, told apart as `wasi:http` tells it: whether the
//! request can have arrived decides what a caller may do next.

use std::error::Error as StdError;
use std::io;

use wasmtime_wasi_http::Error as HttpError;

/// Why no connection came about. In all of these the request never left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFault {
    #[error("the name `{0}` has no address")]
    Name(String),
    #[error("the address is {what}; the operator can allow such addresses for this connection (--allow-private)")]
    Prohibited { what: &'static str },
    #[error("the server refused the connection")]
    Refused,
    #[error("the server could not be reached: {0}")]
    Unreachable(String),
    #[error("the server did not take the connection in time")]
    TimedOut,
    #[error("the server's certificate is not valid: {0}")]
    Certificate(String),
    #[error("no secure connection came about: {0}")]
    Tls(String),
}

impl ConnectFault {
    /// The same, as the guest is told.
    pub(crate) fn to_http(&self) -> HttpError {
        match self {
            Self::Name(_) => HttpError::DnsError { rcode: Some("NXDOMAIN".into()), info_code: None },
            Self::Prohibited { .. } => HttpError::HttpRequestDenied,
            Self::Refused => HttpError::ConnectionRefused,
            Self::Unreachable(_) => HttpError::DestinationUnavailable,
            Self::TimedOut => HttpError::ConnectionTimeout,
            Self::Certificate(_) => HttpError::TlsCertificateError,
            Self::Tls(_) => HttpError::TlsProtocolError,
        }
    }

    /// Reads what the TLS connector reported: its own faults, or one of ours passed through.
    pub(crate) fn from_tls(error: Box<dyn StdError + Send + Sync>) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(ours) => return *ours,
            Err(other) => other,
        };
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error.as_ref());
        while let Some(current) = cause {
            if let Some(tls) = current.downcast_ref::<rustls::Error>() {
                return Self::of_rustls(tls);
            }
            // An `io::Error` hides what it wraps from `source`.
            cause = match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => current.source(),
            };
        }
        Self::Tls(error.to_string())
    }

    fn of_rustls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(why) => Self::Certificate(format!("{why:?}")),
            other => Self::Tls(other.to_string()),
        }
    }
}

/// What went wrong with a request once there was, or should have been, a connection.
pub(crate) enum SendFault {
    /// It never left.
    Unreached(ConnectFault),
    /// It may have left.
    Lost(HttpError, String),
}

impl SendFault {
    /// Reads what the pooling client reported.
    pub(crate) fn from_client(error: &hyper_util::client::legacy::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        let mut said = error.to_string();
        while let Some(current) = cause {
            if let Some(fault) = current.downcast_ref::<ConnectFault>() {
                return Self::Unreached(fault.again());
            }
            if let Some(hyper) = current.downcast_ref::<hyper::Error>() {
                return Self::Lost(of_hyper(hyper), hyper.to_string());
            }
            if let Some(http) = current.downcast_ref::<HttpError>() {
                return Self::Lost(HttpError::HttpProtocolError, http.to_string());
            }
            said = current.to_string();
            cause = current.source();
        }
        Self::Lost(HttpError::HttpProtocolError, said)
    }
}

impl ConnectFault {
    fn again(&self) -> Self {
        match self {
            Self::Name(name) => Self::Name(name.clone()),
            Self::Prohibited { what } => Self::Prohibited { what },
            Self::Refused => Self::Refused,
            Self::Unreachable(why) => Self::Unreachable(why.clone()),
            Self::TimedOut => Self::TimedOut,
            Self::Certificate(why) => Self::Certificate(why.clone()),
            Self::Tls(why) => Self::Tls(why.clone()),
        }
    }
}

/// What hyper found wrong with a connection in use, as the guest is told.
pub(crate) fn of_hyper(error: &hyper::Error) -> HttpError {
    if error.is_parse_too_large() {
        HttpError::HttpResponseHeaderSectionSize(None)
    } else if error.is_incomplete_message() {
        HttpError::HttpResponseIncomplete
    } else if error.is_timeout() {
        HttpError::ConnectionReadTimeout
    } else if error.is_closed() || error.is_canceled() || error.is_body_write_aborted() {
        HttpError::ConnectionTerminated
    } else {
        HttpError::HttpProtocolError
    }
}
