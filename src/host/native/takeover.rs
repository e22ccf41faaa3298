//! Host services for an import of another relay's data.

use std::sync::Arc;

use super::Native;
use crate::import::copy::Target;
use crate::port::store::Store;
use crate::store::hold::heeding::HoldRespectingStore;
use crate::store::imports::Imports;
use crate::store::old_keys::OldKeyStore;

impl Native {
    /// The target of an import. One entry of the audit log covers the whole import, so its records bypass the audit
    /// log.
    pub fn import_target(&self) -> Target<'_> {
        let app = &self.app;
        let store: Arc<dyn Store> = Arc::new(HoldRespectingStore(self.store.clone()));
        Target {
            imports: Imports::new(store.clone()),
            ledger: &app.ledger,
            settings: &app.settings,
            accounts: &app.accounts,
            old_keys: OldKeyStore::new(store, app.keyring.clone(), app.ports.random.clone()),
        }
    }
}
