//! One connection to the front: requests in, answers out, in the manner it was told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::command::{Command, item};
use super::resp::Value;
use super::{Manner, Shared};
use crate::wire::{Framing, RequestHead, read_request_head};

/// A connection that is not used for so long is closed.
const IDLE: Duration = Duration::from_mins(2);
/// Longest wait for a request's body.
const BODY: Duration = Duration::from_secs(20);

/// Serves one connection to its end.
pub(super) async fn connection(shared: Arc<Shared>, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    // Whoever broke it knows.
    let _ = requests(&shared, &mut stream).await;
}

async fn requests(shared: &Shared, stream: &mut TcpStream) -> io::Result<()> {
    let mut buf = BytesMut::new();
    loop {
        let head = match tokio::time::timeout(IDLE, read_request_head(stream, &mut buf)).await {
            Ok(Ok(Some(head))) => head,
            Ok(Err(error)) => return Err(error),
            Ok(Ok(None)) | Err(_) => return Ok(()),
        };
        let mut framing = Framing::of_request(&head)?;
        let body = tokio::time::timeout(BODY, framing.all(stream, &mut buf)).await??;
        shared.exchanges.fetch_add(1, Ordering::SeqCst);
        shared.received.fetch_add(body.len() as u64, Ordering::SeqCst);
        let manner = shared.manner();
        let answer = match manner {
            Manner::Refuses => return Ok(()),
            Manner::Silent => {
                // Until the caller has had enough.
                while stream.read_buf(&mut buf).await? > 0 {
                    buf.clear();
                }
                return Ok(());
            }
            Manner::TooMany => Answer::error(429, "ERR too many requests"),
            Manner::Fails => Answer::error(500, "ERR internal error"),
            Manner::Garbage => Answer {
                status: 200,
                body: "<html><body>Welcome to the network</body></html>".to_owned(),
            },
            Manner::Works | Manner::Slow(_) | Manner::HalfAnswer => answer(shared, &head, &body).await,
        };
        if let Manner::Slow(time) = manner {
            tokio::time::sleep(time).await;
        }
        let (said, length) = (answer.said(), answer.body.len());
        if manner == Manner::HalfAnswer {
            stream.write_all(&said[..said.len() - length.div_ceil(2)]).await?;
            return Ok(());
        }
        stream.write_all(&said).await?;
        let close = head
            .headers
            .get("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if close {
            return Ok(());
        }
    }
}

struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn good(json: &Json) -> Self {
        Self {
            status: 200,
            body: json.to_string(),
        }
    }

    fn error(status: u16, text: &str) -> Self {
        Self {
            status,
            body: json!({ "error": text }).to_string(),
        }
    }

    fn said(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            405 => "Method Not Allowed",
            429 => "Too Many Requests",
            _ => "Internal Server Error",
        };
        let wait = if self.status == 429 {
            "retry-after: 1\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\n{wait}content-length: {}\r\n\r\n",
            self.status,
            self.body.len()
        );
        [head.as_bytes(), self.body.as_bytes()].concat()
    }
}

async fn answer(shared: &Shared, head: &RequestHead, body: &Bytes) -> Answer {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let bearer = head
        .headers
        .get("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.or_else(|| query.split('&').find_map(|pair| pair.strip_prefix("_token=")));
    if token != Some(shared.token.as_str()) {
        return Answer::error(401, "Unauthorized");
    }
    let base64 = head
        .headers
        .get("upstash-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("base64"));
    let posted = head.method == "POST";
    match path {
        "/" | "/pipeline" | "/multi-exec" if !posted => Answer::error(405, "ERR method not allowed"),
        "/pipeline" => match commands(body) {
            Ok(commands) => pipeline(shared, &commands, base64).await,
            Err(error) => Answer::error(400, &error),
        },
        "/multi-exec" => match commands(body) {
            Ok(commands) => transaction(shared, &commands, base64).await,
            Err(error) => Answer::error(400, &error),
        },
        path => {
            let command = if path == "/" {
                json(body).and_then(|json| Command::of_json(&json))
            } else {
                Command::of_path(path, query, if posted { body } else { b"" })
            };
            match command {
                Ok(command) => one(shared, command, base64).await,
                Err(error) => Answer::error(400, &error),
            }
        }
    }
}

fn json(body: &[u8]) -> Result<Json, String> {
    serde_json::from_slice(body).map_err(|error| format!("ERR failed to parse the request: {error}"))
}

fn commands(body: &[u8]) -> Result<Vec<Command>, String> {
    let json = json(body)?;
    let items = json.as_array().filter(|items| !items.is_empty());
    let items = items.ok_or("ERR an array of commands is expected")?;
    items.iter().map(Command::of_json).collect()
}

async fn one(shared: &Shared, command: Command, base64: bool) -> Answer {
    let command = [command];
    shared.bill(&command);
    match shared.redis.ask(&command).await {
        Ok(answers) => match answers.first() {
            Some(Value::Error(text)) => Answer::error(400, text),
            Some(value) => Answer::good(&item(value, base64)),
            None => Answer::error(500, "ERR no answer"),
        },
        Err(error) => Answer::error(500, &format!("ERR {error}")),
    }
}

async fn pipeline(shared: &Shared, commands: &[Command], base64: bool) -> Answer {
    shared.bill(commands);
    match shared.redis.ask(commands).await {
        Ok(answers) => Answer::good(&answers.iter().map(|value| item(value, base64)).collect()),
        Err(error) => Answer::error(500, &format!("ERR {error}")),
    }
}

async fn transaction(shared: &Shared, commands: &[Command], base64: bool) -> Answer {
    shared.bill(commands);
    let word = |word: &str| Command(vec![word.as_bytes().to_vec()]);
    let mut all = vec![word("MULTI")];
    all.extend_from_slice(commands);
    all.push(word("EXEC"));
    let mut answers = match shared.redis.ask(&all).await {
        Ok(answers) => answers,
        Err(error) => return Answer::error(500, &format!("ERR {error}")),
    };
    match answers.pop() {
        Some(Value::List(items)) => Answer::good(&items.iter().map(|value| item(value, base64)).collect()),
        Some(Value::Error(aborted)) => {
            // The reason is what was said of the command that could not be queued.
            let why = answers.iter().find_map(|value| match value {
                Value::Error(text) => Some(text),
                _ => None,
            });
            Answer::error(400, why.unwrap_or(&aborted))
        }
        other => Answer::error(500, &format!("ERR a transaction ended with {other:?}")),
    }
}
