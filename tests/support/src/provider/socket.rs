//! Responses over a WebSocket, as OpenAI documents it (guide "WebSocket mode"): one turn at a time, events as messages,
//! and the last response in the connection's own memory.

use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Shared;
use super::play::messages;
use super::request::{Outcome, Request};
use super::script::How;

/// Serves the turns of a connection to its end. Returns whether the peer ended it, and whether by a reset.
pub(super) async fn turns<S>(shared: &Shared, stream: S, read: BytesMut, upgrade: &Request) -> (bool, bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let socket = WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, None).await;
    let (mut to, mut from) = socket.split();
    let mut last: Option<String> = None;
    loop {
        let text = match from.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            // tungstenite answers a close with the next poll.
            Some(Ok(Message::Close(_))) => {
                let _ = from.next().await;
                return (true, false);
            }
            None => return (true, false),
            Some(_) => return (true, true),
        };
        let (outcome, outcome_seen) = watch::channel(Outcome::Open);
        let request = Request {
            number: 0,
            method: "POST".into(),
            body: text.into(),
            at: Instant::now(),
            sent: Arc::default(),
            outcome: outcome_seen,
            ..upgrade.clone()
        };
        let (request, script) = shared.receive(request);
        let previous = request.json()["previous_response_id"].as_str().map(str::to_owned);
        let (said, between, fault) = if previous.is_some() && previous != last {
            let error = json!({"type": "invalid_request_error", "code": "previous_response_not_found",
                "message": "Previous response not found.", "param": "previous_response_id"});
            let error = json!({"type": "error", "status": 400, "error": error});
            (vec![error.to_string()], std::time::Duration::ZERO, None)
        } else {
            messages(&script, &request)
        };
        last = said.last().and_then(|last| finished(last));
        let then = tokio::select! {
            then = say(&mut to, said, between, fault) => then.map_err(|()| true),
            reset = peer_leaves(&mut from) => Err(reset),
        };
        outcome.send_replace(if then.is_ok() {
            Outcome::Answered
        } else {
            Outcome::PeerLeft
        });
        shared.bump();
        match then {
            Ok(None) => {}
            Ok(Some(How::Reset)) => {
                all_read(&mut to, &mut from).await;
                return (false, true);
            }
            Ok(Some(_)) => {
                let _ = to.close().await;
                return (false, false);
            }
            Err(reset) => return (true, reset),
        }
    }
}

/// The id of a response that can be continued.
fn finished(last: &str) -> Option<String> {
    let event: Value = serde_json::from_str(last).ok()?;
    let kind = event["type"].as_str()?;
    matches!(kind, "response.completed" | "response.incomplete").then_some(())?;
    event["response"]["id"].as_str().map(str::to_owned)
}

/// Sends the messages; returns how the connection ends, if it does.
async fn say<S>(
    to: &mut SplitSink<WebSocketStream<S>, Message>,
    said: Vec<String>,
    between: std::time::Duration,
    fault: Option<How>,
) -> Result<Option<How>, ()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for text in said {
        to.send(Message::text(text)).await.map_err(|_| ())?;
        if !between.is_zero() {
            sleep(between).await;
        }
    }
    if fault == Some(How::Stall) {
        std::future::pending::<()>().await;
    }
    Ok(fault)
}

/// Resolves when the peer has read all that was sent. A reset may destroy what the peer has not read yet; a pong proves that
/// nothing is left.
async fn all_read<S>(
    to: &mut SplitSink<WebSocketStream<S>, Message>,
    from: &mut SplitStream<WebSocketStream<S>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if to.send(Message::Ping(Bytes::new())).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = from.next().await {
        if matches!(message, Message::Pong(_) | Message::Close(_)) {
            return;
        }
    }
}

/// Resolves when the peer closes: `true` if by a reset.
async fn peer_leaves<S>(from: &mut SplitStream<WebSocketStream<S>>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match from.next().await {
            Some(Ok(Message::Close(_))) | None => return false,
            Some(Ok(_)) => {}
            Some(Err(_)) => return true,
        }
    }
}
