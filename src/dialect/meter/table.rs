//! The table of a protocol: which values of an answer mean what, and the values read so far.

use serde_json::Value;

use super::count::{MOST_TOKENS, count};
use super::hosted::HostedCalls;
use super::{Measured, ProviderError, bounded, guess};
use crate::dialect::origin;
use crate::model::price::Terms;
use crate::model::usage::{Quality, Tokens};

/// Longer than any key of interest.
pub(crate) const KEY_BYTES: usize = 24;

/// Steps of the longest path.
pub(crate) const MOST_STEPS: usize = 6;

/// Which rules have a key of this length as that step of their path: a key is compared with these alone, so
/// that a key of no rule costs next to nothing.
pub(crate) type ByLength = [[u64; KEY_BYTES]; MOST_STEPS];

/// The masks of these rules.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated when a table is compiled: a path that is too long does not compile"
)]
pub(crate) const fn by_length(rules: &[Rule]) -> ByLength {
    assert!(rules.len() <= 64, "one bit for each rule");
    let mut masks = [[0; KEY_BYTES]; MOST_STEPS];
    let mut rule = 0;
    while rule < rules.len() {
        let path = rules[rule].path;
        let mut step = 0;
        while step < path.len() {
            masks[step][path[step].len()] |= 1 << rule;
            step += 1;
        }
        rule += 1;
    }
    masks
}

/// How a protocol tells of usage.
#[derive(Debug)]
pub struct Reading {
    pub(crate) rules: &'static [Rule],
    pub(crate) by_length: ByLength,
    pub(super) mark: bool,
}

impl Reading {
    /// At most 64 rules, with paths of at most six steps and keys of less than 24 bytes: more do not compile.
    /// `mark`: a stream is over when `[DONE]` has come.
    pub const fn new(rules: &'static [Rule], mark: bool) -> Self {
        Self {
            rules,
            by_length: by_length(rules),
            mark,
        }
    }

    /// The rules of these bits.
    pub(crate) fn among(&self, mut bits: u64) -> impl Iterator<Item = &'static Rule> {
        if self.rules.len() < 64 {
            bits &= (1 << self.rules.len()) - 1;
        }
        let rules = self.rules;
        std::iter::from_fn(move || {
            let rule = rules.get(bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(rule)
        })
    }
}

/// A value of interest. Lists are no step of a path.
#[derive(Debug)]
pub struct Rule {
    pub path: &'static [&'static str],
    pub take: Take,
}

#[derive(Debug)]
pub enum Take {
    Value(fn(&mut Seen, &Value)),
    /// Generated content: its length is all that is of interest, and only if no usage is named.
    Content,
}

impl Rule {
    pub const fn value(path: &'static [&'static str], read: fn(&mut Seen, &Value)) -> Self {
        Self {
            path,
            take: Take::Value(read),
        }
    }

    pub const fn content(path: &'static [&'static str]) -> Self {
        Self {
            path,
            take: Take::Content,
        }
    }
}

/// The values read from an answer so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// As the provider named them last.
    pub tokens: Option<Tokens>,
    pub terms: Terms,
    /// A figure cannot be true.
    pub doubtful: bool,
    pub error: Option<ProviderError>,
    /// The answer is over by its own word.
    pub ended: bool,
    model: Option<String>,
    message_id: Option<String>,
    reasoning: Option<u64>,
    stop_reason: Option<String>,
    content: u64,
    /// Of the text under way: it is an error by its type, and its message and code.
    is_error: bool,
    says: Option<String>,
    code: Option<String>,
    /// Tools that the provider ran for the call.
    hosted: HostedCalls,
}

impl Seen {
    pub fn model(&mut self, value: &Value) {
        self.model = value
            .as_str()
            .map(|text| bounded(text, 200))
            .or(self.model.take());
    }

    pub fn message_id(&mut self, value: &Value) {
        self.message_id = value
            .as_str()
            .map(|text| bounded(text, 200))
            .or(self.message_id.take());
    }

