//! The Redis behind the front: RESP2 over TCP, connections kept for the next caller.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::command::Command;
use super::lock;

/// Longest wait for all answers to one request.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nil,
    Int(i64),
    /// `+OK`.
    Status(String),
    /// `-CODE message`.
    Error(String),
    Bulk(Vec<u8>),
    List(Vec<Value>),
}

pub(super) struct Redis {
    port: u16,
    password: Option<String>,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

impl Redis {
    pub(super) fn new(port: u16, password: Option<String>) -> Self {
        Self {
            port,
            password,
            idle: Mutex::default(),
        }
    }

    /// Says all of it on one connection that nobody else uses meanwhile; one answer per command.
    pub(super) async fn ask(&self, commands: &[Command]) -> io::Result<Vec<Value>> {
        let exchange = async {
            let mut connection = match self.kept() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let answers = exchange(&mut connection, commands).await?;
            lock(&self.idle).push(connection);
            Ok(answers)
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the Redis does not answer"))?
    }

    /// A connection that the server has not closed.
    fn kept(&self) -> Option<BufReader<TcpStream>> {
        loop {
            let connection = lock(&self.idle).pop()?;
            let quiet = connection.get_ref().try_read(&mut [0; 1]);
            if quiet.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        let mut connection = BufReader::new(stream);
        if let Some(password) = &self.password {
            let auth = Command(vec![b"AUTH".to_vec(), password.clone().into_bytes()]);
            match exchange(&mut connection, &[auth]).await?.pop() {
                Some(Value::Status(_)) => {}
                other => return Err(broken(format!("the Redis refuses the password: {other:?}"))),
            }
        }
        Ok(connection)
    }
}

async fn exchange(connection: &mut BufReader<TcpStream>, commands: &[Command]) -> io::Result<Vec<Value>> {
    let mut said = Vec::new();
    for Command(args) in commands {
        said.extend(format!("*{}\r\n", args.len()).bytes());
        for arg in args {
            said.extend(format!("${}\r\n", arg.len()).bytes());
            said.extend(arg);
            said.extend(b"\r\n");
        }
    }
    connection.get_mut().write_all(&said).await?;
    let mut answers = Vec::with_capacity(commands.len());
    for _ in commands {
        answers.push(value(connection).await?);
    }
    Ok(answers)
}

fn value(from: &mut BufReader<TcpStream>) -> Pin<Box<dyn Future<Output = io::Result<Value>> + Send + '_>> {
    Box::pin(async move {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line);
        let line = line
            .strip_suffix("\r\n")
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the Redis closed the connection"))?;
        let mut chars = line.chars();
        let kind = chars.next();
        let rest = chars.as_str();
        let number = || rest.parse::<i64>().map_err(broken);
        Ok(match kind {
            Some('+') => Value::Status(rest.to_owned()),
            Some('-') => Value::Error(rest.to_owned()),
            Some(':') => Value::Int(number()?),
            Some('$') => match usize::try_from(number()?) {
                Err(_) => Value::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    from.read_exact(&mut bytes).await?;
                    bytes.truncate(length);
                    Value::Bulk(bytes)
                }
            },
            Some('*') => match usize::try_from(number()?) {
                Err(_) => Value::Nil,
                Ok(count) => {
                    let mut items = Vec::new();
                    for _ in 0..count {
                        items.push(value(from).await?);
                    }
                    Value::List(items)
                }
            },
            _ => return Err(broken(format!("no RESP: {line:?}"))),
        })
    })
}

fn broken(why: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}
