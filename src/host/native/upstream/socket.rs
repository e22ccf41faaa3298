//! WebSockets to providers: an upgrade over a connection of its own, made as every other (checked address, proxy, TLS).

use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::{NativeUpstream, broken, drive, host, root_cause};
use crate::host::native::web_socket::WebSocket;
use crate::port::socket::{Gone, Received};
use crate::port::upstream::{
    BodyError, LARGEST_MESSAGE, Opened, ProviderSocket, Route, UpstreamError, UpstreamErrorKind,
};

/// A provider that has answered none of so many pings is gone.
const MOST_UNHEARD: u32 = 3;

/// Maximum size of a frame, bytes; longer messages are sent in several. tungstenite copies a frame whole into a buffer
/// that keeps its room as long as the connection lasts, and moves what is unsent forward with each write.
const MOST_OF_FRAME: usize = 64 << 10;

impl NativeUpstream {
    pub(super) async fn upgrade(
        &self,
        mut request: Request<()>,
        route: &Route,
    ) -> Result<Opened, UpstreamError> {
        let path = request.uri().path_and_query().cloned();
        let path = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
        let to = std::mem::replace(request.uri_mut(), path);
        let key = generate_key();
        let headers = request.headers_mut();
        headers.insert(header::HOST, host(&to)?);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if let Ok(key) = HeaderValue::from_str(&key) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
        let link = self.link(&to, route).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(crate::host::native::server::BUFFER)
            .handshake(link)
            .await
            .map_err(broken)?;
        drive(connection.with_upgrades());
        let request = request.map(|()| Empty::<Bytes>::new());
        let mut answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let body = |error: hyper::Error| BodyError(root_cause(&error));
            return Ok(Opened::Refused(
                answer.map(|answered| answered.map_err(body).boxed_unsync()),
            ));
        }
        let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| *accepted != derive_accept_key(key.as_bytes())) {
            return Err(UpstreamError {
                kind: UpstreamErrorKind::Broken,
                detail: "the provider accepted another upgrade than the one it was asked for".to_owned(),
                source: None,
            });
        }
        let upgraded = hyper::upgrade::on(&mut answer).await.map_err(broken)?;
        let socket = WebSocket::new(upgraded, Role::Client, LARGEST_MESSAGE).await;
        Ok(Opened::Socket(
            answer.headers().clone(),
            Box::new(NativeSocket(socket)),
        ))
    }
}

struct NativeSocket(WebSocket);

#[async_trait]
impl ProviderSocket for NativeSocket {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        match self.0.poll_receive(context) {
            Poll::Pending if self.0.unheard() > MOST_UNHEARD => Poll::Ready(Received::Gone),
            received => received,
        }
    }

    async fn send(&mut self, mut text: Bytes) -> Result<(), Gone> {
        std::str::from_utf8(&text).map_err(|_| Gone)?;
        let mut kind = Data::Text;
        loop {
            let part = text.split_to(text.len().min(MOST_OF_FRAME));
            let frame = Frame::message(part, OpCode::Data(kind), text.is_empty());
            self.0.send(Message::Frame(frame)).await?;
            if text.is_empty() {
                return Ok(());
            }
            kind = Data::Continue;
        }
    }
}
