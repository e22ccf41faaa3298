//! Periods (buckets) and scopes of sums, and their names in the store.

use std::fmt;

use super::{DAY_DAYS, HOUR_DAYS, MONTH_MONTHS};
use crate::model::calendar::{Calendar, Day, Hour, Month};
use crate::model::money::MicroUsd;
use crate::model::usage::{Quality, Totals};
use crate::port::clock::Millis;

/// A period with its own sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    Hour(Hour),
    Day(Day),
    Month(Month),
    All,
}

/// The subject of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope<'a> {
    Total,
    /// By id.
    Key(&'a str),
    /// By id.
    Account(&'a str),
    /// By name.
    Model(&'a str),
    /// A model as one key used it: (id of the key, name). By day and all time only.
    KeyModel(&'a str, &'a str),
    /// A key's calls on one account: (id of the key, id of the account). By day only.
    KeyAccount(&'a str, &'a str),
}

/// The members of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind<'a> {
    Keys,
    Accounts,
    Models,
    /// The models of one key, by its id. By day and all time only.
    ModelsOf(&'a str),
    /// The keys that used one account, by its id. By day only.
    KeysOf(&'a str),
    /// The accounts that served one key, by its id. By day only.
    AccountsOf(&'a str),
}

impl Bucket {
    /// When the bucket's sums expire; `None`: never.
    pub(super) fn expire_at(self, calendar: Calendar) -> Option<Millis> {
        match self {
            Self::Hour(hour) => Some(calendar.start(hour.day().after(HOUR_DAYS + 1))),
            Self::Day(day) => Some(calendar.start(day.after(DAY_DAYS + 1))),
            Self::Month(month) => Some(calendar.start(month.first_day().after(31 * (MONTH_MONTHS + 1)))),
            Self::All => None,
        }
    }

    /// Its name among buckets of the same length: `2026-01-31:09`, `2026-01-31` or `2026-01`.
    pub(super) fn label(self) -> String {
        match self {
            Self::Hour(hour) => hour.to_string(),
            Self::Day(day) => day.to_string(),
            Self::Month(month) => month.to_string(),
            Self::All => self.to_string(),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour(hour) => write!(f, "hour:{hour}"),
            Self::Day(day) => write!(f, "day:{day}"),
            Self::Month(month) => write!(f, "month:{month}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// Names chosen by clients or providers come last, so that no scope's text equals another's.
impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total => f.write_str("total"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Model(name) => write!(f, "model:{name}"),
            Self::KeyModel(id, name) => write!(f, "key-model:{id}:{name}"),
            Self::KeyAccount(key, account) => write!(f, "key-account:{key}:{account}"),
        }
    }
}

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys => f.write_str("keys"),
            Self::Accounts => f.write_str("accounts"),
            Self::Models => f.write_str("models"),
            Self::ModelsOf(id) => write!(f, "models-of:{id}"),
            Self::KeysOf(id) => write!(f, "keys-of:{id}"),
            Self::AccountsOf(id) => write!(f, "accounts-of:{id}"),
        }
    }
}

impl<'a> Kind<'a> {
    /// The scope of a member of this ranking.
    pub(super) fn scope(self, member: &'a str) -> Scope<'a> {
        match self {
            Self::Keys => Scope::Key(member),
            Self::Accounts => Scope::Account(member),
            Self::Models => Scope::Model(member),
            Self::ModelsOf(key) => Scope::KeyModel(key, member),
            Self::KeysOf(account) => Scope::KeyAccount(member, account),
            Self::AccountsOf(key) => Scope::KeyAccount(key, member),
        }
    }

    /// Whether the ranking is kept by day only.
    pub(super) fn by_day_only(self) -> bool {
        matches!(self, Self::KeysOf(_) | Self::AccountsOf(_))
    }
}

impl<'a> Scope<'a> {
    /// The rankings that contain this scope, and its member names there.
    pub(super) fn rankings(self) -> impl Iterator<Item = (Kind<'a>, &'a str)> {
        let (first, second) = match self {
            Self::Total => (None, None),
            Self::Key(id) => (Some((Kind::Keys, id)), None),
            Self::Account(id) => (Some((Kind::Accounts, id)), None),
            Self::Model(name) => (Some((Kind::Models, name)), None),
            Self::KeyModel(id, name) => (Some((Kind::ModelsOf(id), name)), None),
            Self::KeyAccount(key, account) => (
                Some((Kind::KeysOf(account), key)),
                Some((Kind::AccountsOf(key), account)),
            ),
        };
        first.into_iter().chain(second)
    }
}

/// The store's names for the figures of [`Totals`].
pub(super) const METRICS: [&str; 10] = [
    "requests",
    "errors",
    "partial",
    "estimated",
    "input",
    "output",
    "cacheWrite5m",
    "cacheWrite1h",
    "cacheRead",
    "cost",
];

/// In the order of [`METRICS`].
pub(super) fn figures(totals: &Totals) -> [u64; METRICS.len()] {
    let Totals {
        requests,
        errors,
        partial,
        estimated,
        tokens,
        cost,
    } = *totals;
    [
        requests,
        errors,
        partial,
        estimated,
        tokens.input,
        tokens.output,
        tokens.cache_write_5m,
        tokens.cache_write_1h,
        tokens.cache_read,
        cost.0,
    ]
}

/// The inverse of [`figures`]; missing ones are 0.
pub(super) fn totals(figures: impl IntoIterator<Item = u64>) -> Totals {
    let mut next = figures.into_iter();
    let mut figure = || next.next().unwrap_or_default();
    let mut totals = Totals {
        requests: figure(),
        errors: figure(),
        partial: figure(),
        estimated: figure(),
        ..Totals::default()
    };
    totals.tokens.input = figure();
    totals.tokens.output = figure();
    totals.tokens.cache_write_5m = figure();
    totals.tokens.cache_write_1h = figure();
    totals.tokens.cache_read = figure();
    totals.cost = MicroUsd(figure());
    totals
}

/// The number of a day's calls that have the sums of [`is_detail`]. Older versions did not write these; if this
/// is less than the day's `requests`, the sums cover only some of the calls.
pub(super) const DETAILED: &str = "detailed";

/// The metric for failed calls of a scope with this code. Codes contain no colon.
pub(super) fn failure_metric(code: &str) -> String {
    format!("failure.{code}")
}

/// Whether a field of a day's sums is counted by [`DETAILED`].
pub(super) fn is_detail(field: &str) -> bool {
    let Some((metric, scope)) = field.split_once(':') else {
        return false;
    };
    let is_time = metric.contains('<');
    metric == DETAILED
        || metric.starts_with("failure.")
        || scope.starts_with("key-account:")
        || (is_time && scope.starts_with("model:"))
}

/// The name of a sum's field in its bucket's hash.
pub(super) fn field(metric: &str, scope: Scope<'_>) -> String {
    format!("{metric}:{scope}")
}

/// The figures that one event adds.
pub(super) fn of_event(event: &crate::model::usage::LedgerEvent) -> Totals {
    Totals {
        requests: 1,
        errors: u64::from(event.status >= 400 || event.error.is_some()),
        partial: u64::from(event.quality == Quality::Partial),
        estimated: u64::from(event.quality == Quality::Estimated),
        tokens: event.tokens,
        cost: event.cost,
    }
}
