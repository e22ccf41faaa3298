//! [`Converter`] from Anthropic's Messages to OpenAI's Responses.

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};

use super::{Context, Options, Stream, UnusableAnswer};
use crate::convert::Converter;
use crate::dialect::Dialect as _;
use crate::dialect::answer::{End, Rewrite, Whole};
use crate::dialect::body::{patch, scan};
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::messages::{Messages, forms};
use crate::dialect::meter::Meter;
use crate::dialect::wire::marks;
use crate::dialect::wire::object::Object;
use crate::model::account::live::{Credentials, LiveAccount};

pub struct MessagesToResponses;

/// Needed to convert the answer; stored in the call's extensions.
#[derive(Clone)]
struct AnswerContext(Context);

impl Converter for MessagesToResponses {
    fn target(&self, endpoint: Endpoint) -> Endpoint {
        match endpoint {
            Endpoint::Messages => Endpoint::Responses,
            Endpoint::CountTokens => Endpoint::CountInput,
            other => other,
        }
    }

    fn request(&self, call: &Call, account: &LiveAccount, kept: &mut Extensions) -> Result<Call, String> {
        let key = call.session.as_ref();
        let key = key.map(|session| format!("{:016x}", session.hash(&call.key)));
        let options = Options {
            model: account.mapped_model(&call.model),
            login: matches!(account.credentials, Credentials::OAuth { .. }),
            cache_key: key.as_deref(),
            count: call.endpoint == Endpoint::CountTokens,
        };
        let converted = super::request(&call.body, &options).map_err(|refused| refused.message)?;
        let mut asked = call.translated(self.target(call.endpoint));
        asked.headers = call.headers.clone();
        asked.fields = scan(&converted.body).unwrap_or_default();
        asked.body = converted.body.into();
        kept.insert(AnswerContext(converted.context));
        Ok(asked)
    }

    fn reads_any_form(&self) -> bool {
        true
    }

    fn whole(&self, call: &Call, kept: &Extensions, answer: Bytes) -> Result<Whole, String> {
        if call.endpoint == Endpoint::CountTokens {
            return counted(&answer).ok_or_else(|| "the count cannot be read".to_owned());
        }
        let AnswerContext(context) = kept
            .get()
            .ok_or("the data of the request's conversion is missing")?;
        let explain = |unusable: UnusableAnswer| {
            let (kind, message) = unusable.type_and_message();
            format!("{kind}: {message}")
        };
        let events = super::events(&answer, context, &call.seed()).map_err(explain)?;
        if call.stream {
            return Ok(Whole::stream(events));
        }
        forms::whole(&events).map(|message| Bytes::from(message).into())
    }

    fn stream(
        &self,
        call: &Call,
        kept: &Extensions,
        _source: Option<Box<dyn Rewrite>>,
    ) -> Option<Box<dyn Rewrite>> {
        let AnswerContext(context) = kept.get()?;
        Some(Box::new(StreamRewrite(Stream::new(context, &call.seed()))))
    }

    fn error(&self, status: StatusCode, error: &[u8]) -> Bytes {
        super::error_body(status.as_u16(), error, "The provider refused the request.").into()
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        Messages.meter(call.endpoint, call.stream, headers)
    }

    fn without_sealed(&self, call: &Call, unreadable: &[Bytes]) -> Option<(Bytes, u32)> {
        let (edits, items) = marks::without_sealed(&call.body, unreadable);
        (items > 0).then(|| (patch(&call.body, edits), items))
    }
}

/// Converts OpenAI's count into Anthropic's answer.
fn counted(answer: &[u8]) -> Option<Whole> {
    let tokens: u64 = Object::parse(answer).ok()?.get("input_tokens")?;
    let count = format!("{{\"input_tokens\":{tokens}}}");
    Some(Bytes::from(count).into())
}

struct StreamRewrite(Stream);

impl Rewrite for StreamRewrite {
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String> {
        Ok(self.0.feed(chunk))
    }

    fn finish(&mut self) -> Bytes {
        self.0.finish()
    }

    fn end(&self) -> End {
        if self.0.is_closed() { End::Final } else { End::Open }
    }
}
