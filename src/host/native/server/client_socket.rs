//! A client's socket, and whether the client is still there while its call is served.
//!
//! A client that has left and one that has only closed its sending half (`nc -N`, some health checkers) look
//! alike: both sent a FIN. hyper can take every FIN for the one or for the other. Here the time of the FIN and a
//! probe distinguish them:
//!
//! - A FIN after the answer has begun means that the client leaves. A client that closes its sending half does so
//!   right after its request.
//! - A FIN before that causes a probe: an interim response, `100 Continue`, which a client may get at any time
//!   and has to skip (RFC 9110, 15.2). The kernel of a client that closed its socket answers any byte with a RST.
//!   The probe waits for a moment, so that most answers come before it. It is repeated, because a forwarder in
//!   between (Docker's, ssh's) learns of the RST only when it writes again.
//! - HTTP/1.0 has no interim responses. There, every FIN means that the client leaves.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The interim response that probes a client, also sent by hyper to clients that expect it.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Time between a FIN and the first probe. Each further probe waits twice as long as the one before.
const FIRST_QUESTION: Duration = Duration::from_millis(250);

/// The longest time between two probes.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The state of a connection, as a number that is never reused: it grows with each change, and its last two bits are
/// the state.
type Stage = u64;

/// Set while a request is being answered; clear while the connection waits for a request or receives one.
const ANSWERING: Stage = 1;

/// Set if the request's protocol has interim responses.
const INTERIM: Stage = 2;

/// The step to a later state.
const STEP: Stage = 4;

/// State that hyper, the watch and the requests of one connection share.
struct Shared {
    /// Both halves belong to one socket: this stands for it.
    socket: OwnedReadHalf,
    stage: AtomicU64,
    /// Bytes of the answer may be on the wire.
    begun: AtomicBool,
}

impl Shared {
    fn socket(&self) -> &TcpStream {
        self.socket.as_ref()
    }

    /// Wakes no task: the caller's own task polls the watch right after.
    fn becomes(&self, state: Stage) {
        let next = (self.stage.load(Ordering::Relaxed) & !(STEP - 1)).wrapping_add(STEP);
        self.stage.store(next | state, Ordering::Relaxed);
    }

    fn writes(&self, bytes: &[u8]) {
        if bytes != CONTINUE {
            self.begun.store(true, Ordering::Relaxed);
        }
    }
}

/// The socket as hyper reads and writes it.
pub(super) struct ClientSocket {
    shared: Arc<Shared>,
    write: OwnedWriteHalf,
}

/// Observes the requests of a connection; see [`Watch::request`] and [`Watch::gone`].
#[derive(Clone)]
pub(super) struct Watch(Arc<Shared>);

impl ClientSocket {
    pub(super) fn new(stream: TcpStream) -> (Self, Watch) {
        let (socket, write) = stream.into_split();
        let shared = Arc::new(Shared {
            socket,
            stage: AtomicU64::new(0),
            begun: AtomicBool::new(false),
        });
        let watch = Watch(shared.clone());
        (Self { shared, write }, watch)
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.shared.socket();
        loop {
            ready!(socket.poll_read_ready(context))?;
            let mut read = None;
            // A read that does not fill the buffer has drained the socket. Reporting that here saves the read that
            // would find nothing. tokio's own `poll_read`, which needs the socket for itself, does the same.
            let tried = socket.try_io(Interest::READABLE, || {
                let room = buf.remaining();
                let count = socket.try_read_buf(buf)?;
                read = Some(count);
                if 0 < count && count < room {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match tried {
                _ if read.is_some() => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.writes(buf);
        Pin::new(&mut self.write).poll_write(context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A response head is in the first buffer.
        self.shared.writes(bufs.first().map_or(&[], |first| first));
        Pin::new(&mut self.write).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(context)
    }
}

/// A request's body. Dropping it means that the request has been received.
struct RequestBody {
    body: Incoming,
    shared: Arc<Shared>,
    interim: bool,
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.shared.begun.store(false, Ordering::Relaxed);
        let interim = if self.interim { INTERIM } else { 0 };
        self.shared.becomes(ANSWERING | interim);
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Watch {
    /// A request whose progress the watch sees.
    pub(super) fn request(&self, request: Request<Incoming>) -> Request<Body> {
        let interim = request.version() >= Version::HTTP_11;
        let shared = self.0.clone();
        request.map(|body| {
            Body::new(RequestBody {
                body,
                shared,
                interim,
            })
        })
    }

    /// The request has been answered.
    pub(super) fn answered(&self) {
        self.0.becomes(0);
    }

    /// Resolves when the client leaves before its answer is complete. The connection's task must poll it after each
    /// poll of the connection.
    pub(super) async fn gone(&self) {
        let mut leaving = pin!(None);
        let mut stage = 0;
        std::future::poll_fn(|context| {
            let now = self.0.stage.load(Ordering::Relaxed);
            if now != stage {
                stage = now;
                let interim = now & INTERIM > 0;
                leaving.set((now & ANSWERING > 0).then(|| self.leaves(interim)));
            }
            match leaving.as_mut().as_pin_mut() {
                Some(leaving) => leaving.poll(context),
                None => Poll::Pending,
            }
        })
        .await;
    }

    async fn leaves(&self, interim: bool) {
        let socket = self.0.socket();
        let mut peeked = [0];
        let mut peeked = ReadBuf::new(&mut peeked);
        // hyper does not read meanwhile, so the socket's read waker is free.
        match std::future::poll_fn(|context| socket.poll_peek(context, &mut peeked)).await {
            Ok(0) => {}
            // The client has already sent its next request. Its FIN cannot be seen before that is read.
            Ok(_) => return self.reset().await,
            Err(_) => return,
        }
        if !interim || self.0.begun.load(Ordering::Relaxed) {
            return;
        }
        let mut pause = FIRST_QUESTION;
        while tokio::time::timeout(pause, self.reset()).await.is_err() {
            if self.0.begun.load(Ordering::Relaxed) {
                // Bytes of the answer probe the client just as well.
                return self.reset().await;
            }
            match socket.try_write(CONTINUE) {
                Ok(count) if count == CONTINUE.len() => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The client has left; or it reads so little that not even the probe found room, and nothing more can
                // follow.
                _ => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Resolves when the client's kernel has sent a RST.
    async fn reset(&self) {
        let _ = self.0.socket().ready(Interest::ERROR).await;
    }
}

#[cfg(test)]
mod tests;
