//! Where a Jira is: from whatever a person typed or pasted to one base URL.

use crate::contract::{Error, Failure, FailureClass, Responsible};
use serde_json::Value;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The domain of Jira Cloud's sites.
const CLOUD: &str = "atlassian.net";
/// The domain that the first of them have kept.
const OLD_CLOUD: &str = "jira.com";
/// The domain of Atlassian's own pages: where people log in, make tokens, register apps. No site is there.
const COMPANY: &str = "atlassian.com";
/// The one Jira of that domain, of Atlassian's own.
const OWN_JIRA: &str = "jira.atlassian.com";
/// Atlassian's gateway, where everything goes that is no classic API token. Source: Atlassian, "OAuth 2.0 (3LO) apps",
/// section "Make calls to the API", and "Manage API tokens", of tokens with scopes.
pub(crate) const GATEWAY: &str = "https://api.atlassian.com/";
/// The longest address, in bytes.
const LONGEST: usize = 2048;

/// First parts of paths inside Jira: what a person pastes from a browser, not a context path.
const PAGES: &[&str] = &[
    "jira",
    "browse",
    "secure",
    "projects",
    "wiki",
    "login",
    "login.jsp",
    "issues",
    "rest",
    "servicedesk",
    "plugins",
    "people",
    "helpcenter",
    "dashboards",
    "dashboard",
    "o",
    "admin",
    "settings",
    "_edge",
    "software",
    "home",
    "core",
];

/// Those of them that are usual names of context paths too: alone, or with a page after it, such a path is the context.
const PERHAPS_PAGES: &[&str] = &["issues", "projects", "core", "home"];

/// The base of a Jira, such as `https://demo.atlassian.net/` or `https://example.test:8443/jira/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    base: String,
}

/// A site as it was understood, and what was put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The site.
    pub site: Site,
    /// What was put right, one sentence each.
    pub corrections: Vec<String>,
}

impl Site {
    /// The site that a connection's settings name.
    pub fn of(settings: &Value) -> Result<Self, Error> {
        let base = settings.get("site").and_then(Value::as_str).unwrap_or_default();
        match understand(base) {
            Ok(typed) if typed.corrections.is_empty() && typed.site.base == base => Ok(typed.site),
            _ => Err(settings_invalid()),
        }
    }

    /// Atlassian itself, where no site is chosen yet.
    pub(crate) fn atlassian() -> Self {
        Self { base: GATEWAY.to_owned() }
    }

    /// Scheme, host, port and context path; ends in `/`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        let rest = self.base.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// Host without port; an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether it is reached by https.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.base.starts_with("https:")
    }

    /// Whether it is on this very machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The page of an issue, for people.
    pub fn issue_page(&self, key: &str) -> String {
        format!("{}browse/{}", self.base, super::path::encode(key))
    }

    /// Host, port and context path, by which a Jira of one's own is known for good: what it calls itself may be wrong,
    /// as `http://localhost:8080` of several, and then two would be taken for one.
    pub(crate) fn place(&self) -> &str {
        self.base.split_once("://").map_or("", |(_, rest)| rest).trim_end_matches('/')
    }

    /// Whether it is on a domain of Jira Cloud's own.
    pub fn is_cloud(&self) -> bool {
        [CLOUD, OLD_CLOUD].iter().any(|domain| {
            self.authority().strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        })
    }

    /// Whether what says that it is Jira Cloud there may be: on a domain of its own, or simulated on this machine.
    pub(crate) fn may_be_cloud(&self) -> bool {
        self.is_cloud() || self.is_loopback()
    }
}

/// The error for settings that lead nowhere.
pub(crate) fn settings_invalid() -> Error {
    let message = "The settings of the connection do not name a site.";
    Failure::new(FailureClass::Input, "settings-invalid", message, "Make the connection anew.")
        .by(Responsible::Operator)
        .permanent()
}

/// Where Atlassian's gateway has the Jira of a site; none where the id is none that could be.
pub(crate) fn gateway(cloud_id: &str) -> Option<String> {
    is_cloud_id(cloud_id).then(|| format!("{GATEWAY}ex/jira/{cloud_id}/"))
}

