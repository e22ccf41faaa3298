//! The input that creates or changes an account.

mod api_version;
mod credentials;
mod file;
mod many;
mod sign_in;

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::super::super::api_error::ApiError;
use super::super::super::extract::{InputField, Object};
use super::super::fields::{Host, Ids, Line, ModelMapping, Models, Moment, Text, Whole};
use crate::app::App;
use crate::model::account::{
    Account, ChatHost, KeyHeader, Platform, Proxy, ProxyScheme, StoredCredentials, azure,
};
use crate::model::client;
use crate::model::money::{MicroUsd, Usd};
use crate::port::clock::Millis;
use crate::store::accounts::Accounts;

use api_version::ApiVersion;
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
    name: InputField<Line<1, 100>>,
    #[schema(value_type = Option<String>, max_length = 500)]
    #[serde(default)]
    description: InputField<Text<500>>,
    /// Cannot be changed.
    #[schema(value_type = Platform, required = false)]
    #[serde(default)]
    platform: InputField<Platform>,
    #[schema(value_type = CredentialsInput, required = false)]
    #[serde(default)]
    credentials: InputField<Object<CredentialsInput>>,
    /// In place of `credentials` and `platform`: the content of a client's login file, as text or object. Accepts
    /// Claude Code's `.credentials.json`, Codex's `auth.json` and Gemini CLI's `oauth_creds.json`.
    #[schema(value_type = serde_json::Value, required = false, write_only)]
    #[serde(default)]
    credentials_file: InputField<CredentialsFile>,
    /// Lower values are picked first. Default: 50.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 100)]
    #[serde(default)]
    priority: InputField<Whole<1, 100>>,
    /// Maximum number of concurrent calls; 0: unlimited.
    #[schema(value_type = u32, required = false, maximum = 100_000)]
    #[serde(default)]
    max_concurrency: InputField<Whole<0, 100_000>>,
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    is_active: InputField<bool>,
    /// `false` pauses the account: it gets no calls but keeps its state.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    schedulable: InputField<bool>,
    #[schema(value_type = Option<ProxyInput>)]
    #[serde(default)]
    proxy: InputField<Option<Object<ProxyInput>>>,
    /// The header for its API key; `null`: the platform's default (`x-api-key` for Claude, `authorization` for
    /// OpenAI). For a new account with its own address, the default is guessed from the host and the key.
    #[schema(value_type = Option<KeyHeader>)]
    #[serde(default)]
    key_header: InputField<Option<KeyHeader>>,
    /// The `user-agent` sent to the host of an API key, if the host expects one from the operator; `null`: the
    /// client's is forwarded. It must not name another product's client.
    #[schema(value_type = Option<String>, max_length = 200)]
    #[serde(default)]
    user_agent: InputField<Option<Line<0, 200>>>,
    /// The host supports only Chat Completions, so calls of other protocols are converted. Only for API keys and Entra
    /// applications of platform `openai`. If left out of a new account, it is guessed from the host.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    chat_only: InputField<bool>,
    /// The `api-version` of Azure OpenAI, which every request then contains, such as `2025-04-01-preview`; `null`: none,
    /// as for Azure's v1 API. Only for API keys and Entra applications of platform `openai`. A `baseUrl` may also end
    /// with `?api-version=...`.
    #[schema(value_type = Option<String>, max_length = 40)]
    #[serde(default)]
    api_version: InputField<Option<ApiVersion>>,
    /// Maps models named by clients to models requested from the account.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    #[serde(default)]
    model_mapping: InputField<ModelMapping>,
    /// Ids of its account groups, of the same platform. Replaces all of them.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    groups: InputField<Ids>,
    /// `false`: only for keys that are bound to it or to one of its groups.
    #[schema(value_type = bool, required = false)]
    #[serde(default)]
    shared: InputField<bool>,
    /// The models it serves, as clients name them; `null`: all.
    #[schema(value_type = Option<Vec<String>>, min_items = 1)]
    #[serde(default)]
    supported_models: InputField<Option<Models>>,
    /// The end of its subscription, ISO 8601, after which it gets no calls; `null`: none.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    subscription_expires_at: InputField<Moment>,
    /// Maximum cost of its calls per day in the operator's time zone; 0: unlimited.
    #[schema(value_type = Option<Usd>)]
    #[serde(default)]
    daily_quota: InputField<Usd>,
    /// Reserve in percent of the provider's quota windows: an account with less left is picked after others of
    /// its priority.
    #[schema(value_type = u32, required = false, maximum = 90)]
    #[serde(default)]
    reserve_percent: InputField<Whole<0, 90>>,
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
    /// The proxy resolves host names, under either spelling.
    #[serde(alias = "socks5h")]
    Socks5,
}

/// [`AccountInput`] for a new account: `platform` and `credentials` or a file are required.
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

/// All groups must belong to the account's platform.
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

/// A validated [`AccountInput`] that can be applied to any number of records.
pub(super) struct Edit {
    input: AccountInput,
    /// Seals the secrets for their destination, which depends on the record.
    accounts: Accounts,
    /// The sealed proxy, and its display form.
    proxy: Option<(String, String)>,
}

