//! Decrypts accounts for use and caches them in memory.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use crs_durable::Millis;

use super::Accounts;
use crate::model::account::live::{AccessKeys, Credentials, EntraApp, LiveAccount, ServiceAccount};
use crate::model::account::{Account, Proxy, StoredCredentials, amazon};
use crate::port::store::StoreError;
use crate::secrets::SealError;

pub(super) struct Cache {
    /// Incremented by every `forget`, so that a record read before it is not cached after it.
    pub(super) generation: u64,
    pub(super) accounts: HashMap<String, CachedAccount>,
    /// Account names by id, from the latest roster.
    pub(super) names: HashMap<String, String>,
}

pub(super) struct CachedAccount {
    account: Arc<LiveAccount>,
    /// When the read of its record began; `None` if it may have changed since.
    loaded_at: Option<Millis>,
}

impl Accounts {
    /// Returns the decrypted account; `None` if it does not exist. A cached one is used if it was read at
    /// `loaded_since` or later and has `revision` or a later one, or if the store is unavailable. With 0 or 1 it
    /// has no maximum age, and is read again only after a change by this process or one known to the pool.
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
            // A time in the future means that the clock was set back, so the age is unknown.
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

    /// Reads the account from the store and decrypts it.
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

    /// The cached account, whatever its age.
    pub fn cached(&self, id: &str) -> Option<Arc<LiveAccount>> {
        self.cache().accounts.get(id).map(|cached| cached.account.clone())
    }

    /// Removes a changed account from the cache.
    pub fn forget(&self, id: &str) {
        let mut cache = self.cache();
        cache.generation = cache.generation.wrapping_add(1);
        cache.accounts.remove(id);
    }

    /// Requires a new read before the next use. If the store is unavailable then, the cached account is used.
    pub(super) fn distrust(&self, id: &str) {
        let mut cache = self.cache();
        cache.generation = cache.generation.wrapping_add(1);
        if let Some(opened) = cache.accounts.get_mut(id) {
            opened.loaded_at = None;
        }
    }

    /// The account's name, if it is cached.
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
        // A panic leaves nothing half done in here.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, account: Account) -> Result<LiveAccount, StoreError> {
        let id = account.id.as_str();
        let open = |field: &str, sealed: &str| {
            self.keyring
                .open(id, field, sealed)
                .map_err(|error| unopened(id, field, &error))
        };
        let open_for = |field: &str, base_url: Option<&str>, sealed: &str| {
            self.open_for(id, field, base_url, sealed)
                .map_err(|error| unopened(id, field, &error))
        };
        let credentials = match &account.credentials {
            StoredCredentials::ApiKey { api_key, base_url } => Credentials::ApiKey {
                api_key: open_for(super::API_KEY, base_url.as_deref(), api_key)?,
                base_url: base_url.clone(),
            },
            StoredCredentials::AccessKeys {
                access_key_id,
                secret_access_key,
                session_token,
                region,
                base_url,
            } => {
                let address = amazon::address(region, base_url.as_deref());
                Credentials::AccessKeys(AccessKeys {
                    access_key_id: access_key_id.clone(),
                    secret_access_key: open_for(super::SECRET_ACCESS_KEY, Some(&address), secret_access_key)?,
                    session_token: session_token
                        .as_deref()
                        .map(|token| open_for(super::SESSION_TOKEN, Some(&address), token))
                        .transpose()?,
                    region: region.clone(),
                    base_url: base_url.clone(),
                })
            }
            StoredCredentials::ServiceAccount {
                client_email,
                private_key,
                private_key_id,
                project,
                region,
                base_url,
                access_token,
                expires_at,
            } => Credentials::ServiceAccount(ServiceAccount {
                client_email: client_email.clone(),
                private_key: open_for(super::PRIVATE_KEY, base_url.as_deref(), private_key)?,
                private_key_id: private_key_id.clone(),
                project: project.clone(),
                region: region.clone(),
                base_url: base_url.clone(),
                access_token: access_token
                    .as_deref()
                    .map(|token| open(super::ACCESS_TOKEN, token))
                    .transpose()?,
                expires_at: *expires_at,
            }),
            StoredCredentials::EntraApp {
                tenant_id,
                client_id,
                client_secret,
                base_url,
                access_token,
                expires_at,
            } => Credentials::EntraApp(EntraApp {
                tenant_id: tenant_id.clone(),
                client_id: client_id.clone(),
                client_secret: open_for(super::CLIENT_SECRET, Some(base_url), client_secret)?,
                base_url: base_url.clone(),
                access_token: access_token
                    .as_deref()
                    .map(|token| open(super::ACCESS_TOKEN, token))
                    .transpose()?,
                expires_at: *expires_at,
            }),
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
                        reason: "it is not a proxy".to_owned(),
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
