//! Reads the beginning of a successful answer. A success counts only with its first byte, because a provider may
//! cut the connection after the head or begin the body with an error. Compressed answers, and answers that are
//! converted as a whole, are read to their end here.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crs_durable::pool::Outcome;
use http::header::{self, HeaderValue};
use http::response::Parts;
use http::{Extensions, Response};

use super::exchange::left;
use super::{Attempt, FailedAttempt, judge};
use crate::account::Opening;
use crate::app::App;
use crate::dialect::call::Call;
use crate::dialect::meter::{Meter, streams};
use crate::error::{Code, excerpt};
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;
use crate::port::clock::within;
use crate::port::upstream::{Body, BodyError, OpenedByHost};
use crate::relay::answer::Answer;
use crate::relay::gather::{self, first_data, joined};
use crate::relay::mask::SecretMask;
use crate::relay::media::Media;
use crate::relay::{conversion, failures, unpack};

/// Maximum number of bytes to wait for while an opening is unclear.
const LONGEST_OPENING: usize = 16 << 10;

/// Opens the answer of one request.
pub(super) struct Opener<'a> {
    pub(super) app: &'a App,
    pub(super) plan: &'static Plan,
    pub(super) call: &'a Call,
    pub(super) live: &'a Arc<LiveAccount>,
    /// The request's extensions, needed to convert its answer.
    pub(super) kept: &'a Extensions,
    /// Deadline for the first byte, ticks.
    pub(super) deadline: u64,
}

/// The content of a forwarded answer.
struct Content {
    first: Bytes,
    /// `None` if `first` is the whole body.
    rest: Option<Body>,
    /// Bytes for the meter, if they differ from `first`.
    measured: Option<Bytes>,
}

