//! A provider account: credentials, and settings for its use.

pub mod amazon;
pub mod azure;
mod chat_host;
pub mod entra;
pub mod key_file;
mod key_header;
pub mod live;
mod regional;
pub mod vertex;

use std::collections::BTreeSet;

use crs_durable::Millis;
use crs_durable::pool::AccountPolicy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::chat_host::ChatHost;
pub use self::key_header::KeyHeader;
use crate::model::money::MicroUsd;
use crate::model::name::{canonical, same};

/// A provider, with its own protocol and pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Claude,
    OpenAi,
    Gemini,
    Antigravity,
}

impl Platform {
    pub const ALL: [Self; 4] = [Self::Claude, Self::OpenAi, Self::Gemini, Self::Antigravity];

    pub fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
            Self::Antigravity => "antigravity",
        }
    }
}

/// The kind of tokens that a sign-in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Grant {
    /// The tokens of a provider's client: short-lived and refreshable.
    #[default]
    #[serde(rename = "oauth")]
    OAuth,
    /// Claude only: one token that lasts a year and can only call models.
    SetupToken,
}

/// A proxy between the relay and the provider. Its `Debug` leaves the password out.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proxy {
    pub scheme: ProxyScheme,
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<String>,
}

impl Proxy {
    /// The proxy without its login: `socks5://host:port`.
    pub fn shown(&self) -> String {
        let host = &self.host;
        if host.contains(':') {
            format!("{}://[{host}]:{}", self.scheme.name(), self.port)
        } else {
            format!("{}://{host}:{}", self.scheme.name(), self.port)
        }
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({})", self.shown())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyScheme {
    Http,
    Https,
    /// The proxy resolves host names.
    Socks5,
}

impl ProxyScheme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
        }
    }
}

/// A stored account. Secrets are sealed (`secrets::Keyring::seal`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub platform: Platform,
    pub credentials: StoredCredentials,
    /// Incremented whenever the credentials are replaced or refreshed.
    pub credential_version: u64,
    pub priority: u32,
    /// 0: unlimited.
    pub max_concurrency: u32,
    pub is_active: bool,
    pub schedulable: bool,
    /// The proxy as JSON, sealed (it may hold a password).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The proxy without its login: `socks5://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_shown: Option<String>,
    /// The header for its API key; `None`: the platform's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_header: Option<KeyHeader>,
    /// The `user-agent` sent to its host; `None`: the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The host supports only Chat Completions. Only for API keys and Entra applications of OpenAI's platform.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chat_only: bool,
    /// The `api-version` of Azure OpenAI, sent with each request. Only for API keys and Entra applications of OpenAI's
    /// platform. See [`azure`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Maps models named by clients to models requested from this account.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub model_mapping: std::collections::BTreeMap<String, String>,
    /// Ids of its groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// `false`: only for keys that are bound to it or to its group.
    #[serde(default = "yes")]
    pub shared: bool,
    /// `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported_models: Option<BTreeSet<String>>,
    /// When its subscription ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_expires_at: Option<Millis>,
    /// Maximum cost of its calls per day in the operator's time zone, micro-USD; 0: unlimited.
    #[serde(default)]
    pub daily_quota: MicroUsd,
    /// Reserve in percent of a measured quota window.
    #[serde(default)]
    pub reserve_percent: u8,
    pub created_at: Millis,
    /// Increases with every change, independent of the clock.
    pub updated_at: Millis,
    /// Fields of newer versions, which are preserved.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

fn yes() -> bool {
    true
}

impl Account {
    /// Updates the record's revision after a change.
    pub fn touch(&mut self, now: Millis) {
        self.updated_at = now.max(self.updated_at.saturating_add(1));
    }

    /// The model to request in place of this one, if the operator mapped this name or another name of the same
    /// model.
    pub fn mapped_model(&self, model: &str) -> Option<&str> {
        let exact = self.model_mapping.get(model);
        let mut others = self.model_mapping.iter();
        let mapped = exact.or_else(|| others.find(|(from, _)| same(from, model)).map(|(_, to)| to));
        mapped.map(String::as_str)
    }

