//! Who an account is at its provider.

use http::Uri;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::super::super::api_error::ApiError;
use super::super::super::super::extract::Sent;
use super::super::super::fields::{BaseUrl, Credential, Line, Moment};
use crate::model::account::StoredCredentials;
use crate::port::destination::{Destinations, Refusal};
use crate::store::accounts::Accounts;

/// Which fields are needed depends on the type: `apiKey` for `apiKey`, `accessToken` for `oauth`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super::super) struct CredentialsInput {
    pub(super) r#type: CredentialsType,
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    pub(super) api_key: Sent<Credential>,
    /// The provider's address, if it is not the official one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) base_url: Sent<BaseUrl>,
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    pub(super) access_token: Sent<Credential>,
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub(super) refresh_token: Sent<Option<Credential>>,
    /// When the access token ends, ISO 8601; `null`: it is used until refused.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) expires_at: Sent<Moment>,
    /// For whom the tokens speak: the id of the account at ChatGPT, the id of the project in Google's cloud.
    /// Left out, it is found out with the first call.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100)]
    pub(super) tenant: Sent<Option<Line<1, 100>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub(in super::super::super) enum CredentialsType {
    #[serde(rename = "apiKey")]
    ApiKey,
    #[serde(rename = "oauth")]
    OAuth,
}

impl CredentialsInput {
    /// Credentials of this type of which nothing was sent.
    pub(super) fn of(r#type: CredentialsType) -> Self {
        Self {
            r#type,
            api_key: Sent::No,
            base_url: Sent::No,
            access_token: Sent::No,
            refresh_token: Sent::No,
            expires_at: Sent::No,
            tenant: Sent::No,
        }
    }

    /// Credentials of this type, of which nothing is there yet.
    pub(super) fn nothing(&self) -> StoredCredentials {
        match self.r#type {
            CredentialsType::ApiKey => StoredCredentials::ApiKey {
                api_key: String::new(),
                base_url: None,
            },
            CredentialsType::OAuth => no_tokens(),
        }
    }

    /// Refuses what does not belong to this type, and addresses that the relay does not go to.
    pub(super) fn check(&self, destinations: &Destinations) -> Result<(), ApiError> {
        let foreign = match self.r#type {
            CredentialsType::ApiKey => [
                ("accessToken", self.access_token.as_ref().is_some()),
                (
                    "refreshToken",
                    self.refresh_token.as_ref().is_some_and(Option::is_some),
                ),
                (
                    "expiresAt",
                    self.expires_at.as_ref().is_some_and(|at| at.0.is_some()),
                ),
                ("tenant", self.tenant.as_ref().is_some_and(Option::is_some)),
            ],
            CredentialsType::OAuth => [
                ("apiKey", self.api_key.as_ref().is_some()),
                (
                    "baseUrl",
                    self.base_url.as_ref().is_some_and(|base| base.0.is_some()),
                ),
                ("", false),
                ("", false),
            ],
        };
        if let Some((name, _)) = foreign.iter().find(|(_, sent)| *sent) {
            let field = format!("credentials.{name}");
            let message = format!("`{field}` does not belong to credentials of this type");
            return Err(ApiError::invalid(field, message));
        }
        if let Some(BaseUrl(Some(base))) = self.base_url.as_ref() {
            let uri: Uri = base.parse().map_err(|_| refused_address(&Refusal::NoAddress))?;
            destinations
                .target(&uri)
                .map_err(|refusal| refused_address(&refusal))?;
        }
        Ok(())
    }

    /// Merges these into the stored credentials of the account `id`: of the same type, fields that were not sent stay.
    pub(super) fn over(
        &self,
        accounts: &Accounts,
        id: &str,
        stored: &StoredCredentials,
    ) -> Result<StoredCredentials, ApiError> {
        let base_url = || self.base_url.as_ref().map(|base| base.0.clone());
        let api_key = |base: Option<&str>| {
            let key = self.api_key.as_ref();
            key.map(|key| accounts.seal_api_key(id, base, &key.0))
        };
        let seal = |field: &str, token: &Credential| accounts.seal(id, field, &token.0);
        let sent_access = self.access_token.as_ref().map(|token| seal("accessToken", token));
        let sent_refresh = |stored: Option<&String>| match &self.refresh_token {
            Sent::No => stored.cloned(),
            Sent::Yes(token) => token.as_ref().map(|token| seal("refreshToken", token)),
        };
        let sent_tenant = || self.tenant.as_ref().cloned().flatten().map(|Line(tenant)| tenant);
        match (self.r#type, stored) {
            (
                CredentialsType::ApiKey,
                StoredCredentials::ApiKey {
                    api_key: stored_key,
                    base_url: stored_base,
                },
            ) => {
                let base_url = base_url().unwrap_or_else(|| stored_base.clone());
                let key = api_key(base_url.as_deref()).or_else(|| Some(stored_key.clone()));
                Ok(StoredCredentials::ApiKey {
                    api_key: needed(key, "apiKey")?,
                    base_url,
                })
            }
            (CredentialsType::ApiKey, StoredCredentials::OAuth { .. }) => {
                let base_url = base_url().flatten();
                Ok(StoredCredentials::ApiKey {
                    api_key: needed(api_key(base_url.as_deref()), "apiKey")?,
                    base_url,
                })
            }
            (
                CredentialsType::OAuth,
                StoredCredentials::OAuth {
                    access_token,
                    refresh_token,
                    expires_at,
                    tenant,
                },
            ) => Ok(StoredCredentials::OAuth {
                expires_at: match (&self.expires_at, &sent_access) {
                    (Sent::Yes(at), _) => at.0,
                    // The end of the old token says nothing about the new one.
                    (Sent::No, Some(_)) => None,
                    (Sent::No, None) => *expires_at,
                },
                tenant: match (&self.tenant, &sent_access) {
                    (Sent::Yes(_), _) => sent_tenant(),
                    // So may whom it spoke for.
                    (Sent::No, Some(_)) => None,
                    (Sent::No, None) => tenant.clone(),
                },
                access_token: needed(sent_access.or_else(|| Some(access_token.clone())), "accessToken")?,
                refresh_token: sent_refresh(refresh_token.as_ref()),
            }),
            (CredentialsType::OAuth, StoredCredentials::ApiKey { .. }) => Ok(StoredCredentials::OAuth {
                access_token: needed(sent_access, "accessToken")?,
                refresh_token: sent_refresh(None),
                expires_at: self.expires_at.as_ref().and_then(|at| at.0),
                tenant: sent_tenant(),
            }),
        }
    }
}

fn refused_address(refusal: &Refusal) -> ApiError {
    let field = "credentials.baseUrl";
    ApiError::invalid(field, format!("`{field}` cannot be used: {refusal}"))
}

/// An OAuth account's credentials before it has any.
pub(super) fn no_tokens() -> StoredCredentials {
    StoredCredentials::OAuth {
        access_token: String::new(),
        refresh_token: None,
        expires_at: None,
        tenant: None,
    }
}

/// The sealed secret, which must be there: of a new account there is none to keep.
fn needed(sealed: Option<String>, name: &str) -> Result<String, ApiError> {
    sealed
        .filter(|sealed| !sealed.is_empty())
        .ok_or_else(|| ApiError::missing(format!("credentials.{name}")))
}
