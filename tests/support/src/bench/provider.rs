//! A provider that costs next to nothing: answers are made once, requests are only measured for length.
//! It does as [`Order`] says.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BytesMut};
use memchr::memmem;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use super::bodies::Order;
use super::others::Other;
use crate::provider::{Message, frame};
use crate::wire::{Framing, read_request_head};

/// Serves until it is killed, or until its standard input is closed: it never outlives who started it.
pub(super) async fn serve(port: u16) -> u8 {
    let listener = match TcpListener::bind(("127.0.0.1", port)).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on port {port}: {error}");
            return 1;
        }
    };
    println!("http://{}", listener.local_addr().expect("an address"));
    let answers = Arc::new(Answers::new());
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            tokio::spawn(connection(stream, Arc::clone(&answers)));
        }
    });
    let mut input = tokio::io::stdin();
    let _ = tokio::io::copy(&mut input, &mut tokio::io::sink()).await;
    0
}

/// Everything said, made once.
struct Answers {
    whole: Vec<u8>,
    stream_head: Vec<u8>,
    first_frames: Vec<Vec<u8>>,
    last_frames: Vec<Vec<u8>>,
    /// Of the other protocols, and without the bridge: whole streams.
    responses: Vec<u8>,
    gemini: Vec<u8>,
    messages: Vec<u8>,
    chat: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        // About a kilobyte, as a short turn has.
        let mut message = Message::text("A short answer, 简短的回答. ".repeat(20));
        message.id = Some("msg_01FakeBench".into());
        message.model = Some("claude-sonnet-4-5".into());
        let value = message
            .whole_as("claude-sonnet-4-5", "msg_01FakeBench")
            .to_string();
        let head = |rest: &str| {
            let mut head = String::from("HTTP/1.1 200 OK\r\n");
            for (name, value) in HEADERS {
                let _ = write!(head, "{name}: {value}\r\n");
            }
            head.push_str(rest);
            head.push_str("\r\n");
            head.into_bytes()
        };
        let mut whole = head(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            value.len()
        ));
        whole.extend_from_slice(value.as_bytes());
        let frames = message.frames_as("claude-sonnet-4-5", "msg_01FakeBench");
        let chunk = |frame: &bytes::Bytes| chunk(frame);
        let stream_head = head(
            "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n\
             transfer-encoding: chunked\r\n",
        );
        let stream = |other: Other| {
            let mut stream = stream_head.clone();
            other
                .answer()
                .iter()
                .for_each(|frame| stream.extend(chunk(frame)));
            stream.extend_from_slice(b"0\r\n\r\n");
            stream
        };
        Self {
            whole,
            responses: stream(Other::Responses),
            gemini: stream(Other::Gemini),
            messages: stream(Other::Bridge),
            chat: stream(Other::MessagesToChat),
            stream_head: stream_head.clone(),
            first_frames: frames[..3].iter().map(chunk).collect(),
            last_frames: frames[frames.len() - 3..].iter().map(chunk).collect(),
        }
    }
}

/// As the real API's, and as many.
const HEADERS: [(&str, &str); 14] = [
    ("date", "Sun, 22 Nov 2026 08:15:00 GMT"),
    ("request-id", "req_011CFakeBench0000000001"),
    (
        "anthropic-organization-id",
        "00000000-0000-4000-8000-00000000fa4e",
    ),
    ("anthropic-ratelimit-requests-limit", "4000"),
    ("anthropic-ratelimit-requests-remaining", "3999"),
    ("anthropic-ratelimit-requests-reset", "2026-11-22T08:15:01Z"),
    ("anthropic-ratelimit-tokens-limit", "480000"),
    ("anthropic-ratelimit-tokens-remaining", "479000"),
    ("anthropic-ratelimit-tokens-reset", "2026-11-22T08:15:01Z"),
    (
        "strict-transport-security",
        "max-age=31536000; includeSubDomains; preload",
    ),
    ("server", "cloudflare"),
    ("via", "1.1 google"),
    ("cf-cache-status", "DYNAMIC"),
    ("connection", "keep-alive"),
];

fn chunk(frame: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", frame.len()).into_bytes();
    chunk.extend_from_slice(frame);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

async fn connection(mut stream: TcpStream, answers: Arc<Answers>) {
    let _ = stream.set_nodelay(true);
    let mut buf = BytesMut::with_capacity(256 * 1024);
    // An error is the peer's leaving.
    while let Ok(true) = exchange(&mut stream, &mut buf, &answers).await {}
}

async fn exchange(stream: &mut TcpStream, buf: &mut BytesMut, answers: &Answers) -> io::Result<bool> {
    let Some(head) = read_request_head(stream, buf).await? else {
        return Ok(false);
    };
    let order = match Framing::of_request(&head)? {
        Framing::Length(length) => {
            let length = usize::try_from(length).map_err(io::Error::other)?;
            while buf.len() < length {
                buf.reserve(length - buf.len());
                if stream.read_buf(buf).await? == 0 {
                    return Ok(false);
                }
            }
            let order = order(&buf[..length]);
            buf.advance(length);
            order
        }
        mut framing => order(&framing.all(stream, buf).await?),
    };
    let other = match Other::of(&head.target) {
        Some(Other::Responses) => Some(&answers.responses),
        Some(Other::Gemini) => Some(&answers.gemini),
        Some(Other::Bridge) => Some(&answers.messages),
        Some(Other::MessagesToChat) => Some(&answers.chat),
        // Others have the paths of these.
        _ => None,
    };
    if let Some(other) = other {
        stream.write_all(other).await?;
        return Ok(true);
    }
    if order.deltas == 0 {
        stream.write_all(&answers.whole).await?;
        return Ok(true);
    }
    let mut first = answers.stream_head.clone();
    first.extend_from_slice(&answers.first_frames[0]);
    stream.write_all(&first).await?;
    for frame in &answers.first_frames[1..] {
        stream.write_all(frame).await?;
    }
    let start = Instant::now();
    for n in 0..order.deltas {
        sleep_until(start + Duration::from_millis(u64::from(order.pause) * u64::from(n + 1))).await;
        stream.write_all(&chunk(&delta(n))).await?;
    }
    for frame in &answers.last_frames {
        stream.write_all(frame).await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    Ok(true)
}

/// What a request asks for; a whole answer if it does not say.
fn order(body: &[u8]) -> Order {
    let field = b"\"max_tokens\":";
    let Some(at) = memmem::rfind(body, field) else {
        return Order::WHOLE;
    };
    let digits = body[at + field.len()..]
        .iter()
        .skip_while(|byte| byte.is_ascii_whitespace());
    let number = digits.take_while(|byte| byte.is_ascii_digit());
    Order::decode(number.fold(0, |sum: u32, digit| {
        sum.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'))
    }))
}

/// Names itself by its number and the moment it was written, in microseconds since 1970.
fn delta(n: u32) -> bytes::Bytes {
    let text = format!("{n:06} {:016} token 词 ", micros());
    frame(
        "content_block_delta",
        &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
    )
}

/// Microseconds since 1970: a clock both processes share.
pub(super) fn micros() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as u64
}
