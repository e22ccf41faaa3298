//! Where this process keeps its machines: in memory, or as copies of machines that several processes share.

use std::sync::Arc;
use std::time::Duration;

use super::process::ProcessGates;
use super::shared::SharedGates;
use crate::app::App;
use crate::port::gates::{Gates, KeyHash};
use crs_durable::gate::Gate;

/// Interval of writes of changed pools.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The machines of this process, or its copies of shared ones.
#[derive(Clone)]
pub(super) enum Machines {
    Own(ProcessGates),
    Shared(SharedGates),
}

impl Machines {
    pub(super) fn port(&self) -> Arc<dyn Gates> {
        match self {
            Self::Own(gates) => Arc::new(gates.clone()),
            Self::Shared(gates) => Arc::new(gates.clone()),
        }
    }

    /// Writes the state that must survive a restart.
    pub(super) async fn save(&self) {
        match self {
            Self::Own(gates) => gates.save().await,
            Self::Shared(gates) => gates.save().await,
        }
    }

    /// Ends calls of this process whose end another process requests.
    pub(super) fn end_calls_of(&self, app: &App) {
        if let Self::Shared(gates) = self {
            let app = Arc::downgrade(app);
            gates.ends_by(move |key, call, why| {
                if let Some(app) = app.upgrade() {
                    app.running.end(key, call, why);
                }
            });
        }
    }

    /// Takes over states of gates that an earlier run kept; shared ones are not kept that way.
    pub(super) fn resume(&self, kept: Vec<(KeyHash, Gate)>) {
        if let Self::Own(gates) = self {
            gates.resume(kept);
        }
    }

    /// The background work for the machines; does not end.
    pub(super) async fn keep(self) {
        match self {
            Self::Own(gates) => loop {
                tokio::time::sleep(SAVE_EVERY).await;
                gates.save().await;
            },
            Self::Shared(gates) => {
                tokio::join!(gates.tend(), gates.listen());
            }
        }
    }
}
