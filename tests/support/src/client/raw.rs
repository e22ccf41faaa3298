//! One connection, byte by byte.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::wire::{Framing, ResponseHead, read_response_head};
use crate::{PATIENCE, within};

/// A connection to a server. Every read is bounded by [`PATIENCE`].
pub struct Raw {
    stream: TcpStream,
    buf: BytesMut,
    /// Of the request whose answer is being read.
    method: String,
    framing: Framing,
}

/// A part of a body, and when it was there. At most one HTTP chunk, and at most what one read gave.
#[derive(Clone, Debug)]
pub struct Piece {
    pub bytes: Bytes,
    pub at: Instant,
}

impl Raw {
    /// Connects to the host and port of a URL, or to an address.
    pub async fn connect(to: &str) -> Self {
        Self::connect_with(to, None).await
    }

    /// [`Raw::connect`], with a receive buffer of about so many bytes: a reader that stops reading is soon
    /// felt by the server.
    pub async fn connect_with_receive_buffer(to: &str, bytes: u32) -> Self {
        Self::connect_with(to, Some(bytes)).await
    }

    /// [`Raw::connect`], to a server that may be down.
    pub async fn try_connect(to: &str) -> io::Result<Self> {
        Self::try_connect_with(to, None).await
    }

    async fn connect_with(to: &str, receive_buffer: Option<u32>) -> Self {
        let connected = Self::try_connect_with(to, receive_buffer).await;
        connected.unwrap_or_else(|e| panic!("cannot connect to {to}: {e}"))
    }

    async fn try_connect_with(to: &str, receive_buffer: Option<u32>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = receive_buffer {
            socket
                .set_recv_buffer_size(bytes)
                .expect("a receive buffer of that size");
        }
        let stream = within(PATIENCE, "a connection", socket.connect(address(to))).await?;
        stream.set_nodelay(true).expect("no delay");
        Ok(Self {
            stream,
            buf: BytesMut::new(),
            method: "GET".into(),
            framing: Framing::Done,
        })
    }

