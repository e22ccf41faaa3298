//! Provider connections: hyper's pooled client over rustls, one pool per thread and proxy.
//!
//! HTTP/1.1 only: a leaving client ends its provider call by closing the connection, which every provider
//! and every proxy understands, and one slow stream never holds up another.

mod connect;
mod guard;
mod socks;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use self::connect::{ConnectFailure, Connector};
use self::guard::{Guard, Resolve, SystemNames};
use crate::model::account::Proxy;
use crate::port::destination::Destinations;
use crate::port::upstream::{Body, BodyError, Route, Upstream, UpstreamError, UpstreamErrorKind};

/// Idle connections are kept this long: shorter than providers keep them, so that ours are seldom stale.
const IDLE: Duration = Duration::from_secs(50);

/// Idle connections per host and thread.
const IDLE_PER_HOST: usize = 256;

type Pooled = Client<Connector, Full<Bytes>>;

/// The key of a cached client: its destination rules, the proxy, and how long connecting may take.
type Way = (u64, Option<Arc<Proxy>>, Duration);

thread_local! {
    static CLIENTS: RefCell<HashMap<Way, Pooled>> = RefCell::default();
}

pub struct NativeUpstream {
    /// A connection that one of them was allowed to make is not another's: tests have several in a process.
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

    /// The thread's client for this route. A client is an `Arc` inside.
    fn client(&self, route: &Route) -> Result<Pooled, UpstreamError> {
        CLIENTS.with(|clients| {
            let mut clients = clients.borrow_mut();
            let way = (self.id, route.proxy.clone(), route.connect_timeout);
            if let Some(client) = clients.get(&way) {
                return Ok(client.clone());
            }
            let (proxy, limit) = (route.proxy.as_deref(), route.connect_timeout);
            let connector = Connector::new(&self.tls, &self.guard, proxy, limit)?;
            let client = Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(IDLE_PER_HOST)
                .http1_max_buf_size(super::server::BUFFER)
                .build(connector);
            clients.insert(way, client.clone());
            Ok(client)
        })
    }
}

#[async_trait]
impl Upstream for NativeUpstream {
    async fn send(&self, request: Request<Bytes>, route: &Route) -> Result<Response<Body>, UpstreamError> {
        let client = self.client(route)?;
        let mut request = request.map(Full::new);
        let connection = capture_connection(&mut request);
        let answer = client.request(request);
        match tokio::time::timeout(route.head_timeout, answer).await {
            Ok(Ok(response)) => {
                if let Some(connected) = connection.connection_metadata().as_ref() {
                    connect::mark_used(connected);
                }
                Ok(response.map(|body| body.map_err(|error| BodyError(root_cause(&error))).boxed_unsync()))
            }
            Ok(Err(error)) => {
                let mut error = explain(error);
                let idle = connection
                    .connection_metadata()
                    .as_ref()
                    .is_some_and(connect::was_used);
                if error.kind == UpstreamErrorKind::Broken && idle {
                    error.kind = UpstreamErrorKind::Stale;
                }
                Err(error)
            }
            Err(_) => Err(UpstreamError {
                kind: UpstreamErrorKind::Timeout,
                detail: format!("no answer within {} s", route.head_timeout.as_secs_f32()),
                source: None,
            }),
        }
    }
}

fn explain(error: hyper_util::client::legacy::Error) -> UpstreamError {
    let (kind, detail) = match connect_failure(&error) {
        Some(failure) => (failure.kind, failure.detail.clone()),
        None if error.is_connect() => (UpstreamErrorKind::Connect, root_cause(&error)),
        None => (UpstreamErrorKind::Broken, root_cause(&error)),
    };
    UpstreamError {
        kind,
        detail,
        source: Some(Box::new(error)),
    }
}

fn connect_failure<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a ConnectFailure> {
    error.downcast_ref().or_else(|| connect_failure(error.source()?))
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