impl AccountInput {
    /// Creates an account from the input.
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
        // A placeholder that `apply` replaces or refuses.
        let nothing = credentials.nothing();
        self.draft(app, id, now, nothing)
    }

    /// Creates an account whose credentials come from elsewhere; the name may be missing.
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
            key_header: None,
            user_agent: None,
            chat_only: false,
            api_version: None,
            created_at: now,
            updated_at: now,
            extra: serde_json::Map::new(),
            id,
        };
        account.key_header = self.guessed_header(*platform);
        account.chat_only = *platform == Platform::OpenAi && self.is_chat_host();
        let edit = self.checked(app, &account.id)?;
        edit.apply(&mut account)?;
        Ok(account)
    }

    /// Checks that the groups exist and belong to the account's platform. `platform`: of a stored account; for a
    /// new one the input contains it.
    pub(super) async fn check_groups(&self, app: &App, platform: Option<Platform>) -> Result<(), ApiError> {
        let groups = self.group_platforms(app).await?;
        match platform.or(self.platform.as_ref().copied()) {
            Some(platform) => of_platform(&groups, platform),
            None => Ok(()),
        }
    }

    /// The platforms of the groups in the input, which must exist.
    async fn group_platforms(&self, app: &App) -> Result<Vec<Platform>, ApiError> {
        let ids = self.groups.as_ref().map_or(&[][..], |Ids(ids)| ids);
        let mut platforms = Vec::with_capacity(ids.len());
        for (n, id) in ids.iter().enumerate() {
            let Some(group) = app.groups.get(id).await? else {
                let field = format!("groups[{n}]");
                let message = format!(
                    "`{field}` names a group that does not exist: `GET /admin/account-groups` lists them"
                );
                return Err(ApiError::invalid(field, message));
            };
            platforms.push(group.platform);
        }
        Ok(platforms)
    }

    pub(super) fn sends_groups(&self) -> bool {
        self.groups.as_ref().is_some()
    }

    /// Runs the checks that do not depend on the stored account.
    pub(super) fn checked(self, app: &App, id: &str) -> Result<Edit, ApiError> {
        self.check_models()?;
        self.check_agent()?;
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

    /// The likeliest header for the key of a new account with its own address.
    fn guessed_header(&self, platform: Platform) -> Option<KeyHeader> {
        let Object(credentials) = self.credentials.as_ref()?;
        let (host, key) = credentials.host_and_key()?;
        if self.new_version().is_some() {
            return Some(KeyHeader::of_azure(key));
        }
        KeyHeader::guessed(platform, &host, key)
    }

    /// Whether the address belongs to a host that probably supports only Chat Completions.
    fn is_chat_host(&self) -> bool {
        let base = self
            .credentials
            .as_ref()
            .and_then(|Object(sent)| sent.base_url.as_ref());
        base.and_then(|base| base.0.as_deref())
            .is_some_and(|base| ChatHost::at(base) != ChatHost::Other)
            || self.new_version().is_some_and(azure::lacks_responses)
    }

    fn check_agent(&self) -> Result<(), ApiError> {
        let Some(Some(Line(agent))) = self.user_agent.as_ref() else {
            return Ok(());
        };
        if !agent.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(ApiError::invalid(
                "userAgent",
                "`userAgent` must be plain letters and signs",
            ));
        }
        if let Some(client) = client::of_agent(agent) {
            let message = format!(
                "`userAgent` names {client}, which this relay is not: say something of your own, or leave it out"
            );
            return Err(ApiError::invalid("userAgent", message));
        }
        Ok(())
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
    /// Applies all fields of the input, or none if one is refused.
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
            let refused = match (account.platform, &account.credentials) {
                (Platform::Antigravity, StoredCredentials::ApiKey { .. }) => {
                    Some("`credentials.type` must be `oauth`: Antigravity accepts no API keys")
                }
                (
                    Platform::OpenAi | Platform::Gemini | Platform::Antigravity,
                    StoredCredentials::AccessKeys { .. },
                ) => {
                    Some("`credentials.type` may be `accessKeys` only for platform `claude` (Amazon Bedrock)")
                }
                (Platform::OpenAi | Platform::Antigravity, StoredCredentials::ServiceAccount { .. }) => Some(
                    "`credentials.type` may be `serviceAccount` only for `claude` and `gemini` (Google Vertex AI)",
                ),
                (
                    Platform::Claude | Platform::Gemini | Platform::Antigravity,
                    StoredCredentials::EntraApp { .. },
                ) => Some("`credentials.type` may be `entraApp` only for platform `openai` (Azure OpenAI)"),
                _ => None,
            };
            if let Some(why) = refused {
                return Err(ApiError::invalid("credentials.type", why));
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
        if let Some(header) = input.key_header.as_ref() {
            account.key_header = *header;
        }
        if let Some(agent) = input.user_agent.as_ref() {
            let agent = agent.as_ref().map(|Line(agent)| agent.clone());
            account.user_agent = agent.filter(|agent| !agent.is_empty());
        }
        input.chat_only.put(&mut account.chat_only);
        input.apply_version(account)?;
        if let Some(ModelMapping(mapping)) = input.model_mapping.as_ref() {
            account.model_mapping.clone_from(mapping);
        }
        self.apply_scheduling(account);
        Ok(())
    }

    /// Applies the fields for scheduling and limits.
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
