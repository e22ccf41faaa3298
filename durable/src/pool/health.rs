//! The health of one account: cooldowns and refused credentials. All of it heals.
//!
//! | mark | the account | lasts | ends |
//! | --- | --- | --- | --- |
//! | measured cooldown: the provider named the end | is excluded, for the family or all | until then, at most 8 days | at its time |
//! | guess, throttled: a 429 without an end | ranks behind, for the family or all | 15 s, doubling to 5 min | with a good answer |
//! | guess, unwell: 5xx, 529, no connection | ranks behind | 5 s, doubling to 60 s; until the provider's `retry-after`, at most 5 min | with a good answer |
//! | guess, refused: a 403 or the like whose reason is unknown | ranks behind, for the family or all, for the keys that met it | 10 min, doubling to 1 h | with a good answer |
//! | denial: credentials refused | is excluded | until new credentials, or a time | with a good answer after that |
//!
//! A guess never excludes: it may be wrong, and would then refuse calls that could be served. After its time it is
//! half open: the next call that takes a slot tests the account, and other calls still prefer other accounts until
//! that call frees its slot or [`PROBE_MS`] have passed. An ended denial is tested by one call at a time.
//!
//! The weight of a guess depends on the keys whose calls led to it (`witness`): no request of one key can make an
//! account worse for other keys than any account that has failed nobody.

use serde::{Deserialize, Serialize};

use super::CooldownKind;
use super::witness::{Doubt, Witness, Witnesses};
use crate::time::Deadline;
use crate::{CallId, Millis};

/// A bound against absurd reset times from a provider: the longest real one is a week.
pub(super) const MAX_COOLDOWN_MS: u64 = 8 * 86_400_000;

/// Model families are few; this bounds the state if a host maps them wrongly.
const MAX_COOLDOWNS: usize = 32;

/// How long at most a provider's `retry-after` keeps an account behind others.
const MAX_REST_MS: u64 = 300_000;

/// How long a call that tests an account keeps others away.
pub(super) const PROBE_MS: u64 = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    cooldowns: Vec<Cooldown>,
    denial: Option<Denial>,
}

/// At most one per family and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cooldown {
    /// `None`: all families.
    pub(super) family: Option<String>,
    pub(super) end: Deadline,
    #[serde(default)]
    pub(super) why: String,
    /// `None`: the provider named the end.
    #[serde(default)]
    guess: Option<Guess>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Guess {
    hit: Hit,
    /// Hits since the account's last good answer.
    count: u32,
    /// The pool's turn when the last hit was counted. A call with an earlier turn was already running then: fifty
    /// calls cut by one outage are one hit.
    turn: u64,
    /// The first call that was let through after the time was over.
    probe: Option<(CallId, Deadline)>,
    #[serde(default)]
    met_by: Witnesses,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Denial {
    pub(super) why: String,
    /// `None`: only new credentials or a reset help.
    pub(super) end: Option<Deadline>,
    /// The last call that was let through to test an ended denial.
    pub(super) probe: Option<CallId>,
}

/// A failure that ranks an account behind the others for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hit {
    /// Rate limited, without an end.
    Throttled,
    /// 5xx, 529, no connection, cut before the first byte.
    Unwell,
    /// Refused, and it is unknown whether because of the account or the request.
    Refused,
}

impl Hit {
    /// The guess after `count` hits in a row: doubles up to a bound.
    fn delay(self, count: u32) -> u64 {
        let (first, most): (u64, u64) = match self {
            Self::Throttled => (15_000, 300_000),
            Self::Unwell => (5_000, 60_000),
            Self::Refused => (600_000, 3_600_000),
        };
        first
            .saturating_mul(1 << count.saturating_sub(1).min(16))
            .min(most)
    }
}

/// The turn of the call that reports a hit, if the pool still knows the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    pub(super) of_call: Option<u64>,
    pub(super) given: u64,
}

/// The guesses that a good answer disproves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof<'a> {
    /// The call is unknown: all guesses.
    All,
    Family(&'a str),
    /// The call takes no slot (it counts tokens): such calls succeed in most trouble.
    Nothing,
}

impl Cooldown {
    fn holds_for(&self, family: &str) -> bool {
        self.family.as_deref().is_none_or(|cooling| cooling == family)
    }

    pub(super) fn kind(&self) -> CooldownKind {
        match self.guess.as_ref().map(|guess| guess.hit) {
            None => CooldownKind::Measured,
            Some(Hit::Throttled) => CooldownKind::Throttled,
            Some(Hit::Unwell) => CooldownKind::Unwell,
            Some(Hit::Refused) => CooldownKind::Refused,
        }
    }

    /// The only key whose calls met it; `None`: several keys, or the provider named the end.
    pub(super) fn only(&self) -> Option<&str> {
        self.guess.as_ref()?.met_by.only()
    }

