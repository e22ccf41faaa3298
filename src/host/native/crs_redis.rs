//! Reads a running CRS from its Redis, and changes nothing there.
//!
//! Only the commands of [`ReadCommand`] can be sent. The database is scanned once, in small steps, and the findings are kept
//! as small numbers: a million counters take some tens of megabytes. Then the records are read in pipelines of some
//! hundreds. A key of an unexpected type (an index that shares the prefix, a change in progress) causes an error of
//! its own; it is skipped and reported. Every other error ends the run.

mod index;
mod names;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use redis::Value;

use self::index::{Index, Of, UsageKey};
use self::names::Form;
use self::wire::{Line, ReadCommand, entries, members, text};
use crate::import::fields::{Fields, usd};
use crate::import::source::{
    Counts, Edition, KeptValue, RawAccount, RawGroup, RawKey, RawUsage, Source, SourceError, Survey, UsageRow,
};

/// Number of keys or accounts whose usage is read at once, and of their counters: a key that was used for years has
/// thousands.
const AT_ONCE: usize = 50;
const COUNTERS: usize = 5_000;

/// Number of records of single calls of a key; CRS keeps no more.
const RECORDS: &str = "199";

pub struct CrsRedis {
    line: Line,
    shown: String,
    index: Index,
    next_key: usize,
    next_account: usize,
    next_homeless: usize,
}

impl CrsRedis {
    /// `url`: in the format of our own Redis, see `store::tcp`. Does not connect yet. `shown`: its address without
    /// the password.
    pub fn new(url: &str, shown: String) -> Result<Self, SourceError> {
        Ok(Self {
            line: Line::new(url)?,
            shown,
            index: Index::default(),
            next_key: 0,
            next_account: 0,
            next_homeless: 0,
        })
    }

