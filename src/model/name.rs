//! Names of models: which are names at all, and which of them mean the same model.
//!
//! Limits, restrictions, prices and mappings compare models by [`canonical`]: two names mean the same model
//! when what is left of both, as their dressings come off, is the same. Likeness is no identity: only the
//! dressings below come off, each with its reason.
//!
//! | dressing | why it is there |
//! | --- | --- |
//! | capitals | providers do not tell `Claude-Opus-4-5` from `claude-opus-4-5` |
//! | `ccr,` | CRS's way to send a call to another kind of account |
//! | `anthropic/` `openai/` `google/` `gemini/` `models/` `vertex_ai/` `bedrock/` ... | vendor and path prefixes of other clients and gateways |
//! | `us.anthropic.` `anthropic.`, `-v1:0` | Bedrock's spelling |
//! | `[1m]` | Claude Code's mark for the long context |
//! | `-latest`, `@default` | an alias of the newest dated version |
//! | `:thinking` `:free` `:001` `@001` of `claude-` `gpt-` `o3` `gemini-` `codex` | a variant or version of one model (OpenRouter, Vertex); of other models a tag can mean another model, as in Ollama's `llama3:8b` |
//! | `-20250929` `-2025-09-29` `@20250929` | a dated version of a model |
//! | `-0613` of `gpt-`, `-001` of `gemini-` | the same as these vendors write it |
//! | `-preview`, `-preview-06-05`, `-exp-03-25`, `-preview-tts`: see [`vendor`] | an early release of the model |
//! | `claude-opus-4.5` for `claude-opus-4-5`, `claude-sonnet-4-0` for `claude-sonnet-4` | other spellings of Anthropic's versions |
//! | `-thinking` of `claude-`, `-high` `-medium` `-low` of `gemini-` | Antigravity's names for a model with a level of thinking |
//! | `projects/.../models/` | Vertex' full path of a model |
//!
//! Whoever may not use a model may not use its early releases, and the other way round. A release may have a
//! price of its own all the same: see [`spellings`].

mod vendor;

use std::borrow::Cow;

/// No provider has longer names, bytes.
pub const LONGEST: usize = 200;

const PREFIXES: [&str; 15] = [
    "ccr,",
    "anthropic/",
    "openai/",
    "google/",
    "gemini/",
    "models/",
    "vertex_ai/",
    "vertex/",
    "azure/",
    "azure_ai/",
    "bedrock/",
    "openrouter/",
    "publishers/",
    "anthropic.",
    "~anthropic/",
];

/// Regions that Bedrock writes before `anthropic.`.
const REGIONS: [&str; 7] = ["us.", "eu.", "apac.", "jp.", "au.", "ca.", "global."];

/// A model's name as a client or an operator wrote it, safe in a path and in a log. Empty: no model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelName {
    raw: String,
    canonical: String,
}

/// Why a text is not a model's name. Fit for its author to read; does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidModelName {
    #[error("is empty")]
    Empty,
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    #[error("may have only letters, digits and . - _ : @ /")]
    Character,
    #[error("may have no empty segment, and none of dots alone, between its slashes")]
    Segment,
}

impl ModelName {
    /// Checks a name. It may have ASCII letters, digits, `.`, `-`, `_`, `:`, `@`, and `/` between segments
    /// that are neither empty nor dots alone; `[1m]` may end it.
    pub fn parse(raw: &str) -> Result<Self, InvalidModelName> {
        check(raw)?;
        Ok(Self {
            canonical: canonical(raw),
            raw: raw.to_owned(),
        })
    }

    /// The name of a call that is about no model.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The name less the `models/` that clients of Google's write before it.
    pub fn without_path(&self) -> Self {
        let raw = self.raw.strip_prefix("models/").unwrap_or(&self.raw);
        Self {
            raw: raw.to_owned(),
            canonical: self.canonical.clone(),
        }
    }

    /// See [`canonical`].
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl std::ops::Deref for ModelName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.raw
    }
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.raw)
    }
}

/// Whether the text can be a model's name; see [`ModelName::parse`].
pub fn check(raw: &str) -> Result<(), InvalidModelName> {
    let plain = raw.strip_suffix("[1m]").unwrap_or(raw);
    if plain.is_empty() {
        return Err(InvalidModelName::Empty);
    }
    if raw.len() > LONGEST {
        return Err(InvalidModelName::TooLong);
    }
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'@' | b'/');
    if !plain.bytes().all(allowed) {
        return Err(InvalidModelName::Character);
    }
    let bad = |segment: &str| segment.bytes().all(|byte| byte == b'.');
    if plain.split('/').any(bad) {
        return Err(InvalidModelName::Segment);
    }
    Ok(())
}

/// [`check`] for the lists of an operator, which may also say CRS's `ccr,model`.
pub fn check_listed(raw: &str) -> Result<(), InvalidModelName> {
    check(raw.strip_prefix("ccr,").unwrap_or(raw).trim_start())
}

/// The name that all names of one model have in common. It is its own canonical name.
pub fn canonical(model: &str) -> String {
    spellings(model).pop().unwrap_or_default()
}

/// The name in small letters, then what is left of it as dressings come off one by one. The last is the
/// canonical name. Prices are looked up in this order: a dated version may have one of its own.
pub fn spellings(model: &str) -> Vec<String> {
    let mut name = model.trim().to_ascii_lowercase();
    let mut all = Vec::with_capacity(3);
    // Each step but the respelling shortens the name, so this ends.
    while let Some(next) = undress(&name) {
        let next = next.trim().to_owned();
        all.push(std::mem::replace(&mut name, next));
    }
    all.push(name);
    all
}

