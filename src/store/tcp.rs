//! A Redis server over TCP or TLS, with one multiplexed connection that is made on demand.
//!
//! No call takes longer than [`Limits::answer`]. After a timeout or a failure to connect the server is not
//! contacted for [`Limits::rest`], and calls fail at once, so that nothing piles up. If a connection breaks,
//! calls that only read are repeated. Calls that write may have run, so they fail with `Away`. So do writes that a
//! replica refuses; then the server is left, for the one that its name or its sentinels lead to.

mod line;
mod target;
mod trouble;
mod whole;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::store::home::Server;
use crate::store::redis::{self as vocabulary, Args, Value};
pub use line::Limits;
use line::Line;

const KIND: &str = "redis";

pub struct Tcp {
    line: Line,
}

/// Invalid settings. Contains no secret.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("the address of the Redis server is invalid: {0}")]
    Url(String),
    #[error("the certificates of the authority cannot be read: {0}")]
    Authority(String),
}

impl Tcp {
    /// `url`: `redis://[user]:[password]@host[:port][/database]`, or `rediss://` for TLS; or the address of sentinels,
    /// see [`crate::config::Sentinels`]. `authority`: certificates (PEM) to trust instead of the public ones. Does not connect; `ping` does.
    pub fn new(url: &str, authority: Option<&[u8]>) -> Result<Tcp, OptionsError> {
        Tcp::with_limits(url, authority, Limits::default())
    }

    pub fn with_limits(url: &str, authority: Option<&[u8]>, limits: Limits) -> Result<Tcp, OptionsError> {
        Ok(Tcp {
            line: Line::new(url, authority, limits)?,
        })
    }

    async fn ask(&self, requests: Vec<Args>, again: bool) -> Result<Vec<Value>, StoreError> {
        let mut pipeline = redis::Pipeline::with_capacity(requests.len());
        for args in requests {
            let bytes = args.iter().map(Bytes::len).sum();
            let mut command = redis::Cmd::with_capacity(args.len(), bytes);
            for arg in &args {
                command.arg(arg.as_ref());
            }
            pipeline.add_command(command);
        }
        Ok(self
            .line
            .exchange(&pipeline, again)
            .await?
            .into_iter()
            .map(value)
            .collect())
    }
}

#[async_trait]
impl Store for Tcp {
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        let pipeline = vocabulary::Pipeline::new(KIND, batch);
        let requests: Vec<Args> = pipeline.requests().collect();
        let answers = if requests.is_empty() {
            Vec::new()
        } else {
            self.ask(requests, pipeline.only_reads()).await?
        };
        pipeline.replies(answers)
    }

    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Result<Applied, StoreError> {
        let request = vocabulary::atomically(&guards, &batch)?;
        let again = !batch.iter().any(Command::writes);
        let answer = self.ask(vec![request], again).await?.pop().unwrap_or(Value::Nil);
        vocabulary::applied(KIND, &guards, &batch, answer)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let request = vec![Bytes::from_static(b"PING")];
        match self.ask(vec![request], true).await?.pop() {
            Some(Value::Text(_)) => Ok(()),
            Some(Value::Error { code, message }) => Err(vocabulary::refusal(KIND, &code, &message)),
            _ => Err(StoreError::Failed {
                kind: KIND,
                reason: "a PING was answered in another shape".into(),
            }),
        }
    }

    fn kind(&self) -> &'static str {
        KIND
    }

    fn shared(&self) -> bool {
        true
    }
}

#[async_trait]
impl Server for Tcp {
    fn name(&self) -> &'static str {
        KIND
    }

    async fn send(&self, request: Args) -> Result<Value, StoreError> {
        Ok(self.ask(vec![request], false).await?.pop().unwrap_or(Value::Nil))
    }

    async fn listen(&self, channel: &str) -> Result<Option<BoxStream<'static, Bytes>>, StoreError> {
        self.line.listen(channel).await.map(Some)
    }
}

/// Converts the client library's value to ours. Types that our commands never return become nil.
fn value(value: redis::Value) -> Value {
    use redis::Value as Theirs;
    let values = |values: Vec<Theirs>| values.into_iter().map(self::value).collect();
    match value {
        Theirs::Int(number) => Value::Int(number),
        Theirs::Double(number) => Value::Double(number),
        Theirs::BulkString(bytes) => Value::Text(bytes.into()),
        Theirs::SimpleString(text) | Theirs::VerbatimString { text, .. } => Value::Text(text.into()),
        Theirs::Okay => Value::Text(Bytes::from_static(b"OK")),
        Theirs::Boolean(is) => Value::Int(is.into()),
        Theirs::Array(items) | Theirs::Set(items) => Value::List(values(items)),
        Theirs::Map(pairs) => Value::Pairs(
            pairs
                .into_iter()
                .map(|(first, second)| (self::value(first), self::value(second)))
                .collect(),
        ),
        Theirs::ServerError(error) => {
            let message = error.details().unwrap_or_default().to_owned();
            Value::Error {
                code: error.code().to_owned(),
                message,
            }
        }
        _ => Value::Nil,
    }
}

#[cfg(test)]
mod tests;
