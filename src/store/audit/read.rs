//! Reads the log, newest entries first.

use std::fmt;
use std::str::FromStr;

use super::{AuditLog, DAY, Entry};
use crate::model::calendar::Calendar;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Maximum number of entries examined per request.
const SCANNED: usize = 1000;
/// Number of entries read per round trip.
const CHUNK: usize = 250;

/// Selects entries; `None` matches all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub subject: Option<String>,
    pub actor: Option<String>,
    pub action: Option<String>,
    pub from: Option<Millis>,
    /// Exclusive.
    pub to: Option<Millis>,
}

impl AuditFilter {
    fn takes(&self, entry: &Entry) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        fits(&self.subject, &entry.subject)
            && fits(&self.actor, &entry.by.actor)
            && fits(&self.action, &entry.action)
    }
}

/// A position: after `seen` entries of the millisecond `at`. Text form: `<at>-<seen>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPosition {
    at: Millis,
    seen: u64,
}

impl fmt::Display for AuditPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, self.seen)
    }
}

impl FromStr for AuditPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, seen) = text.split_once('-').ok_or(())?;
        Ok(Self {
            at: at.parse().map_err(|_| ())?,
            seen: seen.parse().map_err(|_| ())?,
        })
    }
}

#[derive(Clone, Debug)]
pub struct AuditPage {
    pub entries: Vec<Entry>,
    /// `None` if there are no more.
    pub next: Option<AuditPosition>,
}

impl AuditLog {
    /// Reads at most `limit` entries from `after` on, or from the newest. A page may be short although more
    /// follow, because one call examines at most 1,000 entries.
    pub async fn read(
        &self,
        filter: &AuditFilter,
        after: Option<AuditPosition>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        let now = self.clock.now();
        let oldest = now.saturating_sub(Millis::from(self.days).saturating_mul(DAY));
        let from = filter.from.unwrap_or_default().max(oldest);
        let newest = filter.to.map_or(now, |to| to.saturating_sub(1).min(now));
        let mut place = after
            .filter(|after| after.at <= newest)
            .unwrap_or(AuditPosition { at: newest, seen: 0 });
        let calendar = Calendar::default();
        let mut entries = Vec::new();
        let mut scanned = 0;
        while place.at >= from && filter.to != Some(0) {
            let month = calendar.month(place.at);
            let key = keys::audit(month);
            let command = Command::ZRangeByScore {
                key: key.clone(),
                min: from as f64,
                max: place.at as f64,
                rev: true,
                offset: place.seen,
                limit: CHUNK as u64,
            };
            let Some(Reply::Scored(found)) = self.store.run(vec![command]).await?.pop() else {
                return Err(unreadable(key));
            };
            let ended = found.len() < CHUNK;
            for (member, score) in found {
                let at = score as Millis;
                let seen = if at == place.at { place.seen + 1 } else { 1 };
                place = AuditPosition { at, seen };
                scanned += 1;
                // An entry written by a newer version must not hide the others.
                let Ok(entry) = serde_json::from_str::<Entry>(&member) else {
                    continue;
                };
                if filter.takes(&entry) {
                    entries.push(entry);
                }
                if entries.len() >= limit {
                    return Ok(AuditPage {
                        entries,
                        next: Some(place),
                    });
                }
            }
            if ended {
                let Some(at) = calendar.start(month.first_day()).checked_sub(1) else {
                    break;
                };
                place = AuditPosition { at, seen: 0 };
            }
            if scanned >= SCANNED && place.at >= from {
                return Ok(AuditPage {
                    entries,
                    next: Some(place),
                });
            }
        }
        Ok(AuditPage { entries, next: None })
    }
}

fn unreadable(key: String) -> StoreError {
    StoreError::Unreadable {
        key,
        reason: "the store answered with replies of another shape".to_owned(),
    }
}
