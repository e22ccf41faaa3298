//! The parts of a `generateContent` request.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Debug, Serialize)]
pub(crate) struct Content<'a> {
    pub role: &'static str,
    pub parts: Vec<Part<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Instruction<'a> {
    pub parts: Vec<Part<'a>>,
}

impl<'a> Instruction<'a> {
    pub(super) fn of(parts: Vec<Part<'a>>) -> Option<Self> {
        (!parts.is_empty()).then_some(Self { parts })
    }
}

/// Exactly one of the first five members is set, with others beside it. All but the text are boxed, because a
/// conversation may have a million parts.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline_data: Option<Box<Blob<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_data: Option<Box<File<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<Box<Call<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_response: Option<Box<FunctionResponse<'a>>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thought_signature: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blob<'a> {
    pub mime_type: Cow<'a, str>,
    pub data: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<&'static str>,
    pub file_uri: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    pub name: Cow<'a, str>,
    pub args: &'a RawValue,
}

#[derive(Debug, Serialize)]
pub(crate) struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    pub name: Cow<'a, str>,
    pub response: FunctionResult<'a>,
    /// Media in the result, for models that accept them here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part<'a>>,
}

/// The result of a function, under the two names that Gemini's documentation recommends.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FunctionResult<'a> {
    Output(Cow<'a, str>),
    Error(Cow<'a, str>),
}

impl<'a> Part<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    pub(super) fn is_media(&self) -> bool {
        self.inline_data.is_some() || self.file_data.is_some()
    }
}
