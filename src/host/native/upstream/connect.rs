//! From an address to a connection: directly, or through the account's proxy, with TLS if the address asks for it,
//! within the connect time-out. The guard makes every TCP connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use tower_service::Service;

use super::guard::{Guard, Guarded, Refused};
use super::socks::Socks;
use crate::model::account::{Proxy, ProxyScheme};
use crate::port::upstream::{UpstreamError, UpstreamErrorKind};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Mozilla's roots, compiled in: a container without a certificate store works as well.
pub(super) fn tls() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A connector for one route.
#[derive(Clone)]
pub(super) struct Connector {
    path: Path,
    limit: Duration,
    guard: Guard,
}

#[derive(Clone)]
enum Path {
    Direct(HttpsConnector<Guarded>),
    Http(HttpsConnector<Tunnel<Guarded>>),
    /// TLS to the proxy, and TLS to the provider inside.
    Https(HttpsConnector<Tunnel<HttpsConnector<Guarded>>>),
    Socks(HttpsConnector<Socks>),
}

/// A failed connection: whose fault, and why.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {detail}")]
pub(super) struct ConnectFailure {
    pub kind: UpstreamErrorKind,
    pub detail: String,
}

impl Connector {
    pub(super) fn new(
        tls: &Arc<rustls::ClientConfig>,
        guard: &Guard,
        proxy: Option<&Proxy>,
        limit: Duration,
    ) -> Result<Self, UpstreamError> {
        let path = match proxy {
            None => Path::Direct(over_tls(tls, guard.to_targets(limit))),
            Some(proxy) => through(tls, proxy, guard.to_proxy(proxy, limit))?,
        };
        Ok(Self {
            path,
            limit,
            guard: guard.clone(),
        })
    }
}

fn through(tls: &Arc<rustls::ClientConfig>, proxy: &Proxy, tcp: Guarded) -> Result<Path, UpstreamError> {
    let scheme = match proxy.scheme {
        ProxyScheme::Http => "http",
        ProxyScheme::Https => "https",
        ProxyScheme::Socks5 => "socks5",
    };
    // An IPv6 address stands in brackets in a URI.
    let host = if proxy.host.contains(':') && !proxy.host.starts_with('[') {
        format!("[{}]", proxy.host)
    } else {
        proxy.host.clone()
    };
    let address: Uri = format!("{scheme}://{host}:{}", proxy.port)
        .parse()
        .map_err(|_| UpstreamError {
            kind: UpstreamErrorKind::Proxy,
            detail: "the proxy's host is no host name or address".to_owned(),
            source: None,
        })?;
    let login = proxy
        .username
        .as_ref()
        .map(|user| (user.clone(), proxy.password.clone().unwrap_or_default()));
    Ok(match proxy.scheme {
        ProxyScheme::Http => Path::Http(over_tls(tls, tunnel(address, tcp, login)?)),
        ProxyScheme::Https => Path::Https(over_tls(tls, tunnel(address, over_tls(tls, tcp), login)?)),
        ProxyScheme::Socks5 => Path::Socks(over_tls(tls, Socks::new(address, login, tcp))),
    })
}

fn tunnel<C>(address: Uri, inner: C, login: Option<(String, String)>) -> Result<Tunnel<C>, UpstreamError> {
    let tunnel = Tunnel::new(address, inner);
    let Some((user, password)) = login else {
        return Ok(tunnel);
    };
    let value = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
    HeaderValue::from_str(&value)
        .map(|value| tunnel.with_auth(value))
        .map_err(|_| UpstreamError {
            kind: UpstreamErrorKind::Proxy,
            detail: "the proxy's login cannot be sent".to_owned(),
            source: None,
        })
}

fn over_tls<C>(tls: &Arc<rustls::ClientConfig>, inner: C) -> HttpsConnector<C> {
    HttpsConnectorBuilder::new()
        .with_tls_config(rustls::ClientConfig::clone(tls))
        .https_or_http()
        .enable_http1()
        .wrap_connector(inner)
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Link, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        // Every path is ready: paths hold no resource that could be exhausted.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // The proxy resolves the name, so only the name can be checked.
        if !matches!(self.path, Path::Direct(_))
            && let Err(refusal) = self.guard.remote(&to)
        {
            let failure = ConnectFailure {
                kind: UpstreamErrorKind::Forbidden,
                detail: refusal.to_string(),
            };
            return Box::pin(std::future::ready(Err(failure)));
        }
        match &mut self.path {
            Path::Direct(path) => within(self.limit, path.call(to), UpstreamErrorKind::Connect),
            Path::Http(path) => within(self.limit, path.call(to), UpstreamErrorKind::Proxy),
            Path::Https(path) => within(self.limit, path.call(to), UpstreamErrorKind::Proxy),
            Path::Socks(path) => within(self.limit, path.call(to), UpstreamErrorKind::Proxy),
        }
    }
}

fn within<F, T>(
    limit: Duration,
    connecting: F,
    kind: UpstreamErrorKind,
) -> <Connector as Service<Uri>>::Future
where
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
    T: Io + Send + 'static,
{
    Box::pin(async move {
        match tokio::time::timeout(limit, connecting).await {
            Ok(Ok(link)) => Ok(Link { io: Box::new(link) }),
            Ok(Err(error)) => Err(explain(&*error, kind)),
            Err(_) => Err(ConnectFailure {
                kind: UpstreamErrorKind::Timeout,
                detail: format!("no connection within {} s", limit.as_secs_f32()),
            }),
        }
    })
}

fn explain(error: &(dyn std::error::Error + 'static), otherwise: UpstreamErrorKind) -> ConnectFailure {
    let mut kind = otherwise;
    let mut cause = error;
    loop {
        if let Some(refused) = Refused::within(cause) {
            return ConnectFailure {
                kind: UpstreamErrorKind::Forbidden,
                detail: refused.to_string(),
            };
        }
        if is_tls(cause) {
            kind = UpstreamErrorKind::Tls;
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => {
                return ConnectFailure {
                    kind,
                    detail: cause.to_string(),
                };
            }
        }
    }
}

/// rustls reports through `io::Error`, which does not count its payload as a source.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<rustls::Error>()
        || error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

trait Io: Read + Write + Unpin {}

impl<T: Read + Write + Unpin> Io for T {}

/// A connection over any path.
pub(super) struct Link {
    io: Box<dyn Io + Send>,
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(context, into)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(context, bytes)
    }
}
