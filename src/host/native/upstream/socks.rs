//! Connections through a SOCKS5 proxy. The connection to the proxy is made first and separately, because the
//! library's error hides the reason of a failure.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::guard::Guarded;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub(super) struct Socks {
    /// `socks5://host:port`
    proxy: Uri,
    login: Option<(String, String)>,
    tcp: Guarded,
}

impl Socks {
    pub(super) fn new(proxy: Uri, login: Option<(String, String)>, tcp: Guarded) -> Self {
        Self { proxy, login, tcp }
    }
}

impl Service<Uri> for Socks {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.tcp.call(self.proxy.clone());
        let (proxy, login) = (self.proxy.clone(), self.login.clone());
        Box::pin(async move {
            let connection = ProxyConnection(Some(connecting.await?));
            let mut socks = SocksV5::new(proxy, connection);
            if let Some((user, password)) = login {
                socks = socks.with_auth(user, password);
            }
            socks.call(to).await.map_err(BoxError::from)
        })
    }
}

/// Returns the existing connection, once.
struct ProxyConnection(Option<TokioIo<TcpStream>>);

impl Service<Uri> for ProxyConnection {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Ready<Result<TokioIo<TcpStream>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| "the connection is taken".into()))
    }
}
