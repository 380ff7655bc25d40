//! What the codes of `wasi:http` mean to the core.

use crate::host::SendError;
use wasip2::http::types::ErrorCode;

/// A request that could not be built; `part` says which part of it.
pub(super) fn invalid(part: &str) -> SendError {
    SendError::Invalid(part.to_owned())
}

/// Which failures certainly never reached the server: only those that every host reports before it sends.
pub(super) fn send_error(code: &ErrorCode) -> SendError {
    match code {
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => SendError::Dns,
        ErrorCode::ConnectionRefused | ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            SendError::Refused
        }
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => SendError::Denied,
        ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError | ErrorCode::TlsAlertReceived(_) => SendError::Tls,
        ErrorCode::HttpRequestMethodInvalid => invalid("method"),
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestUriTooLong => invalid("url"),
        ErrorCode::HttpRequestHeaderSectionSize(_) | ErrorCode::HttpRequestHeaderSize(_) => invalid("headers"),
        ErrorCode::HttpRequestBodySize(_) => invalid("body"),
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => SendError::TimedOut,
        ErrorCode::HttpResponseBodySize(_) => SendError::TooLarge { status: None },
        ErrorCode::ConnectionTerminated => SendError::Broken("closed before the answer was whole".to_owned()),
        ErrorCode::HttpResponseIncomplete => SendError::Broken("the answer is incomplete".to_owned()),
        _ => SendError::Broken("no valid HTTP answer came".to_owned()),
    }
}
