use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use futures_channel::oneshot;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::{Server, Service};
use super::*;
use crate::host::native::connections::{Connections, Limits};

const POST: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";
const PATIENCE: Duration = Duration::from_secs(20);

/// A request that awaits its answer.
struct Call {
    /// Bytes that were received.
    received: usize,
    answer: oneshot::Sender<Body>,
    /// Is cancelled when the call has ended.
    ended: oneshot::Receiver<()>,
}

impl Call {
    async fn has_ended(self) {
        within(self.ended).await.unwrap_err();
    }
}

/// A server whose calls are answered by the test.
struct Served {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    _end: oneshot::Sender<()>,
}

impl Served {
    async fn start() -> Self {
        let (inbox, calls) = mpsc::unbounded_channel();
        let handler = move |body: Bytes| {
            let inbox = inbox.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let (running, ended) = oneshot::channel::<()>();
                let received = body.len();
                let call = Call {
                    received,
                    answer,
                    ended,
                };
                inbox.send(call).ok().unwrap();
                let body: Body = answered.await.unwrap();
                drop(running);
                body
            }
        };
        let service = Service {
            routes: Router::new().route("/", any(handler)).into(),
            trust_proxy: false,
            write_limit: Duration::from_mins(5),
            connections: Arc::new(Connections::new(Limits::new(1 << 20, 10, 0))),
        };
        let server = Server::start(&service, 1).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "the test is its runtime's only task beside it"
        )]
        tokio::task::spawn(server.run(listener, super::super::tests::until(ended)));
        Self {
            address,
            calls,
            _end: end,
        }
    }

    /// A client that has sent this, and the call it became.
    async fn asked(&mut self, request: &str) -> (TcpStream, Call) {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let call = within(self.calls.recv()).await.unwrap();
        (client, call)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// What comes up to the end.
async fn rest(client: &mut TcpStream) -> String {
    let mut rest = String::new();
    within(client.read_to_string(&mut rest)).await.unwrap();
    rest
}

/// Waits for one question.
async fn question(client: &mut TcpStream) {
    let mut question = [0; CONTINUE.len()];
    within(client.read_exact(&mut question)).await.unwrap();
    assert_eq!(question, CONTINUE);
}

/// An answer's body that the test sends piece by piece.
fn pieces() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, mut pieces) = mpsc::unbounded_channel();
    let pieces = stream::poll_fn(move |context| {
        pieces
            .poll_recv(context)
            .map(|piece| piece.map(Ok::<_, Infallible>))
    });
    (sender, Body::from_stream(pieces))
}

#[tokio::test]
async fn who_closes_its_sending_half_gets_a_whole_answer() {
    let mut served = Served::start().await;
    let (mut client, call) = served.asked(POST).await;
    client.shutdown().await.unwrap();
    question(&mut client).await;
    question(&mut client).await;
    call.answer.send(Body::from("answer")).unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nanswer"), "{answer}");
}

#[tokio::test]
async fn who_closes_its_sending_half_gets_a_stream() {
    let mut served = Served::start().await;
    let (mut client, call) = served.asked(POST).await;
    client.shutdown().await.unwrap();
    question(&mut client).await;
    let (sender, body) = pieces();
    call.answer.send(body).unwrap();
    sender.send("first").unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"5\r\nfirst\r\n") {
        assert!(within(client.read_buf(&mut seen)).await.unwrap() > 0);
    }
    // No question comes amid an answer, however long its next piece takes.
    tokio::time::sleep(3 * FIRST_QUESTION).await;
    sender.send("second").unwrap();
    drop(sender);
    assert_eq!(rest(&mut client).await, "6\r\nsecond\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_answer_that_is_soon_there_has_no_question_before_it() {
    let mut served = Served::start().await;
    let (mut client, call) = served.asked(POST).await;
    client.shutdown().await.unwrap();
    call.answer.send(Body::from("answer")).unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn who_leaves_before_the_answer_ends_its_call() {
    let mut served = Served::start().await;
    let (client, call) = served.asked(POST).await;
    drop(client);
    call.has_ended().await;

    let (client, call) = served.asked(POST).await;
    client.set_zero_linger().unwrap();
    drop(client);
    call.has_ended().await;

    // First the one half, then, while the answer is awaited, the other.
    let (mut client, call) = served.asked(POST).await;
    client.shutdown().await.unwrap();
    question(&mut client).await;
    drop(client);
    call.has_ended().await;

    // Before it is told to go on, and after.
    let mut client = served.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    question(&mut client).await;
    client.write_all(b"hello").await.unwrap();
    let call = within(served.calls.recv()).await.unwrap();
    drop(client);
    call.has_ended().await;
}

#[tokio::test]
async fn who_leaves_amid_a_stream_ends_it_though_no_piece_comes() {
    let mut served = Served::start().await;
    for reset in [false, true] {
        let (mut client, call) = served.asked(POST).await;
        let (sender, body) = pieces();
        call.answer.send(body).unwrap();
        sender.send("first").unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"first\r\n") {
            assert!(within(client.read_buf(&mut seen)).await.unwrap() > 0);
        }
        if reset {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        within(sender.closed()).await;
    }
}

#[tokio::test]
async fn a_client_of_the_old_protocol_leaves_with_its_sending_half() {
    let mut served = Served::start().await;
    let (mut client, call) = served.asked("GET / HTTP/1.0\r\nhost: x\r\n\r\n").await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    call.has_ended().await;
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_refused() {
    let mut served = Served::start().await;
    let mut client = served.connect().await;
    client
        .write_all(&POST.as_bytes()[..POST.len() - 1])
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(served.calls.try_recv().is_err());
}

#[tokio::test]
async fn requests_follow_each_other_whatever_their_size() {
    let mut served = Served::start().await;
    let mut client = served.connect().await;
    for length in [0, 1, 8 << 10, 1 << 20] {
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{}",
            "x".repeat(length)
        );
        // The next one is sent before this one is answered.
        let next = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nnext";
        client.write_all(request.as_bytes()).await.unwrap();
        client.write_all(next.as_bytes()).await.unwrap();
        for received in [length, 4] {
            let call = within(served.calls.recv()).await.unwrap();
            assert_eq!(call.received, received);
            call.answer.send(Body::from("done")).unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\ndone") {
                assert!(within(client.read_buf(&mut seen)).await.unwrap() > 0);
            }
        }
    }
    // The last pair of pipelined requests, and then the client leaves.
    client.write_all(POST.repeat(2).as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    for _ in 0..2 {
        let call = within(served.calls.recv()).await.unwrap();
        call.answer.send(Body::from("done")).unwrap();
    }
    let answers = rest(&mut client).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}