/// Whether a text can be the id of a site: nothing in it could lead to another path.
pub(crate) fn is_cloud_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Understands a written form of an address where Jira may be. An error says, in one sentence, why it can't be one.
pub fn understand(typed: &str) -> Result<Typed, String> {
    read(typed, false)
}

/// The same where only Jira Cloud can be meant: there a name alone, `demo`, is that of a site.
pub fn understand_cloud(typed: &str) -> Result<Typed, String> {
    read(typed, true)
}

fn read(typed: &str, cloud: bool) -> Result<Typed, String> {
    let mut corrections = Vec::new();
    if typed.len() > LONGEST {
        return Err(too_long());
    }
    let text = typed.trim_matches(|c: char| c.is_whitespace() || "\"'<>`\u{201c}\u{201d}\u{2018}\u{2019}".contains(c));
    if text.is_empty() {
        return Err("The site is empty.".to_owned());
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("The site contains blanks or control characters.".to_owned());
    }
    if text.contains('\\') {
        return Err("The site contains a backslash.".to_owned());
    }
    let (scheme, rest) = scheme(text)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        return Err("The site contains a user name (@). Give the address only.".to_owned());
    }
    let (host, port) = host_and_port(authority)?;
    let mut host = host_of(&host)?;
    // A name with a scheme, a port or a path is the whole name of a host, as networks of companies have them.
    let completes = cloud && !text.contains([':', '?', '#']) && tail.trim_end_matches('/').is_empty() && is_bare(&host);
    let completed = if completes { Some(host_of(&format!("{host}.{CLOUD}"))?) } else { None };
    refuse_mistyped(text, &host, tail)?;
    if let Some(completed) = completed {
        corrections.push(format!("The site's name was completed to {completed}."));
        host = completed;
    }
    let (scheme, port) = default_port(scheme, port, &host, &mut corrections);
    let path = context_path(tail, &host, &mut corrections)?;
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let base = format!("{scheme}://{host}{port}{path}");
    // Longer than what was typed where the scheme was left out.
    if base.len() > LONGEST {
        return Err(too_long());
    }
    Ok(Typed { site: Site { base }, corrections })
}

fn too_long() -> String {
    "The site is too long to be an address.".to_owned()
}

/// The scheme, `https` where none was written, and what follows it.
fn scheme(text: &str) -> Result<(&'static str, &str), String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme.to_ascii_lowercase().as_str() {
            "https" => Ok(("https", rest)),
            "http" => Ok(("http", rest)),
            _ => Err("The site's address must begin with https://.".to_owned()),
        };
    }
    if text.starts_with('/') {
        return Err("The site begins with a slash: the host name is missing.".to_owned());
    }
    // `javascript:x` has a scheme too; `example.test:8443` does not.
    if let Some((_, after)) = text.split('/').next().unwrap_or_default().split_once(':')
        && !text.starts_with('[')
        && !after.chars().all(|c| c.is_ascii_digit())
        && after.parse::<Ipv6Addr>().is_err()
        && text.parse::<Ipv6Addr>().is_err()
    {
        return Err("The site's address must begin with https://.".to_owned());
    }
    Ok(("https", text))
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']').ok_or("The site's IPv6 address lacks its closing bracket.")?;
        let (host, rest) = authority.split_at(end + 1);
        (host, rest.strip_prefix(':').map_or_else(|| if rest.is_empty() { Ok(None) } else { Err(()) }, |p| Ok(Some(p))))
    } else if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((format!("[{authority}]"), None));
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Ok(Some(port))),
            None => (authority, Ok(None)),
        }
    };
    let port = match port {
        Err(()) => return Err("The site has something after its IPv6 address that is no port.".to_owned()),
        Ok(None | Some("")) => None,
        Ok(Some(port)) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Some(number),
            _ => return Err("The site's port must be a number from 1 to 65535.".to_owned()),
        },
    };
    Ok((host.to_owned(), port))
}

