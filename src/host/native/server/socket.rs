//! A client's WebSocket, natively.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::upgrade::OnUpgrade;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;

use super::{Stage, since};
use crate::host::native::connections::ConnectionPermit;
use crate::host::native::web_socket::{FIRST_ROOM, WebSocket};
use crate::http::openai::socket::Accepted;
use crate::port::socket::{Close, Gone, Received, Socket};

/// How long the client's part of a closing is waited for.
const CLOSING: Duration = Duration::from_secs(2);

/// Upper bound of what is still read of a message that is too large, bytes.
const MOST_SWALLOWED: usize = 64 << 20;

/// An upgrade whose response is on its way.
pub(super) struct Upgrading {
    accepted: Accepted,
    upgraded: OnUpgrade,
}

impl Upgrading {
    /// Takes an accepted upgrade out of its response, and completes the response.
    pub(super) fn of<B>(
        response: &mut Response<B>,
        upgraded: Option<OnUpgrade>,
        key: Option<&HeaderValue>,
    ) -> Option<Self> {
        let accepted = response.extensions_mut().remove::<Accepted>()?;
        let (upgraded, key) = (upgraded?, key?);
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Some(Self { accepted, upgraded })
    }

    /// Serves the WebSocket until it ends.
    pub(super) async fn serve(
        self,
        connected: Arc<ConnectionPermit>,
        began: Instant,
        mut stage: watch::Receiver<Stage>,
    ) {
        let Ok(upgraded) = self.upgraded.await else { return };
        let most = self.accepted.most();
        let socket = WebSocket::new(upgraded, Role::Server, most).await;
        let permit = connected.clone();
        let ends = async move {
            tokio::select! {
                _ = stage.wait_for(|stage| *stage >= Stage::Drains) => {}
                () = permit.evicted() => {}
            }
        };
        let mut socket = ClientWebSocket {
            socket,
            ends: Some(ends.boxed()),
            busy: None,
            connected,
            began,
        };
        self.accepted.serve(&mut socket).await;
    }
}

/// Keeps a connection from being idle.
struct Busy {
    connected: Arc<ConnectionPermit>,
    began: Instant,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.connected.activity().end(since(self.began));
    }
}

struct ClientWebSocket {
    socket: WebSocket,
    /// Resolves when no new turn may begin; `None` after that.
    ends: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    busy: Option<Busy>,
    connected: Arc<ConnectionPermit>,
    began: Instant,
}

#[async_trait]
impl Socket for ClientWebSocket {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        if let Some(ends) = &mut self.ends
            && ends.as_mut().poll(context).is_ready()
        {
            self.ends = None;
            return Poll::Ready(Received::Ending);
        }
        self.socket.poll_receive(context)
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        self.socket.send(Message::text(text)).await
    }

    fn busy(&mut self, is_busy: bool) {
        if !is_busy {
            self.busy = None;
        } else if self.busy.is_none() {
            self.connected.activity().begin();
            self.busy = Some(Busy {
                connected: self.connected.clone(),
                began: self.began,
            });
        }
    }

    async fn close(&mut self, close: Close, reason: &'static str) {
        let frame = CloseFrame {
            code: close.code().into(),
            reason: reason.into(),
        };
        let stream = &mut self.socket.stream;
        let closing = async {
            if stream.close(Some(frame)).await.is_err() {
                return;
            }
            // A connection that is closed with unread bytes may be reset before its client reads why.
            if close == Close::TooLarge {
                let (mut sink, mut swallowed) = (vec![0; FIRST_ROOM], 0);
                while swallowed < MOST_SWALLOWED
                    && let Ok(count @ 1..) = stream.get_mut().read(&mut sink).await
                {
                    swallowed += count;
                }
            } else {
                while let Some(Ok(_)) = stream.next().await {}
            }
        };
        let _ = tokio::time::timeout(CLOSING, closing).await;
    }
}
