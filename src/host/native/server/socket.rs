//! A client's WebSocket, natively: tungstenite over the upgraded connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, Sink as _, SinkExt as _, Stream as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Stage, since};
use crate::host::native::connections::ConnectionPermit;
use crate::http::openai::socket::Accepted;
use crate::port::socket::{Close, Gone, Received, Socket};

/// Interval of pings. Proxies in between close connections that are silent for a minute.
const PING: Duration = Duration::from_secs(20);

/// How long the client's part of a closing is waited for.
const CLOSING: Duration = Duration::from_secs(2);

/// Upper bound of what is still read of a message that is too large, bytes.
const MOST_SWALLOWED: usize = 64 << 20;

/// The initial buffer; most messages are shorter. tungstenite's own would be 128 KiB for each idle connection.
const FIRST_ROOM: usize = 16 << 10;

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
        let config = WebSocketConfig::default()
            .read_buffer_size(FIRST_ROOM)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let stream =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let permit = connected.clone();
        let ends = async move {
            tokio::select! {
                _ = stage.wait_for(|stage| *stage >= Stage::Drains) => {}
                () = permit.evicted() => {}
            }
        };
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut socket = ClientWebSocket {
            stream,
            ends: Some(ends.boxed()),
            ping,
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
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// Resolves when no new turn may begin; `None` after that.
    ends: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ping: Interval,
    busy: Option<Busy>,
    connected: Arc<ConnectionPermit>,
    began: Instant,
}

impl ClientWebSocket {
    /// Sends a ping when it is time, unless the client reads nothing.
    fn poll_ping(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.ping.poll_tick(context));
            let mut stream = Pin::new(&mut self.stream);
            if let Poll::Ready(Ok(())) = stream.as_mut().poll_ready(context)
                && stream
                    .as_mut()
                    .start_send(Message::Ping(bytes::Bytes::new()))
                    .is_ok()
            {
                let _ = stream.poll_flush(context);
            }
        }
    }
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
        let _ = self.poll_ping(context);
        loop {
            let received = match ready!(Pin::new(&mut self.stream).poll_next(context)) {
                Some(Ok(Message::Text(text))) => Received::Text(text.into()),
                Some(Ok(Message::Binary(_))) => Received::Binary,
                // The next poll sends the pong, or the other half of the closing.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Close(_))) => {
                    continue;
                }
                Some(Err(Error::Capacity(_))) => Received::TooLarge,
                Some(Err(_)) | None => Received::Gone,
            };
            return Poll::Ready(received);
        }
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        self.stream.send(Message::text(text)).await.map_err(|_| Gone)
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
        let closing = async {
            if self.stream.close(Some(frame)).await.is_err() {
                return;
            }
            // A connection that is closed with unread bytes may be reset before its client reads why.
            if close == Close::TooLarge {
                let (mut sink, mut swallowed) = (vec![0; FIRST_ROOM], 0);
                while swallowed < MOST_SWALLOWED
                    && let Ok(count @ 1..) = self.stream.get_mut().read(&mut sink).await
                {
                    swallowed += count;
                }
            } else {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        let _ = tokio::time::timeout(CLOSING, closing).await;
    }
}
