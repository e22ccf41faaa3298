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
    let answers = Arc::new(Both {
        anthropic: Answers::new(),
        gemini: Answers::of_gemini(),
    });
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

/// Everything said in one protocol, made once.
struct Answers {
    whole: Vec<u8>,
    stream_head: Vec<u8>,
    first_frames: Vec<Vec<u8>>,
    last_frames: Vec<Vec<u8>>,
    /// One delta with this text.
    delta: fn(&str) -> bytes::Bytes,
}

/// Anthropic's protocol, and Code Assist's.
struct Both {
    anthropic: Answers,
    gemini: Answers,
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
        let frames = message.frames_as("claude-sonnet-4-5", "msg_01FakeBench");
        let chunk = |frame: &bytes::Bytes| chunk(frame);
        Self {
            whole: whole(&value),
            stream_head: stream_head(),
            first_frames: frames[..3].iter().map(chunk).collect(),
            last_frames: frames[frames.len() - 3..].iter().map(chunk).collect(),
            delta: |text| {
                let delta = json!({"type": "text_delta", "text": text});
                let data = json!({"type": "content_block_delta", "index": 0, "delta": delta});
                frame("content_block_delta", &data)
            },
        }
    }

    fn of_gemini() -> Self {
        let answer = |text: &str, finish: bool| {
            let mut candidate = json!({"content": {"role": "model", "parts": [{"text": text}]}});
            if finish {
                candidate["finishReason"] = "STOP".into();
            }
            let usage =
                json!({"promptTokenCount": 1000, "candidatesTokenCount": 20, "totalTokenCount": 1020});
            json!({
                "response": {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "claude-sonnet-4-5"},
            })
            .to_string()
        };
        let event = |answer: &str| chunk(format!("data: {answer}\r\n\r\n").as_bytes());
        Self {
            whole: whole(&answer(&"A short answer, 简短的回答. ".repeat(20), true)),
            stream_head: stream_head(),
            first_frames: vec![event(&answer("", false))],
            last_frames: vec![event(&answer("", true))],
            delta: |text| {
                let candidate = json!({"content": {"role": "model", "parts": [{"text": text}]}});
                let data =
                    json!({"response": {"candidates": [candidate], "modelVersion": "claude-sonnet-4-5"}});
                format!("data: {data}\r\n\r\n").into()
            },
        }
    }
}

fn head(rest: &str) -> Vec<u8> {
    let mut head = String::from("HTTP/1.1 200 OK\r\n");
    for (name, value) in HEADERS {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str(rest);
    head.push_str("\r\n");
    head.into_bytes()
}

fn stream_head() -> Vec<u8> {
    head(
        "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n\
         transfer-encoding: chunked\r\n",
    )
}

fn whole(body: &str) -> Vec<u8> {
    let mut whole = head(&format!(
        "content-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    ));
    whole.extend_from_slice(body.as_bytes());
    whole
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

async fn connection(mut stream: TcpStream, answers: Arc<Both>) {
    let _ = stream.set_nodelay(true);
    let mut buf = BytesMut::with_capacity(256 * 1024);
    // An error is the peer's leaving.
    while let Ok(true) = exchange(&mut stream, &mut buf, &answers).await {}
}

async fn exchange(stream: &mut TcpStream, buf: &mut BytesMut, answers: &Both) -> io::Result<bool> {
    let Some(head) = read_request_head(stream, buf).await? else {
        return Ok(false);
    };
    let answers = if head.target.contains("enerateContent") {
        &answers.gemini
    } else {
        &answers.anthropic
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
        stream.write_all(&chunk(&delta(n, answers.delta))).await?;
    }
    for frame in &answers.last_frames {
        stream.write_all(frame).await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    Ok(true)
}

/// What a request asks for; a whole answer if it does not say.
fn order(body: &[u8]) -> Order {
    let fields: [&[u8]; 2] = [b"\"max_tokens\":", b"\"maxOutputTokens\":"];
    let found = fields.into_iter().find_map(|field| {
        let at = memmem::rfind(body, field)?;
        body.get(at + field.len()..)
    });
    let Some(number) = found else {
        return Order::WHOLE;
    };
    let digits = number.iter().skip_while(|byte| byte.is_ascii_whitespace());
    let number = digits.take_while(|byte| byte.is_ascii_digit());
    Order::decode(number.fold(0, |sum: u32, digit| {
        sum.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'))
    }))
}

/// Names itself by its number and the moment it was written, in microseconds since 1970.
fn delta(n: u32, frame: fn(&str) -> bytes::Bytes) -> bytes::Bytes {
    frame(&format!("{n:06} {:016} token 词 ", micros()))
}

/// Microseconds since 1970: a clock both processes share.
pub(super) fn micros() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as u64
}
