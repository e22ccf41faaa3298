//! The requested period: a named range, or a first and a last day.

use serde::Serialize;

use super::super::super::api_error::ApiError;
use crate::app::App;
use crate::model::calendar::Day;
use crate::port::clock::Millis;
use crate::store::ledger::{DAY_DAYS, Range, Span};

/// The requested period, as repeated in the answer.
pub(super) struct RequestedSpan {
    pub(super) span: Span,
    /// `None` if days were requested.
    pub(super) range: Option<Range>,
    /// `None` for all time.
    pub(super) days: Option<DaysView>,
}

/// Labels of the first and the last day.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DaysView {
    pub(super) from: String,
    pub(super) to: String,
}

impl From<(Day, Day)> for DaysView {
    fn from((first, last): (Day, Day)) -> Self {
        Self {
            from: first.to_string(),
            to: last.to_string(),
        }
    }
}

impl RequestedSpan {
    /// Today, if nothing was sent. Days must be within the retention.
    pub(super) fn read(
        app: &App,
        range: Option<Range>,
        from: Option<&str>,
        to: Option<&str>,
        now: Millis,
    ) -> Result<Self, ApiError> {
        let (span, range) = match days(app, from, to, now)? {
            Some(_) if range.is_some() => {
                let message = "`range` cannot be sent with `from` or `to`";
                return Err(ApiError::invalid("range", message));
            }
            Some((first, last)) => (Span::Days { first, last }, None),
            None => {
                let range = range.unwrap_or(Range::Today);
                (Span::Named(range), Some(range))
            }
        };
        Ok(Self {
            span,
            range,
            days: app.ledger.days_of(span, now).map(DaysView::from),
        })
    }

    pub(super) fn from(&self) -> Option<String> {
        self.days.as_ref().map(|days| days.from.clone())
    }

    pub(super) fn to(&self) -> Option<String> {
        self.days.as_ref().map(|days| days.to.clone())
    }
}

/// The days from `from` to `to`; `None` if neither was sent.
pub(super) fn days(
    app: &App,
    from: Option<&str>,
    to: Option<&str>,
    now: Millis,
) -> Result<Option<(Day, Day)>, ApiError> {
    let (from, to) = match (from, to) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(ApiError::missing("from")),
        (Some(from), to) => (day("from", from)?, to.map(|to| day("to", to)).transpose()?),
    };
    let today = app.ledger.calendar().day(now);
    let to = to.unwrap_or(today);
    let earliest = app.ledger.first_day_kept(now);
    if from < earliest {
        let message = format!("`from` must be {earliest} or later: sums by day are kept for {DAY_DAYS} days");
        return Err(ApiError::invalid("from", message));
    }
    if to < from {
        return Err(ApiError::invalid("to", "`to` must not be before `from`"));
    }
    if to > today {
        let message = format!("`to` must not be after today, which is {today} for the operator");
        return Err(ApiError::invalid("to", message));
    }
    Ok(Some((from, to)))
}

fn day(field: &str, text: &str) -> Result<Day, ApiError> {
    Day::parse(text)
        .ok_or_else(|| ApiError::invalid(field, format!("`{field}` must be a day like 2026-01-31")))
}
