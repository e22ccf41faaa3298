//! Sign-ins at providers that an admin has begun and not finished: kept sealed for ten minutes, and handed
//! out once.

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

/// How long a person has to come back from the provider's page.
pub const LIFETIME_MS: Millis = 10 * 60 * 1000;

/// The field that the whole record is sealed for.
const FIELD: &str = "signIn";

#[derive(Clone)]
pub struct SignIns {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A sign-in that has begun. It has no `Debug`: the verifier is a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct Begun {
    pub grant: Grant,
    /// The provider hands it back with the code: so it is known which sign-in a code belongs to.
    pub state: String,
    /// Proves to the token endpoint that the code is ours.
    pub verifier: String,
    /// The account to be, all but its credentials. Without a name if none was chosen.
    pub account: Account,
    /// `account` is there already, and is to be given new tokens.
    #[serde(default)]
    pub renews: bool,
    pub ends_at: Millis,
}

/// One that was found in the store, where it still is.
pub struct StoredSignIn {
    pub begun: Begun,
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

    /// Begins one for an account to be, or (`renews`) for one that is there; its id, and the page's parameters.
    pub async fn begin(
        &self,
        grant: Grant,
        account: Account,
        renews: bool,
    ) -> Result<(String, Begun), StoreError> {
        let id = pkce::token(&*self.random);
        let begun = Begun {
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

    /// One that can still be finished; `None`: there is none of this id any more, or there never was.
    pub async fn find(&self, id: &str) -> Result<Option<StoredSignIn>, StoreError> {
        // Anything else would name other keys.
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
        let begun: Begun = serde_json::from_slice(opened.reveal().as_bytes())
            .map_err(|error| unreadable(&key, &format!("{:?}", error.classify())))?;
        // The store's clock may be another one than ours.
        if begun.ends_at <= self.clock.now() {
            return Ok(None);
        }
        Ok(Some(StoredSignIn { begun, key, sealed }))
    }

    /// Takes it away; `false`: somebody else did, or it has ended.
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
