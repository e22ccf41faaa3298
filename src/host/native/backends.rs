//! The store backends this build has.

use std::path::Path;
use std::sync::Arc;

use super::clock::NativeClock;
use crate::config;
use crate::port::store::Store;

/// The one file of the data folder.
pub(super) fn embedded(_: &Path, clock: Arc<NativeClock>) -> Result<Arc<dyn Store>, String> {
    Ok(Arc::new(crate::store::memory::Memory::new(clock)))
}

#[cfg(feature = "redis")]
pub(super) fn redis(redis: &config::Redis) -> Result<Arc<dyn Store>, String> {
    use crate::store::tcp::Tcp;
    let store =
        Tcp::new(redis.url.reveal(), None).map_err(|error| format!("redis at {}: {error}", redis.shown))?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "redis"))]
pub(super) fn redis(_: &config::Redis) -> Result<Arc<dyn Store>, String> {
    Err("this build cannot use Redis: leave REDIS_URL and REDIS_HOST out".to_owned())
}
