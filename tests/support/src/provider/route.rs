//! The route of a request.

use super::bedrock;
use super::entra;
use super::request::Request;

/// The kinds of request that have scripts of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    Messages,
    CountTokens,
    Models,
    /// OpenAI's and ChatGPT's `/responses`, compact ones too.
    Responses,
    /// The upgrade to a WebSocket for Responses. Its turns are [`Route::Responses`].
    Upgrade,
    /// A stored response of OpenAI's, and what is below it.
    StoredResponse,
    /// OpenAI's images, made and edited.
    Images,
    /// Counting the tokens of a request of OpenAI's.
    CountInput,
    ChatCompletions,
    /// Generating, whole and streamed, in both of Google's protocols.
    Gemini,
    /// The rest of Code Assist, and counting tokens in both.
    Assist,
    /// Refreshing of OAuth tokens, and tokens of service accounts and applications.
    Token,
    Other,
}

impl Route {
    pub(super) fn of(request: &Request) -> Self {
        let path = request.path().trim_end_matches('/');
        match bedrock::call_of(request) {
            Some((_, bedrock::Method::Count)) => return Self::CountTokens,
            Some(_) => return Self::Messages,
            None => {}
        }
        let of_vertex = path.ends_with(":rawPredict") || path.ends_with(":streamRawPredict");
        if of_vertex && path.ends_with("/count-tokens:rawPredict") {
            Self::CountTokens
        } else if of_vertex || path.ends_with("/v1/messages") {
            Self::Messages
        } else if path.ends_with("/v1/messages/count_tokens") {
            Self::CountTokens
        } else if path.ends_with("/v1/models") {
            Self::Models
        } else if path.ends_with("/v1/oauth/token") || entra::is_token(path) {
            Self::Token
        } else if path.ends_with("/responses") && request.method == "GET" {
            Self::Upgrade
        } else if path.ends_with("/responses") || path.ends_with("/responses/compact") {
            Self::Responses
        } else if path.ends_with("/responses/input_tokens") {
            Self::CountInput
        } else if path.ends_with("/images/generations") || path.ends_with("/images/edits") {
            Self::Images
        } else if path.contains("/responses/") {
            Self::StoredResponse
        } else if path.ends_with("/chat/completions") {
            Self::ChatCompletions
        } else if path.ends_with("enerateContent") {
            Self::Gemini
        } else if path.contains("/v1internal:") || path.ends_with(":countTokens") {
            Self::Assist
        } else {
            Self::Other
        }
    }

    pub(super) fn is_anthropics(self) -> bool {
        matches!(self, Self::Messages | Self::CountTokens | Self::Models)
    }
}
