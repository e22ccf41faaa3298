//! The gate as plainly as can be: lists, sums that are summed up each time, a calendar that is walked.

mod verdict;

use std::collections::BTreeSet;

use crs_durable::gate::{
    CallEnd, Command, Estimate, KeyPolicy, LeaseSnapshot, Limits, MoneyLimit, PerLimit, Reply, ResetScope,
    SeedSpend, Snapshot, SpendSnapshot, Usage, WaiterSnapshot, WindowSnapshot,
};
use crs_durable::{CallId, Millis};

use crate::world::{Clock, End, Lease, Leases};

const CLAIM_MS: u64 = 3_000;
const READ_MS: u64 = 5_000;
const KEEP_MS: u64 = 3_600_000;
const HOUR: u64 = 3_600_000;

/// Numbers of the window, and of the day, the week and the month, that a call was admitted in.
type Rounds = (u64, [u64; 3]);

#[derive(Clone, Debug)]
struct Held {
    slot: bool,
    offered: bool,
    waited_ms: u64,
    reserved: Estimate,
    opus: bool,
    rounds: Rounds,
}

#[derive(Clone, Debug)]
struct Waiter {
    call: CallId,
    since: Millis,
    end: End,
}

#[derive(Clone, Debug)]
struct Window {
    round: u64,
    start: Millis,
    end: End,
    requests: u64,
    used: Vec<Usage>,
}

/// Work that goes on after its call.
#[derive(Clone, Debug)]
struct Kept {
    reserved: Estimate,
    opus: bool,
    rounds: Rounds,
}

/// A day, a week or a month.
#[derive(Clone, Debug, Default)]
struct Period {
    round: u64,
    start: Millis,
    end: Millis,
}

#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) clock: Clock,
    /// Calls the gate must name to be woken.
    pub(super) woken: Vec<CallId>,
    /// The record changed in what decides calls that wait.
    decides_anew: bool,
    learned: bool,
    record: Option<KeyPolicy>,
    stale: bool,
    activated: Option<Millis>,
    leases: Leases<Held>,
    kept: Leases<Kept>,
    ended: Vec<(CallId, Rounds, End)>,
    /// Of those, and of others, the ones that the operator freed last.
    released: BTreeSet<CallId>,
    waiters: Vec<Waiter>,
    /// The call that waits and was last woken, or told, to read the record for the others, until when alone.
    pub(super) reader: Option<(CallId, End)>,
    seeded: bool,
    windows: u64,
    window: Option<Window>,
    /// The day, the week, the month.
    periods: [Period; 3],
    /// Payment by payment.
    spent: PerLimit<Vec<u64>>,
}

/// The day, the week and the month of a key, found by walking.
fn spans(now: Millis, limits: Limits) -> [(Millis, Millis); 3] {
    let offset = i64::from(limits.utc_offset_minutes.clamp(-840, 840)) * 60_000;
    let local = now.strict_add_signed(offset);
    let back = |matches: &dyn Fn(u64, u64) -> bool, days: u64| {
        let mut hour = local / HOUR;
        // The epoch was a Thursday.
        while !matches((hour / 24 + 3) % 7 + 1, hour % 24) {
            hour -= 1;
        }
        let start = (hour * HOUR).strict_sub_signed(offset);
        (start, start + days * 24 * HOUR)
    };
    let reset_day = match limits.weekly_reset_day {
        1..=7 => u64::from(limits.weekly_reset_day),
        _ => 1,
    };
    let reset_hour = u64::from(limits.weekly_reset_hour).min(23);
    let week = |day, hour| day == reset_day && hour == reset_hour;
    [
        back(&|_, hour| hour == 0, 1),
        back(&week, 7),
        month(local, offset),
    ]
}

/// Walks from the epoch, month by month.
fn month(local: u64, offset: i64) -> (Millis, Millis) {
    let (mut start, mut year, mut month) = (0, 1970_u64, 1);
    loop {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let end = start + days * 24 * HOUR;
        if local < end {
            return (start.strict_sub_signed(offset), end.strict_sub_signed(offset));
        }
        start = end;
        (year, month) = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
    }
}

/// Which of the periods a limit counts in; `None`: in all time.
fn period_of(limit: MoneyLimit) -> Option<usize> {
    match limit {
        MoneyLimit::Day => Some(0),
        MoneyLimit::Week | MoneyLimit::WeekOpus => Some(1),
        MoneyLimit::Month => Some(2),
        MoneyLimit::Total => None,
    }
}

