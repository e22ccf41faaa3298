//! HTTP/1.1 on the wire, seen from both ends: heads as they came, bodies as their bytes arrive.
//!
//! Strict on purpose: what a lenient parser forgives would hide a mistake of the relay.

use std::fmt;
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest head accepted, in bytes.
const HEAD_LIMIT: usize = 256 * 1024;
/// Most bytes taken from a socket at once.
const READ: usize = 16 * 1024;
/// Longest body held in memory, in bytes.
pub const BODY_LIMIT: usize = 300 * 1024 * 1024;

/// Header lines in the order and spelling they were received.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a header, whatever its spelling.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Every value of a header, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All names in lower case, in order.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(n, _)| n.to_ascii_lowercase()).collect()
    }

    fn says(&self, name: &str, word: &str) -> bool {
        self.all(name)
            .flat_map(|v| v.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(k, v)| (k, v))).finish()
    }
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    pub headers: Headers,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
}

fn broken(why: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

fn cut(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, why.to_owned())
}

fn headers(parsed: &[httparse::Header<'_>]) -> Headers {
    Headers(
        parsed
            .iter()
            .map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned()))
            .collect(),
    )
}

/// Reads one request head; `None` when the peer closed before its first byte.
pub async fn read_request_head<R>(from: &mut R, buf: &mut BytesMut) -> io::Result<Option<RequestHead>>
where
    R: AsyncRead + Unpin,
{
    read_head(from, buf, |bytes| {
        let mut lines = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Request::new(&mut lines);
        match head.parse(bytes).map_err(broken)? {
            httparse::Status::Partial => Ok(None),
            httparse::Status::Complete(length) => Ok(Some((
                RequestHead {
                    method: head.method.unwrap_or_default().to_owned(),
                    target: head.path.unwrap_or_default().to_owned(),
                    headers: headers(head.headers),
                },
                length,
            ))),
        }
    })
    .await
}

/// Reads one response head; `None` when the peer closed before its first byte.
pub async fn read_response_head<R>(from: &mut R, buf: &mut BytesMut) -> io::Result<Option<ResponseHead>>
where
    R: AsyncRead + Unpin,
{
    read_head(from, buf, |bytes| {
        let mut lines = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Response::new(&mut lines);
        match head.parse(bytes).map_err(broken)? {
            httparse::Status::Partial => Ok(None),
            httparse::Status::Complete(length) => Ok(Some((
                ResponseHead {
                    status: head.code.unwrap_or_default(),
                    reason: head.reason.unwrap_or_default().to_owned(),
                    headers: headers(head.headers),
                },
                length,
            ))),
        }
    })
    .await
}

async fn read_head<R, T>(
    from: &mut R,
    buf: &mut BytesMut,
    parse: impl Fn(&[u8]) -> io::Result<Option<(T, usize)>>,
) -> io::Result<Option<T>>
where
    R: AsyncRead + Unpin,
{
    loop {
        if !buf.is_empty()
            && let Some((head, length)) = parse(buf)?
        {
            buf.advance(length);
            return Ok(Some(head));
        }
        if buf.len() > HEAD_LIMIT {
            return Err(broken("the head is too long"));
        }
        buf.reserve(READ);
        if from.read_buf(buf).await? == 0 {
            return if buf.is_empty() {
                Ok(None)
            } else {
                Err(cut("closed inside a head"))
            };
        }
    }
}

/// Where a body ends, and how much of it is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// A chunk's size line comes next.
    ChunkSize,
    /// So many bytes of the current chunk are still to come.
    ChunkData(u64),
    /// The line break after a chunk's data comes next.
    ChunkBreak,
    /// Trailer lines, up to an empty one.
    Trailers,
    /// The body lasts as long as the connection.
    UntilClose,
    Done,
}

impl Framing {
    pub fn of_request(head: &RequestHead) -> io::Result<Self> {
        Self::declared(&head.headers).map(|framing| framing.unwrap_or(Self::Done))
    }

    pub fn of_response(method: &str, head: &ResponseHead) -> io::Result<Self> {
        let bodyless = method == "HEAD" || head.status / 100 == 1 || matches!(head.status, 204 | 304);
        if bodyless {
            return Ok(Self::Done);
        }
        Self::declared(&head.headers).map(|framing| framing.unwrap_or(Self::UntilClose))
    }

    fn declared(headers: &Headers) -> io::Result<Option<Self>> {
        let length = headers.get("content-length");
        if headers.says("transfer-encoding", "chunked") {
            if length.is_some() {
                return Err(broken("both content-length and chunked"));
            }
            return Ok(Some(Self::ChunkSize));
        }
        match length.map(str::parse) {
            None => Ok(None),
            Some(Ok(0)) => Ok(Some(Self::Done)),
            Some(Ok(n)) => Ok(Some(Self::Length(n))),
            Some(Err(_)) => Err(broken("content-length is no number")),
        }
    }

