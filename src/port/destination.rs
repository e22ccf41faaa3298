//! Rules on the destinations of provider calls, applied to the address of each connection.
//!
//! Metadata services, link-local and reserved addresses are always forbidden. The operator's private networks and
//! this machine are allowed only if the operator permits it, or if the configuration names the host. Plain http
//! is only allowed to those.
//!
//! A host name is checked twice: as text when an account is written (so that mistakes get a clear message), and
//! by each resolved address when a connection is made. Only the second check is a security boundary, because a
//! name may resolve differently each time. If a proxy or a Worker's runtime resolves the name, only the text can
//! be checked, see [`Destinations::remote`].

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use http::Uri;

use crate::model::account::Proxy;
use crate::model::address::{Host, Network, unbracketed};

/// Scheme, host and port of an address: the destination of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    tls: bool,
    /// In lower case, without brackets and trailing dot.
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an absolute http or https address; `None` for others.
    pub fn of(uri: &Uri) -> Option<Self> {
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = unbracketed(uri.host()?);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Self { tls, host, port })
    }

    /// Parses the text of such an address.
    pub fn parse(address: &str) -> Option<Self> {
        Self::of(&address.parse().ok()?)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// The operator's rules.
#[derive(Clone, Debug)]
pub struct Destinations {
    allow_private: bool,
    /// The setting that allows private networks, for messages.
    setting: &'static str,
    configured: BTreeSet<Origin>,
}

/// The rules' decision on a target or proxy before its name is resolved.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The host as written in the address, for messages.
    host: String,
    private: bool,
    /// `false` if the connection is not encrypted, so that it must stay on a private network.
    public: bool,
    setting: &'static str,
}

/// Why a destination is refused, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{host} is {what}: the relay never goes there")]
    Forbidden { host: String, what: &'static str },
    #[error("{host} is {what}: set {setting}=true to let accounts and proxies be there")]
    Private {
        host: String,
        what: &'static str,
        setting: &'static str,
    },
    #[error(
        "{host} is not on a private network, so it must be called by https:// (http:// would show the credentials to everyone on the way)"
    )]
    Plain { host: String },
    #[error("this is not an http or https address")]
    NoAddress,
}

impl Destinations {
    /// `setting`: the variable for `allow_private`. `configured`: the addresses in the configuration.
    pub fn new<'a>(
        allow_private: bool,
        setting: &'static str,
        configured: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            allow_private,
            setting,
            configured: configured.into_iter().filter_map(Origin::parse).collect(),
        }
    }

    /// Checks a provider's address, and returns the bounds for the addresses that it resolves to.
    pub fn target(&self, uri: &Uri) -> Result<Bounds, Refusal> {
        let origin = Origin::of(uri).ok_or(Refusal::NoAddress)?;
        let configured = self.configured.contains(&origin);
        let bounds = Bounds {
            private: self.allow_private || configured,
            public: origin.tls || configured,
            host: origin.host,
            setting: self.setting,
        };
        bounds.admit_name()?;
        Ok(bounds)
    }

    /// Like [`target`](Self::target), for names that another machine resolves: unknown names count as public.
    pub fn remote(&self, uri: &Uri) -> Result<(), Refusal> {
        let bounds = self.target(uri)?;
        bounds.admit_network(&bounds.host, Network::of_host(&bounds.host))
    }

    /// Checks a proxy, and returns the bounds for the addresses that its host resolves to. An unencrypted proxy
    /// may be public, because it only tunnels the encrypted connection to the provider.
    pub fn proxy(&self, proxy: &Proxy) -> Result<Bounds, Refusal> {
        self.proxy_host(&proxy.host)
    }

    /// Like [`proxy`](Self::proxy), for its host only.
    pub fn proxy_host(&self, host: &str) -> Result<Bounds, Refusal> {
        let bounds = Bounds {
            host: unbracketed(host).to_owned(),
            private: self.allow_private,
            public: true,
            setting: self.setting,
        };
        bounds.admit_name()?;
        Ok(bounds)
    }
}

impl Bounds {
    /// Whether a connection to the resolved `address` is allowed.
    pub fn admit(&self, address: IpAddr) -> Result<(), Refusal> {
        let shown = if Host::read(&self.host) == Host::Name {
            format!("{} ({address})", self.host)
        } else {
            self.host.clone()
        };
        self.admit_network(&shown, Network::of(address))
    }

    fn admit_name(&self) -> Result<(), Refusal> {
        let network = Network::of_host(&self.host);
        let unresolved = network == Network::Public && Host::read(&self.host) == Host::Name;
        if unresolved && (self.public || self.private) {
            return Ok(());
        }
        self.admit_network(&self.host, network)
    }

