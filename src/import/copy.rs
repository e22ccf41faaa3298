//! One run over a source: a rehearsal without writing, a copy, or the proof that a copy is complete.
//!
//! All three read the source and build records in the same way, so a copy does what its rehearsal reports. A copy
//! writes in atomic steps and recognises its own writes in later runs, so it can be interrupted anywhere.

mod accounts;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::cipher::{self, Ciphers, Kind};
use super::fields::line;
use super::key::{Context, Queue, key};
use super::report::{Figures, Matter, Remarks, Report};
use super::source::{Edition, KeptValue, RawKey, Source, SourceError, Survey};
use super::usage::{self, Everything, Sum};
use crate::config::Config;
use crate::model::account::Platform;
use crate::model::calendar::{Calendar, Hour};
use crate::model::key::Key;
use crate::model::price::PriceBook;
use crate::model::secret::Secret;
use crate::port::clock::Clock;
use crate::port::destination::Destinations;
use crate::port::gates::KeyHash;
use crate::port::store::StoreError;
use crate::secrets::{Pepper, SourceDigest, mark};
use crate::store::accounts::Accounts;
use crate::store::imports::{Imports, Incoming, Outcome, Record};
use crate::store::ledger::{ImportedSum, Ledger};
use crate::store::old_keys::OldKeyStore;
use crate::store::settings::{Oem, Settings};

/// The field of an account that says who refreshes its login.
const LOGIN: &str = "importedLogin";

/// Number of encrypted values tried to prove a key.
const PROOFS: usize = 40;

/// Number of keys and rows of usage written together: more means fewer commits but more memory.
const KEYS_AT_ONCE: usize = 500;
const ROWS_AT_ONCE: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Rehearse,
    Copy,
    Verify,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Rehearse => "rehearsal",
            Self::Copy => "copy",
            Self::Verify => "proof",
        }
    }
}

/// Who uses the imported logins. If two relays use a refresh token, the provider revokes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logins {
    /// The CRS; they are idle here.
    Idle,
    /// The CRS refreshes them, and its newest access tokens are imported repeatedly: they are used here, but not
    /// refreshed.
    Followed,
    /// This relay, because the CRS is stopped.
    TakenOver,
}

impl Logins {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Followed => "followed",
            Self::TakenOver => "own",
        }
    }
}

/// Settings of the CRS, from the operator.
pub struct Crs {
    /// The possible values of its `ENCRYPTION_KEY`.
    pub keys: Vec<Secret>,
    pub prefix: String,
    /// The time zone of its labels.
    pub utc_offset_minutes: i32,
    /// Its setting, if it is set.
    pub claude_fallback: Option<bool>,
}

/// Where to write.
pub struct Target<'a> {
    pub imports: Imports,
    pub ledger: &'a Ledger,
    pub settings: &'a Settings,
    pub accounts: &'a Accounts,
    pub old_keys: OldKeyStore,
}

/// The progress of a run.
#[derive(Clone, Debug)]
pub struct Progress {
    pub what: &'static str,
    pub done: u64,
    pub of: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was written.
    #[error("{0}")]
    Refused(String),
    #[error("what has no home cannot be kept: {0}")]
    Keep(#[from] std::io::Error),
}

/// The inputs of a run besides its source.
pub struct Run<'a> {
    pub mode: Mode,
    pub logins: Logins,
    pub crs: &'a Crs,
    pub config: &'a Config,
    pub destinations: &'a Destinations,
    pub clock: &'a dyn Clock,
    pub prices: &'a PriceBook,
    /// `None` in a rehearsal.
    pub target: Option<Target<'a>>,
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Stores unsupported data.
    pub keep: &'a mut (dyn FnMut(&KeptValue) -> std::io::Result<()> + Send),
}

/// State of a run.
struct Working {
    digests: SourceDigest,
    report: Report,
    remarks: Remarks,
    everything: Everything,
    /// Names of accounts, for call records.
    names: BTreeMap<String, (Platform, String)>,
    marks: Vec<u32>,
    seen: HashMap<KeyHash, String>,
}

