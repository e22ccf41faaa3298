//! One HTTP exchange with a provider.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::model::account::Proxy;

/// A body that streams, in either direction.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

#[async_trait]
pub trait Upstream: Send + Sync {
    /// Sends one request and resolves with the response's head. Redirects are not followed, bodies not
    /// decompressed, no header added but `host` and framing. Any status is `Ok`.
    ///
    /// Connects only where the rules of [`Destinations`](super::destination::Destinations) let it, and to the
    /// very address that was checked.
    ///
    /// Dropping the future or the body closes the connection: natively that is how a leaving client
    /// ends the provider's work.
    async fn send(
        &self,
        request: http::Request<Bytes>,
        route: &Route,
    ) -> Result<http::Response<Body>, UpstreamError>;

    /// Why a route with a proxy cannot be taken from this host; `None`: it can.
    fn no_proxies(&self) -> Option<&'static str> {
        None
    }
}

/// In the extensions of an answer whose body the host has decompressed. The host may not tell a body that was cut
/// from a whole one.
#[derive(Clone, Copy, Debug)]
pub struct OpenedByHost;

/// How to get there.
#[derive(Clone, Debug)]
pub struct Route {
    /// `None`: directly. A proxy that does not work is an error, never a direct call.
    pub proxy: Option<Arc<Proxy>>,
    /// Bound on reaching the host: name, TCP, proxy, TLS.
    pub connect_timeout: Duration,
    /// Bound on the wait for the response's head after that.
    pub head_timeout: Duration,
}

/// No response came. All of these lie before the first byte, so another account may be tried.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct UpstreamError {
    pub kind: UpstreamErrorKind,
    /// For the operator; never shown to clients, never holds credentials.
    pub detail: String,
    /// The error of the HTTP client, for the log.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamErrorKind {
    /// Name not found, refused, unreachable.
    Connect,
    /// The proxy refused, or does not speak its protocol.
    Proxy,
    Tls,
    /// One of the route's time-outs passed.
    Timeout,
    /// The connection broke, or spoke no HTTP, before the response's head.
    Broken,
    /// The same, on a connection that had been idle: the host had closed it, most likely, and says nothing
    /// about the request. Sending again is in order.
    Stale,
    /// The request cannot be sent from this host at all (bad URL, no proxies here).
    #[allow(dead_code, reason = "the Worker's")]
    Unsendable,
    /// The operator's rules do not let the relay go there, see [`Destinations`](super::destination::Destinations).
    Forbidden,
}

impl std::fmt::Display for UpstreamErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "cannot connect",
            Self::Proxy => "the proxy failed",
            Self::Tls => "TLS failed",
            Self::Timeout => "timed out",
            Self::Broken | Self::Stale => "the connection broke",
            Self::Unsendable => "cannot be sent",
            Self::Forbidden => "the address is not allowed",
        })
    }
}

/// A body broke off in the middle.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off: {0}")]
pub struct BodyError(pub String);
