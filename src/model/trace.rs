//! How a call was served, for the operator: the accounts tried, those skipped and why, and the use of the
//! provider's cache.
//!
//! A trace is stored with its event, so it is small: [`CallTrace::bounded`] drops the least useful parts of a
//! long one and records their number.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::Platform;
use super::code::Code;

/// Maximum size as JSON, bytes.
const MOST_BYTES: usize = 1_500;

/// How a call was served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallTrace {
    /// The signal that identified the call's conversation; missing: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Signal>,
    /// The operator's model route; missing: the model's name decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub route: Option<TracedRoute>,
    /// Whether the account was picked because of the session.
    pub sticky: bool,
    /// Whether the key is bound to the account.
    pub bound: bool,
    /// The objects in the call that only this account stores (`response`, `conversation`, `container`, `cache`,
    /// `file`); missing: none known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<String>,
    /// Wait in the key's queue, milliseconds.
    pub waited_ms: u64,
    pub attempts: Vec<TracedAttempt>,
    /// Why no account was left, if that ended the call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nobody_left: Vec<TracedSkip>,
    /// The share of the prompt read from the provider's cache, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_share: Option<f64>,
    /// The same for the session's previous call, if this process served it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_cache_read_share: Option<f64>,
}

/// The model route of a call, and the steps taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracedRoute {
    /// The route's pattern.
    pub models: String,
    /// The route belongs to the key and not to all keys.
    pub of_key: bool,
    /// The model named by the client.
    pub asked: String,
    /// The steps taken; the last one ended the call.
    pub steps: Vec<TracedStep>,
}

/// One step of a model route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracedStep {
    pub platform: Platform,
    /// The group's id, if the step has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group: Option<String>,
    pub model: String,
    /// Why the next step was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Code>)]
    pub error: Option<String>,
}

/// Signals that identify a conversation, the most reliable first.
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
    /// The beginning of the prompt, which calls of a conversation share.
    Prefix,
}

/// An attempt on one account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracedAttempt {
    pub account_id: String,
    pub account_name: String,
    /// Status of the provider's answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Code>)]
    pub error: Option<String>,
    /// Number of encrypted reasoning items removed because this account cannot read them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_left_out: u32,
    /// From the call's arrival, milliseconds.
    pub started_ms: u64,
    /// Until it failed, or until the first byte, milliseconds.
    pub duration_ms: u64,
    /// Number of accounts that could serve.
    pub candidates: u32,
    /// The first of them, best first: by name, or by id if the name is unknown here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranked: Vec<String>,
    /// The ranking figures of the first of `ranked`, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<RankFigures>,
    /// The skipped accounts with reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<TracedSkip>,
    /// Number of skipped accounts that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_listed: u32,
}

/// A skipped account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TracedSkip {
    /// By name, or by id if the name is unknown here.
    pub account: String,
    pub why: String,
    /// The machine-readable reason; missing in logs of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<SkipReason>,
}

/// Why an account was skipped.
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
    /// Over a limit of the provider with a known end.
    Cooling,
    /// The provider refuses its credentials.
    Denied,
    /// Its calls have reached `dailyQuota` today.
    Quota,
    /// `maxConcurrency` calls are running.
    Full,
    /// It could serve, but another ranked higher than the account bound to the session.
    NotPreferred,
    /// A reason of a newer version.
    #[serde(other)]
    Other,
}

