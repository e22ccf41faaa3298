//! A key's usage: in its window, and for each limit on money ([`MoneyLimit`]).
//!
//! Each sum is the exact usage, to the micro-dollar, of settled calls that were admitted in that period; a call that
//! settles after the end of its period counts only in the total. Periods are numbered, so that no jump of the clock
//! and no change of the calendar can move a call into another one.
//!
//! A period ends by the clock. After the clock was set back, the period keeps its sum, and ends at most one whole
//! period from now. A clock set forward past the end of a period ends it.

mod stored;

use serde::{Deserialize, Serialize};

use self::stored::StoredSpend;
use super::calendar::Calendar;
use super::command::{
    Estimate, Limit, LimitReached, ResetScope, SeedSpend, Snapshot, SpendSnapshot, Usage, WindowSnapshot,
};
use super::money::{MoneyLimit, PerLimit, Span};
use super::policy::Limits;
use crate::Millis;
use crate::time::Deadline;

/// Numbers of the periods in which a call was admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Rounds {
    /// 0: the call counts in no window.
    window: u64,
    day: u64,
    week: u64,
    month: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredSpend")]
pub(super) struct Spend {
    /// Whether the sum of a limit includes the spending from before this gate began.
    known: PerLimit<bool>,
    /// May be over: the next request begins another one.
    window: Option<Window>,
    /// Number of windows so far.
    windows: u64,
    day: Period,
    week: Period,
    month: Period,
    sums: PerLimit<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    round: u64,
    start: Millis,
    end: Deadline,
    requests: u64,
    used: Estimate,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Period {
    round: u64,
    start: Millis,
    end: Millis,
}

/// The amounts that running calls may still use, by the sums that they will be added to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reservations {
    window: Estimate,
    money: PerLimit<u64>,
}

/// One limit and its use.
struct Use {
    which: Limit,
    limit: u64,
    used: u64,
    reserved: u64,
    asked: u64,
    resets_at: Option<Millis>,
}

/// The spans that restart.
const PERIODS: [Span; 3] = [Span::Day, Span::Week, Span::Month];

impl Rounds {
    fn of(self, span: Span) -> u64 {
        match span {
            Span::Day => self.day,
            Span::Week => self.week,
            Span::Month => self.month,
            Span::Ever => 0,
        }
    }
}

impl Period {
    /// Begins the next period if this one is over; returns whether it did.
    fn roll(&mut self, now: Millis, span: (Millis, Millis)) -> bool {
        let over = self.end <= now;
        if over {
            *self = Self {
                round: self.round.saturating_add(1),
                start: span.0,
                end: span.1,
            };
        }
        over
    }

    fn realign(&mut self, span: (Millis, Millis)) {
        (self.start, self.end) = span;
    }
}

impl Spend {
    /// Begins all periods that are due; returns whether there were any.
    pub(super) fn roll(&mut self, now: Millis, calendar: Calendar) -> bool {
        let mut any = false;
        for span in PERIODS {
            if let (Some(period), Some(now_in)) = (self.period_mut(span), calendar.of(span, now))
                && period.roll(now, now_in)
            {
                any = true;
                for limit in MoneyLimit::ALL
                    .into_iter()
                    .filter(|limit| limit.row().span == span)
                {
                    self.sums[limit] = 0;
                }
            }
        }
        any
    }

    /// The clock was set back, or the operator's days begin at another time: moves the sums to the current periods.
    pub(super) fn realign(&mut self, now: Millis, calendar: Calendar) {
        for span in PERIODS {
            if let (Some(period), Some(now_in)) = (self.period_mut(span), calendar.of(span, now)) {
                period.realign(now_in);
            }
        }
    }

    /// `None`: all time.
    fn period(&self, span: Span) -> Option<&Period> {
        match span {
            Span::Day => Some(&self.day),
            Span::Week => Some(&self.week),
            Span::Month => Some(&self.month),
            Span::Ever => None,
        }
    }

    fn period_mut(&mut self, span: Span) -> Option<&mut Period> {
        match span {
            Span::Day => Some(&mut self.day),
            Span::Week => Some(&mut self.week),
            Span::Month => Some(&mut self.month),
            Span::Ever => None,
        }
    }

    /// When the sum of this limit restarts at 0.
    fn ends(&self, limit: MoneyLimit) -> Option<Millis> {
        self.period(limit.row().span).map(|period| period.end)
    }

    /// Whether a call that was admitted in these periods counts for this limit now.
    fn counts(&self, limit: MoneyLimit, rounds: Rounds, opus: bool) -> bool {
        let row = limit.row();
        let admitted_in = rounds.of(row.span);
        // 0: admitted by a version that did not number these periods yet.
        let is_now = |period: &Period| period.round == admitted_in || admitted_in == 0;
        self.period(row.span).is_none_or(is_now) && (opus || !row.opus_only)
    }

