//! The read-only port to a CRS, from files or its Redis.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::cipher::Kind;
use super::fields::Fields;
use crate::model::money::MicroUsd;
use crate::model::usage::Tokens;
use crate::store::ledger::Bucket;

/// The line of CRS that wrote the data. They differ in what a weekly limit counts, in the names of weeks, and in
/// the behaviour if a bound account cannot serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edition {
    /// Versions up to 1.1.257, and exports, which do not name their version.
    #[default]
    Fork,
    /// Later versions, recognised by their index keys.
    Upstream,
}

/// The source cannot be read, or contains invalid data.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{0}")]
    Away(String),
    #[error("{0}")]
    Unusable(String),
}

#[derive(Clone, Debug)]
pub struct RawAccount {
    pub kind: Kind,
    pub id: String,
    /// For Bedrock, whose record is one JSON text, its fields as texts.
    pub fields: Fields,
}

#[derive(Clone, Debug)]
pub struct RawGroup {
    pub id: String,
    pub fields: Fields,
    /// Ids of accounts of any kind; some may no longer exist.
    pub members: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct RawKey {
    pub id: String,
    pub fields: Fields,
    pub usage: Vec<UsageRow>,
    /// Single calls, each a JSON text, newest first.
    pub records: Vec<String>,
}

/// An account's usage.
#[derive(Clone, Debug, Default)]
pub struct RawUsage {
    pub id: String,
    pub usage: Vec<UsageRow>,
}

/// One counter, or one amount.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRow {
    pub bucket: Bucket,
    pub model: Option<String>,
    pub counts: Option<Counts>,
    /// The cost charged by CRS.
    pub cost: Option<MicroUsd>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub tokens: Tokens,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.tokens += other.tokens;
    }
}

impl Counts {
    /// From the fields of a counter, in all their spellings.
    pub fn of(fields: &Fields) -> Self {
        let count = |name: &str| {
            let mut capital = name.to_owned();
            if let Some(first) = capital.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            let total = format!("total{capital}");
            let name = if fields.0.contains_key(&total) {
                &total
            } else {
                name
            };
            fields.count(name)
        };
        let written = count("cacheCreateTokens");
        let hour = count("ephemeral1hTokens").min(written);
        let mut tokens = Tokens {
            input: count("inputTokens"),
            output: count("outputTokens"),
            cache_write_5m: written - hour,
            cache_write_1h: hour,
            cache_read: count("cacheReadTokens"),
        };
        let all = fields.count("totalTokens").max(fields.count("tokens"));
        if tokens.input == 0 && tokens.output == 0 && all > 0 {
            // The oldest counters have only the sum, which CRS splits like this.
            tokens.input = all * 3 / 10;
            tokens.output = all - tokens.input;
        }
        Self {
            requests: count("requests"),
            tokens,
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Everything except client keys and usage, which are many.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub edition: Edition,
    pub accounts: Vec<RawAccount>,
    pub groups: Vec<RawGroup>,
    /// Users by their ids, and whether they are active.
    pub users: BTreeMap<String, bool>,
    /// JSON texts of settings, under their CRS names.
    pub oem: Option<String>,
    pub relay_config: Option<String>,
    /// Name of the administrator.
    pub admin: Option<String>,
    /// `apikey:hash_map`, as far as needed: decides between two keys with one hash.
    pub hash_map: BTreeMap<String, String>,
    /// Number of unsupported records by kind.
    pub homeless: BTreeMap<&'static str, u64>,
    /// Upper bound, for progress.
    pub keys: u64,
    /// Number of counters whose key or account no longer exists.
    pub orphans: u64,
    /// The latest hourly label, which shows CRS's time zone.
    pub latest_hour: Option<String>,
}

/// An unsupported value as it was found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct KeptValue {
    pub name: String,
    pub value: serde_json::Value,
}

/// A CRS to read from. The methods are called in this order, each until it returns nothing more.
#[async_trait]
pub trait Source: Send {
    /// The source's description, without secrets.
    fn shown(&self) -> String;

    async fn survey(&mut self) -> Result<Survey, SourceError>;

    /// The next client keys with their usage; empty at the end.
    async fn keys(&mut self) -> Result<Vec<RawKey>, SourceError>;

    /// The next accounts' usage; empty at the end.
    async fn account_usage(&mut self) -> Result<Vec<RawUsage>, SourceError>;

    /// Keys skipped so far, because their type is not the one that CRS writes.
    fn unreadable(&self) -> Vec<String> {
        Vec::new()
    }

    /// The next unsupported values; empty at the end.
    async fn homeless(&mut self) -> Result<Vec<KeptValue>, SourceError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_in_every_spelling() {
        let named = Fields::of([
            ("totalInputTokens", "10"),
            ("totalOutputTokens", "5"),
            ("totalCacheCreateTokens", "7"),
            ("totalEphemeral1hTokens", "3"),
            ("totalCacheReadTokens", "2"),
            ("totalRequests", "4"),
            ("totalTokens", "15"),
        ]);
        let tokens = Tokens {
            input: 10,
            output: 5,
            cache_write_5m: 4,
            cache_write_1h: 3,
            cache_read: 2,
        };
        assert_eq!(Counts::of(&named), Counts { requests: 4, tokens });
        let plain = Fields::of([
            ("inputTokens", "10"),
            ("outputTokens", "5"),
            ("cacheCreateTokens", "7"),
            ("ephemeral1hTokens", "3"),
            ("cacheReadTokens", "2"),
            ("requests", "4"),
        ]);
        assert_eq!(Counts::of(&plain), Counts { requests: 4, tokens });
    }

    #[test]
    fn a_sum_alone_is_divided_as_crs_shows_it() {
        let counts = Counts::of(&Fields::of([("totalTokens", "101"), ("totalRequests", "2")]));
        assert_eq!(
            (counts.tokens.input, counts.tokens.output, counts.requests),
            (30, 71, 2)
        );
        assert!(Counts::of(&Fields::default()).is_empty());
    }
}
