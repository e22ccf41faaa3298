//! What an answer used.

use serde::{Deserialize, Serialize};

/// Tokens, in Anthropic's terms. Gemini names no cache writes: it caches by itself, for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt, not counting those from the cache.
    pub input: u64,
    pub cache_read: u64,
    /// Thinking included.
    pub output: u64,
    /// Of the output.
    pub thinking: u64,
}

/// Gemini's `usageMetadata`. Figures are of the whole answer so far, so a later one takes the place of an
/// earlier; what a later event leaves out stays.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the protocol")]
pub(super) struct Figures {
    #[serde(default)]
    prompt_token_count: Option<u64>,
    #[serde(default)]
    cached_content_token_count: Option<u64>,
    #[serde(default)]
    candidates_token_count: Option<u64>,
    #[serde(default)]
    thoughts_token_count: Option<u64>,
    /// Of results that Gemini's own tools put into the prompt.
    #[serde(default)]
    tool_use_prompt_token_count: Option<u64>,
}

impl Figures {
    pub(super) fn take(&mut self, later: &Figures) {
        let take = |figure: &mut Option<u64>, later: Option<u64>| *figure = later.or(*figure);
        take(&mut self.prompt_token_count, later.prompt_token_count);
        take(
            &mut self.cached_content_token_count,
            later.cached_content_token_count,
        );
        take(&mut self.candidates_token_count, later.candidates_token_count);
        take(&mut self.thoughts_token_count, later.thoughts_token_count);
        take(
            &mut self.tool_use_prompt_token_count,
            later.tool_use_prompt_token_count,
        );
    }

    /// `None` until a figure was named.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.prompt_token_count.or(self.candidates_token_count)?;
        let thinking = self.thoughts_token_count.unwrap_or_default();
        let cache_read = self.cached_content_token_count.unwrap_or_default();
        Some(Usage {
            // The prompt's count has the cached ones in it.
            input: self
                .prompt_token_count
                .unwrap_or_default()
                .saturating_sub(cache_read)
                .saturating_add(self.tool_use_prompt_token_count.unwrap_or_default()),
            cache_read,
            output: self
                .candidates_token_count
                .unwrap_or_default()
                .saturating_add(thinking),
            thinking,
        })
    }
}

/// Anthropic's `usage` object.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names of the protocol")]
pub(super) struct Told {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl From<Usage> for Told {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cache_read,
            output_tokens: usage.output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_figures_win_and_cached_ones_count_once() {
        let mut figures = Figures::default();
        assert_eq!(figures.usage(), None);
        figures.take(
            &serde_json::from_str(
                r#"{"promptTokenCount":100,"cachedContentTokenCount":60,"thoughtsTokenCount":7,"totalTokenCount":107}"#,
            )
            .unwrap(),
        );
        figures.take(
            &serde_json::from_str(
                r#"{"promptTokenCount":100,"candidatesTokenCount":5,"toolUsePromptTokenCount":3}"#,
            )
            .unwrap(),
        );
        assert_eq!(
            figures.usage(),
            Some(Usage {
                input: 43,
                cache_read: 60,
                output: 12,
                thinking: 7
            })
        );
    }
}