    fn admit_network(&self, shown: &str, network: Network) -> Result<(), Refusal> {
        let host = || shown.to_owned();
        let private = |what| Refusal::Private {
            host: host(),
            what,
            setting: self.setting,
        };
        match network {
            Network::Forbidden(what) => Err(Refusal::Forbidden { host: host(), what }),
            Network::Private if !self.private => Err(private("on a private network")),
            Network::Loopback if !self.private => Err(private("this machine itself")),
            Network::Public if !self.public => Err(Refusal::Plain { host: host() }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow_private: bool) -> Destinations {
        let configured = [
            "http://127.0.0.1:4000",
            "https://models.lan/v1",
            "http://gateway.example",
        ];
        Destinations::new(allow_private, "ALLOW", configured)
    }

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn target(allow_private: bool, address: &str, resolved: &str) -> Result<(), Refusal> {
        let bounds = rules(allow_private).target(&uri(address))?;
        bounds.admit(resolved.parse().unwrap())
    }

    #[test]
    fn private_networks_want_the_setting_and_say_so() {
        for (address, resolved) in [
            ("https://models.example", "10.0.0.1"),
            ("https://models.example", "127.0.0.1"),
            ("https://models.example", "::1"),
            ("https://models.example", "fd12::1"),
            ("http://10.0.0.1", "10.0.0.1"),
            ("http://127.0.0.1:4001", "127.0.0.1"),
            ("https://127.0.0.1:4000", "127.0.0.1"),
            ("http://ollama:11434", "172.18.0.2"),
        ] {
            let refusal = target(false, address, resolved).unwrap_err();
            assert!(
                refusal.to_string().contains("set ALLOW=true"),
                "{address}: {refusal}"
            );
            assert_eq!(target(true, address, resolved), Ok(()), "{address}");
        }
    }

    #[test]
    fn plain_http_stays_on_private_networks() {
        for allow_private in [false, true] {
            let refusal = target(allow_private, "http://models.example", "1.1.1.1").unwrap_err();
            assert!(refusal.to_string().contains("https://"), "{refusal}");
            let literal = target(allow_private, "http://1.1.1.1", "1.1.1.1").unwrap_err();
            assert!(matches!(literal, Refusal::Plain { .. }));
        }
        assert_eq!(target(true, "http://models.example", "10.0.0.1"), Ok(()));
        assert_eq!(target(false, "https://models.example", "1.1.1.1"), Ok(()));
    }

    #[test]
    fn configured_hosts_may_be_private_and_plain_and_never_forbidden() {
        for (address, resolved) in [
            ("http://127.0.0.1:4000/v1", "127.0.0.1"),
            ("https://MODELS.lan./v1", "192.168.0.2"),
            ("http://gateway.example/x", "1.1.1.1"),
        ] {
            assert_eq!(target(false, address, resolved), Ok(()), "{address}");
        }
        // Another port or scheme is another place.
        assert!(target(false, "https://models.lan:8443", "192.168.0.2").is_err());
        assert!(target(false, "https://models.lan", "169.254.169.254").is_err());
    }

    #[test]
    fn forbidden_addresses_stay_forbidden_whatever_is_set() {
        for (address, resolved) in [
            ("https://models.example", "169.254.169.254"),
            ("https://models.example", "fd00:ec2::254"),
            ("https://models.example", "::ffff:169.254.169.254"),
            ("https://models.example", "0.0.0.0"),
            ("https://metadata.google.internal", "10.0.0.1"),
            ("http://0xa9fea9fe", "169.254.169.254"),
        ] {
            let refusal = target(true, address, resolved).unwrap_err();
            assert!(
                matches!(refusal, Refusal::Forbidden { .. }),
                "{address}: {refusal}"
            );
        }
        assert_eq!(target(true, "ftp://x", "1.1.1.1"), Err(Refusal::NoAddress));
    }

    #[test]
    fn who_resolves_elsewhere_is_judged_by_the_name() {
        let remote = |allow: bool, address: &str| rules(allow).remote(&uri(address));
        assert_eq!(remote(false, "https://models.example"), Ok(()));
        assert_eq!(remote(false, "http://gateway.example"), Ok(()));
        assert_eq!(remote(true, "http://ollama"), Ok(()));
        for (allow, address) in [
            (true, "http://models.example"),
            (true, "http://169.254.169.254"),
            (true, "https://2852039166"),
            (true, "https://metadata.google.internal"),
            (false, "https://127.1"),
            (false, "https://localhost"),
            (false, "https://x.internal"),
        ] {
            assert!(remote(allow, address).is_err(), "{address}");
        }
    }

    #[test]
    fn proxies_are_bound_too() {
        let proxy = |allow: bool, host: &str, resolved: &str| -> Result<(), Refusal> {
            rules(allow).proxy_host(host)?.admit(resolved.parse().unwrap())
        };
        assert_eq!(proxy(false, "proxy.example", "1.1.1.1"), Ok(()));
        assert_eq!(proxy(true, "clash", "172.18.0.3"), Ok(()));
        assert_eq!(proxy(true, "::1", "::1"), Ok(()));
        for (allow, host, resolved) in [
            (false, "127.0.0.1", "127.0.0.1"),
            (false, "proxy.example", "10.0.0.1"),
            (true, "proxy.example", "169.254.169.254"),
            (true, "[fe80::1]", "fe80::1"),
            (true, "::::", "1.1.1.1"),
        ] {
            assert!(proxy(allow, host, resolved).is_err(), "{host}");
        }
    }

    #[test]
    fn origins_tell_scheme_host_and_port() {
        let shown = |address: &str| Origin::parse(address).map(|origin| origin.to_string());
        assert_eq!(
            shown("https://A.example./x").as_deref(),
            Some("https://a.example:443")
        );
        assert_eq!(shown("http://[::1]:80").as_deref(), Some("http://[::1]:80"));
        assert_eq!(Origin::parse("http://[::1]"), Origin::parse("http://[::1]:80"));
        assert_ne!(Origin::parse("http://a"), Origin::parse("https://a:80"));
        assert_eq!(shown("a/b"), None);
    }
}
