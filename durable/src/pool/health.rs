//! How one account is doing: cooldowns, back-off, refused credentials. All of it heals.
//!
//! A cooldown (the provider's own word) and a denial (credentials refused) exclude the account; a
//! back-off only puts it behind the others. A denial that has ended is proved by one call at a time.

use serde::{Deserialize, Serialize};

use crate::time::Deadline;
use crate::{CallId, Millis};

/// A bound against nonsense in a provider's reset: the longest real one is a week's.
pub(super) const MAX_COOLDOWN_MS: u64 = 8 * 86_400_000;

/// Model families are few; this bounds what a host with a broken mapping can make us keep.
const MAX_COOLDOWNS: usize = 32;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    cooldowns: Vec<Cooldown>,
    backoff: Option<Backoff>,
    denial: Option<Denial>,
}

/// At most one per family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cooldown {
    /// `None`: all families.
    pub(super) family: Option<String>,
    pub(super) end: Deadline,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Backoff {
    end: Deadline,
    /// Hits since the account last answered well, by kind.
    throttled: u32,
    unwell: u32,
    /// Turns given when the last hit was counted. A call with an earlier turn was on its way already
    /// then: fifty calls cut by one outage are one hit.
    turn: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Denial {
    pub(super) why: String,
    /// `None`: only new credentials or a reset help.
    pub(super) end: Option<Deadline>,
    /// The last call that was let through to prove an ended denial.
    pub(super) probe: Option<CallId>,
}

/// What puts an account behind the others for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hit {
    /// Rate limited, and nobody said until when.
    Throttled,
    /// 5xx, 529, no connection, cut before the first byte.
    Unwell,
}

impl Hit {
    /// The back-off after `count` hits in a row: doubles up to a bound.
    fn delay(self, count: u32) -> u64 {
        let (first, most): (u64, u64) = match self {
            Self::Throttled => (15_000, 300_000),
            Self::Unwell => (5_000, 60_000),
        };
        first
            .saturating_mul(1 << count.saturating_sub(1).min(16))
            .min(most)
    }
}

/// The turn of the call that reports a hit, if the pool still knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    pub(super) of_call: Option<u64>,
    pub(super) given: u64,
}

impl Denial {
    fn ended(&self, now: Millis) -> bool {
        self.end.is_some_and(|end| end.passed(now))
    }
}

impl Health {
    /// The latest cooldown that holds for the family.
    pub(super) fn cooling(&self, now: Millis, family: &str) -> Option<&Cooldown> {
        self.cooldowns
            .iter()
            .filter(|cooldown| !cooldown.end.passed(now))
            .filter(|cooldown| cooldown.family.as_deref().is_none_or(|cooling| cooling == family))
            .max_by_key(|cooldown| cooldown.end.until())
    }

    pub(super) fn cooldowns(&self, now: Millis) -> impl Iterator<Item = &Cooldown> {
        self.cooldowns
            .iter()
            .filter(move |cooldown| !cooldown.end.passed(now))
    }

    pub(super) fn backoff_until(&self, now: Millis) -> Option<Millis> {
        self.backoff
            .as_ref()
            .filter(|backoff| !backoff.end.passed(now))
            .map(|backoff| backoff.end.until())
    }

    pub(super) fn denial(&self) -> Option<&Denial> {
        self.denial.as_ref()
    }

    /// Whether there is something that serving well would end.
    pub(super) fn on_trial(&self) -> bool {
        self.backoff.is_some() || self.denial.is_some()
    }

    /// The provider says the family (or all) is limited until then; trusted. Says whether this is news.
    pub(super) fn cool(&mut self, now: Millis, family: Option<String>, until: Millis) -> bool {
        let end = Deadline::at(now, until.min(now.saturating_add(MAX_COOLDOWN_MS)));
        self.cooldowns.retain(|cooldown| !cooldown.end.passed(now));
        if let Some(held) = self.cooldowns.iter_mut().find(|held| held.family == family) {
            return held.end.extend(end);
        }
        self.cooldowns.push(Cooldown { family, end });
        if self.cooldowns.len() > MAX_COOLDOWNS {
            let first = self
                .cooldowns
                .iter()
                .enumerate()
                .min_by_key(|(_, held)| held.end.until());
            if let Some(first) = first.map(|(index, _)| index) {
                self.cooldowns.swap_remove(first);
            }
        }
        true
    }

    /// Says whether the hit changed anything.
    pub(super) fn hit(&mut self, now: Millis, hit: Hit, turns: Turns) -> bool {
        let before = self.backoff.clone();
        let backoff = self.backoff.get_or_insert_with(|| Backoff {
            end: Deadline::at(now, now),
            throttled: 0,
            unwell: 0,
            turn: 0,
        });
        let count = match hit {
            Hit::Throttled => &mut backoff.throttled,
            Hit::Unwell => &mut backoff.unwell,
        };
        // A call the pool knows no more reports late or twice: that may not count either.
        let news = turns.of_call.is_some_and(|turn| turn > backoff.turn);
        if news || *count == 0 {
            *count = count.saturating_add(1);
            backoff.turn = turns.given;
        } else if !backoff.end.passed(now) {
            return false;
        }
        backoff.end.extend(Deadline::after(now, hit.delay(*count)));
        self.backoff != before
    }

    /// The stronger of the held and the new one holds.
    pub(super) fn deny(&mut self, now: Millis, why: String, until: Option<Millis>) -> bool {
        let mut end = until.map(|until| Deadline::at(now, until));
        let mut probe = None;
        if let Some(held) = &self.denial {
            match (held.end, &mut end) {
                (None, Some(_)) => return false,
                (Some(held), Some(end)) => _ = end.extend(held),
                (_, None) => {}
            }
            probe = held.probe;
        }
        let denial = Some(Denial { why, end, probe });
        let changed = self.denial != denial;
        self.denial = denial;
        changed
    }

    /// The call was given the account; if its denial has ended, the call is to prove it. (The
    /// operator's test of an account that is denied still proves nothing to others.)
    pub(super) fn probed_by(&mut self, now: Millis, call: CallId) {
        if let Some(denial) = self.denial.as_mut().filter(|denial| denial.ended(now)) {
            denial.probe = Some(call);
        }
    }

    /// The credentials were replaced.
    pub(super) fn allow(&mut self) -> bool {
        self.denial.take().is_some()
    }

    /// The account answers well: whatever has ended is proved over.
    pub(super) fn serves(&mut self, now: Millis) -> bool {
        self.cooldowns.retain(|cooldown| !cooldown.end.passed(now));
        let healed = self.denial.take_if(|denial| denial.ended(now)).is_some();
        self.backoff.take().is_some() || healed
    }

    /// The operator's word; says whether there was anything to forget.
    pub(super) fn reset(&mut self) -> bool {
        std::mem::take(self) != Self::default()
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        for cooldown in &mut self.cooldowns {
            cooldown.end.set_back(now);
        }
        if let Some(backoff) = &mut self.backoff {
            backoff.end.set_back(now);
        }
        if let Some(end) = self.denial.as_mut().and_then(|denial| denial.end.as_mut()) {
            end.set_back(now);
        }
    }
}
