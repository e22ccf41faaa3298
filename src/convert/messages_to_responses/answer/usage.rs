//! Usage of an answer, in Anthropic's terms.

use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;

/// Token counts. OpenAI's input includes the cached tokens, and its output the reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::convert) struct Figures {
    input: u64,
    read: u64,
    written: u64,
    output: u64,
    thinking: u64,
}

impl Figures {
    pub(in crate::convert) fn of(usage: &Object<'_>) -> Self {
        let figure = |of: &Object<'_>, name: &str| of.get::<u64>(name).unwrap_or_default();
        let detail = |details: &str, name: &str| {
            let details: Option<Object<'_>> = usage.get(details);
            details.map_or(0, |details| figure(&details, name))
        };
        let input = figure(usage, "input_tokens");
        let read = detail("input_tokens_details", "cached_tokens").min(input);
        let written = detail("input_tokens_details", "cache_write_tokens").min(input - read);
        Self {
            input: input - read - written,
            read,
            written,
            output: figure(usage, "output_tokens"),
            thinking: detail("output_tokens_details", "reasoning_tokens"),
        }
    }

    /// Reads the `usage` of Chat Completions. OpenAI and most hosts send cached tokens in `prompt_tokens_details`,
    /// DeepSeek in `prompt_cache_hit_tokens` and Kimi in `cached_tokens` (their API references).
    pub(in crate::convert) fn of_chat(usage: &Object<'_>) -> Self {
        let figure = |of: &Object<'_>, name: &str| of.get::<u64>(name).unwrap_or_default();
        let detail = |details: &str, name: &str| {
            let details: Option<Object<'_>> = usage.get(details);
            details.map_or(0, |details| figure(&details, name))
        };
        let input = figure(usage, "prompt_tokens");
        let read = detail("prompt_tokens_details", "cached_tokens")
            .max(figure(usage, "prompt_cache_hit_tokens"))
            .max(figure(usage, "cached_tokens"))
            .min(input);
        Self {
            input: input - read,
            read,
            written: 0,
            output: figure(usage, "completion_tokens"),
            thinking: detail("completion_tokens_details", "reasoning_tokens"),
        }
    }

    /// Anthropic's `usage` object.
    pub(in crate::convert) fn to_json(self) -> Json<'static> {
        let number = |figure: u64| Json::Number(figure.into());
        let details = Json::map([("thinking_tokens", number(self.thinking))]);
        Json::map([
            ("input_tokens", number(self.input)),
            ("cache_creation_input_tokens", number(self.written)),
            ("cache_read_input_tokens", number(self.read)),
            ("output_tokens", number(self.output)),
            ("output_tokens_details", details),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_counted_once() {
        let of = |usage: &str| {
            let json = Figures::of(&Object::of(usage).unwrap()).to_json().to_bytes();
            String::from_utf8(json).unwrap()
        };
        assert_eq!(
            of(
                r#"{"input_tokens":100,"input_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},
                "output_tokens":12,"output_tokens_details":{"reasoning_tokens":7},"total_tokens":112}"#
            ),
            r#"{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":60,"output_tokens":12,"output_tokens_details":{"thinking_tokens":7}}"#
        );
        let nothing = Figures::of(&Object::of("{}").unwrap());
        assert_eq!(nothing, Figures::default());
        // More from the cache than there is.
        let odd = Figures::of(
            &Object::of(r#"{"input_tokens":5,"input_tokens_details":{"cached_tokens":9}}"#).unwrap(),
        );
        assert_eq!((odd.input, odd.read), (0, 5));
    }
}
