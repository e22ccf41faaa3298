//! Listening: one acceptor, one event loop per core, graceful shutdown.

mod client_socket;
mod connection;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::connections::{ConnectionPermit, ConnectionRefusal, Connections};
use crate::http::direct::Routes;

/// Upper bound of a connection's buffer. A connection that ever received a large body would keep hyper's own limit,
/// three times as much.
pub(super) const BUFFER: usize = 128 << 10;

/// Number of refusals in progress that get time to arrive; further connections are just closed.
const REFUSALS: usize = 64;

/// How long a refused client has to read the reason.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// The answer to a connection above the cap. Its protocol is not known yet.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 10\r\nconnection: close\r\ncontent-length: 141\r\n\r\n{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"This relay has as many connections as it can hold. Please try again shortly.\"}}";

/// The answer to a connection that arrives during shutdown.
const ENDING: &str = "{\"status\":\"ending\",\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"This relay is ending. Please try again: another of its processes will answer, or this one when it is started again.\"}}";

/// How a server shuts down.
pub struct Ending<A, O> {
    /// Resolves at the first signal.
    pub asked: A,
    /// Resolves at the second signal: then running calls are cut.
    pub at_once: O,
    /// How long the server still accepts calls after the signal, so that a balancer notices before any call is
    /// refused.
    pub notice: Duration,
    /// How long running calls may continue after that.
    pub grace: Duration,
}

/// The progress of the shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serves,
    /// Connections end with their next answer.
    Notice,
    /// Connections end as soon as they are idle.
    Drains,
    /// Connections end at once.
    Cut,
}

/// The connection threads.
pub struct Server {
    loops: Vec<EventLoop>,
    connections: Arc<Connections>,
    trust_proxy: bool,
    began: Instant,
    refusals: Arc<Semaphore>,
    stage: watch::Sender<Stage>,
}

