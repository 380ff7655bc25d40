//! Origins: where a connection may go, matched exactly.

use std::fmt;

use http::Uri;
use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Why a text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an origin that can be pinned: {reason}")]
pub struct OriginError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A place on the network: scheme, host, port, and the path below which all requests stay, or the one resource they go
/// to. Written `https://host:port/path/`, or `https://host:port/resource` for that resource alone; the host is in lower
/// case (IDNA 2008 ASCII form), the port is left out where it is the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

/// An origin that a connection is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PinnedOrigin {
    /// Where it is.
    pub origin: Origin,
    /// Whether the connection's credential is attached to requests that go there.
    pub credential: bool,
}

/// Why a request does not belong to an origin. Never names what the origin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Scheme, host or port is another.
    #[error("its scheme, host or port is not one of the connection's")]
    Elsewhere,
    /// The path is not below the origin's.
    #[error("its path is outside the path the connection is pinned to")]
    OutsidePath,
    /// The path holds segments that servers may resolve to another place.
    #[error("its path holds `.` or `..` segments, or begins with `//`")]
    AmbiguousPath,
}

impl Origin {
    /// Reads an origin. A path that ends in `/` holds what is below it, any other is one resource. User information, a
    /// query, a fragment, an empty host, a trailing dot and percent-encoding are refused.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let refuse = |reason| OriginError { text: text.to_owned(), reason };
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '@' | '%' | '?' | '#')) {
            return Err(refuse("it holds a character that does not belong into an origin"));
        }
        let url = Url::parse(text).map_err(|_| refuse("it is not a URL"))?;
        let secure = match url.scheme() {
            // The parser also takes `https:host`, which other readers understand differently.
            "https" if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")) => true,
            "http" if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://")) => false,
            _ => return Err(refuse("its scheme is neither https nor http")),
        };
        let host = match url.host() {
            Some(Host::Domain(domain)) => domain.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => format!("[{address}]"),
            None => return Err(refuse("it has no host")),
        };
        if host.is_empty() || host.ends_with('.') {
            return Err(refuse("its host is empty or ends in a dot"));
        }
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or_else(|| refuse("its port is 0"))?;
        // What follows the authority as it was written, before the URL parser tidied it up.
        let written = text.splitn(4, '/').nth(3).map_or("/".to_owned(), |rest| format!("/{rest}"));
        if written != url.path() || url.path().contains("//") {
            return Err(refuse("its path is not in its plain form"));
        }
        Ok(Self { secure, host, port, path: url.path().to_owned() })
    }

    /// Whether it is reached over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path below which requests stay, which ends in `/`; or the resource they go to.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Scheme, host and port without the path, as in `https://host`.
    pub fn site(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Whether all that belongs to another origin belongs here, too.
    pub fn holds(&self, other: &Self) -> bool {
        let within =
            if self.path.ends_with('/') { other.path.starts_with(&self.path) } else { other.path == self.path };
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port) && within
    }

    /// Host and port, without the port that its scheme has by itself.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.default_port() { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }

    /// Says whether a request to `uri` belongs here, and answers with the URI in this origin's own
    /// spelling: what is sent names the pinned host, never what the guest wrote.
    pub fn admit(&self, uri: &Uri) -> Result<Uri, Mismatch> {
        let scheme = if self.secure { "https" } else { "http" };
        if uri.scheme_str() != Some(scheme) || !self.is_at(uri.authority().map_or("", |authority| authority.as_str())) {
            return Err(Mismatch::Elsewhere);
        }
        let path = uri.path();
        if path.starts_with("//") || is_ambiguous(path) {
            return Err(Mismatch::AmbiguousPath);
        }
        let holds = if self.path.ends_with('/') { path.starts_with(&self.path) } else { path == self.path };
        if !holds {
            return Err(Mismatch::OutsidePath);
        }
        let rest = uri.path_and_query().map_or("/", |p| p.as_str());
        let rebuilt = format!("{scheme}://{}{rest}", self.authority());
        Uri::from_maybe_shared(bytes::Bytes::from(rebuilt)).map_err(|_| Mismatch::AmbiguousPath)
    }

    /// Whether this is how its authority may be written. The whole authority is compared, so that user information,
    /// odd ports, trailing dots and other spellings of an address have no chance to mean something else further on.
    fn is_at(&self, authority: &str) -> bool {
        let Some((host, port)) = authority.split_at_checked(self.host.len()) else { return false };
        host.eq_ignore_ascii_case(&self.host)
            && match port.strip_prefix(':') {
                Some(port) => port == self.port.to_string(),
                None => port.is_empty() && self.port == self.default_port(),
            }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.site(), self.path)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        Self::parse(&text)
    }
}

/// Whether any reading of the path that a server is known to do (decoding once or again, `\` for
/// `/`, parameters after `;` dropped) has a segment `.` or `..`, or a byte outside ASCII.
fn is_ambiguous(path: &str) -> bool {
    // What is written plainly has one reading.
    if path.is_ascii() && !path.contains(['%', '\\', '\0']) && !path.contains("/.") {
        return false;
    }
    let mut reading = path.as_bytes().to_vec();
    for _ in 0..4 {
        let dotted = reading.split(|b| matches!(b, b'/' | b'\\')).any(|segment| {
            let name = segment.split(|b| *b == b';').next().unwrap_or_default();
            matches!(name, b"." | b"..")
        });
        if dotted || reading.contains(&0) {
            return true;
        }
        let next: Vec<u8> = percent_decode(&reading).collect();
        if next == reading {
            return !path.is_ascii();
        }
        reading = next;
    }
    true
}

#[cfg(test)]
#[path = "origin_test.rs"]
mod tests;
