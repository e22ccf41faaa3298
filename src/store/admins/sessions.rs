//! Lists and ends the admin's sessions.
//!
//! `admin:sessions` orders their ids by the time of last use; `admin:session:<id>` holds the details. These do
//! not decide whether a token is valid: that depends on its signature, its expiry, the login's epoch and
//! `admin:ended:<session>`. A session missing here works but is not listed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use crs_durable::Millis;
use serde::{Deserialize, Serialize};

use super::super::keys::{ADMIN, ADMIN_SESSIONS, ended_session, listed_session};
use super::super::record;
use super::{Admins, PLACE};
use crate::port::store::{Applied, Command, Guard, Reply, StoreError};
use crate::secrets::Session;

/// Resolution of the time at which a session was last used, milliseconds.
const SEEN_EVERY: Millis = 5 * 60_000;

/// Maximum number of sessions whose last write this process remembers.
const REMEMBERED: usize = 1000;

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    pub id: String,
    pub begun_at: Millis,
    /// Exact to [`SEEN_EVERY`].
    pub seen_at: Millis,
    /// The maximum end, independent of renewals.
    pub ends_at: Millis,
    /// The client's address at login, if the host knows it.
    pub address: Option<IpAddr>,
}

/// The value of `admin:session:<id>`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionRecord {
    begun_at: Millis,
    ends_at: Millis,
    /// The login's epoch at that time; sessions of other epochs are invalid.
    epoch: u64,
    address: Option<IpAddr>,
}

/// When this process last persisted the use of each session, by id.
#[derive(Default)]
pub(super) struct LastSeen(Mutex<HashMap<String, Millis>>);

impl LastSeen {
    /// Whether the use must be persisted again. If so, it is recorded as persisted.
    fn is_due(&self, id: &str, now: Millis) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen
            .get(id)
            .is_some_and(|at| now.saturating_sub(*at) < SEEN_EVERY)
        {
            return false;
        }
        if seen.len() >= REMEMBERED {
            // Active sessions come back with one write each.
            seen.clear();
        }
        seen.insert(id.to_owned(), now);
        true
    }
}

impl Admins {
    /// Adds a session to the list. Does nothing if it is listed or has ended.
    pub async fn list_session(
        &self,
        session: &Session,
        address: Option<IpAddr>,
        now: Millis,
    ) -> Result<(), StoreError> {
        let key = listed_session(&session.id);
        let record = SessionRecord {
            begun_at: session.login_at,
            ends_at: session.last_end,
            epoch: session.epoch,
            address,
        };
        let value = serde_json::to_vec(&record).map_err(|error| unreadable(&key, &error))?;
        let guards = vec![
            Guard::Value {
                key: ended_session(&session.id),
                is: None,
            },
            Guard::Value {
                key: key.clone(),
                is: None,
            },
        ];
        // A session unused for the maximum lifetime has ended.
        let longest = session.last_end.saturating_sub(session.login_at);
        let sessions = || ADMIN_SESSIONS.to_owned();
        let batch = vec![
            Command::Set {
                key,
                value: Bytes::from(value),
                expire_at: Some(session.last_end),
            },
            Command::ZAdd {
                key: sessions(),
                entries: vec![(now as f64, session.id.clone())],
            },
            Command::ZRemRangeByScore {
                key: sessions(),
                min: f64::NEG_INFINITY,
                max: now.saturating_sub(longest) as f64,
            },
            Command::PExpireAt {
                key: sessions(),
                at: now.saturating_add(longest),
            },
        ];
        self.store.atomically(guards, batch).await?;
        self.seen.is_due(&session.id, now);
        Ok(())
    }

    /// Records the use of a session, at most one write in five minutes. Failures do not affect the request.
    pub async fn see_session(&self, id: &str, now: Millis) {
        if !self.seen.is_due(id, now) {
            return;
        }
        let add = Command::ZAdd {
            key: ADMIN_SESSIONS.to_owned(),
            entries: vec![(now as f64, id.to_owned())],
        };
        if let Err(error) = self.store.run(vec![add]).await {
            tracing::debug!(%error, "the use of a session could not be recorded");
        }
    }

