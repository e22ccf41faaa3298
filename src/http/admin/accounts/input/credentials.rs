//! The credentials of an account.

mod entra;

use http::Uri;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::super::super::api_error::ApiError;
use super::super::super::super::extract::InputField;
use super::super::super::fields::{BaseUrl, Credential, Line, Moment};
use crate::model::account::key_file::KeyFile;
use crate::model::account::{StoredCredentials, amazon, vertex};
use crate::port::destination::{Destinations, Refusal};
use crate::store::accounts::Accounts;

use entra::{ClientId, TenantId};

/// The type determines the required fields: `apiKey` for `apiKey`, `accessToken` for `oauth`; `accessKeyId`,
/// `secretAccessKey` and `region` for `accessKeys` (Claude at Amazon Bedrock); `serviceAccount` and `region` for
/// `serviceAccount` (Claude and Gemini at Google Vertex AI); `tenantId`, `clientId`, `clientSecret` and `baseUrl` for
/// `entraApp` (Azure OpenAI).
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super::super) struct CredentialsInput {
    pub(super) r#type: CredentialsType,
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    pub(super) api_key: InputField<Credential>,
    /// The provider's address, unless it is the official one. With access keys the official one is
    /// `https://bedrock-runtime.{region}.amazonaws.com/anthropic`, with a service account that of Vertex AI in the region.
    /// An address of Bedrock's runtime without a path, or one that ends with `/model`, is called by InvokeModel.
    /// For an Entra application it is the address of the Azure resource, which is required.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) base_url: InputField<BaseUrl>,
    #[serde(default)]
    #[schema(value_type = String, required = false, max_length = 128)]
    pub(super) access_key_id: InputField<AccessKeyId>,
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    pub(super) secret_access_key: InputField<Credential>,
    /// For temporary keys.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub(super) session_token: InputField<Option<Credential>>,
    /// The content of the key file that Google hands out for a service account, as text or as an object.
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    pub(super) service_account: InputField<ServiceAccountFile>,
    /// The Google Cloud project that is billed; `null`: that of the key file.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100)]
    pub(super) project: InputField<Option<Project>>,
    /// Such as `us-east-1` at Amazon; `global`, `us`, `eu` or such as `us-east5` at Google.
    #[serde(default)]
    #[schema(value_type = String, required = false, max_length = 40)]
    pub(super) region: InputField<Region>,
    /// The Entra tenant: a GUID, or a domain such as `contoso.onmicrosoft.com`.
    #[serde(default)]
    #[schema(value_type = String, required = false, max_length = 253)]
    pub(super) tenant_id: InputField<TenantId>,
    /// The id of the Entra application, a GUID.
    #[serde(default)]
    #[schema(value_type = String, required = false, max_length = 36)]
    pub(super) client_id: InputField<ClientId>,
    /// A secret of the Entra application: its value, not its id. Only Entra's token endpoint gets it.
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    pub(super) client_secret: InputField<Credential>,
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    pub(super) access_token: InputField<Credential>,
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub(super) refresh_token: InputField<Option<Credential>>,
    /// When the access token expires, ISO 8601; `null`: it is used until it is refused.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) expires_at: InputField<Moment>,
    /// The tenant of the tokens: the ChatGPT account id, or the Google Cloud project id. If left out, the first
    /// call looks it up.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100)]
    pub(super) tenant: InputField<Option<Line<1, 100>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub(in super::super::super) enum CredentialsType {
    #[serde(rename = "apiKey")]
    ApiKey,
    #[serde(rename = "accessKeys")]
    AccessKeys,
    #[serde(rename = "serviceAccount")]
    ServiceAccount,
    #[serde(rename = "entraApp")]
    EntraApp,
    #[serde(rename = "oauth")]
    OAuth,
}

impl CredentialsInput {
    /// Empty input of this type.
    pub(super) fn of(r#type: CredentialsType) -> Self {
        Self {
            r#type,
            api_key: InputField::No,
            base_url: InputField::No,
            access_key_id: InputField::No,
            secret_access_key: InputField::No,
            session_token: InputField::No,
            service_account: InputField::No,
            project: InputField::No,
            region: InputField::No,
            tenant_id: InputField::No,
            client_id: InputField::No,
            client_secret: InputField::No,
            access_token: InputField::No,
            refresh_token: InputField::No,
            expires_at: InputField::No,
            tenant: InputField::No,
        }
    }

    /// The host of a custom address, and its key.
    pub(super) fn host_and_key(&self) -> Option<(String, &str)> {
        let base: Uri = self.base_url.as_ref()?.0.as_ref()?.parse().ok()?;
        Some((base.host()?.to_owned(), self.api_key.as_ref()?.0.reveal()))
    }

    /// Empty credentials of this type.
    pub(super) fn nothing(&self) -> StoredCredentials {
        match self.r#type {
            CredentialsType::ApiKey => StoredCredentials::ApiKey {
                api_key: String::new(),
                base_url: None,
            },
            CredentialsType::AccessKeys => no_access_keys(),
            CredentialsType::ServiceAccount => no_service_account(),
            CredentialsType::EntraApp => entra::nothing(),
            CredentialsType::OAuth => no_tokens(),
        }
    }

    /// Refuses fields of other types, and forbidden addresses.
    pub(super) fn check(&self, destinations: &Destinations) -> Result<(), ApiError> {
        use CredentialsType::{AccessKeys, ApiKey, EntraApp, OAuth, ServiceAccount};
        let base_url = self.base_url.as_ref().is_some_and(|base| base.0.is_some());
        let token = |token: &InputField<Option<Credential>>| token.as_ref().is_some_and(Option::is_some);
        // Each field, whether it was sent, and the types to which it belongs.
        let fields: [(&str, bool, &[CredentialsType]); 15] = [
            ("apiKey", self.api_key.as_ref().is_some(), &[ApiKey]),
            (
                "baseUrl",
                base_url,
                &[ApiKey, AccessKeys, ServiceAccount, EntraApp],
            ),
            (
                "accessKeyId",
                self.access_key_id.as_ref().is_some(),
                &[AccessKeys],
            ),
            (
                "secretAccessKey",
                self.secret_access_key.as_ref().is_some(),
                &[AccessKeys],
            ),
            ("sessionToken", token(&self.session_token), &[AccessKeys]),
            (
                "serviceAccount",
                self.service_account.as_ref().is_some(),
                &[ServiceAccount],
            ),
            (
                "project",
                self.project.as_ref().is_some_and(Option::is_some),
                &[ServiceAccount],
            ),
            (
                "region",
                self.region.as_ref().is_some(),
                &[AccessKeys, ServiceAccount],
            ),
            ("tenantId", self.tenant_id.as_ref().is_some(), &[EntraApp]),
            ("clientId", self.client_id.as_ref().is_some(), &[EntraApp]),
            ("clientSecret", self.client_secret.as_ref().is_some(), &[EntraApp]),
            ("accessToken", self.access_token.as_ref().is_some(), &[OAuth]),
            ("refreshToken", token(&self.refresh_token), &[OAuth]),
            (
                "expiresAt",
                self.expires_at.as_ref().is_some_and(|at| at.0.is_some()),
                &[OAuth],
            ),
            (
                "tenant",
                self.tenant.as_ref().is_some_and(Option::is_some),
                &[OAuth],
            ),
        ];
        if let Some((name, _, _)) = fields
            .iter()
            .find(|(_, sent, whose)| *sent && !whose.contains(&self.r#type))
        {
            let field = format!("credentials.{name}");
            let message = format!("`{field}` does not belong to credentials of this type");
            return Err(ApiError::invalid(field, message));
        }
        if let Some(BaseUrl(Some(base), _)) = self.base_url.as_ref() {
            let uri: Uri = base.parse().map_err(|_| refused_address(&Refusal::NoAddress))?;
            destinations
                .target(&uri)
                .map_err(|refusal| refused_address(&refusal))?;
        }
        Ok(())
    }

    /// Merges these into the stored credentials of the account `id`. If the type is the same, fields not sent
    /// stay.
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
            InputField::No => stored.cloned(),
            InputField::Yes(token) => token.as_ref().map(|token| seal("refreshToken", token)),
        };
        let sent_tenant = || self.tenant.as_ref().cloned().flatten().map(|Line(tenant)| tenant);
        Ok(match self.r#type {
            CredentialsType::ApiKey => {
                let (stored_key, stored_base) = match stored {
                    StoredCredentials::ApiKey { api_key, base_url } => {
                        (Some(api_key.clone()), base_url.clone())
                    }
                    _ => (None, None),
                };
                let base_url = base_url().unwrap_or(stored_base);
                let key = api_key(base_url.as_deref()).or(stored_key);
                StoredCredentials::ApiKey {
                    api_key: needed(key, "apiKey")?,
                    base_url,
                }
            }
            CredentialsType::AccessKeys => self.access_keys_over(accounts, id, stored)?,
            CredentialsType::ServiceAccount => self.service_account_over(accounts, id, stored)?,
            CredentialsType::EntraApp => self.entra_app_over(accounts, id, stored)?,
            CredentialsType::OAuth => {
                let sent_at = self.expires_at.as_ref().map(|at| at.0);
                let (stored_access, stored_refresh, stored_at, stored_tenant) = match stored {
                    StoredCredentials::OAuth {
                        access_token,
                        refresh_token,
                        expires_at,
                        tenant,
                    } => (
                        Some(access_token.clone()),
                        refresh_token.as_ref(),
                        *expires_at,
                        tenant.clone(),
                    ),
                    _ => (None, None, None, None),
                };
                // The old token's expiry and tenant do not apply to a new one.
                let is_same = sent_access.is_none();
                StoredCredentials::OAuth {
                    expires_at: sent_at.unwrap_or(stored_at.filter(|_| is_same)),
                    tenant: match &self.tenant {
                        InputField::Yes(_) => sent_tenant(),
                        InputField::No => stored_tenant.filter(|_| is_same),
                    },
                    access_token: needed(sent_access.or(stored_access), "accessToken")?,
                    refresh_token: sent_refresh(stored_refresh),
                }
            }
        })
    }

    fn access_keys_over(
        &self,
        accounts: &Accounts,
        id: &str,
        stored: &StoredCredentials,
    ) -> Result<StoredCredentials, ApiError> {
        let nothing = no_access_keys();
        let of_keys = matches!(stored, StoredCredentials::AccessKeys { .. });
        let StoredCredentials::AccessKeys {
            access_key_id,
            secret_access_key,
            session_token,
            region,
            base_url,
        } = (if of_keys { stored } else { &nothing })
        else {
            return Ok(nothing);
        };
        let region = self.region.as_ref().map_or(region, |Region(region)| region);
        let base_url = self.base_url.as_ref().map_or(base_url, |base| &base.0).clone();
        let sent_id = self.access_key_id.as_ref().map(|AccessKeyId(id)| id);
        let region = needed(Some(region.clone()), "region")?;
        if !amazon::is_region(&region) {
            let field = "credentials.region";
            return Err(ApiError::invalid(
                field,
                format!("`{field}` must be a region, such as us-east-1 or global"),
            ));
        }
        let address = amazon::address(&region, base_url.as_deref());
        let seal = |field: &str, secret: &Credential| accounts.seal_for(id, field, Some(&address), &secret.0);
        let secret = self.secret_access_key.as_ref();
        let secret = secret.map(|secret| seal("secretAccessKey", secret));
        // A session token belongs to one pair of keys.
        let kept = session_token.clone().filter(|_| secret.is_none());
        Ok(StoredCredentials::AccessKeys {
            access_key_id: needed(Some(sent_id.unwrap_or(access_key_id).clone()), "accessKeyId")?,
            secret_access_key: needed(
                secret.or_else(|| Some(secret_access_key.clone())),
                "secretAccessKey",
            )?,
            session_token: match &self.session_token {
                InputField::Yes(token) => token.as_ref().map(|token| seal("sessionToken", token)),
                InputField::No => kept,
            },
            region,
            base_url,
        })
    }

    fn service_account_over(
        &self,
        accounts: &Accounts,
        id: &str,
        stored: &StoredCredentials,
    ) -> Result<StoredCredentials, ApiError> {
        let nothing = no_service_account();
        let of_service = matches!(stored, StoredCredentials::ServiceAccount { .. });
        let StoredCredentials::ServiceAccount {
            client_email,
            private_key,
            private_key_id,
            project,
            region,
            base_url: held_base,
            access_token,
            expires_at,
        } = (if of_service { stored } else { &nothing })
        else {
            return Ok(nothing);
        };
        let file = self.service_account.as_ref().map(|ServiceAccountFile(file)| file);
        let base_url = self.base_url.as_ref().map_or(held_base, |base| &base.0).clone();
        let region = self.region.as_ref().map_or(region, |Region(region)| region);
        let region = needed(Some(region.clone()), "region")?;
        let project = match &self.project {
            InputField::Yes(Some(Project(project))) => project.clone(),
            InputField::No if !project.is_empty() => project.clone(),
            _ => file.and_then(|file| file.project_id.clone()).unwrap_or_default(),
        };
        let (client_email, private_key, private_key_id) = match file {
            Some(file) => (
                file.client_email.clone(),
                accounts.seal_for(id, "privateKey", base_url.as_deref(), &file.private_key),
                file.private_key_id.clone(),
            ),
            None => (client_email.clone(), private_key.clone(), private_key_id.clone()),
        };
        // A token is of one account, for one host.
        let is_same = file.is_none() && base_url == *held_base;
        Ok(StoredCredentials::ServiceAccount {
            private_key: needed(Some(private_key), "serviceAccount")?,
            client_email,
            private_key_id,
            project: needed(Some(project), "project")?,
            region,
            base_url,
            access_token: access_token.clone().filter(|_| is_same),
            expires_at: expires_at.filter(|_| is_same),
        })
    }
}

