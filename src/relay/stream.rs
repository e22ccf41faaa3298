//! The response's body: the provider's bytes as they come, with the call's settlement in tow.
//!
//! Nothing is buffered: a frame is asked of the provider when the client has room for it. A provider that
//! breaks off or falls silent becomes an error event of the caller's protocol, if the answer is a stream;
//! otherwise the connection is cut, so that a half answer is never taken for a whole one.
//!
//! A converted stream is never silent: what keeps its client waiting becomes comments or the protocol's pings.
//! A stream that passes as it is gets nothing added.

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
use crate::dialect::meter::{Last, Meter};
use crate::error::{Code, Failure};
use crate::port::upstream::{Body, BodyError};

use self::pace::{Due, Limits, Pace};

/// How long a provider's connection may stay open once nothing can follow; the time in which most close it, so
/// that it can be used again.
const AFTER_FINAL: Duration = Duration::from_millis(100);

/// How long a converted stream waits for more after the answer's end was named: some hosts name it twice, and
/// the usage after it.
const AFTER_NAMED: Duration = Duration::from_millis(500);

/// The same where bytes pass as they are, and more of them (`[DONE]`, an empty line) may be under way.
/// Also the time for the usage, if the end was named without it: unbilled tokens cost more than a slow end.
const AFTER_PASSED: Duration = Duration::from_secs(5);

/// While a provider sends events that the client does not get, the client gets a sign of life, at most this often.
const UNSEEN: Duration = Duration::from_millis(500);

/// Turns an answer into the client's response. The flight lives in the body from here on.
pub(super) fn respond(answer: Answer, flight: Flight) -> Response<Body> {
    let status = answer.status;
    let (headers, body) = RelayedBody::begin(answer, flight);
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

struct RelayedBody {
    first: Option<Bytes>,
    rest: Option<Body>,
    /// Makes another body of it.
    rewrite: Option<Box<dyn Rewrite>>,
    /// Bytes that are measured in place of the first ones.
    measured: Option<Bytes>,
    flight: Flight,
    /// Bytes still to come, if the provider announced a length.
    left: Option<u64>,
    pace: Pace,
    /// The client has seen a part of the answer.
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
                    // Trailers mean nothing to these protocols.
                    if let Ok(data) = frame.into_data()
                        && let Some(passed) = this.pass(data)
                    {
                        return passed;
                    }
                }
                // Everything was said before the connection broke.
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
    /// With the headers of the client's response.
    fn begin(mut answer: Answer, mut flight: Flight) -> (HeaderMap, Self) {
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
        let mut headers = HeaderMap::new();
        for (name, value) in &answer.headers {
            if plan.passes_back(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        flight.identify(&mut headers);
        flight.explain(&mut headers);
        let length = answer
            .rest
            .as_ref()
            .map_or(Some(0), |rest| rest.size_hint().exact())
            .map(|rest| rest + answer.first.len() as u64)
            .filter(|_| answer.rewrite.is_none());
        if length == Some(0) {
            // The server never asks an empty body for its end.
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

    /// Hands on what came, or what is made of it; `None`: that is nothing yet.
    fn pass(&mut self, data: Bytes) -> Option<PolledFrame> {
        let now = self.flight.app().ports.clock.ticks();
        self.pace.heard = now;
        self.flight.passed(now);
        let (data, measured) = match &mut self.rewrite {
            None => (data, self.measured.take()),
            Some(rewrite) => {
                self.flight.measures_source(&data);
                match rewrite.feed(&data) {
                    Ok(data) => (data, rewrite.measured()),
                    Err(why) => return Some(self.broke(why)),
                }
            }
        };
        self.flight.measures(measured.as_ref().unwrap_or(&data));
        let data = self.flight.hide(data);
        if data.is_empty() {
            let silent = Duration::from_micros(now.saturating_sub(self.pace.told));
            return (silent >= UNSEEN).then(|| self.sign_of_life()).flatten();
        }
        Some(Poll::Ready(Some(Ok(self.hand_on(data)))))
    }

    /// Tells the client of a converted stream that the answer is under way. Converters write whole events,
    /// so it is always between two of them.
    fn sign_of_life(&mut self) -> Option<PolledFrame> {
        let alive = self.alive()?;
        self.pace.told = self.flight.app().ports.clock.ticks();
        Some(Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(alive))))))
    }

    fn alive(&self) -> Option<&'static [u8]> {
        self.rewrite.as_ref()?;
        self.stream()?;
        self.flight.plan().heartbeat(self.flight.call(), self.began)
    }

    /// The time limits while the provider is silent.
    fn limits(&self) -> Limits {
        let config = &self.flight.app().config.relay;
        let end = match self.rewrite.as_ref().map(|rewrite| rewrite.end()) {
            Some(End::Final) => Some(AFTER_FINAL),
            Some(End::Named) => Some(AFTER_NAMED),
            Some(End::Unmetered) => Some(AFTER_PASSED.min(config.idle)),
            Some(End::Open) => None,
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
        self.pace.told = self.pace.heard;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(data.len() as u64);
            if *left == 0 {
                // The server stops asking when the announced length is reached.
                self.flight.completed();
            }
        }
        Frame::data(data)
    }

    /// The provider closed the body in good order. A stream that did not say it is over was cut short.
    fn end(&mut self) -> PolledFrame {
        self.rest = None;
        if let Some(mut rewrite) = self.rewrite.take() {
            let last = rewrite.finish();
            self.flight
                .measures(&rewrite.measured().unwrap_or_else(|| last.clone()));
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
        if last == Some(Last::Cut) {
            return self.broke("the stream ended within an event".to_owned());
        }
        if self.stream().is_some_and(|meter| !meter.ended()) {
            return self.broke("the stream ended before its last event".to_owned());
        }
        self.flight.completed();
        self.done = true;
        Poll::Ready(None)
    }

    /// Whether nothing is lost if the provider sends no more.
    fn all_is_said(&self) -> bool {
        self.stream().is_some_and(Meter::ended)
            || self
                .rewrite
                .as_ref()
                .is_some_and(|rewrite| rewrite.end() != End::Open)
    }

    /// The meter, if the answer is a stream of events.
    fn stream(&self) -> Option<&Meter> {
        self.flight.meter().filter(|meter| meter.is_stream())
    }

    fn broke(&mut self, why: String) -> PolledFrame {
        let told = "The provider broke off the answer. Please try again.";
        self.break_off(Failure::new(Code::StreamBroken, told), why)
    }

    fn fell_silent(&mut self) -> PolledFrame {
        let told = "The provider stopped answering. Please try again.";
        self.break_off(
            Failure::new(Code::StreamIdle, told),
            "the provider fell silent".to_owned(),
        )
    }

    /// `detail`: for the operator.
    fn break_off(&mut self, failure: Failure, detail: String) -> PolledFrame {
        self.done = true;
        // Closes the provider's connection now, not when the client has read the error.
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
        // Ends a half event, and is nothing after a whole one.
        if !between_events {
            frame.extend_from_slice(b"\n\n");
        }
        frame.extend_from_slice(&event);
        Poll::Ready(Some(Ok(Frame::data(frame.freeze()))))
    }
}
