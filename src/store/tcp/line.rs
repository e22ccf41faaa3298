//! The connection: made on demand, dropped when it breaks or goes silent, with short time limits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::OptionsError;
use super::target::Target;
use super::trouble::Trouble;
use crate::port::store::StoreError;
use crate::store::redis::no_longer_master;

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A whole call including the connection.
    pub answer: Duration,
    /// Connecting to one server: name resolution, TCP, TLS, password.
    pub connect: Duration,
    /// Pause after a failure to connect or a timeout. A server that refuses writes is left at most this often.
    pub rest: Duration,
    /// A connection unused for longer may be dead. It is tested with a `PING` before commands that must not be
    /// repeated.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            answer: Duration::from_secs(2),
            connect: Duration::from_secs(1),
            rest: Duration::from_millis(500),
            idle: Duration::from_secs(1),
        }
    }
}

pub(super) struct Line {
    target: Target,
    limits: Limits,
    state: Mutex<State>,
    /// One caller connects while the others wait.
    connecting: tokio::sync::Mutex<()>,
    /// Number of lost connections. Listeners end with a connection, since the next one may be to another server.
    lost: watch::Sender<u64>,
}

struct State {
    connection: Option<Connection>,
    /// Serial number of the newest connection, so that a late failure of an old one does not close it.
    serial: u64,
    resting: Option<(Instant, Trouble)>,
}

#[derive(Clone)]
struct Connection {
    wire: MultiplexedConnection,
    serial: u64,
    made: Instant,
    used: Instant,
    /// Made for this call: if it breaks as well, the cause is not an idle connection.
    fresh: bool,
}

impl Line {
    pub(super) fn new(url: &str, authority: Option<&[u8]>, limits: Limits) -> Result<Line, OptionsError> {
        // The first call installs it for the process; it is the only provider built in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = State {
            connection: None,
            serial: 0,
            resting: None,
        };
        Ok(Line {
            target: Target::new(url, authority)?,
            limits,
            state: Mutex::new(state),
            connecting: tokio::sync::Mutex::default(),
            lost: watch::Sender::default(),
        })
    }

    /// Sends the requests and returns their answers. `again`: they may be sent a second time.
    pub(super) async fn exchange(
        &self,
        pipeline: &redis::Pipeline,
        again: bool,
    ) -> Result<Vec<redis::Value>, StoreError> {
        let mut serial = None;
        let exchange = async {
            loop {
                let mut line = self.connection(again).await?;
                serial = Some(line.serial);
                match line.wire.send_packed_commands(pipeline, 0, pipeline.len()).await {
                    Ok(values) => {
                        self.answered(line.serial, &values);
                        return Ok(values);
                    }
                    Err(error) => {
                        self.lose(line.serial);
                        if line.fresh || !again {
                            return Err(Trouble::from(&error).error());
                        }
                    }
                }
            }
        };
        match timeout(self.limits.answer, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let reason = format!("no answer within {:?}", self.limits.answer);
                let trouble = Trouble::passing(reason);
                if let Some(serial) = serial {
                    self.lose(serial);
                    self.rest(trouble.clone());
                }
                Err(trouble.error())
            }
        }
    }

    /// The messages of a channel, over a connection of their own. They end when that connection breaks, or the
    /// line's.
    pub(super) async fn listen(&self, channel: &str) -> Result<BoxStream<'static, Bytes>, StoreError> {
        let mut lost = self.lost.subscribe();
        let connect = async {
            let client = self.target.client(self.limits.connect).await?;
            let subscribe = async {
                let mut messages = client.get_async_pubsub().await?;
                messages.subscribe(channel).await?;
                Ok::<_, RedisError>(messages.into_on_message())
            };
            subscribe.await.map_err(|error| Trouble::from(&error))
        };
        match timeout(self.limits.answer, connect).await {
            Ok(Ok(messages)) => {
                let payload = |message: redis::Msg| Bytes::copy_from_slice(message.get_payload_bytes());
                let end = async move { drop(lost.changed().await) };
                Ok(messages.map(payload).take_until(end).boxed())
            }
            Ok(Err(trouble)) => Err(trouble.error()),
            Err(_) => Err(Trouble::passing(format!("no answer within {:?}", self.limits.answer)).error()),
        }
    }

    async fn connection(&self, again: bool) -> Result<Connection, StoreError> {
        if let Some(mut line) = self.current()? {
            if again || line.used.elapsed() < self.limits.idle {
                return Ok(line);
            }
            let mut ping = redis::Pipeline::new();
            ping.cmd("PING");
            // Leaves half of the time for a new connection.
            let probe = line.wire.send_packed_commands(&ping, 0, 1);
            if matches!(timeout(self.limits.answer / 4, probe).await, Ok(Ok(_))) {
                return Ok(line);
            }
            self.lose(line.serial);
        }
        let _turn = self.connecting.lock().await;
        if let Some(line) = self.current()? {
            return Ok(line);
        }
        // Ends before the call does, so that the pause begins.
        let limit = self.limits.answer * 3 / 4;
        let wire = match timeout(limit, self.target.connect(self.limits.connect)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Trouble::passing(format!("not connected within {limit:?}"))),
        };
        match wire {
            Ok(wire) => {
                let mut state = self.state();
                state.serial += 1;
                state.resting = None;
                let now = Instant::now();
                let line = Connection {
                    wire,
                    serial: state.serial,
                    made: now,
                    used: now,
                    fresh: false,
                };
                state.connection = Some(line.clone());
                Ok(Connection { fresh: true, ..line })
            }
            Err(trouble) => {
                self.rest(trouble.clone());
                Err(trouble.error())
            }
        }
    }

    /// The current connection; an error during a pause.
    fn current(&self) -> Result<Option<Connection>, StoreError> {
        let state = self.state();
        match &state.resting {
            Some((until, trouble)) if Instant::now() < *until => Err(trouble.error()),
            _ => Ok(state.connection.clone()),
        }
    }

    fn answered(&self, serial: u64, values: &[redis::Value]) {
        let refused = |value: &redis::Value| match value {
            redis::Value::ServerError(error) => {
                no_longer_master(error.code(), error.details().unwrap_or_default())
            }
            _ => false,
        };
        if values.iter().any(refused) {
            // The name of the host, or a sentinel, may lead to another server now; if not, connecting anew for
            // every write would not help.
            self.lose_if(|line| line.serial == serial && line.made.elapsed() >= self.limits.rest);
        } else if let Some(line) = &mut self.state().connection {
            line.used = Instant::now();
        }
    }

    fn lose(&self, serial: u64) {
        self.lose_if(|line| line.serial == serial);
    }

    fn lose_if(&self, lost: impl FnOnce(&Connection) -> bool) {
        let mut state = self.state();
        if state.connection.as_ref().is_some_and(lost) {
            state.connection = None;
            self.lost.send_modify(|count| *count += 1);
        }
    }

    fn rest(&self, trouble: Trouble) {
        let mut state = self.state();
        // A new connection meanwhile shows that no pause is needed.
        if state.connection.is_none() {
            state.resting = Some((Instant::now() + self.limits.rest, trouble));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