    async fn walk(&mut self) -> Result<(), SourceError> {
        let mut index = Index::default();
        let mut cursor = "0".to_owned();
        loop {
            let answer = self.line.one(ReadCommand::Scan(cursor)).await?;
            let (next, names) = wire::scanned(answer)?;
            for name in &names {
                index.add(name);
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        index.finish();
        self.index = index;
        self.next_key = 0;
        self.next_account = 0;
        self.next_homeless = 0;
        Ok(())
    }

    /// `apikey:hash_map` without dangling entries.
    async fn hash_map(&mut self) -> Result<BTreeMap<String, String>, SourceError> {
        let mut map = BTreeMap::new();
        let ids: BTreeSet<String> = self
            .index
            .keys
            .iter()
            .map(|id| self.index.owner(*id).to_owned())
            .collect();
        let mut cursor = "0".to_owned();
        loop {
            let answer = self
                .line
                .one(ReadCommand::HScan("apikey:hash_map", cursor))
                .await?;
            if wire::is_error(&answer) {
                return Ok(map);
            }
            let (next, flat) = wire::scanned(answer)?;
            let (pairs, _) = flat.as_chunks::<2>();
            for [hash, id] in pairs {
                if ids.contains(id) {
                    map.insert(hash.to_ascii_lowercase(), id.clone());
                }
            }
            if next == "0" {
                return Ok(map);
            }
            cursor = next;
        }
    }

    async fn hashes(&mut self, names: Vec<String>) -> Result<Vec<Option<Fields>>, SourceError> {
        let reads = names.into_iter().map(ReadCommand::HGetAll).collect();
        Ok(self.line.all(reads).await?.into_iter().map(entries).collect())
    }

    async fn texts(&mut self, names: Vec<String>) -> Result<Vec<Option<String>>, SourceError> {
        let reads = names.into_iter().map(ReadCommand::Get).collect();
        Ok(self.line.all(reads).await?.into_iter().map(text).collect())
    }

    async fn groups(&mut self) -> Result<Vec<RawGroup>, SourceError> {
        let ids = self.index.groups.clone();
        let fields = self
            .hashes(ids.iter().map(|id| format!("account_group:{id}")).collect())
            .await?;
        let reads = ids
            .iter()
            .map(|id| ReadCommand::SMembers(format!("account_group_members:{id}")));
        let all = self.line.all(reads.collect()).await?;
        let groups = ids.into_iter().zip(fields).zip(all);
        Ok(groups
            .filter_map(|((id, fields), answer)| {
                Some(RawGroup {
                    id,
                    fields: fields?,
                    members: members(answer),
                })
            })
            .collect())
    }

    async fn accounts(&mut self) -> Result<Vec<RawAccount>, SourceError> {
        let found = self.index.accounts.clone();
        let mut accounts = Vec::with_capacity(found.len());
        for some in found.chunks(AT_ONCE) {
            let reads = some.iter().map(|(kind, id)| {
                let name = names::account(*kind, id);
                if names::is_text(*kind) {
                    ReadCommand::Get(name)
                } else {
                    ReadCommand::HGetAll(name)
                }
            });
            let answers = self.line.all(reads.collect()).await?;
            for ((kind, id), answer) in some.iter().zip(answers) {
                let fields = if names::is_text(*kind) {
                    text(answer).and_then(|text| names::fields_of_json(&text))
                } else {
                    entries(answer)
                };
                accounts.extend(fields.map(|fields| RawAccount {
                    kind: *kind,
                    id: id.clone(),
                    fields,
                }));
            }
        }
        Ok(accounts)
    }

    async fn users(&mut self) -> Result<BTreeMap<String, bool>, SourceError> {
        let ids = self.index.users.clone();
        let mut users = BTreeMap::new();
        for some in ids.chunks(AT_ONCE) {
            let texts = self
                .texts(some.iter().map(|id| format!("user:{id}")).collect())
                .await?;
            for (id, text) in some.iter().zip(texts) {
                let user: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(&text).ok());
                if let Some(user) = user {
                    let active = user.get("isActive").and_then(serde_json::Value::as_bool) == Some(true);
                    users.insert(id.clone(), active);
                }
            }
        }
        Ok(users)
    }

    /// The usage of these owners, in their order.
    async fn usage(&mut self, owners: &[u32]) -> Result<Vec<(Vec<UsageRow>, Vec<String>)>, SourceError> {
        let mut of = Vec::new();
        for (at, owner) in owners.iter().enumerate() {
            of.extend(self.index.of(*owner).iter().map(|found| (at, *found)));
        }
        let mut used: Vec<(Vec<UsageRow>, Vec<String>)> = vec![Default::default(); owners.len()];
        // A Redis reply takes many times the memory of the rows.
        for of in of.chunks(COUNTERS) {
            let reads = of.iter().map(|(_, found)| self.read(found)).collect();
            for ((at, found), answer) in of.iter().zip(self.line.all(reads).await?) {
                if let Some((rows, records)) = used.get_mut(*at) {
                    self.take(found, answer, rows, records);
                }
            }
        }
        Ok(used)
    }

    fn read(&self, found: &UsageKey) -> ReadCommand {
        let name = self.index.name(found);
        match found.of {
            Of::Cost => ReadCommand::Get(name),
            Of::Records => ReadCommand::LRange(name, RECORDS),
            Of::Counts | Of::Model => ReadCommand::HGetAll(name),
        }
    }

    fn take(&self, found: &UsageKey, answer: Value, rows: &mut Vec<UsageRow>, records: &mut Vec<String>) {
        let bucket = self.index.bucket(found.bucket);
        match found.of {
            Of::Records => *records = members(answer),
            Of::Cost => rows.extend(text(answer).map(|text| UsageRow {
                bucket,
                model: None,
                counts: None,
                cost: Some(usd(&text)),
            })),
            Of::Counts | Of::Model => rows.extend(entries(answer).map(|fields| UsageRow {
                bucket,
                model: (found.of == Of::Model).then(|| self.index.model(found.model).to_owned()),
                counts: Some(Counts::of(&fields)),
                cost: names::kept_cost(&fields),
            })),
        }
    }
}

#[async_trait]
impl Source for CrsRedis {
    fn shown(&self) -> String {
        format!("redis {}", self.shown)
    }

