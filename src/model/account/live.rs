//! An account whose secrets are decrypted: what a provider call is made with. Nothing here is stored or shown.

use std::sync::Arc;

use crs_durable::Millis;

use super::{Account, Proxy};
use crate::model::name::{self, ModelName};
use crate::model::secret::Secret;

/// An account with its secrets in the clear.
#[derive(Clone, Debug)]
pub struct LiveAccount {
    pub account: Account,
    pub credentials: Credentials,
    pub proxy: Option<Arc<Proxy>>,
    /// Of a call that had them replaced under way: what its provider was sent before, and may repeat.
    pub replaced: Option<Box<Credentials>>,
}

impl LiveAccount {
    /// The account, remembering the credentials that a call used before these.
    pub fn in_place_of(&self, earlier: &Self) -> Self {
        Self {
            replaced: Some(Box::new(earlier.credentials.clone())),
            ..self.clone()
        }
    }

    /// The model to ask for in place of the one that the client named, if the account maps it. A record of an older
    /// version may map to a text that is no model's name, which counts as none: it would become part of a path.
    pub fn mapped_model(&self, model: &ModelName) -> Option<&str> {
        let mapped = self.account.mapped_model(model)?;
        name::check(mapped).is_ok().then_some(mapped)
    }

    /// The account, knowing for whom its tokens speak.
    pub fn speaking_for(&self, whom: String) -> Self {
        let mut account = self.clone();
        if let Credentials::OAuth { tenant, .. } = &mut account.credentials {
            *tenant = Some(whom);
        }
        account
    }
}

/// Who we are to the provider. Debug shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    ApiKey {
        api_key: Secret,
        /// `None`: the provider's own address.
        base_url: Option<String>,
    },
    OAuth {
        access_token: Secret,
        refresh_token: Option<Secret>,
        expires_at: Option<Millis>,
        /// See [`StoredCredentials::OAuth`](super::StoredCredentials::OAuth).
        tenant: Option<String>,
    },
}

/// Fresh tokens of an OAuth account.
#[derive(Clone, Debug)]
pub struct NewTokens {
    pub access_token: Secret,
    /// `None`: the one we have stays good.
    pub refresh_token: Option<Secret>,
    pub expires_at: Option<Millis>,
    /// For whom they speak, if they say so. `None`: for whom the old ones did.
    pub tenant: Option<String>,
}
