//! The endpoints that calls can ask for.

/// The endpoint of a call, in the terms of its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Anthropic's.
    Messages,
    CountTokens,
    /// OpenAI's.
    Responses,
    CompactResponses,
    CountInput,
    ChatCompletions,
    /// Google's, in either of its protocols.
    Generate(Surface),
    CountContent(Surface),
    Assist(Assist),
}

/// Which of Google's protocols a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The Gemini API: the model is in the path.
    V1,
    V1Beta,
    /// Code Assist, `v1internal`: the same call in an envelope, and the answer in another.
    Internal,
}

/// Endpoints of Code Assist only: about the account, and free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::enum_variant_names, reason = "these are Google's names")]
pub enum Assist {
    LoadCodeAssist,
    OnboardUser,
    RetrieveUserQuota,
    ListExperiments,
    FetchAvailableModels,
}

impl Endpoint {
    /// In the ledger and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::CountTokens | Self::CountInput | Self::CountContent(_) => "count_tokens",
            Self::Responses => "responses",
            Self::CompactResponses => "responses_compact",
            Self::ChatCompletions => "chat_completions",
            Self::Generate(_) => "generate_content",
            Self::Assist(Assist::LoadCodeAssist) => "load_code_assist",
            Self::Assist(Assist::OnboardUser) => "onboard_user",
            Self::Assist(Assist::RetrieveUserQuota) => "retrieve_user_quota",
            Self::Assist(Assist::ListExperiments) => "list_experiments",
            Self::Assist(Assist::FetchAvailableModels) => "fetch_available_models",
        }
    }

    /// Whether such a call names no model.
    pub fn is_about_no_model(self) -> bool {
        matches!(self, Self::Assist(_))
    }

    /// Whether such a call uses anything that is limited and charged: it occupies a slot of the key and the
    /// account then, and its answer is measured. Counting tokens takes milliseconds and is free, and clients
    /// do it while their one slot is busy.
    pub fn takes_slot(self) -> bool {
        match self {
            Self::Messages
            | Self::Responses
            | Self::CompactResponses
            | Self::ChatCompletions
            | Self::Generate(_) => true,
            Self::CountTokens | Self::CountInput | Self::CountContent(_) | Self::Assist(_) => false,
        }
    }
}
