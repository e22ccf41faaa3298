//! How a call was served, for the operator: who was asked, who was passed over and why, and what the
//! provider's cache gave.
//!
//! A trace is kept with its event for as long as that, so it is small: [`CallTrace::bounded`] leaves out
//! the least telling parts of a long one and says how many.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::code::Code;

/// Longest trace as JSON, bytes.
const MOST_BYTES: usize = 1_500;

/// How a call was served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallTrace {
    /// The signal that tied the call to its conversation; absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Signal>,
    /// Whether the account was given for the session's sake.
    pub sticky: bool,
    /// Whether the account is what the key is bound to.
    pub bound: bool,
    /// The objects that the call refers to and only this account keeps (`response`, `conversation`, `container`,
    /// `cache`, `file`); not there: nothing known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<String>,
    /// How long the call waited in its key's queue, in milliseconds.
    pub waited_ms: u64,
    pub attempts: Vec<TracedAttempt>,
    /// Why nobody was left to try, if that ended the call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nobody_left: Vec<TracedSkip>,
    /// The share of the prompt that the provider read from its cache, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_share: Option<f64>,
    /// The same of the session's call before, if this process served it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_cache_read_share: Option<f64>,
}

/// Signals that tie calls to a conversation, the most reliable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Signal {
    /// The client's session header.
    Header,
    /// The session in the body's `metadata.user_id`.
    Metadata,
    /// The body's `prompt_cache_key`.
    CacheKey,
    /// The body's `session_id`.
    SessionId,
    /// The prompt's beginning, which calls of a conversation share.
    Prefix,
}

/// One account that was tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracedAttempt {
    pub account_id: String,
    pub account_name: String,
    /// Status of the provider's answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Stable code of why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Code>)]
    pub error: Option<String>,
    /// Items of encrypted reasoning that were left out because this account could not read them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_left_out: u32,
    /// From the call's arrival, in milliseconds.
    pub started_ms: u64,
    /// Until it failed, or the first byte was there, in milliseconds.
    pub duration_ms: u64,
    /// How many accounts could serve.
    pub candidates: u32,
    /// The first of them, the best first: by name, or by id where this process does not know the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranked: Vec<String>,
    /// The ranks of the first of `ranked`, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<RankFigures>,
    /// Who was passed over, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<TracedSkip>,
    /// Accounts passed over that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_listed: u32,
}

/// An account that was passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TracedSkip {
    /// By name, or by id where this process does not know the name.
    pub account: String,
    pub why: String,
    /// The same as data; not there: the call was logged before there were codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<SkipReason>,
}

/// Why an account was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The key is bound to something else.
    NotBound,
    /// It serves only keys that are bound to it or to one of its groups.
    Dedicated,
    /// It is disabled.
    Inactive,
    /// `schedulable` is false.
    Paused,
    /// This host cannot use it.
    Unusable,
    /// Its subscription has ended.
    Expired,
    /// It does not serve the model.
    Model,
    /// The call has tried it already.
    Tried,
    /// Over a limit of the provider's that it said the end of.
    Cooling,
    /// The provider refuses its credentials.
    Denied,
    /// Its calls have cost `dailyQuota` today.
    Quota,
    /// `maxConcurrency` calls are running.
    Full,
    /// It could serve, and another was better than the account the session was bound to.
    NotPreferred,
    /// A reason of a newer version.
    #[serde(other)]
    Other,
}

/// An account's rank: compared in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RankFigures {
    /// The key is bound to something else and may fall back to it.
    #[serde(skip_serializing_if = "is_false")]
    pub fallback: bool,
    /// In trouble a short while ago.
    #[serde(skip_serializing_if = "is_false")]
    pub backed_off: bool,
    /// Lower is chosen first.
    pub priority: u32,
    /// It has used what is not kept back of some quota window.
    #[serde(skip_serializing_if = "is_false")]
    pub in_reserve: bool,
    /// Slots held of slots there are, in thousandths; an account without a limit counts as one of ten.
    pub load_permille: u64,
    /// Calls that held a slot.
    pub held: u32,
    /// 0: unlimited.
    pub max_concurrency: u32,
    /// The largest share used of a quota window, in thousandths; not there: none was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub used_permille: Option<u16>,
    /// When what is left of its longest window is lost; ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub resets_at: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl CallTrace {
    /// The trace without what makes it too long: first who was passed over, from the last attempt on, then
    /// who ranked behind the first.
    pub fn bounded(mut self) -> Self {
        let mut over = self.bytes().saturating_sub(MOST_BYTES);
        while over > 0 {
            let Some(cut) = self.shorten() else { break };
            over = over.saturating_sub(cut);
            if over == 0 {
                // Estimates may be short by what escapes take.
                over = self.bytes().saturating_sub(MOST_BYTES);
            }
        }
        self
    }

    /// Leaves one thing out and says about how many bytes that saves.
    fn shorten(&mut self) -> Option<usize> {
        let weight = |skip: TracedSkip| {
            skip.account.len() + skip.why.len() + r#"{"account":"","why":"","code":""},"#.len()
        };
        for attempt in self.attempts.iter_mut().rev() {
            // Of the first alone the figures say the most.
            if attempt.figures.len() > 1 && attempt.figures.pop().is_some() {
                return Some(r#"{"priority":50,"loadPermille":0,"held":0,"maxConcurrency":0},"#.len());
            }
        }
        for attempt in self.attempts.iter_mut().rev() {
            if let Some(skip) = attempt.skipped.pop() {
                attempt.not_listed += 1;
                return Some(weight(skip));
            }
        }
        for attempt in self.attempts.iter_mut().rev() {
            if let Some(name) = attempt.ranked.pop() {
                return Some(name.len() + 3);
            }
            if attempt.figures.pop().is_some() {
                return Some(r#"{"priority":50,"loadPermille":0,"held":0,"maxConcurrency":0},"#.len());
            }
        }
        self.nobody_left.pop().map(weight)
    }

    fn bytes(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |text| text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(number: usize) -> TracedSkip {
        TracedSkip {
            account: format!("account \"{number}\" of a long name"),
            why: "cooling until 2026-01-31T09:30:00Z: overloaded".to_owned(),
            code: Some(SkipReason::Cooling),
        }
    }

    #[test]
    fn a_long_trace_keeps_what_was_done_and_counts_what_it_leaves_out() {
        let attempt = TracedAttempt {
            account_id: "0".repeat(36),
            account_name: "n".repeat(100),
            error: Some("provider_overloaded".to_owned()),
            candidates: 200,
            ranked: vec!["r".repeat(100); 8],
            figures: vec![RankFigures::default(); 3],
            skipped: (0..16).map(skip).collect(),
            ..TracedAttempt::default()
        };
        let long = CallTrace {
            attempts: vec![attempt; 3],
            nobody_left: (0..16).map(skip).collect(),
            ..CallTrace::default()
        };
        let bounded = long.bounded();
        assert!(bounded.bytes() <= MOST_BYTES, "{}", bounded.bytes());
        assert_eq!(bounded.attempts.len(), 3);
        for attempt in &bounded.attempts {
            assert_eq!(attempt.not_listed as usize + attempt.skipped.len(), 16);
        }
        let short = CallTrace::default();
        assert_eq!(short.clone().bounded(), short);
    }
}
