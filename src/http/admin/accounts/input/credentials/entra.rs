//! The credentials of an application of Microsoft Entra.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{CredentialsInput, needed};
use crate::http::api_error::ApiError;
use crate::model::account::StoredCredentials;
use crate::model::account::entra::{is_guid, is_tenant};
use crate::store::accounts::Accounts;

/// A tenant, by its GUID or a domain.
#[derive(Clone, Debug)]
pub(in super::super::super::super) struct TenantId(String);

impl<'de> Deserialize<'de> for TenantId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let why =
            "must be the id of a tenant (a GUID), or one of its domains, such as contoso.onmicrosoft.com";
        id(deserializer, is_tenant, why).map(Self)
    }
}

/// The id of an application.
#[derive(Clone, Debug)]
pub(in super::super::super::super) struct ClientId(String);

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let why = "must be the application (client) id, a GUID";
        id(deserializer, is_guid, why).map(Self)
    }
}

/// Upper and lower case are the same there.
fn id<'de, D: Deserializer<'de>>(
    deserializer: D,
    fits: fn(&str) -> bool,
    why: &str,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let text = text.trim().to_ascii_lowercase();
    if fits(&text) {
        Ok(text)
    } else {
        Err(D::Error::custom(why))
    }
}

impl CredentialsInput {
    pub(super) fn entra_app_over(
        &self,
        accounts: &Accounts,
        id: &str,
        stored: &StoredCredentials,
    ) -> Result<StoredCredentials, ApiError> {
        let nothing = nothing();
        let of_app = matches!(stored, StoredCredentials::EntraApp { .. });
        let StoredCredentials::EntraApp {
            tenant_id: held_tenant,
            client_id: held_client,
            client_secret: held_secret,
            base_url: held_base,
            access_token,
            expires_at,
        } = (if of_app { stored } else { &nothing })
        else {
            return Ok(nothing);
        };
        let tenant = self.tenant_id.as_ref().map_or(held_tenant, |TenantId(id)| id);
        let client = self.client_id.as_ref().map_or(held_client, |ClientId(id)| id);
        let base = match self.base_url.as_ref() {
            Some(base) => base.0.clone(),
            None => Some(held_base.clone()),
        };
        let base_url = needed(base, "baseUrl")?;
        let secret = self.client_secret.as_ref();
        let secret = secret.map(|secret| accounts.seal_for(id, "clientSecret", Some(&base_url), &secret.0));
        // A token is of one application, for one host.
        let is_same =
            secret.is_none() && tenant == held_tenant && client == held_client && base_url == *held_base;
        Ok(StoredCredentials::EntraApp {
            tenant_id: needed(Some(tenant.clone()), "tenantId")?,
            client_id: needed(Some(client.clone()), "clientId")?,
            client_secret: needed(secret.or_else(|| Some(held_secret.clone())), "clientSecret")?,
            base_url,
            access_token: access_token.clone().filter(|_| is_same),
            expires_at: expires_at.filter(|_| is_same),
        })
    }
}

/// An empty application.
pub(super) fn nothing() -> StoredCredentials {
    StoredCredentials::EntraApp {
        tenant_id: String::new(),
        client_id: String::new(),
        client_secret: String::new(),
        base_url: String::new(),
        access_token: None,
        expires_at: None,
    }
}
