//! What may be said about an account.

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::super::super::api_error::ApiError;
use super::super::super::extract::{Object, Sent};
use super::super::fields::{BaseUrl, Credential, Ids, Line, ModelMapping, Models, Moment, Text, Usd, Whole};
use crate::app::App;
use crate::model::account::{Account, Platform, Proxy, ProxyScheme, StoredCredentials};
use crate::port::clock::Millis;
use crate::store::accounts::Accounts;

const PRIORITY: u32 = 50;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct AccountInput {
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100)]
    #[serde(default)]
    name: Sent<Line<1, 100>>,
    #[schema(value_type = Option<String>, max_length = 500)]
    #[serde(default)]
    description: Sent<Text<500>>,
    /// Cannot be changed.
    #[schema(value_type = Platform, required = false)]
    #[serde(default)]
    platform: Sent<Platform>,
    #[schema(value_type = CredentialsInput, required = false)]
    #[serde(default)]
    credentials: Sent<Object<CredentialsInput>>,
    /// Lower is chosen first; 50 if left out.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 100)]
    #[serde(default)]
    priority: Sent<Whole<1, 100>>,
    /// Calls the account may serve at once; 0 is no limit.
    #[schema(value_type = u32, required = false, maximum = 100_000)]
    #[serde(default)]
    max_concurrency: Sent<Whole<0, 100_000>>,
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    is_active: Sent<bool>,
    /// `false` pauses the account: it gets no calls, and keeps all else.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    schedulable: Sent<bool>,
    #[schema(value_type = Option<ProxyInput>)]
    #[serde(default)]
    proxy: Sent<Option<Object<ProxyInput>>>,
    /// From the model a client names to the model the account is asked for.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    #[serde(default)]
    model_mapping: Sent<ModelMapping>,
    /// Ids of the account groups it is in, of its platform. Replaces all of them.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    groups: Sent<Ids>,
    /// `false`: only for keys that are bound to it or to one of its groups.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    shared: Sent<bool>,
    /// The models it serves, as clients name them; `null`: all.
    #[schema(value_type = Option<Vec<String>>, min_items = 1)]
    #[serde(default)]
    supported_models: Sent<Option<Models>>,
    /// When its subscription ends, ISO 8601: from then on it gets no calls; `null`: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    subscription_expires_at: Sent<Moment>,
    /// USD that its calls may cost in a day of the operator's; 0 is no limit.
    #[schema(value_type = Option<f64>, minimum = 0)]
    #[serde(default)]
    daily_quota: Sent<Usd>,
    /// Percent of the provider's quota windows that are kept back: with less left than that, others of its
    /// priority go first.
    #[schema(value_type = u32, required = false, maximum = 90)]
    #[serde(default)]
    reserve_percent: Sent<Whole<0, 90>>,
}

/// Which fields are needed depends on the type: `apiKey` for `apiKey`, `accessToken` for `oauth`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct CredentialsInput {
    r#type: CredentialsType,
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    api_key: Sent<Credential>,
    /// The provider's address, if it is not the official one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    base_url: Sent<BaseUrl>,
    #[serde(default)]
    #[schema(value_type = String, required = false, write_only)]
    access_token: Sent<Credential>,
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    refresh_token: Sent<Option<Credential>>,
    /// When the access token ends, ISO 8601; `null`: it is used until refused.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Sent<Moment>,
    /// For whom the tokens speak: the id of the account at ChatGPT, the id of the project in Google's cloud.
    /// Left out, it is found out with the first call.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100)]
    tenant: Sent<Option<Line<1, 100>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub(in super::super) enum CredentialsType {
    #[serde(rename = "apiKey")]
    ApiKey,
    #[serde(rename = "oauth")]
    OAuth,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ProxyInput {
    r#type: ProxyType,
    #[schema(value_type = String, max_length = 255)]
    host: Line<1, 255>,
    #[schema(value_type = u16, minimum = 1)]
    port: Whole<1, 65_535>,
    #[serde(default)]
    #[schema(write_only, max_length = 500)]
    username: Option<String>,
    #[serde(default)]
    #[schema(write_only, max_length = 500)]
    password: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ProxyType {
    Http,
    Https,
    /// Names are resolved by the proxy, under either name.
    #[serde(alias = "socks5h")]
    Socks5,
}

/// [`AccountInput`] as a new account needs it.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "only described, and the description is made by a test")
)]
pub(in super::super) struct NewAccountInput;

