//! A Redis at Upstash over its REST interface: each call is one HTTP exchange, and each command is billed.
//!
//! A batch is one `POST /pipeline`. An atomic batch is one `EVAL`, not a `/multi-exec`: only a script can check
//! guards (`WATCH` needs a lasting connection), and it is billed as one command. Bodies are JSON, so bytes that
//! are not UTF-8 are escaped (`escape`); texts are stored as they are.
//!
//! No call takes longer than [`Limits::answer`]. After a timeout or a failure to connect the server is not
//! contacted for [`Limits::rest`], and calls fail at once. If a connection breaks, calls that only read are
//! repeated once. Calls that write may have run, so they fail with `Away`.

mod answer;
mod escape;
mod line;
#[cfg(not(target_arch = "wasm32"))]
mod machines;
#[cfg(not(target_arch = "wasm32"))]
mod whole;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::secret::Secret;
use crate::port::clock::Clock;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::store::redis::{self as vocabulary, Args, Value};
pub use line::Limits;
use line::{Line, To};

const KIND: &str = "upstash";

pub struct Upstash {
    line: Line,
}

/// Invalid settings. Contains no secret.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("the address of the Upstash database is invalid: {0}")]
    Url(String),
    #[error("the token of the Upstash database cannot be sent: it has characters that no header may have")]
    Token,
    #[error("there is no HTTP client for Upstash: {0}")]
    Client(String),
}

/// Number of commands sent, which Upstash bills. Repeated commands count again.
#[derive(Clone, Debug, Default)]
pub struct Commands(Arc<AtomicU64>);

impl Commands {
    /// Since the start; never decreases.
    #[allow(dead_code, reason = "the Worker's")]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, commands: u64) {
        self.0.fetch_add(commands, Ordering::Relaxed);
    }
}

impl Upstash {
    /// `url`: the database's REST address, usually without a path. Does not connect; `ping` does.
    pub fn new(
        url: &str,
        token: &Secret,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Result<Upstash, OptionsError> {
        Ok(Upstash {
            line: Line::new(url, token, clock, limits)?,
        })
    }

    /// The live counter of sent commands.
    #[allow(dead_code, reason = "the Worker's")]
    pub fn commands(&self) -> Commands {
        self.line.commands()
    }

    async fn one(&self, args: &Args, again: bool) -> Result<Value, StoreError> {
        let body = body(&spoken(args))?;
        self.line.ask(To::One, body, 1, again, answer::one).await
    }
}

#[async_trait]
impl Store for Upstash {
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        let pipeline = vocabulary::Pipeline::new(KIND, batch);
        let requests: Vec<Args> = pipeline.requests().collect();
        if requests.is_empty() {
            return pipeline.replies(Vec::new());
        }
        let count = requests.len();
        let body = body(&requests.iter().map(spoken).collect::<Vec<_>>())?;
        drop(requests);
        let answers = self
            .line
            .ask(
                To::Pipeline,
                body,
                count as u64,
                pipeline.only_reads(),
                move |answer, secret| answer::many(answer, count, secret),
            )
            .await?;
        pipeline.replies(answers)
    }

    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Result<Applied, StoreError> {
        let request = vocabulary::atomically(&guards, &batch)?;
        let again = !batch.iter().any(Command::writes);
        let answer = self.one(&request, again).await?;
        vocabulary::applied(KIND, &guards, &batch, answer)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        match self.one(&vec![Bytes::from_static(b"PING")], true).await? {
            Value::Text(_) => Ok(()),
            Value::Error { code, message } => Err(vocabulary::refusal(KIND, &code, &message)),
            _ => Err(failed("a PING was answered in another shape")),
        }
    }

    fn kind(&self) -> &'static str {
        KIND
    }

    fn shared(&self) -> bool {
        true
    }
}

/// The arguments as JSON strings.
fn spoken(args: &Args) -> Vec<std::borrow::Cow<'_, str>> {
    args.iter().map(escape::escaped).collect()
}

fn body(spoken: &impl serde::Serialize) -> Result<Bytes, StoreError> {
    serde_json::to_vec(spoken)
        .map(Bytes::from)
        .map_err(|error| failed(&error.to_string()))
}

fn failed(reason: &str) -> StoreError {
    StoreError::Failed {
        kind: KIND,
        reason: reason.to_owned(),
    }
}

fn away(reason: impl Into<String>) -> StoreError {
    StoreError::Away {
        kind: KIND,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests;
