//! Where the secrets of an account go, and the rule that they go nowhere else: an API key is for the host that
//! it was given for, and every secret takes the proxy that it was given with. Whoever changes the way brings the
//! secrets along. Otherwise an admin session, which can read no secret, could have one delivered to a host of its
//! choice.
//!
//! The host is part of what an API key is sealed for, so that a record in which only the address was changed does
//! not open. A proxy and its password are sealed as one text.

use std::fmt;

use super::{API_KEY, Accounts};
use crate::model::account::{Account, StoredCredentials};
use crate::model::secret::Secret;
use crate::port::destination::Origin;
use crate::secrets::{SealError, is_bound};

/// A secret that the change keeps, and that must be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretNeeded {
    /// `apiKey`, `accessToken` or `refreshToken`.
    pub field: &'static str,
    /// The way that it was given for. Holds no secret.
    pub from: String,
    /// The way that it would take.
    pub to: String,
}

/// A change of the way. Holds no secret.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) from: String,
    pub(super) to: String,
}

/// Where the secrets of an account go, and through what.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    /// See [`destination`].
    target: String,
    /// `scheme://host:port`
    proxy: Option<String>,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target.as_str() {
            "" => f.write_str("the provider's own address")?,
            target => f.write_str(target)?,
        }
        match &self.proxy {
            Some(proxy) => write!(f, " through {proxy}"),
            None => Ok(()),
        }
    }
}

impl Route {
    /// Whether secrets that were given for this way may not be sent on `to` unasked.
    fn is_left_by(&self, to: &Self) -> bool {
        if self.target != to.target {
            return true;
        }
        match (&self.proxy, &to.proxy) {
            (before, after) if before == after => false,
            // Without the proxy nobody new hears of them, as long as the certificate says who listens.
            (Some(_), None) => to.target.starts_with("http:"),
            _ => true,
        }
    }
}

impl Accounts {
    /// How the way of the secrets changes between these two records; an error: one of them is kept that the new
    /// way needs again.
    pub(super) fn moved(&self, before: &Account, after: &Account) -> Result<Option<Moved>, SecretNeeded> {
        let (was, is) = (self.route(before), self.route(after));
        if was == is {
            return Ok(None);
        }
        let (from, to) = (was.to_string(), is.to_string());
        if was.is_left_by(&is) {
            let old = secrets(&before.credentials);
            // Sealed anew, the same secret is another text.
            let kept = secrets(&after.credentials)
                .into_iter()
                .find(|(_, sealed)| old.iter().any(|(_, old)| old == sealed));
            if let Some((field, _)) = kept {
                return Err(SecretNeeded { field, from, to });
            }
        }
        Ok(Some(Moved { from, to }))
    }

    fn route(&self, account: &Account) -> Route {
        let target = match &account.credentials {
            StoredCredentials::ApiKey { base_url, .. } => destination(base_url.as_deref()),
            StoredCredentials::OAuth { .. } => destination(None),
        };
        let proxy = account.proxy.as_ref().map(|sealed| {
            // One that does not open is the same as itself only.
            self.proxy_of(account)
                .map_or_else(|| sealed.clone(), |proxy| proxy.shown())
        });
        Route { target, proxy }
    }

    /// Binds an API key that was sealed before keys were bound to their host.
    pub(super) fn bind(&self, account: &mut Account) {
        let StoredCredentials::ApiKey { api_key, base_url } = &mut account.credentials else {
            return;
        };
        if is_bound(api_key) {
            return;
        }
        if let Ok(key) = self.keyring.open(&account.id, API_KEY, api_key) {
            *api_key = self.seal_api_key(&account.id, base_url.as_deref(), &key);
        }
    }

    pub(super) fn open_api_key(
        &self,
        id: &str,
        base_url: Option<&str>,
        sealed: &str,
    ) -> Result<Secret, SealError> {
        self.keyring.open_for(id, API_KEY, &destination(base_url), sealed)
    }
}

/// The destination that an API key is bound to: the host of its address, or nothing where the configuration names it.
pub(super) fn destination(base_url: Option<&str>) -> String {
    match base_url {
        None => String::new(),
        Some(address) => match Origin::parse(address) {
            Some(origin) => origin.to_string(),
            // No call can be made to it.
            None => format!("invalid {address}"),
        },
    }
}

/// The sealed secrets by field.
fn secrets(credentials: &StoredCredentials) -> Vec<(&'static str, &str)> {
    match credentials {
        StoredCredentials::ApiKey { api_key, .. } => vec![(API_KEY, api_key.as_str())],
        StoredCredentials::OAuth {
            access_token,
            refresh_token,
            ..
        } => {
            let mut all = vec![("accessToken", access_token.as_str())];
            all.extend(refresh_token.as_deref().map(|token| ("refreshToken", token)));
            all
        }
    }
}
