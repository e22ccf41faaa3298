//! One HTTP exchange with a provider, or a WebSocket to it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use super::socket::{Gone, Received};
use crate::model::account::Proxy;

/// A streaming body, for requests and answers.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

#[async_trait]
pub trait Upstream: Send + Sync {
    /// Sends one request and resolves with the response's head. Redirects are not followed, bodies not
    /// decompressed, and no headers added except `host` and framing. Any status is `Ok`.
    ///
    /// Connects only where the rules of [`Destinations`](super::destination::Destinations) allow it, and to the
    /// address that was checked.
    ///
    /// Dropping the future or the body closes the connection; natively this is how a client that leaves ends the
    /// provider's work.
    async fn send(
        &self,
        request: http::Request<Bytes>,
        route: &Route,
    ) -> Result<http::Response<Body>, UpstreamError>;

    /// Opens a WebSocket; like [`send`](Self::send) in all else. The host adds the headers of the upgrade, and the
    /// route's limit for the head is that for the whole opening.
    async fn open(&self, _request: http::Request<()>, _route: &Route) -> Result<Opened, UpstreamError> {
        Err(UpstreamError {
            kind: UpstreamErrorKind::Unsendable,
            detail: "this host opens no WebSockets".to_owned(),
            source: None,
        })
    }

    /// Why this host cannot use proxies; `None` if it can.
    fn no_proxies(&self) -> Option<&'static str> {
        None
    }
}

/// Upper bound of a message from a provider, bytes; nothing can be read after a larger one.
pub const LARGEST_MESSAGE: usize = 24 << 20;

/// How a provider answers an upgrade.
pub enum Opened {
    /// With a WebSocket, and these headers.
    Socket(http::HeaderMap, Box<dyn ProviderSocket>),
    /// Without; any other status than 101.
    Refused(http::Response<Body>),
}

/// An open WebSocket to a provider. Dropping it closes the connection, which ends the provider's work.
#[async_trait]
pub trait ProviderSocket: Send {
    /// The next thing that came. Answers pings meanwhile; natively only while it is polled.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Received>;

    /// Sends a text message, which must be UTF-8; natively resolves when there is room for another.
    async fn send(&mut self, text: Bytes) -> Result<(), Gone>;
}

/// Extension of an answer whose body the host has decompressed. The host may not detect a truncated body.
#[derive(Clone, Copy, Debug)]
pub struct OpenedByHost;

/// The route to the provider.
#[derive(Clone, Debug)]
pub struct Route {
    /// `None`: a direct connection. If a proxy fails, the call fails and is never sent directly.
    pub proxy: Option<Arc<Proxy>>,
    /// Time limit for connecting: name resolution, TCP, proxy, TLS.
    pub connect_timeout: Duration,
    /// Time limit for the response's head after that.
    pub head_timeout: Duration,
}

/// No response came. No byte of an answer has arrived, so another account may be tried.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct UpstreamError {
    pub kind: UpstreamErrorKind,
    /// For the operator; never shown to clients, never contains credentials.
    pub detail: String,
    /// The error of the HTTP client, for the log.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamErrorKind {
    /// The name was not found, or the host refused or was unreachable.
    Connect,
    /// The proxy refused, or spoke another protocol.
    Proxy,
    Tls,
    /// A timeout of the route.
    Timeout,
    /// The connection broke, or spoke another protocol than HTTP, before the response's head.
    Broken,
    /// The same on a reused connection: the host had probably closed it before the request, which can be resent.
    Stale,
    /// This host cannot send the request (invalid URL, no proxies).
    #[allow(dead_code, reason = "the Worker's")]
    Unsendable,
    /// The operator's rules forbid the destination, see [`Destinations`](super::destination::Destinations).
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
