//! Listening: one acceptor, one event loop per core, graceful end.

mod client_socket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use self::client_socket::{ClientSocket, Watch};
use super::connections::{ConnectionPermit, ConnectionRefusal, Connections};
use crate::http::extract::{ClientAddress, FromThisMachine};

/// A connection's buffer may grow to this. hyper's own limit, three times as much, is kept by every connection
/// that ever saw a large body.
pub(super) const BUFFER: usize = 128 << 10;

/// Refusals at once that are given time to arrive; further connections are just closed.
const REFUSALS: usize = 64;

/// How long a refused client may take to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// The answer to a connection above the cap. Its protocol is not known yet.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 10\r\nconnection: close\r\ncontent-length: 141\r\n\r\n{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"This relay has as many connections as it can hold. Please try again shortly.\"}}";

/// How long running calls may go on after the process was asked to end.
const DRAIN: Duration = Duration::from_secs(25);

/// The connection threads.
pub struct Server {
    loops: Vec<EventLoop>,
    connections: Arc<Connections>,
    trust_proxy: bool,
    began: Instant,
    refusals: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

struct EventLoop {
    connections: mpsc::UnboundedSender<(std::net::TcpStream, ConnectionPermit)>,
    load: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Server {
    /// Starts `threads` event loops that serve the same.
    pub fn start(service: &Service, threads: usize) -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let began = Instant::now();
        let loops = (0..threads.max(1))
            .map(|number| EventLoop::start(number, service.clone(), began, stopped.clone()))
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            loops,
            connections: service.connections.clone(),
            trust_proxy: service.trust_proxy,
            began,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            stop,
        })
    }

    /// Accepts connections until `end` resolves, then lets running calls finish, within a bound.
    pub async fn run(self, listener: TcpListener, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => match self.admit(peer) {
                        Ok(connected) => self.hand_over(stream, connected),
                        Err(refusal) => self.refuse(stream, peer, refusal),
                    },
                    Err(error) => {
                        // Out of file descriptors, mostly: accepting at once again would only burn the CPU.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        drop(listener);
        self.drain().await;
    }

    fn admit(&self, peer: SocketAddr) -> Result<ConnectionPermit, ConnectionRefusal> {
        self.connections
            .admit(peer.ip(), self.trust_proxy, since(self.began))
    }

    /// Says why, and closes. A connection that is closed with bytes unread may be reset before its client reads
    /// anything, so what it sends is read for a moment, if not too many are refused.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is lost if it is cut at the end"
    )]
    fn refuse(&self, mut stream: TcpStream, peer: SocketAddr, refusal: ConnectionRefusal) {
        tracing::debug!(%peer, ?refusal, "a connection was refused");
        let Ok(turn) = self.refusals.clone().try_acquire_owned() else {
            return;
        };
        tokio::task::spawn(async move {
            let told = async {
                stream.write_all(TOO_MANY).await?;
                stream.shutdown().await?;
                let mut sink = [0; 4096];
                while stream.read(&mut sink).await? > 0 {}
                Ok::<_, std::io::Error>(())
            };
            let _ = tokio::time::timeout(REFUSAL_TIME, told).await;
            drop(turn);
        });
    }

    fn hand_over(&self, stream: TcpStream, connected: ConnectionPermit) {
        let Some(idlest) = self
            .loops
            .iter()
            .min_by_key(|one| one.load.load(Ordering::Relaxed))
        else {
            return;
        };
        match stream.into_std() {
            Ok(stream) => {
                idlest.load.fetch_add(1, Ordering::Relaxed);
                let _ = idlest.connections.send((stream, connected));
            }
            Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
        }
    }

    async fn drain(self) {
        let _ = self.stop.send(true);
        let threads = self.loops.into_iter().map(|one| one.thread).collect::<Vec<_>>();
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

impl EventLoop {
    fn start(
        number: usize,
        service: Service,
        began: Instant,
        stopped: watch::Receiver<bool>,
    ) -> std::io::Result<Self> {
        let (connections, inbox) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let load_inside = load.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name(format!("crs-conn-{number}"))
            .spawn(move || runtime.block_on(serve(inbox, service, began, load_inside, stopped)))?;
        Ok(Self {
            connections,
            load,
            thread,
        })
    }
}

async fn serve(
    mut inbox: mpsc::UnboundedReceiver<(std::net::TcpStream, ConnectionPermit)>,
    service: Service,
    began: Instant,
    load: Arc<AtomicUsize>,
    mut stopped: watch::Receiver<bool>,
) {
    let tracker = tokio_util::task::TaskTracker::new();
    let stop = stopped.clone();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            stream = inbox.recv() => match stream {
                Some((stream, connected)) => {
                    let (service, load, stop) = (service.clone(), load.clone(), stop.clone());
                    tracker.spawn(async move {
                        let done = LoadGuard(load);
                        connection(stream, connected, service, began, stop).await;
                        drop(done);
                    });
                }
                None => break,
            },
        }
    }
    tracker.close();
    if tokio::time::timeout(DRAIN, tracker.wait()).await.is_err() {
        tracing::warn!(
            "calls were still running after {} s; they are cut",
            DRAIN.as_secs()
        );
    }
}