impl PartialSchema for NewAccountInput {
    fn schema() -> RefOr<Schema> {
        super::super::fields::requiring(AccountInput::schema(), &["name", "platform", "credentials"])
    }
}

impl ToSchema for NewAccountInput {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        <AccountInput as ToSchema>::schemas(schemas);
    }
}

/// [`AccountInput`] with its secrets sealed, ready to be put into a record any number of times.
pub(super) struct Edit {
    input: AccountInput,
    credentials: Option<SealedCredentials>,
    /// Sealed, and what may be shown.
    proxy: Option<(String, String)>,
}

struct SealedCredentials {
    r#type: CredentialsType,
    api_key: Option<String>,
    base_url: Sent<BaseUrl>,
    access_token: Option<String>,
    refresh_token: Sent<Option<String>>,
    expires_at: Sent<Moment>,
    tenant: Sent<Option<String>>,
}

impl AccountInput {
    /// A new account of what was sent.
    pub(super) fn into_account(self, app: &App, id: String, now: Millis) -> Result<Account, ApiError> {
        let Some(Line(name)) = self.name.as_ref() else {
            return Err(ApiError::missing("name"));
        };
        let Some(platform) = self.platform.as_ref() else {
            return Err(ApiError::missing("platform"));
        };
        let Some(Object(credentials)) = self.credentials.as_ref() else {
            return Err(ApiError::missing("credentials"));
        };
        // What stands here is replaced, or refused, by `apply`.
        let nothing = match credentials.r#type {
            CredentialsType::ApiKey => StoredCredentials::ApiKey {
                api_key: String::new(),
                base_url: None,
            },
            CredentialsType::OAuth => StoredCredentials::OAuth {
                access_token: String::new(),
                refresh_token: None,
                expires_at: None,
                tenant: None,
            },
        };
        let mut account = Account {
            name: name.clone(),
            description: String::new(),
            platform: *platform,
            credentials: nothing,
            credential_version: 1,
            priority: PRIORITY,
            max_concurrency: 0,
            is_active: true,
            schedulable: true,
            proxy: None,
            proxy_shown: None,
            model_mapping: std::collections::BTreeMap::new(),
            groups: std::collections::BTreeSet::new(),
            shared: true,
            supported_models: None,
            subscription_expires_at: None,
            daily_quota: 0,
            reserve_percent: 0,
            created_at: now,
            updated_at: now,
            extra: serde_json::Map::new(),
            id,
        };
        let edit = self.sealed(app, &account.id)?;
        edit.apply(&mut account)?;
        Ok(account)
    }

    /// The groups that were sent must be there, and of the account's platform. `platform`: of a stored
    /// account; of a new one the input says it.
    pub(super) async fn check_groups(&self, app: &App, platform: Option<Platform>) -> Result<(), ApiError> {
        let Some(Ids(ids)) = self.groups.as_ref() else {
            return Ok(());
        };
        let platform = platform.or(self.platform.as_ref().copied());
        for (n, id) in ids.iter().enumerate() {
            let group = app.groups.get(id).await?;
            let message = match (group, platform) {
                (None, _) => {
                    "names no group that is there: `GET /admin/account-groups` lists them".to_owned()
                }
                (Some(group), Some(platform)) if group.platform != platform => format!(
                    "names a group of the platform {}: it must be of {}",
                    group.platform.name(),
                    platform.name()
                ),
                (Some(_), _) => continue,
            };
            let field = format!("groups[{n}]");
            return Err(ApiError::invalid(&field, format!("`{field}` {message}")));
        }
        Ok(())
    }

    pub(super) fn sends_groups(&self) -> bool {
        self.groups.as_ref().is_some()
    }

    /// Checks what does not depend on the stored account, and seals the secrets for it.
    pub(super) fn sealed(self, app: &App, id: &str) -> Result<Edit, ApiError> {
        let credentials = match self.credentials.as_ref() {
            Some(Object(credentials)) => Some(credentials.sealed(&app.accounts, id)?),
            None => None,
        };
        let proxy = match self.proxy.as_ref() {
            Some(Some(Object(proxy))) => Some(app.accounts.seal_proxy(id, &proxy.checked()?)?),
            _ => None,
        };
        Ok(Edit {
            input: self,
            credentials,
            proxy,
        })
    }
}

