//! An account with decrypted secrets, for provider calls. Never stored or shown.

use std::sync::Arc;

use crs_durable::Millis;

use super::{Account, Proxy};
use crate::model::name::{self, ModelName};
use crate::model::secret::Secret;

/// An account with its decrypted secrets.
#[derive(Clone, Debug)]
pub struct LiveAccount {
    pub account: Account,
    pub credentials: Credentials,
    pub proxy: Option<Arc<Proxy>>,
    /// The credentials that were replaced during a call: its provider has seen them and may echo them.
    pub replaced: Option<Box<Credentials>>,
}

impl LiveAccount {
    /// Returns the account with the credentials that the call used before, so that these are masked as well.
    pub fn in_place_of(&self, earlier: &Self) -> Self {
        Self {
            replaced: Some(Box::new(earlier.credentials.clone())),
            ..self.clone()
        }
    }

    /// The model to request in place of the client's, if the account maps it. Records of older versions may map
    /// to an invalid name, which is ignored because it would become part of a path.
    pub fn mapped_model(&self, model: &ModelName) -> Option<&str> {
        let mapped = self.account.mapped_model(model)?;
        name::check(mapped).is_ok().then_some(mapped)
    }

    /// Returns the account with this tenant.
    pub fn speaking_for(&self, whom: String) -> Self {
        let mut account = self.clone();
        if let Credentials::OAuth { tenant, .. } = &mut account.credentials {
            *tenant = Some(whom);
        }
        account
    }
}

/// Decrypted credentials. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    ApiKey {
        api_key: Secret,
        /// `None`: the provider's official address.
        base_url: Option<String>,
    },
    AccessKeys(AccessKeys),
    ServiceAccount(ServiceAccount),
    EntraApp(EntraApp),
    OAuth {
        access_token: Secret,
        refresh_token: Option<Secret>,
        expires_at: Option<Millis>,
        /// See [`StoredCredentials::OAuth`](super::StoredCredentials::OAuth).
        tenant: Option<String>,
    },
}

/// The access token of credentials that have one for a time.
#[derive(Clone, Copy, Debug)]
pub struct AccessToken<'a> {
    /// `None`: none was requested yet.
    pub token: Option<&'a Secret>,
    /// `None`: not reported, so it is used until it is refused.
    pub expires_at: Option<Millis>,
    /// Whether the credentials can be exchanged for another one.
    pub is_renewable: bool,
}

impl Credentials {
    /// `None` for credentials that are used as they are.
    pub fn access_token(&self) -> Option<AccessToken<'_>> {
        let (token, expires_at, is_renewable) = match self {
            Self::ApiKey { .. } | Self::AccessKeys(_) => return None,
            Self::ServiceAccount(account) => (account.access_token.as_ref(), account.expires_at, true),
            Self::EntraApp(app) => (app.access_token.as_ref(), app.expires_at, true),
            Self::OAuth {
                access_token,
                refresh_token,
                expires_at,
                ..
            } => (Some(access_token), *expires_at, refresh_token.is_some()),
        };
        Some(AccessToken {
            token,
            expires_at,
            is_renewable,
        })
    }
}

/// See [`StoredCredentials::AccessKeys`](super::StoredCredentials::AccessKeys).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
    pub region: String,
    /// `None`: the region's runtime.
    pub base_url: Option<String>,
}

/// See [`StoredCredentials::ServiceAccount`](super::StoredCredentials::ServiceAccount).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    pub client_email: String,
    pub private_key: Secret,
    pub private_key_id: Option<String>,
    pub project: String,
    pub region: String,
    /// `None`: the region's address.
    pub base_url: Option<String>,
    pub access_token: Option<Secret>,
    pub expires_at: Option<Millis>,
}

/// See [`StoredCredentials::EntraApp`](super::StoredCredentials::EntraApp).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntraApp {
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub base_url: String,
    pub access_token: Option<Secret>,
    pub expires_at: Option<Millis>,
}

/// Fresh tokens of an OAuth account, a service account or an Entra application.
#[derive(Clone, Debug)]
pub struct NewTokens {
    pub access_token: Secret,
    /// `None`: the present one stays valid.
    pub refresh_token: Option<Secret>,
    pub expires_at: Option<Millis>,
    /// The tenant, if the tokens name it. `None`: it stays the same.
    pub tenant: Option<String>,
}
