//! Listening: one acceptor, one event loop per core, graceful end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::http::extract::{ClientAddress, FromThisMachine};

/// How long a client may take to send a request's head, and to begin another one: longer than the proxies in
/// front of us keep idle connections, so that it is not we who close one that is just being used.
const HEAD_TIMEOUT: Duration = Duration::from_mins(3);

/// A connection's buffer may grow to this. hyper's own limit, three times as much, is kept by every connection
/// that ever saw a large body.
pub(super) const BUFFER: usize = 128 << 10;

/// How long running calls may go on after the process was asked to end.
const DRAIN: Duration = Duration::from_secs(25);

/// The connection threads.
pub struct Server {
    loops: Vec<EventLoop>,
    stop: watch::Sender<bool>,
}

struct EventLoop {
    connections: mpsc::UnboundedSender<std::net::TcpStream>,
    load: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Server {
    /// Starts `threads` event loops that serve the same.
    pub fn start(service: &Service, threads: usize) -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let loops = (0..threads.max(1))
            .map(|number| EventLoop::start(number, service.clone(), stopped.clone()))
            .collect::<std::io::Result<_>>()?;
        Ok(Self { loops, stop })
    }

    /// Accepts connections until `end` resolves, then lets running calls finish, within a bound.
    pub async fn run(self, listener: TcpListener, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.hand_over(stream),
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

    fn hand_over(&self, stream: TcpStream) {
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
                let _ = idlest.connections.send(stream);
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
    fn start(number: usize, service: Service, stopped: watch::Receiver<bool>) -> std::io::Result<Self> {
        let (connections, inbox) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let load_inside = load.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name(format!("crs-conn-{number}"))
            .spawn(move || runtime.block_on(serve(inbox, service, load_inside, stopped)))?;
        Ok(Self {
            connections,
            load,
            thread,
        })
    }
}

async fn serve(
    mut inbox: mpsc::UnboundedReceiver<std::net::TcpStream>,
    service: Service,
    load: Arc<AtomicUsize>,
    mut stopped: watch::Receiver<bool>,
) {
    let tracker = tokio_util::task::TaskTracker::new();
    let stop = stopped.clone();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            stream = inbox.recv() => match stream {
                Some(stream) => {
                    let (service, load, stop) = (service.clone(), load.clone(), stop.clone());
                    tracker.spawn(async move {
                        let done = Counted(load);
                        connection(stream, service, stop).await;
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

/// What every connection serves.
#[derive(Clone)]
pub struct Service {
    pub router: Router,
    /// Whether `x-forwarded-for` is the word of a proxy of ours.
    pub trust_proxy: bool,
    /// A client that takes nothing of what is sent to it for this long is cut off.
    pub write_limit: Duration,
}

/// A connection that ends, however it ends, is no load any more.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(stream: std::net::TcpStream, service: Service, mut stop: watch::Receiver<bool>) {
    let Ok((stream, peer)) = adopt(stream) else { return };
    let Ok(own) = stream.local_addr() else { return };
    // hyper asks a body for more only when what came is written: a client that takes nothing would hold its
    // call for ever.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(service.write_limit));
    let stream = Box::pin(stream);
    let service = service_fn(move |request: Request<Incoming>| {
        let Service {
            router, trust_proxy, ..
        } = service.clone();
        async move {
            let mut request = request.map(Body::new);
            crate::http::collapse_slashes(&mut request);
            let address = ClientAddress::new(peer.ip(), request.headers(), trust_proxy);
            request.extensions_mut().insert(address);
            if let Some(proof) = FromThisMachine::proven(peer.ip(), own.ip(), request.headers()) {
                request.extensions_mut().insert(proof);
            }
            router.oneshot(request).await as Result<_, Infallible>
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let stopping = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    tokio::select! {
        ended = connection.as_mut() => log_end(ended, peer),
        () = stopping => {
            connection.as_mut().graceful_shutdown();
            log_end(connection.await, peer);
        }
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
