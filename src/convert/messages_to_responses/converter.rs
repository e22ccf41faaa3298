//! Anthropic's Messages on accounts that speak OpenAI's Responses, as a [`Converter`].

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};

use super::{Context, Options, Stream, Unusable};
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

/// What the answer is converted with, kept beside the request.
#[derive(Clone)]
struct Kept(Context);

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
        kept.insert(Kept(converted.context));
        Ok(asked)
    }

    fn reads_any_form(&self) -> bool {
        true
    }

    fn whole(&self, call: &Call, kept: &Extensions, answer: Bytes) -> Result<Whole, String> {
        if call.endpoint == Endpoint::CountTokens {
            return counted(&answer).ok_or_else(|| "the count cannot be read".to_owned());
        }
        let Kept(context) = kept.get().ok_or("it is not known what was asked")?;
        let told = |unusable: Unusable| {
            let (kind, message) = unusable.told();
            format!("{kind}: {message}")
        };
        let events = super::events(&answer, context, &call.seed()).map_err(told)?;
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
        let Kept(context) = kept.get()?;
        Some(Box::new(Streamed(Stream::new(context, &call.seed()))))
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

/// Anthropic's answer for OpenAI's count.
fn counted(answer: &[u8]) -> Option<Whole> {
    let tokens: u64 = Object::parse(answer).ok()?.get("input_tokens")?;
    let told = format!("{{\"input_tokens\":{tokens}}}");
    Some(Bytes::from(told).into())
}

struct Streamed(Stream);

impl Rewrite for Streamed {
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
