//! The table of a protocol: the meaning of values, and the values read so far.

use serde_json::Value;

use super::count::{MOST_TOKENS, count};
use super::hosted::HostedCalls;
use super::{Measurement, ProviderError, bounded, guess};
use crate::dialect::origin;
use crate::model::price::Terms;
use crate::model::usage::{Quality, Tokens};

/// Longer than every key of interest.
pub(crate) const KEY_BYTES: usize = 24;

/// Maximum number of steps of a path.
pub(crate) const MOST_STEPS: usize = 6;

/// The rules with a key of this length at this step of their path. A key is compared only with these, so unknown
/// keys cost almost nothing.
pub(crate) type ByLength = [[u64; KEY_BYTES]; MOST_STEPS];

/// Computes the masks for these rules.
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

/// The usage table of a protocol.
#[derive(Debug)]
pub struct Reading {
    pub(crate) rules: &'static [Rule],
    pub(crate) by_length: ByLength,
    pub(super) mark: bool,
}

impl Reading {
    /// At most 64 rules, with paths of at most six steps and keys of less than 24 bytes; anything else does not
    /// compile. `mark`: `[DONE]` ends a stream.
    pub const fn new(rules: &'static [Rule], mark: bool) -> Self {
        Self {
            rules,
            by_length: by_length(rules),
            mark,
        }
    }

    /// The rules for these bits.
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

/// A value of interest. Lists do not count as a step of the path.
#[derive(Debug)]
pub struct Rule {
    pub path: &'static [&'static str],
    pub take: Take,
}

#[derive(Debug)]
pub enum Take {
    Value(fn(&mut AnswerFacts, &Value)),
    /// Generated content: only its length matters, and only if no usage is sent.
    Content,
}

impl Rule {
    pub const fn value(path: &'static [&'static str], read: fn(&mut AnswerFacts, &Value)) -> Self {
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
pub struct AnswerFacts {
    /// The latest values from the provider.
    pub tokens: Option<Tokens>,
    pub terms: Terms,
    /// A figure is impossible.
    pub doubtful: bool,
    pub error: Option<ProviderError>,
    /// The answer announced its end.
    pub ended: bool,
    model: Option<String>,
    message_id: Option<String>,
    reasoning: Option<u64>,
    stop_reason: Option<String>,
    content: u64,
    /// For the current text: its type says it is an error; its message and code.
    is_error: bool,
    says: Option<String>,
    code: Option<String>,
    /// Tools that the provider ran for the call.
    hosted: HostedCalls,
}

impl AnswerFacts {
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

    /// Reads encrypted reasoning, which only the account that made it can decrypt and the client sends back in
    /// its next call.
    pub fn encrypted_reasoning(&mut self, value: &Value) {
        if let Some(content) = value.as_str() {
            self.reasoning = Some(origin::fingerprint(content.as_bytes()));
        }
    }

    /// Reads encrypted reasoning of a whole answer: the last one's fingerprint counts, and all of it is content.
    pub fn encrypted_output(&mut self, value: &Value) {
        self.encrypted_reasoning(value);
        self.content(value.as_str().map_or(0, str::len) as u64);
    }

    /// A stop reason ends the answer; `null` does not.
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

    /// The text itself is an error with its other fields as details.
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
            // A long text is not a real tier.
            self.terms.tier = (tier.len() <= 32).then(|| tier.to_owned());
        }
    }

    /// For values about provider-run tools.
    pub fn hosted(&mut self) -> &mut HostedCalls {
        &mut self.hosted
    }

    /// A figure, limited to plausible values.
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

    /// See [`super`] for the quality. `whole`: the body ended properly.
    pub(super) fn measured(self, whole: bool, nothing: bool) -> Measurement {
        let mut tokens = self.tokens.unwrap_or_default();
        let mut terms = self.terms;
        let unknown = self.hosted.tell(&mut terms);
        // Servers that send content but no output count mean "not counted".
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
        Measurement {
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

/// Size of `[]`, or of an empty message.
const EMPTY_CONTENT: u64 = 40;
