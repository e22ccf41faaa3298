//! Provider accounts: records with sealed secrets, and a cache of decrypted ones for the relay.
//!
//! Changes of the credentials and changes of other fields never overwrite each other. Of two changes of the
//! credentials the newer version wins.
//!
//! A secret is bound to its destination, see `route`; every change is checked here.

mod live;
#[cfg(not(target_arch = "wasm32"))]
pub mod reseal;
mod route;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crs_durable::Millis;
use crs_durable::pool::AccountPolicy;

use super::keys::ACCOUNTS;
use super::record::{self, Change, Place};
use crate::model::account::live::{Credentials, NewTokens};
use crate::model::account::{Account, Platform, Proxy, StoredCredentials, amazon};
use crate::model::secret::Secret;
use crate::port::clock::Clock;
use crate::port::random::Random;
use crate::port::store::{Applied, Store, StoreError};
use crate::secrets::Keyring;

pub use route::SecretNeeded;

/// Name of the field of sealed API keys.
const API_KEY: &str = "apiKey";
/// The sealed fields of Amazon's access keys.
const SECRET_ACCESS_KEY: &str = "secretAccessKey";
const SESSION_TOKEN: &str = "sessionToken";
/// The sealed fields of a service account.
const PRIVATE_KEY: &str = "privateKey";
/// Those of an Entra application: this one and the access token.
const CLIENT_SECRET: &str = "clientSecret";
const ACCESS_TOKEN: &str = "accessToken";

#[derive(Clone)]
pub struct Accounts {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    opened: Arc<Mutex<live::Cache>>,
}

/// The result of changing an account.
#[derive(Clone, Debug, PartialEq)]
pub enum EditResult<E> {
    Done(Box<Account>),
    /// There is no such account.
    Unknown,
    /// The change was refused; nothing was written.
    Refused(E),
    /// The change would send a stored secret to a new destination; nothing was written.
    SecretNeeded(SecretNeeded),
}

/// The result of storing fresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUpdate {
    /// The tokens were stored with this credential version.
    Stored { version: u64 },
    /// The account has newer credentials, which the caller must use.
    Newer { version: u64 },
    /// The account is gone.
    Gone,
}

