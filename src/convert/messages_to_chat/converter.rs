//! [`Converter`] from Anthropic's Messages to Chat Completions.

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};

use super::{Options, Stream};
use crate::convert::Converter;
use crate::convert::messages_to_responses::{Context, UnusableAnswer, error_body};
use crate::dialect::Dialect as _;
use crate::dialect::answer::{End, Rewrite, Whole};
use crate::dialect::body::scan;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::messages::{Messages, forms};
use crate::dialect::meter::Meter;
use crate::model::account::ChatHost;
use crate::model::account::live::{Credentials, LiveAccount};

pub struct MessagesToChat;

/// Needed to convert the answer; stored in the call's extensions.
#[derive(Clone)]
struct AnswerContext(Context);

impl Converter for MessagesToChat {
    fn target(&self, endpoint: Endpoint) -> Endpoint {
        match endpoint {
            Endpoint::Messages => Endpoint::ChatCompletions,
            other => other,
        }
    }

    fn request(&self, call: &Call, account: &LiveAccount, kept: &mut Extensions) -> Result<Call, String> {
        let host = match &account.credentials {
            Credentials::ApiKey {
                base_url: Some(base), ..
            } => ChatHost::at(base),
            _ => ChatHost::Other,
        };
        let options = Options {
            model: account.mapped_model(&call.model),
            host,
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
        error_body(status.as_u16(), error, "The provider refused the request.").into()
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        Messages.meter(call.endpoint, call.stream, headers)
    }
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
