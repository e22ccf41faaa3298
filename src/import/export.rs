//! CRS's export files: of its two scripts (versions 1.0 and 2.0), and of its address for other programs.
//!
//! A file is read element by element, so that its size does not matter. Keys come with what they used. Formats:
//! `{metadata, data: {apiKeys, claudeAccounts, geminiAccounts}}` of the scripts, `{success, data: {claudeAccounts,
//! claudeConsoleAccounts, openaiOAuthAccounts, openaiResponsesAccounts}}` of the address.

mod pull;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::Value;

use self::pull::Elements;
use super::cipher::Kind;
use super::fields::{Fields, usd};
use super::source::{
    Counts, Edition, KeptValue, RawAccount, RawKey, RawUsage, Source, SourceError, Survey, UsageRow,
};
use crate::model::calendar::{Day, Hour, Month};
use crate::store::ledger::Bucket;

/// Number of keys held at once.
const AT_ONCE: usize = 50;

/// The lists of accounts in a file.
const LISTS: [(&str, Kind); 5] = [
    ("claudeAccounts", Kind::Claude),
    ("geminiAccounts", Kind::Gemini),
    ("claudeConsoleAccounts", Kind::Console),
    ("openaiOAuthAccounts", Kind::OpenAi),
    ("openaiResponsesAccounts", Kind::Responses),
];

pub struct ExportFile {
    path: PathBuf,
    keys: Option<Elements>,
    edition: Edition,
}

impl ExportFile {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            keys: None,
            edition: Edition::Fork,
        }
    }

    fn elements(&self, list: &str) -> Result<Option<Elements>, SourceError> {
        Elements::open(&self.path, &["data", list]).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &std::io::Error) -> SourceError {
        SourceError::Unusable(format!("{} cannot be read: {error}", self.path.display()))
    }
}

#[async_trait]
impl Source for ExportFile {
    fn shown(&self) -> String {
        format!("file {}", self.path.display())
    }

    async fn survey(&mut self) -> Result<Survey, SourceError> {
        let mut survey = Survey::default();
        let mut lists = 0;
        for (list, kind) in LISTS {
            let Some(mut elements) = self.elements(list)? else {
                continue;
            };
            lists += 1;
            while let Some(element) = elements.next().map_err(|error| self.unreadable(&error))? {
                survey.accounts.extend(account(kind, &element));
            }
        }
        if let Some(mut keys) = self.elements("apiKeys")? {
            lists += 1;
            while let Some(element) = keys.next().map_err(|error| self.unreadable(&error))? {
                survey.keys += 1;
                let stats = element.get("usageStats");
                // Only later versions contain costs.
                if stats.is_some_and(|stats| stats.get("costTotal").is_some()) {
                    self.edition = Edition::Upstream;
                }
                if text(element.get("apiKey")).is_some_and(|key| key.contains("[REDACTED]")) {
                    return Err(SourceError::Unusable(
                        "the export is sanitised, its secrets are taken out: export again without --sanitize. Nothing was written"
                            .to_owned(),
                    ));
                }
            }
        }
        if lists == 0 {
            return Err(SourceError::Unusable(format!(
                "{} is not a JSON export of claude-relay-service (a CSV is for people, and holds no secrets)",
                self.path.display()
            )));
        }
        survey.edition = self.edition;
        self.keys = self.elements("apiKeys")?;
        Ok(survey)
    }

    async fn keys(&mut self) -> Result<Vec<RawKey>, SourceError> {
        let mut some = Vec::new();
        while some.len() < AT_ONCE {
            let next = match &mut self.keys {
                Some(keys) => keys.next(),
                None => Ok(None),
            };
            let Some(element) = next.map_err(|error| self.unreadable(&error))? else {
                self.keys = None;
                break;
            };
            some.extend(key(&element));
        }
        Ok(some)
    }

    /// Exports contain none.
    async fn account_usage(&mut self) -> Result<Vec<RawUsage>, SourceError> {
        Ok(Vec::new())
    }

