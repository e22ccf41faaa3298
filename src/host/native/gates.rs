//! The machines in this process: one lock per key, one per platform.
//!
//! A process that dies ends its calls, so leases are kept in memory only. What a restart must not forget
//! (cooldowns, refused credentials, sticky sessions) is written to the store soon after it changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use crs_durable::Machine as _;
use crs_durable::gate::{self, Gate};
use crs_durable::pool::{self, Pool};

use crate::model::account::Platform;
use crate::port::clock::Clock;
use crate::port::gates::{Gates, GatesError, KeyHash};
use crate::port::store::{Command, Reply, Store};
use crate::store::keys;

/// Gates are spread over this many locks, so that keys do not wait for each other.
const SHARDS: usize = 64;

const PLATFORMS: [Platform; 4] = [
    Platform::Claude,
    Platform::OpenAi,
    Platform::Gemini,
    Platform::Antigravity,
];

pub struct NativeGates {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    gates: Vec<Mutex<HashMap<KeyHash, Gate>>>,
    pools: [PoolCell; 4],
}

#[derive(Default)]
struct PoolCell {
    pool: Mutex<Pool>,
    unsaved: AtomicBool,
}

impl NativeGates {
    /// Machines as they were when the process last ran.
    pub async fn load(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let reads = PLATFORMS
            .iter()
            .map(|platform| Command::Get {
                key: keys::pool(*platform),
            })
            .collect();
        let replies = store.run(reads).await.map_err(|error| error.to_string())?;
        let gates = Self {
            store,
            clock,
            gates: (0..SHARDS).map(|_| Mutex::default()).collect(),
            pools: Default::default(),
        };
        for (cell, (platform, reply)) in gates.pools.iter().zip(PLATFORMS.iter().zip(replies)) {
            let Reply::Value(Some(saved)) = reply else {
                continue;
            };
            match serde_json::from_slice::<Pool>(&saved) {
                Ok(pool) => *lock(&cell.pool) = pool.resumed(),
                // Written by another version: what it knew heals or is learned again.
                Err(error) => {
                    tracing::warn!(platform = platform.name(), %error, "the saved state of a pool cannot be read and is dropped");
                }
            }
        }
        Ok(gates)
    }

    /// Writes the pools that changed since the last time.
    pub async fn save(&self) {
        for (cell, platform) in self.pools.iter().zip(PLATFORMS) {
            if !cell.unsaved.swap(false, Ordering::AcqRel) {
                continue;
            }
            let saved = serde_json::to_vec(&*lock(&cell.pool));
            let Ok(value) = saved else { continue };
            let write = Command::Set {
                key: keys::pool(platform),
                value: Bytes::from(value),
                expire_at: None,
            };
            if let Err(error) = self.store.run(vec![write]).await {
                cell.unsaved.store(true, Ordering::Release);
                tracing::warn!(platform = platform.name(), %error, "the state of a pool cannot be saved; trying again");
            }
        }
    }

    fn shard(&self, key: &KeyHash) -> Option<&Mutex<HashMap<KeyHash, Gate>>> {
        let [first, ..] = key.0;
        self.gates.get(usize::from(first) % SHARDS)
    }
}

#[async_trait]
impl Gates for NativeGates {
    async fn gate(&self, key: &KeyHash, command: gate::Command) -> Result<gate::Reply, GatesError> {
        let away = || GatesError {
            machine: "gate",
            reason: "no shard".to_owned(),
        };
        let mut shard = lock(self.shard(key).ok_or_else(away)?);
        let now = self.clock.now();
        if let Some(gate) = shard.get_mut(key) {
            return Ok(gate.handle(now, command).reply);
        }
        Ok(shard.entry(key.clone()).or_default().handle(now, command).reply)
    }

    async fn pool(&self, platform: Platform, command: pool::Command) -> Result<pool::Reply, GatesError> {
        let cell = PLATFORMS
            .iter()
            .zip(&self.pools)
            .find_map(|(name, cell)| (*name == platform).then_some(cell));
        let cell = cell.ok_or_else(|| GatesError {
            machine: "pool",
            reason: "unknown platform".to_owned(),
        })?;
        let step = lock(&cell.pool).handle(self.clock.now(), command);
        if step.changes.lasting {
            cell.unsaved.store(true, Ordering::Release);
        }
        Ok(step.reply)
    }
}

/// A panic inside a machine cannot leave it half changed for long: leases end by themselves.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
