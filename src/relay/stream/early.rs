//! Starts a converted stream before its provider does, because clients and proxies give up on silent connections.
//!
//! The response's head is sent with the first piece, shortly after the provider's head, or after one heartbeat
//! interval. From then on the accounts are tried inside of the body. Another account can still take over, since
//! the client has received only comments. A failure there becomes an error event.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tracing::Instrument as _;

use super::super::refusal;
use super::pace::{Limits, Pace};
use super::{RelayedBody, respond};
use crate::app::App;
use crate::error::Failure;
use crate::port::upstream::{Body, BodyError};
use crate::relay::answer::Answer;
use crate::relay::answered;
use crate::relay::flight::Flight;

/// Time from the provider's head to ours. A refusal in the provider's first event can still become a status
/// during it.
const AFTER_HEAD: Duration = Duration::from_secs(1);

type Work = BoxFuture<'static, (Box<Flight>, Result<Answer, Failure>)>;

/// Serves an admitted call whose stream is converted. `alive`: the heartbeat of the client's protocol before the
/// first piece.
pub(in crate::relay) async fn serve(
    app: &App,
    mut flight: Box<Flight>,
    alive: &'static [u8],
) -> Result<Response<Body>, Failure> {
    let interval = app.config.relay.heartbeat;
    let mut headers = HeaderMap::new();
    flight.identify(&mut headers);
    let seen = flight.watch_head();
    let mut work: Work = {
        let app = app.clone();
        let answered = async move {
            let answer = answered(&app, &mut flight).await;
            (flight, answer)
        };
        // The response's body polls it, outside of the handler's span.
        Box::pin(answered.in_current_span())
    };
    match head_due(app, interval, &seen, &mut work).await {
        Some((flight, Ok(answer))) => Ok(respond(answer, flight)),
        Some((flight, Err(failure))) => {
            flight.failed(&failure);
            Err(failure)
        }
        None => {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            let body = Early {
                app: app.clone(),
                alive,
                interval,
                pace: Pace::new(app.ports.clock.ticks()),
                state: State::Waiting { work, greeted: false },
            };
            let mut response = Response::new(body.boxed_unsync());
            *response.status_mut() = StatusCode::OK;
            *response.headers_mut() = headers;
            Ok(response)
        }
    }
}

/// Waits for the first piece; `None` if the head must be sent without it.
async fn head_due(
    app: &App,
    interval: Duration,
    seen: &AtomicBool,
    work: &mut Work,
) -> Option<(Box<Flight>, Result<Answer, Failure>)> {
    let clock = &*app.ports.clock;
    let mut pace = Pace::new(clock.ticks());
    let mut limits = Limits {
        idle: None,
        end: None,
        heartbeat: Some(interval),
    };
    std::future::poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if limits.end.is_none() && seen.load(Ordering::Relaxed) {
            pace.heard = clock.ticks();
            limits.end = Some(AFTER_HEAD);
        }
        pace.poll(clock, limits, context).map(|_| None)
    })
    .await
}

struct Early {
    app: App,
    alive: &'static [u8],
    interval: Duration,
    pace: Pace,
    state: State,
}

enum State {
    Waiting {
        work: Work,
        /// The first heartbeat was sent with the head.
        greeted: bool,
    },
    Relaying(Box<RelayedBody>),
    Done,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl http_body::Body for Early {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        loop {
            let (flight, answer) = match &mut this.state {
                State::Relaying(relayed) => return Pin::new(&mut **relayed).poll_frame(context),
                State::Done => return Poll::Ready(None),
                State::Waiting { greeted, .. } if !*greeted => {
                    *greeted = true;
                    return this.sign_of_life();
                }
                State::Waiting { work, .. } => match work.as_mut().poll(context) {
                    Poll::Ready(done) => done,
                    Poll::Pending => {
                        let limits = Limits {
                            idle: None,
                            end: None,
                            heartbeat: Some(this.interval),
                        };
                        let _ = ready!(this.pace.poll(&*this.app.ports.clock, limits, context));
                        return this.sign_of_life();
                    }
                },
            };
            let event = match answer {
                Ok(answer) if answer.metered => {
                    this.state = State::Relaying(Box::new(RelayedBody::begin(answer, flight).1));
                    continue;
                }
                Ok(answer) => passed_on(answer, flight),
                Err(failure) => {
                    this.app.metrics.refused(failure.code);
                    let event =
                        flight
                            .plan()
                            .dialect
                            .stream_error(flight.call().endpoint, &failure, flight.id());
                    flight.failed(&failure);
                    event
                }
            };
            this.state = State::Done;
            return said(event);
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Done => true,
            State::Relaying(relayed) => relayed.is_end_stream(),
            State::Waiting { .. } => false,
        }
    }
}

impl Early {
    fn sign_of_life(&mut self) -> Polled {
        self.pace.last_sent = self.app.ports.clock.ticks();
        said(Bytes::from_static(self.alive))
    }
}

fn said(event: Bytes) -> Polled {
    Poll::Ready(Some(Ok(Frame::data(event))))
}

/// The provider's own refusal as an event. The record keeps its status.
fn passed_on(mut answer: Answer, mut flight: Box<Flight>) -> Bytes {
    flight.answered(answer.status.as_u16(), None, false);
    refusal::tell(&mut answer, &mut flight);
    flight.completed();
    flight.plan().dialect.error_event(&answer.first)
}
