//! OpenAI's Responses on accounts that speak Anthropic's Messages, as a [`Converter`].

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};

use super::{Context, Options, Stream, Unusable};
use crate::convert::Converter;
use crate::dialect::Dialect as _;
use crate::dialect::answer::{End, Rewrite, Whole};
use crate::dialect::body::scan;
use crate::dialect::call::{Call, Endpoint};
use crate::dialect::meter::Meter;
use crate::dialect::openai::OpenAi;
use crate::model::account::live::LiveAccount;

pub struct ResponsesToMessages;

/// What the answer is converted with, kept beside the request.
#[derive(Clone)]
struct Kept(Context);

impl Converter for ResponsesToMessages {
    fn target(&self, endpoint: Endpoint) -> Endpoint {
        match endpoint {
            Endpoint::Responses => Endpoint::Messages,
            other => other,
        }
    }

    fn request(&self, call: &Call, account: &LiveAccount, kept: &mut Extensions) -> Result<Call, String> {
        let options = Options {
            model: account.mapped_model(&call.model),
        };
        let converted = super::request(&call.body, &options).map_err(|refused| refused.message)?;
        let mut asked = call.translated(Endpoint::Messages);
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
        let Kept(context) = kept.get().ok_or("it is not known what was asked")?;
        let told = |unusable: Unusable| {
            let (code, message) = unusable.told();
            format!("{code}: {message}")
        };
        let made = super::answer(&answer, context, &call.seed(), call.at / 1000).map_err(told)?;
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
        _source: Option<Box<dyn Rewrite>>,
    ) -> Option<Box<dyn Rewrite>> {
        let Kept(context) = kept.get()?;
        Some(Box::new(Streamed(Stream::new(
            context,
            &call.seed(),
            call.at / 1000,
        ))))
    }

    fn error(&self, status: StatusCode, error: &[u8]) -> Bytes {
        super::error_body(status.as_u16(), error, "The provider refused the request.").into()
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        OpenAi.meter(call.endpoint, call.stream, headers)
    }
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
        End::of(self.0.is_closed(), self.0.is_whole(), self.0.is_metered())
    }
}