    /// The doubt of an active guess for a call of this key.
    fn doubt(&self, holder: &str) -> Doubt {
        match &self.guess {
            None => Doubt::None,
            Some(guess) => match (guess.met_by.only(), guess.hit) {
                (Some(only), Hit::Refused) if only != holder => Doubt::None,
                (Some(only), _) if only != holder => Doubt::Slight,
                _ => Doubt::Full,
            },
        }
    }

    /// The call that tests the account. It does so while it `holds` its slot, for a while.
    pub(super) fn probe(&self, now: Millis, holds: impl Fn(CallId) -> bool) -> Option<CallId> {
        let (call, end) = self.guess.as_ref()?.probe?;
        (!end.passed(now) && holds(call)).then_some(call)
    }
}

impl Proof<'_> {
    fn is_of(self, cooldown: &Cooldown) -> bool {
        match self {
            Self::All => true,
            Self::Family(family) => cooldown.holds_for(family),
            Self::Nothing => false,
        }
    }
}

impl Denial {
    fn ended(&self, now: Millis) -> bool {
        self.end.is_some_and(|end| end.passed(now))
    }
}

impl Health {
    /// The latest measured cooldown that applies to the family.
    pub(super) fn cooling(&self, now: Millis, family: &str) -> Option<&Cooldown> {
        self.cooldowns
            .iter()
            .filter(|cooldown| cooldown.guess.is_none() && !cooldown.end.passed(now))
            .filter(|cooldown| cooldown.holds_for(family))
            .max_by_key(|cooldown| cooldown.end.until())
    }

    /// The doubt that guesses raise for a call of this key and family: guesses that still apply, or that some call is
    /// testing. (The asking call holds nothing, so it is not that call.)
    pub(super) fn doubt(
        &self,
        now: Millis,
        family: &str,
        holder: &str,
        holds: impl Fn(CallId) -> bool,
    ) -> Doubt {
        self.cooldowns
            .iter()
            .filter(|cooldown| cooldown.guess.is_some() && cooldown.holds_for(family))
            .filter(|cooldown| !cooldown.end.passed(now) || cooldown.probe(now, &holds).is_some())
            .map(|cooldown| cooldown.doubt(holder))
            .max()
            .unwrap_or_default()
    }

    /// All cooldowns except measured ones that have ended.
    pub(super) fn cooldowns(&self, now: Millis) -> impl Iterator<Item = &Cooldown> {
        self.cooldowns
            .iter()
            .filter(move |cooldown| cooldown.guess.is_some() || !cooldown.end.passed(now))
    }

    /// When the last active guess ends.
    pub(super) fn backoff_until(&self, now: Millis) -> Option<Millis> {
        self.cooldowns
            .iter()
            .filter(|cooldown| cooldown.guess.is_some() && !cooldown.end.passed(now))
            .map(|cooldown| cooldown.end.until())
            .max()
    }

    pub(super) fn denial(&self) -> Option<&Denial> {
        self.denial.as_ref()
    }

    /// Whether a good answer would end any mark.
    pub(super) fn on_trial(&self, proof: Proof<'_>) -> bool {
        let mut guesses = self.cooldowns.iter().filter(|cooldown| cooldown.guess.is_some());
        self.denial.is_some() || guesses.any(|cooldown| proof.is_of(cooldown))
    }

    /// The provider named the end of a limit for the family (or all); trusted. Returns whether anything changed: this
    /// also removes ended cooldowns.
    pub(super) fn cool(&mut self, now: Millis, family: Option<String>, until: Millis, why: String) -> bool {
        let end = Deadline::at(now, until.min(now.saturating_add(MAX_COOLDOWN_MS)));
        let before = self.cooldowns.len();
        self.cooldowns
            .retain(|cooldown| cooldown.guess.is_some() || !cooldown.end.passed(now));
        let tidied = self.cooldowns.len() < before;
        let same = |held: &&mut Cooldown| held.guess.is_none() && held.family == family;
        if let Some(held) = self.cooldowns.iter_mut().find(same) {
            let longer = held.end.extend(end);
            if longer {
                held.why = why;
            }
            return longer || tidied;
        }
        self.put(Cooldown {
            family,
            end,
            why,
            guess: None,
        });
        true
    }

    fn put(&mut self, cooldown: Cooldown) {
        self.cooldowns.push(cooldown);
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
    }

