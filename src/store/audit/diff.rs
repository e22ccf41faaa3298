//! Compares two texts of a record. Only the values of fields listed here are shown, so a new field stays hidden
//! until it is added to a list.

use crs_durable::gate::MoneyLimit;
use serde_json::{Map, Value, json};

use super::super::keys::{ACCOUNT_GROUPS, ACCOUNTS, ADMIN, API_KEYS, OEM_SETTINGS, PRICES, ROUTES};
use super::FieldChange;
use crate::model::time::iso;

/// Maximum length of a stored value, characters.
const LONGEST: usize = 300;

/// Fields that are not worth an entry.
const SILENT: [&str; 8] = [
    "id",
    "version",
    "createdAt",
    "updatedAt",
    "credentialVersion",
    "epoch",
    "fromUsername",
    "fromPassword",
];
/// Amounts in micro-USD that are shown in USD, in addition to the keys' money limits.
const AMOUNTS: [&str; 2] = ["rateLimitCost", "dailyQuota"];
/// Times in milliseconds that are shown as ISO 8601.
const MOMENTS: [&str; 4] = ["expiresAt", "activatedAt", "deletedAt", "subscriptionExpiresAt"];

/// Shown fields in addition to the money limits.
const KEY: &[&str] = &[
    "name",
    "description",
    "isActive",
    "expiresAt",
    "concurrencyLimit",
    "permissions",
    "enableModelRestriction",
    "restrictedModels",
    "modelRestrictionMode",
    "enableClientRestriction",
    "allowedClients",
    "concurrencyQueueSize",
    "concurrencyQueueTimeout",
    "expirationMode",
    "activationDays",
    "activationUnit",
    "activatedAt",
    "rateLimitWindow",
    "rateLimitRequests",
    "rateLimitCost",
    "tokenLimit",
    "weeklyResetDay",
    "weeklyResetHour",
    "bindings",
    "bindingFallback",
    "routes",
    "tags",
    "deletedAt",
    "allowTrace",
    "shown",
];
const ACCOUNT: &[&str] = &[
    "name",
    "description",
    "platform",
    "priority",
    "maxConcurrency",
    "isActive",
    "schedulable",
    "proxyShown",
    "modelMapping",
    "groups",
    "shared",
    "supportedModels",
    "subscriptionExpiresAt",
    "dailyQuota",
    "reservePercent",
    "keyHeader",
    "userAgent",
    "chatOnly",
    "apiVersion",
];
const GROUP: &[&str] = &["name", "description", "platform"];
const SITE: &[&str] = &["siteName", "siteIcon", "showAdminButton"];
const LOGIN: &[&str] = &["username"];

/// A kind of record that admins change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Account,
    Group,
    Prices,
    Routes,
    Site,
    Admin,
}

impl Kind {
    pub(super) fn of(key: &str) -> Option<Self> {
        Some(match key {
            API_KEYS => Self::Key,
            ACCOUNTS => Self::Account,
            ACCOUNT_GROUPS => Self::Group,
            PRICES => Self::Prices,
            ROUTES => Self::Routes,
            OEM_SETTINGS => Self::Site,
            ADMIN => Self::Admin,
            _ => return None,
        })
    }

    pub(super) fn subject(self, field: Option<&str>) -> String {
        let kind = match self {
            Self::Key => "key",
            Self::Account => "account",
            Self::Group => "group",
            Self::Prices => "prices",
            Self::Routes => "routes",
            Self::Site => "site",
            Self::Admin => "admin",
        };
        field.map_or_else(|| kind.to_owned(), |id| format!("{kind}:{id}"))
    }

    fn shows(self, field: &str) -> bool {
        match self {
            Self::Key => KEY.contains(&field) || is_money_limit(field),
            Self::Account => ACCOUNT.contains(&field),
            Self::Group => GROUP.contains(&field),
            Self::Site => SITE.contains(&field),
            Self::Admin => LOGIN.contains(&field),
            Self::Prices => true,
            Self::Routes => field == "routes",
        }
    }
}

fn is_money_limit(field: &str) -> bool {
    MoneyLimit::find(field, |row| row.field).is_some()
}

