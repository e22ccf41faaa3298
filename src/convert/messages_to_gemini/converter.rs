//! Anthropic's Messages on accounts that speak Google's `generateContent`, as a [`Converter`].

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};
use serde_json::Value;

use super::{Context, CountForm, Form, Options, Refused, Stream, Unusable};
use crate::convert::Converter;
use crate::dialect::Dialect as _;
use crate::dialect::answer::{End, Rewrite, Whole, is_object};
use crate::dialect::body::{Fields, scan};
use crate::dialect::call::{Call, Endpoint, Surface};
use crate::dialect::gemini::forms as google_forms;
use crate::dialect::messages::{Messages, forms};
use crate::dialect::meter::Meter;
use crate::model::account::live::{Credentials, LiveAccount};

pub struct MessagesToGemini {
    /// The form of schemas that the accounts' host accepts.
    pub schemas: Form,
}

/// What the answer is converted with, kept beside the request.
#[derive(Clone)]
struct AnswerContext(Context);

impl Converter for MessagesToGemini {
    fn target(&self, endpoint: Endpoint) -> Endpoint {
        match endpoint {
            Endpoint::Messages => Endpoint::Generate(Surface::V1Beta),
            Endpoint::CountTokens => Endpoint::CountContent(Surface::V1Beta),
            other => other,
        }
    }

    fn request(&self, call: &Call, account: &LiveAccount, kept: &mut Extensions) -> Result<Call, String> {
        let options = Options {
            model: account.mapped_model(&call.model),
            schemas: self.schemas,
        };
        let message = |refused: Refused| refused.message;
        let (endpoint, body) = match call.endpoint {
            Endpoint::Messages => {
                let converted = super::request(&call.body, &options).map_err(message)?;
                kept.insert(AnswerContext(converted.context));
                (Endpoint::Generate(Surface::V1Beta), converted.body)
            }
            Endpoint::CountTokens => {
                let (surface, form) = match &account.credentials {
                    Credentials::ApiKey { .. } => (Surface::V1Beta, CountForm::Whole),
                    Credentials::OAuth { .. } => (Surface::Internal, CountForm::Contents),
                };
                let (_, mut body) = super::count_tokens(&call.body, &options, form).map_err(message)?;
                if surface == Surface::Internal {
                    body = [b"{\"request\":", &body[..], b"}"].concat();
                }
                (Endpoint::CountContent(surface), body)
            }
            other => (other, b"{}".to_vec()),
        };
        Ok(target_call(call, endpoint, body.into()))
    }

    fn reads_any_form(&self) -> bool {
        true
    }

    fn whole(&self, call: &Call, kept: &Extensions, whole: Bytes) -> Result<Whole, String> {
        let told = |unusable: Unusable| {
            let (kind, message) = unusable.told();
            format!("{kind}: {message}")
        };
        match call.endpoint {
            Endpoint::Messages => {
                let AnswerContext(context) = kept.get().ok_or("it is not known what was asked")?;
                // Google streams a list to who does not ask for events.
                let whole = if google_forms::is_list(&whole) {
                    google_forms::events(&whole, None)?.into()
                } else {
                    whole
                };
                let message = if is_object(&whole) {
                    let answer = super::answer(&whole, context, &call.seed()).map_err(told)?;
                    answer.body
                } else {
                    // A stream that nobody asked for.
                    let mut stream = Stream::new(context, &call.seed());
                    let mut events = stream.feed(&whole).to_vec();
                    events.extend_from_slice(&stream.finish());
                    forms::whole(&events)?
                };
                if call.stream {
                    return forms::streamed(&message).map(Whole::stream);
                }
                Ok(Bytes::from(message).into())
            }
            Endpoint::CountTokens => {
                let counted = super::counted(&whole).map_err(told)?;
                Ok(Bytes::from(counted).into())
            }
            // The list of models is no message: who asks for it reads Google's.
            _ => {
                let answer: Value = serde_json::from_slice(&whole).unwrap_or_default();
                let is_list = answer.get("models").is_some_and(Value::is_object);
                is_list
                    .then(|| whole.into())
                    .ok_or_else(|| "the list of models cannot be read".to_owned())
            }
        }
    }

    fn stream(
        &self,
        call: &Call,
        kept: &Extensions,
        _messages: Option<Box<dyn Rewrite>>,
    ) -> Option<Box<dyn Rewrite>> {
        let AnswerContext(context) = kept.get()?;
        Some(Box::new(Streamed(Stream::new(context, &call.seed()))))
    }

    fn error(&self, status: StatusCode, error: &[u8]) -> Bytes {
        super::error_body(status.as_u16(), error, "The provider refused the request.").into()
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        Messages.meter(call.endpoint, call.stream, headers)
    }
}

/// The call as the account's protocol has it.
fn target_call(call: &Call, endpoint: Endpoint, body: Bytes) -> Call {
    Call {
        headers: call.headers.clone(),
        query: call.stream.then(|| "alt=sse".to_owned()),
        fields: match endpoint {
            Endpoint::CountContent(Surface::Internal) => scan(&body).unwrap_or_default(),
            _ => Fields::default(),
        },
        body,
        model: call.model.without_path(),
        ..call.translated(endpoint)
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
        End::of(self.0.is_closed(), self.0.ended(), self.0.is_metered())
    }
}
