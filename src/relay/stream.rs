//! The response's body: forwards the provider's bytes as they come and settles the call at its end.
//!
//! Nothing is buffered: a frame is read from the provider when the client has room for it. If a provider breaks
//! off or goes silent, the client of a stream gets an error event of its protocol; other clients' connections are
//! cut, so that half an answer is never taken for a whole one.
//!
//! The client of a converted stream gets comments or pings while it has to wait. A stream that is not converted
//! gets nothing added.

pub(super) mod early;
mod pace;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::answer::Answer;
use super::flight::Flight;
use super::refusal;
use crate::dialect::answer::{End, Rewrite};
use crate::dialect::call::Endpoint;
use crate::dialect::meter::{LastEvent, Meter};
use crate::error::{Code, Failure};
use crate::plan::Plan;
use crate::port::upstream::{Body, BodyError};

use self::pace::{Due, Limits, Pace};

/// Time for the provider to close its connection after the last event. Most do, and the connection can be reused.
const AFTER_FINAL: Duration = Duration::from_millis(100);

/// Time that a converted stream waits for more after the stop reason: some hosts repeat it, followed by the
/// usage.
const AFTER_NAMED: Duration = Duration::from_millis(500);

/// The same for streams that are forwarded unchanged, which may still send `[DONE]` or an empty line. Also the
/// wait for usage after the stop reason: unbilled tokens cost more than a slow end.
const AFTER_PASSED: Duration = Duration::from_secs(5);

/// Minimum interval between heartbeats while the provider sends only events that the client does not get.
const UNSEEN: Duration = Duration::from_millis(500);