    /// Sends these bytes, whatever they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the server takes the bytes");
    }

    /// [`Raw::send`], for a server that may have left.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(
            PATIENCE,
            "the server to take the bytes",
            self.stream.write_all(bytes.as_ref()),
        )
        .await
    }

    /// The method of a request sent by [`Raw::send`], if an answer to it has no body.
    pub fn set_method(&mut self, method: &str) {
        self.method = method.into();
    }

    /// Sends a whole request.
    pub async fn ask(&mut self, ask: &Ask) {
        self.method.clone_from(&ask.method);
        self.send(ask.to_bytes()).await;
    }

    /// Sends a whole request and reads the answer's head.
    pub async fn head_of(&mut self, ask: &Ask) -> ResponseHead {
        self.ask(ask).await;
        self.head().await
    }

    /// Sends a whole request and reads the whole answer.
    pub async fn answer_to(&mut self, ask: &Ask) -> (ResponseHead, Bytes) {
        let head = self.head_of(ask).await;
        let body = self.body().await;
        (head, body)
    }

    /// Reads the answer's head.
    pub async fn head(&mut self) -> ResponseHead {
        self.try_head()
            .await
            .expect("the head of an answer")
            .expect("an answer, not a closed connection")
    }

    /// [`Raw::head`], for a server that may leave: `None` when it closed without a word.
    pub async fn try_head(&mut self) -> io::Result<Option<ResponseHead>> {
        let head = within(PATIENCE, "the head of an answer", async {
            loop {
                let head = read_response_head(&mut self.stream, &mut self.buf).await?;
                // Heads of the 100 family only announce another.
                if head.as_ref().is_none_or(|head| head.status / 100 != 1) {
                    return io::Result::Ok(head);
                }
            }
        })
        .await?;
        if let Some(head) = &head {
            self.framing = Framing::of_response(&self.method, head)?;
        }
        Ok(head)
    }

    /// Reads the next piece of the body; `None` at its proper end.
    pub async fn piece(&mut self) -> Option<Piece> {
        self.try_piece().await.expect("a piece of a body")
    }

    /// [`Raw::piece`], for a body that may break off.
    pub async fn try_piece(&mut self) -> io::Result<Option<Piece>> {
        let next = self.framing.next(&mut self.stream, &mut self.buf);
        let piece = within(PATIENCE, "a piece of a body", next).await?;
        Ok(piece.map(|bytes| Piece {
            bytes,
            at: Instant::now(),
        }))
    }

    /// Reads the body up to its proper end.
    pub async fn body(&mut self) -> Bytes {
        self.try_body()
            .await
            .1
            .unwrap_or_else(|e| panic!("the body broke off: {e}"))
    }

    /// Reads the body as far as it goes: what came, and the same or the error that ended it.
    pub async fn try_body(&mut self) -> (Bytes, io::Result<Bytes>) {
        let mut body = BytesMut::new();
        loop {
            match self.try_piece().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece.bytes),
                Ok(None) => {
                    let body = body.freeze();
                    return (body.clone(), Ok(body));
                }
                Err(error) => return (body.freeze(), Err(error)),
            }
        }
    }

    /// Reads pieces until at least `count` bytes of the body are there.
    pub async fn at_least(&mut self, count: usize) -> Bytes {
        let mut body = BytesMut::new();
        while body.len() < count {
            let piece = self.piece().await.expect("the body ended too early");
            body.extend_from_slice(&piece.bytes);
        }
        body.freeze()
    }

    /// Reads until `needle` was in the body, and returns all that was read.
    pub async fn until(&mut self, needle: &str) -> Bytes {
        let mut body = BytesMut::new();
        while !contains(&body, needle.as_bytes()) {
            let Some(piece) = self.piece().await else {
                panic!(
                    "the body ended without {needle:?}: {:?}",
                    String::from_utf8_lossy(&body)
                )
            };
            body.extend_from_slice(&piece.bytes);
        }
        body.freeze()
    }

    /// Reads raw bytes at a slow pace: at most `size` every `pause`, `total` in all or up to the end.
    /// Framing is not looked at.
    pub async fn read_slowly(&mut self, size: usize, pause: Duration, total: usize) -> usize {
        let mut read = self.buf.split().len();
        let mut piece = vec![0; size];
        while read < total {
            match within(PATIENCE, "bytes", self.stream.read(&mut piece)).await {
                Ok(0) | Err(_) => break,
                Ok(n) => read += n,
            }
            tokio::time::sleep(pause).await;
        }
        read
    }

    /// Waits for the server to close; whatever it still sends is thrown away.
    pub async fn closed_by_server(&mut self) -> io::Result<()> {
        within(PATIENCE, "the server to close the connection", async {
            loop {
                self.buf.clear();
                if self.stream.read_buf(&mut self.buf).await? == 0 {
                    return Ok(());
                }
            }
        })
        .await
    }

    /// Closes the sending half only, as `nc -N` does at the end of its input.
    pub async fn close_sending_half(&mut self) {
        self.stream.shutdown().await.expect("a FIN");
    }

    /// Leaves politely.
    pub fn leave(self) {}

    /// Leaves with a reset, as a killed process or a cut line does.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("no linger");
    }
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|window| window == needle)
}

/// The address of `http://127.0.0.1:1234/any` or `127.0.0.1:1234`.
pub(crate) fn address(url: &str) -> SocketAddr {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let host = rest
        .split('/')
        .next()
        .unwrap_or_default()
        .replace("localhost", "127.0.0.1");
    host.parse()
        .unwrap_or_else(|_| panic!("no address with a port in {url:?}"))
}

/// A request to send. Only `host` and the body's length are added to what is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Ask {
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::new("POST", target).header("content-type", "application/json")
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The request as it goes over the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let said = |name: &str| self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !said("host") {
            head.push_str("host: 127.0.0.1\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let bodyless = self.body.is_empty() && matches!(self.method.as_str(), "GET" | "HEAD");
        if !bodyless && !said("content-length") && !said("transfer-encoding") {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
