//! Model capabilities that can be derived from the model's name.
//!
//! Source: OpenAI's documentation of its models and of `reasoning`. The o-series, GPT-5 and later, and Codex'
//! models reason; their `-chat` variants do not. Reasoning models take an effort but no `temperature`, and only
//! they have encrypted reasoning. `xhigh` came with GPT-5.1-Codex-Max and GPT-5.2. `-pro` models have their own
//! efforts.

/// A model's capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// The model reasons.
    pub reasons: bool,
    /// It accepts an effort.
    pub takes_effort: bool,
    /// Its highest effort.
    pub most: &'static str,
}

impl Model {
    pub(super) fn of(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let words = || name.split('-');
        let has = |word: &str| words().any(|part| part == word);
        let version = name.strip_prefix("gpt-").and_then(version);
        let reasons = match (version, name.strip_prefix('o')) {
            (Some(version), _) => version >= (5, 0) && !has("chat"),
            (None, Some(rest)) => rest.starts_with(|c: char| c.is_ascii_digit()),
            (None, None) => name.starts_with("codex-"),
        };
        let is_newer = version.is_some_and(|version| version >= (5, 2)) || has("codex") && has("max");
        Self {
            reasons,
            takes_effort: reasons && !has("pro"),
            most: if is_newer { "xhigh" } else { "high" },
        }
    }
}

/// `5.1-codex` -> `(5, 1)`, `4o-mini` -> `(4, 0)`.
fn version(rest: &str) -> Option<(u32, u32)> {
    let figures = rest.split('-').next()?;
    let (major, minor) = figures.split_once('.').unwrap_or((figures, "0"));
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.get(..end)?.parse().ok()
    };
    Some((digits(major)?, digits(minor).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for (name, reasons, takes_effort, most) in [
            ("gpt-5", true, true, "high"),
            ("openai/gpt-5.1-codex-max", true, true, "xhigh"),
            ("gpt-5.1-codex", true, true, "high"),
            ("gpt-5.4-mini-2026-03-05", true, true, "xhigh"),
            ("GPT-6.1-sol", true, true, "xhigh"),
            ("gpt-5-pro", true, false, "high"),
            ("gpt-5-chat-latest", false, false, "high"),
            ("gpt-4.1", false, false, "high"),
            ("gpt-4o-mini", false, false, "high"),
            ("gpt-3.5-turbo", false, false, "high"),
            ("gpt-oss-120b", false, false, "high"),
            ("o3", true, true, "high"),
            ("o4-mini", true, true, "high"),
            ("codex-mini-latest", true, true, "high"),
            ("omni-moderation", false, false, "high"),
            ("deepseek-chat", false, false, "high"),
        ] {
            let expected = Model {
                reasons,
                takes_effort,
                most,
            };
            assert_eq!(Model::of(name), expected, "{name}");
        }
    }
}
