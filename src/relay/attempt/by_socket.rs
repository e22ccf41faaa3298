//! Sends a turn of a client's WebSocket over one to the provider, and makes an HTTP answer of what comes back, so that
//! nothing behind it has to know.
//!
//! | the provider | the turn |
//! | --- | --- |
//! | knows the conversation | has the new items only |
//! | does not | has the whole input, as over HTTP |
//! | had closed the WebSocket that was kept, or ends it for its age | goes over a new one |
//! | refuses the upgrade, or closes a new WebSocket before its first frame | goes by HTTP, and so do the account's next ones (`state::no_sockets`) |
//! | begins with an error that has a status | is refused with it |
//!
//! A refused upgrade says nothing of the account, whatever its status: a gateway may answer 401 to a path that it does
//! not know, and 429 to one WebSocket too many. HTTP's answer is the one that is judged.
//!
//! Dropping the future or the answer's body before the turn's last event closes the WebSocket.

use std::collections::VecDeque;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame as BodyFrame;
use http_body_util::{BodyExt as _, Full};

use crate::app::App;
use crate::dialect::openai::socket::limit_headers;
use crate::dialect::openai::socket::provider::{Ended, Frame, Refused, event, only_new, whole};
use crate::model::account::live::LiveAccount;
use crate::port::clock::within;
use crate::port::socket::Received;
use crate::port::upstream::{Body, BodyError, Opened, Route, UpstreamError, UpstreamErrorKind};
use crate::relay::line::{OpenSocket, Place, ProviderLine, SocketTurn};
use crate::relay::media::Media;

/// Time limit for an upgrade. A provider that takes longer is asked by HTTP.
const UPGRADE: Duration = Duration::from_secs(10);

/// Largest message, bytes. The edge's runtime sends no larger one.
const LARGEST: usize = 32 << 20;

/// Most events of limits before the first of the response.
const MOST_LIMITS: usize = 8;

const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");

/// Headers of a request that an upgrade has not.
const OF_A_POST: [HeaderName; 4] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
];

/// Headers that say something of other bytes than those of the answer.
const OF_THE_WIRE: [HeaderName; 8] = [
    header::CONNECTION,
    header::UPGRADE,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
];

/// Returns the provider's answer to the turn; `None` if it has to go by HTTP.
pub(super) async fn ask(
    app: &App,
    turn: &SocketTurn,
    live: &LiveAccount,
    request: &Request<Bytes>,
    route: &Route,
) -> Option<Result<Response<Body>, UpstreamError>> {
    let clock = &*app.ports.clock;
    let asking = Asking {
        app,
        turn,
        request,
        route,
    };
    let asked = within(clock, route.head_timeout, asking.run(live)).await;
    asked.unwrap_or_else(|| {
        // HTTP may serve where this was silent, so the next turns try it.
        asking.by_http_from_now_on(live, &"no event in time");
        let limit = route.head_timeout.as_secs_f32();
        Some(Err(UpstreamError {
            kind: UpstreamErrorKind::Timeout,
            detail: format!("no event within {limit} s"),
            source: None,
        }))
    })
}

struct Asking<'a> {
    app: &'a App,
    turn: &'a SocketTurn,
    request: &'a Request<Bytes>,
    route: &'a Route,
}

/// The first frame of a turn, and the limits that came before it.
struct First {
    /// Events of limits.
    limits: Vec<Bytes>,
    frame: Frame,
    text: Bytes,
}

