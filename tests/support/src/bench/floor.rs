//! The floor: the smallest relay that can be written on hyper, run beside ours, so that every figure is also a ratio
//! and whatever disturbs the machine cancels out.
//!
//! One event loop; connections to the provider are kept in a list by hand; a request's body is gathered once, an
//! answer's frames are passed on as they come. It asks nobody, counts nothing and knows no errors but hyper's.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1 as client;
use hyper::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Sender = client::SendRequest<Full<Bytes>>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Passes everything on to the provider at this URL, until its standard input is closed.
pub(super) async fn serve(provider: &str) -> u8 {
    let address = provider.strip_prefix("http://").unwrap_or(provider);
    let provider = Arc::new(Provider {
        address: address.to_owned(),
        host: HeaderValue::from_str(address).expect("an address"),
        kept: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            let provider = Arc::clone(&provider);
            let service = service_fn(move |request| pass(request, Arc::clone(&provider)));
            // An error is the client's leaving.
            tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let mut input = tokio::io::stdin();
    let _ = tokio::io::copy(&mut input, &mut tokio::io::sink()).await;
    0
}

struct Provider {
    /// `host:port`.
    address: String,
    host: HeaderValue,
    /// Connections that serve nothing now.
    kept: Mutex<Vec<Sender>>,
}

impl Provider {
    async fn connection(&self) -> Result<Sender, Error> {
        loop {
            let kept = self.kept.lock().expect("no panic").pop();
            let Some(mut kept) = kept else { break };
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn pass(
    request: Request<Incoming>,
    provider: Arc<Provider>,
) -> Result<Response<Either<Passed, Full<Bytes>>>, Infallible> {
    let answered = async {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        for name in [CONNECTION, TRANSFER_ENCODING] {
            head.headers.remove(name);
        }
        head.headers.insert(HOST, provider.host.clone());
        let mut sender = provider.connection().await?;
        let answer = sender
            .send_request(Request::from_parts(head, Full::new(body)))
            .await?;
        let (mut head, body) = answer.into_parts();
        for name in [CONNECTION, TRANSFER_ENCODING] {
            head.headers.remove(name);
        }
        let back = Some((sender, provider));
        Ok::<_, Error>(Response::from_parts(head, Either::Left(Passed { body, back })))
    };
    Ok(answered.await.unwrap_or_else(|error| {
        let mut failed = Response::new(Either::Right(Full::from(error.to_string())));
        *failed.status_mut() = StatusCode::BAD_GATEWAY;
        failed
    }))
}

/// An answer's body, and its connection, which is kept once the body has ended.
struct Passed {
    body: Incoming,
    back: Option<(Sender, Arc<Provider>)>,
}

impl Passed {
    fn keep(&mut self) {
        if let Some((sender, provider)) = self.back.take() {
            provider.kept.lock().expect("no panic").push(sender);
        }
    }
}

impl Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.keep();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
