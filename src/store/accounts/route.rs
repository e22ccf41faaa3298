//! Destinations of an account's secrets. API keys, Amazon's access keys, the keys of service accounts and the secrets of
//! Entra applications are bound to the host for which they were entered (the last two because their access tokens go
//! there), and every secret to its proxy. A change of the destination must contain the secrets again. Otherwise an admin
//! session, which cannot read secrets, could send them to a host of its choice.
//!
//! The host is part of the sealing of an API key, so a record with only a changed address cannot be decrypted. A
//! proxy and its password are sealed as one text.

use std::fmt;

use super::{API_KEY, Accounts, CLIENT_SECRET, SECRET_ACCESS_KEY, SESSION_TOKEN};
use crate::model::account::{Account, StoredCredentials, amazon};
use crate::model::secret::Secret;
use crate::port::destination::Origin;
use crate::secrets::{SealError, is_bound};

/// A secret that the change would keep, and that must be entered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretNeeded {
    /// `apiKey`, `accessToken`, `refreshToken`, `secretAccessKey`, `sessionToken`, `serviceAccount` or `clientSecret`.
    pub field: &'static str,
    /// The route for which it was entered. Contains no secret.
    pub from: String,
    /// The new route. Contains no secret.
    pub to: String,
}

/// A change of the route. Contains no secret.
#[derive(Clone, Debug)]
pub(super) struct RouteChange {
    pub(super) from: String,
    pub(super) to: String,
}

/// The destination of an account's secrets and the proxy to it.
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
    /// Whether secrets entered for this route must not be sent over `to` without being entered again.
    fn is_left_by(&self, to: &Self) -> bool {
        if self.target != to.target {
            return true;
        }
        match (&self.proxy, &to.proxy) {
            (before, after) if before == after => false,
            // Without the proxy no new party sees the secrets, as long as TLS identifies the server.
            (Some(_), None) => to.target.starts_with("http:"),
            _ => true,
        }
    }
}

impl Accounts {
    /// Compares the routes of two records. Fails if a secret is kept that must be entered again.
    pub(super) fn moved(
        &self,
        before: &Account,
        after: &Account,
    ) -> Result<Option<RouteChange>, SecretNeeded> {
        let (was, is) = (self.route(before), self.route(after));
        if was == is {
            return Ok(None);
        }
        let (from, to) = (was.to_string(), is.to_string());
        if was.is_left_by(&is) {
            let old = secrets(&before.credentials);
            // The same secret sealed again has another text.
            let kept = secrets(&after.credentials)
                .into_iter()
                .find(|(_, sealed)| old.iter().any(|(_, old)| old == sealed));
            if let Some((field, _)) = kept {
                return Err(SecretNeeded { field, from, to });
            }
        }
        Ok(Some(RouteChange { from, to }))
    }

    fn route(&self, account: &Account) -> Route {
        let target = match &account.credentials {
            // All regions of Vertex AI are Google's own hosts.
            StoredCredentials::ApiKey { base_url, .. }
            | StoredCredentials::ServiceAccount { base_url, .. } => destination(base_url.as_deref()),
            StoredCredentials::AccessKeys { region, base_url, .. } => {
                destination(Some(&amazon::address(region, base_url.as_deref())))
            }
            StoredCredentials::EntraApp { base_url, .. } => destination(Some(base_url)),
            StoredCredentials::OAuth { .. } => destination(None),
        };
        let proxy = account.proxy.as_ref().map(|sealed| {
            // A proxy that cannot be decrypted equals only itself.
            self.proxy_of(account)
                .map_or_else(|| sealed.clone(), |proxy| proxy.shown())
        });
        Route { target, proxy }
    }

    /// Binds an API key that was sealed before keys were bound to a host.
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

    /// Opens a secret sealed by [`Accounts::seal_for`] for this host.
    pub(super) fn open_for(
        &self,
        id: &str,
        field: &str,
        base_url: Option<&str>,
        sealed: &str,
    ) -> Result<Secret, SealError> {
        self.keyring.open_for(id, field, &destination(base_url), sealed)
    }
}

/// The destination to which an API key is bound: the host of its address, or nothing if the configuration
/// determines it.
pub(super) fn destination(base_url: Option<&str>) -> String {
    match base_url {
        None => String::new(),
        Some(address) => match Origin::parse(address) {
            Some(origin) => origin.to_string(),
            // No call can use it.
            None => format!("invalid {address}"),
        },
    }
}

/// The sealed secrets with their field names.
fn secrets(credentials: &StoredCredentials) -> Vec<(&'static str, &str)> {
    match credentials {
        StoredCredentials::ApiKey { api_key, .. } => vec![(API_KEY, api_key.as_str())],
        StoredCredentials::AccessKeys {
            secret_access_key,
            session_token,
            ..
        } => {
            let mut all = vec![(SECRET_ACCESS_KEY, secret_access_key.as_str())];
            all.extend(session_token.as_deref().map(|token| (SESSION_TOKEN, token)));
            all
        }
        StoredCredentials::ServiceAccount {
            private_key,
            access_token,
            ..
        } => {
            // The field in which the key is entered.
            let mut all = vec![("serviceAccount", private_key.as_str())];
            all.extend(access_token.as_deref().map(|token| ("serviceAccount", token)));
            all
        }
        StoredCredentials::EntraApp {
            client_secret,
            access_token,
            ..
        } => {
            let mut all = vec![(CLIENT_SECRET, client_secret.as_str())];
            all.extend(access_token.as_deref().map(|token| (CLIENT_SECRET, token)));
            all
        }
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
