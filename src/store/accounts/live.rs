//! Accounts opened for use: decrypted once and cached in memory.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use crs_durable::Millis;

use super::Accounts;
use crate::model::account::live::{Credentials, LiveAccount};
use crate::model::account::{Account, Proxy, StoredCredentials};
use crate::port::store::StoreError;
use crate::secrets::SealError;

pub(super) struct Cache {
    /// Grows with every `forget`, so that a record read before it is not kept after it.
    pub(super) generation: u64,
    pub(super) accounts: HashMap<String, CachedAccount>,
    /// By id, as the roster last named them.
    pub(super) names: HashMap<String, String>,
}

pub(super) struct CachedAccount {
    account: Arc<LiveAccount>,
    /// When its record was asked for; `None`: it may have changed since.
    loaded_at: Option<Millis>,
}

impl Accounts {
    /// The account, opened; `None`: there is no such. One in memory is used if it was read at
    /// `loaded_since` or later and is of `revision` or a later one, or if the store cannot be asked now.
    /// With 0 or 1 it has no maximum age, and only a change by this process, or one the pool knows of, has
    /// it read again.
    pub async fn live(
        &self,
        id: &str,
        loaded_since: Millis,
        revision: u64,
    ) -> Result<Option<Arc<LiveAccount>>, StoreError> {
        let known = {
            let cache = self.cache();
            cache
                .accounts
                .get(id)
                .map(|opened| (opened.account.clone(), opened.loaded_at))
        };
        if let Some((account, Some(loaded_at))) = &known {
            // Read "in the future": the clock was set back, so its age is unknown.
            let tellable = *loaded_at <= self.clock.now();
            let fresh = loaded_since <= 1 || (*loaded_at >= loaded_since && tellable);
            if fresh && account.account.updated_at >= revision {
                return Ok(Some(account.clone()));
            }
        }
        match (self.fresh(id).await, known) {
            (Err(error @ (StoreError::Away { .. } | StoreError::Failed { .. })), Some((account, _))) => {
                tracing::debug!(%error, account = id, "using the account as it was last read");
                Ok(Some(account))
            }
            (read, _) => read,
        }
    }

    /// The account as the store has it now, opened.
    pub async fn fresh(&self, id: &str) -> Result<Option<Arc<LiveAccount>>, StoreError> {
        let generation = self.cache().generation;
        let loaded_at = self.clock.now();
        let opened = match self.get(id).await? {
            Some(account) => Some(Arc::new(self.open(account)?)),
            None => None,
        };
        let mut cache = self.cache();
        if cache.generation == generation {
            match &opened {
                Some(account) => {
                    let opened = CachedAccount {
                        account: account.clone(),
                        loaded_at: Some(loaded_at),
                    };
                    cache.accounts.insert(id.to_owned(), opened);
                }
                None => {
                    cache.accounts.remove(id);
                }
            }
        }
        Ok(opened)
    }

    /// Drops the opened account: it was changed.
    pub fn forget(&self, id: &str) {
        let mut cache = self.cache();
        cache.generation = cache.generation.wrapping_add(1);
        cache.accounts.remove(id);
    }

    /// Has the account read again before its next use. If the store is away then, it still serves.
    pub(super) fn distrust(&self, id: &str) {
        let mut cache = self.cache();
        cache.generation = cache.generation.wrapping_add(1);
        if let Some(opened) = cache.accounts.get_mut(id) {
            opened.loaded_at = None;
        }
    }

    /// The account's name, if this process knows it.
    pub fn known_name(&self, id: &str) -> Option<String> {
        let cache = self.cache();
        let opened = cache.accounts.get(id).map(|opened| &opened.account.account.name);
        opened.or_else(|| cache.names.get(id)).cloned()
    }

    pub(super) fn learn_names(&self, all: &[Account]) {
        let names = all
            .iter()
            .map(|account| (account.id.clone(), account.name.clone()));
        self.cache().names = names.collect();
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // Nothing in here is left half done by a panic.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, account: Account) -> Result<LiveAccount, StoreError> {
        let id = account.id.as_str();
        let open = |field: &str, sealed: &str| {
            self.keyring
                .open(id, field, sealed)
                .map_err(|error| unopened(id, field, &error))
        };
        let credentials = match &account.credentials {
            StoredCredentials::ApiKey { api_key, base_url } => Credentials::ApiKey {
                api_key: self
                    .open_api_key(id, base_url.as_deref(), api_key)
                    .map_err(|error| unopened(id, super::API_KEY, &error))?,
                base_url: base_url.clone(),
            },
            StoredCredentials::OAuth {
                access_token,
                refresh_token,
                expires_at,
                tenant,
            } => Credentials::OAuth {
                access_token: open("accessToken", access_token)?,
                refresh_token: refresh_token
                    .as_deref()
                    .map(|token| open("refreshToken", token))
                    .transpose()?,
                expires_at: *expires_at,
                tenant: tenant.clone(),
            },
        };
        let proxy = match &account.proxy {
            Some(sealed) => {
                let text = open("proxy", sealed)?;
                let proxy: Proxy =
                    serde_json::from_slice(text.reveal().as_bytes()).map_err(|_| StoreError::Unreadable {
                        key: format!("{}[{id}].proxy", super::ACCOUNTS),
                        reason: "it is no proxy".to_owned(),
                    })?;
                Some(Arc::new(proxy))
            }
            None => None,
        };
        Ok(LiveAccount {
            account,
            credentials,
            proxy,
            replaced: None,
        })
    }
}

fn unopened(id: &str, field: &str, error: &SealError) -> StoreError {
    StoreError::Unreadable {
        key: format!("{}[{id}].{field}", super::ACCOUNTS),
        reason: error.to_string(),
    }
}