/// An account's ranking figures, compared in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RankFigures {
    /// The key is bound elsewhere and may fall back to this account.
    #[serde(skip_serializing_if = "is_false")]
    pub fallback: bool,
    /// It failed recently.
    #[serde(skip_serializing_if = "is_false")]
    pub backed_off: bool,
    /// Lower values are picked first.
    pub priority: u32,
    /// Its use of some quota window has reached the reserve.
    #[serde(skip_serializing_if = "is_false")]
    pub in_reserve: bool,
    /// Share of its slots in use, permille; an account without a limit counts as having ten.
    pub load_permille: u64,
    /// Number of slots in use.
    pub held: u32,
    /// 0: unlimited.
    pub max_concurrency: u32,
    /// The highest used share of a quota window, permille; missing: none was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub used_permille: Option<u16>,
    /// When its longest window resets; ISO 8601.
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
    /// Drops parts of a long trace: first skipped accounts, from the last attempt on, then the lower-ranked
    /// candidates.
    pub fn bounded(mut self) -> Self {
        // Most are far below the limit, which the estimate shows without serializing.
        if self.at_most() <= MOST_BYTES {
            return self;
        }
        let mut over = self.bytes().saturating_sub(MOST_BYTES);
        while over > 0 {
            let Some(cut) = self.shorten() else { break };
            over = over.saturating_sub(cut);
            if over == 0 {
                // The estimates ignore JSON escapes, so they may be too low.
                over = self.bytes().saturating_sub(MOST_BYTES);
            }
        }
        self
    }

    /// Drops one part and returns about how many bytes that saves.
    fn shorten(&mut self) -> Option<usize> {
        let weight = |skip: TracedSkip| {
            skip.account.len() + skip.why.len() + r#"{"account":"","why":"","code":""},"#.len()
        };
        for attempt in self.attempts.iter_mut().rev() {
            // The figures of the first candidate are the most useful.
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

    /// An upper bound of its length as JSON, whatever its texts contain.
    fn at_most(&self) -> usize {
        // The longest escape of a byte has six characters.
        let skips = |skips: &[TracedSkip]| -> usize {
            let of = |skip: &TracedSkip| 80 + 6 * (skip.account.len() + skip.why.len());
            skips.iter().map(of).sum()
        };
        let attempt = |attempt: &TracedAttempt| {
            let names: usize = attempt.ranked.iter().map(|name| 3 + 6 * name.len()).sum();
            let texts = attempt.account_id.len()
                + attempt.account_name.len()
                + attempt.error.as_ref().map_or(0, String::len);
            300 + 6 * texts + names + 300 * attempt.figures.len() + skips(&attempt.skipped)
        };
        let step = |step: &TracedStep| {
            let (group, error) = (step.group.as_ref(), step.error.as_ref());
            let texts = step.model.len() + group.map_or(0, String::len) + error.map_or(0, String::len);
            80 + 6 * texts
        };
        let route = self.route.as_ref().map_or(0, |route| {
            let texts = route.models.len() + route.asked.len();
            80 + 6 * texts + route.steps.iter().map(step).sum::<usize>()
        });
        300 + route + self.attempts.iter().map(attempt).sum::<usize>() + skips(&self.nobody_left)
    }

    fn bytes(&self) -> usize {
        let mut counted = ByteCounter(0);
        serde_json::to_writer(&mut counted, self).map_or(0, |()| counted.0)
    }
}

/// Counts the bytes written and discards them.
struct ByteCounter(usize);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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
        assert!(short.bytes() <= short.at_most());
        // The longest number.
        let all = RankFigures {
            fallback: true,
            backed_off: true,
            priority: u32::MAX,
            in_reserve: true,
            load_permille: u64::MAX,
            held: u32::MAX,
            max_concurrency: u32::MAX,
            used_permille: Some(u16::MAX),
            resets_at: Some("2026-01-31T09:30:00.000Z".to_owned()),
        };
        let widest = TracedAttempt {
            account_id: "\u{1}".to_owned(),
            status: Some(u16::MAX),
            error: Some("\u{1}".to_owned()),
            reasoning_left_out: u32::MAX,
            started_ms: u64::MAX,
            duration_ms: u64::MAX,
            candidates: u32::MAX,
            ranked: vec!["\u{1}".to_owned()],
            figures: vec![all],
            skipped: vec![skip(1)],
            not_listed: u32::MAX,
            ..TracedAttempt::default()
        };
        let wide = CallTrace {
            session: Some(Signal::SessionId),
            followed: Some("conversation".to_owned()),
            waited_ms: u64::MAX,
            attempts: vec![widest],
            nobody_left: vec![skip(1)],
            cache_read_share: Some(0.123),
            previous_cache_read_share: Some(0.123),
            ..CallTrace::default()
        };
        assert!(
            wide.bytes() <= wide.at_most(),
            "{} {}",
            wide.bytes(),
            wide.at_most()
        );
    }
}
