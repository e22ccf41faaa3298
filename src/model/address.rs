//! Classifies addresses by network, to decide where provider calls may go.
//!
//! Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its successors), RFC 6052 (IPv4
//! inside IPv6), the WHATWG URL standard for the notations of IPv4 addresses, and the cloud providers'
//! documentation for their metadata services.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network that an address or host name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The internet.
    Public,
    /// A private network of the operator.
    Private,
    /// The machine that the relay runs on.
    Loopback,
    /// Providers are never there. The text completes "this address is ...".
    Forbidden(&'static str),
}

const METADATA: &str = "the metadata service of a cloud";
const LINK_LOCAL: &str = "link-local";
const THIS_NETWORK: &str = "no address of a host";
const MULTICAST: &str = "a multicast address";
const RESERVED: &str = "reserved";
const TUNNEL: &str = "an address of an IPv4 tunnel";
const NO_HOST: &str = "no valid host name or address";

/// Names of metadata services. Their addresses are forbidden as well; the names matter if a proxy or a Worker's
/// runtime resolves them.
const METADATA_NAMES: [&str; 6] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
];

/// Suffixes of names that only private networks resolve: RFC 6762 (`local`), RFC 8375 (`home.arpa`), ICANN's
/// reservation of `internal`, and two that routers commonly use.
const PRIVATE_SUFFIXES: [&str; 5] = [".local", ".internal", ".home.arpa", ".lan", ".intranet"];

/// A host in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address, in any notation that some program accepts.
    Address(IpAddr),
    /// A name, which must be resolved.
    Name,
    /// Neither.
    Invalid,
}

impl Host {
    /// Parses `host`: IPv6 with or without brackets; IPv4 also in the notations of the WHATWG URL standard
    /// (decimal, octal, hexadecimal, fewer than four parts, a trailing dot).
    ///
    /// A host with other than plain ASCII characters is invalid: browsers and workerd map full-width digits and
    /// full stops to ASCII, and `%31` to `1`. Internationalised names have an ASCII form (`xn--`).
    pub fn read(host: &str) -> Self {
        let bare = unbracketed(host);
        if let Ok(address) = bare.parse::<Ipv6Addr>() {
            return Self::Address(IpAddr::V6(address));
        }
        let name = bare.strip_suffix('.').unwrap_or(bare);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if bare != host || name.is_empty() || name.len() > 253 || !name.bytes().all(plain) {
            return Self::Invalid;
        }
        let labels = || name.split('.');
        if labels().any(|label| label.is_empty() || label.len() > 63) {
            return Self::Invalid;
        }
        if !labels().next_back().is_some_and(is_number) {
            return Self::Name;
        }
        match ipv4(name) {
            Some(address) => Self::Address(IpAddr::V4(address)),
            None => Self::Invalid,
        }
    }
}

impl Network {
    /// The network of a host, without resolving it. Unknown names count as `Public`.
    pub fn of_host(host: &str) -> Self {
        match Host::read(host) {
            Host::Address(address) => Self::of(address),
            Host::Name => Self::of_name(host),
            Host::Invalid => Self::Forbidden(NO_HOST),
        }
    }

