//! [`Converter`] from OpenAI's Responses to Anthropic's Messages.

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};

use super::{Context, Options, Stream, Target, UnusableAnswer};
use crate::convert::Converter;
use crate::dialect::Dialect as _;
use crate::dialect::answer::{End, Rewrite, Whole};
use crate::dialect::body::scan;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::meter::Meter;
use crate::dialect::openai::OpenAi;
use crate::model::account::live::LiveAccount;

pub struct ResponsesToMessages {
    /// The vendor of the models behind the Messages API.
    pub target: Target,
}

/// Needed to convert the answer; stored in the call's extensions.
#[derive(Clone)]
struct AnswerContext(Context);

impl Converter for ResponsesToMessages {
    fn target(&self, endpoint: Endpoint) -> Endpoint {
        match endpoint {
            Endpoint::Responses => Endpoint::Messages,
            other => other,
        }
    }

    fn request(&self, call: &Call, account: &LiveAccount, kept: &mut Extensions) -> Result<Call, String> {
        let options = Options {
            target: self.target,
            model: account.mapped_model(&call.model),
        };
        let converted = super::request(&call.body, &options).map_err(|refused| refused.message)?;
        let mut asked = call.translated(Endpoint::Messages);
        asked.headers = call.headers.clone();
        asked.fields = scan(&converted.body).unwrap_or_default();
        asked.body = converted.body.into();
        kept.insert(AnswerContext(converted.context));
        Ok(asked)
    }

    fn reads_any_form(&self) -> bool {
        // With a converter in between, the source bytes are not messages yet.
        self.target == Target::Claude
    }

    fn whole(&self, call: &Call, kept: &Extensions, answer: Bytes) -> Result<Whole, String> {
        let AnswerContext(context) = kept
            .get()
            .ok_or("the data of the request's conversion is missing")?;
        let explain = |unusable: UnusableAnswer| {
            let (code, message) = unusable.type_and_message();
            format!("{code}: {message}")
        };
        let made = super::answer(&answer, context, &call.seed(), call.at / 1000).map_err(explain)?;
        Ok(if call.stream {
            Whole::stream(made.events)
        } else {
            Bytes::from(made.response).into()
        })
    }

    fn stream(
        &self,
        call: &Call,
        kept: &Extensions,
        messages: Option<Box<dyn Rewrite>>,
    ) -> Option<Box<dyn Rewrite>> {
        let AnswerContext(context) = kept.get()?;
        Some(Box::new(StreamRewrite {
            messages,
            events: Stream::new(context, &call.seed(), call.at / 1000),
        }))
    }

    fn error(&self, status: StatusCode, error: &[u8]) -> Bytes {
        super::error_body(status.as_u16(), error, "The provider refused the request.").into()
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        OpenAi.meter(call.endpoint, call.stream, headers)
    }
}

struct StreamRewrite {
    /// Converts the account's protocol into messages; `None` if the account speaks Messages itself.
    messages: Option<Box<dyn Rewrite>>,
    events: Stream,
}

impl Rewrite for StreamRewrite {
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String> {
        Ok(match &mut self.messages {
            Some(messages) => {
                let made = messages.feed(chunk)?;
                self.events.feed(&made)
            }
            None => self.events.feed(chunk),
        })
    }

    fn finish(&mut self) -> Bytes {
        let Some(messages) = &mut self.messages else {
            return self.events.finish();
        };
        let made = messages.finish();
        let mut last = self.events.feed(&made).to_vec();
        last.extend_from_slice(&self.events.finish());
        last.into()
    }

    fn end(&self) -> End {
        let own = End::of(
            self.events.is_closed(),
            self.events.is_whole(),
            self.events.is_metered(),
        );
        match (own, self.messages.as_ref().map(|messages| messages.end())) {
            (End::Final, _) => End::Final,
            (_, Some(End::Named | End::Final)) => End::Named,
            (own, _) => own,
        }
    }
}
