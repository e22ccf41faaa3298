//! Decodes answers of a Redis into typed replies; errors name the key.

use bytes::Bytes;

use super::{Args, request};
use crate::port::store::{Applied, Command, Guard, Reply, StoreError};
use crate::store::vocabulary::unreadable;

/// A Redis answer, whether from RESP2, RESP3, or JSON over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Int(i64),
    Double(f64),
    Text(Bytes),
    List(Vec<Value>),
    Pairs(Vec<(Value, Value)>),
    /// `-CODE message`.
    Error {
        code: String,
        message: String,
    },
}

/// A sent batch that waits for its answers.
pub struct Pipeline {
    kind: &'static str,
    steps: Vec<Step>,
}

struct Step {
    command: Command,
    /// Set if the answer needs no request.
    known: Option<Result<Reply, StoreError>>,
}

impl Pipeline {
    /// `kind`: the backend's name for errors.
    pub fn new(kind: &'static str, batch: Vec<Command>) -> Pipeline {
        let steps = batch.into_iter().map(|command| {
            let known = match (command.check(), command.is_idle()) {
                (Err(error), _) => Some(Err(error)),
                (Ok(()), true) => Some(Ok(match command {
                    Command::HMGet { .. } => Reply::Values(Vec::new()),
                    _ => Reply::Int(0),
                })),
                (Ok(()), false) => None,
            };
            Step { command, known }
        });
        Pipeline {
            kind,
            steps: steps.collect(),
        }
    }

    /// The requests to send, in order; may be empty.
    pub fn requests(&self) -> impl Iterator<Item = Args> {
        self.steps
            .iter()
            .filter(|step| step.known.is_none())
            .map(|step| request(&step.command))
    }

    /// Whether the batch can be repeated safely.
    pub fn only_reads(&self) -> bool {
        !self.steps.iter().any(|step| step.command.writes())
    }

    /// Takes one answer per request. Fails with the first failed command; the other commands have run
    /// nevertheless.
    pub fn replies(self, answers: Vec<Value>) -> Result<Vec<Reply>, StoreError> {
        let mut answers = answers.into_iter();
        self.steps
            .into_iter()
            .map(|step| match step.known {
                Some(known) => known,
                None => reply(
                    self.kind,
                    &step.command,
                    answers.next().ok_or_else(|| fewer(self.kind))?,
                ),
            })
            .collect()
    }
}

fn fewer(kind: &'static str) -> StoreError {
    StoreError::Failed {
        kind,
        reason: "it gave fewer answers than it was asked for".into(),
    }
}

/// The typed reply to one command.
pub(super) fn reply(kind: &'static str, command: &Command, answer: Value) -> Result<Reply, StoreError> {
    if let Value::Error { code, message } = answer {
        return Err(failure(kind, command, &code, &message));
    }
    let reply = match command {
        Command::Set { .. } | Command::PExpireAt { .. } => Some(Reply::Ok),
        Command::Get { .. } | Command::HGet { .. } => maybe(answer).map(Reply::Value),
        Command::HMGet { fields, .. } => list(answer)
            .filter(|values| values.len() == fields.len())
            .and_then(|values| values.into_iter().map(maybe).collect::<Option<_>>())
            .map(Reply::Values),
        Command::HGetAll { .. } => pairs(answer)
            .and_then(|pairs| {
                pairs
                    .into_iter()
                    .map(|(field, value)| Some((string(field)?, maybe(value)??)))
                    .collect()
            })
            .map(Reply::Entries),
        Command::SMembers { .. } => list(answer)
            .and_then(|members| members.into_iter().map(string).collect::<Option<_>>())
            .map(Reply::Members),
        Command::ZScore { .. } | Command::ZIncrBy { .. } => match answer {
            Value::Nil => Some(Reply::Score(None)),
            answer => score(answer).map(|score| Reply::Score(Some(score))),
        },
        Command::ZRangeByScore { .. } => pairs(answer)
            .and_then(|pairs| {
                pairs
                    .into_iter()
                    .map(|(member, held)| Some((string(member)?, score(held)?)))
                    .collect()
            })
            .map(Reply::Scored),
        _ => match answer {
            Value::Int(count) => Some(Reply::Int(count)),
            _ => None,
        },
    };
    reply.ok_or_else(|| {
        unreadable(
            command.key(),
            format!("{} was answered in another shape", command.name()),
        )
    })
}

