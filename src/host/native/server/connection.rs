//! One client connection: its requests, and the reasons to end it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, Request, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;

use super::client_socket::{ClientSocket, Watch};
use super::socket::Upgrading;
use super::{BUFFER, Service, Stage, since};
use crate::host::native::connections::ConnectionPermit;
use crate::http::extract::{ClientAddress, FromThisMachine};

/// How long a connection may take to send its first request if it was accepted just before the shutdown.
const FIRST_REQUEST: Duration = Duration::from_secs(2);

/// A response's body, which keeps its connection from being idle until it has ended.
struct AnswerBody {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request in progress.
struct Busy {
    connected: Arc<ConnectionPermit>,
    began: Instant,
    watch: Watch,
}

impl Busy {
    fn new(connected: &Arc<ConnectionPermit>, began: Instant, watch: &Watch) -> Self {
        connected.activity().begin();
        Self {
            connected: connected.clone(),
            began,
            watch: watch.clone(),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.connected.activity().end(since(self.began));
        self.watch.answered();
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    stream: std::net::TcpStream,
    connected: ConnectionPermit,
    service: Service,
    began: Instant,
    mut stage: watch::Receiver<Stage>,
) {
    let Ok((stream, peer)) = adopt(stream) else { return };
    let Ok(own) = stream.local_addr() else { return };
    let (socket, watch) = ClientSocket::new(stream);
    // hyper asks a body for more only after the last piece is written: a client that reads nothing would hold its
    // call for ever.
    let mut stream = TimeoutStream::new(socket);
    stream.set_write_timeout(Some(service.write_limit));
    let stream = Box::pin(stream);
    let connected = Arc::new(connected);
    let (serving, requests, staged) = (connected.clone(), watch.clone(), stage.clone());
    let is_new = Arc::new(AtomicBool::new(true));
    let was_new = is_new.clone();
    let upgrading = Arc::new(Mutex::new(None));
    let becomes = upgrading.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        was_new.store(false, Ordering::Relaxed);
        let busy = Busy::new(&serving, began, &requests);
        let mut request = requests.request(request);
        let Service {
            routes, trust_proxy, ..
        } = service.clone();
        let is_last = *staged.borrow() != Stage::Serves;
        let becomes = becomes.clone();
        async move {
            let upgraded = request.extensions_mut().remove::<OnUpgrade>();
            let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
            crate::http::collapse_slashes(&mut request);
            let address = ClientAddress::new(peer.ip(), request.headers(), trust_proxy);
            request.extensions_mut().insert(address);
            if let Some(proof) = FromThisMachine::proven(peer.ip(), own.ip(), request.headers()) {
                request.extensions_mut().insert(proof);
            }
            let mut response = routes
                .answer(request)
                .await
                .map(|body| AnswerBody { body, _busy: busy });
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let socket = Upgrading::of(&mut response, upgraded, key.as_ref());
                *becomes.lock().unwrap_or_else(PoisonError::into_inner) = socket;
            } else if is_last {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    // Reading a head has no timeout of its own: until it is read, the connection counts as idle.
    let connection = http1::Builder::new()
        .max_buf_size(BUFFER)
        // hyper must not treat a FIN as a client that leaves: the watch is more precise.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let later = stage.clone();
    let idle_for = || connected.activity().idle_for(since(began));
    let stopping = async move {
        let _ = stage.wait_for(|stage| *stage >= Stage::Drains).await;
        End::Stopping
    };
    let too_idle = async {
        while idle_for() <= connected.patience() {
            tokio::time::sleep(connected.look()).await;
        }
        End::Idle
    };
    let evicted = async {
        connected.evicted().await;
        End::Evicted
    };
    // Polled only when one of them was woken, and not at every event of the connection.
    let mut ends: FuturesUnordered<Pin<Box<dyn Future<Output = End> + Send + '_>>> =
        [stopping.boxed(), too_idle.boxed(), evicted.boxed()]
            .into_iter()
            .collect();
    let served = async {
        let ended = std::future::poll_fn(|context| {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(End::Served(ended));
            }
            ends.poll_next_unpin(context).map(|end| end.unwrap_or(End::Idle))
        });
        match ended.await {
            End::Served(ended) => log_end(ended, peer),
            End::Idle => tracing::debug!(%peer, "an idle connection made room for others"),
            End::Evicted => {
                tracing::debug!(%peer, "a connection was evicted for another");
                // A request that started in between is served.
                if idle_for() == Duration::ZERO {
                    connection.as_mut().graceful_shutdown();
                    log_end(connection.await, peer);
                }
            }
            End::Stopping => {
                // The first request of a new connection is on its way, and is served.
                if is_new.load(Ordering::Relaxed) {
                    tokio::select! {
                        ended = connection.as_mut() => return log_end(ended, peer),
                        () = tokio::time::sleep(FIRST_REQUEST) => {}
                    }
                }
                connection.as_mut().graceful_shutdown();
                log_end(connection.await, peer);
            }
        }
    };
    tokio::select! {
        // First, so that the watch knows what has been written.
        biased;
        () = served => {}
        () = watch.gone() => tracing::debug!(%peer, "the client left before it was answered"),
    }
    let upgrading = upgrading.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(socket) = upgrading {
        // Boxed, since few connections become one: it is several times as large as the rest.
        Box::pin(socket.serve(connected.clone(), began, later)).await;
        tracing::debug!(%peer, "a WebSocket ended");
    }
}

/// The reasons to end a connection.
enum End {
    Served(hyper::Result<()>),
    Idle,
    Evicted,
    Stopping,
}

fn adopt(stream: std::net::TcpStream) -> std::io::Result<(TcpStream, SocketAddr)> {
    // Without it the last small frame of an answer waits 40 ms for an acknowledgement.
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let peer = stream.peer_addr()?;
    Ok((TcpStream::from_std(stream)?, peer))
}

fn log_end(ended: hyper::Result<()>, peer: SocketAddr) {
    if let Err(error) = ended {
        // Clients come and go; this is only of interest for debugging.
        tracing::debug!(%peer, %error, "connection ended");
    }
}
