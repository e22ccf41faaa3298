//! The store's records that machines are taught, and when the store is left alone.

use crs_durable::Millis;

use crate::app::App;
use crate::port::store::StoreError;

/// A record that a machine learned before this moment is stale.
pub(super) fn learned_since(app: &App, now: Millis) -> Millis {
    if app.ports.store.shared() && !app.store_rest.resting(now) {
        now.saturating_sub(app.config.relay.record_age.as_millis() as u64)
            .max(1)
    } else {
        1
    }
}

/// Reads what a machine has to learn. `None`: the store is away or resting; then `since` becomes 0, and the machine
/// decides by the records it has.
pub(super) async fn from_the_store<T>(
    app: &App,
    since: &mut Millis,
    read: impl Future<Output = Result<T, StoreError>>,
) -> Option<T> {
    if !app.store_rest.resting(app.ports.clock.now()) {
        match read.await {
            Ok(records) => return Some(records),
            Err(error) => {
                tracing::warn!(%error, "the store cannot be asked; records known already are used");
                app.store_rest.begin(app.ports.clock.now());
            }
        }
    }
    *since = 0;
    None
}
