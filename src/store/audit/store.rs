//! A store that adds an audit entry to each change of a record.

use std::sync::Arc;

use async_trait::async_trait;

use super::actor::acting;
use super::diff::{Kind, compare};
use super::{AuditLog, Entry};
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::store::hold;
use crate::store::keys::{ended_session, used_ticket};

/// A [`Store`] in which every change of a record that admins may change writes an entry.
pub struct AuditingStore {
    inner: Arc<dyn Store>,
    log: AuditLog,
}

/// A write of a record: its place and new text.
struct RecordWrite<'a> {
    kind: Kind,
    key: &'a str,
    field: Option<&'a str>,
    after: Option<&'a [u8]>,
}

impl AuditingStore {
    pub fn new(log: AuditLog) -> Self {
        Self {
            inner: log.store.clone(),
            log,
        }
    }

    /// The entries for a batch with these guards.
    fn entries(&self, guards: &[Guard], batch: &[Command]) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for command in batch {
            if let Some((action, subject)) = mark(command) {
                let by = acting();
                let name = by.as_ref().map(|by| by.actor.clone()).unwrap_or_default();
                entries.push(self.log.entry(by, action, subject, name, Vec::new()));
            }
            for write in writes(command) {
                let before = guards.iter().find_map(|guard| match guard {
                    Guard::Field { key, field, is }
                        if key == write.key && Some(field.as_str()) == write.field =>
                    {
                        Some(is)
                    }
                    Guard::Value { key, is } if key == write.key && write.field.is_none() => Some(is),
                    _ => None,
                });
                let Some(before) = before else {
                    return Err(unguarded(write.key));
                };
                let diff = compare(write.kind, before.as_deref(), write.after);
                let by = acting();
                // Token renewals by the relay are not logged.
                let renewed = || diff.changes.iter().all(|change| change.field == "credentials");
                if by.is_none() && write.kind == Kind::Account && diff.action == "account.update" && renewed()
                {
                    continue;
                }
                let subject = write.kind.subject(write.field);
                entries.push(self.log.entry(by, diff.action, subject, diff.name, diff.changes));
            }
        }
        Ok(entries)
    }
}

#[async_trait]
impl Store for AuditingStore {
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        for command in &batch {
            if let Some(write) = writes(command).next() {
                return Err(unguarded(write.key));
            }
            if mark(command).is_some() {
                return Err(unguarded("admin"));
            }
        }
        self.inner.run(batch).await
    }

    async fn atomically(&self, guards: Vec<Guard>, mut batch: Vec<Command>) -> Result<Applied, StoreError> {
        let entries = self.entries(&guards, &batch)?;
        batch.extend(self.log.append(&entries)?);
        hold::atomically(&*self.inner, guards, batch).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn shared(&self) -> bool {
        self.inner.shared()
    }
}

/// Recognises the end of a session and the use of a login ticket.
fn mark(command: &Command) -> Option<(&'static str, String)> {
    let Command::Set { key, .. } = command else {
        return None;
    };
    if let Some(id) = key.strip_prefix(ended_session("").as_str()) {
        let own = acting().is_some_and(|by| by.session.as_deref() == Some(id));
        let action = if own { "admin.logout" } else { "admin.end_session" };
        return Some((action, format!("session:{id}")));
    }
    key.starts_with(used_ticket("").as_str())
        .then(|| ("admin.login", "admin".to_owned()))
}

/// A field of a hash (`None`: the whole key) and its new text (`None`: deleted).
type FieldText<'a> = (Option<&'a str>, Option<&'a [u8]>);

/// The records that a command writes.
fn writes(command: &Command) -> impl Iterator<Item = RecordWrite<'_>> {
    let (key, fields): (&str, Vec<FieldText<'_>>) = match command {
        Command::Set { key, value, .. } if Kind::of(key).is_some() => (key, vec![(None, Some(&**value))]),
        Command::Del { key } | Command::IncrBy { key, .. } | Command::PExpireAt { key, .. }
            if Kind::of(key).is_some() =>
        {
            (key, vec![(None, None)])
        }
        Command::HSet { key, entries } if Kind::of(key).is_some() => {
            let fields = entries.iter();
            let fields = fields.map(|(field, value)| (Some(field.as_str()), Some(&**value)));
            (key, fields.collect())
        }
        Command::HDel { key, fields } if Kind::of(key).is_some() => (
            key,
            fields.iter().map(|field| (Some(field.as_str()), None)).collect(),
        ),
        Command::HIncrBy { key, field, .. } if Kind::of(key).is_some() => (key, vec![(Some(field), None)]),
        _ => ("", Vec::new()),
    };
    let kind = Kind::of(key);
    fields.into_iter().filter_map(move |(field, after)| {
        Some(RecordWrite {
            kind: kind?,
            key,
            field,
            after,
        })
    })
}

fn unguarded(key: &str) -> StoreError {
    StoreError::Failed {
        kind: "audited",
        reason: format!("a record of {key} may only be changed in an atomic step that guards it"),
    }
}
