//! The admin's sessions as they are listed and ended.
//!
//! `admin:sessions` orders their ids by when each was seen last, `admin:session:<id>` holds the rest of one. Whether a
//! token is good is not asked of them: that is for its signature, its end, the login's epoch and
//! `admin:ended:<session>`. A session that is missing here works and is not listed.

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

/// How exact the moment is at which a session was seen last.
const SEEN_EVERY: Millis = 5 * 60_000;

/// Sessions of which this process remembers when it wrote that they were seen.
const REMEMBERED: usize = 1000;

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    pub id: String,
    pub begun_at: Millis,
    /// Exact to [`SEEN_EVERY`].
    pub seen_at: Millis,
    /// When it ends, however often it is prolonged.
    pub ends_at: Millis,
    /// Where it began, if the host knows.
    pub address: Option<IpAddr>,
}

/// The value of `admin:session:<id>`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionRecord {
    begun_at: Millis,
    ends_at: Millis,
    /// The login's epoch at that time: sessions of another one are over.
    epoch: u64,
    address: Option<IpAddr>,
}

/// When this process wrote last that a session was seen, by its id.
#[derive(Default)]
pub(super) struct LastSeen(Mutex<HashMap<String, Millis>>);

impl LastSeen {
    /// Whether it is time to write it again. The caller does, so it is remembered as done.
    fn is_due(&self, id: &str, now: Millis) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen
            .get(id)
            .is_some_and(|at| now.saturating_sub(*at) < SEEN_EVERY)
        {
            return false;
        }
        if seen.len() >= REMEMBERED {
            // Those that are in use come back, each with one write.
            seen.clear();
        }
        seen.insert(id.to_owned(), now);
        true
    }
}

impl Admins {
    /// Lists a session from now on. Does nothing if it is listed already, or was ended.
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
        // Who was not seen for as long as a session lasts has none any more.
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

    /// Notes that a session is in use: one write in five minutes. A failure is not the request's.
    pub async fn see_session(&self, id: &str, now: Millis) {
        if !self.seen.is_due(id, now) {
            return;
        }
        let add = Command::ZAdd {
            key: ADMIN_SESSIONS.to_owned(),
            entries: vec![(now as f64, id.to_owned())],
        };
        if let Err(error) = self.store.run(vec![add]).await {
            tracing::debug!(%error, "cannot note that a session is in use");
        }
    }

    /// Sessions that have not ended, the one seen last first, at most `most`; and whether there are more. Two round
    /// trips.
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
            // No record: it ended.
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

    /// Ends a session that is listed. `false`: there is none of this id, or it is over.
    pub async fn end_listed(&self, id: &str, now: Millis) -> Result<bool, StoreError> {
        // Anything else would name other keys.
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

    /// Ends one session before its time, listed or not.
    pub async fn end_session(&self, id: &str, ends_at: Millis) -> Result<(), StoreError> {
        self.store
            .atomically(Vec::new(), ending(id, ends_at))
            .await
            .map(|_| ())
    }
}

/// The commands that end a session: none of its tokens is valid from then on.
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

/// The commands that take all sessions off the list, in one step with the change that ends them.
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
