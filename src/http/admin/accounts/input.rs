//! The input that creates or changes an account.

mod credentials;
mod file;
mod many;
mod sign_in;

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::super::super::api_error::ApiError;
use super::super::super::extract::{Object, Sent};
use super::super::fields::{Host, Ids, Line, ModelMapping, Models, Moment, Text, Whole};
use crate::app::App;
use crate::model::account::{Account, Platform, Proxy, ProxyScheme, StoredCredentials};
use crate::model::money::{MicroUsd, Usd};
use crate::port::clock::Millis;
use crate::store::accounts::Accounts;

use credentials::CredentialsInput;
use file::CredentialsFile;
pub(super) use many::{AccountChange, SharedEdit};
pub(super) use sign_in::SignInInput;

const PRIORITY: u32 = 50;

#[derive(Debug, Default, Deserialize, ToSchema)]
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
    /// Instead of `credentials` and `platform`: the content of the file in which a client keeps its login, as
    /// text or as the object that it is. Claude Code's `.credentials.json`, Codex's `auth.json` and Gemini
    /// CLI's `oauth_creds.json` are known.
    #[schema(value_type = serde_json::Value, required = false, write_only)]
    #[serde(default)]
    credentials_file: Sent<CredentialsFile>,
    /// Lower is chosen first; 50 if left out.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 100)]
    #[serde(default)]
    priority: Sent<Whole<1, 100>>,
    /// Calls the account may serve at once; 0: unlimited.
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
    /// The most that its calls may cost in a day of the operator's; 0: unlimited.
    #[schema(value_type = Option<Usd>)]
    #[serde(default)]
    daily_quota: Sent<Usd>,
    /// Percent of the provider's quota windows that are kept back: with less left than that, others of its
    /// priority go first.
    #[schema(value_type = u32, required = false, maximum = 90)]
    #[serde(default)]
    reserve_percent: Sent<Whole<0, 90>>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ProxyInput {
    r#type: ProxyType,
    #[schema(value_type = String, max_length = 253)]
    host: Host,
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

/// [`AccountInput`] as a new account needs it: with `platform` and `credentials`, or a file in their place.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "only described, and the description is made by a test")
)]
pub(in super::super) struct NewAccountInput;

impl PartialSchema for NewAccountInput {
    fn schema() -> RefOr<Schema> {
        super::super::fields::requiring(AccountInput::schema(), &["name"])
    }
}

impl ToSchema for NewAccountInput {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        <AccountInput as ToSchema>::schemas(schemas);
    }
}

/// Groups of these platforms must all be of the account's.
fn of_platform(groups: &[Platform], platform: Platform) -> Result<(), ApiError> {
    let other = groups.iter().enumerate().find(|(_, of)| **of != platform);
    let Some((n, of)) = other else {
        return Ok(());
    };
    let field = format!("groups[{n}]");
    let message = format!(
        "`{field}` names a group of the platform {}: it must be of {}",
        of.name(),
        platform.name()
    );
    Err(ApiError::invalid(field, message))
}

/// [`AccountInput`], checked, ready to be put into a record any number of times.
pub(super) struct Edit {
    input: AccountInput,
    /// Seals what was sent for where it will go, which depends on the record.
    accounts: Accounts,
    /// Sealed, and what may be shown.
    proxy: Option<(String, String)>,
}

impl AccountInput {
    /// A new account of what was sent.
    pub(super) fn into_account(self, app: &App, id: String, now: Millis) -> Result<Account, ApiError> {
        if self.name.as_ref().is_none() {
            return Err(ApiError::missing("name"));
        }
        if self.platform.as_ref().is_none() {
            return Err(ApiError::missing("platform"));
        }
        let Some(Object(credentials)) = self.credentials.as_ref() else {
            return Err(ApiError::missing("credentials"));
        };
        // What stands here is replaced, or refused, by `apply`.
        let nothing = credentials.nothing();
        self.draft(app, id, now, nothing)
    }

