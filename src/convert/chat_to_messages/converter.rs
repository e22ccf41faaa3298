//! [`Converter`] from OpenAI's Chat Completions to Anthropic's Messages.
//!
//! The meter reads the messages before they are converted: completions carry less, and their streams carry usage
//! only if the client asks for it.

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};

use super::{Context, Options, Stream, Target, UnusableAnswer};
use crate::convert::Converter;
use crate::dialect::Dialect as _;
use crate::dialect::answer::{End, Rewrite, Whole, is_object};
use crate::dialect::body::scan;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::messages::{Messages, forms};
use crate::dialect::meter::Meter;
use crate::model::account::live::LiveAccount;

pub struct ChatToMessages {
    /// The vendor of the models behind the Messages API.
    pub target: Target,
}

/// Needed to convert the answer; stored in the call's extensions.
#[derive(Clone)]
struct AnswerContext(Context);

impl Converter for ChatToMessages {
    fn target(&self, _endpoint: Endpoint) -> Endpoint {
        Endpoint::Messages
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

    fn whole(&self, call: &Call, kept: &Extensions, answer: Bytes) -> Result<Whole, String> {
        let AnswerContext(context) = kept
            .get()
            .ok_or("the data of the request's conversion is missing")?;
        // The provider may have sent an event stream although none was requested, or the reverse.
        let message = if is_object(&answer) {
            answer
        } else {
            forms::whole(&answer)?.into()
        };
        let created = call.at / 1000;
        let whole = super::answer(&message, context, &call.seed(), created).map_err(|unusable| {
            let (kind, message) = unusable.type_and_message();
            format!("{kind}: {message}")
        })?;
        if !call.stream {
            return Ok(Whole {
                measured: Some(message),
                ..Bytes::from(whole).into()
            });
        }
        let events = forms::streamed(&message)?;
        let mut stream = Stream::new(context, &call.seed(), created);
        let mut chunks = stream.feed(&events).to_vec();
        chunks.extend_from_slice(&stream.finish());
        Ok(Whole {
            measured: Some(events.into()),
            ..Whole::stream(chunks)
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
            chunks: Stream::new(context, &call.seed(), call.at / 1000),
            measured: Bytes::new(),
        }))
    }

    fn error(&self, status: StatusCode, error: &[u8]) -> Bytes {
        super::error_body(status.as_u16(), error, "The provider refused the request.").into()
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        Messages.meter(Endpoint::Messages, call.stream, headers)
    }
}

struct StreamRewrite {
    /// Converts the account's protocol into messages; `None` if the account speaks Messages itself.
    messages: Option<Box<dyn Rewrite>>,
    chunks: Stream,
    /// The messages from which the last step made chunks.
    measured: Bytes,
}

impl Rewrite for StreamRewrite {
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String> {
        self.measured = match &mut self.messages {
            Some(messages) => messages.feed(chunk)?,
            None => Bytes::copy_from_slice(chunk),
        };
        let made = self.chunks.feed(&self.measured);
        match self.chunks.failure() {
            // The account did not send this error, so the relay reports it.
            Some(UnusableAnswer::Unreadable) => Err("an event cannot be read".to_owned()),
            _ => Ok(made),
        }
    }

    fn finish(&mut self) -> Bytes {
        self.measured = match &mut self.messages {
            Some(messages) => messages.finish(),
            None => Bytes::new(),
        };
        let mut last = self.chunks.feed(&self.measured).to_vec();
        // The relay reports a stream that broke off.
        if self.chunks.is_whole() {
            last.extend_from_slice(&self.chunks.finish());
        }
        last.into()
    }

    fn end(&self) -> End {
        if self.chunks.is_closed() {
            return End::Final;
        }
        match self.messages.as_ref().map(|messages| messages.end()) {
            Some(End::Named | End::Final) => End::Named,
            Some(End::Open) | None if !self.chunks.is_whole() => End::Open,
            Some(End::Open) | None if self.chunks.is_metered() => End::Named,
            Some(End::Unmetered | End::Open) | None => End::Unmetered,
        }
    }

    fn measured(&mut self) -> Option<Bytes> {
        Some(std::mem::take(&mut self.measured))
    }
}
