//! A provider account: who we are to a provider, and how it is used.

pub mod live;

use std::collections::BTreeSet;

use crs_durable::Millis;
use crs_durable::pool::AccountPolicy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::money::MicroUsd;
use crate::model::name::{canonical, same};

/// Whose protocol and pool an account belongs to.
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

/// The kind of tokens that a sign-in asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Grant {
    /// Those of a person's client: they end soon, and are refreshed.
    #[default]
    #[serde(rename = "oauth")]
    OAuth,
    /// Claude only: one token that lasts a year and may do nothing but call models.
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
    /// Names are resolved by the proxy.
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

/// An account as the store keeps it: secrets are sealed (`secrets::Keyring::seal`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub platform: Platform,
    pub credentials: StoredCredentials,
    /// Grows whenever the credentials are replaced or refreshed.
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
    /// From the model a client names to the model this account is asked for.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub model_mapping: std::collections::BTreeMap<String, String>,
    /// Ids of the groups it is in.
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
    /// Micro-USD that its calls may cost on one of the operator's days; 0: no limit.
    #[serde(default)]
    pub daily_quota: MicroUsd,
    /// The share of a measured quota window that is kept back, percent.
    #[serde(default)]
    pub reserve_percent: u8,
    pub created_at: Millis,
    /// Grows with every change, whatever the clock does.
    pub updated_at: Millis,
    /// Fields of a newer version, kept through every change.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

fn yes() -> bool {
    true
}

impl Account {
    /// The record was changed.
    pub fn touch(&mut self, now: Millis) {
        self.updated_at = now.max(self.updated_at.saturating_add(1));
    }

    /// The model to ask for in place of this one, if the operator mapped it: by this very name, or else by any
    /// name of the same model.
    pub fn mapped_model(&self, model: &str) -> Option<&str> {
        let exact = self.model_mapping.get(model);
        let mut others = self.model_mapping.iter();
        let mapped = exact.or_else(|| others.find(|(from, _)| same(from, model)).map(|(_, to)| to));
        mapped.map(String::as_str)
    }

    pub fn kind(&self) -> AccountKind {
        match self.credentials {
            StoredCredentials::ApiKey { .. } => AccountKind::Key,
            StoredCredentials::OAuth { .. } => AccountKind::Login,
        }
    }

    /// The account's policy for the pool. `utc_offset_minutes`: the operator's clock.
    pub fn policy(&self, utc_offset_minutes: i32) -> AccountPolicy {
        // A model the account has a name of its own for is one it supports. Calls are compared by canonical
        // names.
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

/// An account's kind at its provider. It decides which calls the account can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// A key of the provider's API, or of a compatible host.
    Key,
    /// The login of a person.
    Login,
}

impl AccountKind {
    pub const ALL: [Self; 2] = [Self::Key, Self::Login];

    /// In the pool's roster.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Login => "login",
        }
    }
}

/// Each `String` of a secret is sealed with the account's id and the field's name as context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StoredCredentials {
    ApiKey {
        api_key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_url: Option<String>,
    },
    #[serde(rename = "oauth")]
    OAuth {
        access_token: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refresh_token: Option<String>,
        /// When the access token ends; `None`: not reported, so it is used until refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Millis>,
        /// For whom at the provider the tokens speak, where calls must say so: the account of ChatGPT, the
        /// project of Google's cloud. `None`: not known yet, or not needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
    },
}
