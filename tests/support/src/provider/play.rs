//! Turns a script into writes on a socket.

use std::future::pending;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::request::Request;
use super::script::{At, Body, Chunks, Fault, How, Script, error_frame};
use super::{bedrock, claude};

/// What to do with the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Keep,
    Close,
    Reset,
    /// Go on as a WebSocket.
    Upgrade,
}

/// Before a cut, the kernel gets the time to deliver what was written: a reset throws away the rest.
const SETTLE: Duration = Duration::from_millis(20);

/// The socket, counting what it takes.
struct Out<'a, W> {
    to: W,
    sent: &'a AtomicU64,
}

impl<W: AsyncWrite + Unpin> Out<'_, W> {
    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.to.write(bytes).await?;
            self.sent.fetch_add(n as u64, Ordering::Relaxed);
            bytes = &bytes[n..];
        }
        Ok(())
    }

    async fn piece(&mut self, piece: &[u8], chunked: bool) -> io::Result<()> {
        if !chunked {
            return self.write(piece).await;
        }
        let mut chunk = Vec::with_capacity(piece.len() + 16);
        write!(chunk, "{:x}\r\n", piece.len())?;
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        self.write(&chunk).await
    }
}

/// Answers `request` as `script` says. An error means that the peer is gone.
pub(super) async fn play<W>(script: &Script, request: &Request, to: W) -> io::Result<Then>
where
    W: AsyncWrite + Unpin,
{
    let script = bedrock::in_its_form(script.decided(request), request);
    let mut out = Out {
        to,
        sent: &request.sent,
    };
    sleep_if(script.pace.before_head).await;
    if let Some(Fault {
        at: At::BeforeHead,
        how,
    }) = &script.fault
    {
        return break_off(how, false, &mut out, request).await;
    }
    if let Body::Wire(bytes) = &script.body {
        for piece in cut(
            std::slice::from_ref(bytes),
            script.pace.chunks.unwrap_or(Chunks::Whole),
        ) {
            out.write(&piece).await?;
            sleep_if(script.pace.between).await;
        }
        sleep(SETTLE).await;
        return Ok(Then::Close);
    }
    if matches!(script.body, Body::Upgrade) {
        out.write(&upgrade_head(&script, request)).await?;
        return Ok(Then::Upgrade);
    }
    let end = if script.close_after || request.headers.get("connection") == Some("close") {
        Then::Close
    } else {
        Then::Keep
    };
    if let Body::Flood { frame, total } = script.body {
        out.write(&head(
            &script,
            request,
            Some("text/event-stream; charset=utf-8"),
            None,
            end,
        ))
        .await?;
        sleep_if(script.pace.before_body).await;
        flood(&mut out, request, frame, total, script.pace.between).await?;
        out.write(b"0\r\n\r\n").await?;
        return Ok(end);
    }

    let (content_type, frames, streamed) = content(&script, request);
    let (frames, fault) = until_fault(frames, &script);
    let chunks = script
        .pace
        .chunks
        .unwrap_or(if streamed { Chunks::Frames } else { Chunks::Whole });
    let mut pieces = cut(&frames, chunks);
    let mut encoding = None;
    if script.gzip && request.headers.get("accept-encoding").is_some_and(accepts_gzip) {
        pieces = vec![gzip(&pieces.concat())];
        encoding = Some("gzip");
    }
    // A body broken off on the way must have promised more than it brings.
    let broken = !matches!(fault, None | Some(How::End));
    let length = (!streamed).then(|| {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        if broken { length + 1024 } else { length }
    });
    let mut head = head(&script, request, Some(&content_type), length, end);
    if let Some(encoding) = encoding {
        head.truncate(head.len() - 2);
        write!(head, "content-encoding: {encoding}\r\n\r\n")?;
    }
    if request.method == "HEAD" {
        out.write(&head).await?;
        return Ok(end);
    }
    // Without a pause asked for, a short answer leaves in one write, as from a real server.
    if !streamed && script.pace.before_body.is_zero() && pieces.len() == 1 {
        head.extend_from_slice(&pieces[0]);
        pieces.clear();
    }
    out.write(&head).await?;
    sleep_if(script.pace.before_body).await;
    for (n, piece) in pieces.iter().enumerate() {
        if n > 0 {
            sleep_if(script.pace.between).await;
        }
        out.piece(piece, streamed).await?;
    }
    match fault {
        None | Some(How::End) => {}
        Some(how) => match break_off(&how, streamed, &mut out, request).await? {
            Then::Keep => {}
            then => return Ok(then),
        },
    }
    if streamed {
        out.write(b"0\r\n\r\n").await?;
    }
    Ok(end)
}

