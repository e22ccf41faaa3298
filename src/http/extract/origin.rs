//! The origin of a request. The host puts it into the request's extensions.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

/// The address of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// The peer's address, or behind a trusted proxy the last entry of `x-forwarded-for`, which that proxy added
    /// (the client may have forged the others).
    pub fn new(peer: IpAddr, headers: &HeaderMap, trust_proxy: bool) -> Self {
        let seen_by_proxy = || {
            let last = headers.get_all("x-forwarded-for").iter().next_back()?;
            let last = last.to_str().ok()?.rsplit(',').next()?.trim();
            last.parse().ok().or_else(|| {
                last.parse::<std::net::SocketAddr>()
                    .ok()
                    .map(|address| address.ip())
            })
        };
        let seen = if trust_proxy { seen_by_proxy() } else { None };
        Self(Some(seen.unwrap_or(peer)))
    }

    pub(crate) fn of(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().and_then(|address| address.0)
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Self::of(&parts.extensions)))
    }
}

/// Proof that a request was sent on the server's own machine without a proxy in between; required for requests
/// reserved to the operator. Hosts that only serve remote clients never create one.
#[derive(Clone, Copy, Debug)]
pub struct FromThisMachine(());

/// Headers by which proxies name their client.
const FORWARDING: [&str; 11] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "x-client-ip",
    "cf-connecting-ip",
    "true-client-ip",
];

impl FromThisMachine {
    /// The proof for a connection from `peer` to the local address `own`: the peer must have a loopback address
    /// or `own` itself. A reverse proxy on the same machine connects like that, too, but is recognised by a
    /// forwarding header or by the client's `host` header.
    pub fn proven(peer: IpAddr, own: IpAddr, headers: &HeaderMap) -> Option<Self> {
        let (peer, own) = (peer.to_canonical(), own.to_canonical());
        let is_here = |address: IpAddr| address.is_loopback() || address == own;
        let forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
        (is_here(peer) && !forwarded && names_this_machine(headers, is_here)).then_some(Self(()))
    }

    /// For a caller in the same process as the router.
    pub fn in_process() -> Self {
        Self(())
    }
}

/// Whether the `host` header names this machine itself.
fn names_this_machine(headers: &HeaderMap, is_here: impl Fn(IpAddr) -> bool) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| is_here(address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_proxy_says_who_asks_and_nobody_else_does() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let address = |forwarded: &[&str], trust| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            ClientAddress::new(peer, &headers, trust).0.unwrap().to_string()
        };
        assert_eq!(address(&["1.2.3.4"], false), "10.0.0.1");
        assert_eq!(address(&["1.2.3.4"], true), "1.2.3.4");
        // The client wrote the first ones itself.
        assert_eq!(address(&["6.6.6.6, 1.2.3.4"], true), "1.2.3.4");
        assert_eq!(address(&["6.6.6.6", "2001:db8::1"], true), "2001:db8::1");
        assert_eq!(address(&["1.2.3.4:5678"], true), "1.2.3.4");
        assert_eq!(address(&["unknown"], true), "10.0.0.1");
        assert_eq!(address(&[], true), "10.0.0.1");
    }

    #[test]
    fn only_this_machine_speaks_for_itself() {
        let proven = |peer: &str, headers: &[(&'static str, &str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>();
            let own = "10.0.0.5".parse().unwrap();
            FromThisMachine::proven(peer.parse().unwrap(), own, &headers).is_some()
        };
        for (peer, host) in [
            ("127.0.0.1", "127.0.0.1:3000"),
            ("127.0.0.9", "localhost"),
            ("::1", "[::1]:3000"),
            ("::ffff:127.0.0.1", "LOCALHOST:3000"),
            ("10.0.0.5", "10.0.0.5:3000"),
        ] {
            assert!(proven(peer, &[("host", host)]), "{peer} {host}");
        }
        assert!(!proven("10.0.0.1", &[("host", "localhost")]));
        assert!(!proven("127.0.0.1", &[]));
        for host in [
            "relay.example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "@",
            "",
        ] {
            assert!(!proven("127.0.0.1", &[("host", host)]), "{host}");
        }
        for name in FORWARDING {
            assert!(
                !proven("127.0.0.1", &[("host", "localhost"), (name, "")]),
                "{name}"
            );
        }
    }
}
