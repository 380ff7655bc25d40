//! Which IP addresses may be connected to. Everything that is not plainly a public unicast address
//! is refused, translated and tunnelled forms included: those would reach the inside by a detour.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its
//! updates), RFC 6052 (64:ff9b::/96), RFC 8215 (64:ff9b:1::/48), RFC 3056 (6to4), RFC 4380 (Teredo),
//! RFC 9602 (SRv6), RFC 9637 (documentation).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// The prefixes that are refused, each with what it is for.
const REFUSED: &[(&str, &str)] = &[
    ("0.0.0.0/8", "an address of this network"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "a shared address behind a carrier's NAT"),
    ("127.0.0.0/8", "a loopback address"),
    ("169.254.0.0/16", "a link-local address, where clouds keep their metadata"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "an address for protocol assignments"),
    ("192.0.2.0/24", "a documentation address"),
    ("192.31.196.0/24", "an AS112 address"),
    ("192.52.193.0/24", "an AMT relay address"),
    ("192.88.99.0/24", "a 6to4 relay address"),
    ("192.168.0.0/16", "a private address"),
    ("192.175.48.0/24", "an AS112 address"),
    ("198.18.0.0/15", "a benchmarking address"),
    ("198.51.100.0/24", "a documentation address"),
    ("203.0.113.0/24", "a documentation address"),
    ("224.0.0.0/4", "a multicast address"),
    ("240.0.0.0/4", "a reserved or broadcast address"),
    ("::/96", "the unspecified, the loopback or an IPv4-compatible address"),
    ("::ffff:0:0:0/96", "an IPv4-translated address"),
    ("64:ff9b::/96", "a NAT64 address"),
    ("64:ff9b:1::/48", "a local NAT64 address"),
    ("100::/64", "a discard address"),
    ("100:0:0:1::/64", "a dummy address"),
    ("2001::/23", "an address for protocol assignments, Teredo among them"),
    ("2001:db8::/32", "a documentation address"),
    ("2002::/16", "a 6to4 address"),
    ("2620:4f:8000::/48", "an AS112 address"),
    ("3fff::/20", "a documentation address"),
    ("5f00::/16", "a segment-routing address"),
    ("fc00::/7", "a unique local address"),
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a site-local address"),
    ("ff00::/8", "a multicast address"),
];

static PREFIXES: LazyLock<Vec<(IpNet, &'static str)>> =
    LazyLock::new(|| REFUSED.iter().filter_map(|(net, what)| Some((net.parse().ok()?, *what))).collect());

/// Says what makes `address` one that must not be connected to without the operator's word; none
/// for a public one. An IPv4-mapped address is judged as the IPv4 address it stands for.
pub fn reserved(address: IpAddr) -> Option<&'static str> {
    let address = match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4),
        four @ IpAddr::V4(_) => four,
    };
    if let Some((_, what)) = PREFIXES.iter().find(|(net, _)| net.contains(&address)) {
        return Some(what);
    }
    match address {
        // Only 2000::/3 is given out as global unicast.
        IpAddr::V6(six) if !is_global_unicast(six) => Some("an address outside the global unicast space"),
        _ => None,
    }
}

fn is_global_unicast(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xe000 == 0x2000
}

#[cfg(test)]
#[path = "address_test.rs"]
mod tests;
