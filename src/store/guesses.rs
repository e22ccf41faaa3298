//! Limits guesses of the admin's password.
//!
//! Each attempt is counted atomically in the store before anything is checked, so that neither many requests nor
//! a second process exceed the limits of [`rules`]. Refusals come from memory ([`memo`]): a refused source costs
//! the store nothing for up to a minute. Addresses are stored as keyed hashes.

mod memo;
pub mod rules;

use std::net::IpAddr;
use std::sync::Arc;

use crs_durable::Millis;

use self::memo::{AddressStatus, Memo, Turn};
use self::rules::{Refusal, Source, StrangerCounts};
use super::keys;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::secrets::Keyring;

/// Maximum number of tries to count while others count concurrently.
const ROUNDS: usize = 50;

#[derive(Clone)]
pub struct Guesses {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    memo: Arc<Memo>,
}

/// The source of an attempt.
#[derive(Clone, Copy, Debug)]
pub enum Guesser<'a> {
    /// An unauthenticated client at this address; `None` if the host does not know it.
    Address(Option<IpAddr>),
    /// An admin's session, by its id.
    Session(&'a str),
}

/// A counted attempt that may be checked. It counts as a failure until [`Attempt::succeeded`].
#[must_use]
pub struct Attempt {
    label: String,
    /// Whether a success makes the address a known one.
    is_address: bool,
    _turn: Turn,
}

#[derive(Debug, thiserror::Error)]
pub enum GuessError {
    #[error("too many attempts: wait {wait} ms")]
    Refused { wait: Millis },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The hashes by which a source is stored.
struct Labels {
    source: String,
    /// `None` if the source is never a stranger.
    site: Option<String>,
}

impl Guesses {
    pub fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>) -> Self {
        Self {
            store,
            keyring,
            memo: Arc::default(),
        }
    }

    /// Refuses from memory alone, before anything of a request is read.
    pub fn refused(&self, guesser: Guesser<'_>, now: Millis) -> Result<(), GuessError> {
        let labels = self.labels(guesser);
        match self.memo.refused(&labels.source, labels.site.is_some(), now) {
            Some(wait) => Err(GuessError::Refused { wait }),
            None => Ok(()),
        }
    }

    /// Counts an attempt to guess the password of this login `epoch`.
    pub async fn count(&self, guesser: Guesser<'_>, epoch: u64, now: Millis) -> Result<Attempt, GuessError> {
        self.refused(guesser, now)?;
        let labels = self.labels(guesser);
        let site = match labels.site {
            Some(site) if !self.is_known(&labels.source, now).await? => Some(site),
            _ => None,
        };
        let Some(turn) = self.memo.turn(site.is_some(), now) else {
            return Err(GuessError::Refused { wait: 1000 });
        };
        match self.step(&labels.source, site.as_deref(), epoch, now).await? {
            Ok(()) => Ok(Attempt {
                label: labels.source,
                is_address: matches!(guesser, Guesser::Address(_)),
                _turn: turn,
            }),
            Err(refusal) => {
                self.memo.refuse(&labels.source, refusal, now);
                Err(GuessError::Refused {
                    wait: refusal.until.saturating_sub(now),
                })
            }
        }
    }

