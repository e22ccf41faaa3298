//! Converts a CRS account to ours, with decrypted secrets.

mod credentials;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::cipher::{Ciphers, Kind};
use super::fields::{Fields, Moment, line};
use super::report::{Matter, Remarks};
use super::source::RawAccount;
use crate::model::account::live::Credentials;
use crate::model::account::{KeyHeader, Platform, Proxy, ProxyScheme};
use crate::model::client;
use crate::model::money::MicroUsd;
use crate::port::clock::Millis;

/// An account as it will be stored, but with decrypted secrets.
#[derive(Clone, Debug)]
pub struct OpenAccount {
    pub id: String,
    pub name: String,
    pub description: String,
    pub platform: Platform,
    pub credentials: Credentials,
    pub proxy: Option<Proxy>,
    pub priority: u32,
    pub max_concurrency: u32,
    pub is_active: bool,
    pub schedulable: bool,
    pub shared: bool,
    pub model_mapping: BTreeMap<String, String>,
    pub supported_models: Option<BTreeSet<String>>,
    pub subscription_expires_at: Option<Millis>,
    pub daily_quota: MicroUsd,
    pub created_at: Millis,
    pub key_header: Option<KeyHeader>,
    pub user_agent: Option<String>,
}

impl OpenAccount {
    /// Whether its tokens are refreshed.
    pub fn is_refreshed(&self) -> bool {
        matches!(
            &self.credentials,
            Credentials::OAuth {
                refresh_token: Some(_),
                ..
            }
        )
    }
}

/// Converts an account; the error says why it cannot be imported.
pub fn account(
    raw: &RawAccount,
    ciphers: &Ciphers,
    now: Millis,
    remarks: &mut Remarks,
) -> Result<OpenAccount, &'static str> {
    let mut reading = Reading {
        raw,
        fields: &raw.fields,
        ciphers,
        inactive: None,
        name: name(raw),
        remarks,
    };
    let account = reading.account(now)?;
    if let Some(why) = reading.inactive {
        let who = reading.name.clone();
        reading.remarks.add(Matter::Inactive, why, &who);
    }
    Ok(account)
}

/// Its name, or a part of its id.
pub fn name(raw: &RawAccount) -> String {
    let (name, _) = line(raw.fields.text("name").unwrap_or_default(), 100);
    if name.is_empty() {
        let short: String = raw.id.chars().take(8).collect();
        format!("account {short}")
    } else {
        name
    }
}

struct Reading<'a> {
    raw: &'a RawAccount,
    fields: &'a Fields,
    ciphers: &'a Ciphers,
    inactive: Option<&'static str>,
    name: String,
    remarks: &'a mut Remarks,
}

