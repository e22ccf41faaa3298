//! The store in memory, lost on exit. The model with which the other backends are compared.
//!
//! A call takes one lock and never waits inside of it, so `atomically` is atomic, and so is `run`.

mod keyspace;
mod value;
#[cfg(not(target_arch = "wasm32"))]
mod whole;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::port::clock::Clock;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use keyspace::Keyspace;

pub struct Memory {
    clock: Arc<dyn Clock>,
    keys: Mutex<Keyspace>,
}

impl Memory {
    pub fn new(clock: Arc<dyn Clock>) -> Memory {
        Memory {
            clock,
            keys: Mutex::default(),
        }
    }

    fn with_keys<T>(&self, work: impl FnOnce(&mut Keyspace) -> T) -> T {
        // Every step leaves a consistent keyspace, so a panic elsewhere does no harm.
        work(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for Memory {
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        let now = self.clock.now();
        self.with_keys(|keys| {
            keys.forget_expired(now);
            // As in a Redis pipeline, a failed command does not stop the later ones.
            let replies: Vec<_> = batch.iter().map(|command| keys.apply(now, command)).collect();
            replies.into_iter().collect()
        })
    }

    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Result<Applied, StoreError> {
        batch.iter().try_for_each(Command::check)?;
        let now = self.clock.now();
        self.with_keys(|keys| {
            keys.forget_expired(now);
            for (index, guard) in guards.iter().enumerate() {
                if !keys.holds(now, guard)? {
                    return Ok(Applied::No { guard: index });
                }
            }
            keys.all_or_nothing(now, &batch)?;
            Ok(Applied::Yes)
        })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::clock::movable::Movable;
    use crate::store::conformance::{self, Subject};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        let clock = Movable::at(conformance::START);
        let store = Arc::new(Memory::new(Arc::new(clock.clone())));
        conformance::run(&Subject {
            store,
            clock: Some(clock),
        })
        .await;
    }

    #[tokio::test]
    async fn expired_keys_do_not_pile_up() {
        let clock = Movable::at(conformance::START);
        let store = Memory::new(Arc::new(clock.clone()));
        let set = |n: u64| Command::Set {
            key: format!("k{n}"),
            value: "v".into(),
            expire_at: Some(conformance::START + 1),
        };
        store.run((0..1_000).map(set).collect()).await.unwrap();
        clock.jump(conformance::START + 1);
        // Nobody asks for the keys again; other calls take them away, a few at a time.
        for _ in 0..100 {
            store
                .run(vec![Command::Get { key: "other".into() }])
                .await
                .unwrap();
        }
        assert_eq!(store.with_keys(|keys| keys.len()), 0);
    }
}
