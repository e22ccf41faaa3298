//! Reads the store's records for gates and pools, and pauses while the store is unavailable.

use crs_durable::Millis;

use crate::app::App;
use crate::port::store::StoreError;

/// Records that a gate or pool learned before this moment are stale.
pub(super) fn learned_since(app: &App, now: Millis) -> Millis {
    if app.ports.store.shared() && !app.store_rest.resting(now) {
        now.saturating_sub(app.config.relay.record_age.as_millis() as u64)
            .max(1)
    } else {
        1
    }
}

/// Reads a record from the store. `None` if the store is unavailable or paused; then `since` becomes 0, so that
/// the gate or pool decides by the records it has.
pub(super) async fn from_the_store<T>(
    app: &App,
    since: &mut Millis,
    read: impl Future<Output = Result<T, StoreError>>,
) -> Option<T> {
    if !app.store_rest.resting(app.ports.clock.now()) {
        match read.await {
            Ok(records) => return Some(records),
            Err(error) => {
                tracing::warn!(%error, "the store is unavailable; using cached records");
                app.store_rest.begin(app.ports.clock.now());
            }
        }
    }
    *since = 0;
    None
}
