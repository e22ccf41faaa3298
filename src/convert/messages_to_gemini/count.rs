//! Converts `count_tokens` to Gemini's `countTokens`.

use serde::Serialize;

use super::budget::written;
use super::error::{FieldRefusal, UnusableAnswer};
use super::object::Object;
use super::request::{Content, Options, Part, Request, for_count};

/// The request form of the host's `countTokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountForm {
    /// A whole `generateContentRequest`: the Gemini API.
    Whole,
    /// Contents only, in an envelope's `request`: Code Assist. Instructions and tools are counted as text before
    /// the contents, which is off by a few tokens.
    Contents,
}

/// Converts the body of `POST /v1/messages/count_tokens`.
pub fn count_tokens(
    body: &[u8],
    options: &Options<'_>,
    form: CountForm,
) -> Result<(String, Vec<u8>), FieldRefusal> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        generate_content_request: NamedRequest<'a>,
    }
    #[derive(Serialize)]
    struct NamedRequest<'a> {
        model: String,
        #[serde(flatten)]
        request: Request<'a>,
    }
    #[derive(Serialize)]
    struct Contents<'a> {
        model: String,
        contents: Vec<Content<'a>>,
    }
    for_count(body, options, |name, mut request, budget| {
        let model = format!("models/{name}");
        let body = match form {
            CountForm::Whole => written(
                &Whole {
                    generate_content_request: NamedRequest { model, request },
                },
                budget,
            ),
            CountForm::Contents => {
                let mut before = request
                    .system_instruction
                    .take()
                    .map_or_else(Vec::new, |system| system.parts);
                if !request.tools.is_empty() {
                    let tools = serde_json::to_string(&request.tools).unwrap_or_default();
                    before.push(Part::text(tools));
                }
                if let Some(first) = request.contents.first_mut() {
                    before.append(&mut first.parts);
                    first.parts = before;
                }
                written(
                    &Contents {
                        model,
                        contents: request.contents,
                    },
                    budget,
                )
            }
        };
        Ok((name.to_owned(), body?))
    })
}

/// Converts Gemini's count into Anthropic's answer.
pub fn counted(body: &[u8]) -> Result<Vec<u8>, UnusableAnswer> {
    let body = std::str::from_utf8(body).ok().and_then(Object::of);
    let tokens: Option<u64> = body.and_then(|body| body.get("totalTokens"));
    let tokens = tokens.ok_or(UnusableAnswer::Unreadable)?;
    Ok(format!("{{\"input_tokens\":{tokens}}}").into_bytes())
}
