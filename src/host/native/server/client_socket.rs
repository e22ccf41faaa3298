//! A client's socket, and whether the client is still there while its call is served.
//!
//! A client that has left and one that has only closed its sending half (`nc -N`, some health checkers) look
//! alike: both sent a FIN. hyper can take every FIN for the one or for the other. Here they are told apart by
//! the moment and by a question:
//!
//! - A FIN once the answer is under way is a client that leaves. Who closes its sending half does so right
//!   after its request.
//! - A FIN before that is asked about: with an interim response, `100 Continue`, which a client may get at any
//!   time and has to skip (RFC 9110, 15.2). The kernel of a client that closed its socket answers any byte
//!   with a RST. The question waits for a moment, so that most answers are there before it. It is repeated,
//!   because a forwarder in between (Docker's, ssh's) learns of the RST only when it writes again.
//! - HTTP/1.0 has no interim responses. There, every FIN is a client that leaves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use tokio::sync::watch;

/// The interim response that probes a client, also sent by hyper to clients that expect it.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Between a FIN and the question about it. Each further one waits twice as long as the one before.
const FIRST_QUESTION: Duration = Duration::from_millis(250);

/// The longest time between two questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for a request, or receives one.
    Receiving,
    /// It has received one, which is being answered. Whether its protocol has interim responses.
    Answering { interim: bool },
}

/// State that hyper, the watch and the requests of one connection share.
struct Shared {
    /// Both halves are of one socket: this stands for it.
    socket: OwnedReadHalf,
    stage: watch::Sender<Stage>,
    /// Bytes of the answer may be on the wire.
    begun: AtomicBool,
}

impl Shared {
    fn socket(&self) -> &TcpStream {
        self.socket.as_ref()
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

/// Knows of the requests of a connection; see [`Watch::request`] and [`Watch::gone`].
#[derive(Clone)]
pub(super) struct Watch(Arc<Shared>);

impl ClientSocket {
    pub(super) fn new(stream: TcpStream) -> (Self, Watch) {
        let (socket, write) = stream.into_split();
        let shared = Arc::new(Shared {
            socket,
            stage: watch::Sender::new(Stage::Receiving),
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
            // A read that does not fill the buffer has drained the socket. Saying so here saves the read that
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
        // A head is in the first.
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

/// A request's body. When it is dropped the request has been received.
struct Received {
    body: Incoming,
    shared: Arc<Shared>,
    interim: bool,
}

impl Drop for Received {
    fn drop(&mut self) {
        let interim = self.interim;
        self.shared.begun.store(false, Ordering::Relaxed);
        self.shared.stage.send_replace(Stage::Answering { interim });
    }
}

impl http_body::Body for Received {
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
            Body::new(Received {
                body,
                shared,
                interim,
            })
        })
    }

    /// The request is answered.
    pub(super) fn answered(&self) {
        self.0.stage.send_replace(Stage::Receiving);
    }

    /// Resolves when the client has left while it was to be answered.
    pub(super) async fn gone(&self) {
        let mut stage = self.0.stage.subscribe();
        loop {
            let began = stage.wait_for(|stage| *stage != Stage::Receiving).await;
            let Some(Stage::Answering { interim }) = began.ok().map(|stage| *stage) else {
                return std::future::pending().await;
            };
            tokio::select! {
                _ = stage.wait_for(|stage| *stage == Stage::Receiving) => {}
                () = self.leaves(interim) => return,
            }
        }
    }

    async fn leaves(&self, interim: bool) {
        let socket = self.0.socket();
        match socket.peek(&mut [0]).await {
            Ok(0) => {}
            // The client has sent its next request already. Its end cannot be seen before that is read.
            Ok(_) => return self.reset().await,
            Err(_) => return,
        }
        if !interim || self.0.begun.load(Ordering::Relaxed) {
            return;
        }
        let mut pause = FIRST_QUESTION;
        while tokio::time::timeout(pause, self.reset()).await.is_err() {
            if self.0.begun.load(Ordering::Relaxed) {
                // What is written of the answer asks just as well.
                return self.reset().await;
            }
            match socket.try_write(CONTINUE) {
                Ok(count) if count == CONTINUE.len() => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It has left; or it takes so little that not even this found room, and nothing can follow.
                _ => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Resolves when the client's kernel has answered with a RST.
    async fn reset(&self) {
        let _ = self.0.socket().ready(Interest::ERROR).await;
    }
}

#[cfg(test)]
mod tests;