async fn break_off<W>(how: &How, streamed: bool, out: &mut Out<'_, W>, request: &Request) -> io::Result<Then>
where
    W: AsyncWrite + Unpin,
{
    match how {
        How::Stall => pending().await,
        How::ErrorEvent { kind, message } if streamed && bedrock::streams(request) => {
            out.piece(&bedrock::exception(kind, message), true).await?;
            return Ok(Then::Keep);
        }
        How::ErrorEvent { kind, message } if streamed => {
            out.piece(&error_frame(kind, message, &request_id(request)), true)
                .await?;
            return Ok(Then::Keep);
        }
        _ => sleep(SETTLE).await,
    }
    Ok(if *how == How::Reset {
        Then::Reset
    } else {
        Then::Close
    })
}

/// The messages of a turn over a WebSocket, their pace, and how the turn goes wrong. An answer other than a success is one
/// `error`, with the status and the headers of the script (OpenAI's guide "WebSocket mode"; Codex' client).
pub(super) fn messages(script: &Script, request: &Request) -> (Vec<String>, Duration, Option<How>) {
    let script = script.decided(request);
    let between = script.pace.between;
    let before_head = matches!(
        &script.fault,
        Some(Fault {
            at: At::BeforeHead,
            ..
        })
    );
    if let (true, Some(fault)) = (before_head, &script.fault) {
        return (Vec::new(), between, Some(fault.how.clone()));
    }
    let (_, frames, streamed) = content(&script, request);
    if !streamed {
        let mut error: serde_json::Value = serde_json::from_slice(&frames.concat()).unwrap_or_default();
        let named = script
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), json!(value.clone()?))));
        let headers: serde_json::Map<_, _> = named.collect();
        let error = json!({"type": "error", "status": script.status, "error": error["error"].take(), "headers": headers});
        return (vec![error.to_string()], between, None);
    }
    let (frames, fault) = until_fault(frames, &script);
    let data = frames.iter().filter_map(|frame| {
        let text = String::from_utf8_lossy(frame).into_owned();
        let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
        Some(lines.collect::<Vec<_>>().join("\n")).filter(|data| !data.is_empty())
    });
    (data.collect(), between, fault)
}

/// The frames of the body: content type, frames, and whether it is a stream.
fn content(script: &Script, request: &Request) -> (String, Vec<Bytes>, bool) {
    let stream = "text/event-stream; charset=utf-8";
    let json_text = |value: &serde_json::Value| vec![Bytes::from(value.to_string())];
    match &script.body {
        Body::Message(message) if bedrock::streams(request) => {
            let frames = message.frames(request);
            let frames = frames.iter().map(bedrock::of_event).collect();
            (bedrock::STREAM.into(), frames, true)
        }
        Body::Frames(frames) if bedrock::streams(request) => (bedrock::STREAM.into(), frames.clone(), true),
        Body::Message(message) if request.wants_stream() => (stream.into(), message.frames(request), true),
        Body::Message(message) => (
            "application/json".into(),
            json_text(&message.whole(request)),
            false,
        ),
        Body::Error { kind, message } => {
            let body = claude::error_body(kind, message, &request_id(request));
            ("application/json".into(), json_text(&body), false)
        }
        Body::Json(value) => ("application/json".into(), json_text(value), false),
        Body::Frames(frames) => (stream.into(), frames.clone(), true),
        Body::Bytes(content_type, bytes) => (content_type.clone(), vec![bytes.clone()], false),
        Body::Wire(_) | Body::Flood { .. } | Body::Upgrade | Body::Decide(_) => {
            unreachable!("played elsewhere")
        }
    }
}

