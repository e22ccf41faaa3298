//! The audit log: who changed what. Entries are written in the same atomic step as the change.
//!
//! All other code uses the store through [`AuditingStore`]. It inspects each write of a record that admins may
//! change, compares it with the text in its guard, and adds the commands for the entry to the same batch. Such a
//! write fails outside of an atomic step or without a guard. Changes that do not concern records (a pool's state,
//! a login) are logged by [`AuditLog::event`].

mod actor;
mod diff;
mod read;
mod refused;
mod store;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keys;
use crate::model::calendar::Calendar;
use crate::port::clock::{Clock, Millis};
use crate::port::random::{self, Random};
use crate::port::store::{Command, Store, StoreError};

pub use actor::{Actor, act_as, acting, scope};
pub use read::{AuditFilter, AuditPosition};
pub use store::AuditingStore;

/// Milliseconds of a day.
const DAY: Millis = 86_400_000;

/// One entry. `id` comes first because entries of the same millisecond are ordered by their text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub id: String,
    pub at: Millis,
    #[serde(flatten)]
    pub by: Actor,
    /// `key.update`
    pub action: String,
    /// `key:<id>`, or the name of a singleton.
    pub subject: String,
    #[serde(default)]
    pub name: String,
    /// The number of events combined in this entry.
    #[serde(default = "one")]
    pub count: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
}

fn one() -> u64 {
    1
}

/// A changed field. `secret`: its values are not stored here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    pub field: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub from: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub to: Value,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// The audit log, stored by month so that old months expire as a whole.
#[derive(Clone)]
pub struct AuditLog {
    /// Not [`AuditingStore`]: entries are not audited themselves.
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Retention, days.
    days: u32,
    refused: Arc<refused::RefusedLogins>,
}

impl AuditLog {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, days: u32) -> Self {
        Self {
            store,
            clock,
            random,
            days,
            refused: Arc::default(),
        }
    }

    /// Writes an entry for the actor of the running request. Call it before an action that cannot be atomic with
    /// its entry, so that nothing happens unlogged.
    pub async fn event(&self, action: &str, subject: String, name: &str) -> Result<(), StoreError> {
        let entry = self.entry(acting(), action, subject, name.to_owned(), Vec::new());
        let commands = self.append(std::slice::from_ref(&entry))?;
        self.store.run(commands).await.map(|_| ())
    }

    fn entry(
        &self,
        by: Option<Actor>,
        action: &str,
        subject: String,
        name: String,
        changes: Vec<FieldChange>,
    ) -> Entry {
        let now = self.clock.now();
        Entry {
            id: random::record_id(now, &*self.random),
            at: now,
            by: by.unwrap_or_else(Actor::system),
            action: action.to_owned(),
            subject,
            name,
            count: 1,
            changes,
        }
    }

    /// The commands that add entries of the same month.
    fn append(&self, entries: &[Entry]) -> Result<Vec<Command>, StoreError> {
        let Some(first) = entries.first() else {
            return Ok(Vec::new());
        };
        let key = keys::audit(Calendar::default().month(first.at));
        let mut members = Vec::with_capacity(entries.len());
        for entry in entries {
            members.push((first.at as f64, member(&key, entry)?));
        }
        let kept = Millis::from(self.days).saturating_add(32).saturating_mul(DAY);
        Ok(vec![
            Command::ZAdd {
                key: key.clone(),
                entries: members,
            },
            Command::PExpireAt {
                key,
                at: first.at.saturating_add(kept),
            },
        ])
    }
}

fn member(key: &str, entry: &Entry) -> Result<String, StoreError> {
    serde_json::to_string(entry).map_err(|error| StoreError::Unreadable {
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