    /// Reads the counts, decides, and writes if nobody else has written; otherwise repeats.
    async fn step(
        &self,
        source: &str,
        site: Option<&str>,
        epoch: u64,
        now: Millis,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let window = rules::Window::of(now);
        let mut keys = vec![keys::login_source(source)];
        if let Some(site) = site {
            keys.push(keys::login_site(site, window.number));
            keys.push(keys::login_strangers(window.number));
        }
        for _ in 0..ROUNDS {
            let gets = keys.iter().map(|key| Command::Get { key: key.clone() });
            let mut stored = Vec::with_capacity(keys.len());
            for reply in self.store.run(gets.collect()).await? {
                match reply {
                    Reply::Value(value) => stored.push(value),
                    _ => return Err(unreadable(source)),
                }
            }
            let before = stored
                .first()
                .and_then(Option::as_ref)
                .and_then(|text| serde_json::from_slice::<Source>(text).ok());
            let number = |at: usize| {
                stored
                    .get(at)
                    .and_then(Option::as_ref)
                    .and_then(|text| std::str::from_utf8(text).ok()?.parse::<u32>().ok())
                    .unwrap_or(0)
            };
            let strangers = site.is_some().then(|| StrangerCounts {
                of_site: number(1),
                of_all: number(2),
            });
            let counted = match rules::admit(before, strangers, epoch, now) {
                Ok(counted) => counted,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let guards = keys.iter().zip(&stored).map(|(key, value)| Guard::Value {
                key: key.clone(),
                is: value.clone(),
            });
            let text = serde_json::to_vec(&counted.source).map_err(|_| unreadable(source))?;
            let values = [
                Some((text, counted.source.forgotten_at())),
                counted
                    .strangers
                    .map(|counts| (counts.of_site.to_string().into_bytes(), window.ends)),
                counted
                    .strangers
                    .map(|counts| (counts.of_all.to_string().into_bytes(), window.ends)),
            ];
            let batch = keys
                .iter()
                .zip(values.into_iter().flatten())
                .map(|(key, (value, expire_at))| Command::Set {
                    key: key.clone(),
                    value: value.into(),
                    expire_at: Some(expire_at),
                });
            if self.store.atomically(guards.collect(), batch.collect()).await? == Applied::Yes {
                return Ok(Ok(()));
            }
        }
        // Others count all the time; one of them succeeds in each round.
        Ok(Err(Refusal::of_source(now.saturating_add(1000))))
    }

    /// Whether there was a successful login from this source.
    async fn is_known(&self, label: &str, now: Millis) -> Result<bool, StoreError> {
        match self.memo.known(label, now) {
            AddressStatus::Yes => return Ok(true),
            AddressStatus::No => return Ok(false),
            AddressStatus::Unread => {}
        }
        let key = keys::LOGIN_KNOWN.to_owned();
        let replies = self.store.run(vec![Command::HGetAll { key }]).await;
        let entries = match replies.as_deref() {
            Ok([Reply::Entries(entries)]) => entries.clone(),
            Ok(_) => Vec::new(),
            Err(_) => {
                self.memo.known_not_read();
                return Err(replies.err().unwrap_or_else(|| unreadable(label)));
            }
        };
        let entries = entries.into_iter().map(|(label, at)| {
            let at = std::str::from_utf8(&at).ok().and_then(|at| at.parse().ok());
            (label, at.unwrap_or(0))
        });
        Ok(self.memo.learn(entries.collect(), label, now))
    }

    /// Records that the admin authenticated from `address` without a password.
    pub async fn welcome(&self, address: Option<IpAddr>, now: Millis) -> Result<(), StoreError> {
        let labels = self.labels(Guesser::Address(address));
        self.settle(&labels.source, true, now).await
    }

    async fn settle(&self, label: &str, is_address: bool, now: Millis) -> Result<(), StoreError> {
        let mut batch = vec![Command::Del {
            key: keys::login_source(label),
        }];
        if is_address {
            // A list that this process has not read must not be overwritten.
            self.is_known(label, now).await?;
            batch.push(Command::HSet {
                key: keys::LOGIN_KNOWN.to_owned(),
                entries: vec![(label.to_owned(), now.to_string().into())],
            });
            let pushed_out = self.memo.welcome(label, now);
            if !pushed_out.is_empty() {
                batch.push(Command::HDel {
                    key: keys::LOGIN_KNOWN.to_owned(),
                    fields: pushed_out,
                });
            }
        }
        self.store.run(batch).await.map(|_| ())
    }

    /// Resets the counts of guesses after a password change, because the admin has probably often tried the old
    /// one. Failures of single sources end with their epoch.
    pub async fn begin_anew(&self, now: Millis) -> Result<(), StoreError> {
        self.memo.forget_refusals();
        let key = keys::login_strangers(rules::Window::of(now).number);
        self.store.run(vec![Command::Del { key }]).await.map(|_| ())
    }

    fn labels(&self, guesser: Guesser<'_>) -> Labels {
        match guesser {
            Guesser::Address(address) => {
                let (source, site) = networks(address);
                Labels {
                    source: self.keyring.label("login-source", &source),
                    site: Some(self.keyring.label("login-site", &site)),
                }
            }
            Guesser::Session(id) => Labels {
                source: self.keyring.label("login-session", id.as_bytes()),
                site: None,
            },
        }
    }
}

impl Attempt {
    /// Records a success: the source's failures are reset, and its address is known from now on.
    pub async fn succeeded(self, guesses: &Guesses, now: Millis) -> Result<(), StoreError> {
        guesses.settle(&self.label, self.is_address, now).await
    }
}

fn unreadable(key: &str) -> StoreError {
    StoreError::Unreadable {
        key: key.to_owned(),
        reason: "the store answered with replies of another shape".to_owned(),
    }
}

/// The source and the site of an address. A source is an IPv4 address or an IPv6 /64 network; a site is a
/// customer's network, /24 or /48.
fn networks(address: Option<IpAddr>) -> (Vec<u8>, Vec<u8>) {
    let first = |bytes: &[u8], count: usize| bytes.iter().copied().take(count).collect();
    match address.map(|address| address.to_canonical()) {
        None => (Vec::new(), Vec::new()),
        Some(IpAddr::V4(address)) => (first(&address.octets(), 4), first(&address.octets(), 3)),
        Some(IpAddr::V6(address)) => (first(&address.octets(), 8), first(&address.octets(), 6)),
    }
}

#[cfg(test)]
mod tests;
