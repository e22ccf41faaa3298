//! Converts a CRS client key to ours.

use std::collections::{BTreeMap, BTreeSet};

use crs_durable::gate::{ModelMode, MoneyLimit, Service};

use super::fields::{Fields, Moment, line};
use super::report::{Matter, Remarks};
use super::source::{Edition, RawKey};
use crate::model::account::Platform;
use crate::model::key::{ActivationUnit, ExpirationMode, GROUP, Key};
use crate::model::money::MicroUsd;
use crate::model::secret::Secret;
use crate::port::clock::Millis;
use crate::port::gates::KeyHash;
use crate::secrets::old_hash;

/// Clients that CRS and this relay name the same. CRS's fourth, `droid_cli`, is not supported.
const CLIENTS: [&str; 3] = ["claude_code", "gemini_cli", "codex_cli"];

/// Settings of the CRS needed to convert its keys.
#[derive(Debug, Default)]
pub struct Context {
    pub edition: Edition,
    pub now: Millis,
    /// Imported accounts by id.
    pub accounts: BTreeMap<String, Platform>,
    /// Imported groups by id; one of CRS may become several here.
    pub groups: BTreeMap<String, BTreeMap<Platform, String>>,
    pub users: BTreeMap<String, bool>,
    /// Whether a Claude key uses the pool if its account cannot serve.
    pub claude_fallback: bool,
    pub queue: Option<Queue>,
    /// Every Claude call must come from Claude Code.
    pub claude_code_only: bool,
    /// The prefix of its keys.
    pub prefix: String,
}

/// CRS's queue for keys with a concurrency limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    pub size: u64,
    pub multiplier: f64,
    pub timeout_ms: u64,
}

impl Queue {
    /// From `claude_relay_config`, if it is enabled.
    pub fn of(config: &serde_json::Value) -> Option<Self> {
        if config.get("concurrentRequestQueueEnabled")?.as_bool() != Some(true) {
            return None;
        }
        let number = |name: &str, default: f64| {
            config
                .get(name)
                .and_then(serde_json::Value::as_f64)
                .unwrap_or(default)
        };
        Some(Self {
            size: number("concurrentRequestQueueMaxSize", 3.0).max(0.0) as u64,
            multiplier: number("concurrentRequestQueueMaxSizeMultiplier", 0.0).max(0.0),
            timeout_ms: (number("concurrentRequestQueueTimeoutMs", 10_000.0).max(0.0) as u64).min(300_000),
        })
    }

    fn places(self, limit: u32) -> u32 {
        let by_limit = (f64::from(limit) * self.multiplier).floor() as u64;
        u32::try_from(by_limit.max(self.size))
            .unwrap_or(u32::MAX)
            .min(10_000)
    }
}

/// Converts a key; the error says why it cannot be imported.
pub fn key(
    raw: &RawKey,
    context: &Context,
    pepper: &Secret,
    remarks: &mut Remarks,
) -> Result<Key, &'static str> {
    let fields = &raw.fields;
    let hash = hash(fields, pepper)?;
    let mut reading = Reading {
        fields,
        context,
        name: name(fields, &raw.id),
        inactive: None,
        remarks,
    };
    let key = reading.key(&raw.id, &hash);
    if let Some(why) = reading.inactive {
        let who = reading.name.clone();
        reading.remarks.add(Matter::Inactive, why, &who);
    }
    Ok(key)
}

/// CRS's record of the secret: a hash, or in old versions the key itself.
fn hash(fields: &Fields, pepper: &Secret) -> Result<KeyHash, &'static str> {
    let stored = fields.text("apiKey").ok_or("nothing of its secret is there")?;
    if stored.contains("[REDACTED]") || stored.contains("...") {
        return Err("its secret was taken out of the export: export again without --sanitize");
    }
    if let Some(hash) = KeyHash::from_hex(&stored.to_ascii_lowercase()) {
        return Ok(hash);
    }
    if (10..=512).contains(&stored.len()) {
        return Ok(old_hash(stored, pepper.reveal()));
    }
    Err("its secret is neither a hash nor a key")
}