/// The frames up to the fault's moment, and the fault.
fn until_fault(mut frames: Vec<Bytes>, script: &Script) -> (Vec<Bytes>, Option<How>) {
    let Some(Fault { at, how }) = &script.fault else {
        return (frames, None);
    };
    match *at {
        At::BeforeHead => unreachable!("played elsewhere"),
        At::AfterHead => frames.clear(),
        At::AfterFrames(n) => frames.truncate(n.min(frames.len().saturating_sub(1))),
        At::AfterBytes(n) => {
            let mut all = Bytes::from(frames.concat());
            all.truncate(n);
            frames = vec![all];
        }
    }
    (frames, Some(how.clone()))
}

fn cut(frames: &[Bytes], chunks: Chunks) -> Vec<Bytes> {
    let whole = || Bytes::from(frames.concat());
    let pieces = match chunks {
        Chunks::Frames => frames.to_vec(),
        Chunks::Whole => vec![whole()],
        Chunks::Bytes(n) => {
            let whole = whole();
            (0..whole.len())
                .step_by(n.max(1))
                .map(|at| whole.slice(at..whole.len().min(at + n.max(1))))
                .collect()
        }
    };
    // An empty chunk would end the body.
    pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
}

async fn flood<W>(
    out: &mut Out<'_, W>,
    request: &Request,
    size: usize,
    total: u64,
    between: Duration,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let frames = claude::Message::text("x").frames(request);
    let (first, last) = frames.split_at(frames.len() - 4);
    for frame in first {
        out.piece(frame, true).await?;
    }
    let filler = "漫长的回答 ".chars().cycle();
    let text: String = filler.take(size.saturating_sub(110).div_ceil(3)).collect();
    let delta = claude::frame(
        "content_block_delta",
        &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
    );
    let mut left = total;
    while left > 0 {
        out.piece(&delta, true).await?;
        left = left.saturating_sub(delta.len() as u64);
        sleep_if(between).await;
    }
    for frame in last {
        out.piece(frame, true).await?;
    }
    Ok(())
}

/// The head that accepts an upgrade.
fn upgrade_head(script: &Script, request: &Request) -> Vec<u8> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n",
        derive_accept_key(key.as_bytes())
    );
    for (name, value) in &script.headers {
        if let Some(value) = value {
            head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
        }
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The response's head; a stream without `length` is chunked.
fn head(
    script: &Script,
    request: &Request,
    content_type: Option<&str>,
    length: Option<usize>,
    end: Then,
) -> Vec<u8> {
    let mut headers = super::headers::usual(request);
    if let Some(content_type) = content_type {
        headers.push(("content-type".into(), content_type.into()));
        if content_type.starts_with("text/event-stream") {
            headers.push(("cache-control".into(), "no-cache".into()));
        }
    }
    match length {
        Some(length) => headers.push(("content-length".into(), length.to_string())),
        None => headers.push(("transfer-encoding".into(), "chunked".into())),
    }
    headers.push((
        "connection".into(),
        if end == Then::Close { "close" } else { "keep-alive" }.into(),
    ));
    for (name, value) in &script.headers {
        headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        if let Some(value) = value {
            headers.push((name.clone(), value.clone()));
        }
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", script.status, reason(script.status));
    for (name, value) in &headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

pub(super) fn request_id(request: &Request) -> String {
    format!("req_011CFake{:016}", request.number)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

fn accepts_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !parts.any(|p| p == "q=0")
    })
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("into memory");
    Bytes::from(BytesMut::from(&encoder.finish().expect("into memory")[..]))
}

async fn sleep_if(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}