/// The router and limits that every connection shares.
#[derive(Clone)]
pub struct Service {
    pub router: Router,
    /// Whether `x-forwarded-for` is the word of a proxy of ours.
    pub trust_proxy: bool,
    /// A client that takes nothing of what is sent to it for this long is cut off.
    pub write_limit: Duration,
    pub connections: Arc<Connections>,
}

/// Takes a connection off the load when it ends, however it ends.
struct LoadGuard(Arc<AtomicUsize>);

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response's body, which keeps its connection from being idle until it has ended.
struct Answering {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Answering {
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

/// A request that is being served.
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

/// Milliseconds.
fn since(began: Instant) -> u64 {
    began.elapsed().as_millis() as u64
}

async fn connection(
    stream: std::net::TcpStream,
    connected: ConnectionPermit,
    service: Service,
    began: Instant,
    mut stop: watch::Receiver<bool>,
) {
    let Ok((stream, peer)) = adopt(stream) else { return };
    let Ok(own) = stream.local_addr() else { return };
    let (socket, watch) = ClientSocket::new(stream);
    // hyper asks a body for more only when what came is written: a client that takes nothing would hold its
    // call for ever.
    let mut stream = TimeoutStream::new(socket);
    stream.set_write_timeout(Some(service.write_limit));
    let stream = Box::pin(stream);
    let connected = Arc::new(connected);
    let head_limit = service.connections.limits().idle;
    let (serving, requests) = (connected.clone(), watch.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = Busy::new(&serving, began, &requests);
        let mut request = requests.request(request);
        let Service {
            router, trust_proxy, ..
        } = service.clone();
        async move {
            crate::http::collapse_slashes(&mut request);
            let address = ClientAddress::new(peer.ip(), request.headers(), trust_proxy);
            request.extensions_mut().insert(address);
            if let Some(proof) = FromThisMachine::proven(peer.ip(), own.ip(), request.headers()) {
                request.extensions_mut().insert(proof);
            }
            let answer: Result<_, Infallible> = router.oneshot(request).await;
            answer.map(|response| response.map(|body| Answering { body, _busy: busy }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_limit)
        .max_buf_size(BUFFER)
        // It takes no FIN for a client that leaves: the watch knows better.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let stopping = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let idle_for = || connected.activity().idle_for(since(began));
    let too_idle = async {
        while idle_for() <= connected.patience() {
            tokio::time::sleep(connected.look()).await;
        }
    };
    let served = async {
        tokio::select! {
            ended = connection.as_mut() => log_end(ended, peer),
            () = too_idle => tracing::debug!(%peer, "an idle connection made room for others"),
            () = connected.evicted() => {
                tracing::debug!(%peer, "a connection was evicted for another");
                // A request that began in between is served.
                if idle_for() == Duration::ZERO {
                    connection.as_mut().graceful_shutdown();
                    log_end(connection.await, peer);
                }
            }
            () = stopping => {
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
        // Clients come and go; this is of interest only to who looks for it.
        tracing::debug!(%peer, %error, "connection ended");
    }
}

#[cfg(test)]
mod tests;