impl Edit {
    /// Changes what was sent, or nothing.
    pub(super) fn apply(&self, account: &mut Account) -> Result<(), ApiError> {
        let input = &self.input;
        if input
            .platform
            .as_ref()
            .is_some_and(|platform| *platform != account.platform)
        {
            return Err(ApiError::invalid("platform", "`platform` cannot be changed"));
        }
        if let Some(credentials) = &self.credentials {
            account.credentials = credentials.over(&account.credentials)?;
            if let (Platform::Antigravity, StoredCredentials::ApiKey { .. }) =
                (account.platform, &account.credentials)
            {
                return Err(ApiError::invalid(
                    "credentials.type",
                    "`credentials.type` must be `oauth`: Antigravity knows no API keys",
                ));
            }
        }
        if let Some(Line(name)) = input.name.as_ref() {
            account.name.clone_from(name);
        }
        if let Some(Text(description)) = input.description.as_ref() {
            account.description.clone_from(description);
        }
        if let Some(Whole(priority)) = input.priority.as_ref() {
            account.priority = *priority;
        }
        if let Some(Whole(limit)) = input.max_concurrency.as_ref() {
            account.max_concurrency = *limit;
        }
        input.is_active.put(&mut account.is_active);
        input.schedulable.put(&mut account.schedulable);
        if input.proxy.as_ref().is_some() {
            let (sealed, shown) = self.proxy.clone().unzip();
            account.proxy = sealed;
            account.proxy_shown = shown;
        }
        if let Some(ModelMapping(mapping)) = input.model_mapping.as_ref() {
            account.model_mapping.clone_from(mapping);
        }
        self.apply_scheduling(account)
    }

    /// What says whom the account serves, and how much.
    fn apply_scheduling(&self, account: &mut Account) -> Result<(), ApiError> {
        let input = &self.input;
        if let Some(Ids(groups)) = input.groups.as_ref() {
            account.groups = groups.iter().cloned().collect();
        }
        input.shared.put(&mut account.shared);
        if let Some(models) = input.supported_models.as_ref() {
            if models.as_ref().is_some_and(|Models(names)| names.is_empty()) {
                return Err(ApiError::invalid(
                    "supportedModels",
                    "`supportedModels` is empty, so that the account could serve nothing: name some, or send null for all",
                ));
            }
            account.supported_models = models
                .as_ref()
                .map(|Models(names)| names.iter().cloned().collect());
        }
        if let Some(Moment(at)) = input.subscription_expires_at.as_ref() {
            account.subscription_expires_at = *at;
        }
        if let Some(Usd(micro)) = input.daily_quota.as_ref() {
            account.daily_quota = *micro;
        }
        if let Some(Whole(percent)) = input.reserve_percent.as_ref() {
            account.reserve_percent = *percent as u8;
        }
        Ok(())
    }
}

impl CredentialsInput {
    fn sealed(&self, accounts: &Accounts, id: &str) -> Result<SealedCredentials, ApiError> {
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
        let seal = |field: &str, secret: &Credential| accounts.seal(id, field, &secret.0);
        Ok(SealedCredentials {
            r#type: self.r#type,
            api_key: self.api_key.as_ref().map(|key| seal("apiKey", key)),
            base_url: self.base_url.clone(),
            access_token: self.access_token.as_ref().map(|token| seal("accessToken", token)),
            refresh_token: match &self.refresh_token {
                Sent::No => Sent::No,
                Sent::Yes(token) => Sent::Yes(token.as_ref().map(|token| seal("refreshToken", token))),
            },
            expires_at: self.expires_at.clone(),
            tenant: match &self.tenant {
                Sent::No => Sent::No,
                Sent::Yes(tenant) => Sent::Yes(tenant.as_ref().map(|Line(tenant)| tenant.clone())),
            },
        })
    }
}

