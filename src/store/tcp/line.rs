//! The connection: made when needed, given up when it breaks or falls silent, never waited for long.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, TlsCertificates};
use tokio::time::{Instant, timeout};

use super::{KIND, OptionsError};
use crate::port::store::StoreError;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A whole call, connecting included.
    pub answer: Duration,
    /// Connecting: name, TCP, TLS, password.
    pub connect: Duration,
    /// After a failure to connect or an answer that did not come: nobody tries for so long.
    pub rest: Duration,
    /// A connection unused for longer may be dead without our knowing; it is tried with a `PING` before
    /// it gets what must not be said twice.
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
    client: Client,
    limits: Limits,
    state: Mutex<State>,
    /// One caller connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

struct State {
    connection: Option<Connection>,
    /// Of the newest connection, so that a late failure of an old one does not end it.
    serial: u64,
    resting: Option<(Instant, Trouble)>,
}

#[derive(Clone)]
struct Connection {
    wire: MultiplexedConnection,
    serial: u64,
    used: Instant,
    /// Made for this very call: if it breaks too, that is not an accident.
    fresh: bool,
}

#[derive(Clone)]
struct Trouble {
    /// The server answered, with a refusal.
    refused: bool,
    reason: String,
}

impl Line {
    pub(super) fn new(url: &str, authority: Option<&[u8]>, limits: Limits) -> Result<Line, OptionsError> {
        // The first call decides for the process, and this is the only provider built in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bad = |error: RedisError| OptionsError::Url(error.to_string());
        let target = url.into_connection_info().map_err(bad)?;
        let client = match authority {
            None => Client::open(target).map_err(bad)?,
            Some(pem) => {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(pem.to_vec()),
                };
                Client::build_with_tls(target, certificates)
                    .map_err(|error| OptionsError::Authority(error.to_string()))?
            }
        };
        let state = State {
            connection: None,
            serial: 0,
            resting: None,
        };
        Ok(Line {
            client,
            limits,
            state: Mutex::new(state),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    /// Says all of it and gives all the answers. `again`: it may be said a second time.
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
                let trouble = Trouble {
                    refused: false,
                    reason,
                };
                if let Some(serial) = serial {
                    self.lose(serial);
                    self.rest(trouble.clone());
                }
                Err(trouble.error())
            }
        }
    }

    async fn connection(&self, again: bool) -> Result<Connection, StoreError> {
        if let Some(mut line) = self.current()? {
            if again || line.used.elapsed() < self.limits.idle {
                return Ok(line);
            }
            let mut ping = redis::Pipeline::new();
            ping.cmd("PING");
            // Half of what a new connection may then still need is left for it.
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
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limits.connect))
            .set_response_timeout(None);
        match self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
        {
            Ok(wire) => {
                let mut state = self.state();
                state.serial += 1;
                state.resting = None;
                let line = Connection {
                    wire,
                    serial: state.serial,
                    used: Instant::now(),
                    fresh: false,
                };
                state.connection = Some(line.clone());
                Ok(Connection { fresh: true, ..line })
            }
            Err(error) => {
                let trouble = Trouble::from(&error);
                self.rest(trouble.clone());
                Err(trouble.error())
            }
        }
    }

    /// The connection there is; an error while the server is left alone.
    fn current(&self) -> Result<Option<Connection>, StoreError> {
        let state = self.state();
        match &state.resting {
            Some((until, trouble)) if Instant::now() < *until => Err(trouble.error()),
            _ => Ok(state.connection.clone()),
        }
    }

    fn answered(&self, serial: u64, values: &[redis::Value]) {
        let demoted = |value: &redis::Value| match value {
            redis::Value::ServerError(error) => error.code() == "READONLY",
            _ => false,
        };
        // The server became a replica; by the name it is known by, another one may be found.
        if values.iter().any(demoted) {
            self.lose(serial);
        } else if let Some(line) = &mut self.state().connection {
            line.used = Instant::now();
        }
    }

    fn lose(&self, serial: u64) {
        let mut state = self.state();
        if state
            .connection
            .as_ref()
            .is_some_and(|line| line.serial == serial)
        {
            state.connection = None;
        }
    }

    fn rest(&self, trouble: Trouble) {
        let mut state = self.state();
        // A connection made meanwhile is proof that there is no need to.
        if state.connection.is_none() {
            state.resting = Some((Instant::now() + self.limits.rest, trouble));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    fn from(error: &RedisError) -> Trouble {
        let refused = matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::Extension
        ) || matches!(
            error.kind(),
            ErrorKind::Server(redis::ServerErrorKind::ResponseError)
        );
        Trouble {
            refused,
            reason: error.to_string(),
        }
    }

    fn error(&self) -> StoreError {
        let reason = self.reason.clone();
        if self.refused {
            StoreError::Failed { kind: KIND, reason }
        } else {
            StoreError::Away { kind: KIND, reason }
        }
    }
}
