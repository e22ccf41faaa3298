//! The findings of a scan, as small numbers: 16 bytes for each counter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::names;
use super::names::{Form, Name, What, homeless_kind};
use crate::import::cipher::Kind;
use crate::store::ledger::Bucket;

/// Numbers for recurring values.
#[derive(Debug)]
struct Numbers<T> {
    values: Vec<T>,
    known: HashMap<T, u32>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Numbers<T> {
    fn of(&mut self, value: T) -> u32 {
        if let Some(number) = self.known.get(&value) {
            return *number;
        }
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(value.clone());
        self.known.insert(value, number);
        number
    }
}

impl Numbers<Box<str>> {
    fn of_text(&mut self, text: &str) -> u32 {
        match self.known.get(text) {
            Some(number) => *number,
            None => self.of(text.into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Of {
    Counts,
    Model,
    Cost,
    Records,
}

/// A counter, an amount, or a list of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UsageKey {
    owner: u32,
    pub(super) model: u32,
    pub(super) bucket: u32,
    pub(super) of: Of,
    of_account: bool,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    /// Numbers of their ids.
    pub(super) keys: Vec<u32>,
    pub(super) accounts: Vec<(Kind, String)>,
    pub(super) groups: Vec<String>,
    pub(super) users: Vec<String>,
    pub(super) homeless: Vec<(String, Form)>,
    pub(super) upstream: bool,
    pub(super) latest_hour: Option<String>,
    counts: BTreeMap<&'static str, u64>,
    /// Ids of keys and accounts, the latter with the prefix of their counters.
    owners: Numbers<Box<str>>,
    models: Numbers<Box<str>>,
    buckets: Numbers<Bucket>,
    found: Vec<UsageKey>,
}

impl Index {
    /// A scan may return a name twice.
    pub(super) fn add(&mut self, name: &str) {
        match Name::read(name) {
            Name::Key(id) => {
                let number = self.owners.of_text(id);
                self.keys.push(number);
            }
            Name::Account(kind, id) => {
                self.accounts.push((kind, id.to_owned()));
                if homeless_kind(kind).is_some() {
                    let form = if names::is_text(kind) {
                        Form::Text
                    } else {
                        Form::Hash
                    };
                    self.homeless.push((name.to_owned(), form));
                }
            }
            Name::Group(id) => self.groups.push(id.to_owned()),
            Name::User(id) => {
                self.users.push(id.to_owned());
                self.homeless.push((name.to_owned(), Form::Text));
            }
            Name::OfUpstream => self.upstream = true,
            Name::Usage(usage) => {
                if let Bucket::Hour(hour) = usage.bucket {
                    let hour = hour.to_string();
                    if self.latest_hour.as_ref().is_none_or(|latest| *latest < hour) {
                        self.latest_hour = Some(hour);
                    }
                }
                let (of, model) = match usage.what {
                    What::Counts => (Of::Counts, ""),
                    What::Model(model) => (Of::Model, model),
                    What::Cost => (Of::Cost, ""),
                    What::Records => (Of::Records, ""),
                };
                let found = UsageKey {
                    owner: self.owners.of_text(usage.owner),
                    model: self.models.of_text(model),
                    bucket: self.buckets.of(usage.bucket),
                    of,
                    of_account: usage.of_account,
                };
                self.found.push(found);
            }
            Name::Homeless(_, form) => self.homeless.push((name.to_owned(), form)),
            Name::Other => {}
        }
    }

    pub(super) fn finish(&mut self) {
        self.found.sort_unstable();
        self.found.dedup();
        // Sorted by id, so that keys which are written one after the other are adjacent in the store: a scan returns
        // them in random order, and each would touch different pages.
        let ids = &self.owners.values;
        self.keys
            .sort_unstable_by_key(|number| ids.get(*number as usize).map(|id| &**id));
        self.keys.dedup();
        for list in [&mut self.groups, &mut self.users] {
            list.sort_unstable();
            list.dedup();
        }
        self.accounts.sort_unstable();
        self.accounts.dedup();
        self.homeless.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.homeless.dedup();
        self.counts.clear();
        for (name, _) in &self.homeless {
            let what = match Name::read(name) {
                Name::Account(kind, _) => homeless_kind(kind),
                Name::User(_) => Some("users"),
                Name::Homeless(what, _) => Some(what),
                _ => None,
            };
            if let Some(what) = what {
                *self.counts.entry(what).or_default() += 1;
            }
        }
    }

    pub(super) fn homeless_counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.clone()
    }

    /// Counters of keys that do not exist. Counters of deleted accounts are not recognised: their id may be of any
    /// kind.
    pub(super) fn orphans(&self) -> u64 {
        let of_keys = self.found.iter().filter(|found| !found.of_account);
        of_keys
            .filter(|found| self.keys.binary_search(&found.owner).is_err())
            .count() as u64
    }

    pub(super) fn owner(&self, number: u32) -> &str {
        self.owners.values.get(number as usize).map_or("", |id| id)
    }

    pub(super) fn model(&self, number: u32) -> &str {
        self.models.values.get(number as usize).map_or("", |name| name)
    }

    pub(super) fn bucket(&self, number: u32) -> Bucket {
        self.buckets
            .values
            .get(number as usize)
            .copied()
            .unwrap_or(Bucket::All)
    }

    /// The counters of this owner.
    pub(super) fn of(&self, owner: u32) -> &[UsageKey] {
        let from = self.found.partition_point(|found| found.owner < owner);
        let to = self.found.partition_point(|found| found.owner <= owner);
        self.found.get(from..to).unwrap_or_default()
    }

    /// Accounts with counters, and the owners of those counters: with the prefix of its kind, and without.
    pub(super) fn used_accounts(&self) -> BTreeMap<String, Vec<u32>> {
        let all = self
            .found
            .iter()
            .filter(|found| found.of_account)
            .map(|found| found.owner);
        let mut accounts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for owner in all.collect::<BTreeSet<u32>>() {
            let id = self.owner(owner);
            let bare = id.rsplit_once(':').map_or(id, |(_, bare)| bare);
            accounts.entry(bare.to_owned()).or_default().push(owner);
        }
        accounts
    }

    /// Its name in the database.
    pub(super) fn name(&self, found: &UsageKey) -> String {
        let owner = self.owner(found.owner);
        let model = self.model(found.model);
        let (unit, label) = match self.bucket(found.bucket) {
            Bucket::Hour(hour) => ("hourly", hour.to_string()),
            Bucket::Day(day) => ("daily", day.to_string()),
            Bucket::Month(month) => ("monthly", month.to_string()),
            Bucket::All => ("", String::new()),
        };
        match (found.of_account, found.of, unit) {
            (false, Of::Records, _) => format!("usage:records:{owner}"),
            (false, Of::Cost, "") => format!("usage:cost:total:{owner}"),
            (false, Of::Cost, unit) => format!("usage:cost:{unit}:{owner}:{label}"),
            (false, Of::Counts, "") => format!("usage:{owner}"),
            (false, Of::Counts, unit) => format!("usage:{unit}:{owner}:{label}"),
            (false, Of::Model, "") => format!("usage:{owner}:model:alltime:{model}"),
            (false, Of::Model, unit) => format!("usage:{owner}:model:{unit}:{model}:{label}"),
            (true, Of::Model, unit) => format!("account_usage:model:{unit}:{owner}:{model}:{label}"),
            (true, _, "") => format!("account_usage:{owner}"),
            (true, _, unit) => format!("account_usage:{unit}:{owner}:{label}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_made_again_from_its_numbers() {
        let names = [
            "usage:k",
            "usage:daily:k:2026-01-31",
            "usage:hourly:k:2026-01-31:09",
            "usage:k:model:monthly:a:b:2026-01",
            "usage:k:model:alltime:m",
            "usage:cost:total:k",
            "usage:cost:monthly:k:2026-01",
            "usage:records:k",
            "account_usage:a",
            "account_usage:responses:a",
            "account_usage:hourly:a:2026-01-31:10",
            "account_usage:model:daily:a:m:2026-01-31",
        ];
        let mut index = Index::default();
        for name in names.iter().chain(&names) {
            index.add(name);
        }
        index.add("apikey:k");
        index.add("apikey:k");
        index.add("usage:gone");
        index.add("ccr_account:c");
        index.finish();
        let mut made: Vec<String> = index.found.iter().map(|found| index.name(found)).collect();
        made.sort();
        let mut wanted: Vec<&str> = names.to_vec();
        wanted.push("usage:gone");
        wanted.sort_unstable();
        assert_eq!(made, wanted);
        assert_eq!((index.keys.len(), index.orphans()), (1, 1));
        assert_eq!(index.latest_hour.as_deref(), Some("2026-01-31:10"));
        assert_eq!(index.homeless_counts().get("CCR accounts"), Some(&1));
        assert_eq!(size_of::<UsageKey>(), 16);
    }
}