impl Accounts {
    pub fn new(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            store,
            keyring,
            clock,
            random,
            opened: Arc::new(Mutex::new(live::Cache {
                generation: 0,
                accounts: HashMap::new(),
                names: HashMap::new(),
            })),
        }
    }

    /// Stores a new account. Returns `false` if its id exists.
    pub async fn create(&self, account: &Account) -> Result<bool, StoreError> {
        let place = at(&account.id);
        let batch = vec![place.set(record::text(&place, account)?)];
        let applied = self.store.atomically(vec![place.guard(None)], batch).await?;
        Ok(applied == Applied::Yes)
    }

    pub async fn get(&self, id: &str) -> Result<Option<Account>, StoreError> {
        record::read(&*self.store, &at(id)).await
    }

    /// All accounts, unordered. Unreadable records are skipped and logged.
    pub async fn list(&self) -> Result<Vec<Account>, StoreError> {
        let entries = record::entries(&*self.store, ACCOUNTS).await?;
        Ok(super::readable(ACCOUNTS, entries))
    }

    /// The roster of a platform's pool. `no_proxies`: why this host cannot use accounts with a proxy, see
    /// `port::upstream`.
    pub async fn roster(
        &self,
        platform: Platform,
        utc_offset_minutes: i32,
        no_proxies: Option<&str>,
    ) -> Result<Vec<AccountPolicy>, StoreError> {
        let mut accounts = self.list().await?;
        self.learn_names(&accounts);
        accounts.retain(|account| account.platform == platform);
        accounts.sort_by(|a, b| a.id.cmp(&b.id));
        let policy = |account: &Account| AccountPolicy {
            unusable: no_proxies.filter(|_| account.proxy.is_some()).map(str::to_owned),
            ..account.policy(utc_offset_minutes)
        };
        Ok(accounts.iter().map(policy).collect())
    }

    /// Changes an account. `edit` may refuse, then nothing is changed. It may be called several times if the
    /// account changes concurrently, so it must depend only on its argument. New credentials get a new version.
    ///
    /// A change of the secrets' route (the provider's address, the proxy) must contain the secrets again.
    pub async fn try_update<E: Send>(
        &self,
        id: &str,
        now: Millis,
        mut edit: impl FnMut(&mut Account) -> Result<(), E> + Send,
    ) -> Result<EditResult<E>, StoreError> {
        let mut moved = None;
        let changed = record::change(&*self.store, &at(id), |stored: Option<Account>| {
            let Some(mut account) = stored else {
                return Change::Leave(EditResult::Unknown);
            };
            let before = account.clone();
            if let Err(refused) = edit(&mut account) {
                return Change::Leave(EditResult::Refused(refused));
            }
            moved = match self.moved(&before, &account) {
                Ok(moved) => moved,
                Err(needed) => return Change::Leave(EditResult::SecretNeeded(needed)),
            };
            if account.credentials != before.credentials {
                account.credential_version = account.credential_version.saturating_add(1);
            }
            self.bind(&mut account);
            account.touch(now);
            Change::write(account.clone(), EditResult::Done(Box::new(account)))
        })
        .await;
        // The write may have happened although its answer was lost.
        self.distrust(id);
        if let (Ok(EditResult::Done(_)), Some(moved)) = (&changed, moved) {
            tracing::info!(
                target: "audit",
                account = id,
                from = %moved.from,
                to = %moved.to,
                "account destination changed"
            );
        }
        changed
    }

    /// Returns `false` if the account does not exist.
    pub async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        // Parsed as any JSON, so that unreadable records can be deleted.
        let gone = record::change(
            &*self.store,
            &at(id),
            |stored: Option<serde_json::Value>| match stored {
                None => Change::Leave(false),
                Some(_) => Change::Remove(true),
            },
        )
        .await;
        self.forget(id);
        gone
    }

    /// Stores refreshed tokens that were made from the credentials of version `seen_version`. Changes nothing
    /// else.
    pub async fn replace_tokens(
        &self,
        id: &str,
        seen_version: u64,
        tokens: NewTokens,
    ) -> Result<TokenUpdate, StoreError> {
        let access = self.seal(id, "accessToken", &tokens.access_token);
        let refresh = tokens
            .refresh_token
            .map(|token| self.seal(id, "refreshToken", &token));
        let now = self.clock.now();
        let replaced = record::change(&*self.store, &at(id), |stored: Option<Account>| {
            let Some(mut account) = stored else {
                return Change::Leave(TokenUpdate::Gone);
            };
            let version = account.credential_version;
            let newer = |own: bool| {
                // Our own write may have succeeded although its answer was lost.
                Change::Leave(if own {
                    TokenUpdate::Stored { version }
                } else {
                    TokenUpdate::Newer { version }
                })
            };
            match &mut account.credentials {
                StoredCredentials::OAuth {
                    access_token,
                    refresh_token,
                    expires_at,
                    tenant,
                } => {
                    if version > seen_version {
                        return newer(*access_token == access);
                    }
                    access_token.clone_from(&access);
                    if let Some(refresh) = &refresh {
                        *refresh_token = Some(refresh.clone());
                    }
                    *expires_at = tokens.expires_at;
                    if tenant.is_none() {
                        tenant.clone_from(&tokens.tenant);
                    }
                }
                StoredCredentials::ServiceAccount {
                    access_token,
                    expires_at,
                    ..
                }
                | StoredCredentials::EntraApp {
                    access_token,
                    expires_at,
                    ..
                } => {
                    if version > seen_version {
                        return newer(access_token.as_ref() == Some(&access));
                    }
                    *access_token = Some(access.clone());
                    *expires_at = tokens.expires_at;
                }
                _ => return newer(false),
            }
            let version = seen_version.saturating_add(1);
            account.credential_version = version;
            account.touch(now);
            Change::write(account, TokenUpdate::Stored { version })
        })
        .await;
        self.distrust(id);
        replaced
    }

    /// Persists the tenant found for OAuth credentials, unless one is stored.
    pub async fn learn_tenant(&self, id: &str, found: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let learned = record::change(&*self.store, &at(id), |stored: Option<Account>| {
            let Some(mut account) = stored else {
                return Change::Leave(());
            };
            match &mut account.credentials {
                StoredCredentials::OAuth { tenant, .. } if tenant.is_none() => {
                    *tenant = Some(found.to_owned());
                }
                _ => return Change::Leave(()),
            }
            account.touch(now);
            Change::write(account, ())
        })
        .await;
        self.distrust(id);
        learned
    }

    /// Seals the credentials of the account `id` for the store.
    pub fn seal_credentials(&self, id: &str, credentials: &Credentials) -> StoredCredentials {
        match credentials {
            Credentials::ApiKey { api_key, base_url } => StoredCredentials::ApiKey {
                api_key: self.seal_api_key(id, base_url.as_deref(), api_key),
                base_url: base_url.clone(),
            },
            Credentials::AccessKeys(keys) => {
                let address = amazon::address(&keys.region, keys.base_url.as_deref());
                let seal = |field: &str, secret: &Secret| self.seal_for(id, field, Some(&address), secret);
                StoredCredentials::AccessKeys {
                    access_key_id: keys.access_key_id.clone(),
                    secret_access_key: seal(SECRET_ACCESS_KEY, &keys.secret_access_key),
                    session_token: keys
                        .session_token
                        .as_ref()
                        .map(|token| seal(SESSION_TOKEN, token)),
                    region: keys.region.clone(),
                    base_url: keys.base_url.clone(),
                }
            }
            Credentials::ServiceAccount(account) => StoredCredentials::ServiceAccount {
                client_email: account.client_email.clone(),
                private_key: self.seal_for(
                    id,
                    PRIVATE_KEY,
                    account.base_url.as_deref(),
                    &account.private_key,
                ),
                private_key_id: account.private_key_id.clone(),
                project: account.project.clone(),
                region: account.region.clone(),
                base_url: account.base_url.clone(),
                access_token: account
                    .access_token
                    .as_ref()
                    .map(|token| self.seal(id, ACCESS_TOKEN, token)),
                expires_at: account.expires_at,
            },
            Credentials::EntraApp(app) => StoredCredentials::EntraApp {
                tenant_id: app.tenant_id.clone(),
                client_id: app.client_id.clone(),
                client_secret: self.seal_for(id, CLIENT_SECRET, Some(&app.base_url), &app.client_secret),
                base_url: app.base_url.clone(),
                access_token: app
                    .access_token
                    .as_ref()
                    .map(|token| self.seal(id, ACCESS_TOKEN, token)),
                expires_at: app.expires_at,
            },
            Credentials::OAuth {
                access_token,
                refresh_token,
                expires_at,
                tenant,
            } => StoredCredentials::OAuth {
                access_token: self.seal(id, "accessToken", access_token),
                refresh_token: refresh_token
                    .as_ref()
                    .map(|token| self.seal(id, "refreshToken", token)),
                expires_at: *expires_at,
                tenant: tenant.clone(),
            },
        }
    }

    /// Seals the proxy of the account `id` for the store, and returns its display form beside it.
    pub fn seal_proxy(&self, id: &str, proxy: &Proxy) -> Result<(String, String), StoreError> {
        let text = serde_json::to_string(proxy).map_err(|e| StoreError::Unreadable {
            key: ACCOUNTS.to_owned(),
            reason: e.to_string(),
        })?;
        let sealed = self.keyring.seal(&*self.random, id, "proxy", &text);
        Ok((sealed, proxy.shown()))
    }

    /// The account's decrypted proxy; `None` if there is none or it cannot be decrypted.
    pub(crate) fn proxy_of(&self, account: &Account) -> Option<Proxy> {
        let sealed = account.proxy.as_ref()?;
        let text = self.keyring.open(&account.id, "proxy", sealed).ok()?;
        serde_json::from_slice(text.reveal().as_bytes()).ok()
    }

    /// Seals an API key for the account `id` and the host of this address.
    pub(crate) fn seal_api_key(&self, id: &str, base_url: Option<&str>, key: &Secret) -> String {
        self.seal_for(id, API_KEY, base_url, key)
    }

    /// Seals a secret for the account `id` and the host of this address.
    pub(crate) fn seal_for(&self, id: &str, field: &str, base_url: Option<&str>, secret: &Secret) -> String {
        let destination = route::destination(base_url);
        self.keyring
            .seal_for(&*self.random, id, field, &destination, secret.reveal())
    }

    /// Seals one of an account's tokens: `accessToken` or `refreshToken`. They are not bound to a host, because
    /// the configuration determines it.
    pub(crate) fn seal(&self, id: &str, field: &str, secret: &Secret) -> String {
        self.keyring.seal(&*self.random, id, field, secret.reveal())
    }
}

fn at(id: &str) -> Place {
    Place::Field {
        key: ACCOUNTS,
        field: id.to_owned(),
    }
}

#[cfg(test)]
mod tests;