impl SealedCredentials {
    /// What becomes of the stored credentials: of the same type, what was not sent stays.
    fn over(&self, stored: &StoredCredentials) -> Result<StoredCredentials, ApiError> {
        let base_url = || self.base_url.as_ref().map(|base| base.0.clone());
        match (self.r#type, stored) {
            (
                CredentialsType::ApiKey,
                StoredCredentials::ApiKey {
                    api_key,
                    base_url: base,
                },
            ) => Ok(StoredCredentials::ApiKey {
                api_key: needed(self.api_key.as_ref().or(Some(api_key)), "apiKey")?,
                base_url: base_url().unwrap_or_else(|| base.clone()),
            }),
            (CredentialsType::ApiKey, StoredCredentials::OAuth { .. }) => Ok(StoredCredentials::ApiKey {
                api_key: needed(self.api_key.as_ref(), "apiKey")?,
                base_url: base_url().flatten(),
            }),
            (
                CredentialsType::OAuth,
                StoredCredentials::OAuth {
                    access_token,
                    refresh_token,
                    expires_at,
                    tenant,
                },
            ) => Ok(StoredCredentials::OAuth {
                access_token: needed(self.access_token.as_ref().or(Some(access_token)), "accessToken")?,
                refresh_token: match &self.refresh_token {
                    Sent::No => refresh_token.clone(),
                    Sent::Yes(token) => token.clone(),
                },
                expires_at: match (&self.expires_at, &self.access_token) {
                    (Sent::Yes(at), _) => at.0,
                    // The end of the old token says nothing about the new one.
                    (Sent::No, Some(_)) => None,
                    (Sent::No, None) => *expires_at,
                },
                tenant: match (&self.tenant, &self.access_token) {
                    (Sent::Yes(tenant), _) => tenant.clone(),
                    // So may whom it spoke for.
                    (Sent::No, Some(_)) => None,
                    (Sent::No, None) => tenant.clone(),
                },
            }),
            (CredentialsType::OAuth, StoredCredentials::ApiKey { .. }) => Ok(StoredCredentials::OAuth {
                access_token: needed(self.access_token.as_ref(), "accessToken")?,
                refresh_token: self.refresh_token.as_ref().cloned().flatten(),
                expires_at: self.expires_at.as_ref().and_then(|at| at.0),
                tenant: self.tenant.as_ref().cloned().flatten(),
            }),
        }
    }
}

/// The sealed secret, which must be there: of a new account there is none to keep.
fn needed(sealed: Option<&String>, name: &str) -> Result<String, ApiError> {
    sealed
        .filter(|sealed| !sealed.is_empty())
        .cloned()
        .ok_or_else(|| ApiError::missing(format!("credentials.{name}")))
}

impl ProxyInput {
    fn checked(&self) -> Result<Proxy, ApiError> {
        let Line(host) = &self.host;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(ApiError::invalid(
                "proxy.host",
                "`proxy.host` must be a host name or an address",
            ));
        }
        for (field, text) in [
            ("proxy.username", &self.username),
            ("proxy.password", &self.password),
        ] {
            if text
                .as_ref()
                .is_some_and(|text| text.len() > 500 || text.contains(char::is_control))
            {
                let message =
                    format!("`{field}` must have at most 500 characters, and no control characters");
                return Err(ApiError::invalid(field, message));
            }
        }
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Ok(Proxy {
            scheme: match self.r#type {
                ProxyType::Http => ProxyScheme::Http,
                ProxyType::Https => ProxyScheme::Https,
                ProxyType::Socks5 => ProxyScheme::Socks5,
            },
            host: host.to_owned(),
            port: self.port.0 as u16,
            username: given(&self.username),
            password: given(&self.password),
        })
    }
}