impl Run<'_> {
    pub async fn run(&mut self, source: &mut dyn Source) -> Result<Report, ImportError> {
        let began = self.clock.now();
        let survey = source.survey().await?;
        self.same_zone(&survey)?;
        let (ciphers, tried, opened) = self.proved(&survey)?;
        let mut working = Working {
            digests: SourceDigest::new(ciphers.key()),
            report: Report {
                source: source.shown(),
                edition: match survey.edition {
                    Edition::Fork => "fork, or an export".to_owned(),
                    Edition::Upstream => "upstream".to_owned(),
                },
                mode: self.mode.name().to_owned(),
                secrets_tried: tried,
                secrets_opened: opened,
                homeless: survey
                    .homeless
                    .iter()
                    .map(|(what, count)| ((*what).to_owned(), *count))
                    .collect(),
                ..Report::default()
            },
            remarks: Remarks::default(),
            everything: Everything::default(),
            names: BTreeMap::new(),
            marks: Vec::new(),
            seen: HashMap::new(),
        };
        if tried == 0 {
            let what = "no account holds a sealed secret, so it cannot be proved that ENCRYPTION_KEY is the right one: try one old key after the import";
            working
                .remarks
                .add(Matter::Note, what, crate::config::ENCRYPTION_KEY);
        }
        if let (Some(target), Mode::Copy) = (&self.target, self.mode) {
            // Before any key, because a key without its pepper could not be recognised.
            target.old_keys.add(&self.pepper(&ciphers), &[]).await?;
        }
        let (accounts, groups) = self.accounts(&survey, &ciphers, &mut working).await?;
        let config: Value = survey
            .relay_config
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let context = Context {
            edition: survey.edition,
            now: self.clock.now(),
            accounts,
            groups,
            users: survey.users.clone(),
            claude_fallback: self
                .crs
                .claude_fallback
                .unwrap_or(survey.edition == Edition::Fork),
            queue: Queue::of(&config),
            claude_code_only: config.get("claudeCodeOnlyEnabled").and_then(Value::as_bool) == Some(true),
            prefix: self.crs.prefix.clone(),
        };
        self.settings(&survey, &mut working).await?;
        self.keys(source, &survey, &context, &ciphers, &mut working)
            .await?;
        self.account_usage(source, &context, &mut working).await?;
        let sums: Vec<Sum> = working.everything.sums().collect();
        self.sums(&sums, &mut working).await?;
        if let (Some(target), Mode::Copy) = (&self.target, self.mode) {
            target
                .old_keys
                .add(&self.pepper(&ciphers), &working.marks)
                .await?;
        }
        if self.mode == Mode::Copy {
            loop {
                let kept = source.homeless().await?;
                if kept.is_empty() {
                    break;
                }
                for value in &kept {
                    (self.keep)(value)?;
                }
            }
        }
        for name in source.unreadable() {
            let what = "it is of another type than a CRS writes there, and cannot be read";
            working.remarks.add(Matter::Skipped, what, &name);
        }
        if survey.orphans > 0 {
            let what = format!(
                "{} counters of keys and accounts that are gone are left out",
                survey.orphans
            );
            working.remarks.add(Matter::Skipped, what, "usage");
        }
        if let Some(admin) = &survey.admin {
            let what = "the password of the admin is a hash of another kind: give data/init.json of the CRS with --admin-file, or set a new password";
            working.remarks.add(Matter::Note, what, admin);
        }
        working.report.remarks = working.remarks.list();
        working.report.seconds = self.clock.now().saturating_sub(began) as f64 / 1_000.0;
        Ok(working.report)
    }

    fn pepper(&self, ciphers: &Ciphers) -> Pepper {
        Pepper {
            secret: ciphers.key().clone(),
            prefix: self.crs.prefix.clone(),
        }
    }

    /// CRS's days, months and weeks are in its time zone, which must be the same here.
    fn same_zone(&self, survey: &Survey) -> Result<(), ImportError> {
        let (theirs, ours) = (self.crs.utc_offset_minutes, self.config.site.utc_offset_minutes);
        let hours = |minutes: i32| f64::from(minutes) / 60.0;
        if theirs != ours {
            return Err(ImportError::Refused(format!(
                "the CRS counts its days {:+} hours from UTC and this relay {:+}: set TIMEZONE_OFFSET={} for this relay. \
                 (CRS reads whole hours, and takes 0 and nothing for 8.) Nothing was written",
                hours(theirs),
                hours(ours),
                hours(theirs)
            )));
        }
        let now = Calendar::new(theirs).hour(self.clock.now());
        let latest = survey.latest_hour.as_deref().and_then(Hour::parse);
        if latest.is_some_and(|latest| latest > now) {
            return Err(ImportError::Refused(format!(
                "the CRS has counted the hour {} already, and {:+} hours from UTC it is {now} only: its TIMEZONE_OFFSET \
                 is another than --env says, or a clock is wrong. Nothing was written",
                survey.latest_hour.as_deref().unwrap_or_default(),
                hours(theirs)
            )));
        }
        Ok(())
    }

    /// The key that decrypts the CRS's secrets, and the number of values tried and decrypted.
    fn proved(&self, survey: &Survey) -> Result<(Ciphers, u64, u64), ImportError> {
        let values: Vec<(Kind, &str)> = survey
            .accounts
            .iter()
            .flat_map(|account| {
                let fields = account.kind.sealed_fields().iter();
                fields.filter_map(|field| Some((account.kind, account.fields.text(field)?)))
            })
            .filter(|(kind, text)| cipher::is_sealed(*kind, text))
            .take(PROOFS)
            .collect();
        let candidates: Vec<Ciphers> = self.crs.keys.iter().cloned().map(Ciphers::new).collect();
        let opened = cipher::prove(&candidates, &values);
        let best = candidates
            .into_iter()
            .zip(opened)
            .rev()
            .max_by_key(|(_, opened)| *opened);
        let Some((ciphers, opened)) = best else {
            return Err(ImportError::Refused(
                "the ENCRYPTION_KEY of the CRS is needed: name its .env file with --env".to_owned(),
            ));
        };
        if opened == 0 && !values.is_empty() {
            return Err(ImportError::Refused(format!(
                "ENCRYPTION_KEY is not the one of this CRS: it opens none of {} secrets that were tried. Look for the .env \
                 that the CRS really runs with (in Docker, its environment). Nothing was written",
                values.len()
            )));
        }
        Ok((ciphers, values.len() as u64, opened as u64))
    }

    async fn records(
        &self,
        incoming: &[Incoming],
        of: Of,
        working: &mut Working,
    ) -> Result<Vec<Outcome>, ImportError> {
        let outcomes = match (&self.target, self.mode) {
            (None, _) | (_, Mode::Rehearse) => vec![Outcome::Created; incoming.len()],
            (Some(target), Mode::Copy) => target.imports.put(incoming, self.clock.now()).await?,
            (Some(target), Mode::Verify) => target.imports.compare(incoming).await?,
        };
        for (incoming, outcome) in incoming.iter().zip(&outcomes) {
            of.figures(&mut working.report).count(*outcome);
            let name = match &incoming.record {
                Record::Key(key) => &key.name,
                Record::Account(account) => &account.name,
                Record::Group(group) => &group.name,
            };
            let what = match outcome {
                Outcome::Kept => "it was changed here since, and is left as it is",
                Outcome::Deleted => "it was deleted here since, and stays so",
                Outcome::Taken => "another key has the same secret",
                Outcome::Differs => "it is not here, or not as the CRS has it",
                Outcome::Created | Outcome::Updated | Outcome::Unchanged => continue,
            };
            working.remarks.add(Matter::Skipped, what, name);
        }
        Ok(outcomes)
    }

    async fn settings(&self, survey: &Survey, working: &mut Working) -> Result<(), ImportError> {
        let Some(text) = &survey.oem else { return Ok(()) };
        let figures = &mut working.report.settings;
        figures.found += 1;
        let Ok(theirs) = serde_json::from_str::<Oem>(text) else {
            figures.skipped += 1;
            working
                .remarks
                .add(Matter::Skipped, "the branding cannot be read", "oem:settings");
            return Ok(());
        };
        let Some(target) = &self.target else {
            figures.created += 1;
            return Ok(());
        };
        let ours = target.settings.oem().await?;
        let same = |ours: &Oem| {
            ours.site_name == theirs.site_name
                && ours.site_icon == theirs.site_icon
                && ours.site_icon_data == theirs.site_icon_data
                && ours.show_admin_button == theirs.show_admin_button
        };
        if same(&ours) {
            figures.unchanged += 1;
        } else if self.mode == Mode::Verify {
            figures.different += 1;
        } else if ours.updated_at.is_some() {
            // Set here or by an earlier run: not overwritten.
            figures.kept += 1;
            working.remarks.add(
                Matter::Note,
                "the branding was set here already, and is left as it is",
                "oem:settings",
            );
        } else {
            let now = self.clock.now();
            target
                .settings
                .set_oem(now, |oem| {
                    oem.site_name.clone_from(&theirs.site_name);
                    oem.site_icon.clone_from(&theirs.site_icon);
                    oem.site_icon_data.clone_from(&theirs.site_icon_data);
                    oem.show_admin_button = theirs.show_admin_button;
                })
                .await?;
            figures.created += 1;
        }
        Ok(())
    }

    async fn keys(
        &self,
        source: &mut dyn Source,
        survey: &Survey,
        context: &Context,
        ciphers: &Ciphers,
        working: &mut Working,
    ) -> Result<(), ImportError> {
        let mut batch: Vec<(Key, RawKey)> = Vec::new();
        let mut rows = 0;
        loop {
            let raw = source.keys().await?;
            let is_end = raw.is_empty();
            for raw in raw {
                working.report.keys.found += 1;
                rows += raw.usage.len() + raw.records.len();
                match key(&raw, context, ciphers.key(), &mut working.remarks) {
                    Ok(key) => {
                        if Self::is_the_one(&key, survey, working) {
                            batch.push((key, raw));
                        }
                    }
                    Err(why) => {
                        let (name, _) = line(raw.fields.text("name").unwrap_or(&raw.id), 100);
                        working.report.keys.skipped += 1;
                        working.remarks.add(Matter::Skipped, why, &name);
                    }
                }
            }
            if is_end || batch.len() >= KEYS_AT_ONCE || rows >= ROWS_AT_ONCE {
                self.key_batch(&batch, working).await?;
                batch.clear();
                rows = 0;
                (self.progress)(Progress {
                    what: "keys",
                    done: working.report.keys.found,
                    of: survey.keys,
                });
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// For two records with one secret, CRS's own index decides.
    fn is_the_one(key: &Key, survey: &Survey, working: &mut Working) -> bool {
        let named = survey.hash_map.get(&key.hash).is_none_or(|id| *id == key.id);
        let Some(hash) = KeyHash::from_hex(&key.hash) else {
            return false;
        };
        let first = named && *working.seen.entry(hash.clone()).or_insert_with(|| key.id.clone()) == key.id;
        if first {
            working.marks.push(mark(&hash));
        } else {
            working.report.keys.skipped += 1;
            working
                .remarks
                .add(Matter::Skipped, "another record has the same secret", &key.name);
        }
        first
    }

    async fn key_batch(&self, batch: &[(Key, RawKey)], working: &mut Working) -> Result<(), ImportError> {
        let mut incoming = Vec::with_capacity(batch.len());
        for (key, _) in batch {
            // The time of the change is not part of the digest, and unknown times are those of this run.
            let timeless = Key {
                created_at: 0,
                updated_at: 0,
                ..key.clone()
            };
            let text = serde_json::to_string(&timeless).unwrap_or_default();
            incoming.push(Incoming {
                source: working.digests.of(&text),
                record: Record::Key(Box::new(key.clone())),
            });
        }
        self.records(&incoming, Of::Keys, working).await?;
        let (mut sums, mut calls, mut used) = (Vec::new(), Vec::new(), Vec::new());
        for (key, raw) in batch {
            let of_key = usage::of_key(&key.id, &raw.usage, self.prices, &mut working.everything);
            let spent = of_key.iter().find(|sum| {
                sum.bucket == crate::store::ledger::Bucket::All && matches!(sum.of, usage::Of::Key(_))
            });
            working.report.spent += spent.map_or(0, |sum| sum.totals.cost.0);
            sums.extend(of_key);
            let names = &working.names;
            calls.extend(
                raw.records
                    .iter()
                    .filter_map(|text| usage::call(text, &key.id, &key.name, names)),
            );
            used.extend(raw.fields.at("lastUsedAt").map(|at| (key.id.as_str(), at)));
        }
        self.sums(&sums, working).await?;
        let now = self.clock.now();
        match (&self.target, self.mode) {
            (Some(target), Mode::Copy) => {
                working.report.calls += target.ledger.import_calls(&calls, now).await?;
                target.imports.last_used(&used).await?;
            }
            _ => working.report.calls += calls.len() as u64,
        }
        Ok(())
    }

    async fn sums(&self, sums: &[Sum], working: &mut Working) -> Result<(), ImportError> {
        let figures = &mut working.report.sums;
        figures.found += sums.len() as u64;
        let imported: Vec<ImportedSum<'_>> = sums.iter().map(Sum::as_imported).collect();
        let now = self.clock.now();
        match (&self.target, self.mode) {
            (None, _) | (_, Mode::Rehearse) => figures.created += sums.len() as u64,
            (Some(target), Mode::Copy) => {
                let count = target.ledger.import(&imported, now).await?;
                figures.created += count.written;
                figures.unchanged += count.unchanged;
            }
            (Some(target), Mode::Verify) => {
                figures.different += target.ledger.imported_differences(&imported, now).await?;
            }
        }
        Ok(())
    }

    async fn account_usage(
        &self,
        source: &mut dyn Source,
        context: &Context,
        working: &mut Working,
    ) -> Result<(), ImportError> {
        let mut done = 0;
        loop {
            let some = source.account_usage().await?;
            if some.is_empty() {
                return Ok(());
            }
            done += some.len() as u64;
            let known = some
                .iter()
                .filter(|usage| context.accounts.contains_key(&usage.id));
            let sums: Vec<Sum> = known
                .flat_map(|usage| usage::of_account(usage, self.prices))
                .collect();
            self.sums(&sums, working).await?;
            (self.progress)(Progress {
                what: "usage of accounts",
                done,
                of: context.accounts.len() as u64,
            });
        }
    }
}

#[derive(Clone, Copy)]
enum Of {
    Keys,
    Accounts,
    Groups,
}

impl Of {
    fn figures(self, report: &mut Report) -> &mut Figures {
        match self {
            Self::Keys => &mut report.keys,
            Self::Accounts => &mut report.accounts,
            Self::Groups => &mut report.groups,
        }
    }
}
