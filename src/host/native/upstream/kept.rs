//! Idle connections to providers, kept for the next call: a list per host and route on each thread.
//!
//! A call takes a connection from the list. It comes back when the answer's body has ended; dropping the body earlier
//! closes it. The connection that came back last is taken first, so that the others can age and be closed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::header::HeaderValue;
use http::uri::{Authority, Scheme};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::root_cause;
use crate::model::account::Proxy;
use crate::port::upstream::{BodyError, Route};

/// Time that idle connections are kept: shorter than providers keep them, so that ours are rarely stale.
const IDLE: Duration = Duration::from_secs(50);

/// Maximum idle connections per host and route on each thread.
const MOST: usize = 256;

/// An open connection to a host.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    /// The value of the `host` header.
    pub(super) host: HeaderValue,
}

/// The destination of a connection, and the route to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The rules that allowed the connection: rules of one client must not open another's connections.
    client: u64,
    proxy: Option<Arc<Proxy>>,
    connect_timeout: Duration,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
}

impl Place {
    pub(super) fn new(client: u64, route: &Route, to: &Uri) -> Self {
        Self {
            client,
            proxy: route.proxy.clone(),
            connect_timeout: route.connect_timeout,
            scheme: to.scheme().cloned(),
            authority: to.authority().cloned(),
        }
    }
}

struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Default)]
struct Kept {
    places: RefCell<HashMap<Place, Vec<Idle>>>,
    /// The task that closes old connections runs.
    tidied: Cell<bool>,
}

thread_local! {
    static KEPT: Kept = Kept::default();
}

/// A connection without a request, open as far as this side knows.
pub(super) fn take(place: &Place) -> Option<Connection> {
    KEPT.with(|kept| {
        let mut places = kept.places.borrow_mut();
        let idle = places.get_mut(place)?;
        idle.retain(|one| !one.connection.sender.is_closed());
        // Not ready if the answer has ended while the request is still being sent.
        let ready = idle.iter().rposition(|one| one.connection.sender.is_ready())?;
        Some(idle.remove(ready).connection)
    })
}

fn keep(place: Place, connection: Connection) {
    if connection.sender.is_closed() {
        return;
    }
    KEPT.with(|kept| {
        let since = Instant::now();
        let mut places = kept.places.borrow_mut();
        let idle = places.entry(place).or_default();
        if idle.len() >= MOST {
            idle.remove(0);
        }
        idle.push(Idle { connection, since });
        if !kept.tidied.replace(true) {
            tidy();
        }
    });
}

/// Closes connections that were idle for too long. Ends when no idle ones are left.
#[expect(clippy::disallowed_methods, reason = "it holds nothing that must be saved")]
fn tidy() {
    tokio::task::spawn(async {
        loop {
            tokio::time::sleep(IDLE / 10).await;
            let more = KEPT.with(|kept| {
                let now = Instant::now();
                let mut places = kept.places.borrow_mut();
                places.retain(|_, idle| {
                    idle.retain(|one| {
                        !one.connection.sender.is_closed() && now.duration_since(one.since) < IDLE
                    });
                    !idle.is_empty()
                });
                kept.tidied.set(!places.is_empty());
                !places.is_empty()
            });
            if !more {
                return;
            }
        }
    });
}

/// An answer's body, with its connection.
pub(super) struct ProviderBody {
    body: Incoming,
    back: Option<(Place, Connection)>,
}

impl ProviderBody {
    pub(super) fn new(body: Incoming, place: Place, connection: Connection) -> Self {
        let mut body = Self {
            body,
            back: Some((place, connection)),
        };
        body.keep_if_ended();
        body
    }

    fn keep_if_ended(&mut self) {
        if http_body::Body::is_end_stream(&self.body) {
            self.keep();
        }
    }

    fn keep(&mut self) {
        if let Some((place, connection)) = self.back.take() {
            keep(place, connection);
        }
    }
}

impl http_body::Body for ProviderBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => {
                self.keep_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.back = None;
                Poll::Ready(Some(Err(BodyError(root_cause(&error)))))
            }
            None => {
                self.keep();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests;
