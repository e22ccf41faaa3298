//! A store that bypasses the audit log but respects holds.

use std::sync::Arc;

use async_trait::async_trait;

use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};

/// A store whose steps respect holds and are not in the audit log.
pub struct HoldRespectingStore(pub Arc<dyn Store>);

#[async_trait]
impl Store for HoldRespectingStore {
    async fn run(&self, batch: Vec<Command>) -> Result<Vec<Reply>, StoreError> {
        self.0.run(batch).await
    }

    async fn atomically(&self, guards: Vec<Guard>, batch: Vec<Command>) -> Result<Applied, StoreError> {
        super::atomically(&*self.0, guards, batch).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }

    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn shared(&self) -> bool {
        self.0.shared()
    }
}
