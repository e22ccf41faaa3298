use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_channel::oneshot;
use futures_util::stream;

use super::*;
use crate::host::native::connections::Limits;

/// A server with these limits that answers `hello`, and at `/slow` with a stream that does not end.
async fn started(limits: Limits) -> (SocketAddr, oneshot::Sender<()>) {
    let slow = || async {
        let first = stream::iter([Ok::<_, Infallible>("begun")]);
        Body::from_stream(stream::StreamExt::chain(first, stream::pending()))
    };
    let service = Service {
        routes: Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/slow", get(slow))
            .into(),
        trust_proxy: false,
        write_limit: Duration::from_mins(5),
        connections: Arc::new(Connections::new(limits)),
    };
    let server = Server::start(&service, 1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel();
    #[expect(
        clippy::disallowed_methods,
        reason = "the test is its runtime's only task beside it"
    )]
    tokio::task::spawn(server.run(listener, until(ended)));
    (address, end)
}

/// Until the other half is dropped.
pub(super) fn until(
    ended: oneshot::Receiver<()>,
) -> Ending<impl Future<Output = ()>, impl Future<Output = ()>> {
    Ending {
        asked: async move {
            let _ = ended.await;
        },
        at_once: std::future::pending(),
        notice: Duration::ZERO,
        grace: Duration::from_secs(25),
    }
}

fn limits(total: usize) -> Limits {
    Limits::new(1 << 20, total, 0)
}

async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") && !answer.ends_with(b"shortly.\"}}") && !answer.ends_with(b"begun\r\n")
    {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "it ended");
    }
    String::from_utf8(answer).unwrap()
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Reads until the server closes.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    let _ = end.expect("it is closed");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    let (address, _end) = started(Limits {
        evictable: Duration::from_hours(1),
        ..limits(2)
    })
    .await;
    let (mut first, mut second) = (connect(address).await, connect(address).await);
    assert!(ask(&mut first, "/").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut second, "/").await.starts_with("HTTP/1.1 200"));
    let mut third = connect(address).await;
    let refused = ask(&mut third, "/").await;
    assert!(
        refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 10"),
        "{refused}"
    );
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())));
    serde_json::from_str::<serde_json::Value>(body).unwrap();
    closed(&mut third).await;
    assert!(ask(&mut first, "/").await.starts_with("HTTP/1.1 200"));
    drop(second);
    // It is noticed in a moment that one has left.
    loop {
        let mut next = connect(address).await;
        if ask(&mut next, "/").await.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

#[tokio::test]
async fn when_it_is_full_idle_connections_make_room_and_busy_ones_stay() {
    let (address, _end) = started(Limits {
        least_idle: Duration::from_millis(20),
        look: Duration::from_millis(10),
        ..limits(2)
    })
    .await;
    let mut busy = connect(address).await;
    ask(&mut busy, "/slow").await;
    // The one says nothing, the other not all.
    let mut idle = connect(address).await;
    closed(&mut idle).await;
    let mut half = connect(address).await;
    half.write_all(b"GET / HT").await.unwrap();
    closed(&mut half).await;
    let mut nothing = [0];
    let silent = busy.try_read(&mut nothing);
    assert!(silent.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn a_connection_accepted_before_the_shutdown_is_served() {
    let (address, end) = started(limits(100)).await;
    let mut fresh = Vec::new();
    for _ in 0..50 {
        fresh.push(connect(address).await);
    }
    // Connections are accepted in order, so all of them are.
    let mut last = connect(address).await;
    ask(&mut last, "/").await;
    drop(end);
    closed(&mut last).await;
    let mut late = connect(address).await;
    let mut answer = String::new();
    late.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    for mut stream in fresh {
        let answer = ask(&mut stream, "/").await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
            "{answer}"
        );
        closed(&mut stream).await;
    }
}

#[tokio::test]
async fn a_crowd_that_holds_every_connection_keeps_nobody_out() {
    let (address, _end) = started(Limits {
        evictable: Duration::ZERO,
        ..limits(8)
    })
    .await;
    let mut busy = connect(address).await;
    ask(&mut busy, "/slow").await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(connect(address).await);
        let mut honest = connect(address).await;
        assert!(ask(&mut honest, "/").await.starts_with("HTTP/1.1 200"));
    }
    for mut evicted in crowd.drain(..30) {
        closed(&mut evicted).await;
    }
    let silent = busy.try_read(&mut [0]);
    assert!(silent.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
}
