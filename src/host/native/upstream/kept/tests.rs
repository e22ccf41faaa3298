use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::host::native::upstream::NativeUpstream;
use crate::port::destination::Destinations;
use crate::port::upstream::{Body, Route, Upstream as _, UpstreamError, UpstreamErrorKind};

const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server's behaviour for one request.
#[derive(Clone, Copy)]
enum Then {
    Answers,
    AnswersAndCloses,
    /// Closes the connection without an answer.
    Closes,
    /// Begins an answer, and reports when the client leaves.
    Begins,
}

struct Server {
    upstream: NativeUpstream,
    port: u16,
    connections: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
}

/// A local server that treats its requests in this order, counted over all connections.
#[allow(
    clippy::disallowed_methods,
    reason = "the server is the test's own, and ends with it"
)]
async fn server(script: &[Then]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        upstream: NativeUpstream::new(Destinations::new(true, "ALLOW", [])),
        port: listener.local_addr().unwrap().port(),
        connections: Arc::default(),
        left: Arc::default(),
    };
    let mut script = script.to_vec();
    script.reverse();
    let script = Arc::new(Mutex::new(script));
    let (connections, left) = (server.connections.clone(), server.left.clone());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(socket, script.clone(), left.clone()));
        }
    });
    server
}

async fn serve(mut socket: TcpStream, script: Arc<Mutex<Vec<Then>>>, left: Arc<AtomicUsize>) {
    let mut buffer = [0; 4096];
    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
        let then = script.lock().unwrap().pop().expect("a request of the script");
        match then {
            Then::Answers => socket.write_all(WHOLE).await.unwrap(),
            Then::AnswersAndCloses => return socket.write_all(WHOLE).await.unwrap(),
            Then::Closes => return,
            Then::Begins => {
                let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg";
                socket.write_all(begun).await.unwrap();
                let _ = socket.read(&mut buffer).await;
                left.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

impl Server {
    async fn ask(&self) -> Result<Body, UpstreamError> {
        let mut request = Request::new(Bytes::from_static(b"{}"));
        *request.method_mut() = http::Method::POST;
        let url = format!("http://127.0.0.1:{}/v1/messages?beta=true", self.port);
        *request.uri_mut() = url.parse().unwrap();
        let route = Route {
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
        };
        Ok(self.upstream.send(request, &route).await?.into_body())
    }

    async fn asked(&self) -> String {
        let body = self.ask().await.unwrap().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Lets the other side's packets arrive.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn an_answer_that_ended_gives_its_connection_back() {
    let server = server(&[Then::Answers; 3]).await;
    for _ in 0..3 {
        assert_eq!(server.asked().await, "ok");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn answers_at_once_have_a_connection_each() {
    let server = server(&[Then::Answers; 4]).await;
    let (one, other) = (server.ask().await.unwrap(), server.ask().await.unwrap());
    assert_eq!(server.connections(), 2);
    for body in [one, other] {
        body.collect().await.unwrap();
    }
    server.asked().await;
    server.asked().await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn who_leaves_an_answer_closes_its_connection() {
    let server = server(&[Then::Begins, Then::Answers]).await;
    drop(server.ask().await.unwrap());
    a_moment().await;
    assert_eq!(server.left.load(Ordering::SeqCst), 1);
    assert_eq!(server.asked().await, "ok");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn who_leaves_before_the_head_closes_the_connection_too() {
    // The server may or may not have read the second request.
    let server = server(&[Then::Answers; 3]).await;
    server.asked().await;
    {
        let mut asking = Box::pin(server.ask());
        assert!(futures_util::poll!(&mut asking).is_pending());
    }
    a_moment().await;
    server.asked().await;
    assert_eq!(server.connections(), 2, "its connection is nobody's");
}

#[tokio::test]
async fn one_that_was_closed_while_idle_is_not_used() {
    let server = server(&[Then::AnswersAndCloses, Then::Answers]).await;
    assert_eq!(server.asked().await, "ok");
    a_moment().await;
    assert_eq!(server.asked().await, "ok");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_request_that_may_have_been_read_is_not_sent_again_by_itself() {
    let server = server(&[Then::Answers, Then::Closes, Then::Closes]).await;
    server.asked().await;
    let error = server.ask().await.unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Stale, "{error}");
    // A connection that was never idle did not close by the idle timeout.
    let error = server.ask().await.unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Broken, "{error}");
    assert_eq!(server.connections(), 2);
}