impl Asking<'_> {
    async fn run(&self, live: &LiveAccount) -> Option<Result<Response<Body>, UpstreamError>> {
        let line = &*self.turn.line;
        let host = self.request.uri().authority()?.as_str();
        let body = self.request.body();
        let rests = &self.app.no_sockets;
        let may_try = rests.may_try(&live.account.id, host, self.app.ports.clock.ticks());
        let place = self.place(live);
        // One that is open serves on, whatever others met.
        let mut kept = line.take(&place);
        if body.len() > LARGEST {
            return None;
        }
        loop {
            let (mut open, head) = match kept.take() {
                Some(open) => (open, None),
                None if !may_try => return None,
                None => match self.open(&place).await {
                    Ok(Opened::Socket(head, socket)) => {
                        let place = place.clone();
                        let open = OpenSocket {
                            place,
                            socket,
                            knows: None,
                        };
                        (open, Some(head))
                    }
                    Ok(Opened::Refused(answer)) => {
                        self.by_http_from_now_on(live, &answer.status());
                        return None;
                    }
                    Err(error) => {
                        self.by_http_from_now_on(live, &error);
                        return None;
                    }
                },
            };
            let continues = self.turn.continues.as_ref();
            let continues = continues.filter(|turn| open.knows.as_ref() == Some(&turn.previous));
            let new = continues.and_then(|turn| only_new(body, turn));
            let has_new_only = new.is_some();
            let message = match new {
                Some(message) => message,
                None => whole(body)?,
            };
            open.knows = None;
            match (first(&mut open, message).await, head) {
                (None, Some(_)) => {
                    self.by_http_from_now_on(live, &"a new WebSocket was closed at once");
                    return None;
                }
                // The provider had closed it, or lost it.
                (None, None) => {}
                (Some(first), head) => match first.frame {
                    Frame::Error(refused) if has_new_only && refused.is_about_the_previous() => {
                        kept = Some(open);
                    }
                    Frame::Error(refused) if refused.ends_the_connection() => {
                        if head.is_some() {
                            self.by_http_from_now_on(live, &"a new WebSocket is at its limit");
                            return None;
                        }
                    }
                    Frame::Error(refused) => return Some(Ok(self.refused(open, refused, &first.limits))),
                    frame => {
                        let first = First { frame, ..first };
                        return Some(Ok(self.answer(open, head, first)));
                    }
                },
            }
        }
    }

    /// Remembers that the account's host takes no WebSocket.
    fn by_http_from_now_on(&self, live: &LiveAccount, why: &dyn Display) {
        tracing::debug!(%why, "no WebSocket to the provider, HTTP is used");
        let host = self.request.uri().authority().map_or("", Authority::as_str);
        let ticks = self.app.ports.clock.ticks();
        self.app.no_sockets.remember(&live.account.id, host, ticks);
    }

    fn place(&self, live: &LiveAccount) -> Place {
        let mut headers = self.request.headers().clone();
        for name in &OF_A_POST {
            headers.remove(name);
        }
        headers.insert(OPENAI_BETA, self.turn.line.version());
        Place {
            account: live.account.id.clone(),
            proxy: self.route.proxy.clone(),
            uri: self.request.uri().clone(),
            headers,
        }
    }

    async fn open(&self, place: &Place) -> Result<Opened, UpstreamError> {
        let mut request = Request::new(());
        *request.uri_mut() = place.uri.clone();
        *request.headers_mut() = place.headers.clone();
        let route = Route {
            head_timeout: self.route.head_timeout.min(UPGRADE),
            ..self.route.clone()
        };
        self.app.ports.upstream.open(request, &route).await
    }

    /// The answer to a turn that was refused.
    fn refused(&self, open: OpenSocket, refused: Refused, limits: &[Bytes]) -> Response<Body> {
        self.turn.line.keep(open);
        let mut headers = said(refused.headers, limits);
        Media::Json.name(&mut headers);
        let body = Full::new(refused.body).map_err(|never| match never {});
        let mut answer = Response::new(body.boxed_unsync());
        *answer.status_mut() = refused.status;
        *answer.headers_mut() = headers;
        answer
    }

    /// The answer to a turn that began. `head`: of a new WebSocket.
    fn answer(&self, open: OpenSocket, head: Option<HeaderMap>, first: First) -> Response<Body> {
        let mut headers = said(head.unwrap_or_default(), &first.limits);
        let kind = HeaderValue::from_static("text/event-stream");
        headers.insert(header::CONTENT_TYPE, kind);
        let mut body = TurnBody {
            line: self.turn.line.clone(),
            open: Some(open),
            ready: VecDeque::new(),
        };
        body.take(first.frame, &first.text);
        // Behind the first event, by which the answer is judged.
        for limits in first.limits {
            body.take(Frame::Limits, &limits);
        }
        let mut answer = Response::new(body.boxed_unsync());
        *answer.headers_mut() = headers;
        answer
    }
}

/// The headers of an answer: those that came, and the limits.
fn said(mut headers: HeaderMap, limits: &[Bytes]) -> HeaderMap {
    for name in &OF_THE_WIRE {
        headers.remove(name);
    }
    for event in limits {
        headers.extend(limit_headers(event));
    }
    headers
}

/// Sends the message, and returns what comes first; `None` if the WebSocket is closed.
async fn first(open: &mut OpenSocket, message: Bytes) -> Option<First> {
    open.socket.send(message).await.ok()?;
    let mut limits = Vec::new();
    loop {
        let received = std::future::poll_fn(|context| open.socket.poll_receive(context)).await;
        let Received::Text(text) = received else {
            return None;
        };
        match Frame::read(&text) {
            Some(Frame::Limits) if limits.len() < MOST_LIMITS => limits.push(text),
            // Not of the protocol.
            None | Some(Frame::Limits) => {}
            Some(frame) => return Some(First { limits, frame, text }),
        }
    }
}

/// A turn's events as they come. The WebSocket goes back to the line with the last one.
struct TurnBody {
    line: Arc<ProviderLine>,
    /// `None` after the last event.
    open: Option<OpenSocket>,
    /// Events that have come already.
    ready: VecDeque<Bytes>,
}

impl TurnBody {
    fn take(&mut self, frame: Frame, text: &[u8]) {
        let (kind, end) = match frame {
            Frame::Limits => ("codex.rate_limits".to_owned(), None),
            Frame::Event { kind, end } => (kind, end),
            Frame::Error(_) => ("error".to_owned(), Some(Ended::Failed)),
        };
        // OpenAI sends `response.failed` behind it (vercel/ai#13480), which would be read as the answer to the next turn.
        if kind == "error" {
            self.open = None;
        }
        self.ready.push_back(event(&kind, text));
        let Some(end) = end else { return };
        if let Some(mut open) = self.open.take() {
            open.knows = match end {
                Ended::With(id) => Some(id),
                Ended::Failed => None,
            };
            self.line.keep(open);
        }
    }
}

impl http_body::Body for TurnBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if let Some(ready) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(BodyFrame::data(ready))));
            }
            let Some(open) = &mut this.open else {
                return Poll::Ready(None);
            };
            match ready!(open.socket.poll_receive(context)) {
                Received::Text(text) => {
                    if let Some(frame) = Frame::read(&text) {
                        this.take(frame, &text);
                    }
                }
                received => {
                    this.open = None;
                    let why = match received {
                        Received::TooLarge => "an event is larger than the relay reads",
                        _ => "the provider closed the WebSocket before the turn's end",
                    };
                    return Poll::Ready(Some(Err(BodyError(why.to_owned()))));
                }
            }
        }
    }
}
