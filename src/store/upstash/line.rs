//! The exchange: bounded in time, counted, and not begun while the server is to be left alone.

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

/// Longest rest that a server may ask for.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A whole call, connecting and a second try included.
    pub answer: Duration,
    /// After a failure to connect or an answer that did not come: nobody tries for so long.
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

/// Which of the interface's addresses.
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
    /// Until which tick of the clock, and why.
    resting: Option<(u64, String)>,
    /// When the last good answer came.
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
            return Err(OptionsError::Url("it is no http or https address".to_owned()));
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

    /// Says `body`, which holds so many commands, and reads the answer. `again`: it may be said twice.
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
            // A broken connection proves nothing: the next one may work.
            Some(Err((Fault::Lost { sent: true, reason }, 1))) => return Err(away(reason)),
            Some(Err((Fault::Lost { reason, .. }, _))) => reason,
            None => format!("no answer within {:?}", self.limits.answer),
        };
        // An answer to another call meanwhile is proof that there is no need to.
        if self.state().answered <= start {
            self.rest(self.limits.rest, &reason);
        }
        Err(away(reason))
    }

    /// The answer; or why there is none after how many tries.
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

    /// Why the server is left alone, if it is.
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

/// The answer to calls that arrive during the rest.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Away { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// Counts what was sent, also when nobody waits for the answer any more.
struct Bill<'a> {
    commands: u64,
    sent: &'a Commands,
}

impl Drop for Bill<'_> {
    fn drop(&mut self) {
        self.sent.add(self.commands);
    }
}