    /// Returns whether the hit changed anything.
    pub(super) fn hit(
        &mut self,
        now: Millis,
        hit: Hit,
        family: Option<String>,
        why: String,
        turns: Turns,
        witness: Witness<'_>,
    ) -> bool {
        let found = self
            .cooldowns
            .iter_mut()
            .filter(|held| held.family == family)
            .find_map(|held| match &mut held.guess {
                Some(guess) if guess.hit == hit => Some((&mut held.end, &mut held.why, guess)),
                _ => None,
            });
        let Some((end, held_why, guess)) = found else {
            self.put(Cooldown {
                family,
                end: Deadline::after(now, hit.delay(1)),
                why,
                guess: Some(Guess {
                    hit,
                    count: 1,
                    turn: turns.given,
                    probe: None,
                    met_by: Witnesses::of(witness),
                }),
            });
            return true;
        };
        let met_by = guess.met_by.clone();
        // An old refusal is not evidence any more.
        if hit == Hit::Refused && end.passed(now) {
            guess.met_by = Witnesses::of(witness);
        } else {
            guess.met_by.add(witness);
        }
        let heard = guess.met_by != met_by;
        // An unknown call reports late or twice: it may not count either.
        if turns.of_call.is_some_and(|turn| turn > guess.turn) {
            guess.count = guess.count.saturating_add(1);
            guess.turn = turns.given;
        } else if !end.passed(now) {
            return heard;
        }
        guess.probe = None;
        *held_why = why;
        end.extend(Deadline::after(now, hit.delay(guess.count)));
        true
    }

    /// The provider named the time of its recovery. Returns whether that is later than the guess.
    pub(super) fn rest(&mut self, now: Millis, until: Millis) -> bool {
        let end = Deadline::at(now, until.min(now.saturating_add(MAX_REST_MS)));
        let unwell = |held: &&mut Cooldown| held.kind() == CooldownKind::Unwell && held.family.is_none();
        let held = self.cooldowns.iter_mut().find(unwell);
        held.is_some_and(|held| held.end.extend(end))
    }

    /// A call of the family was refused, and it is unknown whether because of the account or the request. Keys that
    /// met refusals with different requests confirm each other: in the same family, that family ranks behind for all
    /// keys; in different families, the account does.
    pub(super) fn refused(
        &mut self,
        now: Millis,
        family: String,
        why: String,
        turns: Turns,
        witness: Witness<'_>,
    ) -> bool {
        let confirms = |held: &Cooldown| {
            let guess = held.guess.as_ref().filter(|guess| guess.hit == Hit::Refused);
            guess.is_some_and(|guess| {
                held.family.as_ref() != Some(&family) && !held.end.passed(now) && guess.met_by.hears(witness)
            })
        };
        let everywhere = self.cooldowns.iter().any(confirms);
        if everywhere {
            self.hit(now, Hit::Refused, None, why.clone(), turns, witness);
            for held in self.cooldowns.iter_mut().filter(|held| held.family.is_none()) {
                if let Some(guess) = held.guess.as_mut().filter(|guess| guess.hit == Hit::Refused) {
                    guess.met_by = Witnesses::Several;
                }
            }
        }
        self.hit(now, Hit::Refused, Some(family), why, turns, witness) | everywhere
    }

    /// The stronger of the current denial and the new one stays.
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

    /// The call got the account; it tests all marks that have ended. (The operator's test of an account that is still
    /// denied tests nothing for others.)
    pub(super) fn probed_by(
        &mut self,
        now: Millis,
        call: CallId,
        proof: Proof<'_>,
        holds: impl Fn(CallId) -> bool,
    ) {
        if let Some(denial) = self.denial.as_mut().filter(|denial| denial.ended(now)) {
            denial.probe = Some(call);
        }
        for cooldown in &mut self.cooldowns {
            if cooldown.end.passed(now)
                && proof.is_of(cooldown)
                && cooldown.probe(now, &holds).is_none()
                && let Some(guess) = &mut cooldown.guess
            {
                guess.probe = Some((call, Deadline::after(now, PROBE_MS)));
            }
        }
    }

    /// The credentials were replaced.
    pub(super) fn allow(&mut self) -> bool {
        self.denial.take().is_some()
    }

    /// The account answers well: removes the guesses that this disproves, and everything that has ended.
    pub(super) fn serves(&mut self, now: Millis, proof: Proof<'_>) -> bool {
        let before = self.cooldowns.len();
        self.cooldowns.retain(|cooldown| match cooldown.guess {
            None => !cooldown.end.passed(now),
            Some(_) => !proof.is_of(cooldown),
        });
        let healed = self.denial.take_if(|denial| denial.ended(now)).is_some();
        healed || self.cooldowns.len() < before
    }

    /// The operator's reset; returns whether there was anything to forget.
    pub(super) fn reset(&mut self) -> bool {
        std::mem::take(self) != Self::default()
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        for cooldown in &mut self.cooldowns {
            cooldown.end.set_back(now);
            if let Some((_, end)) = cooldown.guess.as_mut().and_then(|guess| guess.probe.as_mut()) {
                end.set_back(now);
            }
        }
        if let Some(end) = self.denial.as_mut().and_then(|denial| denial.end.as_mut()) {
            end.set_back(now);
        }
    }
}