/// The outcome of [`super::atomically`].
pub fn applied(
    kind: &'static str,
    guards: &[Guard],
    batch: &[Command],
    answer: Value,
) -> Result<Applied, StoreError> {
    let other = || StoreError::Failed {
        kind,
        reason: "the script was answered in another shape".into(),
    };
    let items = match answer {
        Value::Int(0) => return Ok(Applied::Yes),
        Value::Int(guard) => {
            let guard = usize::try_from(guard - 1).map_err(|_| other())?;
            return Ok(Applied::No { guard });
        }
        Value::Error { code, message } => return Err(refusal(kind, &code, &message)),
        Value::List(items) => items,
        _ => return Err(other()),
    };
    let [Value::Text(why), Value::Int(number)] = items.as_slice() else {
        return Err(other());
    };
    let number = usize::try_from(*number).map_err(|_| other())?;
    if why.as_ref() == b"GUARDTYPE" {
        return Err(guards.get(number).map_or_else(other, Guard::wrong_type));
    }
    let command = batch.get(number).ok_or_else(other)?;
    Err(match why.as_ref() {
        b"WRONGTYPE" => command.wrong_type(),
        b"NOTNUMBER" => unreadable(command.key(), "an increment needs a whole number"),
        b"OVERFLOW" => unreadable(command.key(), "the increment leaves the range of whole numbers"),
        _ => other(),
    })
}

/// An error that belongs to no single command.
pub fn refusal(kind: &'static str, code: &str, message: &str) -> StoreError {
    away(kind, code, message).unwrap_or_else(|| StoreError::Failed {
        kind,
        reason: format!("{code} {message}"),
    })
}

fn failure(kind: &'static str, command: &Command, code: &str, message: &str) -> StoreError {
    if let Some(error) = away(kind, code, message) {
        return error;
    }
    let counts = matches!(command, Command::IncrBy { .. } | Command::HIncrBy { .. });
    match code {
        "WRONGTYPE" => command.wrong_type(),
        // `value is not an integer or out of range`, `hash value is not an integer`
        "ERR" if counts && message.contains("not an integer") => {
            unreadable(command.key(), "an increment needs a whole number")
        }
        "ERR" if counts && message.contains("overflow") => {
            unreadable(command.key(), "the increment leaves the range of whole numbers")
        }
        _ => {
            let reason = format!("{} {}: {code} {message}", command.name(), command.key());
            StoreError::Failed { kind, reason }
        }
    }
}

/// Temporary errors: a later attempt may succeed.
fn away(kind: &'static str, code: &str, message: &str) -> Option<StoreError> {
    let passing =
        matches!(code, "LOADING" | "BUSY" | "CLUSTERDOWN" | "TRYAGAIN") || no_longer_master(code, message);
    passing.then(|| StoreError::Away {
        kind,
        reason: format!("{code} {message}"),
    })
}

/// The server is a replica, or a master without replicas that must have some (`min-replicas-to-write`): the command
/// has not run, and another server may be the master now.
pub fn no_longer_master(code: &str, message: &str) -> bool {
    // Before Redis 7 a script's error has the code within its message.
    matches!(code, "READONLY" | "NOREPLICAS" | "MASTERDOWN") || message.contains("-READONLY ")
}

/// A text or nil.
#[expect(
    clippy::option_option,
    reason = "the outer: is it of that shape; the inner: is there a value"
)]
fn maybe(value: Value) -> Option<Option<Bytes>> {
    match value {
        Value::Nil => Some(None),
        Value::Text(text) => Some(Some(text)),
        _ => None,
    }
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => String::from_utf8(text.into()).ok(),
        _ => None,
    }
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::List(items) => Some(items),
        _ => None,
    }
}

/// Pairs, encoded as a map (RESP3), a flat list (RESP2) or a list of pairs (scores in RESP3).
fn pairs(value: Value) -> Option<Vec<(Value, Value)>> {
    let items = match value {
        Value::Pairs(pairs) => return Some(pairs),
        Value::List(items) => items,
        _ => return None,
    };
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let Some(first) = items.next() {
        pairs.push(match first {
            Value::List(pair) => {
                let [first, second] = <[Value; 2]>::try_from(pair).ok()?;
                (first, second)
            }
            first => (first, items.next()?),
        });
    }
    Some(pairs)
}

fn score(value: Value) -> Option<f64> {
    let score = match value {
        Value::Double(score) => score,
        #[expect(
            clippy::cast_precision_loss,
            reason = "a score is a float, however it is written"
        )]
        Value::Int(score) => score as f64,
        Value::Text(text) => std::str::from_utf8(&text).ok()?.parse().ok()?,
        _ => return None,
    };
    // Negative zero becomes zero.
    (!score.is_nan()).then_some(score + 0.0)
}