    pub(super) fn set_back(&mut self, now: Millis, calendar: Calendar) {
        self.realign(now, calendar);
        if let Some(window) = &mut self.window {
            window.end.set_back(now);
            window.start = window.start.min(now);
        }
    }

    /// Applies a new length to the current window, counted from its beginning.
    pub(super) fn resize_window(&mut self, now: Millis, limits: &Limits) {
        match &mut self.window {
            Some(window) if limits.windowed() => {
                window.end = Deadline::at(now, window.start.saturating_add(limits.window_ms()));
            }
            window => *window = None,
        }
    }

    /// Counts a request in the current periods and returns their numbers.
    pub(super) fn begin(&mut self, now: Millis, limits: &Limits) -> Rounds {
        let mut rounds = Rounds {
            window: 0,
            day: self.day.round,
            week: self.week.round,
            month: self.month.round,
        };
        if limits.windowed() {
            if self.live(now).is_none() {
                self.windows = self.windows.saturating_add(1);
                self.window = Some(Window {
                    round: self.windows,
                    start: now,
                    end: Deadline::after(now, limits.window_ms()),
                    requests: 0,
                    used: Estimate::default(),
                });
            }
            if let Some(window) = &mut self.window {
                window.requests = window.requests.saturating_add(1);
                rounds.window = window.round;
            }
        }
        rounds
    }