    /// The same with credentials from elsewhere, and maybe without a name yet.
    fn draft(
        self,
        app: &App,
        id: String,
        now: Millis,
        credentials: StoredCredentials,
    ) -> Result<Account, ApiError> {
        let Some(platform) = self.platform.as_ref() else {
            return Err(ApiError::missing("platform"));
        };
        let mut account = Account {
            name: String::new(),
            description: String::new(),
            platform: *platform,
            credentials,
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
            daily_quota: MicroUsd::ZERO,
            reserve_percent: 0,
            created_at: now,
            updated_at: now,
            extra: serde_json::Map::new(),
            id,
        };
        let edit = self.checked(app, &account.id)?;
        edit.apply(&mut account)?;
        Ok(account)
    }

    /// The groups that were sent must be there, and of the account's platform. `platform`: of a stored
    /// account; of a new one the input says it.
    pub(super) async fn check_groups(&self, app: &App, platform: Option<Platform>) -> Result<(), ApiError> {
        let groups = self.group_platforms(app).await?;
        match platform.or(self.platform.as_ref().copied()) {
            Some(platform) => of_platform(&groups, platform),
            None => Ok(()),
        }
    }

    /// The platforms of the groups that were sent, which must be there.
    async fn group_platforms(&self, app: &App) -> Result<Vec<Platform>, ApiError> {
        let ids = self.groups.as_ref().map_or(&[][..], |Ids(ids)| ids);
        let mut platforms = Vec::with_capacity(ids.len());
        for (n, id) in ids.iter().enumerate() {
            let Some(group) = app.groups.get(id).await? else {
                let field = format!("groups[{n}]");
                let message =
                    format!("`{field}` names no group that is there: `GET /admin/account-groups` lists them");
                return Err(ApiError::invalid(field, message));
            };
            platforms.push(group.platform);
        }
        Ok(platforms)
    }

    pub(super) fn sends_groups(&self) -> bool {
        self.groups.as_ref().is_some()
    }

    /// Checks what does not depend on the stored account.
    pub(super) fn checked(self, app: &App, id: &str) -> Result<Edit, ApiError> {
        self.check_models()?;
        if let Some(Object(credentials)) = self.credentials.as_ref() {
            credentials.check(&app.destinations)?;
        }
        let proxy = match self.proxy.as_ref() {
            Some(Some(Object(proxy))) => {
                let proxy = proxy.checked()?;
                app.destinations.proxy(&proxy).map_err(|refusal| {
                    let message = format!("`proxy.host` cannot be used: {refusal}");
                    ApiError::invalid("proxy.host", message)
                })?;
                Some(app.accounts.seal_proxy(id, &proxy)?)
            }
            _ => None,
        };
        Ok(Edit {
            input: self,
            accounts: app.accounts.clone(),
            proxy,
        })
    }

    fn check_models(&self) -> Result<(), ApiError> {
        match self.supported_models.as_ref() {
            Some(Some(Models(names))) if names.is_empty() => Err(ApiError::invalid(
                "supportedModels",
                "`supportedModels` is empty, so that the account could serve nothing: name some, or send null for all",
            )),
            _ => Ok(()),
        }
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
        if let Some(Object(credentials)) = input.credentials.as_ref() {
            account.credentials = credentials.over(&self.accounts, &account.id, &account.credentials)?;
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
        self.apply_scheduling(account);
        Ok(())
    }

    /// Applies the fields that decide whom the account serves, and how much.
    fn apply_scheduling(&self, account: &mut Account) {
        let input = &self.input;
        if let Some(Ids(groups)) = input.groups.as_ref() {
            account.groups = groups.iter().cloned().collect();
        }
        input.shared.put(&mut account.shared);
        if let Some(models) = input.supported_models.as_ref() {
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
    }
}

impl ProxyInput {
    fn checked(&self) -> Result<Proxy, ApiError> {
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
            host: self.host.0.clone(),
            port: self.port.0 as u16,
            username: given(&self.username),
            password: given(&self.password),
        })
    }
}