    fn of_name(name: &str) -> Self {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if METADATA_NAMES.contains(&name.as_str()) || name.starts_with("instance-data.") {
            return Self::Forbidden(METADATA);
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Self::Loopback;
        }
        // Names of one label are resolved by the search list of the local network.
        if !name.contains('.') || PRIVATE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            return Self::Private;
        }
        Self::Public
    }

    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    #[expect(clippy::match_same_arms, reason = "each range has a reason of its own")]
    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            // Alibaba Cloud, in the shared range; Azure, in a public range.
            [100, 100, 100, 200] | [168, 63, 129, 16] => Self::Forbidden(METADATA),
            [169, 254, 169, 254] => Self::Forbidden(METADATA),
            [169, 254, ..] => Self::Forbidden(LINK_LOCAL),
            [0, ..] => Self::Forbidden(THIS_NETWORK),
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            // Shared address space (RFC 6598): of providers' networks, and of overlays such as Tailscale.
            [100, 64..=127, ..] => Self::Private,
            // Benchmarks (RFC 2544). Transparent proxies return these for every name, so in practice it is a
            // private network.
            [198, 18..=19, ..] => Self::Private,
            // Protocol assignments, which once included Oracle Cloud's metadata service; 6to4 relays; examples.
            [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
                Self::Forbidden(RESERVED)
            }
            [224..=239, ..] => Self::Forbidden(MULTICAST),
            // The broadcast address is the last of these.
            [240..=255, ..] => Self::Forbidden(RESERVED),
            _ => Self::Public,
        }
    }

    #[expect(clippy::match_same_arms, reason = "each range has a reason of its own")]
    fn of_v6(address: Ipv6Addr) -> Self {
        // The embedded IPv4 address, in most formats.
        let low = Ipv4Addr::from(u128::from(address) as u32);
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0, 0, 0, 0, 0, 0, ..] => Self::Forbidden(THIS_NETWORK),
            // IPv4-mapped: the system connects over IPv4.
            [0, 0, 0, 0, 0, 0xffff, ..] => Self::of_v4(low),
            // Behind a translator (RFC 6052, RFC 2765). Without IPv4, every public IPv4 address looks like this.
            // The translator's loopback is not this machine.
            [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => match Self::of_v4(low) {
                Self::Loopback => Self::Forbidden(TUNNEL),
                network => network,
            },
            // Translators of a local network (RFC 8215): the position of the IPv4 address is unknown.
            [0x64, 0xff9b, 1, ..] => Self::Forbidden(TUNNEL),
            // AWS, Oracle Cloud, Scaleway; Google Cloud. Each in the private range.
            [0xfd00, 0xec2 | 0xc1 | 0x42, ..] | [0xfd20, 0xce, ..] => Self::Forbidden(METADATA),
            [0xfc00..=0xfdff, ..] => Self::Private,
            [0xfe80..=0xfebf, ..] => Self::Forbidden(LINK_LOCAL),
            [0xff00..=0xffff, ..] => Self::Forbidden(MULTICAST),
            // 6to4 (RFC 3056) and Teredo (RFC 4380): both obsolete, both with an embedded IPv4 address.
            [0x2002, ..] | [0x2001, 0, ..] => Self::Forbidden(TUNNEL),
            // Protocol assignments, and examples.
            [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Forbidden(RESERVED),
            // The only range assigned to the internet.
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Forbidden(RESERVED),
        }
    }
}

/// `host` without the brackets around an IPv6 address.
pub fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

/// Whether the URL standard treats a host with this last label as an IPv4 address.
fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit()) || number(label).is_some()
}

/// A part of an IPv4 address: decimal, octal after `0`, hexadecimal after `0x`.
fn number(part: &str) -> Option<u64> {
    let (digits, radix) = match part.as_bytes() {
        [] => return None,
        [b'0', b'x' | b'X', ..] => (part.get(2..)?, 16),
        [b'0', _, ..] => (part.get(1..)?, 8),
        _ => (part, 10),
    };
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    // A number that is too large, so the address is invalid.
    match u64::from_str_radix(digits, radix) {
        Ok(number) => Some(number),
        Err(error) if *error.kind() == core::num::IntErrorKind::PosOverflow => Some(u64::MAX),
        Err(_) => None,
    }
}

/// The IPv4 parser of the URL standard: up to four parts, the last of which fills the remaining bytes.
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 || leading.iter().any(|part| *part > 255) {
        return None;
    }
    if *last >= 1 << (8 * (4 - leading.len())) {
        return None;
    }
    let mut address = *last;
    for (n, part) in leading.iter().enumerate() {
        address += part << (8 * (3 - n));
    }
    u32::try_from(address).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests;
