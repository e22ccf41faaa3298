//! Writes parts to a store, in batches that suit every backend.

use std::time::Duration;

use crate::port::clock::Clock;
use crate::port::store::{Command, Store, StoreError};
use crate::port::whole::{Part, Parts, Whole};

use super::Digest;

/// Maximum size of a batch, bytes: Upstash's smallest plan accepts requests of 1 MB.
const BATCH_BYTES: usize = 384 << 10;

/// Maximum number of elements in a batch, so that a Redis needs less than two seconds.
const BATCH_ELEMENTS: usize = 5_000;

/// Maximum number of tries while the store is unavailable. Each command may run twice.
const TRIES: u32 = 8;

/// The first pause; each further one is twice as long.
const WAIT: Duration = Duration::from_millis(100);

/// Writes parts to a store.
pub struct Load<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    batch: Vec<Command>,
    bytes: usize,
    elements: usize,
}

impl<'a> Load<'a> {
    pub fn new(store: &'a dyn Store, clock: &'a dyn Clock) -> Self {
        Self {
            store,
            clock,
            batch: Vec::new(),
            bytes: 0,
            elements: 0,
        }
    }

    /// Writes it with the next batch.
    pub async fn add(&mut self, part: Part) -> Result<(), StoreError> {
        self.bytes += part.key.len() + part.content.bytes();
        self.elements += part.content.len();
        self.batch.extend(part.commands());
        if self.bytes >= BATCH_BYTES || self.elements >= BATCH_ELEMENTS {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what was added.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        (self.bytes, self.elements) = (0, 0);
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let mut wait = WAIT;
        for _ in 1..TRIES {
            match self.store.run(batch.clone()).await {
                Err(StoreError::Away { .. }) => {}
                done => return done.map(drop),
            }
            self.clock.sleep(wait).await;
            wait *= 2;
        }
        self.store.run(batch).await.map(drop)
    }
}

/// The digest of a store without the keys `apart`.
pub async fn digest(store: &dyn Whole, apart: &[&str]) -> Result<Digest, StoreError> {
    let mut digest = Digest::default();
    let mut parts = store.parts().await?;
    while let Some(some) = next(&mut *parts, apart).await? {
        for part in &some {
            digest.add(part);
        }
    }
    Ok(digest)
}

/// The next parts without the keys `apart`.
pub async fn next(parts: &mut dyn Parts, apart: &[&str]) -> Result<Option<Vec<Part>>, StoreError> {
    let some = parts.next().await?;
    Ok(some.map(|mut some| {
        some.retain(|part| !apart.contains(&part.key.as_str()));
        some
    }))
}