    async fn survey(&mut self) -> Result<Survey, SourceError> {
        self.walk().await?;
        if self.index.keys.is_empty() && self.index.accounts.is_empty() {
            return Err(SourceError::Unusable(format!(
                "the database at {} holds no keys and no accounts of claude-relay-service: look at the number of the \
                 database (REDIS_DB)",
                self.shown
            )));
        }
        let hash_map = self.hash_map().await?;
        let accounts = self.accounts().await?;
        let groups = self.groups().await?;
        let users = self.users().await?;
        let settings = ["oem:settings", "claude_relay_config"]
            .map(str::to_owned)
            .to_vec();
        let mut settings = self.texts(settings).await?.into_iter();
        let (oem, relay_config) = (settings.next().flatten(), settings.next().flatten());
        let admin = self.hashes(vec!["session:admin_credentials".to_owned()]).await?;
        let admin = admin.into_iter().flatten().next();
        Ok(Survey {
            edition: if self.index.upstream {
                Edition::Upstream
            } else {
                Edition::Fork
            },
            accounts,
            groups,
            users,
            oem,
            relay_config,
            admin: admin.and_then(|admin| admin.text("username").map(str::to_owned)),
            hash_map,
            homeless: self.index.homeless_counts(),
            keys: self.index.keys.len() as u64,
            orphans: self.index.orphans(),
            latest_hour: self.index.latest_hour.clone(),
        })
    }

    async fn keys(&mut self) -> Result<Vec<RawKey>, SourceError> {
        loop {
            let rest = self.index.keys.get(self.next_key..).unwrap_or_default();
            let mut counters = 0;
            let owners: Vec<u32> = rest
                .iter()
                .take(AT_ONCE)
                .take_while(|owner| {
                    let is_room = counters < COUNTERS;
                    counters += self.index.of(**owner).len();
                    is_room
                })
                .copied()
                .collect();
            if owners.is_empty() {
                return Ok(Vec::new());
            }
            self.next_key += owners.len();
            let ids: Vec<String> = owners
                .iter()
                .map(|owner| self.index.owner(*owner).to_owned())
                .collect();
            let fields = self
                .hashes(ids.iter().map(|id| format!("apikey:{id}")).collect())
                .await?;
            let used = self.usage(&owners).await?;
            let keys: Vec<RawKey> = ids
                .into_iter()
                .zip(fields)
                .zip(used)
                .filter_map(|((id, fields), (usage, records))| {
                    Some(RawKey {
                        id,
                        fields: fields.filter(|fields| !fields.0.is_empty())?,
                        usage,
                        records,
                    })
                })
                .collect();
            // All of them may have been deleted since the scan.
            if !keys.is_empty() {
                return Ok(keys);
            }
        }
    }

    async fn account_usage(&mut self) -> Result<Vec<RawUsage>, SourceError> {
        let all = self.index.used_accounts();
        let some: Vec<(String, Vec<u32>)> = all.into_iter().skip(self.next_account).take(AT_ONCE).collect();
        self.next_account += some.len();
        let owners: Vec<u32> = some.iter().flat_map(|(_, owners)| owners).copied().collect();
        let mut used = self.usage(&owners).await?.into_iter();
        Ok(some
            .into_iter()
            .map(|(id, owners)| RawUsage {
                id,
                usage: used
                    .by_ref()
                    .take(owners.len())
                    .flat_map(|(rows, _)| rows)
                    .collect(),
            })
            .collect())
    }

    fn unreadable(&self) -> Vec<String> {
        self.line.odd().iter().cloned().collect()
    }

    async fn homeless(&mut self) -> Result<Vec<KeptValue>, SourceError> {
        let rest = self.index.homeless.get(self.next_homeless..).unwrap_or_default();
        let some: Vec<(String, Form)> = rest.iter().take(AT_ONCE).cloned().collect();
        self.next_homeless += some.len();
        let reads = some.iter().map(|(name, form)| match form {
            Form::Hash => ReadCommand::HGetAll(name.clone()),
            Form::Text => ReadCommand::Get(name.clone()),
        });
        let answers = self.line.all(reads.collect()).await?;
        Ok(some
            .into_iter()
            .zip(answers)
            .map(|((name, form), answer)| KeptValue {
                name,
                value: match form {
                    Form::Hash => entries(answer).map(|fields| serde_json::json!(fields.0)),
                    Form::Text => text(answer).map(serde_json::Value::String),
                }
                .unwrap_or_default(),
            })
            .collect())
    }
}
