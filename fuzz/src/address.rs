//! The address classifier: whatever some program reads as an address of a metadata service, of this machine or
//! of a private network is never taken for a public host.
//!
//! The oracle is independent of the classifier: the parsers of the standard library and of the `url` crate (the
//! URL standard, which browsers and workerd keep), and a table of networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crs_edge::tested::Network;
use url::{Host, Url};

/// IPv4 networks that no provider is on, whatever is set: first address, length of the prefix.
const FORBIDDEN_V4: [(Ipv4Addr, u32); 8] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::BROADCAST, 32),
];

/// Those that want the operator's leave.
const INSIDE_V4: [(Ipv4Addr, u32); 6] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
];

const FORBIDDEN_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

const INSIDE_V6: [(Ipv6Addr, u32); 2] = [
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
];

/// Names of metadata services.
const NAMES: [&str; 2] = ["metadata.google.internal", "metadata.goog"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Least {
    Anything,
    Inside,
    Forbidden,
}

/// Takes the bytes for a host.
pub fn check(data: &[u8]) {
    let Ok(host) = std::str::from_utf8(data) else {
        return;
    };
    let network = Network::of_host(host);
    if !is_plain(host) {
        assert!(matches!(network, Network::Forbidden(_)), "{host:?}: {network:?}");
    }
    for address in addresses(host) {
        let least = least(address);
        let kept = match network {
            Network::Forbidden(_) => true,
            Network::Private | Network::Loopback => least <= Least::Inside,
            Network::Public => least == Least::Anything,
        };
        assert!(
            kept,
            "{host:?} is {address}, {least:?} at least, and was taken for {network:?}"
        );
    }
    for name in names(host) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if NAMES.contains(&name.as_str()) {
            assert!(matches!(network, Network::Forbidden(_)), "{host:?}: {network:?}");
        }
        if name == "localhost" || name.ends_with(".localhost") {
            assert!(network != Network::Public, "{host:?}: {network:?}");
        }
    }
}

/// The host as the URL standard reads it, in a URL of each form that it can stand in. Of plain ASCII only: what
/// else the standard maps to ASCII is refused as a whole.
fn hosts(host: &str) -> Vec<Host<String>> {
    if !is_plain(host) {
        return Vec::new();
    }
    let host = host.to_ascii_lowercase();
    ["http", "https"]
        .iter()
        .flat_map(|scheme| [format!("{scheme}://{host}/"), format!("{scheme}://[{host}]/")])
        .filter_map(|url| Some(Url::parse(&url).ok()?.host()?.to_owned()))
        .collect()
}

fn is_plain(host: &str) -> bool {
    host.is_ascii() && !host.contains('%')
}

fn addresses(host: &str) -> Vec<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut all: Vec<IpAddr> = [host, bare].iter().filter_map(|text| text.parse().ok()).collect();
    all.extend(hosts(host).into_iter().filter_map(|host| match host {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    }));
    all
}

fn names(host: &str) -> Vec<String> {
    let read = hosts(host).into_iter().filter_map(|host| match host {
        Host::Domain(name) => Some(name),
        _ => None,
    });
    read.chain([host.to_owned()]).collect()
}

fn least(address: IpAddr) -> Least {
    match address {
        IpAddr::V4(address) => least_v4(address),
        IpAddr::V6(address) => {
            let own = if is_in(u128::from(address), &FORBIDDEN_V6.map(wide)) {
                Least::Forbidden
            } else if is_in(u128::from(address), &INSIDE_V6.map(wide)) {
                Least::Inside
            } else {
                Least::Anything
            };
            embedded(address).map_or(own, |v4| own.max(least_v4(v4)))
        }
    }
}

fn least_v4(address: Ipv4Addr) -> Least {
    let bits = u128::from(u32::from(address));
    let narrow = |(first, length): (Ipv4Addr, u32)| (u128::from(u32::from(first)), 32 - length);
    if is_in(bits, &FORBIDDEN_V4.map(narrow)) {
        Least::Forbidden
    } else if is_in(bits, &INSIDE_V4.map(narrow)) {
        Least::Inside
    } else {
        Least::Anything
    }
}

fn wide((first, length): (Ipv6Addr, u32)) -> (u128, u32) {
    (u128::from(first), 128 - length)
}

/// `networks`: first address, and how many of the last bits vary.
fn is_in(address: u128, networks: &[(u128, u32)]) -> bool {
    networks
        .iter()
        .any(|(first, free)| address.checked_shr(*free) == first.checked_shr(*free))
}

/// The IPv4 address inside: mapped, compatible, by a translator (RFC 6052), by 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = u128::from(address);
    let low = Ipv4Addr::from(bits as u32);
    match bits >> 32 {
        0 if bits > 0xffff => Some(low),
        0xffff | 0xffff_0000 => Some(low),
        prefix if prefix == 0x64_ff9b << 64 => Some(low),
        _ if bits >> 112 == 0x2002 => Some(Ipv4Addr::from((bits >> 80) as u32)),
        _ => None,
    }
}
