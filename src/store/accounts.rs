//! The provider accounts: records with sealed secrets, and opened ones kept in memory for the relay.
//!
//! A change of the credentials and a change of the rest never overwrite each other, and of two changes of
//! the credentials the newer version stays.
//!
//! A secret is bound to where it is sent: see `route`. The check is here, where every change passes.

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
use crate::model::account::{Account, Platform, Proxy, StoredCredentials};
use crate::model::secret::Secret;
use crate::port::clock::Clock;
use crate::port::random::Random;
use crate::port::store::{Applied, Store, StoreError};
use crate::secrets::Keyring;

pub use route::SecretNeeded;

/// The field that an API key is sealed for.
const API_KEY: &str = "apiKey";

#[derive(Clone)]
pub struct Accounts {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    opened: Arc<Mutex<live::Cache>>,
}

/// The result of a change of an account.
#[derive(Clone, Debug, PartialEq)]
pub enum Edited<E> {
    Done(Box<Account>),
    /// There is no such account.
    Unknown,
    /// The change was refused; nothing was written.
    Refused(E),
    /// The change would send a stored secret to another place than it was given for; nothing was written.
    SecretNeeded(SecretNeeded),
}

/// The result of storing fresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// They are stored, as this credential version.
    Stored { version: u64 },
    /// The account has newer credentials than the ones these were made from: use those.
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

    /// Stores a new account; `false` if its id is there already.
    pub async fn create(&self, account: &Account) -> Result<bool, StoreError> {
        let place = at(&account.id);
        let batch = vec![place.set(record::text(&place, account)?)];
        let applied = self.store.atomically(vec![place.guard(None)], batch).await?;
        Ok(applied == Applied::Yes)
    }

    pub async fn get(&self, id: &str) -> Result<Option<Account>, StoreError> {
        record::read(&*self.store, &at(id)).await
    }

    /// All accounts, in no order. A record that cannot be read is left out and logged.
    pub async fn list(&self) -> Result<Vec<Account>, StoreError> {
        let entries = record::entries(&*self.store, ACCOUNTS).await?;
        Ok(super::readable(ACCOUNTS, entries))
    }

    /// The roster of a platform's pool. `no_proxies`: why this host cannot use one
    /// that has a proxy, see `port::upstream`.
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

    /// Changes an account. `edit` may refuse: then nothing is changed. It may be called again when others change
    /// the account meanwhile, so it must depend on nothing but its argument. New credentials get a new version.
    ///
    /// A change of the way that the secrets take (the provider's address, the proxy) must bring them along.
    pub async fn try_update<E: Send>(
        &self,
        id: &str,
        now: Millis,
        mut edit: impl FnMut(&mut Account) -> Result<(), E> + Send,
    ) -> Result<Edited<E>, StoreError> {
        let mut moved = None;
        let changed = record::change(&*self.store, &at(id), |stored: Option<Account>| {
            let Some(mut account) = stored else {
                return Change::Leave(Edited::Unknown);
            };
            let before = account.clone();
            if let Err(refused) = edit(&mut account) {
                return Change::Leave(Edited::Refused(refused));
            }
            moved = match self.moved(&before, &account) {
                Ok(moved) => moved,
                Err(needed) => return Change::Leave(Edited::SecretNeeded(needed)),
            };
            if account.credentials != before.credentials {
                account.credential_version = account.credential_version.saturating_add(1);
            }
            self.bind(&mut account);
            account.touch(now);
            Change::write(account.clone(), Edited::Done(Box::new(account)))
        })
        .await;
        // A write whose answer was lost may have happened.
        self.distrust(id);
        if let (Ok(Edited::Done(_)), Some(moved)) = (&changed, moved) {
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

    /// `false`: there is no such account.
    pub async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        // As JSON of any kind: a record that cannot be read must be deletable.
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

    /// Stores refreshed tokens, made from the credentials of version `seen_version`. Touches nothing else
    /// of the account.
    pub async fn replace_tokens(
        &self,
        id: &str,
        seen_version: u64,
        tokens: NewTokens,
    ) -> Result<Replaced, StoreError> {
        let access = self.seal(id, "accessToken", &tokens.access_token);
        let refresh = tokens
            .refresh_token
            .map(|token| self.seal(id, "refreshToken", &token));
        let now = self.clock.now();
        let replaced = record::change(&*self.store, &at(id), |stored: Option<Account>| {
            let Some(mut account) = stored else {
                return Change::Leave(Replaced::Gone);
            };
            let StoredCredentials::OAuth {
                access_token,
                refresh_token,
                expires_at,
                tenant,
            } = &mut account.credentials
            else {
                return Change::Leave(Replaced::Newer {
                    version: account.credential_version,
                });
            };
            if account.credential_version > seen_version {
                // Our own write may have been done although its answer was lost.
                let version = account.credential_version;
                return Change::Leave(if *access_token == access {
                    Replaced::Stored { version }
                } else {
                    Replaced::Newer { version }
                });
            }
            access_token.clone_from(&access);
            if let Some(refresh) = &refresh {
                *refresh_token = Some(refresh.clone());
            }
            *expires_at = tokens.expires_at;
            if tenant.is_none() {
                tenant.clone_from(&tokens.tenant);
            }
            let version = seen_version.saturating_add(1);
            account.credential_version = version;
            account.touch(now);
            Change::write(account, Replaced::Stored { version })
        })
        .await;
        self.distrust(id);
        replaced
    }

    /// Keeps what was found out about OAuth credentials: for whom they speak. What is known already stays.
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

    /// The credentials in the form the store keeps, sealed for the account `id`.
    pub fn seal_credentials(&self, id: &str, credentials: &Credentials) -> StoredCredentials {
        match credentials {
            Credentials::ApiKey { api_key, base_url } => StoredCredentials::ApiKey {
                api_key: self.seal_api_key(id, base_url.as_deref(), api_key),
                base_url: base_url.clone(),
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

    /// The proxy in the form the store keeps: sealed for the account `id`, and what may be shown of it.
    pub fn seal_proxy(&self, id: &str, proxy: &Proxy) -> Result<(String, String), StoreError> {
        let text = serde_json::to_string(proxy).map_err(|e| StoreError::Unreadable {
            key: ACCOUNTS.to_owned(),
            reason: e.to_string(),
        })?;
        let sealed = self.keyring.seal(&*self.random, id, "proxy", &text);
        Ok((sealed, proxy.shown()))
    }

    /// The account's proxy, opened; `None` if there is none, or it does not open.
    pub(crate) fn proxy_of(&self, account: &Account) -> Option<Proxy> {
        let sealed = account.proxy.as_ref()?;
        let text = self.keyring.open(&account.id, "proxy", sealed).ok()?;
        serde_json::from_slice(text.reveal().as_bytes()).ok()
    }

    /// Seals an API key for the account `id` and the host of this address.
    pub(crate) fn seal_api_key(&self, id: &str, base_url: Option<&str>, key: &Secret) -> String {
        let destination = route::destination(base_url);
        self.keyring
            .seal_for(&*self.random, id, API_KEY, &destination, key.reveal())
    }

    /// Seals one of an account's tokens: `accessToken` or `refreshToken`. The configuration says where they are
    /// sent.
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
