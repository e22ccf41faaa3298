//! [`Converter`] from Anthropic's Messages to Google's `generateContent`.

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};
use serde_json::Value;

use super::{Context, CountForm, FieldRefusal, Form, Options, Stream, UnusableAnswer};
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
    /// The schema form that the accounts' host accepts.
    pub schemas: Form,
}

/// Needed to convert the answer; stored in the call's extensions.
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
        let message = |refused: FieldRefusal| refused.message;
        let (endpoint, body) = match call.endpoint {
            Endpoint::Messages => {
                let converted = super::request(&call.body, &options).map_err(message)?;
                kept.insert(AnswerContext(converted.context));
                (Endpoint::Generate(Surface::V1Beta), converted.body)
            }
            Endpoint::CountTokens => {
                let (surface, form) = match &account.credentials {
                    Credentials::OAuth { .. } => (Surface::Internal, CountForm::Contents),
                    _ => (Surface::V1Beta, CountForm::Whole),
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
        let explain = |unusable: UnusableAnswer| {
            let (kind, message) = unusable.type_and_message();
            format!("{kind}: {message}")
        };
        match call.endpoint {
            Endpoint::Messages => {
                let AnswerContext(context) = kept
                    .get()
                    .ok_or("the data of the request's conversion is missing")?;
                // Google sends a JSON list if the call did not ask for server-sent events.
                let whole = if google_forms::is_list(&whole) {
                    google_forms::events(&whole, None)?.into()
                } else {
                    whole
                };
                let message = if is_object(&whole) {
                    let answer = super::answer(&whole, context, &call.seed()).map_err(explain)?;
                    answer.body
                } else {
                    // The account sent a stream although none was requested.
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
                let counted = super::counted(&whole).map_err(explain)?;
                Ok(Bytes::from(counted).into())
            }
            // The client asked for the list of models, which stays in Google's form.
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
        Some(Box::new(StreamRewrite(Stream::new(context, &call.seed()))))
    }

    fn error(&self, status: StatusCode, error: &[u8]) -> Bytes {
        super::error_body(status.as_u16(), error, "The provider refused the request.").into()
    }

    fn meter(&self, call: &Call, headers: &HeaderMap) -> Option<Meter> {
        Messages.meter(call.endpoint, call.stream, headers)
    }
}

/// The call in the account's protocol.
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

struct StreamRewrite(Stream);

impl Rewrite for StreamRewrite {
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
