//! Usage of an answer.

use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;

/// The figures of the Messages API's `usage`. In a stream they are cumulative: a later figure replaces an earlier
/// one, and a missing figure keeps its value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    input: Option<u64>,
    written: Option<u64>,
    read: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Figures {
    pub(super) fn take(&mut self, usage: &Object<'_>) {
        let details: Option<Object<'_>> = usage.get("output_tokens_details");
        let take = |held: &mut Option<u64>, key| *held = usage.get(key).or(*held);
        take(&mut self.input, "input_tokens");
        take(&mut self.written, "cache_creation_input_tokens");
        take(&mut self.read, "cache_read_input_tokens");
        take(&mut self.output, "output_tokens");
        let thinking = details.and_then(|details| details.get("thinking_tokens"));
        self.thinking = thinking.or(self.thinking);
    }

    /// OpenAI's `usage` object. Its prompt tokens include the cached ones.
    pub(super) fn to_json(self) -> Json<'static> {
        let number = |figure: u64| Json::Number(figure.into());
        let read = self.read.unwrap_or_default();
        let written = self.written.unwrap_or_default();
        let prompt = self
            .input
            .unwrap_or_default()
            .saturating_add(read)
            .saturating_add(written);
        let output = self.output.unwrap_or_default();
        Json::map([
            ("prompt_tokens", number(prompt)),
            ("completion_tokens", number(output)),
            ("total_tokens", number(prompt.saturating_add(output))),
            (
                "prompt_tokens_details",
                Json::map([
                    ("cached_tokens", number(read)),
                    ("cache_write_tokens", number(written)),
                ]),
            ),
            (
                "completion_tokens_details",
                Json::map([("reasoning_tokens", number(self.thinking.unwrap_or_default()))]),
            ),
        ])
    }
}