/// Whether two names mean the same model.
pub fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || canonical(one) == canonical(other)
}

/// Whether a model is of the Opus class, which has a weekly limit of its own (CRS's `weeklyOpusCostLimit`).
pub fn is_opus(model: &str) -> bool {
    model
        .as_bytes()
        .windows(4)
        .any(|part| part.eq_ignore_ascii_case(b"opus"))
}

/// The canonical name of the alias that moves from version to version of this model, if its vendor has such:
/// `gemini-flash` (asked for as `gemini-flash-latest`) may be `gemini-3.5-flash` today. Who may not use the
/// version may not use the alias.
pub fn moving_alias(canonical: &str) -> Option<String> {
    let rest = canonical.strip_prefix("gemini-")?;
    let versioned = rest.starts_with(|first: char| first.is_ascii_digit());
    let line: Vec<&str> = rest
        .split('-')
        .skip(1)
        .filter(|part| *part != "preview")
        .collect();
    (versioned && !line.is_empty()).then(|| format!("gemini-{}", line.join("-")))
}

/// One dressing less; `None`: the name is bare. `name` is in small letters.
fn undress(name: &str) -> Option<Cow<'_, str>> {
    let cut = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .or_else(|| strip_region(name))
        .or_else(|| strip_full_path(name))
        .or_else(|| name.strip_suffix("[1m]"))
        .or_else(|| name.strip_suffix("-latest"))
        .or_else(|| name.strip_suffix("@default"))
        .or_else(|| strip_bedrock_version(name))
        .or_else(|| vendor::alias(name))
        .or_else(|| strip_date(name))
        .or_else(|| strip_level(name))
        .or_else(|| strip_variant(name))
        .map(str::trim)
        .filter(|rest| !rest.is_empty());
    cut.map(Cow::Borrowed)
        .or_else(|| dashed(name).map(Cow::Owned))
        .or_else(|| vendor::without_stage(name).map(Cow::Owned))
}

/// `projects/{project}/locations/{location}/publishers/{vendor}/models/{model}`.
fn strip_full_path(name: &str) -> Option<&str> {
    let path = name.strip_prefix("projects/")?;
    path.split_once("/models/").map(|(_, model)| model)
}

fn strip_region(name: &str) -> Option<&str> {
    let rest = REGIONS.iter().find_map(|region| name.strip_prefix(region))?;
    rest.starts_with("anthropic.").then_some(rest)
}

/// `-v1:0`, `-v2`, as Bedrock ends its names.
fn strip_bedrock_version(name: &str) -> Option<&str> {
    let (rest, version) = name.rsplit_once("-v")?;
    let (major, minor) = version.split_once(':').unwrap_or((version, "0"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (rest.starts_with("claude-") && number(major) && number(minor)).then_some(rest)
}

fn strip_date(name: &str) -> Option<&str> {
    if let Some((rest, tail)) = name.rsplit_once('@') {
        return shaped(tail, "dddddddd").then_some(rest);
    }
    let (rest, tail) = name.rsplit_once('-')?;
    if shaped(tail, "dddddddd")
        || (shaped(tail, "ddd") && rest.starts_with("gemini-"))
        || (is_month_and_day(tail) && rest.starts_with("gpt-"))
    {
        return Some(rest);
    }
    let (head, middle) = rest.rsplit_once('-')?;
    let (head, year) = head.rsplit_once('-')?;
    (shaped(year, "dddd") && shaped(middle, "dd") && shaped(tail, "dd")).then_some(head)
}

/// `0613`, `1106`.
fn is_month_and_day(tail: &str) -> bool {
    let month = tail.get(..2).and_then(|month| month.parse::<u8>().ok());
    shaped(tail, "dddd") && month.is_some_and(|month| (1..=12).contains(&month))
}

fn strip_level(name: &str) -> Option<&str> {
    if name.starts_with("claude-") {
        return name.strip_suffix("-thinking");
    }
    let levels = ["-high", "-medium", "-low"];
    let level = || levels.iter().find_map(|level| name.strip_suffix(level));
    name.starts_with("gemini-").then(level).flatten()
}

/// Any `:variant` or `@version` of a hosted model. An empty one counts, too: `gpt-5:` is `gpt-5`.
fn strip_variant(name: &str) -> Option<&str> {
    let (rest, _) = name.rsplit_once([':', '@'])?;
    is_hosted(rest).then_some(rest)
}

/// Whether the vendor alone hosts the model, so that a tag cannot select other weights. `gpt-oss`, `gpt-j` and
/// `gpt-neo` are open: `gpt-oss:20b` and `gpt-oss:120b` are two models.
fn is_hosted(name: &str) -> bool {
    let open = ["gpt-oss", "gpt-j", "gpt-neo"];
    let hosted = ["claude-", "gpt-", "gemini-", "codex"];
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    (starts(&hosted) && !starts(&open)) || is_o_series(name)
}

/// `o3`, `o4-mini`.
fn is_o_series(name: &str) -> bool {
    let Some(rest) = name.strip_prefix('o') else {
        return false;
    };
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    after.len() < rest.len() && (after.is_empty() || after.starts_with(['-', ':', '@']))
}

/// Anthropic's versions with a dash, where other vendors write a dot.
fn dashed(name: &str) -> Option<String> {
    let dotted = name.starts_with("claude-") && name.contains('.');
    dotted.then(|| name.replace('.', "-"))
}

fn shaped(text: &str, digits: &str) -> bool {
    text.len() == digits.len() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
