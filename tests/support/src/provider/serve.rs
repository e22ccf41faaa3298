//! One connection to the provider: requests in, scripts out, and an eye on the peer all the while.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Shared;
use super::play::{Then, play};
use super::request::{Closed, Outcome, Request};
use crate::wire::{Framing, read_request_head};

/// Serves one connection to its end.
pub(super) async fn connection(shared: Arc<Shared>, mut stream: TcpStream, number: usize) {
    let _ = stream.set_nodelay(true);
    let (closed, closed_seen) = watch::channel(None);
    let (by_peer, reset) = requests(&shared, &mut stream, number, &closed_seen).await;
    if !by_peer && reset {
        let _ = stream.set_zero_linger();
    }
    drop(stream);
    shared.open.fetch_sub(1, Ordering::SeqCst);
    closed.send_replace(Some(Closed {
        at: Instant::now(),
        by_peer,
        reset,
    }));
    shared.bump();
}

/// Returns whether the peer ended it, and whether by a reset.
async fn requests(
    shared: &Shared,
    stream: &mut TcpStream,
    connection: usize,
    closed: &watch::Receiver<Option<Closed>>,
) -> (bool, bool) {
    let mut buf = BytesMut::new();
    let (mut from, mut to) = stream.split();
    loop {
        let head = match read_request_head(&mut from, &mut buf).await {
            Ok(Some(head)) => head,
            Ok(None) => return (true, false),
            Err(error) => return violation(shared, &error),
        };
        let at = Instant::now();
        let mut framing = match Framing::of_request(&head) {
            Ok(framing) => framing,
            Err(error) => return violation(shared, &error),
        };
        let waits = head
            .headers
            .get("expect")
            .is_some_and(|v| v.eq_ignore_ascii_case("100-continue"));
        if waits && !framing.is_done() && to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return (true, true);
        }
        let body = match framing.all(&mut from, &mut buf).await {
            Ok(body) => body,
            Err(error) => return violation(shared, &error),
        };
        let (outcome, outcome_seen) = watch::channel(Outcome::Open);
        let request = Request {
            number: 0,
            method: head.method,
            target: head.target,
            headers: head.headers,
            body,
            at,
            connection,
            sent: Arc::default(),
            outcome: outcome_seen,
            closed: closed.clone(),
        };
        let (request, script) = shared.receive(request);
        let then = tokio::select! {
            then = play(&script, &request, &mut to) => then.map_err(|_| true),
            reset = peer_leaves(&mut from, &mut buf) => Err(reset),
        };
        outcome.send_replace(if then.is_ok() {
            Outcome::Answered
        } else {
            Outcome::PeerLeft
        });
        shared.bump();
        match then {
            Ok(Then::Keep) => {}
            Ok(Then::Upgrade) => {
                let joined = tokio::io::join(from, to);
                return super::socket::turns(shared, joined, buf, &request).await;
            }
            Ok(then) => return (false, then == Then::Reset),
            Err(reset) => return (true, reset),
        }
    }
}

/// Resolves when the peer closes: `true` if by a reset. What it sends meanwhile is kept for later.
async fn peer_leaves<R: AsyncRead + Unpin>(from: &mut R, buf: &mut BytesMut) -> bool {
    loop {
        match from.read_buf(buf).await {
            Ok(0) => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
}

fn violation(shared: &Shared, error: &std::io::Error) -> (bool, bool) {
    use std::io::ErrorKind::{ConnectionReset, InvalidData};
    if error.kind() == InvalidData {
        shared.state().violations.push(error.to_string());
        return (false, false);
    }
    (true, error.kind() == ConnectionReset)
}
