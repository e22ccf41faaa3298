//! The commands sent to a CRS's Redis, and its replies. A broken connection is made again: all commands only read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, Value};

use crate::import::fields::Fields;
use crate::import::source::SourceError;

/// Keys per step of a scan: Redis serves other clients between two steps, which take some hundred microseconds.
const STEP: &str = "500";

/// Reads of one pipeline.
const PIPELINE: usize = 500;

/// Time limit of a step.
const ANSWER: Duration = Duration::from_secs(30);

/// Number of attempts to connect again.
const TRIES: u32 = 5;

/// All commands that can be sent.
#[derive(Clone, Debug)]
pub(super) enum ReadCommand {
    /// From this cursor on.
    Scan(String),
    HScan(&'static str, String),
    Get(String),
    HGetAll(String),
    SMembers(String),
    /// From the first to this element.
    LRange(String, &'static str),
}

impl ReadCommand {
    /// The key that is read; empty for a scan.
    fn key(&self) -> &str {
        match self {
            Self::Scan(_) => "",
            Self::HScan(key, _) => key,
            Self::Get(key) | Self::HGetAll(key) | Self::SMembers(key) | Self::LRange(key, _) => key,
        }
    }

    fn args(&self) -> Vec<&str> {
        match self {
            Self::Scan(cursor) => vec!["SCAN", cursor, "COUNT", STEP],
            Self::HScan(key, cursor) => vec!["HSCAN", key, cursor, "COUNT", STEP],
            Self::Get(key) => vec!["GET", key],
            Self::HGetAll(key) => vec!["HGETALL", key],
            Self::SMembers(key) => vec!["SMEMBERS", key],
            Self::LRange(key, last) => vec!["LRANGE", key, "0", last],
        }
    }
}

pub(super) struct Line {
    client: Client,
    connection: Option<MultiplexedConnection>,
    /// Names of keys with another type than the expected one.
    odd: BTreeSet<String>,
}

impl Line {
    pub(super) fn new(url: &str) -> Result<Self, SourceError> {
        // The first call decides for the process, and this is the only provider built in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bad = |error: redis::RedisError| {
            SourceError::Unusable(format!("the address of the CRS's Redis is no use: {error}"))
        };
        let target = url.into_connection_info().map_err(bad)?;
        Ok(Self {
            client: Client::open(target).map_err(bad)?,
            connection: None,
            odd: BTreeSet::new(),
        })
    }

    /// Names of the keys skipped so far because of a type that CRS does not write there.
    pub(super) fn odd(&self) -> &BTreeSet<String> {
        &self.odd
    }

    pub(super) async fn one(&mut self, read: ReadCommand) -> Result<Value, SourceError> {
        Ok(self.all(vec![read]).await?.pop().unwrap_or(Value::Nil))
    }

    /// Replies to all of them, in order.
    pub(super) async fn all(&mut self, reads: Vec<ReadCommand>) -> Result<Vec<Value>, SourceError> {
        let mut answers = Vec::with_capacity(reads.len());
        for some in reads.chunks(PIPELINE) {
            answers.extend(self.pipeline(some).await?);
        }
        Ok(answers)
    }

    async fn pipeline(&mut self, reads: &[ReadCommand]) -> Result<Vec<Value>, SourceError> {
        let mut pipeline = redis::Pipeline::with_capacity(reads.len());
        for read in reads {
            let mut command = redis::Cmd::new();
            for arg in read.args() {
                command.arg(arg);
            }
            pipeline.add_command(command);
        }
        let mut tried = 0;
        loop {
            tried += 1;
            let trouble = match tokio::time::timeout(ANSWER, self.exchange(&pipeline)).await {
                Ok(Ok(values)) if values.len() == reads.len() => match refusal(&values) {
                    None => {
                        let odd = reads.iter().zip(&values).filter(|(_, value)| is_error(value));
                        self.odd.extend(odd.map(|(read, _)| read.key().to_owned()));
                        return Ok(values);
                    }
                    Some(refusal) => refusal,
                },
                Ok(Ok(_)) => "it gave fewer answers than it was asked for".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
            };
            self.connection = None;
            if tried == TRIES {
                return Err(SourceError::Away(format!(
                    "the CRS's Redis cannot be read: {trouble}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(200) * tried).await;
        }
    }

    async fn exchange(&mut self, pipeline: &redis::Pipeline) -> Result<Vec<Value>, redis::RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(Duration::from_secs(10)))
                    .set_response_timeout(None);
                self.client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?
            }
        };
        let values = connection
            .send_packed_commands(pipeline, 0, pipeline.len())
            .await?;
        self.connection = Some(connection);
        Ok(values)
    }
}

/// An error that does not concern one key: a missing permission, a database that is loading or on another node. Such
/// an error must not look like a missing record.
fn refusal(values: &[Value]) -> Option<String> {
    values.iter().find_map(|value| match value {
        Value::ServerError(error) if error.code() != "WRONGTYPE" => Some(match error.details() {
            Some(details) => format!("{} {details}", error.code()),
            None => error.code().to_owned(),
        }),
        _ => None,
    })
}

pub(super) fn is_error(value: &Value) -> bool {
    matches!(value, Value::ServerError(_))
}

/// The next cursor, and the names.
pub(super) fn scanned(value: Value) -> Result<(String, Vec<String>), SourceError> {
    let odd = |what: String| SourceError::Unusable(format!("the CRS's Redis cannot be walked: {what}"));
    match value {
        Value::Array(parts) => {
            let mut parts = parts.into_iter();
            let (Some(cursor), Some(found)) = (parts.next().and_then(text), parts.next()) else {
                return Err(odd("an answer in another shape".to_owned()));
            };
            Ok((cursor, members(found)))
        }
        Value::ServerError(error) => Err(odd(error.details().unwrap_or(error.code()).to_owned())),
        _ => Err(odd("an answer in another shape".to_owned())),
    }
}

pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn members(value: Value) -> Vec<String> {
    match value {
        Value::Array(items) | Value::Set(items) => items.into_iter().filter_map(text).collect(),
        Value::Map(pairs) => pairs
            .into_iter()
            .flat_map(|(first, second)| [first, second])
            .filter_map(text)
            .collect(),
        _ => Vec::new(),
    }
}

/// The fields of a hash; `None` if the reply is not a hash.
pub(super) fn entries(value: Value) -> Option<Fields> {
    let pairs: BTreeMap<String, String> = match value {
        Value::Map(pairs) => pairs
            .into_iter()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
            .collect(),
        Value::Array(_) => {
            let flat = members(value);
            let (pairs, _) = flat.as_chunks::<2>();
            pairs
                .iter()
                .map(|[name, value]| (name.clone(), value.clone()))
                .collect()
        }
        _ => return None,
    };
    Some(Fields(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_can_be_asked_writes() {
        let reads = [
            ReadCommand::Scan("0".to_owned()),
            ReadCommand::HScan("k", "0".to_owned()),
            ReadCommand::Get("k".to_owned()),
            ReadCommand::HGetAll("k".to_owned()),
            ReadCommand::SMembers("k".to_owned()),
            ReadCommand::LRange("k".to_owned(), "1"),
        ];
        let asked: Vec<&str> = reads
            .iter()
            .filter_map(|read| read.args().first().copied())
            .collect();
        assert_eq!(asked, ["SCAN", "HSCAN", "GET", "HGETALL", "SMEMBERS", "LRANGE"]);
    }

    #[test]
    fn only_another_type_is_left_out() {
        let error = |text: &str| redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        let wrong = error("WRONGTYPE Operation against a key holding the wrong kind of value");
        assert_eq!(refusal(&[Value::Nil, wrong]), None);
        for text in ["NOPERM no access to the key", "LOADING", "MOVED 1 host:1"] {
            let found = refusal(&[Value::Nil, error(text)]).unwrap();
            assert!(found.starts_with(text.split(' ').next().unwrap()), "{found}");
        }
    }

    #[test]
    fn answers_of_both_protocols_are_read() {
        let bulk = |text: &str| Value::BulkString(text.into());
        let flat = Value::Array(vec![bulk("a"), bulk("1")]);
        let map = Value::Map(vec![(bulk("a"), bulk("1"))]);
        assert_eq!(entries(flat), entries(map));
        assert_eq!(entries(bulk("x")), None);
        let scan = Value::Array(vec![bulk("7"), Value::Array(vec![bulk("k")])]);
        assert_eq!(scanned(scan).unwrap(), ("7".to_owned(), vec!["k".to_owned()]));
        assert!(scanned(Value::Nil).is_err());
    }
}
