//! Names of models: validation, and equivalence of different names for one model.
//!
//! Limits, restrictions, prices and mappings compare models by [`canonical`]. Two names mean the same model if
//! the same name remains after removing the decorations below. Mere similarity does not count.
//!
//! | decoration | reason |
//! | --- | --- |
//! | capitals | providers do not distinguish `Claude-Opus-4-5` from `claude-opus-4-5` |
//! | `ccr,` | CRS's prefix to select another kind of account |
//! | `anthropic/` `openai/` `google/` `gemini/` `models/` `vertex_ai/` `bedrock/` ... | vendor and path prefixes of other clients and gateways |
//! | `us.anthropic.` `anthropic.`, `-v1:0` | Bedrock's notation |
//! | `[1m]` | Claude Code's suffix for the long context |
//! | `-latest`, `@default` | an alias of the newest dated version |
//! | `:thinking` `:free` `:001` `@001` of `claude-` `gpt-` `o3` `gemini-` `codex` | a variant or version of one model (OpenRouter, Vertex); for other models a tag can mean another model, as in Ollama's `llama3:8b` |
//! | `-20250929` `-2025-09-29` `@20250929` | a dated version of a model |
//! | `-0613` of `gpt-`, `-001` of `gemini-` | the same in these vendors' notation |
//! | `-preview`, `-preview-06-05`, `-exp-03-25`, `-preview-tts`: see [`vendor`] | an early release of the model |
//! | `claude-opus-4.5` for `claude-opus-4-5`, `claude-sonnet-4-0` for `claude-sonnet-4` | other notations of Anthropic's versions |
//! | `-thinking` of `claude-`, `-high` `-medium` `-low` of `gemini-` | Antigravity's names for a model with a thinking level |
//! | `projects/.../models/` | Vertex' full path of a model |
//!
//! A restriction of a model also restricts its early releases, and the reverse. A release may still have its own
//! price: see [`spellings`].

mod vendor;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Maximum length of a name, bytes; above all real names.
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

/// Region prefixes of Bedrock before `anthropic.`.
const REGIONS: [&str; 8] = ["us.", "eu.", "apac.", "jp.", "au.", "ca.", "us-gov.", "global."];

/// A model's name as written by a client or operator, safe in a path and in a log. Empty: no model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelName {
    raw: String,
    canonical: String,
}

/// Why a text is not a model's name. Does not repeat the text.
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
    /// Validates a name. Allowed are ASCII letters, digits, `.`, `-`, `_`, `:`, `@`, and `/` between segments
    /// that are neither empty nor only dots, and `[1m]` at the end.
    pub fn parse(raw: &str) -> Result<Self, InvalidModelName> {
        check(raw)?;
        Ok(Self {
            canonical: canonical(raw),
            raw: raw.to_owned(),
        })
    }

    /// The name for calls without a model.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The name without the `models/` prefix of Google's clients.
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

/// Validates a model's name; see [`ModelName::parse`].
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

/// Like [`check`] for an operator's lists, which may also contain CRS's `ccr,model`.
pub fn check_listed(raw: &str) -> Result<(), InvalidModelName> {
    check(raw.strip_prefix("ccr,").unwrap_or(raw).trim_start())
}

/// The common name of all names of one model. It is its own canonical name.
pub fn canonical(model: &str) -> String {
    spellings(model).last().cloned().unwrap_or_default()
}

/// The name in lower case, then the rest after each removed decoration. The last is the canonical name. Prices
/// are looked up in this order, because a dated version may have its own price.
///
/// Every call asks several times for the same few names, so each thread caches some.
pub fn spellings(model: &str) -> Rc<[String]> {
    thread_local! {
        static CACHE: RefCell<HashMap<Box<str>, Rc<[String]>>> = RefCell::default();
    }
    CACHE.with_borrow_mut(|cache| {
        if let Some(spellings) = cache.get(model) {
            return spellings.clone();
        }
        let spellings: Rc<[String]> = undressed(model).into();
        if model.len() <= LONGEST {
            if cache.len() >= CACHED_NAMES {
                cache.clear();
            }
            cache.insert(model.into(), spellings.clone());
        }
        spellings
    })
}

/// Names whose spellings a thread caches.
const CACHED_NAMES: usize = 256;

fn undressed(model: &str) -> Vec<String> {
    let mut name = model.trim().to_ascii_lowercase();
    let mut all = Vec::with_capacity(3);
    // Each step except the change of notation shortens the name, so this ends.
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

/// Whether a model is an Opus model, which has its own weekly limit (CRS's `weeklyOpusCostLimit`).
pub fn is_opus(model: &str) -> bool {
    model
        .as_bytes()
        .windows(4)
        .any(|part| part.eq_ignore_ascii_case(b"opus"))
}

/// The canonical name of the alias that always means the vendor's newest version of this model, if there is one:
/// `gemini-flash` (requested as `gemini-flash-latest`) may currently be `gemini-3.5-flash`. A restriction of the
/// version also covers the alias.
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

/// Removes one decoration; `None` if there are none. `name`: in lower case.
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

/// Bedrock's suffixes `-v1:0`, `-v2`.
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

/// Any `:variant` or `@version` of a hosted model, even an empty one: `gpt-5:` is `gpt-5`.
fn strip_variant(name: &str) -> Option<&str> {
    let (rest, _) = name.rsplit_once([':', '@'])?;
    is_hosted(rest).then_some(rest)
}

/// Whether only the vendor hosts the model, so that a tag cannot select other weights. `gpt-oss`, `gpt-j` and
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

/// Writes Anthropic's versions with a dash, where other vendors write a dot.
fn dashed(name: &str) -> Option<String> {
    let dotted = name.starts_with("claude-") && name.contains('.');
    dotted.then(|| name.replace('.', "-"))
}

fn shaped(text: &str, digits: &str) -> bool {
    text.len() == digits.len() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
