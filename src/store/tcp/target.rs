//! The server to connect to: the one that the address names, or the master that sentinels name.
//!
//! Sentinels are asked at every connection, as "Sentinel client spec" on redis.io describes: the first that answers
//! decides, then `ROLE` must confirm that the server is a master. The `redis` crate has a client for Sentinel as well;
//! it makes its connections without our time limits, and cannot be used by several tasks at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, TlsCertificates, Value};
use tokio::time::timeout;

use super::OptionsError;
use super::trouble::Trouble;
use crate::config::Sentinels;

pub(super) enum Target {
    Server(Client),
    Sentinels(Sentries),
}

pub(super) struct Sentries {
    sentinels: Sentinels,
    /// `host:port` of each sentinel, and how to connect to it.
    clients: Vec<(String, Client)>,
    /// Of the master's certificate.
    authority: Option<Vec<u8>>,
    /// The sentinel to ask first: the last one that answered.
    first: AtomicUsize,
}

/// A host and a port.
type Address = (String, u16);

impl Target {
    pub(super) fn new(url: &str, authority: Option<&[u8]>) -> Result<Target, OptionsError> {
        let sentinels = match Sentinels::parse(url) {
            None => return client(url, authority).map(Target::Server),
            Some(Err(problem)) => return Err(OptionsError::Url(format!("it {problem}"))),
            Some(Ok(sentinels)) => sentinels,
        };
        let of_sentinels = authority.filter(|_| sentinels.asking_tls());
        let clients = sentinels
            .addresses()
            .map(|(shown, url)| Ok((shown.to_owned(), client(url.reveal(), of_sentinels)?)))
            .collect::<Result<_, _>>()?;
        // Says now if the server's part of the settings is wrong.
        client(sentinels.server("localhost", 6379).reveal(), authority)?;
        Ok(Target::Sentinels(Sentries {
            sentinels,
            clients,
            authority: authority.map(<[u8]>::to_vec),
            first: AtomicUsize::new(0),
        }))
    }

    /// A new connection; `limit` is for connecting to one server.
    pub(super) async fn connect(&self, limit: Duration) -> Result<MultiplexedConnection, Trouble> {
        match self {
            Target::Server(client) => connect(client, limit)
                .await
                .map_err(|error| Trouble::from(&error)),
            Target::Sentinels(sentries) => sentries.master(limit).await.map(|(_, wire)| wire),
        }
    }

    /// How to connect to the server that [`Target::connect`] would connect to.
    pub(super) async fn client(&self, limit: Duration) -> Result<Client, Trouble> {
        match self {
            Target::Server(client) => Ok(client.clone()),
            Target::Sentinels(sentries) => sentries.master(limit).await.map(|(client, _)| client),
        }
    }
}

impl Sentries {
    async fn master(&self, limit: Duration) -> Result<(Client, MultiplexedConnection), Trouble> {
        let count = self.clients.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut refused: Vec<Address> = Vec::new();
        // What is said in the end: trouble of a server that was named, or of the sentinels.
        let (mut of_server, mut of_sentinel) = (None, None);
        let order = self.clients.iter().enumerate().cycle().skip(first).take(count);
        for (index, (shown, sentinel)) in order {
            // If the caller gives up meanwhile, the next one begins with another sentinel.
            self.first.store((index + 1) % count, Ordering::Relaxed);
            // Silent sentinels must leave time for the others.
            let named = match timeout(limit / 4, self.ask(sentinel, limit)).await {
                Ok(Ok(Some(address))) => address,
                Ok(Ok(None)) => {
                    let reason = format!("it knows no master {}", self.sentinels.name());
                    of_sentinel.get_or_insert(Trouble::lasting(reason).at(&format!("sentinel {shown}")));
                    continue;
                }
                Ok(Err(error)) => {
                    of_sentinel = Some(Trouble::from(&error).at(&format!("sentinel {shown}")));
                    continue;
                }
                Err(_) => {
                    let silent = Trouble::passing("no answer".to_owned());
                    of_sentinel = Some(silent.at(&format!("sentinel {shown}")));
                    continue;
                }
            };
            if refused.contains(&named) {
                continue;
            }
            match self.enter(&named, limit).await {
                Ok(found) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(trouble) => {
                    of_server = Some(trouble.at(&format!("{}:{}", named.0, named.1)));
                    refused.push(named);
                }
            }
        }
        let nobody = || Trouble::passing("no sentinel answered".to_owned());
        Err(of_server.or(of_sentinel).unwrap_or_else(nobody))
    }

    /// Who is the master; `None`: the sentinel does not know that name.
    async fn ask(&self, sentinel: &Client, limit: Duration) -> Result<Option<Address>, RedisError> {
        let mut wire = connect(sentinel, limit).await?;
        redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(self.sentinels.name())
            .query_async(&mut wire)
            .await
    }

    /// Connects to a server that a sentinel named, if it is a master.
    async fn enter(
        &self,
        (host, port): &Address,
        limit: Duration,
    ) -> Result<(Client, MultiplexedConnection), Trouble> {
        let url = self.sentinels.server(host, *port);
        let client = client(url.reveal(), self.authority.as_deref())
            .map_err(|error| Trouble::passing(error.to_string()))?;
        let enter = async {
            let mut wire = connect(&client, limit).await?;
            let role: Value = redis::cmd("ROLE").query_async(&mut wire).await?;
            Ok::<_, RedisError>((wire, role))
        };
        match timeout(limit, enter).await {
            Ok(Ok((wire, role))) if is_master(&role) => Ok((client, wire)),
            Ok(Ok(_)) => Err(Trouble::passing("it is no master (yet)".to_owned())),
            Ok(Err(error)) => Err(Trouble::from(&error)),
            Err(_) => Err(Trouble::passing(format!("no answer within {limit:?}"))),
        }
    }
}

/// The answer to `ROLE` begins with it.
fn is_master(role: &Value) -> bool {
    let Value::Array(parts) = role else { return false };
    match parts.first() {
        Some(Value::BulkString(role)) => role == b"master",
        Some(Value::SimpleString(role)) => role == "master",
        _ => false,
    }
}

async fn connect(client: &Client, limit: Duration) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limit))
        .set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn client(url: &str, authority: Option<&[u8]>) -> Result<Client, OptionsError> {
    let bad = |error: RedisError| OptionsError::Url(error.to_string());
    let target = url.into_connection_info().map_err(bad)?;
    match authority {
        None => Client::open(target).map_err(bad),
        Some(pem) => {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(pem.to_vec()),
            };
            Client::build_with_tls(target, certificates)
                .map_err(|error| OptionsError::Authority(error.to_string()))
        }
    }
}
