//! Usage of an answer, in OpenAI's terms.

use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;

/// Token counts. Anthropic's figures are cumulative, and its input excludes the cache.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    input: u64,
    written: u64,
    read: u64,
    output: u64,
    thinking: u64,
}

impl Figures {
    /// Replaces earlier figures, except by zeros: some hosts send zeros at the end.
    pub(super) fn take(&mut self, usage: &Object<'_>) {
        let later = |so_far: &mut u64, of: &Object<'_>, name: &str| {
            if let Some(figure) = of.get::<u64>(name).filter(|figure| *figure > 0) {
                *so_far = figure;
            }
        };
        later(&mut self.input, usage, "input_tokens");
        later(&mut self.written, usage, "cache_creation_input_tokens");
        later(&mut self.read, usage, "cache_read_input_tokens");
        later(&mut self.output, usage, "output_tokens");
        let details: Option<Object<'_>> = usage.get("output_tokens_details");
        if let Some(details) = details {
            later(&mut self.thinking, &details, "thinking_tokens");
        }
    }

    /// OpenAI's `usage` object.
    pub(super) fn to_json(self) -> Json<'static> {
        let number = |figure: u64| Json::Number(figure.into());
        let input = self.input.saturating_add(self.written).saturating_add(self.read);
        Json::map([
            ("input_tokens", number(input)),
            (
                "input_tokens_details",
                Json::map([
                    ("cached_tokens", number(self.read)),
                    ("cache_write_tokens", number(self.written)),
                ]),
            ),
            ("output_tokens", number(self.output)),
            (
                "output_tokens_details",
                Json::map([("reasoning_tokens", number(self.thinking))]),
            ),
            ("total_tokens", number(input.saturating_add(self.output))),
        ])
    }
}