fn is_amount(field: &str) -> bool {
    AMOUNTS.contains(&field) || is_money_limit(field)
}

/// A change of one record, as the audit log shows it.
#[derive(Debug, PartialEq)]
pub(super) struct RecordChange {
    pub(super) action: &'static str,
    pub(super) name: String,
    pub(super) changes: Vec<FieldChange>,
}

/// Compares two texts of a record; `None` if it does not exist.
pub(super) fn compare(kind: Kind, before: Option<&[u8]>, after: Option<&[u8]>) -> RecordChange {
    let (old, new) = (fields(kind, before), fields(kind, after));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let changes: Vec<FieldChange> = names
        .into_iter()
        .filter(|name| kind == Kind::Prices || !SILENT.contains(&name.as_str()))
        .filter_map(|name| {
            let (from, to) = (old.get(name), new.get(name));
            let (from, to) = (from.unwrap_or(&Value::Null), to.unwrap_or(&Value::Null));
            if from == to {
                return None;
            }
            let shows = kind.shows(name);
            let value = |value: &Value| {
                if shows {
                    shown(kind, name, value)
                } else {
                    Value::Null
                }
            };
            Some(FieldChange {
                field: cut(name),
                from: value(from),
                to: value(to),
                secret: !shows,
            })
        })
        .collect();
    let named = if kind == Kind::Admin { "username" } else { "name" };
    let name = |map: &Map<String, Value>| map.get(named).and_then(Value::as_str).map(cut);
    let name = match kind {
        Kind::Prices | Kind::Routes | Kind::Site => None,
        _ => name(&new).or_else(|| name(&old)),
    };
    RecordChange {
        action: action(kind, before.is_some(), after.is_some(), &changes),
        name: name.unwrap_or_default(),
        changes,
    }
}

fn action(kind: Kind, was: bool, is: bool, changes: &[FieldChange]) -> &'static str {
    let changed = |field: &str| changes.iter().find(|change| change.field == field);
    match (kind, was, is) {
        (Kind::Key, false, _) => "key.create",
        (Kind::Key, _, false) => "key.purge",
        (Kind::Key, ..) => match changed("deletedAt") {
            Some(change) if change.from.is_null() => "key.delete",
            Some(_) => "key.restore",
            None if changed("hash").is_some() => "key.rotate",
            None => "key.update",
        },
        (Kind::Account, false, _) => "account.create",
        (Kind::Account, _, false) => "account.delete",
        (Kind::Account, ..) => "account.update",
        (Kind::Group, false, _) => "group.create",
        (Kind::Group, _, false) => "group.delete",
        (Kind::Group, ..) => "group.update",
        (Kind::Prices, ..) => "prices.update",
        (Kind::Routes, ..) => "routes.update",
        (Kind::Site, ..) => "site.update",
        (Kind::Admin, false, _) => "admin.create",
        (Kind::Admin, ..) if changed("password").is_some() => "admin.change_password",
        (Kind::Admin, ..) if changed("username").is_some() => "admin.update",
        (Kind::Admin, ..) => "admin.logout_everywhere",
    }
}

/// The fields of a record; for prices, the models. Empty for an unreadable record.
fn fields(kind: Kind, text: Option<&[u8]>) -> Map<String, Value> {
    let record = text.and_then(|text| serde_json::from_slice(text).ok());
    match record {
        Some(Value::Object(mut map)) if kind == Kind::Prices => match map.remove("overrides") {
            Some(Value::Object(models)) => models,
            _ => Map::new(),
        },
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn shown(kind: Kind, field: &str, value: &Value) -> Value {
    match value {
        Value::Number(number) if kind != Kind::Prices && is_amount(field) => number
            .as_f64()
            .map_or(Value::Null, |micro| json!(micro / 1_000_000.0)),
        Value::Number(number) if kind != Kind::Prices && MOMENTS.contains(&field) => {
            number.as_u64().map_or(Value::Null, |at| Value::String(iso(at)))
        }
        Value::String(text) => Value::String(cut(text)),
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            if text.chars().count() > LONGEST {
                Value::String(cut(&text))
            } else {
                value.clone()
            }
        }
        plain => plain.clone(),
    }
}

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(LONGEST).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}
