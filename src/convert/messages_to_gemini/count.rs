//! `count_tokens`, asked of Gemini's `countTokens`.

use serde::Serialize;

use super::budget::written;
use super::error::{Refused, Unusable};
use super::object::Object;
use super::request::{Content, Options, Part, Request, for_count};

/// What the host's `countTokens` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountForm {
    /// A whole `generateContentRequest`: the Gemini API.
    Whole,
    /// Contents only, as the `request` of an envelope: Code Assist. Instructions and tools are put before
    /// the contents as text, so that they count too, but for a few tokens.
    Contents,
}

/// Converts the body of `POST /v1/messages/count_tokens`.
pub fn count_tokens(
    body: &[u8],
    options: &Options<'_>,
    form: CountForm,
) -> Result<(String, Vec<u8>), Refused> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        generate_content_request: Named<'a>,
    }
    #[derive(Serialize)]
    struct Named<'a> {
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
                    generate_content_request: Named { model, request },
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

/// Anthropic's answer for Gemini's count.
pub fn counted(body: &[u8]) -> Result<Vec<u8>, Unusable> {
    let body = std::str::from_utf8(body).ok().and_then(Object::of);
    let tokens: Option<u64> = body.and_then(|body| body.get("totalTokens"));
    let tokens = tokens.ok_or(Unusable::Unreadable)?;
    Ok(format!("{{\"input_tokens\":{tokens}}}").into_bytes())
}
