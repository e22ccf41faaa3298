//! A store for tests of what is built on stores: in memory, with switches for trouble.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::port::clock::Millis;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};

#[derive(Default)]
pub(crate) struct FakeStore {
    state: Mutex<State>,
    /// Every call fails, having done nothing.
    pub(crate) away: AtomicBool,
    /// The next atomic batch is done, but its answer is lost.
    pub(crate) lose_answer: AtomicBool,
    pub(crate) calls: AtomicUsize,
    /// The time by which keys end.
    pub(crate) now: std::sync::atomic::AtomicU64,
}

#[derive(Default)]
struct State {
    strings: HashMap<String, (Bytes, Option<Millis>)>,
    hashes: HashMap<String, HashMap<String, Bytes>>,
}

impl FakeStore {
    pub(crate) fn put(&self, key: &str, text: &str) {
        let mut state = self.state.lock().unwrap();
        state
            .strings
            .insert(key.to_owned(), (Bytes::from(text.to_owned()), None));
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        state
            .strings
            .get(key)
            .map(|(text, _)| String::from_utf8(text.to_vec()).unwrap())
    }

    pub(crate) fn put_field(&self, key: &str, field: &str, text: &str) {
        let mut state = self.state.lock().unwrap();
        let hash = state.hashes.entry(key.to_owned()).or_default();
        hash.insert(field.to_owned(), Bytes::from(text.to_owned()));
    }

    pub(crate) fn field(&self, key: &str, field: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        let text = state.hashes.get(key)?.get(field)?;
        Some(String::from_utf8(text.to_vec()).unwrap())
    }

    /// Everything in it, as text, to look for what must not be there.
    pub(crate) fn dump(&self) -> String {
        let state = self.state.lock().unwrap();
        format!("{:?} {:?}", state.strings, state.hashes)
    }

    async fn enter(&self) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(away());
        }
        Ok(())
    }
}

fn away() -> StoreError {
    StoreError::Away {
        kind: "fake",
        reason: "told so".to_owned(),
    }
}

impl State {
    fn get(&mut self, key: &str, now: Millis) -> Option<Bytes> {
        if self
            .strings
            .get(key)
            .is_some_and(|(_, ends)| ends.is_some_and(|ends| ends <= now))
        {
            self.strings.remove(key);
        }
        self.strings.get(key).map(|(text, _)| text.clone())
    }

    fn apply(&mut self, command: Command, now: Millis) -> Reply {
        match command {
            Command::Get { key } => Reply::Value(self.get(&key, now)),
            Command::Exists { key } => Reply::Int(i64::from(
                self.get(&key, now).is_some() || self.hashes.contains_key(&key),
            )),
            Command::Set {
                key,
                value,
                expire_at,
            } => {
                self.strings.insert(key, (value, expire_at));
                Reply::Ok
            }
            Command::Del { key } => {
                let had = self.strings.remove(&key).is_some() | self.hashes.remove(&key).is_some();
                Reply::Int(i64::from(had))
            }
            Command::IncrBy { key, by } => {
                let value = self.get(&key, now);
                let ends = self.strings.get(&key).and_then(|(_, ends)| *ends);
                let old: i64 = value.map_or(0, |text| std::str::from_utf8(&text).unwrap().parse().unwrap());
                self.strings
                    .insert(key, (Bytes::from((old + by).to_string()), ends));
                Reply::Int(old + by)
            }
            Command::PExpireAt { key, at } => {
                if let Some((_, ends)) = self.strings.get_mut(&key) {
                    *ends = Some(at);
                }
                Reply::Ok
            }
            Command::HGet { key, field } => {
                Reply::Value(self.hashes.get(&key).and_then(|hash| hash.get(&field).cloned()))
            }
            Command::HGetAll { key } => Reply::Entries(self.hashes.get(&key).map_or(Vec::new(), |hash| {
                hash.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
            })),
            Command::HSet { key, entries } => {
                let hash = self.hashes.entry(key).or_default();
                let before = hash.len();
                hash.extend(entries);
                Reply::Int((hash.len() - before) as i64)
            }
            Command::HDel { key, fields } => {
                let hash = self.hashes.entry(key).or_default();
                Reply::Int(
                    fields
                        .iter()
                        .filter(|field| hash.remove(*field).is_some())
                        .count() as i64,
                )
            }
            other => panic!("the fake store does not know {other:?}"),
        }
    }

    fn holds(&mut self, guard: &Guard, now: Millis) -> bool {
        match guard {
            Guard::Value { key, is } => self.get(key, now) == *is,
            Guard::Field { key, field, is } => {
                self.hashes.get(key).and_then(|hash| hash.get(field)) == is.as_ref()
            }
        }
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        self.enter().await?;
        let now = self.now.load(Ordering::SeqCst);
        let mut state = self.state.lock().unwrap();
        Ok(batch
            .into_iter()
            .map(|command| state.apply(command, now))
            .collect())
    }

    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Result<Applied, StoreError> {
        self.enter().await?;
        let now = self.now.load(Ordering::SeqCst);
        {
            let mut state = self.state.lock().unwrap();
            if let Some(guard) = guards.iter().position(|guard| !state.holds(guard, now)) {
                return Ok(Applied::No { guard });
            }
            for command in batch {
                state.apply(command, now);
            }
        }
        if self.lose_answer.swap(false, Ordering::SeqCst) {
            return Err(away());
        }
        Ok(Applied::Yes)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.enter().await
    }

    fn kind(&self) -> &'static str {
        "fake"
    }

    fn shared(&self) -> bool {
        false
    }
}