/// The key file of a service account, as text or as an object.
#[derive(Clone, Debug)]
pub(in super::super::super) struct ServiceAccountFile(KeyFile);

impl<'de> Deserialize<'de> for ServiceAccountFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            object => object.to_string(),
        };
        KeyFile::read(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A Google Cloud project.
#[derive(Clone, Debug)]
pub(in super::super::super) struct Project(String);

impl<'de> Deserialize<'de> for Project {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let text = text.trim();
        if vertex::is_project(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(D::Error::custom("must be the id of a Google Cloud project"))
    }
}

/// The id of an access key: letters, digits and `_` (AWS' IAM reference, "AccessKey").
#[derive(Clone, Debug)]
pub(in super::super::super) struct AccessKeyId(String);

impl<'de> Deserialize<'de> for AccessKeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let text = text.trim();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if (16..=128).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(D::Error::custom(
            "must be an access key id, such as AKIAIOSFODNN7EXAMPLE",
        ))
    }
}

/// A region of Amazon or Google.
#[derive(Clone, Debug)]
pub(in super::super::super) struct Region(String);

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let text = text.trim();
        if vertex::is_region(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(D::Error::custom("must be a region, such as us-east-1"))
    }
}

/// Empty access keys.
fn no_access_keys() -> StoredCredentials {
    StoredCredentials::AccessKeys {
        access_key_id: String::new(),
        secret_access_key: String::new(),
        session_token: None,
        region: String::new(),
        base_url: None,
    }
}

/// An empty service account.
fn no_service_account() -> StoredCredentials {
    StoredCredentials::ServiceAccount {
        client_email: String::new(),
        private_key: String::new(),
        private_key_id: None,
        project: String::new(),
        region: String::new(),
        base_url: None,
        access_token: None,
        expires_at: None,
    }
}

fn refused_address(refusal: &Refusal) -> ApiError {
    let field = "credentials.baseUrl";
    ApiError::invalid(field, format!("`{field}` cannot be used: {refusal}"))
}

/// Credentials of an OAuth account without tokens.
pub(super) fn no_tokens() -> StoredCredentials {
    StoredCredentials::OAuth {
        access_token: String::new(),
        refresh_token: None,
        expires_at: None,
        tenant: None,
    }
}

/// The sealed secret, which is required if the account has none.
fn needed(sealed: Option<String>, name: &str) -> Result<String, ApiError> {
    sealed
        .filter(|sealed| !sealed.is_empty())
        .ok_or_else(|| ApiError::missing(format!("credentials.{name}")))
}
