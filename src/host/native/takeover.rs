//! What an import of another relay's data needs of this host.

use std::sync::Arc;

use super::Native;
use crate::import::copy::Target;
use crate::port::store::Store;
use crate::store::hold::heeding::Heeding;
use crate::store::imports::Imports;
use crate::store::old_keys::OldKeyStore;

impl Native {
    /// Where an import writes. One entry of the audit log tells of the whole import, so its records go by the log.
    pub fn import_target(&self) -> Target<'_> {
        let app = &self.app;
        let store: Arc<dyn Store> = Arc::new(Heeding(self.store.clone()));
        Target {
            imports: Imports::new(store.clone()),
            ledger: &app.ledger,
            settings: &app.settings,
            accounts: &app.accounts,
            old_keys: OldKeyStore::new(store, app.keyring.clone(), app.ports.random.clone()),
        }
    }
}