fn name(fields: &Fields, id: &str) -> String {
    let (name, _) = line(fields.text("name").unwrap_or_default(), 100);
    if name.is_empty() {
        let short: String = id.chars().take(8).collect();
        format!("key {short}")
    } else {
        name
    }
}

struct Reading<'a> {
    fields: &'a Fields,
    context: &'a Context,
    name: String,
    /// Why it is imported inactive: the first reason.
    inactive: Option<String>,
    remarks: &'a mut Remarks,
}

impl Reading<'_> {
    fn key(&mut self, id: &str, hash: &KeyHash) -> Key {
        let (fields, now) = (self.fields, self.context.now);
        let deleted = fields.flag("isDeleted");
        let mut key = Key {
            id: id.to_owned(),
            name: self.name.clone(),
            description: self.description(),
            hash: hash.hex(),
            // The rest is only known to its owner.
            shown: format!("{}…", self.context.prefix),
            version: 1,
            // For deleted keys CRS does not keep whether they were active.
            is_active: fields.flag("isActive") || deleted,
            concurrency_limit: u32::try_from(fields.count("concurrencyLimit")).unwrap_or(u32::MAX),
            tags: self.tags(),
            created_at: fields.at("createdAt").unwrap_or(now),
            updated_at: fields
                .at("updatedAt")
                .or_else(|| fields.at("createdAt"))
                .unwrap_or(now),
            deleted_at: deleted.then(|| {
                fields
                    .at("deletedAt")
                    .or_else(|| fields.at("updatedAt"))
                    .unwrap_or(1)
            }),
            weekly_reset_day: 1,
            ..Key::default()
        };
        if let Some(queue) = self.context.queue.filter(|_| key.concurrency_limit > 0) {
            key.concurrency_queue_size = queue.places(key.concurrency_limit);
            key.concurrency_queue_timeout = queue.timeout_ms;
        }
        self.permissions(&mut key);
        self.limits(&mut key);
        self.expiry(&mut key);
        self.restrictions(&mut key);
        self.bindings(&mut key);
        self.owner();
        self.homeless();
        if self.inactive.is_some() {
            key.is_active = false;
        }
        key
    }

    fn inactive(&mut self, why: impl Into<String>) {
        self.inactive.get_or_insert_with(|| why.into());
    }

    fn remark(&mut self, matter: Matter, what: &str) {
        self.remarks.add(matter, what, &self.name);
    }

    fn description(&mut self) -> String {
        let text = self.fields.text("description").unwrap_or_default();
        let cut: String = text
            .chars()
            .filter(|c| *c == '\n' || !c.is_control())
            .take(500)
            .collect();
        if cut.len() < text.len() {
            self.remark(Matter::Changed, "the description was cut to 500 characters");
        }
        let (_, changed) = line(self.fields.text("name").unwrap_or_default(), 100);
        if changed {
            self.remark(Matter::Changed, "the name was cut to one line of 100 characters");
        }
        cut
    }

    fn tags(&mut self) -> Vec<String> {
        let all = self.fields.list("tags");
        let mut tags = BTreeSet::new();
        let mut kept = Vec::new();
        for tag in &all {
            let (tag, _) = line(tag, 50);
            if !tag.is_empty() && kept.len() < 50 && tags.insert(tag.clone()) {
                kept.push(tag);
            }
        }
        if kept != all {
            self.remark(Matter::Changed, "tags were cut to 50 of 50 characters");
        }
        kept
    }

    /// An empty list means everything, as in CRS.
    fn permissions(&mut self, key: &mut Key) {
        let text = self.fields.text("permissions").unwrap_or_default();
        let named = self.fields.list("permissions");
        let named: Vec<&str> = if named.is_empty() && !text.starts_with('[') {
            // A bare word, or words separated by commas, as written by an update of the fork that could not read
            // it back.
            if text.contains(',') && self.context.edition == Edition::Fork {
                self.inactive("its permissions stand in a form for which CRS refuses every call: look at them and activate it");
            }
            text.split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .collect()
        } else {
            named.iter().map(|word| word.trim()).collect()
        };
        if named.is_empty() || named.contains(&"all") {
            return;
        }
        let service = |word: &&str| match *word {
            "claude" => Some(Service::Claude),
            "gemini" => Some(Service::Gemini),
            "openai" => Some(Service::OpenAi),
            _ => None,
        };
        let known: BTreeSet<Service> = named.iter().filter_map(service).collect();
        if known.is_empty() {
            self.inactive("it is permitted only what this relay does not have (droid), and no permission would mean everything");
        } else if known.len() < named.len() {
            self.remark(Matter::Lost, "the permission for droid has no home here");
        }
        key.permissions = known.into_iter().collect();
    }

    fn limits(&mut self, key: &mut Key) {
        let fields = self.fields;
        key.rate_limit_window = fields.count("rateLimitWindow").min(1_000_000);
        if key.rate_limit_window > 0 {
            key.rate_limit_requests = fields.count("rateLimitRequests");
            key.token_limit = fields.count("tokenLimit");
            // CRS checks a window's cost only if there is no token limit.
            if key.token_limit == 0 {
                key.rate_limit_cost = fields.usd("rateLimitCost");
            }
        }
        key.money[MoneyLimit::Day] = fields.usd("dailyCostLimit");
        key.money[MoneyLimit::Total] = fields.usd("totalCostLimit");
        let weekly = fields.usd("weeklyOpusCostLimit");
        if self.context.edition == Edition::Upstream {
            key.money[MoneyLimit::Week] = weekly;
            let day = fields.count("weeklyResetDay");
            key.weekly_reset_day = if (1..=7).contains(&day) { day as u8 } else { 1 };
            key.weekly_reset_hour = fields.count("weeklyResetHour").min(23) as u8;
            if weekly > MicroUsd::ZERO && key.permissions != [Service::Claude] {
                self.remark(
                    Matter::Stricter,
                    "the weekly limit counts every model here; in CRS it counts Claude's models only",
                );
            }
        } else {
            key.money[MoneyLimit::WeekOpus] = weekly;
        }
    }

    fn expiry(&mut self, key: &mut Key) {
        let fields = self.fields;
        let expires = fields.moment("expiresAt");
        if expires == Moment::Unreadable {
            self.inactive("the moment at which it expires cannot be read");
        }
        let unit = if fields.text("activationUnit") == Some("hours") {
            ActivationUnit::Hours
        } else {
            ActivationUnit::Days
        };
        let days = match fields.count("activationDays") {
            0 => 30,
            days => u32::try_from(days).unwrap_or(u32::MAX),
        };
        let by_use = fields.text("expirationMode") == Some("activation");
        match (by_use, expires) {
            // Also with activation: once used, and maybe extended since, it expires at a fixed time.
            (_, Moment::At(at)) => key.expires_at = Some(at),
            (false, _) => {}
            (true, _) => {
                key.expiration_mode = ExpirationMode::Activation;
                key.activation_days = days;
                key.activation_unit = unit;
                if fields.flag("isActivated") {
                    key.activated_at = fields.at("activatedAt");
                    if key.activated_at.is_none() {
                        self.inactive("it was used first at a moment that cannot be read");
                    }
                }
            }
        }
    }

    fn restrictions(&mut self, key: &mut Key) {
        let fields = self.fields;
        let models = fields.list("restrictedModels");
        if fields.flag("enableModelRestriction") {
            if models.is_empty() && fields.text("restrictedModels").is_some_and(|text| text != "[]") {
                self.inactive("the list of models that it may not use cannot be read");
            }
            key.enable_model_restriction = !models.is_empty();
            key.model_restriction_mode = ModelMode::Deny;
        }
        key.restricted_models = models
            .into_iter()
            .filter(|model| !model.trim().is_empty())
            .collect();
        if fields.flag("enableClientRestriction") {
            let clients = fields.list("allowedClients");
            let known: Vec<String> = clients
                .iter()
                .filter(|client| CLIENTS.contains(&client.as_str()))
                .cloned()
                .collect();
            if clients.is_empty() {
                // CRS allows everybody, this relay nobody. An unreadable list is another case.
                if fields.text("allowedClients").is_some_and(|text| text != "[]") {
                    self.inactive("the list of clients that may use it cannot be read");
                }
            } else if known.is_empty() {
                self.inactive("it may be used only with clients that this relay does not know");
            } else {
                key.enable_client_restriction = true;
                key.allowed_clients = known;
            }
        }
        if self.context.claude_code_only && Self::may(key, Service::Claude) {
            self.claude_code_only(key);
        }
    }

    /// CRS can restrict Claude calls to Claude Code; here a restriction applies to all calls of a key.
    fn claude_code_only(&mut self, key: &mut Key) {
        let [claude_code, ..] = CLIENTS;
        if key.enable_client_restriction && !key.allowed_clients.iter().any(|client| client == claude_code) {
            return;
        }
        if key.permissions != [Service::Claude] {
            self.remark(
                Matter::Stricter,
                "only Claude Code may use it: CRS demands that of Claude calls, and here a client restriction is of all calls",
            );
        }
        key.enable_client_restriction = true;
        key.allowed_clients = vec![claude_code.to_owned()];
    }

    fn may(key: &Key, service: Service) -> bool {
        key.permissions.is_empty() || key.permissions.contains(&service)
    }

    fn bindings(&mut self, key: &mut Key) {
        let fields = self.fields;
        let mut falls_back = true;
        // CRS uses the first of these.
        let claude = ["claudeAccountId", "claudeConsoleAccountId", "bedrockAccountId"];
        let mut claude = claude.iter().filter_map(|field| fields.text(field));
        if let Some(bound) = claude.next() {
            falls_back &= self.bind(key, &[Platform::Claude], bound) && self.context.claude_fallback;
            if claude.next().is_some() {
                self.remark(
                    Matter::Lost,
                    "a second binding for Claude was never used, and is left out",
                );
            }
        }
        if let Some(bound) = fields.text("geminiAccountId") {
            let bound = bound.strip_prefix("api:").unwrap_or(bound);
            falls_back &= self.bind(key, &[Platform::Gemini, Platform::Antigravity], bound);
        }
        if let Some(bound) = fields.text("openaiAccountId") {
            let bound = bound.strip_prefix("responses:").unwrap_or(bound);
            self.bind(key, &[Platform::OpenAi], bound);
            falls_back = false;
        }
        if fields.text("droidAccountId").is_some() {
            self.remark(Matter::Lost, "the binding to a droid account has no home here");
        }
        // There is one switch for all bindings: if one of them must not use the pool, none may.
        key.binding_fallback = falls_back && !key.bindings.is_empty();
    }

    /// Binds the key; returns whether CRS uses the pool if the account cannot serve.
    fn bind(&mut self, key: &mut Key, platforms: &[Platform], bound: &str) -> bool {
        if let Some(group) = bound.strip_prefix(GROUP) {
            let here = self.context.groups.get(group);
            let parts = here.into_iter().flatten();
            let parts: Vec<_> = parts
                .filter(|(platform, _)| platforms.contains(platform))
                .collect();
            if parts.is_empty() {
                self.inactive(
                    "it is bound to a group that is not here; without it, it would use every account",
                );
            }
            for (platform, id) in parts {
                key.bindings.insert(*platform, format!("{GROUP}{id}"));
            }
            return false;
        }
        match self.context.accounts.get(bound) {
            Some(platform) if platforms.contains(platform) => {
                key.bindings.insert(*platform, bound.to_owned());
            }
            _ => self.inactive(
                "it is bound to an account that is not here; without it, it would use every account",
            ),
        }
        true
    }

    fn owner(&mut self) {
        let Some(user) = self.fields.text("userId") else {
            return;
        };
        match self.context.users.get(user) {
            Some(true) => self.remark(Matter::Lost, "that it belongs to a user has no home here"),
            _ => self.inactive("its user is inactive or gone, and CRS refuses it for that"),
        }
    }

    /// Unsupported settings that limit nothing.
    fn homeless(&mut self) {
        let fields = self.fields;
        if fields.text("icon").is_some() {
            self.remark(Matter::Lost, "the icon has no home here");
        }
        if fields.text("serviceRates").is_some_and(|rates| rates != "{}") {
            self.remark(
                Matter::Lost,
                "its own price factors have no home here: calls are charged by the price table",
            );
        }
        if fields.flag("enableOpenAIResponsesPayloadRules") {
            self.inactive("rules that change its requests have no home here");
        }
    }
}

#[cfg(test)]
mod tests;
