//! Upstash on this machine: its REST interface in front of a real Redis.
//!
//! What the official client sees here is what it sees there (`tests/it/upstash.rs` proves it): one command
//! or a pipeline or a transaction in, `{"result"}` or `{"error"}` out, strings in base64 when asked for.
//! It counts commands as Upstash bills them, and misbehaves on demand. Everything ends on drop.

mod command;
mod kept;
mod resp;
mod serve;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::redis_server::RedisServer;
pub use kept::KeptRedis;
use resp::Redis;

const TOKEN: &str = "token-of-the-front-for-tests";

/// How the front treats what it is asked from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Works,
    /// Runs what it is asked, and answers so much later.
    Slow(Duration),
    /// Runs nothing, answers 429 and asks to be left alone for a second.
    TooMany,
    /// Runs nothing, answers 500.
    Fails,
    /// Runs nothing, answers 200 with what is no JSON.
    Garbage,
    /// Runs what it is asked, and closes the connection in the middle of the answer.
    HalfAnswer,
    /// Takes what it is asked and never answers it.
    Silent,
    /// Closes connections when they are made, and those that are there when they are used.
    Refuses,
}

/// Where the Redis is, and how the front is reached.
pub struct Options {
    pub redis_port: u16,
    pub redis_password: Option<String>,
    /// What callers must show.
    pub token: String,
    /// 0: any free one.
    pub port: u16,
}

pub struct UpstashFront {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Shared {
    redis: Redis,
    token: String,
    manner: Mutex<Manner>,
    log: Mutex<Vec<String>>,
    commands: AtomicU64,
    exchanges: AtomicU64,
    connections: AtomicU64,
    received: AtomicU64,
}

impl UpstashFront {
    /// A front to the server's first database, on a free port.
    ///
    /// # Panics
    /// If there is no port to listen on.
    pub async fn start(redis: &RedisServer) -> Self {
        let options = Options {
            redis_port: redis.port(),
            redis_password: Some(redis.password().to_owned()),
            token: TOKEN.to_owned(),
            port: 0,
        };
        Self::open(options).await.expect("a port to listen on")
    }

    /// Does not ask whether the Redis is there.
    ///
    /// # Errors
    /// When the port cannot be listened on.
    pub async fn open(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            redis: Redis::new(options.redis_port, options.redis_password),
            token: options.token,
            manner: Mutex::new(Manner::Works),
            log: Mutex::default(),
            commands: AtomicU64::new(0),
            exchanges: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            received: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(shared.clone(), listener));
        Ok(Self {
            shared,
            address,
            task,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn token(&self) -> &str {
        &self.shared.token
    }

    /// From now on, for requests that come from now on.
    pub fn behaves(&self, manner: Manner) {
        *lock(&self.shared.manner) = manner;
    }

    /// Commands given to the Redis, as Upstash bills them: each of a pipeline or a transaction, 1 for a
    /// script.
    pub fn commands(&self) -> u64 {
        self.shared.commands.load(Ordering::SeqCst)
    }

    /// HTTP requests that came whole.
    pub fn exchanges(&self) -> u64 {
        self.shared.exchanges.load(Ordering::SeqCst)
    }

    /// Connections accepted.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes of all bodies that came.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }

    /// The names of the commands given to the Redis, in upper case and in order.
    pub fn log(&self) -> Vec<String> {
        lock(&self.shared.log).clone()
    }
}

impl Drop for UpstashFront {
    fn drop(&mut self) {
        // The connections are its own.
        self.task.abort();
    }
}

impl Shared {
    fn manner(&self) -> Manner {
        *lock(&self.manner)
    }

    fn bill(&self, commands: &[command::Command]) {
        self.commands.fetch_add(commands.len() as u64, Ordering::SeqCst);
        lock(&self.log).extend(commands.iter().map(command::Command::name));
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                shared.connections.fetch_add(1, Ordering::SeqCst);
                if shared.manner() != Manner::Refuses {
                    connections.spawn(serve::connection(shared.clone(), stream));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