    /// The file itself keeps it.
    async fn homeless(&mut self) -> Result<Vec<KeptValue>, SourceError> {
        Ok(Vec::new())
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    Some(match value? {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

/// An object as a hash of CRS: other values are written as text.
fn fields(element: &Value) -> Option<Fields> {
    let object = element.as_object()?;
    let texts = object
        .iter()
        .filter(|(name, _)| *name != "usageStats")
        .filter_map(|(name, value)| Some((name.clone(), text(Some(value))?)));
    Some(Fields(texts.collect()))
}

fn key(element: &Value) -> Option<RawKey> {
    let fields = fields(element)?;
    let id = fields.text("id")?.to_owned();
    let usage = element.get("usageStats").map(usage).unwrap_or_default();
    Some(RawKey {
        id,
        fields,
        usage,
        records: Vec::new(),
    })
}

fn account(kind: Kind, element: &Value) -> Option<RawAccount> {
    let fields = match element.get("credentials") {
        Some(credentials) => for_other_programs(kind, element, credentials)?,
        None => fields(element)?,
    };
    Some(RawAccount {
        kind,
        id: fields.text("id")?.to_owned(),
        fields,
    })
}

/// Converts an account of `/admin/sync/export-accounts`, which has other names and fewer fields.
fn for_other_programs(kind: Kind, element: &Value, credentials: &Value) -> Option<Fields> {
    let mut fields = fields(element)?;
    fields.0.remove("credentials");
    let names: &[(&str, &str)] = match kind {
        Kind::Console => &[
            ("api_key", "apiKey"),
            ("base_url", "apiUrl"),
            ("model_mapping", "supportedModels"),
        ],
        Kind::Responses => &[
            ("api_key", "apiKey"),
            ("base_url", "baseApi"),
            ("user_agent", "userAgent"),
        ],
        Kind::OpenAi => &[
            ("access_token", "accessToken"),
            ("refresh_token", "refreshToken"),
            ("expires_at", "expiresAt"),
            ("chatgpt_account_id", "accountId"),
        ],
        _ => &[
            ("access_token", "accessToken"),
            ("refresh_token", "refreshToken"),
            ("expires_at", "expiresAt"),
        ],
    };
    for (theirs, name) in names {
        if let Some(value) = text(credentials.get(theirs)) {
            fields.0.insert((*name).to_owned(), value);
        }
    }
    Some(fields)
}

/// `usageStats`: counters by time, in total, and by model; later versions have costs.
fn usage(stats: &Value) -> Vec<UsageRow> {
    let mut rows = Vec::new();
    let counts = |value: &Value| fields(value).map(|fields| Counts::of(&fields));
    let row = |bucket, model: Option<&str>, value: &Value| UsageRow {
        bucket,
        model: model.map(str::to_owned),
        counts: counts(value),
        cost: None,
    };
    if let Some(total) = stats.get("total") {
        rows.push(row(Bucket::All, None, total));
    }
    for (name, unit) in [
        ("daily", Unit::Day),
        ("monthly", Unit::Month),
        ("hourly", Unit::Hour),
    ] {
        rows.extend(spans(stats.get(name), unit).map(|(bucket, value)| row(bucket, None, value)));
    }
    for (model, value) in stats
        .get("models")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        for (name, unit) in [("daily", Unit::Day), ("monthly", Unit::Month)] {
            let some = spans(value.get(name), unit);
            rows.extend(some.map(|(bucket, value)| row(bucket, Some(model), value)));
        }
    }
    let cost = |bucket, value: &Value| {
        Some(UsageRow {
            bucket,
            model: None,
            counts: None,
            cost: Some(usd(&text(Some(value))?)),
        })
    };
    rows.extend(stats.get("costTotal").and_then(|value| cost(Bucket::All, value)));
    for (name, unit) in [
        ("costDaily", Unit::Day),
        ("costMonthly", Unit::Month),
        ("costHourly", Unit::Hour),
    ] {
        rows.extend(spans(stats.get(name), unit).filter_map(|(bucket, value)| cost(bucket, value)));
    }
    rows
}

#[derive(Clone, Copy)]
enum Unit {
    Hour,
    Day,
    Month,
}

fn spans(values: Option<&Value>, unit: Unit) -> impl Iterator<Item = (Bucket, &Value)> {
    let all = values.and_then(Value::as_object).into_iter().flatten();
    all.filter_map(move |(label, value)| {
        let bucket = match unit {
            Unit::Hour => Bucket::Hour(Hour::parse(label)?),
            Unit::Day => Bucket::Day(Day::parse(label)?),
            Unit::Month => Bucket::Month(Month::parse(label)?),
        };
        Some((bucket, value))
    })
}

#[cfg(test)]
mod tests;