    /// Encrypted reasoning: only the account that made it can read it, and the client sends it back in its next call.
    pub fn encrypted_reasoning(&mut self, value: &Value) {
        if let Some(content) = value.as_str() {
            self.reasoning = Some(origin::fingerprint(content.as_bytes()));
        }
    }

    /// Encrypted reasoning of an answer in one piece: the last one's fingerprint counts, and all of it is content.
    pub fn encrypted_output(&mut self, value: &Value) {
        self.encrypted_reasoning(value);
        self.content(value.as_str().map_or(0, str::len) as u64);
    }

    /// A reason to stop ends the answer; `null` is none.
    pub fn stop_reason(&mut self, value: &Value) {
        if let Some(reason) = value.as_str() {
            self.stop_reason = Some(bounded(reason, 64));
            self.ended = true;
        }
    }

    pub fn error(&mut self, value: &Value) {
        if let Some(error) = ProviderError::read(value) {
            self.error.get_or_insert(error);
            self.ended = true;
        }
    }

    /// The text itself is an error, which stands in its other fields.
    pub fn is_error(&mut self) {
        self.is_error = true;
    }

    pub fn says(&mut self, value: &Value) {
        self.says = value.as_str().map(|text| bounded(text, 2_000));
    }

    pub fn code(&mut self, value: &Value) {
        self.code = value.as_str().map(|text| bounded(text, 100));
    }

    /// A name of a service tier.
    pub fn tier(&mut self, value: &Value) {
        if let Some(tier) = value.as_str() {
            // Names are short; a long one is nobody's tier.
            self.terms.tier = (tier.len() <= 32).then(|| tier.to_owned());
        }
    }

    /// For what tells of tools that the provider runs.
    pub fn hosted(&mut self) -> &mut HostedCalls {
        &mut self.hosted
    }

    /// A figure, cut to what can be true.
    pub fn figure(&mut self, value: Option<&Value>) -> u64 {
        let named = value.and_then(count).unwrap_or_default();
        self.doubtful |= named > MOST_TOKENS;
        named.min(MOST_TOKENS)
    }

    pub(crate) fn content(&mut self, bytes: u64) {
        self.content = self.content.saturating_add(bytes);
    }

    pub(super) fn text_ends(&mut self) {
        self.hosted.text_ends();
        let (says, code) = (self.says.take(), self.code.take());
        if std::mem::take(&mut self.is_error) {
            self.error.get_or_insert_with(|| {
                let kind = code.as_deref().unwrap_or("error");
                ProviderError::new(kind, says.as_deref().unwrap_or_default())
            });
            self.ended = true;
        }
    }

    /// See [`super`] for how the quality is decided. `whole`: the body came to its own end.
    pub(super) fn measured(self, whole: bool, nothing: bool) -> Measured {
        let mut tokens = self.tokens.unwrap_or_default();
        let mut terms = self.terms;
        let unknown = self.hosted.tell(&mut terms);
        // Servers that name no output while they send some mean "not counted".
        let hollow = tokens.output == 0 && self.content > EMPTY_CONTENT;
        let refused = self.error.is_some() && self.tokens.is_none() && self.content <= EMPTY_CONTENT;
        let whole = whole && self.error.is_none();
        let quality = if refused || (whole && self.tokens.is_some() && !hollow) {
            if self.doubtful || unknown {
                Quality::Estimated
            } else {
                Quality::Exact
            }
        } else {
            tokens.output = tokens.output.max(guess(self.content));
            if whole || nothing {
                Quality::Estimated
            } else {
                Quality::Partial
            }
        };
        Measured {
            model: self.model,
            message_id: self.message_id,
            reasoning: self.reasoning,
            tokens,
            terms,
            quality,
            stop_reason: self.stop_reason,
            error: self.error,
            counted: None,
        }
    }
}

/// `[]`, or a message with nothing in it.
const EMPTY_CONTENT: u64 = 40;