/// The host in its one right spelling.
fn host_of(host: &str) -> Result<String, String> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| "The site's IPv6 address is not one.".to_owned())?;
        return Ok(format!("[{address}]"));
    }
    if !host.is_ascii() {
        return Err("The site contains letters that are not plain ASCII and could pass for others. \
                    Give the address as Jira itself shows it."
            .to_owned());
    }
    let mut name = host.to_ascii_lowercase();
    if let Some(rest) = name.strip_suffix('.') {
        name = rest.to_owned();
    }
    if name.is_empty() || name.len() > 253 {
        return Err("The site has no host name.".to_owned());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !name.split('.').all(label) {
        return Err("The site's host name contains characters that no host name has.".to_owned());
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
        let address: Ipv4Addr = name.parse().map_err(|_| "The site's IPv4 address is not one.".to_owned())?;
        return Ok(address.to_string());
    }
    if name == "localhost" {
        return Ok(name);
    }
    if name.split('.').any(|label| label.starts_with("xn--")) && name.ends_with(CLOUD) {
        return Err("The site is an encoded international name, which no site of Jira Cloud has.".to_owned());
    }
    let companys = name == COMPANY || name.ends_with(&format!(".{COMPANY}"));
    if name == CLOUD || name == format!("www.{CLOUD}") || (companys && name != OWN_JIRA) {
        return Err("This address belongs to Atlassian, not to one site. Give your site, such as demo.atlassian.net."
            .to_owned());
    }
    Ok(name)
}

/// Whether a host's name is one word, without a domain.
fn is_bare(host: &str) -> bool {
    host != "localhost" && !host.contains(['.', '['])
}

/// Refuses what became a host only by a slip: `http:/demo.atlassian.net`, `www/jira.example.com`. It would lead to a
/// stranger.
fn refuse_mistyped(text: &str, host: &str, tail: &str) -> Result<(), String> {
    let path = tail.split(['?', '#']).next().unwrap_or_default();
    let first = path.split('/').find(|part| !part.is_empty()).unwrap_or_default().to_ascii_lowercase();
    let holds_host = path.to_ascii_lowercase().split('/').any(|part| part.ends_with(&format!(".{CLOUD}")))
        || (!text.contains("://") && is_bare(host) && first.contains('.') && !PAGES.contains(&first.as_str()));
    if matches!(host, "http" | "https" | "www") || holds_host {
        return Err("The site's address is mistyped: there is a host name after a slash, or none at all. \
                    Give it as https://demo.atlassian.net."
            .to_owned());
    }
    Ok(())
}

fn default_port(
    scheme: &'static str,
    port: Option<u16>,
    host: &str,
    corrections: &mut Vec<String>,
) -> (&'static str, Option<u16>) {
    let cloud = host.ends_with(&format!(".{CLOUD}"));
    if cloud && scheme == "http" {
        corrections.push("http was changed to https: Jira Cloud is reached only encrypted.".to_owned());
        return ("https", None);
    }
    if cloud && port.is_some_and(|port| port != 443) {
        corrections.push("The port was left out: Jira Cloud has none of its own.".to_owned());
        return ("https", None);
    }
    match (scheme, port) {
        ("https", Some(443)) | ("http", Some(80)) => (scheme, None),
        _ => (scheme, port),
    }
}

