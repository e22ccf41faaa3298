//! The endpoints of calls.

/// The endpoint of a call in its protocol.
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
    Stored(Stored),
    Images(Images),
    /// Google's, in both of its protocols.
    Generate(Surface),
    CountContent(Surface),
    Assist(Assist),
}

/// OpenAI's endpoints of one stored response, named by the call's `object`. They have no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    Retrieve,
    Delete,
    /// Ends a background response.
    Cancel,
    InputItems,
}

/// OpenAI's endpoints that make images. The body is JSON, or a form with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Images {
    Generations,
    Edits,
}

/// A protocol of Google.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The Gemini API: the path contains the model.
    V1,
    V1Beta,
    /// Code Assist, `v1internal`: request and answer are in envelopes.
    Internal,
}

/// Endpoints of Code Assist about the account; they are free.
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
    /// The name in the ledger and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::CountTokens | Self::CountInput | Self::CountContent(_) => "count_tokens",
            Self::Responses => "responses",
            Self::CompactResponses => "responses_compact",
            Self::ChatCompletions => "chat_completions",
            Self::Images(Images::Generations) => "image_generations",
            Self::Images(Images::Edits) => "image_edits",
            Self::Stored(Stored::Retrieve) => "responses_retrieve",
            Self::Stored(Stored::Delete) => "responses_delete",
            Self::Stored(Stored::Cancel) => "responses_cancel",
            Self::Stored(Stored::InputItems) => "responses_input_items",
            Self::Generate(_) => "generate_content",
            Self::Assist(Assist::LoadCodeAssist) => "load_code_assist",
            Self::Assist(Assist::OnboardUser) => "onboard_user",
            Self::Assist(Assist::RetrieveUserQuota) => "retrieve_user_quota",
            Self::Assist(Assist::ListExperiments) => "list_experiments",
            Self::Assist(Assist::FetchAvailableModels) => "fetch_available_models",
        }
    }

    /// Whether such a call has no model.
    pub fn is_about_no_model(self) -> bool {
        matches!(self, Self::Assist(_) | Self::Stored(_))
    }

    /// Whether such a call is about an object that a provider stores, so that only the object's account can serve
    /// it, and only for the key that made it.
    pub fn is_about_an_object(self) -> bool {
        matches!(self, Self::Stored(_))
    }

    /// Whether such a call has usage that is limited and charged. Only then does it occupy slots of the key and
    /// the account, and is its answer metered. Token counts are free and fast, and clients request them while
    /// their only slot is busy.
    pub fn takes_slot(self) -> bool {
        match self {
            Self::Messages
            | Self::Responses
            | Self::CompactResponses
            | Self::ChatCompletions
            | Self::Images(_)
            | Self::Generate(_) => true,
            Self::CountTokens
            | Self::CountInput
            | Self::CountContent(_)
            | Self::Assist(_)
            | Self::Stored(_) => false,
        }
    }

    /// Whether the answer's usage is read. A stored response shows the usage of the call that made it: see
    /// `relay::flight::unpaid`.
    pub fn is_metered(self) -> bool {
        self.takes_slot() || matches!(self, Self::Stored(Stored::Retrieve | Stored::Cancel))
    }
}
