//! TCP connections to allowed destinations only: every address of a name is checked, and the connection is made to
//! the checked addresses. Nothing is resolved a second time, so a name that resolves differently every time gains
//! nothing.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::model::account::Proxy;
use crate::model::address::unbracketed;
use crate::port::destination::{Bounds, Destinations, Refusal};

type BoxError = Box<dyn StdError + Send + Sync>;

type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, BoxError>> + Send>>;

/// The addresses of a name; their ports are meaningless.
pub(super) type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How names become addresses.
pub(super) trait Resolve: Send + Sync {
    fn resolve(&self, name: String) -> Resolving;
}

/// The system's resolver. It blocks, so it runs on a blocking thread.
pub(super) struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: String) -> Resolving {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }
}

/// The rules, and how to resolve names.
#[derive(Clone)]
pub(super) struct Guard {
    destinations: Arc<Destinations>,
    names: Arc<dyn Resolve>,
}

impl Guard {
    pub(super) fn new(destinations: Destinations, names: Arc<dyn Resolve>) -> Self {
        Self {
            destinations: Arc::new(destinations),
            names,
        }
    }

    /// Connects to the hosts of providers.
    pub(super) fn to_targets(&self, limit: Duration) -> Guarded {
        self.connector(None, limit)
    }

    /// Connects to this proxy, whatever address is passed in.
    pub(super) fn to_proxy(&self, proxy: &Proxy, limit: Duration) -> Guarded {
        self.connector(Some(Arc::new(proxy.clone())), limit)
    }

    /// See [`Destinations::remote`].
    pub(super) fn remote(&self, target: &Uri) -> Result<(), Refusal> {
        self.destinations.remote(target)
    }

    fn connector(&self, proxy: Option<Arc<Proxy>>, limit: Duration) -> Guarded {
        Guarded {
            guard: self.clone(),
            proxy,
            limit,
        }
    }
}

/// Makes TCP connections, each to a checked address.
#[derive(Clone)]
pub(super) struct Guarded {
    guard: Guard,
    /// `None`: the address passed in is a provider's.
    proxy: Option<Arc<Proxy>>,
    limit: Duration,
}

impl Guarded {
    fn bounds(&self, to: &Uri) -> Result<Bounds, Refusal> {
        match &self.proxy {
            Some(proxy) => self.guard.destinations.proxy(proxy),
            None => self.guard.destinations.target(to),
        }
    }

    fn connect(&self, to: Uri) -> Result<Connecting, Refused> {
        let bounds = self.bounds(&to)?;
        // An IP address in the usual notation needs no resolver.
        if let Some(Ok(address)) = to.host().map(|host| unbracketed(host).parse::<IpAddr>()) {
            bounds.admit(address)?;
        }
        // The time limits are for this one connection, and so is the connector. It holds no other state.
        let mut tcp = HttpConnector::new_with_resolver(Checked {
            bounds,
            names: self.guard.names.clone(),
        });
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.limit));
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        tcp.enforce_http(false);
        Ok(Box::pin(
            async move { tcp.call(to).await.map_err(BoxError::from) },
        ))
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self.connect(to) {
            Ok(connecting) => connecting,
            Err(refused) => Box::pin(std::future::ready(Err(refused.into()))),
        }
    }
}

/// Resolves a name, and returns its addresses only if all of them are allowed: a name with one address inside and one
/// outside does not belong to a provider.
#[derive(Clone)]
struct Checked {
    bounds: Bounds,
    names: Arc<dyn Resolve>,
}

impl Service<Name> for Checked {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.names.resolve(name.as_str().to_owned());
        let bounds = self.bounds.clone();
        Box::pin(async move {
            let addresses = resolving.await?;
            for address in &addresses {
                bounds.admit(address.ip()).map_err(Refused)?;
            }
            Ok(addresses.into_iter())
        })
    }
}

/// The rules forbid the connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Refused(#[from] Refusal);

impl Refused {
    /// The refusal in this error, also inside an `io::Error`, which does not expose its payload as a source.
    pub(super) fn within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        error.downcast_ref::<Self>().or_else(|| {
            let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
            inner.downcast_ref::<Self>()
        })
    }
}