    pub fn kind(&self) -> AccountKind {
        let runtime = match &self.credentials {
            StoredCredentials::ApiKey { .. } | StoredCredentials::EntraApp { .. }
                if self.chat_only && self.platform == Platform::OpenAi =>
            {
                return AccountKind::ChatHost;
            }
            StoredCredentials::ApiKey { base_url, .. } => base_url.as_deref().and_then(amazon::Bedrock::at),
            StoredCredentials::AccessKeys { region, base_url, .. } => {
                Some(amazon::Bedrock::of_keys(region, base_url.as_deref()))
            }
            StoredCredentials::ServiceAccount { .. } | StoredCredentials::EntraApp { .. } => None,
            StoredCredentials::OAuth { .. } => return AccountKind::Login,
        };
        match runtime {
            Some(bedrock) if bedrock.endpoint == amazon::Endpoint::Runtime => AccountKind::BedrockRuntime,
            _ => AccountKind::Key,
        }
    }

    /// The account's policy for the pool. `utc_offset_minutes`: the operator's offset from UTC.
    pub fn policy(&self, utc_offset_minutes: i32) -> AccountPolicy {
        // Mapped models count as supported. Names are compared in canonical form.
        let supported = self.supported_models.clone().map(|mut models| {
            models.extend(self.model_mapping.keys().cloned());
            let canonical: Vec<String> = models.iter().map(|name| canonical(name)).collect();
            models.extend(canonical);
            models
        });
        AccountPolicy {
            id: self.id.clone(),
            kind: Some(self.kind().name().to_owned()),
            priority: self.priority,
            max_concurrency: self.max_concurrency,
            active: self.is_active,
            schedulable: self.schedulable,
            credential_version: self.credential_version,
            revision: self.updated_at,
            unusable: None,
            groups: self.groups.clone(),
            shared: self.shared,
            supported_models: supported,
            expires_at: self.subscription_expires_at,
            daily_quota: self.daily_quota.0,
            reserve_percent: self.reserve_percent,
            utc_offset_minutes,
        }
    }
}

/// An account's kind at its provider, which determines the calls that it can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// A key of the provider's API, or of a compatible host; a service account or an Entra application.
    Key,
    /// The login of a person.
    Login,
    /// A key for the runtime of Amazon Bedrock, which does not count tokens.
    BedrockRuntime,
    /// A key for a host that supports only Chat Completions.
    ChatHost,
}

impl AccountKind {
    pub const ALL: [Self; 4] = [Self::Key, Self::Login, Self::BedrockRuntime, Self::ChatHost];

    /// The name used in the pool's roster.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Login => "login",
            Self::BedrockRuntime => "bedrockRuntime",
            Self::ChatHost => "chatHost",
        }
    }
}

/// Sealed credentials. Each secret is sealed with the account's id and the field's name as context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StoredCredentials {
    ApiKey {
        api_key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_url: Option<String>,
    },
    /// Amazon's access keys. Requests are signed with the secret, which is never sent. See [`amazon`].
    AccessKeys {
        /// Not secret: signatures contain it.
        access_key_id: String,
        secret_access_key: String,
        /// Of temporary keys, whose id begins with `ASIA`; sent with each request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_token: Option<String>,
        region: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_url: Option<String>,
    },
    /// A Google service account. Access tokens are requested with signatures of its key, which is never sent. See
    /// [`vertex`].
    ServiceAccount {
        client_email: String,
        /// PKCS #8, PEM.
        private_key: String,
        /// The id of the key, for signatures.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        private_key_id: Option<String>,
        /// The project that is billed.
        project: String,
        region: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_url: Option<String>,
        /// `None`: the first call requests one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access_token: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Millis>,
    },
    /// An application of Microsoft Entra, for Azure OpenAI. Access tokens are requested with its secret, which only
    /// Entra's token endpoint gets. See [`entra`].
    EntraApp {
        /// A GUID or a domain.
        tenant_id: String,
        client_id: String,
        client_secret: String,
        /// The address of the resource.
        base_url: String,
        /// `None`: the first call requests one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access_token: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Millis>,
    },
    #[serde(rename = "oauth")]
    OAuth {
        access_token: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refresh_token: Option<String>,
        /// When the access token expires; `None`: not reported, so it is used until it is refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Millis>,
        /// The tenant of the tokens at the provider, for calls that must name it: the ChatGPT account, or the
        /// Google Cloud project. `None`: not known yet, or not needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
    },
}
