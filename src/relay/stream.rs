//! The response's body: the provider's bytes as they come, with the call's settlement in tow.
//!
//! Nothing is buffered: a frame is asked of the provider when the client has room for it. A provider that
//! breaks off or falls silent becomes an error event of the caller's protocol, if the answer is a stream;
//! otherwise the connection is cut, so that a half answer is never taken for a whole one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::HeaderValue;
use http::{HeaderName, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::attempt::Answer;
use super::flight::Flight;
use super::meter::Meter;
use super::refusal;
use crate::error::{Code, Failure};
use crate::port::upstream::{Body, BodyError};
use crate::provider::Rewrite;

/// The id of a request, on every answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a call waited for a slot of its key, in milliseconds; on answers to those that had to.
pub const X_QUEUE_WAIT: HeaderName = HeaderName::from_static("x-queue-wait-ms");

/// Turns an answer into the client's response. The flight lives in the body from here on.
pub(super) fn respond(mut answer: Answer, mut flight: Flight) -> Response<Body> {
    let provider = flight.provider();
    let meter = if answer.metered {
        provider.meter(flight.call(), &answer.headers)
    } else {
        None
    };
    flight.answered(answer.status.as_u16(), meter, answer.metered);
    if !answer.metered {
        refusal::tell(&mut answer, &mut flight);
    }

    let mut response = Response::new(());
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    for (name, value) in &answer.headers {
        if provider.passes_back(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Ok(id) = HeaderValue::from_str(flight.id()) {
        headers.insert(X_REQUEST_ID, id);
    }
    flight.explain(headers);
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
    let body = Relayed {
        first: Some(answer.first),
        rest: answer.rest,
        rewrite: answer.rewrite,
        measured: answer.measured,
        flight,
        left: length,
        last_frame: 0,
        alarm: None,
        done: false,
    };
    response.map(|()| body.boxed_unsync())
}

struct Relayed {
    first: Option<Bytes>,
    rest: Option<Body>,
    /// Makes another body of it.
    rewrite: Option<Box<dyn Rewrite>>,
    /// What is to be measured in place of the first bytes.
    measured: Option<Bytes>,
    flight: Flight,
    /// Bytes still to come, if the provider announced a length.
    left: Option<u64>,
    /// `Clock::ticks` of the last frame.
    last_frame: u64,
    /// Set while the provider is silent.
    alarm: Option<BoxFuture<'static, ()>>,
    done: bool,
}

impl http_body::Body for Relayed {
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
                Poll::Ready(Some(Err(broken))) => return this.break_off(Code::StreamBroken, broken.0),
                Poll::Ready(None) => return this.end(),
                Poll::Pending => {
                    ready!(this.poll_silence(context));
                    if this.all_is_said() {
                        return this.end();
                    }
                    return this.break_off(Code::StreamIdle, "the provider fell silent".to_owned());
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

type Passed = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl Relayed {
    /// Hands on what came, or what is made of it; `None`: that is nothing yet.
    fn pass(&mut self, data: Bytes) -> Option<Passed> {
        self.last_frame = self.flight.app().ports.clock.ticks();
        let (data, measured) = match &mut self.rewrite {
            None => (data, self.measured.take()),
            Some(rewrite) => {
                let made = rewrite.feed(&data);
                self.flight.uses(rewrite.used());
                match made {
                    Ok(data) => (data, rewrite.measured()),
                    Err(why) => return Some(self.break_off(Code::StreamBroken, why)),
                }
            }
        };
        self.flight.measures(measured.as_ref().unwrap_or(&data));
        let data = self.flight.hide(data);
        if data.is_empty() {
            return None;
        }
        Some(Poll::Ready(Some(Ok(self.hand_on(data)))))
    }

    fn hand_on(&mut self, data: Bytes) -> Frame<Bytes> {
        self.flight.passed(self.last_frame);
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
    fn end(&mut self) -> Passed {
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
        if self.stream().is_some_and(|meter| !meter.ended()) {
            return self.break_off(
                Code::StreamBroken,
                "the stream ended before its last event".to_owned(),
            );
        }
        self.flight.completed();
        self.done = true;
        Poll::Ready(None)
    }

    /// Whether nothing is lost if the provider sends no more.
    fn all_is_said(&self) -> bool {
        self.stream().is_some_and(Meter::ended)
            || self.rewrite.as_ref().is_some_and(|rewrite| rewrite.ended())
    }

    /// The meter, if the answer is a stream of events.
    fn stream(&self) -> Option<&Meter> {
        self.flight.meter().filter(|meter| meter.is_stream())
    }

    fn break_off(&mut self, code: Code, detail: String) -> Passed {
        self.done = true;
        // Closes the provider's connection now, not when the client has read the error.
        self.rest = None;
        self.flight.broke(code, detail.clone());
        let Some(meter) = self.stream() else {
            return Poll::Ready(Some(Err(BodyError(detail))));
        };
        let between_events = meter.between_events();
        let failure = Failure::new(
            code,
            match code {
                Code::StreamIdle => "The provider stopped answering. Please try again.",
                _ => "The provider broke off the answer. Please try again.",
            },
        );
        let event = self
            .flight
            .provider()
            .stream_error(self.flight.call(), &failure, self.flight.id());
        let mut frame = bytes::BytesMut::from(self.flight.held_back());
        // Ends a half event, and is nothing after a whole one.
        if !between_events {
            frame.extend_from_slice(b"\n\n");
        }
        frame.extend_from_slice(&event);
        Poll::Ready(Some(Ok(Frame::data(frame.freeze()))))
    }

    /// Ready when nothing came for the idle time-out. The timer is set once per silence, not per frame: it
    /// finds out when it fires whether frames came meanwhile.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let clock = &self.flight.app().ports.clock;
        let idle = self.flight.app().config.relay.idle;
        loop {
            let alarm = self.alarm.get_or_insert_with(|| clock.sleep(idle));
            ready!(alarm.as_mut().poll(context));
            let silent = std::time::Duration::from_micros(clock.ticks().saturating_sub(self.last_frame));
            if silent >= idle {
                return Poll::Ready(());
            }
            self.alarm = Some(clock.sleep(idle.saturating_sub(silent)));
        }
    }
}
