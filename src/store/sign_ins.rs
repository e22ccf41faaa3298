//! Unfinished sign-ins at providers: kept sealed for ten minutes, and taken at most once.

use std::sync::Arc;

use bytes::Bytes;
use crs_durable::Millis;
use serde::{Deserialize, Serialize};

use super::keys;
use crate::model::account::{Account, Grant};
use crate::port::clock::Clock;
use crate::port::random::Random;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::secrets::{Keyring, pkce};

/// Time for the person to return from the provider's page.
pub const LIFETIME_MS: Millis = 10 * 60 * 1000;

/// Field name for the sealing of the whole record.
const FIELD: &str = "signIn";

#[derive(Clone)]
pub struct SignIns {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// An unfinished sign-in. It has no `Debug` because the verifier is a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct UnfinishedSignIn {
    pub grant: Grant,
    /// The provider returns it with the code, which identifies the sign-in.
    pub state: String,
    /// Proves to the token endpoint that we began the sign-in.
    pub verifier: String,
    /// The future account without its credentials. The name may be empty.
    pub account: Account,
    /// `account` exists and gets new tokens.
    #[serde(default)]
    pub renews: bool,
    pub ends_at: Millis,
}

/// A sign-in found in the store, where it remains.
pub struct StoredSignIn {
    pub begun: UnfinishedSignIn,
    key: String,
    sealed: Bytes,
}

impl SignIns {
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
        }
    }

    /// Begins a sign-in for a new account or (`renews`) an existing one. Returns its id and the page's
    /// parameters.
    pub async fn begin(
        &self,
        grant: Grant,
        account: Account,
        renews: bool,
    ) -> Result<(String, UnfinishedSignIn), StoreError> {
        let id = pkce::token(&*self.random);
        let begun = UnfinishedSignIn {
            grant,
            state: pkce::token(&*self.random),
            verifier: pkce::token(&*self.random),
            account,
            renews,
            ends_at: self.clock.now().saturating_add(LIFETIME_MS),
        };
        let key = keys::sign_in(&id);
        let text = serde_json::to_string(&begun).map_err(|error| unreadable(&key, &error))?;
        let sealed = self.keyring.seal(&*self.random, &id, FIELD, &text);
        let set = Command::Set {
            key,
            value: Bytes::from(sealed),
            expire_at: Some(begun.ends_at),
        };
        self.store.run(vec![set]).await?;
        Ok((id, begun))
    }

    /// A sign-in that can still be finished; `None` if there is no such id (any more).
    pub async fn find(&self, id: &str) -> Result<Option<StoredSignIn>, StoreError> {
        // Other ids could address other keys.
        let is_id = id.len() == 43
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !is_id {
            return Ok(None);
        }
        let key = keys::sign_in(id);
        let mut replies = self.store.run(vec![Command::Get { key: key.clone() }]).await?;
        let Some(Reply::Value(Some(sealed))) = replies.pop() else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&sealed).map_err(|error| unreadable(&key, &error))?;
        let opened = self
            .keyring
            .open(id, FIELD, text)
            .map_err(|error| unreadable(&key, &error))?;
        let begun: UnfinishedSignIn = serde_json::from_slice(opened.reveal().as_bytes())
            .map_err(|error| unreadable(&key, &format!("{:?}", error.classify())))?;
        // The store's clock may differ from ours.
        if begun.ends_at <= self.clock.now() {
            return Ok(None);
        }
        Ok(Some(StoredSignIn { begun, key, sealed }))
    }

    /// Takes it out of the store. Returns `false` if another caller took it or it has expired.
    pub async fn take(&self, found: &StoredSignIn) -> Result<bool, StoreError> {
        let same = Guard::Value {
            key: found.key.clone(),
            is: Some(found.sealed.clone()),
        };
        let gone = Command::Del {
            key: found.key.clone(),
        };
        Ok(self.store.atomically(vec![same], vec![gone]).await? == Applied::Yes)
    }
}

fn unreadable(key: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable {
        key: key.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests;
