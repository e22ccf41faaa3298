//! The host name or address of a proxy.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::de::{Deserialize, Deserializer, Error as _};

/// Maximum length of a host name, bytes (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 253;

/// Maximum length of a label, bytes (RFC 1035 §2.3.4).
const LONGEST_LABEL: usize = 63;

/// A host name in ASCII, an IPv4 address, or an IPv6 address (kept without brackets). A name keeps its letter
/// case; underscores are allowed, since container networks have names with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Host(pub(in super::super) String);

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(text.trim()).ok_or_else(|| {
            D::Error::custom(
                "must be a host name in ASCII letters, an IPv4 address, or an IPv6 address without a zone",
            )
        })
    }
}

impl Host {
    fn read(text: &str) -> Option<Self> {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if bracketed.is_some() || text.contains(':') {
            let address: Ipv6Addr = bracketed.unwrap_or(text).parse().ok()?;
            return Some(Self(address.to_string()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.split('.').all(is_label) {
            return None;
        }
        // Resolvers parse a name that ends with a number as an IPv4 address, even in unusual forms (`0x7f.1`,
        // `2130706433`).
        if name.rsplit('.').next().is_some_and(is_number) {
            return name
                .parse::<Ipv4Addr>()
                .ok()
                .map(|address| Self(address.to_string()));
        }
        Some(Self(name.to_owned()))
    }
}

fn is_label(label: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !label.is_empty()
        && label.len() <= LONGEST_LABEL
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(inside)
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        let read = |text: &str| Host::read(text).map(|host| host.0);
        for (text, host) in [
            ("proxy.example.com", "proxy.example.com"),
            ("proxy.example.com.", "proxy.example.com"),
            ("squid_1", "squid_1"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("::1", "::1"),
            ("3com.example", "3com.example"),
        ] {
            assert_eq!(read(text).as_deref(), Some(host), "{text}");
        }
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
        for text in [
            "",
            ".",
            "::::",
            "%00",
            "a%00b",
            "[::1",
            "::1]",
            "[10.0.0.1]",
            "[a]",
            "fe80::1%eth0",
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "a b",
            "a/b",
            "a@b",
            "a:80",
            "bücher.example",
            "0x7f.1",
            "2130706433",
            "1.2.3",
            "256.1.1.1",
            "127.0.0.0x1",
            &long_label,
            &long_name,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
