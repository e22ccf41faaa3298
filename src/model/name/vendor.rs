//! The vendors' naming of early releases.
//!
//! | vendor | prefixes | early releases | other suffixes |
//! | --- | --- | --- | --- |
//! | Anthropic | `claude-` | `-preview` | |
//! | OpenAI | `gpt-`, `o3` and similar, `codex`, `computer-use-` | `-preview` | |
//! | Google | `gemini-`, `nano-banana-`, `deep-research-` | `-preview`, `-exp`, `-experimental` | `-customtools` |
//!
//! The word is removed anywhere in the name, with a date after it: `gemini-2.5-flash-preview-tts` is an early
//! `gemini-2.5-flash-tts`, `gemini-2.5-pro-exp-03-25` an early `gemini-2.5-pro`.
//!
//! Sources: the vendors' lists of models (OpenAI "Models", Google "Gemini models" and "Gemini deprecations",
//! Anthropic "Models overview"), and the public price table in `assets/`.

struct Vendor {
    is_its: fn(&str) -> bool,
    /// Words for an early release.
    stages: &'static [&'static str],
    /// Suffixes that select how the same model is served.
    endings: &'static [&'static str],
}

const VENDORS: [Vendor; 3] = [
    Vendor {
        is_its: |name| name.starts_with("claude-"),
        stages: &["preview"],
        endings: &[],
    },
    Vendor {
        is_its: |name| {
            let begins = |prefix: &&str| name.starts_with(*prefix);
            ["gpt-", "chatgpt-", "codex", "computer-use"].iter().any(begins) || super::is_o_series(name)
        },
        stages: &["preview"],
        endings: &[],
    },
    Vendor {
        is_its: |name| {
            let begins = |prefix: &&str| name.starts_with(*prefix);
            ["gemini-", "nano-banana-", "deep-research"].iter().any(begins)
        },
        stages: &["preview", "exp", "experimental"],
        endings: &["-customtools"],
    },
];

/// Aliases that no rule covers.
const ALIASES: [(&str, &str); 6] = [
    ("claude-sonnet-4-0", "claude-sonnet-4"),
    ("claude-opus-4-0", "claude-opus-4"),
    // The previews of GPT-4 Turbo had their own dates.
    ("gpt-4-1106-preview", "gpt-4-turbo"),
    ("gpt-4-0125-preview", "gpt-4-turbo"),
    ("gpt-4-1106-vision-preview", "gpt-4-turbo"),
    // Google's list of models has both names.
    ("nano-banana-pro", "gemini-3-pro-image"),
];

/// The model that this name is an alias of.
pub(super) fn alias(name: &str) -> Option<&'static str> {
    let (_, meant) = ALIASES.iter().find(|(alias, _)| *alias == name)?;
    Some(meant)
}

/// The name without its word for an early release and the date after that.
pub(super) fn without_stage(name: &str) -> Option<String> {
    let vendor = VENDORS.iter().find(|vendor| (vendor.is_its)(name))?;
    if let Some(rest) = vendor.endings.iter().find_map(|ending| name.strip_suffix(ending)) {
        return Some(rest.to_owned());
    }
    let parts: Vec<&str> = name.split('-').collect();
    let at = parts.iter().position(|part| vendor.stages.contains(part))?;
    let is_number = |part: &&&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (before, from) = parts.split_at(at);
    let numbers = from.iter().skip(1).take(2).take_while(is_number).count();
    let behind = from.get(1 + numbers..).unwrap_or_default();
    let rest = [before, behind].concat().join("-");
    // `gemini-exp-1206` is the name of a model.
    (vendor.is_its)(&rest).then_some(rest)
}
