//! The exchange: with a time limit, counted, and not started during a pause.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Body, Method, Request, Url};

use super::answer::FailedRequest;
use super::wire::{Answer, Fault, Wire};
use super::{Commands, OptionsError, away, failed};
use crate::model::secret::Secret;
use crate::port::clock::{Clock, within};
use crate::port::store::StoreError;

/// Maximum pause that a server may request.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A whole call including the connection and a second try.
    pub answer: Duration,
    /// Pause after a failure to connect or a timeout.
    pub rest: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            answer: Duration::from_secs(2),
            rest: Duration::from_millis(500),
        }
    }
}

/// The endpoint of the interface.
#[derive(Clone, Copy)]
pub(super) enum To {
    One,
    Pipeline,
}

pub(super) struct Line {
    wire: Wire,
    one: Url,
    pipeline: Url,
    token: Secret,
    bearer: HeaderValue,
    pub(super) clock: Arc<dyn Clock>,
    limits: Limits,
    sent: Commands,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The end of the pause in ticks, and its reason.
    resting: Option<(u64, String)>,
    /// When the last good answer arrived.
    answered: u64,
}

impl Line {
    pub(super) fn new(
        url: &str,
        token: &Secret,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Result<Line, OptionsError> {
        let base = url.trim_end_matches('/');
        let parsed = |url: &str| Url::parse(url).map_err(|error| OptionsError::Url(error.to_string()));
        let one = parsed(base)?;
        if !matches!(one.scheme(), "http" | "https") || !one.username().is_empty() || one.password().is_some()
        {
            return Err(OptionsError::Url("it is not an http or https address".to_owned()));
        }
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| OptionsError::Token)?;
        bearer.set_sensitive(true);
        Ok(Line {
            wire: Wire::new().map_err(OptionsError::Client)?,
            one,
            pipeline: parsed(&format!("{base}/pipeline"))?,
            token: token.clone(),
            bearer,
            clock,
            limits,
            sent: Commands::default(),
            state: Mutex::default(),
        })
    }

    #[allow(dead_code, reason = "the Worker's")]
    pub(super) fn commands(&self) -> Commands {
        self.sent.clone()
    }

    /// Sends `body` with this many commands and reads the answer. `again`: it may be sent twice.
    pub(super) async fn ask<T>(
        &self,
        to: To,
        body: Bytes,
        commands: u64,
        again: bool,
        read: impl FnOnce(Answer, &str) -> Result<T, FailedRequest>,
    ) -> Result<T, StoreError> {
        if let Some(reason) = self.resting() {
            return Err(away(reason));
        }
        let start = self.clock.ticks();
        let outcome = within(
            &*self.clock,
            self.limits.answer,
            self.exchange(to, body, commands, again),
        )
        .await;
        let reason = match outcome {
            Some(Ok(answer)) => match read(answer, self.token.reveal()) {
                Ok(value) => {
                    self.answered();
                    return Ok(value);
                }
                Err(refused) => {
                    if let Some(asked) = refused.rest {
                        let time = asked.max(self.limits.rest).min(LONGEST_REST);
                        self.rest(time, &reason(&refused.error));
                    }
                    return Err(refused.error);
                }
            },
            Some(Err((Fault::TooLarge, _))) => {
                return Err(failed("it answered with more than anybody asked for"));
            }
            // A broken connection does not prove an outage; the next one may work.
            Some(Err((Fault::Lost { sent: true, reason }, 1))) => return Err(away(reason)),
            Some(Err((Fault::Lost { reason, .. }, _))) => reason,
            None => format!("no answer within {:?}", self.limits.answer),
        };
        // An answer to another call meanwhile shows that no pause is needed.
        if self.state().answered <= start {
            self.rest(self.limits.rest, &reason);
        }
        Err(away(reason))
    }

    /// The answer, or the failure with the number of tries.
    async fn exchange(
        &self,
        to: To,
        body: Bytes,
        commands: u64,
        again: bool,
    ) -> Result<Answer, (Fault, usize)> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut bill = Bill {
                commands,
                sent: &self.sent,
            };
            match self.wire.post(self.request(to, body.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(Fault::Lost { sent: true, .. }) if again && tries == 1 => {}
                Err(fault) => {
                    if matches!(fault, Fault::Lost { sent: false, .. }) {
                        bill.commands = 0;
                    }
                    return Err((fault, tries));
                }
            }
        }
    }

    fn request(&self, to: To, body: Bytes) -> Request {
        let url = match to {
            To::One => &self.one,
            To::Pipeline => &self.pipeline,
        };
        let mut request = Request::new(Method::POST, url.clone());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.bearer.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            HeaderName::from_static("upstash-encoding"),
            HeaderValue::from_static("base64"),
        );
        *request.body_mut() = Some(Body::from(body));
        request
    }

    /// The reason of the current pause, if there is one.
    fn resting(&self) -> Option<String> {
        let now = self.clock.ticks();
        match &self.state().resting {
            Some((until, reason)) if now < *until => Some(reason.clone()),
            _ => None,
        }
    }

    fn answered(&self) {
        let now = self.clock.ticks();
        let mut state = self.state();
        state.answered = now;
        state.resting = None;
    }

    fn rest(&self, time: Duration, reason: &str) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let until = self.clock.ticks().saturating_add(time);
        self.state().resting = Some((until, reason.to_owned()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error for calls during the pause.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Away { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// Counts sent commands even if the caller has left.
struct Bill<'a> {
    commands: u64,
    sent: &'a Commands,
}

impl Drop for Bill<'_> {
    fn drop(&mut self) {
        self.sent.add(self.commands);
    }
}