impl Opener<'_> {
    /// Opens the answer. Sets `source` to a meter of the provider's bytes if the client receives other bytes.
    pub(super) async fn open(
        &self,
        answer: Response<Body>,
        source: &mut Option<Meter>,
    ) -> Result<Attempt, FailedAttempt> {
        let (mut head, mut body) = answer.into_parts();
        let mut first_was_packed = false;
        let opening = self.opening(&mut body, &mut first_was_packed);
        let opening = within(&*self.app.ports.clock, left(self.app, self.deadline), opening).await;
        let first = match opening {
            None => return Err(unwell(Code::ProviderTimeout, "no first byte in time")),
            Some(Err(broken)) => return Err(unwell(Code::ProviderBroke, &broken.to_string())),
            Some(Ok((first, _))) if first.is_empty() => {
                return Err(unwell(Code::ProviderFailed, "an empty answer"));
            }
            Some(Ok((first, Opening::Error(verdict)))) => {
                let first = SecretMask::of(self.live).body(first);
                return Err(FailedAttempt {
                    failure: failures::of_provider(verdict.code, None).with_words(&first),
                    outcome: judge::masked(self.live, verdict.outcome),
                    status: Some(head.status),
                });
            }
            Some(Ok((
                _,
                Opening::Refusal {
                    mut verdict,
                    status,
                    error,
                },
            ))) => {
                verdict.outcome = judge::masked(self.live, verdict.outcome);
                let error = SecretMask::of(self.live).body(error);
                Media::Json.name(&mut head.headers);
                let answer = Answer::refusal(status, head.headers, error);
                let now = self.app.ports.clock.now();
                return Ok(judge::conclude(answer, verdict, self.call, now));
            }
            Some(Ok((first, _))) => first,
        };
        match Media::of(&head.headers, &first) {
            Media::Foreign => return Err(self.foreign(first)),
            media => media.name(&mut head.headers),
        }
        let content = self
            .content(&mut head, first, body, first_was_packed, source)
            .await?;
        let rewrite = content
            .rest
            .as_ref()
            .and_then(|_| self.plan.rewrite(self.call, self.live, &head.headers, self.kept));
        Ok(Attempt::Answered(Answer {
            status: head.status,
            headers: head.headers,
            first: content.first,
            rest: content.rest,
            rewrite,
            measured: content.measured,
            metered: true,
        }))
    }

    /// Reads until it is clear whether the body begins with an error. Returns empty bytes at the end of the body.
    async fn opening(&self, body: &mut Body, was_packed: &mut bool) -> Result<(Bytes, Opening), BodyError> {
        let mut first = Bytes::new();
        loop {
            let Some(more) = first_data(body).await? else {
                return Ok((first, Opening::Well));
            };
            if first.is_empty() && !*was_packed && unpack::is_gzip(&more) {
                *was_packed = true;
                unpack::open_gzip(more, body);
                continue;
            }
            first = joined(first, more);
            let now = self.app.ports.clock.now();
            match self.plan.accounts.judge_opening(&self.call.model, &first, now) {
                Opening::Unclear if first.len() < LONGEST_OPENING => {}
                judged => return Ok((first, judged)),
            }
        }
    }

    fn foreign(&self, first: Bytes) -> FailedAttempt {
        let first = SecretMask::of(self.live).body(first);
        let detail = "an answer of another protocol";
        FailedAttempt {
            failure: failures::of_provider(Code::ProviderFailed, None)
                .with_detail(detail)
                .with_words(&first),
            outcome: Outcome::Unwell {
                why: format!("{detail}: {}", excerpt(&first)),
                until: None,
            },
            status: None,
        }
    }

    async fn content(
        &self,
        head: &mut Parts,
        first: Bytes,
        body: Body,
        first_was_packed: bool,
        source: &mut Option<Meter>,
    ) -> Result<Content, FailedAttempt> {
        let gathers = self.plan.gathers(self.call, &head.headers, &first);
        *source = self.plan.source_meter(self.call, &head.headers);
        if gathers {
            if source.is_none() {
                *source = self.plan.meter(self.call, &head.headers);
            }
            return Box::pin(self.converted_whole(head, first, body, source)).await;
        }
        let opened_by_host = head.extensions.get::<OpenedByHost>().is_some();
        let is_packed =
            first_was_packed || opened_by_host || head.extensions.get::<unpack::WasPacked>().is_some();
        if is_packed && !streams(&head.headers) {
            return Box::pin(self.unpacked_whole(head, first, body, opened_by_host, source)).await;
        }
        Ok(Content {
            first,
            rest: Some(body),
            measured: None,
        })
    }

    /// Reads a compressed answer to its end, which alone shows whether it is complete. The client has received
    /// nothing, so another account may still be tried. An answer that is too large to be held is forwarded as it
    /// comes.
    async fn unpacked_whole(
        &self,
        head: &Parts,
        first: Bytes,
        mut body: Body,
        opened_by_host: bool,
        source: &mut Option<Meter>,
    ) -> Result<Content, FailedAttempt> {
        let idle = self.app.config.relay.idle;
        let mut held = BytesMut::from(first);
        let failed = match gather::while_it_comes(self.app, &mut held, &mut body, idle).await {
            None => unwell(Code::ProviderTimeout, "the answer stopped halfway"),
            Some(Err(broken)) => unwell(Code::ProviderBroke, &broken.to_string()),
            Some(Ok(true)) if opened_by_host && gather::is_cut(&held) => {
                unwell(Code::ProviderBroke, "the compressed answer is cut")
            }
            Some(Ok(is_whole)) => {
                return Ok(Content {
                    first: held.freeze(),
                    rest: (!is_whole).then_some(body),
                    measured: None,
                });
            }
        };
        // The provider bills the tokens even if another account serves the call.
        *source = self.plan.meter(self.call, &head.headers);
        if let Some(meter) = source {
            meter.feed(&held);
        }
        Err(failed)
    }

    /// Reads and converts an answer that is converted as a whole.
    async fn converted_whole(
        &self,
        head: &mut Parts,
        first: Bytes,
        body: Body,
        source: &mut Option<Meter>,
    ) -> Result<Content, FailedAttempt> {
        let patience = left(self.app, self.deadline).max(self.app.config.relay.connect);
        let whole = gather::whole(first, body, source);
        let whole = match within(&*self.app.ports.clock, patience, whole).await {
            None => return Err(unwell(Code::ProviderTimeout, "no whole answer in time")),
            Some(Err(broken)) => return Err(unwell(Code::ProviderBroke, &broken.to_string())),
            Some(Ok(whole)) if whole.len() > gather::LARGEST_WHOLE => {
                let limit = gather::LARGEST_WHOLE;
                let why = format!("an answer of more than {limit} bytes that must be held as a whole");
                return Err(unwell(Code::ProviderFailed, &why));
            }
            Some(Ok(whole)) => whole,
        };
        let converted = conversion::gathered(self.app, self.plan, self.call, self.kept, whole).await;
        let converted = converted.map_err(|why| {
            // The reason may quote the answer and with it a secret.
            let why = SecretMask::of(self.live).text(&why).into_owned();
            FailedAttempt {
                failure: failures::of_provider(Code::ProviderFailed, None).with_words(why.as_bytes()),
                outcome: Outcome::Unwell { why, until: None },
                status: None,
            }
        })?;
        let kind = if converted.is_stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        head.headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(Content {
            first: converted.body,
            rest: None,
            measured: converted.measured,
        })
    }
}

fn unwell(code: Code, why: &str) -> FailedAttempt {
    FailedAttempt::unwell(code, why)
}
