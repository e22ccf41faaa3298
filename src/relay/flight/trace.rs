//! Records how a call is served: for its log entry, and for clients that may ask.
//!
//! During the call only raw data is kept (answers of gates and pools, clock ticks). It is formatted at the
//! settlement, and for the headers of a client that asked.

use crs_durable::pool::{AccountId, Candidate, Skip, Trace};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Flight, PickReason, PickedAccount};
use crate::error::{Code, Failure};
use crate::model::percent::{self, HEADER};
use crate::model::time;
use crate::model::trace::{CallTrace, RankFigures, SkipReason, TracedAttempt, TracedSkip};
use crate::model::usage::Tokens;
use crate::relay::headers::X_QUEUE_WAIT;
use crate::relay::span;

/// Maximum number of candidates listed.
const RANKED: usize = 8;

/// Maximum number of candidates listed with their figures.
const FIGURES: usize = 3;

/// Maximum number of skipped accounts listed.
const SKIPPED: usize = 16;

/// Maximum length of a reason, characters.
const WHY: usize = 80;

/// Request header: `1` asks for the trace. The key must permit it.
const ASKED: HeaderName = HeaderName::from_static("x-relay-trace");

/// The recorded answers of gates and pools.
#[derive(Default)]
pub(super) struct ServingTrace {
    tried: Vec<AttemptTrace>,
    nobody_left: Vec<(AccountId, Skip)>,
}

struct AttemptTrace {
    account: AccountId,
    reason: PickReason,
    /// Number of encrypted reasoning items removed because this account cannot read them.
    left_out: u32,
    candidates: usize,
    /// The pool's trace, reduced to the reported part.
    trace: Option<Box<Trace>>,
    /// Ticks.
    began: u64,
    ended: Option<u64>,
    status: Option<u16>,
    error: Option<Code>,
}

impl ServingTrace {
    fn last(&mut self) -> Option<&mut AttemptTrace> {
        self.tried.last_mut()
    }
}

impl Flight {
    /// Records the picked account, whose slot is now held.
    pub(in crate::relay) fn hold(
        &mut self,
        picked: PickedAccount,
        reason: PickReason,
        mut trace: Option<Box<Trace>>,
    ) {
        self.span = span::of_attempt(&self.call_span, &picked.account);
        let mut candidates = 0;
        if let Some(trace) = &mut trace {
            candidates = trace.candidates.len();
            let omitted = trace.omitted + trace.skipped.len().saturating_sub(SKIPPED);
            trace.candidates.truncate(RANKED);
            trace.skipped.truncate(SKIPPED);
            trace.omitted = omitted;
        }
        self.serving.tried.push(AttemptTrace {
            account: picked.account.clone(),
            reason,
            left_out: 0,
            candidates,
            trace,
            began: self.app.ports.clock.ticks(),
            ended: None,
            status: None,
            error: None,
        });
        self.held = Some(picked);
    }

    pub(in crate::relay) fn nobody_left(&mut self, mut skipped: Vec<(AccountId, Skip)>) {
        skipped.truncate(SKIPPED);
        self.serving.nobody_left = skipped;
    }

    pub(in crate::relay) fn attempt_failed(&mut self, failure: &Failure, status: Option<http::StatusCode>) {
        let now = self.app.ports.clock.ticks();
        if let Some(tried) = self.serving.last() {
            tried.ended = Some(now);
            tried.status = status.map(|status| status.as_u16());
            tried.error = Some(failure.code);
        }
    }

    pub(super) fn reasoning_left_out(&mut self, items: u32) {
        if let Some(tried) = self.serving.last() {
            tried.left_out += items;
        }
    }

    pub(super) fn attempt_answered(&mut self, status: u16, now: u64) {
        // A failed attempt is recorded already: the answer came from an earlier account.
        if let Some(tried) = self.serving.last().filter(|tried| tried.error.is_none()) {
            tried.ended = Some(now);
            tried.status = Some(status);
        }
    }

    /// The trace for the log, including the conversation's turn.
    pub(super) fn trace(&self, tokens: &Tokens) -> CallTrace {
        let session = self.call.session.as_ref();
        let share = share(tokens);
        let follow = |share| self.app.turns.follow(session?.hash(&self.call.key), share);
        let last = self.serving.tried.last();
        let trace = CallTrace {
            session: session.map(|session| session.signal),
            route: self.traced_route(),
            sticky: last.is_some_and(|last| last.reason.sticky),
            bound: last.is_some_and(|last| last.reason.bound),
            followed: last
                .and_then(|last| last.reason.followed)
                .map(|kind| kind.name().to_owned()),
            waited_ms: self.waited,
            attempts: self
                .serving
                .tried
                .iter()
                .map(|tried| self.attempt(tried))
                .collect(),
            nobody_left: self.skips(&self.serving.nobody_left),
            cache_read_share: share,
            previous_cache_read_share: share.and_then(follow),
        };
        trace.bounded()
    }

    fn attempt(&self, tried: &AttemptTrace) -> TracedAttempt {
        let now = self.app.ports.clock.ticks();
        let ended = tried.ended.unwrap_or(now);
        let trace = tried.trace.as_deref();
        TracedAttempt {
            account_name: self.name(&tried.account),
            account_id: tried.account.clone(),
            status: tried.status,
            error: tried.error.map(|code| code.name().to_owned()),
            reasoning_left_out: tried.left_out,
            started_ms: self.ms(tried.began),
            duration_ms: ended.saturating_sub(tried.began) / 1000,
            candidates: tried.candidates as u32,
            ranked: trace.map_or_else(Vec::new, |trace| {
                let ids = trace.candidates.iter().map(|candidate| &candidate.account);
                ids.map(|id| self.name(id)).collect()
            }),
            figures: trace.map_or_else(Vec::new, |trace| {
                trace.candidates.iter().take(FIGURES).map(figures).collect()
            }),
            skipped: trace.map_or_else(Vec::new, |trace| self.skips(&trace.skipped)),
            not_listed: trace.map_or(0, |trace| trace.omitted as u32),
        }
    }

