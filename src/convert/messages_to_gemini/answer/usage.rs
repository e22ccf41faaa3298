//! Usage of an answer.

use serde::Serialize;

use crate::convert::messages_to_gemini::object::Object;

/// Token counts in Anthropic's terms. Gemini caches by itself and free of charge, so it has no cache writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens without the cached ones.
    pub input: u64,
    pub cache_read: u64,
    /// Output tokens including thinking.
    pub output: u64,
    /// The share of the output spent on thinking.
    pub thinking: u64,
}

/// Gemini's `usageMetadata`. Figures are cumulative: a later one replaces an earlier one, and a missing figure
/// keeps its value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    prompt: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    /// Prompt tokens added by results of Gemini's own tools.
    tools: Option<u64>,
}

impl Figures {
    pub(super) fn of(named: &Object<'_>) -> Self {
        Self {
            prompt: named.get("promptTokenCount"),
            cached: named.get("cachedContentTokenCount"),
            candidates: named.get("candidatesTokenCount"),
            thoughts: named.get("thoughtsTokenCount"),
            tools: named.get("toolUsePromptTokenCount"),
        }
    }

    pub(super) fn take(&mut self, later: Figures) {
        *self = Self {
            prompt: later.prompt.or(self.prompt),
            cached: later.cached.or(self.cached),
            candidates: later.candidates.or(self.candidates),
            thoughts: later.thoughts.or(self.thoughts),
            tools: later.tools.or(self.tools),
        };
    }

    /// `None` as long as no figure is known.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.prompt.or(self.candidates)?;
        let thinking = self.thoughts.unwrap_or_default();
        let cache_read = self.cached.unwrap_or_default();
        // The prompt count includes the cached tokens.
        let input = self.prompt.unwrap_or_default().saturating_sub(cache_read);
        Some(Usage {
            input: input.saturating_add(self.tools.unwrap_or_default()),
            cache_read,
            output: self.candidates.unwrap_or_default().saturating_add(thinking),
            thinking,
        })
    }
}

/// Anthropic's `usage` object.
#[derive(Serialize)]
pub(super) struct UsageReport {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    output_tokens_details: Details,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use: Option<ServerToolUse>,
}

#[derive(Serialize)]
struct Details {
    thinking_tokens: u64,
}

#[derive(Serialize)]
struct ServerToolUse {
    web_search_requests: usize,
}

impl UsageReport {
    /// Adds the number of web searches.
    pub(super) fn searched(self, searches: usize) -> Self {
        Self {
            server_tool_use: (searches > 0).then_some(ServerToolUse {
                web_search_requests: searches,
            }),
            ..self
        }
    }
}

impl From<Usage> for UsageReport {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cache_read,
            output_tokens: usage.output,
            output_tokens_details: Details {
                thinking_tokens: usage.thinking,
            },
            server_tool_use: None,
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
        for named in [
            r#"{"promptTokenCount":100,"cachedContentTokenCount":60,"thoughtsTokenCount":7,"totalTokenCount":107}"#,
            r#"{"promptTokenCount":100,"candidatesTokenCount":5,"toolUsePromptTokenCount":3}"#,
        ] {
            figures.take(Figures::of(&Object::of(named).unwrap()));
        }
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