    pub fn is_done(self) -> bool {
        self == Self::Done
    }

    /// Takes the next piece of the body out of `buf`, at most one chunk; `None` when more must be read
    /// first, or the body has ended.
    pub fn take(&mut self, buf: &mut BytesMut) -> io::Result<Option<Bytes>> {
        loop {
            match *self {
                Self::Done => return Ok(None),
                _ if buf.is_empty() => return Ok(None),
                Self::UntilClose => return Ok(Some(buf.split().freeze())),
                Self::Length(left) => {
                    let (piece, left) = split(buf, left);
                    *self = if left == 0 { Self::Done } else { Self::Length(left) };
                    return Ok(Some(piece));
                }
                Self::ChunkData(left) => {
                    let (piece, left) = split(buf, left);
                    *self = if left == 0 {
                        Self::ChunkBreak
                    } else {
                        Self::ChunkData(left)
                    };
                    return Ok(Some(piece));
                }
                Self::ChunkSize => match line(buf)? {
                    None => return Ok(None),
                    Some(line) => {
                        let size = line.split(';').next().unwrap_or_default().trim();
                        let size = u64::from_str_radix(size, 16)
                            .map_err(|_| broken(format!("no chunk size: {line:?}")))?;
                        *self = if size == 0 {
                            Self::Trailers
                        } else {
                            Self::ChunkData(size)
                        };
                    }
                },
                Self::ChunkBreak => match line(buf)?.as_deref() {
                    None => return Ok(None),
                    Some("") => *self = Self::ChunkSize,
                    Some(other) => return Err(broken(format!("no break after a chunk: {other:?}"))),
                },
                Self::Trailers => match line(buf)?.as_deref() {
                    None => return Ok(None),
                    Some("") => *self = Self::Done,
                    Some(_) => {}
                },
            }
        }
    }

    /// Reads the next piece; `None` at the body's end.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer closes inside the body.
    pub async fn next<R>(&mut self, from: &mut R, buf: &mut BytesMut) -> io::Result<Option<Bytes>>
    where
        R: AsyncRead + Unpin,
    {
        loop {
            if let Some(piece) = self.take(buf)? {
                return Ok(Some(piece));
            }
            if self.is_done() {
                return Ok(None);
            }
            buf.reserve(READ);
            if from.read_buf(buf).await? == 0 {
                if *self == Self::UntilClose {
                    *self = Self::Done;
                    return Ok(None);
                }
                return Err(cut("closed inside a body"));
            }
        }
    }

    /// Reads all of the body.
    pub async fn all<R>(&mut self, from: &mut R, buf: &mut BytesMut) -> io::Result<Bytes>
    where
        R: AsyncRead + Unpin,
    {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next(from, buf).await? {
            body.extend_from_slice(&piece);
            if body.len() > BODY_LIMIT {
                return Err(broken("the body is too long to hold"));
            }
        }
        Ok(body.freeze())
    }
}

fn split(buf: &mut BytesMut, left: u64) -> (Bytes, u64) {
    let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
    (buf.split_to(n).freeze(), left - n as u64)
}

fn line(buf: &mut BytesMut) -> io::Result<Option<String>> {
    let Some(end) = buf.windows(2).position(|pair| pair == b"\r\n") else {
        return if buf.len() > HEAD_LIMIT {
            Err(broken("a line without end"))
        } else {
            Ok(None)
        };
    };
    let line = buf.split_to(end);
    buf.advance(2);
    String::from_utf8(line.to_vec()).map(Some).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chunked_body_is_read_whatever_the_cuts() {
        let wire = b"3;x=y\r\nabc\r\n1\r\n\n\r\n0\r\nt: 1\r\n\r\nrest";
        for size in 1..wire.len() {
            let mut pieces = wire.chunks(size).collect::<Vec<_>>().into_iter();
            let mut buf = BytesMut::new();
            let mut framing = Framing::ChunkSize;
            let mut body = Vec::new();
            while !framing.is_done() {
                while let Some(piece) = framing.take(&mut buf).unwrap() {
                    body.extend_from_slice(&piece);
                }
                if !framing.is_done() {
                    buf.extend_from_slice(pieces.next().unwrap());
                }
            }
            assert_eq!(body, b"abc\n");
            let left: Vec<u8> = buf.iter().copied().chain(pieces.flatten().copied()).collect();
            assert_eq!(left, b"rest");
        }
    }

    #[tokio::test]
    async fn a_cut_body_is_an_error() {
        let mut framing = Framing::Length(5);
        let error = framing
            .all(&mut &b"abc"[..], &mut BytesMut::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