    /// Uncounts a request that will not run; returns whether it was counted anywhere.
    pub(super) fn forget(&mut self, now: Millis, rounds: Rounds) -> bool {
        match &mut self.window {
            Some(window) if window.round == rounds.window && !window.end.passed(now) => {
                window.requests = window.requests.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    /// Counts the usage of a call that was admitted in these periods.
    pub(super) fn settle(&mut self, now: Millis, rounds: Rounds, usage: &Usage) {
        if let Some(window) = &mut self.window
            && window.round == rounds.window
            && !window.end.passed(now)
        {
            window.used.add(usage.tokens, usage.cost);
        }
        for limit in MoneyLimit::ALL {
            if self.counts(limit, rounds, usage.opus) {
                self.sums[limit] = self.sums[limit].saturating_add(usage.cost);
            }
        }
    }

    /// Whether all spending of these limits is known.
    pub(super) fn knows(&self, mut limits: impl Iterator<Item = MoneyLimit>) -> bool {
        limits.all(|limit| self.known[limit])
    }

    pub(super) fn seed(&mut self, seed: &SeedSpend) {
        for (limit, spent) in seed.spent.iter() {
            if std::mem::replace(&mut self.known[limit], true) {
                continue;
            }
            let period = self.period(limit.row().span);
            if period.is_none_or(|period| seed.as_of >= period.start) {
                self.sums[limit] = self.sums[limit].max(*spent);
            }
        }
    }

    /// Takes over the sums of the gate of the key's former secret, including its reservations, unless this gate has
    /// already counted something. Returns whether it did. Skips periods that are over.
    pub(super) fn inherit(&mut self, now: Millis, from: &Snapshot) -> bool {
        let knows_any = self.known.values().any(|known| *known);
        if knows_any || self.windows > 0 || self.sums[MoneyLimit::Total] > 0 {
            return false;
        }
        let taken = |sum: &SpendSnapshot| {
            let running = sum.resets_at.is_none_or(|end| end > now);
            if running {
                sum.spent.saturating_add(sum.reserved)
            } else {
                0
            }
        };
        self.known = from.spent.map(|_, sum| sum.known);
        self.sums = from.spent.map(|_, sum| taken(sum));
        if let Some(window) = from.window.as_ref().filter(|window| window.end > now) {
            let mut used = window.used;
            used.add(window.reserved.tokens, window.reserved.cost);
            self.windows = 1;
            self.window = Some(Window {
                round: 1,
                start: window.start,
                end: Deadline::at(now, window.end),
                requests: window.requests,
                used,
            });
        }
        true
    }

    /// A part of the spending can be reset only if all of it is known: a later seed would bring it back.
    pub(super) fn can_reset(&self, which: ResetScope) -> bool {
        match which {
            ResetScope::Money(limit) => self.known[limit],
            ResetScope::All | ResetScope::Window => true,
        }
    }

    pub(super) fn reset(&mut self, which: ResetScope) {
        let these = |one| which == one || which == ResetScope::All;
        if these(ResetScope::Window) {
            self.window = None;
        }
        for (limit, sum) in self.sums.iter_mut() {
            if these(ResetScope::Money(limit)) {
                *sum = 0;
                // The spending from before this gate began is reset too.
                self.known[limit] = true;
            }
        }
    }

    /// Sums up the reservations of calls, each with its periods, its estimate, and whether it is of the Opus class.
    pub(super) fn reserved(
        &self,
        now: Millis,
        calls: impl Iterator<Item = (Rounds, Estimate, bool)>,
    ) -> Reservations {
        let window = self.live(now).map(|window| window.round);
        let mut sum = Reservations::default();
        for (rounds, Estimate { tokens, cost }, opus) in calls {
            if window == Some(rounds.window) {
                sum.window.add(tokens, cost);
            }
            for (limit, reserved) in sum.money.iter_mut() {
                if self.counts(limit, rounds, opus) {
                    *reserved = reserved.saturating_add(cost);
                }
            }
        }
        sum
    }

    /// The limit that refuses a call with this estimate; of several, the one that lasts longest, because the call
    /// cannot be admitted before that. `soon`: when to ask again if room is only reserved.
    pub(super) fn reached(
        &self,
        now: Millis,
        limits: &Limits,
        reserved: &Reservations,
        (asked, opus): (Estimate, bool),
        soon: u64,
    ) -> Option<LimitReached> {
        let one = |which, limit, used, reserved, asked, resets_at| Use {
            which,
            limit,
            used,
            reserved,
            asked,
            resets_at,
        };
        let money = |which, limit, used, reserved, resets_at| {
            one(which, limit, used, reserved, asked.cost, resets_at)
        };
        let window = self.live(now).filter(|_| limits.windowed()).map(|window| {
            let ends = Some(window.end.until());
            let (used, held) = (window.used, reserved.window);
            let (requests, tokens) = (limits.rate_limit_requests, limits.rate_limit_tokens);
            [
                one(Limit::WindowRequests, requests, window.requests, 0, 0, ends),
                one(
                    Limit::WindowTokens,
                    tokens,
                    used.tokens,
                    held.tokens,
                    asked.tokens,
                    ends,
                ),
                money(
                    Limit::WindowCost,
                    limits.rate_limit_cost,
                    used.cost,
                    held.cost,
                    ends,
                ),
            ]
        });
        let of_money = limits.money.iter().map(|(limit, most)| {
            let most = if opus || !limit.row().opus_only { *most } else { 0 };
            let (used, held) = (self.sums[limit], reserved.money[limit]);
            money(Limit::Money(limit), most, used, held, self.ends(limit))
        });
        window
            .into_iter()
            .flatten()
            .chain(of_money)
            .filter(Use::refuses)
            .map(|limit| limit.report(now, soon))
            .max_by_key(|reached| reached.retry_after_ms.unwrap_or(u64::MAX))
    }

    pub(super) fn window_snapshot(&self, now: Millis, reserved: &Reservations) -> Option<WindowSnapshot> {
        self.live(now).map(|window| WindowSnapshot {
            start: window.start,
            end: window.end.until(),
            requests: window.requests,
            used: window.used,
            reserved: reserved.window,
        })
    }

    pub(super) fn snapshots(&self, reserved: &Reservations) -> PerLimit<SpendSnapshot> {
        PerLimit::of(|limit| SpendSnapshot {
            spent: self.sums[limit],
            reserved: reserved.money[limit],
            resets_at: self.ends(limit),
            known: self.known[limit],
        })
    }

    /// The window, if it is not over.
    fn live(&self, now: Millis) -> Option<&Window> {
        self.window.as_ref().filter(|window| !window.end.passed(now))
    }
}

impl Use {
    /// A limit admits calls while any of it is left and their estimates fit. A call that runs alone need not fit: an
    /// estimate is a guess, and a key with a dollar left is good for one more call.
    fn refuses(&self) -> bool {
        let taken = self.used.saturating_add(self.reserved);
        let fits = self.reserved == 0 || taken.saturating_add(self.asked) <= self.limit;
        self.limit > 0 && (taken >= self.limit || !fits)
    }

    fn report(self, now: Millis, soon: u64) -> LimitReached {
        let reset = self.resets_at.map(|at| at.saturating_sub(now));
        let retry_after_ms = if self.used < self.limit {
            Some(reset.map_or(soon, |reset| reset.min(soon)))
        } else {
            reset
        };
        LimitReached {
            which: self.which,
            limit: self.limit,
            used: self.used,
            reserved: self.reserved,
            resets_at: self.resets_at,
            retry_after_ms,
        }
    }
}

impl Estimate {
    fn add(&mut self, tokens: u64, cost: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
        self.cost = self.cost.saturating_add(cost);
    }
}
