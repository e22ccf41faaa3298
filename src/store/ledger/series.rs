//! Reads sums point by point, of one scope or of the most expensive ones.

use super::Ledger;
use super::bucket::{Bucket, Kind, Scope};
use super::read::{figures_of, read};
use super::span::{Range, Span, Unit, Window};
use crate::model::calendar::{self, Day};
use crate::model::usage::Totals;
use crate::port::clock::Millis;
use crate::port::store::StoreError;

/// The sum of one hour, day or month.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// `2026-01-31:09`, `2026-01-31` or `2026-01`.
    pub label: String,
    pub totals: Totals,
}

/// The totals of all calls point by point, and those of the most expensive members.
#[derive(Clone, Debug, PartialEq)]
pub struct Grouped {
    pub points: Vec<Point>,
    pub groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub id: String,
    /// One per point.
    pub totals: Vec<Totals>,
}

/// The usage of the preceding period.
#[derive(Clone, Debug, PartialEq)]
pub struct Previous {
    pub first: Day,
    pub last: Day,
    pub totals: Totals,
    /// For yesterday: up to and including the current hour of the day.
    pub until_now: Option<Totals>,
}

impl Ledger {
    /// The hours, days or months of a window, oldest first.
    pub async fn series(
        &self,
        scope: Scope<'_>,
        unit: Unit,
        window: Window,
        now: Millis,
    ) -> Result<Vec<Point>, StoreError> {
        let buckets = self.steps(unit, window, now);
        let rows = self.rows(&buckets, &[scope]).await?;
        Ok(points(&buckets, rows))
    }

    /// Like [`series`](Self::series) for all calls and for the `top` members of a ranking. Two round trips, with
    /// one ranking and one set of fields per point.
    pub async fn grouped(
        &self,
        kind: Kind<'_>,
        top: usize,
        unit: Unit,
        window: Window,
        now: Millis,
    ) -> Result<Grouped, StoreError> {
        let buckets = self.steps(unit, window, now);
        // Hours have no rankings.
        let mut ranked: Vec<Bucket> = buckets
            .iter()
            .map(|bucket| match bucket {
                Bucket::Hour(hour) => Bucket::Day(hour.day()),
                other => *other,
            })
            .collect();
        ranked.dedup();
        let [names] = self.dearest(&[kind], &ranked, top).await?;
        let members = names.iter().map(|name| kind.scope(name));
        let scopes: Vec<Scope<'_>> = std::iter::once(Scope::Total).chain(members).collect();
        let mut groups: Vec<Group> = names
            .iter()
            .map(|id| Group {
                id: id.clone(),
                totals: Vec::with_capacity(buckets.len()),
            })
            .collect();
        let mut rows = self.rows(&buckets, &scopes).await?;
        for row in &mut rows {
            let mut figures = row.drain(1.min(row.len())..);
            for group in &mut groups {
                group.totals.push(figures.next().unwrap_or_default());
            }
        }
        Ok(Grouped {
            points: points(&buckets, rows),
            groups,
        })
    }

    /// The usage of the period before a span; `None` if it is not kept or does not exist.
    pub async fn previous(&self, span: Span, now: Millis) -> Result<Option<Previous>, StoreError> {
        let Some((first, last)) = self.days_before(span, now) else {
            return Ok(None);
        };
        let days = self
            .totals(&[Scope::Total], Span::Days { first, last }, now)
            .await?;
        let until_now = if span == Span::Named(Range::Today) {
            let elapsed = (now - self.calendar.start(self.calendar.day(now)).min(now)) / calendar::HOUR;
            let midnight = self.calendar.start(last);
            let hours = (0..=elapsed).map(|hour| midnight + hour * calendar::HOUR);
            let hours: Vec<Bucket> = hours.map(|at| Bucket::Hour(self.calendar.hour(at))).collect();
            self.sums(&[Scope::Total], &hours).await?.into_iter().next()
        } else {
            None
        };
        Ok(Some(Previous {
            first,
            last,
            totals: days.into_iter().next().unwrap_or_default(),
            until_now,
        }))
    }

    /// The sums of each scope in each bucket.
    async fn rows(&self, buckets: &[Bucket], scopes: &[Scope<'_>]) -> Result<Vec<Vec<Totals>>, StoreError> {
        let asks = buckets.iter().map(|bucket| figures_of(*bucket, scopes)).collect();
        let replies = self.store.run(asks).await?;
        Ok(replies.into_iter().map(|reply| read(reply).collect()).collect())
    }
}

fn points(buckets: &[Bucket], rows: Vec<Vec<Totals>>) -> Vec<Point> {
    let points = buckets.iter().zip(rows).map(|(bucket, row)| Point {
        label: bucket.label(),
        totals: row.into_iter().next().unwrap_or_default(),
    });
    points.collect()
}
