//! A WebSocket over an upgraded connection, of either side: tungstenite's frames, pings, and what came.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::port::socket::{Gone, Received};

/// Interval of pings. Proxies in between close connections that are silent for a minute.
const PING: Duration = Duration::from_secs(20);

/// The initial buffer; most messages are shorter. tungstenite's own would be 128 KiB for each idle connection.
pub(super) const FIRST_ROOM: usize = 16 << 10;

pub(super) type Stream = WebSocketStream<TokioIo<Upgraded>>;

pub(super) struct WebSocket {
    pub(super) stream: Stream,
    ping: Interval,
    /// Pings since the other side was heard.
    unheard: u32,
}

impl WebSocket {
    /// `most`: maximum size of a message, bytes.
    pub(super) async fn new(upgraded: Upgraded, role: Role, most: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(FIRST_ROOM)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            stream: WebSocketStream::from_raw_socket(TokioIo::new(upgraded), role, Some(config)).await,
            ping,
            unheard: 0,
        }
    }

    /// The next thing that came.
    pub(super) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        let _ = self.poll_ping(context);
        loop {
            let came = ready!(Pin::new(&mut self.stream).poll_next(context));
            self.unheard = 0;
            let received = match came {
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

    /// Pings since the other side was heard, which answers each.
    pub(super) fn unheard(&self) -> u32 {
        self.unheard
    }

    pub(super) async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.stream.send(message).await.map_err(|_| Gone)
    }

    /// Sends a ping when it is time, unless the other side reads nothing.
    fn poll_ping(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.ping.poll_tick(context));
            self.unheard += 1;
            let mut stream = Pin::new(&mut self.stream);
            if let Poll::Ready(Ok(())) = stream.as_mut().poll_ready(context)
                && stream.as_mut().start_send(Message::Ping(Bytes::new())).is_ok()
            {
                let _ = stream.poll_flush(context);
            }
        }
    }
}
