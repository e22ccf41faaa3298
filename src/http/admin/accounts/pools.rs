//! Reads the state of accounts from their pools.

use std::collections::{BTreeMap, BTreeSet};

use crs_durable::pool::{self, AccountSnapshot};
use futures_util::future::join_all;

use crate::app::App;
use crate::model::account::Platform;

/// The accounts of several pools.
#[derive(Debug, Default)]
pub(in super::super) struct Pools {
    /// By account id. Accounts that their pool has not read yet are missing.
    pub(in super::super) accounts: BTreeMap<String, AccountSnapshot>,
    /// Platforms whose pool did not answer.
    pub(in super::super) away: BTreeSet<Platform>,
}

impl Pools {
    /// Asks the pool of each platform once, all at the same time.
    pub(in super::super) async fn ask(app: &App, platforms: BTreeSet<Platform>) -> Self {
        let asked = platforms.into_iter().map(|platform| async move {
            let reply = app.ports.gates.pool(platform, pool::Command::Snapshot).await;
            (platform, reply)
        });
        let mut pools = Self::default();
        for (platform, reply) in join_all(asked).await {
            match reply {
                Ok(pool::Reply::Snapshot(snapshot)) => {
                    let accounts = snapshot.accounts.into_iter();
                    pools
                        .accounts
                        .extend(accounts.map(|account| (account.policy.id.clone(), account)));
                }
                Ok(_) => {
                    pools.away.insert(platform);
                }
                Err(error) => {
                    tracing::warn!(%error, "the pool could not be asked for the state of its accounts");
                    pools.away.insert(platform);
                }
            }
        }
        pools
    }
}