/// Turns an answer into the client's response. From here on the body owns the flight.
pub(super) fn respond(answer: Answer, flight: Box<Flight>) -> Response<Body> {
    let status = answer.status;
    let (headers, body) = RelayedBody::begin(answer, flight);
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Moves out the provider's headers that go to the client; the others are dropped.
fn passed_back(plan: &Plan, all: HeaderMap) -> HeaderMap {
    // Room for the relay's own headers: the call's id and the common ones.
    let mut headers = HeaderMap::with_capacity(all.len() + 2);
    let mut passes = false;
    for (name, value) in all {
        match name {
            Some(name) => {
                passes = plan.passes_back(&name);
                if passes {
                    headers.insert(name, value);
                }
            }
            // `into_iter` repeats no name for further values of a header.
            None if passes => {
                if let Some(name) = headers.keys().last().cloned() {
                    headers.append(name, value);
                }
            }
            None => {}
        }
    }
    headers
}

struct RelayedBody {
    first: Option<Bytes>,
    rest: Option<Body>,
    /// Converts the body.
    rewrite: Option<Box<dyn Rewrite>>,
    /// Bytes for the meter, if they differ from the first ones.
    measured: Option<Bytes>,
    flight: Box<Flight>,
    /// Remaining bytes, if the provider announced a length.
    left: Option<u64>,
    pace: Pace,
    /// The client has received a part of the answer.
    began: bool,
    done: bool,
}

impl http_body::Body for RelayedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        loop {
            if let Some(failure) = this.flight.cut() {
                return this.break_off(failure, "ended by the operator".to_owned());
            }
            if let Some(first) = this.first.take() {
                match this.pass(first) {
                    Some(passed) => return passed,
                    None => continue,
                }
            }
            let Some(rest) = this.rest.as_mut() else {
                return this.end();
            };
            match Pin::new(rest).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    // These protocols do not use trailers.
                    if let Ok(data) = frame.into_data()
                        && let Some(passed) = this.pass(data)
                    {
                        return passed;
                    }
                }
                // The answer was complete before the connection broke.
                Poll::Ready(Some(Err(_))) if this.all_is_said() => return this.end(),
                Poll::Ready(Some(Err(broken))) => return this.broke(broken.0),
                Poll::Ready(None) => return this.end(),
                Poll::Pending => {
                    if let Poll::Ready(failure) = this.flight.poll_cut(context) {
                        return this.break_off(failure, "ended by the operator".to_owned());
                    }
                    let limits = this.limits();
                    let clock = &*this.flight.app().ports.clock;
                    match ready!(this.pace.poll(clock, limits, context)) {
                        Due::End => return this.end(),
                        Due::Idle if this.all_is_said() => return this.end(),
                        Due::Idle => return this.fell_silent(),
                        Due::Heartbeat => {
                            if let Some(alive) = this.sign_of_life() {
                                return alive;
                            }
                        }
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

type PolledFrame = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl RelayedBody {
    /// Returns the client's response headers and the body.
    fn begin(mut answer: Answer, mut flight: Box<Flight>) -> (HeaderMap, Self) {
        let plan = flight.plan();
        let meter = if answer.metered {
            plan.meter(flight.call(), &answer.headers)
        } else {
            None
        };
        flight.answered(answer.status.as_u16(), meter, answer.metered);
        if !answer.metered {
            refusal::tell(&mut answer, &mut flight);
        }
        let headers = std::mem::take(&mut answer.headers);
        let mut headers = passed_back(plan, headers);
        flight.identify(&mut headers);
        flight.explain(&mut headers);
        let length = answer
            .rest
            .as_ref()
            .map_or(Some(0), |rest| rest.size_hint().exact())
            .map(|rest| rest + answer.first.len() as u64)
            .filter(|_| answer.rewrite.is_none());
        if length == Some(0) {
            // The server does not poll an empty body for its end.
            flight.completed();
        }
        let body = Self {
            first: Some(answer.first),
            rest: answer.rest,
            rewrite: answer.rewrite,
            measured: answer.measured,
            pace: Pace::new(flight.app().ports.clock.ticks()),
            flight,
            left: length,
            began: false,
            done: false,
        };
        (headers, body)
    }

    /// Forwards the data, converted if needed; `None` if there is nothing to forward yet.
    fn pass(&mut self, data: Bytes) -> Option<PolledFrame> {
        let now = self.flight.app().ports.clock.ticks();
        self.pace.heard = now;
        self.flight.passed(now);
        let (data, measured) = match &mut self.rewrite {
            None => (data, self.measured.take()),
            Some(rewrite) => {
                self.flight.feed_source_meter(&data);
                match rewrite.feed(&data) {
                    Ok(data) => (data, rewrite.measured()),
                    Err(why) => return Some(self.broke(why)),
                }
            }
        };
        self.flight.feed_meter(measured.as_ref().unwrap_or(&data));
        let data = self.flight.hide(data);
        if data.is_empty() {
            let silent = Duration::from_micros(now.saturating_sub(self.pace.last_sent));
            return (silent >= UNSEEN).then(|| self.sign_of_life()).flatten();
        }
        Some(Poll::Ready(Some(Ok(self.hand_on(data)))))
    }

    /// A heartbeat for the client of a converted stream. Converters write whole events, so this is always between
    /// two events.
    fn sign_of_life(&mut self) -> Option<PolledFrame> {
        let alive = self.alive()?;
        self.pace.last_sent = self.flight.app().ports.clock.ticks();
        Some(Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(alive))))))
    }

    fn alive(&self) -> Option<&'static [u8]> {
        self.rewrite.as_ref()?;
        self.stream()?;
        self.flight.plan().heartbeat(self.flight.call(), self.began)
    }

    /// Time limits while the provider is silent.
    fn limits(&self) -> Limits {
        let config = &self.flight.app().config.relay;
        let end = match self.rewrite.as_ref().map(|rewrite| rewrite.end()) {
            Some(End::Final) => Some(AFTER_FINAL),
            Some(End::Named) => Some(AFTER_NAMED),
            Some(End::Unmetered) => Some(AFTER_PASSED.min(config.idle)),
            Some(End::Open) => None,
            // Another image may follow.
            None if matches!(self.flight.call().endpoint, Endpoint::Images(_)) => None,
            None => self
                .stream()
                .is_some_and(Meter::ended)
                .then_some(AFTER_PASSED.min(config.idle)),
        };
        Limits {
            idle: Some(config.idle),
            end,
            heartbeat: self.alive().map(|_| config.heartbeat),
        }
    }

    fn hand_on(&mut self, data: Bytes) -> Frame<Bytes> {
        self.began = true;
        self.pace.last_sent = self.pace.heard;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(data.len() as u64);
            if *left == 0 {
                // The server stops polling when the announced length is reached.
                self.flight.completed();
            }
        }
        Frame::data(data)
    }

    /// Handles the provider's regular end of the body. A stream without its final event was truncated.
    fn end(&mut self) -> PolledFrame {
        self.rest = None;
        if let Some(mut rewrite) = self.rewrite.take() {
            let last = rewrite.finish();
            self.flight
                .feed_meter(&rewrite.measured().unwrap_or_else(|| last.clone()));
            let last = self.flight.hide(last);
            if !last.is_empty() {
                return Poll::Ready(Some(Ok(self.hand_on(last))));
            }
        }
        let held = self.flight.held_back();
        if !held.is_empty() {
            return Poll::Ready(Some(Ok(self.hand_on(held))));
        }
        let last = self.flight.meter_mut().map(Meter::close);
        if last == Some(LastEvent::Cut) {
            return self.broke("the stream ended within an event".to_owned());
        }
        if self.stream().is_some_and(|meter| !meter.ended()) {
            return self.broke("the stream ended before its last event".to_owned());
        }
        self.flight.completed();
        self.done = true;
        Poll::Ready(None)
    }

    /// Whether the answer is complete even if the provider sends no more.
    fn all_is_said(&self) -> bool {
        self.stream().is_some_and(Meter::ended)
            || self
                .rewrite
                .as_ref()
                .is_some_and(|rewrite| rewrite.end() != End::Open)
    }

    /// The meter, if the answer is an event stream.
    fn stream(&self) -> Option<&Meter> {
        self.flight.meter().filter(|meter| meter.is_stream())
    }

    fn broke(&mut self, why: String) -> PolledFrame {
        let message = "The provider broke off the answer. Please try again.";
        self.break_off(Failure::new(Code::StreamBroken, message), why)
    }

    fn fell_silent(&mut self) -> PolledFrame {
        let message = "The provider stopped answering. Please try again.";
        self.break_off(
            Failure::new(Code::StreamIdle, message),
            "the provider fell silent".to_owned(),
        )
    }

    /// `detail`: for the operator's log.
    fn break_off(&mut self, failure: Failure, detail: String) -> PolledFrame {
        self.done = true;
        // Closes the provider's connection now, before the client reads the error.
        self.rest = None;
        self.flight.broke(failure.code, detail.clone());
        let Some(meter) = self.stream() else {
            return Poll::Ready(Some(Err(BodyError(detail))));
        };
        let between_events = meter.between_events();
        let event =
            self.flight
                .plan()
                .dialect
                .stream_error(self.flight.call().endpoint, &failure, self.flight.id());
        let mut frame = bytes::BytesMut::from(self.flight.held_back());
        // An empty line ends a partial event; after a whole event it has no effect.
        if !between_events {
            frame.extend_from_slice(b"\n\n");
        }
        frame.extend_from_slice(&event);
        Poll::Ready(Some(Ok(Frame::data(frame.freeze()))))
    }
}
