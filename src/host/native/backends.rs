//! The store backends of this build.

use std::path::Path;
use std::sync::Arc;

use super::clock::NativeClock;
use crate::config;
use crate::port::home::Home;
use crate::port::whole::Whole;

/// A store, and the home of shared machines if several processes may use it.
pub(super) struct StoreWithHome {
    pub(super) store: Arc<dyn Whole>,
    pub(super) home: Option<Arc<dyn Home>>,
}

/// The one file of the data folder. Blocks until it is open.
#[cfg(feature = "embedded")]
pub(super) fn embedded(data_dir: &Path, clock: Arc<NativeClock>) -> Result<Arc<dyn Whole>, String> {
    use crate::store::embedded::{Embedded, OpenError};
    let file = data_dir.join(super::first_run::STORE_FILE);
    match Embedded::open(&file, clock) {
        Ok(store) => Ok(Arc::new(store)),
        Err(OpenError::InUse) => Err(format!(
            "{} is in use by another crs: end that one, or set DATA_DIR to another folder",
            file.display()
        )),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

#[cfg(not(feature = "embedded"))]
pub(super) fn embedded(_: &Path, _: Arc<NativeClock>) -> Result<Arc<dyn Whole>, String> {
    Err("this build has no store of its own: set REDIS_URL or REDIS_HOST".to_owned())
}

#[cfg(feature = "redis")]
pub(super) fn redis(redis: &config::Redis) -> Result<StoreWithHome, String> {
    use crate::store::home::RedisHome;
    use crate::store::tcp::Tcp;
    // Each has its own connection: a call does not wait behind a large batch.
    let connect =
        || Tcp::new(redis.url.reveal(), None).map_err(|error| format!("redis at {}: {error}", redis.shown));
    Ok(StoreWithHome {
        store: Arc::new(connect()?),
        home: Some(Arc::new(RedisHome::new(connect()?))),
    })
}

#[cfg(not(feature = "redis"))]
pub(super) fn redis(_: &config::Redis) -> Result<StoreWithHome, String> {
    Err("this build cannot use Redis: leave REDIS_URL and REDIS_HOST out".to_owned())
}

#[cfg(feature = "upstash")]
pub(super) fn upstash(upstash: &config::Upstash, clock: Arc<NativeClock>) -> Result<StoreWithHome, String> {
    use crate::store::home::RedisHome;
    use crate::store::upstash::{Limits, Upstash};
    let connect = || {
        Upstash::new(&upstash.url, &upstash.token, clock.clone(), Limits::default())
            .map_err(|error| format!("upstash at {}: {error}", upstash.shown))
    };
    Ok(StoreWithHome {
        store: Arc::new(connect()?),
        home: Some(Arc::new(RedisHome::new(connect()?))),
    })
}

#[cfg(not(feature = "upstash"))]
pub(super) fn upstash(_: &config::Upstash, _: Arc<NativeClock>) -> Result<StoreWithHome, String> {
    Err(
        "this build cannot use Upstash: leave UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN out"
            .to_owned(),
    )
}
