//! The operator's detours: requests to a service's real address that go to a stand-in on this machine instead, so that
//! a whole set-up can be tried with the addresses it will have later. Like curl's `--connect-to`: what is pinned and
//! checked, and the `Host` header, stay those of the real address. Only plain http to a loopback address is accepted,
//! so that no detour leads out of this machine.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use url::{Host, Url};

/// Why a text is no detour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no detour: {reason}; write it like https://api.example.com=http://127.0.0.1:8080 or https://*.example.com=http://127.0.0.1:8080"
)]
pub struct DetourError {
    text: String,
    reason: &'static str,
}

/// One detour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detour {
    secure: bool,
    /// The host; that of all names below it where `below`.
    host: String,
    below: bool,
    port: u16,
    target: SocketAddr,
}

impl FromStr for Detour {
    type Err = DetourError;

    /// Reads `ORIGIN=ORIGIN`.
    fn from_str(text: &str) -> Result<Self, DetourError> {
        let refuse = |reason| DetourError { text: text.to_owned(), reason };
        let (from, to) = text.trim().split_once('=').ok_or_else(|| refuse("there is no `=` in it"))?;
        let plain = |url: &Url| {
            url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
        };
        // A `*` is no part of a host for the parser.
        let (below, from) = match from.split_once("://*.") {
            Some((scheme, host)) => (true, format!("{scheme}://{host}")),
            None => (false, from.to_owned()),
        };
        let from = Url::parse(&from).map_err(|_| refuse("what stands before the `=` is no origin"))?;
        let secure = match from.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(refuse("what stands before the `=` is neither https nor http")),
        };
        if !plain(&from) {
            return Err(refuse("what stands before the `=` has more than scheme, host and port"));
        }
        let host = from.host_str().filter(|host| !host.is_empty() && !host.contains('*'));
        let host = host.ok_or_else(|| refuse("what stands before the `=` has no host"))?.to_owned();
        let port = from.port_or_known_default().unwrap_or(443);
        let to = Url::parse(to).map_err(|_| refuse("what stands behind the `=` is no origin"))?;
        if to.scheme() != "http" || !plain(&to) {
            return Err(refuse("what stands behind the `=` has to be plain http, host and port"));
        }
        let address = match to.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain("localhost")) => IpAddr::from([127, 0, 0, 1]),
            _ => return Err(refuse("what stands behind the `=` is no loopback address")),
        };
        if !address.is_loopback() {
            return Err(refuse("what stands behind the `=` is no loopback address"));
        }
        let target = SocketAddr::new(address, to.port_or_known_default().unwrap_or(80));
        Ok(Self { secure, host, below, port, target })
    }
}

impl Detour {
    fn takes(&self, secure: bool, host: &str, port: u16) -> bool {
        let named = if self.below {
            // At least one label, and the whole of the last ones.
            host.len() > self.host.len() + 1
                && host
                    .get(host.len() - self.host.len() - 1..)
                    .is_some_and(|end| end.strip_prefix('.').is_some_and(|end| end.eq_ignore_ascii_case(&self.host)))
        } else {
            host.eq_ignore_ascii_case(&self.host)
        };
        named && self.secure == secure && self.port == port
    }
}

/// All detours of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detours(Vec<Detour>);

impl Detours {
    /// These; the first that takes an address counts.
    pub fn new(detours: Vec<Detour>) -> Self {
        Self(detours)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where requests to this address go instead; none where they go there.
    pub(crate) fn of(&self, uri: &Uri) -> Option<SocketAddr> {
        if self.0.is_empty() {
            return None;
        }
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        self.find(secure, uri.host()?, port)
    }

    /// The address as a browser on this machine has to open it.
    pub fn shown(&self, url: &Url) -> Url {
        let found = url
            .host_str()
            .zip(url.port_or_known_default())
            .and_then(|(host, port)| self.find(url.scheme() == "https", host, port));
        let Some(target) = found else { return url.clone() };
        let mut shown = url.clone();
        // None of these can fail: the scheme stays a special one, the rest is an address.
        let _ = shown.set_scheme("http");
        let _ = shown.set_ip_host(target.ip());
        let _ = shown.set_port(Some(target.port()));
        shown
    }

    fn find(&self, secure: bool, host: &str, port: u16) -> Option<SocketAddr> {
        self.0.iter().find(|detour| detour.takes(secure, host, port)).map(|detour| detour.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detours(all: &[&str]) -> Detours {
        Detours::new(all.iter().map(|one| one.parse().unwrap()).collect())
    }

    #[test]
    fn a_detour_takes_the_very_origin_or_all_names_below_one() {
        let detours = detours(&["https://api.example.test=http://127.0.0.1:81", "https://*.site.test=http://[::1]:82"]);
        let to = |url: &str| detours.of(&url.parse().unwrap()).map(|target| target.port());
        assert_eq!(to("https://api.example.test/x?y"), Some(81));
        assert_eq!(to("https://API.example.test:443/"), Some(81));
        assert_eq!(to("https://a.site.test/"), Some(82));
        assert_eq!(to("https://a.b.site.test/"), Some(82));
        let others = [
            "http://api.example.test/",
            "https://api.example.test:8443/",
            "https://x.api.example.test/",
            "https://site.test/",
            "https://evilsite.test/",
            "https://a.site.test.evil.test/",
        ];
        for other in others {
            assert_eq!(to(other), None, "{other}");
        }
    }

    #[test]
    fn what_would_lead_out_of_this_machine_or_is_unclear_is_refused() {
        let refused = [
            "https://a.test",
            "https://a.test=https://127.0.0.1:1",
            "https://a.test=http://10.0.0.1:1",
            "https://a.test=http://b.test",
            "https://a.test=http://127.0.0.1.b.test",
            "https://a.test/path=http://127.0.0.1:1",
            "https://a.test=http://127.0.0.1:1/path",
            "https://u@a.test=http://127.0.0.1:1",
            "https://*.*.test=http://127.0.0.1:1",
            "https://a.*.test=http://127.0.0.1:1",
            "ftp://a.test=http://127.0.0.1:1",
            "a.test=127.0.0.1",
            "=",
        ];
        for text in refused {
            assert!(text.parse::<Detour>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_browser_is_shown_the_stand_in_with_path_and_query_unchanged() {
        let detours = detours(&["https://auth.example.test=http://127.0.0.1:81"]);
        let shown = |url: &str| detours.shown(&url.parse().unwrap()).to_string();
        assert_eq!(shown("https://auth.example.test/authorize?a=b"), "http://127.0.0.1:81/authorize?a=b");
        assert_eq!(shown("https://other.test/authorize"), "https://other.test/authorize");
    }
}