struct EventLoop {
    connections: mpsc::UnboundedSender<(std::net::TcpStream, ConnectionPermit)>,
    load: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Server {
    /// Starts `threads` event loops with the same service.
    pub fn start(service: &Service, threads: usize) -> std::io::Result<Self> {
        let (stage, staged) = watch::channel(Stage::Serves);
        let began = Instant::now();
        let loops = (0..threads.max(1))
            .map(|number| EventLoop::start(number, service.clone(), began, staged.clone()))
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            loops,
            connections: service.connections.clone(),
            trust_proxy: service.trust_proxy,
            began,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            stage,
        })
    }

    /// Accepts connections until the signal, then lets running calls finish, within a time limit. Meanwhile a new
    /// connection gets 503. After a notice the listener is closed instead: a balancer that still connects is refused
    /// at once and tries the next process.
    pub async fn run<A, O>(mut self, listener: TcpListener, ending: Ending<A, O>)
    where
        A: Future<Output = ()>,
        O: Future<Output = ()>,
    {
        let Ending {
            asked,
            at_once,
            notice,
            grace,
        } = ending;
        let mut at_once = std::pin::pin!(at_once);
        let is_cut = {
            let noticed = async {
                asked.await;
                if notice.is_zero() {
                    return false;
                }
                let _ = self.stage.send(Stage::Notice);
                tokio::time::timeout(notice, at_once.as_mut()).await.is_ok()
            };
            let mut noticed = std::pin::pin!(noticed);
            loop {
                tokio::select! {
                    // First, so that no connection is accepted for service after the process said that it ends.
                    biased;
                    is_cut = &mut noticed => break is_cut,
                    accepted = listener.accept() => match accepted {
                        Ok((stream, peer)) => match self.admit(peer) {
                            Ok(connected) => self.hand_over(stream, connected),
                            Err(refusal) => self.refuse(stream, peer, refusal),
                        },
                        Err(error) => not_accepted(&error).await,
                    },
                }
            }
        };
        let _ = self.stage.send(if is_cut { Stage::Cut } else { Stage::Drains });
        let mut drained = std::pin::pin!(drained(std::mem::take(&mut self.loops)));
        let stage = &self.stage;
        let ended = async {
            if !is_cut {
                tokio::select! {
                    () = drained.as_mut() => return,
                    () = at_once => {}
                    () = tokio::time::sleep(grace) => {
                        let seconds = grace.as_secs();
                        tracing::warn!("calls were still running after {seconds} s; they are cut");
                    }
                }
                let _ = stage.send(Stage::Cut);
            }
            drained.await;
        };
        let mut ended = std::pin::pin!(ended);
        if !notice.is_zero() {
            drop(listener);
            return ended.await;
        }
        loop {
            tokio::select! {
                () = &mut ended => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.turn_away(stream, ending_answer()),
                    Err(error) => not_accepted(&error).await,
                },
            }
        }
    }

    fn admit(&self, peer: SocketAddr) -> Result<ConnectionPermit, ConnectionRefusal> {
        self.connections
            .admit(peer.ip(), self.trust_proxy, since(self.began))
    }

    fn refuse(&self, stream: TcpStream, peer: SocketAddr, refusal: ConnectionRefusal) {
        tracing::debug!(%peer, ?refusal, "a connection was refused");
        self.turn_away(stream, TOO_MANY.to_vec());
    }

    /// Sends the answer, and closes. A connection that is closed with unread bytes may be reset before its client
    /// reads anything, so its input is read for a moment, unless too many are being refused.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is lost if it is cut at the end"
    )]
    fn turn_away(&self, mut stream: TcpStream, answer: Vec<u8>) {
        let Ok(turn) = self.refusals.clone().try_acquire_owned() else {
            return;
        };
        tokio::task::spawn(async move {
            let answered = async {
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
                let mut sink = [0; 4096];
                while stream.read(&mut sink).await? > 0 {}
                Ok::<_, std::io::Error>(())
            };
            let _ = tokio::time::timeout(REFUSAL_TIME, answered).await;
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
}

/// Resolves when every event loop has ended.
async fn drained(loops: Vec<EventLoop>) {
    let joined = tokio::task::spawn_blocking(move || {
        for one in loops {
            drop(one.connections);
            let _ = one.thread.join();
        }
    });
    let _ = joined.await;
}

async fn not_accepted(error: &std::io::Error) {
    // Usually out of file descriptors: an immediate retry would only burn CPU.
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn ending_answer() -> Vec<u8> {
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: ";
    format!("{head}{}\r\n\r\n{ENDING}", ENDING.len()).into_bytes()
}

impl EventLoop {
    fn start(
        number: usize,
        service: Service,
        began: Instant,
        stage: watch::Receiver<Stage>,
    ) -> std::io::Result<Self> {
        let (connections, inbox) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let load_inside = load.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name(format!("crs-conn-{number}"))
            .spawn(move || runtime.block_on(serve(inbox, service, began, load_inside, stage)))?;
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
    mut stage: watch::Receiver<Stage>,
) {
    let tracker = tokio_util::task::TaskTracker::new();
    let staged = stage.clone();
    let mut drains = false;
    loop {
        tokio::select! {
            // Connections accepted before that are still in the inbox, and are served.
            _ = stage.wait_for(|stage| *stage >= Stage::Drains), if !drains => {
                drains = true;
                inbox.close();
            }
            stream = inbox.recv() => match stream {
                Some((stream, connected)) => {
                    let (service, load, staged) = (service.clone(), load.clone(), staged.clone());
                    tracker.spawn(async move {
                        let done = LoadGuard(load);
                        connection::serve(stream, connected, service, began, staged).await;
                        drop(done);
                    });
                }
                None => break,
            },
        }
    }
    tracker.close();
    tokio::select! {
        () = tracker.wait() => {}
        _ = stage.wait_for(|stage| *stage == Stage::Cut) => {}
    }
}

/// The routes and limits that all connections share.
#[derive(Clone)]
pub struct Service {
    pub routes: Routes,
    /// Whether `x-forwarded-for` comes from a trusted proxy.
    pub trust_proxy: bool,
    /// A client that reads nothing of its answer for this long is cut off.
    pub write_limit: Duration,
    pub connections: Arc<Connections>,
}

/// Takes a connection off the load when it ends, in whatever way.
struct LoadGuard(Arc<AtomicUsize>);

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Milliseconds.
fn since(began: Instant) -> u64 {
    began.elapsed().as_millis() as u64
}

#[cfg(test)]
mod tests;
