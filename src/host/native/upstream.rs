//! Provider connections: hyper over rustls, with our own pool per thread and route ([`kept`]).
//!
//! HTTP/1.1 only: when a client leaves, its provider call ends with the connection, which every provider and every
//! proxy understands, and one slow stream never delays another.

mod connect;
mod guard;
mod kept;
mod socket;
mod socks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use tower_service::Service as _;

use self::connect::{ConnectFailure, Connector};
use self::guard::{Guard, Resolve, SystemNames};
use self::kept::{Connection, Place, ProviderBody};
use crate::port::destination::Destinations;
use crate::port::upstream::{Body, Opened, Route, Upstream, UpstreamError, UpstreamErrorKind};

pub struct NativeUpstream {
    /// Distinguishes several upstreams in one process (tests): a connection that one of them was allowed to make must
    /// not serve another.
    id: u64,
    tls: Arc<rustls::ClientConfig>,
    guard: Guard,
}

impl NativeUpstream {
    pub fn new(destinations: Destinations) -> Self {
        Self::resolving(destinations, Arc::new(SystemNames))
    }

    fn resolving(destinations: Destinations, names: Arc<dyn Resolve>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            tls: Arc::new(connect::tls()),
            guard: Guard::new(destinations, names),
        }
    }

    /// Connects to the host of this address.
    async fn link(&self, to: &Uri, route: &Route) -> Result<connect::Link, UpstreamError> {
        let (proxy, limit) = (route.proxy.as_deref(), route.connect_timeout);
        let mut connector = Connector::new(&self.tls, &self.guard, proxy, limit)?;
        connector.call(to.clone()).await.map_err(not_connected)
    }

    /// Opens a connection to the host of this address.
    async fn connect(&self, to: &Uri, route: &Route) -> Result<Connection, UpstreamError> {
        let link = self.link(to, route).await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(super::server::BUFFER)
            .handshake(link)
            .await
            .map_err(broken)?;
        drive(connection);
        Ok(Connection {
            sender,
            host: host(to)?,
        })
    }

    /// Sends the request over an idle connection or a new one. If an idle one turns out to be closed before anything
    /// was sent, the next one is tried.
    async fn exchange(
        &self,
        mut request: Request<Bytes>,
        route: &Route,
    ) -> Result<Response<Body>, UpstreamError> {
        // On a connection to the host, a request names only the path.
        let path = request.uri().path_and_query().cloned();
        let path = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
        let to = std::mem::replace(request.uri_mut(), path);
        let place = Place::new(self.id, route, &to);
        let mut request = request.map(Full::new);
        loop {
            let (mut connection, was_kept) = match kept::take(&place) {
                Some(kept) => (kept, true),
                // Boxed, so that the futures of calls over idle connections stay small.
                None => (Box::pin(self.connect(&to, route)).await?, false),
            };
            request
                .headers_mut()
                .entry(HOST)
                .or_insert_with(|| connection.host.clone());
            let mut error = match connection.sender.try_send_request(request).await {
                Ok(answer) => {
                    return Ok(answer.map(|body| ProviderBody::new(body, place, connection).boxed_unsync()));
                }
                Err(error) => error,
            };
            match error.take_message().filter(|_| was_kept) {
                Some(unsent) => request = unsent,
                None => {
                    let mut error = broken(error.into_error());
                    if was_kept {
                        error.kind = UpstreamErrorKind::Stale;
                    }
                    return Err(error);
                }
            }
        }
    }
}

#[async_trait]
impl Upstream for NativeUpstream {
    async fn send(&self, request: Request<Bytes>, route: &Route) -> Result<Response<Body>, UpstreamError> {
        in_time(route, self.exchange(request, route)).await
    }

    async fn open(&self, request: Request<()>, route: &Route) -> Result<Opened, UpstreamError> {
        in_time(route, self.upgrade(request, route)).await
    }
}

/// Within the time limit for a head.
async fn in_time<T>(
    route: &Route,
    asked: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    let asked = tokio::time::timeout(route.head_timeout, asked);
    asked.await.unwrap_or_else(|_| {
        Err(UpstreamError {
            kind: UpstreamErrorKind::Timeout,
            detail: format!("no answer within {} s", route.head_timeout.as_secs_f32()),
            source: None,
        })
    })
}

/// Drives a connection until it is closed.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever waits for an answer holds its other end"
)]
fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
    tokio::task::spawn(async move {
        // The request on it gets the error.
        let _ = connection.await;
    });
}

/// The value of the `host` header: with the port, unless it is the scheme's default.
fn host(of: &Uri) -> Result<HeaderValue, UpstreamError> {
    let usual = match of.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let host = of.host().unwrap_or_default();
    let value = match of.port_u16().filter(|port| *port != usual) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
        None => HeaderValue::from_str(host),
    };
    value.map_err(|error| UpstreamError {
        kind: UpstreamErrorKind::Unsendable,
        detail: error.to_string(),
        source: None,
    })
}

fn not_connected(failure: ConnectFailure) -> UpstreamError {
    UpstreamError {
        kind: failure.kind,
        detail: failure.detail.clone(),
        source: Some(Box::new(failure)),
    }
}

fn broken(error: hyper::Error) -> UpstreamError {
    UpstreamError {
        kind: UpstreamErrorKind::Broken,
        detail: root_cause(&error),
        source: Some(Box::new(error)),
    }
}

/// The innermost reason, which is the one people can act on.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
