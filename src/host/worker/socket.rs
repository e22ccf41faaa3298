//! A client's WebSocket on the edge: one end of a `WebSocketPair`, the other one goes out with the response.
//!
//! The runtime keeps the request alive until its WebSocket is closed, so everything that the turns wait for belongs to
//! that request. It answers pings, refuses messages above 32 MiB, and buffers what a client does not read yet: it
//! offers nothing to wait for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_util::Stream as _;
use worker::send::SendWrapper;
use worker::{EventStream, WebSocket, WebSocketPair, WebsocketEvent, web_sys};

use super::tasks::after_response;
use crate::http::openai::socket::Accepted;
use crate::port::socket::{Close, Gone, Received, Socket};

/// Opens the connection; returns the response that does.
pub(super) fn open(accepted: Accepted) -> worker::Result<web_sys::Response> {
    let WebSocketPair { client, server } = WebSocketPair::new()?;
    after_response(async move {
        let served = serve(accepted, &server).await;
        if let Err(error) = served {
            tracing::warn!(%error, "a WebSocket could not be served");
        }
        // Fails if it is closed already.
        let _ = server.close(None, None::<&str>);
    });
    Ok(worker::Response::from_websocket(client)?.into())
}

async fn serve(accepted: Accepted, server: &WebSocket) -> worker::Result<()> {
    // Before it is accepted, so that no message is missed.
    let events = server.events()?;
    server.accept()?;
    let mut socket = EdgeSocket {
        server,
        events: SendWrapper(events),
        most: accepted.most(),
    };
    accepted.serve(&mut socket).await;
    Ok(())
}

struct EdgeSocket<'a> {
    server: &'a WebSocket,
    events: SendWrapper<EventStream<'a>>,
    /// Maximum size of a message, bytes.
    most: usize,
}

#[async_trait]
impl Socket for EdgeSocket<'_> {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        Poll::Ready(match ready!(Pin::new(&mut self.events.0).poll_next(context)) {
            Some(Ok(WebsocketEvent::Message(message))) => match message.text() {
                Some(text) if text.len() <= self.most => Received::Text(text.into()),
                Some(_) => Received::TooLarge,
                None => Received::Binary,
            },
            Some(Ok(WebsocketEvent::Close(_)) | Err(_)) | None => Received::Gone,
        })
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        self.server.send_with_str(text).map_err(|_| Gone)
    }

    fn busy(&mut self, _: bool) {}

    async fn close(&mut self, close: Close, reason: &'static str) {
        let _ = self.server.close(Some(close.code()), Some(reason));
    }
}