fn windowed(limits: &Limits) -> bool {
    let any = limits.rate_limit_requests + limits.rate_limit_tokens + limits.rate_limit_cost > 0;
    limits.rate_limit_window_minutes > 0 && any
}

fn sum(list: &[u64]) -> u64 {
    list.iter().sum()
}

impl Plain {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::new(),
            woken: vec![],
            decides_anew: false,
            learned: false,
            record: None,
            stale: false,
            activated: None,
            leases: Leases(vec![]),
            kept: Leases(vec![]),
            ended: vec![],
            released: BTreeSet::new(),
            waiters: vec![],
            reader: None,
            seeded: false,
            windows: 0,
            window: None,
            periods: <[Period; 3]>::default(),
            spent: PerLimit::default(),
        }
    }

    pub(super) fn death(&mut self) {
        self.leases.0.clear();
        self.waiters.clear();
        self.reader = None;
        self.ended.clear();
        self.stale = true;
    }

    fn limits(&self) -> Limits {
        self.record
            .as_ref()
            .map(|policy| policy.limits)
            .unwrap_or_default()
    }

    fn activated_at(&self) -> Option<Millis> {
        let stored = self.record.as_ref().and_then(|policy| policy.activated_at);
        stored.or(self.activated)
    }

    fn realign(&mut self, now: Millis) {
        let spans = spans(now, self.limits());
        for (period, span) in self.periods.iter_mut().zip(spans) {
            (period.start, period.end) = span;
        }
    }

    /// What time alone does; gives the present.
    pub(super) fn begin(&mut self) -> Millis {
        let (now, set_back) = self.clock.now();
        if set_back {
            self.realign(now);
            self.activated = self.activated.map(|at| at.min(now));
            let ended = self.ended.iter_mut().map(|(_, _, end)| end);
            ended.for_each(|end| end.set_back(now));
            if let Some((_, end)) = &mut self.reader {
                end.set_back(now);
            }
            for waiter in &mut self.waiters {
                waiter.end.set_back(now);
                waiter.since = waiter.since.min(now);
            }
            if let Some(window) = &mut self.window {
                window.end.set_back(now);
                window.start = window.start.min(now);
            }
        }
        let spans = spans(now, self.limits());
        for (at, (start, end)) in spans.into_iter().enumerate() {
            let period = &mut self.periods[at];
            if now >= period.end {
                let round = period.round + 1;
                *period = Period { round, start, end };
                for (limit, list) in self.spent.iter_mut() {
                    if period_of(limit) == Some(at) {
                        list.clear();
                    }
                }
            }
        }
        self.ended.retain(|(_, _, end)| now < end.until);
        self.kept.begin(now, set_back);
        for waiter in self.waiters.extract_if(.., |waiter| waiter.end.until <= now) {
            self.woken.push(waiter.call);
        }
        for Lease { call, what, .. } in self.leases.begin(now, set_back) {
            if !what.offered {
                self.end(now, call, what.rounds);
            }
        }
        self.offer_slots(now);
        now
    }

    /// The call may still be counted, in the periods it was last admitted in.
    fn end(&mut self, now: Millis, call: CallId, rounds: Rounds) {
        self.ended.retain(|(other, _, _)| *other != call);
        self.released.remove(&call);
        self.ended.push((call, rounds, End::after(now, KEEP_MS)));
    }

    fn slots(&self) -> usize {
        self.leases.0.iter().filter(|lease| lease.what.slot).count()
    }

    pub(super) fn offer_slots(&mut self, now: Millis) {
        while !self.waiters.is_empty() {
            let open = |policy: &&KeyPolicy| policy.active && self.expiry().is_none_or(|at| now < at);
            let limit = self
                .record
                .as_ref()
                .filter(open)
                .map(|policy| policy.concurrency_limit as usize);
            if limit.is_some_and(|limit| limit > 0 && self.slots() >= limit) {
                return;
            }
            let waiter = self.waiters.remove(0);
            self.woken.push(waiter.call);
            if limit.is_some() {
                let held = Held {
                    slot: true,
                    offered: true,
                    waited_ms: now - waiter.since,
                    reserved: Estimate::default(),
                    opus: false,
                    rounds: (0, [0; 3]),
                };
                let clock = self.clock.clone();
                self.leases.put_unswept(&clock, now, waiter.call, CLAIM_MS, held);
            }
        }
    }

    /// When the key expires.
    pub(super) fn expiry(&self) -> Option<Millis> {
        let policy = self.record.as_ref()?;
        let by_use = self.activated_at().map(|at| at + policy.valid_for_ms);
        let by_use = by_use.filter(|_| policy.valid_for_ms > 0);
        [policy.expires_at, by_use].into_iter().flatten().min()
    }

    /// Whether a call that waits reads the record, and has time left.
    fn is_being_read(&self, now: Millis) -> bool {
        self.reader
            .is_some_and(|(call, end)| now < end.until && self.waits(call).is_some())
    }

    /// Who must be woken after the command, and who may be: when it is in doubt what is known, one call reads.
    pub(super) fn wake_waiters(&mut self, now: Millis, woken: &[CallId]) {
        if std::mem::take(&mut self.decides_anew) {
            self.woken.extend(self.waiters.iter().map(|waiter| waiter.call));
        }
        if woken.len() == self.woken.len() + 1
            && let Some(reader) = woken.last().copied()
        {
            assert!(
                self.waits(reader).is_some(),
                "only a call that waits reads for the others"
            );
            assert!(
                !self.stale || !self.is_being_read(now),
                "two read the record at once"
            );
            self.reader = Some((reader, End::after(now, READ_MS)));
            self.woken.push(reader);
        }
        if self.stale && !self.waiters.is_empty() {
            assert!(
                self.is_being_read(now),
                "nobody reads the record for those who wait"
            );
        }
        // The record is known, or nobody waits for it: that read is of no more use.
        if !self.stale || self.waiters.is_empty() {
            self.reader = None;
        }
    }

    fn live(&self, now: Millis) -> Option<&Window> {
        self.window.as_ref().filter(|window| now < window.end.until)
    }

    /// Estimates of the calls that `of` names, by their periods and model.
    fn reserved(&self, of: impl Fn(Rounds, bool) -> bool) -> Estimate {
        let held = self.leases.0.iter().map(|lease| &lease.what);
        let held = held.map(|held| (held.rounds, held.opus, held.reserved));
        let kept = self.kept.0.iter().map(|lease| &lease.what);
        let kept = kept.map(|kept| (kept.rounds, kept.opus, kept.reserved));
        let mut sum = Estimate::default();
        for (_, _, reserved) in held.chain(kept).filter(|(rounds, opus, _)| of(*rounds, *opus)) {
            sum.tokens += reserved.tokens;
            sum.cost += reserved.cost;
        }
        sum
    }

    fn in_window(&self, now: Millis) -> Estimate {
        let round = self.live(now).map(|window| window.round);
        self.reserved(|rounds, _| Some(rounds.0) == round)
    }

    /// Whether a call that was admitted then counts for the limit now.
    fn counts(&self, limit: MoneyLimit, rounds: Rounds, opus: bool) -> bool {
        let is_now = period_of(limit).is_none_or(|at| self.periods[at].round == rounds.1[at]);
        is_now && (opus || limit != MoneyLimit::WeekOpus)
    }

    /// What is reserved of the limit.
    fn held_of(&self, limit: MoneyLimit) -> u64 {
        self.reserved(|rounds, opus| self.counts(limit, rounds, opus))
            .cost
    }

    fn resets_at(&self, limit: MoneyLimit) -> Option<Millis> {
        period_of(limit).map(|at| self.periods[at].end)
    }

    fn runs(&self, call: CallId) -> bool {
        self.leases.get(call).is_some_and(|lease| !lease.what.offered)
    }

    fn waits(&self, call: CallId) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.call == call)
    }

    fn cancel(&mut self, now: Millis, call: CallId) {
        self.waiters.retain(|waiter| waiter.call != call);
        if let Some(lease) = self.leases.free(call)
            && !lease.what.offered
            && let Some(window) = &mut self.window
            && window.round == lease.what.rounds.0
            && now < window.end.until
        {
            window.requests -= 1;
        }
    }

    fn keep(&mut self, now: Millis, call: CallId, kept: CallId, ttl_ms: u64) {
        if !self.runs(call) || self.kept.get(kept).is_some() {
            return;
        }
        let running = self.leases.0.iter_mut().find(|lease| lease.call == call);
        let held = &mut running.expect("it runs").what;
        let what = Kept {
            reserved: std::mem::take(&mut held.reserved),
            opus: held.opus,
            rounds: held.rounds,
        };
        self.kept.put_unswept(&self.clock, now, kept, ttl_ms, what);
    }

    /// As if the lease's time were up.
    fn release(&mut self, now: Millis, call: CallId) {
        if let Some(lease) = self.leases.free(call)
            && !lease.what.offered
        {
            self.end(now, call, lease.what.rounds);
            self.released.insert(call);
        }
    }

    /// Counts it; gives the window's number.
    fn request(&mut self, now: Millis, limits: &Limits) -> u64 {
        if !windowed(limits) {
            return 0;
        }
        if self.live(now).is_none() {
            self.windows += 1;
            self.window = Some(Window {
                round: self.windows,
                start: now,
                end: End::after(now, limits.rate_limit_window_minutes * 60_000),
                requests: 0,
                used: vec![],
            });
        }
        let window = self.window.as_mut().expect("there is one");
        window.requests += 1;
        window.round
    }

    fn settle(&mut self, now: Millis, call: CallId, usage: Option<Usage>) {
        self.waiters.retain(|waiter| waiter.call != call);
        let lease = self.leases.free(call).filter(|lease| !lease.what.offered);
        let late = self
            .ended
            .iter()
            .find(|(other, _, _)| *other == call)
            .map(|(_, rounds, _)| *rounds);
        self.ended.retain(|(other, _, _)| *other != call);
        let kept = self.kept.free(call).map(|lease| lease.what.rounds);
        let rounds = lease.map(|lease| lease.what.rounds).or(late).or(kept);
        let (Some(rounds), Some(usage)) = (rounds, usage) else {
            return;
        };
        if let Some(window) = self
            .window
            .as_mut()
            .filter(|window| window.round == rounds.0 && now < window.end.until)
        {
            window.used.push(usage);
        }
        for limit in MoneyLimit::ALL {
            if self.counts(limit, rounds, usage.opus) {
                self.spent[limit].push(usage.cost);
            }
        }
    }

    fn seed(&mut self, seed: &SeedSpend) {
        if std::mem::replace(&mut self.seeded, true) {
            return;
        }
        for limit in MoneyLimit::ALL {
            if period_of(limit).is_none_or(|at| seed.as_of >= self.periods[at].start) {
                let missing = seed.spent[limit].saturating_sub(sum(&self.spent[limit]));
                self.spent[limit].push(missing);
            }
        }
    }

    fn reset(&mut self, which: ResetScope) {
        let all = which == ResetScope::All;
        self.seeded |= all;
        if all || which == ResetScope::Window {
            self.window = None;
        }
        for (limit, list) in self.spent.iter_mut() {
            if all || which == ResetScope::Money(limit) {
                list.clear();
            }
        }
    }

    fn learn(&mut self, now: Millis, policy: Option<KeyPolicy>) {
        let known = std::mem::replace(&mut self.learned, true);
        self.stale = false;
        self.reader = None;
        if known && self.record == policy {
            return;
        }
        let old = std::mem::replace(&mut self.record, policy.clone());
        let Some(policy) = policy else { return };
        let deciding = |policy: &KeyPolicy| {
            (
                (
                    policy.active,
                    policy.expires_at,
                    policy.valid_for_ms,
                    policy.activated_at,
                ),
                (policy.permissions.clone(), policy.allowed_clients.clone()),
                (
                    policy.model_restriction,
                    policy.model_mode,
                    policy.restricted_models.clone(),
                ),
                policy.limits,
            )
        };
        self.decides_anew = old.as_ref().is_none_or(|old| deciding(old) != deciding(&policy));
        if policy.activated_at.is_some() || policy.valid_for_ms == 0 {
            self.activated = None;
        }
        self.realign(now);
        let limits = policy.limits;
        let window = |limits: &Limits| (windowed(limits), limits.rate_limit_window_minutes);
        if !windowed(&limits) {
            self.window = None;
        } else if old.is_none_or(|old| window(&old.limits) != window(&limits))
            && let Some(window) = &mut self.window
        {
            let until = window.start + limits.rate_limit_window_minutes * 60_000;
            window.end = End {
                until,
                span: until.saturating_sub(now),
            };
        }
    }

    /// What the gate must have answered, and what it must be like then.
    pub(super) fn check(&mut self, now: Millis, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Learn { policy }, Reply::Done) => self.learn(now, policy.as_deref().cloned()),
            (Command::Admit(admit), Reply::NeedPolicy) => {
                assert!(!self.learned || admit.learned_since > 0, "the old record must do");
                if self.waits(admit.call).is_some() {
                    let alone = self.reader.is_some_and(|(call, _)| call == admit.call);
                    assert!(
                        !self.stale || alone || !self.is_being_read(now),
                        "two read the record at once"
                    );
                    if !(alone && self.is_being_read(now)) {
                        self.reader = Some((admit.call, End::after(now, READ_MS)));
                    }
                }
            }
            (Command::Admit(admit), reply) => {
                assert!(self.learned, "nothing was ever learned");
                let other_reads =
                    self.reader.is_some_and(|(call, _)| call != admit.call) && self.is_being_read(now);
                if admit.learned_since > 0
                    && other_reads
                    && self.waits(admit.call).is_some()
                    && matches!(reply, Reply::Queued { .. })
                {
                    self.still_waits(now, admit.call, reply);
                    return;
                }
                assert!(!self.stale || admit.learned_since == 0, "the record is stale");
                match reply {
                    Reply::NeedSpend => {
                        assert_eq!(self.restriction(now, admit), None);
                        assert!(!self.seeded && admit.learned_since > 0 && !self.runs(admit.call));
                    }
                    Reply::Granted { .. } => self.granted(now, admit, reply),
                    Reply::Queued { .. } => self.queued(now, admit, reply),
                    Reply::Refused(refusal) => self.refused(now, admit, refusal),
                    other => panic!("{admit:?} was answered by {other:?}"),
                }
            }
            (Command::Renew { call, ttl_ms, .. }, reply) => {
                let end = if self.runs(*call) {
                    self.leases.renew(&self.clock, now, *call, *ttl_ms);
                    let gone = self.record.as_ref().is_none_or(|record| !record.active);
                    (self.learned && gone).then_some(CallEnd::KeyGone)
                } else {
                    let mut ended = self.ended.iter();
                    let released = ended.any(|(ended, ..)| ended == call) && self.released.contains(call);
                    released.then_some(CallEnd::Released)
                };
                assert_eq!(*reply, end.map_or(Reply::Done, Reply::Ended));
            }
            (Command::Settle { call, usage, .. }, Reply::Done) => self.settle(now, *call, *usage),
            (Command::Keep { call, kept, ttl_ms }, Reply::Done) => self.keep(now, *call, *kept, *ttl_ms),
            (Command::Cancel { call }, Reply::Done) => self.cancel(now, *call),
            (Command::Release { call }, Reply::Done) => self.release(now, *call),
            (Command::SeedSpend(seed), Reply::Done) => self.seed(seed),
            (Command::ResetSpend { which }, Reply::NeedSpend) => {
                assert!(!self.seeded && !matches!(which, ResetScope::All | ResetScope::Window));
            }
            (Command::ResetSpend { which }, Reply::Done) => self.reset(*which),
            (Command::Invalidate, Reply::Done) => {
                self.stale = true;
                self.reader = None;
            }
            (Command::Snapshot, Reply::Snapshot(_)) => {}
            (command, reply) => panic!("{command:?} was answered by {reply:?}"),
        }
    }

    /// When the first lease or wait ends.
    pub(super) fn first_end(&self) -> Option<Millis> {
        let leases = self.leases.0.iter().map(|lease| lease.end.until);
        leases
            .chain(self.waiters.iter().map(|waiter| waiter.end.until))
            .chain(self.expiry().filter(|_| !self.waiters.is_empty()))
            .min()
    }

    /// What a snapshot taken now must be.
    pub(super) fn shown(mut self) -> Snapshot {
        let now = self.begin();
        self.leases.none_outlives_its_ttl(&self.clock);
        self.kept.none_outlives_its_ttl(&self.clock);
        let mut leases: Vec<_> = self
            .leases
            .0
            .iter()
            .map(|lease| LeaseSnapshot {
                call: lease.call,
                since: lease.since,
                until: lease.end.until,
                slot: lease.what.slot,
                offered: lease.what.offered,
                reserved: lease.what.reserved,
            })
            .collect();
        leases.sort_unstable_by_key(|lease| lease.call);
        let waiters = self.waiters.iter().map(|waiter| WaiterSnapshot {
            call: waiter.call,
            since: waiter.since,
            until: waiter.end.until,
        });
        let window = self.live(now).map(|window| WindowSnapshot {
            start: window.start,
            end: window.end.until,
            requests: window.requests,
            used: Estimate {
                tokens: window.used.iter().map(|usage| usage.tokens).sum(),
                cost: window.used.iter().map(|usage| usage.cost).sum(),
            },
            reserved: self.in_window(now),
        });
        let spent = PerLimit::of(|limit| SpendSnapshot {
            spent: sum(&self.spent[limit]),
            reserved: self.held_of(limit),
            resets_at: self.resets_at(limit),
            known: self.seeded,
        });
        Snapshot {
            activated_at: self.activated_at(),
            waiters: waiters.collect(),
            leases,
            window,
            spent,
            events: 0,
            given_up: 0,
            policy: self.record.map(Into::into),
        }
    }
}