    fn skips(&self, skipped: &[(AccountId, Skip)]) -> Vec<TracedSkip> {
        let trace = skipped.iter().map(|(id, skip)| TracedSkip {
            account: self.name(id),
            why: why(skip).chars().take(WHY).collect(),
            code: Some(code(skip)),
        });
        trace.collect()
    }

    /// The account's name, or its id if the name is unknown.
    fn name(&self, id: &str) -> String {
        match self.account.as_ref().map(|live| &live.account) {
            Some(account) if account.id == id => account.name.clone(),
            _ => self.app.accounts.known_name(id).unwrap_or_else(|| id.to_owned()),
        }
    }

    /// Sets the header with the queue wait, and the trace headers if the client asked and its key permits it.
    pub(in crate::relay) fn explain(&self, headers: &mut HeaderMap) {
        if self.waited > 0 {
            headers.insert(X_QUEUE_WAIT, HeaderValue::from(self.waited));
        }
        let may = self.policy().is_some_and(|policy| policy.may_trace);
        let asked = may && self.call.headers.get(ASKED).is_some_and(|asked| asked == "1");
        self.name_steps(asked, headers);
        if !asked {
            return;
        }
        let Some(last) = self.serving.tried.last() else {
            return;
        };
        let skipped = last.trace.iter().flat_map(|trace| &trace.skipped);
        let skipped: Vec<String> = skipped
            .map(|(id, skip)| format!("{}={}", self.name(id), skip.name()))
            .collect();
        for (name, value) in [
            ("x-relay-account", self.name(&last.account)),
            ("x-relay-attempts", self.attempts.to_string()),
            ("x-relay-sticky", last.reason.sticky.to_string()),
            ("x-relay-waited-ms", self.waited.to_string()),
            ("x-relay-skipped", skipped.join(", ")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&percent::encoded(&value, HEADER)) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// The share of the prompt that was read from the cache; `None` without a prompt.
fn share(tokens: &Tokens) -> Option<f64> {
    let prompt = tokens.prompt();
    let share = tokens.cache_read as f64 / prompt as f64;
    (prompt > 0).then(|| (share * 1000.0).round() / 1000.0)
}

fn figures(candidate: &Candidate) -> RankFigures {
    RankFigures {
        fallback: candidate.fallback,
        backed_off: candidate.backed_off,
        priority: candidate.priority,
        in_reserve: candidate.in_reserve,
        load_permille: candidate.load_permille,
        held: candidate.held,
        max_concurrency: candidate.max_concurrency,
        used_permille: candidate.used_permille,
        resets_at: candidate.resets_at.map(time::iso),
    }
}

fn code(skip: &Skip) -> SkipReason {
    match skip {
        Skip::NotBound => SkipReason::NotBound,
        Skip::Dedicated => SkipReason::Dedicated,
        Skip::Inactive => SkipReason::Inactive,
        Skip::Paused => SkipReason::Paused,
        Skip::Unusable { .. } => SkipReason::Unusable,
        Skip::Expired { .. } => SkipReason::Expired,
        Skip::Model { .. } => SkipReason::Model,
        Skip::Tried => SkipReason::Tried,
        Skip::Cooling { .. } => SkipReason::Cooling,
        Skip::Denied { .. } => SkipReason::Denied,
        Skip::Quota { .. } => SkipReason::Quota,
        Skip::Full { .. } => SkipReason::Full,
        Skip::NotPreferred => SkipReason::NotPreferred,
    }
}

fn why(skip: &Skip) -> String {
    let kind = skip.name();
    match skip {
        Skip::Unusable { why } | Skip::Denied { why, until: None } => format!("{kind}: {why}"),
        Skip::Denied {
            why,
            until: Some(until),
        } => format!("{kind} until {}: {why}", time::iso(*until)),
        Skip::Cooling { until, family, why } => {
            let family = family
                .as_ref()
                .map_or_else(String::new, |family| format!(" for {family}"));
            format!("{kind}{family} until {}: {why}", time::iso(*until))
        }
        Skip::Expired { at } => format!("{kind} on {}", time::iso(*at)),
        Skip::Quota { resets_at, .. } => format!("{kind} used up until {}", time::iso(*resets_at)),
        Skip::Full { limit } => format!("{kind}: {limit} running"),
        _ => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_whole_prompt() {
        let tokens = Tokens {
            input: 50,
            output: 999,
            cache_write_5m: 50,
            cache_write_1h: 200,
            cache_read: 700,
        };
        assert_eq!(share(&tokens), Some(0.7));
        assert_eq!(share(&Tokens::default()), None);
    }

    #[test]
    fn any_name_fits_into_a_header() {
        assert_eq!(
            percent::encoded("main 1, 50% \n é", HEADER),
            "main 1, 50%25 %0A %C3%A9"
        );
    }

    #[test]
    fn reasons_are_said_in_words() {
        let cooling = Skip::Cooling {
            until: 0,
            family: Some("opus".to_owned()),
            why: "429".to_owned(),
        };
        assert_eq!(
            why(&cooling),
            "cooling for opus until 1970-01-01T00:00:00.000Z: 429"
        );
        assert_eq!(why(&Skip::Full { limit: 2 }), "full: 2 running");
        assert_eq!(why(&Skip::Tried), "tried");
    }
}
