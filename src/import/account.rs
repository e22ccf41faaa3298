//! An account of CRS as one of ours, with its secrets opened.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::cipher::{Ciphers, Kind, Unopened};
use super::fields::{Fields, Moment, line};
use super::report::{Matter, Remarks};
use super::source::RawAccount;
use crate::config;
use crate::model::account::live::Credentials;
use crate::model::account::{Platform, Proxy, ProxyScheme};
use crate::model::money::MicroUsd;
use crate::model::secret::Secret;
use crate::port::clock::Millis;

/// An account as it will be stored, but with its secrets in the clear.
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
}

impl OpenAccount {
    /// Whether its tokens are refreshed at all.
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

/// Reads an account; the text says why it cannot be imported.
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
        let proxy = self.proxy();
        let (supported_models, model_mapping) = self.models();
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

    /// Its own machinery switches a Console account off altogether for a while.
    fn is_active(&self) -> bool {
        let fields = self.fields;
        let by_itself = ["rateLimitAutoStopped", "blockedAutoStopped", "quotaAutoStopped"];
        fields.flag("isActive")
            || (self.raw.kind == Kind::Console && by_itself.iter().any(|mark| fields.flag(mark)))
    }

    /// Whether `schedulable` is false because CRS made it so, and not the operator.
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

    fn open(&self, field: &str) -> Result<Option<Secret>, Unopened> {
        let text = self.fields.0.get(field).map(String::as_str).unwrap_or_default();
        self.ciphers.open(self.raw.kind, text)
    }

    /// A secret of the account, from its own field, or else from the login as it was at first.
    fn token(
        &self,
        field: &str,
        login: Option<&Value>,
        within: &str,
    ) -> Result<Option<Secret>, &'static str> {
        match self.open(field) {
            Ok(Some(secret)) => Ok(Some(secret)),
            opened => {
                let first = login
                    .and_then(|login| login.get(within)?.as_str())
                    .filter(|text| !text.is_empty());
                match (first, opened) {
                    (Some(text), _) => Ok(Some(Secret::new(text))),
                    (None, Ok(_)) => Ok(None),
                    (None, Err(_)) => Err("a secret cannot be opened with this ENCRYPTION_KEY"),
                }
            }
        }
    }

    fn login(&self, field: &str) -> Option<Value> {
        // An export holds it opened, as an object.
        let secret = self.open(field).ok().flatten()?;
        serde_json::from_str(secret.reveal()).ok()
    }

    fn credentials(&mut self) -> Result<(Platform, Credentials), &'static str> {
        let fields = self.fields;
        let base = |field: &str| fields.text(field).map(str::to_owned);
        match self.raw.kind {
            Kind::Claude => {
                let login = self.login("claudeAiOauth");
                let ends = fields
                    .at("expiresAt")
                    .or_else(|| login.as_ref()?.get("expiresAt")?.as_u64());
                let names = ("accessToken", "refreshToken");
                Ok((Platform::Claude, self.oauth(login.as_ref(), names, ends, None)?))
            }
            Kind::Gemini => {
                let login = self.login("geminiOauth");
                let ends = login
                    .as_ref()
                    .and_then(|login| login.get("expiry_date")?.as_u64());
                let ends = ends.or_else(|| fields.at("expiresAt"));
                let project = fields.text("projectId").or_else(|| fields.text("tempProjectId"));
                let names = ("access_token", "refresh_token");
                let platform = if fields.text("oauthProvider") == Some("antigravity") {
                    Platform::Antigravity
                } else {
                    Platform::Gemini
                };
                Ok((platform, self.oauth(login.as_ref(), names, ends, project)?))
            }
            Kind::OpenAi => {
                let login = self.login("openaiOauth");
                let names = ("accessToken", "refreshToken");
                let mut credentials = self.oauth(
                    login.as_ref(),
                    names,
                    fields.at("expiresAt"),
                    fields.text("accountId"),
                )?;
                // CRS guesses a year where it was not told; the token itself knows.
                if let Credentials::OAuth {
                    access_token,
                    expires_at,
                    ..
                } = &mut credentials
                    && let Some(end) = jwt_end(access_token.reveal())
                {
                    *expires_at = Some(end);
                }
                Ok((Platform::OpenAi, credentials))
            }
            Kind::Console => self.api_key(Platform::Claude, base("apiUrl")),
            Kind::GeminiApi => {
                let url = base("baseUrl").map(|url| url.trim_end_matches('/').to_owned());
                if let Some(url) = &url
                    && (url.ends_with("/models") || url.contains('{'))
                {
                    return Err("its address is a template, which has no home here");
                }
                let url = url.map(|url| url.strip_suffix("/v1beta").unwrap_or(&url).to_owned());
                let own = |url: &String| url == "https://generativelanguage.googleapis.com";
                self.api_key(Platform::Gemini, url.filter(|url| !own(url)))
            }
            Kind::Responses => self.api_key(Platform::OpenAi, base("baseApi")),
            Kind::Ccr => {
                Err("CCR accounts serve only models named `ccr,...`, which this relay does not have")
            }
            Kind::Azure => Err("Azure OpenAI has no platform here"),
            Kind::Droid => Err("droid has no platform here"),
            Kind::Bedrock => Err("Bedrock has no platform here"),
        }
    }

    fn oauth(
        &self,
        login: Option<&Value>,
        (access, refresh): (&str, &str),
        expires_at: Option<Millis>,
        tenant: Option<&str>,
    ) -> Result<Credentials, &'static str> {
        let access_token = self
            .token("accessToken", login, access)?
            .ok_or("it has no access token yet: sign in again here")?;
        Ok(Credentials::OAuth {
            access_token,
            refresh_token: self.token("refreshToken", login, refresh)?,
            expires_at,
            tenant: tenant.map(str::to_owned),
        })
    }

    fn api_key(
        &mut self,
        platform: Platform,
        base_url: Option<String>,
    ) -> Result<(Platform, Credentials), &'static str> {
        let api_key = self.token("apiKey", None, "")?.ok_or("it has no API key")?;
        let base_url = match base_url {
            None => None,
            Some(text) => {
                let base = config::base_url(text.trim()).filter(|base| base.len() <= 500);
                let base = base.ok_or("its address is none, or holds a query, a user or a password")?;
                Some(base.strip_suffix("/v1/messages").unwrap_or(&base).to_owned())
            }
        };
        if self.raw.kind == Kind::Console && !api_key.reveal().starts_with("sk-ant-") {
            self.remark(
                Matter::Note,
                "its key is sent as x-api-key here; CRS sent it as a bearer token: test the account",
            );
        }
        Ok((platform, Credentials::ApiKey { api_key, base_url }))
    }

    /// CRS calls directly where it does not understand a proxy. Here such an account calls nobody.
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
        // Of API keys for Gemini one form stores it by the other name.
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

    /// An object from requested names to upstream names, an array, or names with commas.
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
                fields.flag("useUnifiedUserAgent") || fields.flag("useUnifiedClientId"),
                "that all clients look like one has no home here, on purpose",
            ),
            (
                self.raw.kind == Kind::Responses && fields.text("userAgent").is_some(),
                "its own user agent has no home here: the client's is passed on",
            ),
        ];
        for (_, what) in lost.iter().filter(|(is, _)| *is) {
            self.remark(Matter::Lost, what);
        }
    }
}

/// The proxy in a text of JSON, which some versions wrote as JSON within JSON.
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

/// When a token of OpenAI ends, by its own word.
fn jwt_end(token: &str) -> Option<Millis> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("exp")?.as_u64()?.checked_mul(1_000)
}

#[cfg(test)]
mod tests;