/// The context path, with slashes at both ends; `/` where there is none.
fn context_path(tail: &str, host: &str, corrections: &mut Vec<String>) -> Result<String, String> {
    let path = tail.split(['?', '#']).next().unwrap_or_default();
    if path.len() < tail.len() {
        corrections.push("What follows ? or # was left out.".to_owned());
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if host.ends_with(&format!(".{CLOUD}")) {
        if !parts.is_empty() {
            let product = if parts[0].eq_ignore_ascii_case("wiki") { "Confluence" } else { "Jira" };
            corrections.push(format!("The path was left out: it leads to a page inside {product}."));
        }
        return Ok("/".to_owned());
    }
    // Elsewhere `/jira` alone is the most usual context path there is, and a page follows it: `/jira/browse/X-1`.
    let is_page = |at: usize| parts.get(at).is_some_and(|part| PAGES.contains(&part.to_ascii_lowercase().as_str()));
    let is_context = |part: &str| match part.to_ascii_lowercase().as_str() {
        "jira" => true,
        perhaps => PERHAPS_PAGES.contains(&perhaps) && (tail.trim_matches('/') == part || is_page(1)),
    };
    let kept = (0..parts.len()).find(|at| is_page(*at) && !(*at == 0 && is_context(parts[0]))).unwrap_or(parts.len());
    if kept < parts.len() {
        let mut said = format!("The path from /{} on was left out: it leads to a page inside Jira.", parts[kept]);
        if kept == 0 && PERHAPS_PAGES.contains(&parts[0].to_ascii_lowercase().as_str()) {
            said.push_str(" If Jira itself is there, give the address up to that, and no further.");
        }
        corrections.push(said);
    }
    let mut context = String::from("/");
    for part in &parts[..kept] {
        let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
        if !plain || *part == "." || *part == ".." {
            return Err("The site's path contains characters that no context path has.".to_owned());
        }
        context.push_str(part);
        context.push('/');
    }
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, too_long, understand, understand_cloud};
    use proptest::prelude::*;

    fn base(typed: &str) -> String {
        understand(typed).map_or_else(|why| format!("refused: {why}"), |typed| typed.site.base().to_owned())
    }

    #[test]
    fn a_name_that_is_completed_is_held_to_what_a_whole_one_is() {
        for typed in ["WWW", "www", "xn--dmo-5qa"] {
            let whole = format!("{}.{}", typed.to_lowercase(), super::CLOUD);
            assert_eq!(understand_cloud(typed).unwrap_err(), understand(&whole).unwrap_err(), "{typed}");
        }
    }

    #[test]
    fn an_address_is_too_long_with_its_scheme_as_without() {
        let of_length =
            |length: usize| format!("jira.example.test/{}", "x".repeat(length - "jira.example.test/".len()));
        assert!(understand(&of_length(LONGEST - "https:///".len())).is_ok());
        for length in [LONGEST - "https:///".len() + 1, LONGEST, LONGEST + 1] {
            assert_eq!(understand(&of_length(length)).unwrap_err(), too_long(), "{length}");
        }
    }

    #[test]
    fn any_written_form_of_a_cloud_site_is_the_same_site() {
        for typed in [
            "demo.atlassian.net",
            "Demo.Atlassian.NET.",
            "https://demo.atlassian.net",
            "https://demo.atlassian.net/",
            "HTTPS://DEMO.ATLASSIAN.NET",
            "\"demo.atlassian.net\"",
            "http://demo.atlassian.net",
            "https://demo.atlassian.net/jira/software/projects/X?y#z",
            "https://demo.atlassian.net/browse/DEMO-1",
            "demo.atlassian.net/wiki/home",
            "https://demo.atlassian.net:443/secure/Dashboard.jspa",
            "<demo.atlassian.net>",
            "https://demo.atlassian.net:8443/",
            "\u{201c}demo.atlassian.net\u{201d}",
            "demo.atlassian.net#x",
            "demo.atlassian.net?x=y",
        ] {
            assert_eq!(base(typed), "https://demo.atlassian.net/", "{typed}");
        }
    }

    #[test]
    fn a_name_alone_is_completed_only_where_cloud_can_be_meant() {
        let cloud = |typed: &str| understand_cloud(typed).map(|typed| typed.site.base().to_owned());
        for typed in ["demo", "DEMO", "  demo ", "<demo>", "\u{201c}demo\u{201d}", "demo/"] {
            assert_eq!(cloud(typed).as_deref(), Ok("https://demo.atlassian.net/"), "{typed}");
        }
        // What has a scheme, a port or a path is the host of somebody's own network.
        for (typed, expected) in [
            ("http://jira:8080", "http://jira:8080/"),
            ("https://jira/", "https://jira/"),
            ("jira:8443/jira", "https://jira:8443/jira/"),
            ("jira/jira", "https://jira/jira/"),
        ] {
            assert_eq!(cloud(typed).as_deref(), Ok(expected));
            assert_eq!(base(typed), expected);
        }
        assert_eq!(base("jira"), "https://jira/");
    }

    #[test]
    fn a_site_of_ones_own_keeps_port_and_context_path() {
        assert_eq!(base("https://jira.example.test:8443/jira"), "https://jira.example.test:8443/jira/");
        assert_eq!(base("https://example.test/jira/browse/DEMO-1"), "https://example.test/jira/");
        assert_eq!(base("https://example.test/tools/issues/secure/x"), "https://example.test/tools/");
        assert_eq!(base("jira.example.test"), "https://jira.example.test/");
        assert_eq!(base("jira.example.test:8080"), "https://jira.example.test:8080/");
        assert_eq!(base("http://127.0.0.1:8080"), "http://127.0.0.1:8080/");
        assert_eq!(base("http://[::1]:8080/jira"), "http://[::1]:8080/jira/");
        assert_eq!(base("https://[0:0::1]"), "https://[::1]/");
        assert_eq!(base("::1"), "https://[::1]/");
        assert_eq!(base("localhost:2990/jira"), "https://localhost:2990/jira/");
        assert_eq!(base("https://jira.atlassian.com/browse/X-1"), "https://jira.atlassian.com/");
    }

    #[test]
    fn a_context_path_that_is_named_like_a_page_can_be_insisted_on() {
        for (typed, path) in [
            ("/issues", "/issues/"),
            ("/core/", "/core/"),
            ("/projects/browse/X-1", "/projects/"),
            ("/home/secure/Dashboard.jspa", "/home/"),
            ("/projects/DEMO/summary", "/"),
            ("/issues/?jql=project=X", "/"),
            ("/browse", "/"),
            ("/jira/projects", "/jira/"),
        ] {
            assert_eq!(base(&format!("https://example.test{typed}")), format!("https://example.test{path}"), "{typed}");
        }
        let said = understand("https://example.test/projects/DEMO").map(|typed| typed.corrections.join(" "));
        assert!(said.is_ok_and(|said| said.contains("give the address up to that")));
    }

    #[test]
    fn what_was_put_right_is_said() {
        let corrections = |typed: &str| understand(typed).map(|typed| typed.corrections.len());
        assert_eq!(corrections("https://demo.atlassian.net/"), Ok(0));
        let wiki = understand("demo.atlassian.net/wiki/home").map(|typed| typed.corrections.join(" "));
        assert!(wiki.is_ok_and(|said| said.contains("Confluence")));
        assert_eq!(corrections("http://demo.atlassian.net/browse/X-1"), Ok(2));
        assert_eq!(understand_cloud("demo").map(|typed| typed.corrections.len()), Ok(1));
    }

    #[test]
    fn what_is_no_site_or_could_deceive_is_refused() {
        for typed in [
            "",
            "  ",
            "ftp://demo.atlassian.net",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://",
            "https://user@demo.atlassian.net",
            "https://user:word@demo.atlassian.net",
            "demo.atlassian.net@evil.test",
            "https://demo.atlassian.net\\@evil.test",
            "dem\u{43e}.atlassian.net",
            "xn--dem-tma.atlassian.net",
            "de mo",
            "demo\n.atlassian.net",
            "https://demo..net",
            "-demo",
            "https://example.test:0/",
            "https://example.test:99999/",
            "https://[::1",
            "https://[::1]x",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://127.1/",
            "//demo.atlassian.net",
            "atlassian.net",
            "http:/demo.atlassian.net",
            "https:/jira.example.test",
            "htp/demo.atlassian.net",
            "htp:/jira.example.test",
            "www/jira.example.test",
            "https://https/demo",
            "https://example.test/https/demo.atlassian.net",
            "admin.atlassian.com",
            "https://id.atlassian.com/manage",
            "https://api.atlassian.com/ex/jira/abc",
            "atlassian.com",
            "https://example.test/%2e%2e/x",
            "https://example.test/../x",
            "demo\u{200b}",
        ] {
            assert!(understand(typed).is_err() && understand_cloud(typed).is_err(), "{typed:?} became {}", base(typed));
        }
    }

    proptest! {
        #[test]
        fn what_is_understood_is_understood_again_unchanged(typed in "\\PC{0,60}") {
            if let Ok(first) = understand(&typed) {
                let again = understand(first.site.base());
                prop_assert_eq!(again.map(|t| (t.site.base, t.corrections.len())), Ok((first.site.base.clone(), 0)));
                let cloud = understand_cloud(first.site.base());
                prop_assert_eq!(cloud.map(|t| (t.site.base, t.corrections.len())), Ok((first.site.base, 0)));
            }
        }

        #[test]
        fn no_credentials_and_no_other_scheme_survive(typed in "[a-z@:/.\\[\\]0-9?#%-]{0,40}") {
            if let Ok(typed) = understand(&typed) {
                let base = typed.site.base();
                prop_assert!(base.starts_with("https://") || base.starts_with("http://"));
                prop_assert!(base.ends_with('/') && !base.contains(['@', '?', '#', '%']));
            }
        }
    }
}