    /// Active sessions, most recently used first, at most `most`; and whether there are more. Two round trips.
    pub async fn sessions(&self, most: usize, now: Millis) -> Result<(Vec<ListedSession>, bool), StoreError> {
        let mut replies = self
            .store
            .run(vec![
                Command::Get {
                    key: ADMIN.to_owned(),
                },
                Command::ZRangeByScore {
                    key: ADMIN_SESSIONS.to_owned(),
                    min: f64::NEG_INFINITY,
                    max: f64::INFINITY,
                    rev: true,
                    offset: 0,
                    limit: most.saturating_add(1) as u64,
                },
            ])
            .await?
            .into_iter();
        let (Some(Reply::Value(login)), Some(Reply::Scored(mut seen))) = (replies.next(), replies.next())
        else {
            return Err(unreadable(ADMIN_SESSIONS, &"the store answered in another shape"));
        };
        let Some(login) = login else {
            return Ok((Vec::new(), false));
        };
        let epoch = record::parse::<super::Admin>(&PLACE, &login)?.epoch;
        let more = seen.len() > most;
        seen.truncate(most);
        if seen.is_empty() {
            return Ok((Vec::new(), false));
        }
        let asks = seen.iter().map(|(id, _)| Command::Get {
            key: listed_session(id),
        });
        let records = self.store.run(asks.collect()).await?;
        let mut sessions = Vec::with_capacity(seen.len());
        for ((id, seen_at), reply) in seen.into_iter().zip(records) {
            // A session without a record has ended.
            let Reply::Value(Some(text)) = reply else { continue };
            let record = read(&id, &text)?;
            if record.epoch == epoch && record.ends_at > now {
                sessions.push(ListedSession {
                    id,
                    begun_at: record.begun_at,
                    seen_at: seen_at as Millis,
                    ends_at: record.ends_at,
                    address: record.address,
                });
            }
        }
        Ok((sessions, more))
    }

    /// Ends a listed session. Returns `false` if no active session has this id.
    pub async fn end_listed(&self, id: &str, now: Millis) -> Result<bool, StoreError> {
        // Other ids could address other keys.
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(false);
        }
        let key = listed_session(id);
        let replies = self
            .store
            .run(vec![
                Command::Get {
                    key: ADMIN.to_owned(),
                },
                Command::Get { key: key.clone() },
            ])
            .await?;
        let [Reply::Value(login), Reply::Value(text)] = replies.as_slice() else {
            return Err(unreadable(&key, &"the store answered in another shape"));
        };
        let (Some(login), Some(text)) = (login, text) else {
            return Ok(false);
        };
        let (admin, record) = (record::parse::<super::Admin>(&PLACE, login)?, read(id, text)?);
        if admin.epoch != record.epoch || record.ends_at <= now {
            return Ok(false);
        }
        let same = Guard::Value {
            key,
            is: Some(text.clone()),
        };
        let ended = self
            .store
            .atomically(vec![same], ending(id, record.ends_at))
            .await?;
        Ok(ended == Applied::Yes)
    }

    /// Ends one session early, listed or not.
    pub async fn end_session(&self, id: &str, ends_at: Millis) -> Result<(), StoreError> {
        self.store
            .atomically(Vec::new(), ending(id, ends_at))
            .await
            .map(|_| ())
    }
}

/// The commands that end a session and invalidate its tokens.
fn ending(id: &str, ends_at: Millis) -> Vec<Command> {
    vec![
        Command::Set {
            key: ended_session(id),
            value: "1".into(),
            expire_at: Some(ends_at),
        },
        Command::Del {
            key: listed_session(id),
        },
        Command::ZRem {
            key: ADMIN_SESSIONS.to_owned(),
            members: vec![id.to_owned()],
        },
    ]
}

/// The command that clears the list, run atomically with a change that ends all sessions.
pub(super) fn unlisted() -> Command {
    Command::Del {
        key: ADMIN_SESSIONS.to_owned(),
    }
}

fn read(id: &str, text: &[u8]) -> Result<SessionRecord, StoreError> {
    serde_json::from_slice(text).map_err(|error| unreadable(&listed_session(id), &error))
}

fn unreadable(key: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable {
        key: key.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests;