impl Reading<'_> {
    fn account(&mut self, now: Millis) -> Result<OpenAccount, &'static str> {
        let fields = self.fields;
        let (platform, credentials) = self.credentials()?;
        let key_header = self.key_header(platform, &credentials);
        let proxy = self.proxy();
        let (supported_models, mut model_mapping) = self.models();
        if let (Kind::Azure, Some(deployment)) = (self.raw.kind, fields.text("deploymentName")) {
            let models = supported_models.iter().flatten();
            let renamed = models.filter(|model| model.as_str() != deployment);
            model_mapping.extend(renamed.map(|model| (model.clone(), deployment.to_owned())));
        }
        let subscription_expires_at = self.subscription_end();
        let mut account = OpenAccount {
            id: self.raw.id.clone(),
            name: self.name.clone(),
            description: fields
                .text("description")
                .unwrap_or_default()
                .chars()
                .take(500)
                .collect(),
            platform,
            credentials,
            proxy,
            priority: match fields.count("priority") {
                priority @ 1..=100 => priority as u32,
                _ => 50,
            },
            max_concurrency: if self.raw.kind == Kind::Console {
                u32::try_from(fields.count("maxConcurrentTasks")).unwrap_or(u32::MAX)
            } else {
                0
            },
            is_active: self.is_active(),
            schedulable: fields.text("schedulable") != Some("false") || self.stopped_itself(),
            shared: matches!(fields.text("accountType"), None | Some("shared")),
            model_mapping,
            supported_models,
            subscription_expires_at,
            daily_quota: fields.usd("dailyQuota"),
            created_at: fields.at("createdAt").unwrap_or(now),
            key_header,
            user_agent: self.user_agent(),
        };
        self.homeless();
        if self.inactive.is_some() {
            account.is_active = false;
        }
        Ok(account)
    }

    fn inactive(&mut self, why: &'static str) {
        self.inactive.get_or_insert(why);
    }

    fn remark(&mut self, matter: Matter, what: &str) {
        self.remarks.add(matter, what, &self.name);
    }

    /// CRS itself temporarily deactivates Console accounts.
    fn is_active(&self) -> bool {
        let fields = self.fields;
        let by_itself = ["rateLimitAutoStopped", "blockedAutoStopped", "quotaAutoStopped"];
        fields.flag("isActive")
            || (self.raw.kind == Kind::Console && by_itself.iter().any(|mark| fields.flag(mark)))
    }

    /// Whether CRS and not the operator set `schedulable` to false.
    fn stopped_itself(&self) -> bool {
        let fields = self.fields;
        let marks = [
            "rateLimitAutoStopped",
            "fiveHourAutoStopped",
            "tempErrorAutoStopped",
            "quotaAutoStopped",
            "blockedAutoStopped",
        ];
        let has = |name: &str| fields.text(name).is_some();
        marks.iter().any(|mark| fields.flag(mark))
            || (has("autoStoppedAt") && has("stoppedReason"))
            || (has("unauthorizedAt") && fields.text("status") == Some("unauthorized"))
            || (has("blockedAt") && fields.text("status") == Some("blocked"))
            || match self.raw.kind {
                Kind::OpenAi => fields.text("rateLimitStatus") == Some("limited"),
                Kind::Responses | Kind::GeminiApi => matches!(
                    fields.text("status"),
                    Some(
                        "rateLimited" | "rate_limited" | "quotaExceeded" | "quota_exceeded" | "unauthorized"
                    )
                ),
                _ => false,
            }
    }

    /// CRS's choice of header: for Console accounts by the key's prefix.
    fn key_header(&self, platform: Platform, credentials: &Credentials) -> Option<KeyHeader> {
        let Credentials::ApiKey { api_key, .. } = credentials else {
            return None;
        };
        match self.raw.kind {
            Kind::Azure => Some(KeyHeader::ApiKey),
            Kind::Console if platform == Platform::Claude && !api_key.reveal().starts_with("sk-ant-") => {
                Some(KeyHeader::Authorization)
            }
            _ => None,
        }
    }

    /// A user agent that names another product's client is dropped.
    fn user_agent(&mut self) -> Option<String> {
        if !matches!(self.raw.kind, Kind::Console | Kind::Responses) {
            return None;
        }
        let agent = self.fields.text("userAgent")?.trim().to_owned();
        let plain = agent.len() <= 200 && agent.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        let fits = plain && client::of_agent(&agent).is_none();
        if !fits {
            self.remark(
                Matter::Lost,
                "its user agent names another product's client, and has no home here: the client's own is passed on",
            );
        }
        fits.then_some(agent)
    }

    /// CRS connects directly if it cannot parse a proxy. Here such an account is imported inactive.
    fn proxy(&mut self) -> Option<Proxy> {
        let text = self.fields.text("proxy")?;
        if text == "{}" {
            return None;
        }
        let proxy = proxy(text);
        if proxy.is_none() {
            self.inactive("its proxy is not understood, and without one it would call directly");
        }
        proxy
    }

    fn subscription_end(&mut self) -> Option<Millis> {
        // For Gemini's API keys one form of CRS's console stores it under the other name.
        let other = (self.raw.kind == Kind::GeminiApi).then_some("expiresAt");
        let names = std::iter::once("subscriptionExpiresAt").chain(other);
        for name in names {
            match self.fields.moment(name) {
                Moment::At(at) => return Some(at),
                Moment::Unreadable => {
                    self.inactive("the moment at which its subscription ends cannot be read");
                }
                Moment::Absent => {}
            }
        }
        None
    }

    /// An object from requested names to upstream names, an array, or names separated by commas.
    fn models(&mut self) -> (Option<BTreeSet<String>>, BTreeMap<String, String>) {
        let Some(text) = self.fields.text("supportedModels") else {
            return (None, BTreeMap::new());
        };
        let (mut supported, mut mapping) = (BTreeSet::new(), BTreeMap::new());
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(pairs)) => {
                for (from, to) in pairs {
                    if let Some(to) = to.as_str().filter(|to| !to.is_empty() && *to != from) {
                        mapping.insert(from.clone(), to.to_owned());
                    }
                    supported.insert(from);
                }
            }
            Ok(Value::Array(names)) => {
                supported.extend(names.iter().filter_map(|name| Some(name.as_str()?.to_owned())));
            }
            Ok(_) => {}
            Err(_) if text.starts_with(['{', '[']) => {
                self.inactive("the list of models that it serves cannot be read");
            }
            Err(_) => supported.extend(text.split(',').map(|name| name.trim().to_owned())),
        }
        supported.retain(|name| !name.trim().is_empty());
        ((!supported.is_empty()).then_some(supported), mapping)
    }

    fn homeless(&mut self) {
        let fields = self.fields;
        let lost = [
            (
                fields.text("quotaResetTime").is_some_and(|time| time != "00:00")
                    && fields.usd("dailyQuota").0 > 0,
                "its daily quota begins anew at midnight here",
            ),
            (
                fields.flag("autoStopOnWarning"),
                "that it stops at a warning has no home: see reservePercent",
            ),
            (
                fields.count("maxConcurrency") > 0 && self.raw.kind == Kind::Claude,
                "that messages of users are sent one after another has no home here",
            ),
            (
                fields.flag("interceptWarmup"),
                "that it answers warm-up calls itself has no home here",
            ),
            (
                self.raw.kind == Kind::Azure && fields.text("supportedModels").is_none(),
                "which models are its deployment has no home here: name them (modelMapping)",
            ),
            (
                self.raw.kind == Kind::Bedrock && fields.text("defaultModel").is_some(),
                "its default model, which CRS uses for every call, has no home here: the requested model is used",
            ),
            (
                fields.flag("useUnifiedUserAgent") || fields.flag("useUnifiedClientId"),
                "that all clients look like one has no home here, on purpose",
            ),
        ];
        for (_, what) in lost.iter().filter(|(is, _)| *is) {
            self.remark(Matter::Lost, what);
        }
    }
}

/// The proxy in a JSON text, which some versions encoded twice.
pub fn proxy(text: &str) -> Option<Proxy> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    if let Value::String(inner) = &value {
        value = serde_json::from_str(inner).ok()?;
    }
    let part = |name: &str| match value.get(name) {
        Some(Value::String(text)) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    // The export for other programs calls it `protocol`.
    let scheme = match part("type")
        .or_else(|| part("protocol"))?
        .to_ascii_lowercase()
        .as_str()
    {
        "http" => ProxyScheme::Http,
        "https" => ProxyScheme::Https,
        "socks5" | "socks5h" => ProxyScheme::Socks5,
        _ => return None,
    };
    let host = part("host")?;
    let plain = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'));
    let port: u16 = part("port")?.parse().ok().filter(|port| *port > 0)?;
    plain.then(|| Proxy {
        scheme,
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        username: part("username"),
        password: part("password"),
    })
}

#[cfg(test)]
mod tests;
