//! Copies whole stores: from a file, or from the store of these settings. The target is empty before, and verified to
//! be equal afterwards; no relay serves it until then.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::make::{APART, fingerprint, held, keep, off_loop, release};
use crate::backup::load::{self, Load, next};
use crate::backup::{BackupReader, BadFile, Digest, Head, Passphrase, Summary};
use crate::config::StoreChoice;
use crate::host::native::clock::NativeClock;
use crate::host::native::draft::sync_folder;
use crate::host::native::random::NativeRandom;
use crate::host::native::{Setup, first_run, open_store};
use crate::port::backups::BackupError;
use crate::port::clock::Clock as _;
use crate::port::whole::{Part, Whole};
use crate::secrets::Keyring;
use crate::store::schema::{self, Schema, Unfinished};

/// The target store of a restore.
pub struct Target {
    pub store: Arc<dyn Whole>,
    /// For an embedded store: where it is built, and its final path.
    place: Option<(PathBuf, PathBuf)>,
    /// The name in the settings.
    shown: String,
}

/// Summary of a copy that was verified to be equal.
#[derive(Clone, Debug)]
pub struct TransferSummary {
    pub summary: Summary,
    pub target: String,
}

/// Reads all of a file; returns its header and a summary of its contents.
pub fn verify(file: &Path, passphrase: Option<&Passphrase>) -> Result<(Head, Summary), BadFile> {
    let (head, summary, _) = verified(file, passphrase)?;
    Ok((head, summary))
}

fn verified(file: &Path, passphrase: Option<&Passphrase>) -> Result<(Head, Summary, Digest), BadFile> {
    let closed = BackupReader::read(File::open(file).map_err(BadFile::Io)?)?;
    let head = closed.head.clone();
    let (summary, digest) = closed.open(passphrase)?.verify()?;
    Ok((head, summary, digest))
}

/// Restores a file into the empty store that `choice` names. Reads the whole file before it writes anything.
pub async fn restore(
    file: &Path,
    passphrase: Option<Passphrase>,
    setup: &Setup,
    choice: &StoreChoice,
) -> Result<TransferSummary, BackupError> {
    let clock = NativeClock::default();
    let (path, key) = (file.to_owned(), passphrase.clone());
    let (head, summary, digest) = off_loop(move || verified(&path, key.as_ref()))
        .await?
        .map_err(bad)?;
    if head.schema > schema::NEWEST {
        return Err(BackupError::Refused(format!(
            "the backup has version {} of the schema, and this crs knows up to {}: use {} or later",
            head.schema,
            schema::NEWEST,
            head.by
        )));
    }
    fits(setup, head.fingerprint.as_deref())?;
    let note = Unfinished::Restore {
        digest: summary.digest.clone(),
    };
    let target = Target::open(setup, choice, &note).await?;

    let path = file.to_owned();
    let opened = off_loop(move || {
        let file = File::open(path).map_err(BadFile::Io)?;
        BackupReader::read(file)?.open(passphrase.as_ref())
    });
    let mut unpack = opened.await?.map_err(bad)?;
    let mut load = Load::new(&*target.store, &clock);
    loop {
        let read = off_loop(move || {
            let parts = some(&mut unpack);
            (unpack, parts)
        });
        let parts;
        (unpack, parts) = read.await?;
        let parts = parts.map_err(bad)?;
        if parts.is_empty() {
            break;
        }
        for part in parts {
            load.add(part).await?;
        }
    }
    load.flush().await?;
    let schema = Schema {
        version: head.schema,
        by: head.by,
        unfinished: None,
    };
    target.prove(&digest).await?;
    let target = target.keep(&schema).await?;
    Ok(TransferSummary { summary, target })
}

/// Parts of some hundred kilobytes in total; empty at the end.
fn some(unpack: &mut crate::backup::Unpack<File>) -> Result<Vec<Part>, BadFile> {
    let (mut parts, mut size) = (Vec::new(), 0);
    while size < 256 << 10 {
        let Some(part) = unpack.part()? else { break };
        size += part.content.bytes() + part.key.len();
        parts.push(part);
    }
    Ok(parts)
}

/// Copies the store of these settings into the empty one that `choice` names. Writers of a shared source wait until
/// the copy is verified.
pub async fn move_to(setup: &Setup, choice: &StoreChoice) -> Result<TransferSummary, BackupError> {
    if matches!(setup.config.store, StoreChoice::Memory) {
        return Err(BackupError::Refused(
            "with STORE=memory the data is in the server: use `crs backup` while it runs, and `crs restore`"
                .to_owned(),
        ));
    }
    if place(&setup.config.store) == place(choice) {
        return Err(BackupError::Refused(format!(
            "the data is at {} already: name another store",
            place(choice)
        )));
    }
    let clock = Arc::new(NativeClock::default());
    let source =
        open_store(&setup.config.store, &setup.data_dir, clock.clone()).map_err(BackupError::Refused)?;
    let version = schema::check(&*source)
        .await
        .map_err(|error| BackupError::Refused(error.to_string()))?;
    fits(setup, fingerprint(&*source).await?.as_deref())?;
    let by = schema::read(&*source).await?.map(|(schema, _)| schema.by);
    let note = Unfinished::Restore {
        digest: format!("of {}", place(&setup.config.store)),
    };
    let target = Target::open(setup, choice, &note).await?;
    let mut hold = held(&*source, &*clock, &NativeRandom).await?;
    let copy = async {
        let mut digest = Digest::default();
        let mut load = Load::new(&*target.store, &*clock);
        let mut parts = source.parts().await?;
        while let Some(some) = next(&mut *parts, &APART).await? {
            for part in some {
                digest.add(&part);
                load.add(part).await?;
            }
            keep(&*source, &*clock, &mut hold).await?;
        }
        load.flush().await?;
        target.prove(&digest).await?;
        keep(&*source, &*clock, &mut hold).await?;
        Ok::<_, BackupError>((digest, parts.left_out()))
    };
    let copied = copy.await;
    let kept = release(&*source, hold).await;
    let (digest, left_out) = copied?;
    kept?;
    let schema = Schema {
        version,
        by: by.unwrap_or(Schema::newest().by),
        unfinished: None,
    };
    let sum = digest.whole();
    let summary = Summary {
        keys: digest.keys,
        records: sum.records,
        bytes: digest.bytes,
        digest: sum.to_string(),
        left_out,
    };
    let target = target.keep(&schema).await?;
    Ok(TransferSummary { summary, target })
}

/// Whether the settings' key opens the secrets inside.
fn fits(setup: &Setup, expected: Option<&str>) -> Result<(), BackupError> {
    let keyring = Keyring::new(&setup.config.secrets, &setup.config.keys.prefix);
    match expected {
        Some(expected) if expected != keyring.fingerprint() => Err(BackupError::Refused(format!(
            "ENCRYPTION_KEY is not the one this data was sealed with: its fingerprint is {}, the data expects {expected}. \
             Set ENCRYPTION_KEY to that one, or copy secrets.json of the old data folder into the new one",
            keyring.fingerprint()
        ))),
        _ => Ok(()),
    }
}

fn place(choice: &StoreChoice) -> String {
    match choice {
        StoreChoice::Memory => "memory".to_owned(),
        StoreChoice::Embedded => "embedded".to_owned(),
        StoreChoice::Redis(redis) => format!("redis {}", redis.shown),
        StoreChoice::Upstash(upstash) => format!("upstash {}", upstash.shown),
    }
}

fn bad(error: BadFile) -> BackupError {
    BackupError::Refused(error.to_string())
}

impl Target {
    /// An empty store, or one with the same `note`.
    async fn open(setup: &Setup, choice: &StoreChoice, note: &Unfinished) -> Result<Self, BackupError> {
        let clock = Arc::new(NativeClock::default());
        let opened = |choice: &StoreChoice, folder: &Path| {
            open_store(choice, folder, clock.clone()).map_err(BackupError::Refused)
        };
        match choice {
            StoreChoice::Memory => Err(BackupError::Refused(
                "a store in memory is gone with its process: set STORE to embedded, redis or upstash"
                    .to_owned(),
            )),
            StoreChoice::Embedded => {
                let file = setup.data_dir.join(first_run::STORE_FILE);
                if file.exists() {
                    let here = opened(choice, &setup.data_dir)?;
                    not_empty(
                        here.size().await?,
                        &file.display().to_string(),
                        "move that file away",
                    )?;
                }
                // Built in a folder beside it and moved there when complete: the final path never has a half store.
                let folder = setup.data_dir.join("restoring");
                let draft = folder.join(first_run::STORE_FILE);
                fs::create_dir_all(&folder).map_err(super::folder::unwritten)?;
                if draft.exists() {
                    // Of another run, either active or killed.
                    drop(opened(choice, &folder)?);
                    fs::remove_file(&draft).map_err(super::folder::unwritten)?;
                }
                Ok(Self {
                    store: opened(choice, &folder)?,
                    shown: file.display().to_string(),
                    place: Some((draft, file)),
                })
            }
            StoreChoice::Redis(_) | StoreChoice::Upstash(_) => {
                let store = opened(choice, &setup.data_dir)?;
                let shown = place(choice);
                let begun = Schema {
                    unfinished: Some(note.clone()),
                    ..Schema::newest()
                };
                match schema::read(&*store).await? {
                    Some((found, _)) if found.unfinished.as_ref() == Some(note) => {
                        tracing::info!("going on with a restore that was not finished");
                    }
                    found => {
                        let advice = match found {
                            Some((
                                Schema {
                                    unfinished: Some(Unfinished::Restore { .. }),
                                    ..
                                },
                                _,
                            )) => {
                                "a restore of something else was begun there: run that one again, or empty the database (FLUSHDB)"
                            }
                            _ => "name another database, or empty that one (FLUSHDB)",
                        };
                        not_empty(store.size().await?, &shown, advice)?;
                        if !schema::replace(&*store, None, &begun).await? {
                            return Err(BackupError::Busy);
                        }
                    }
                }
                Ok(Self {
                    store,
                    place: None,
                    shown,
                })
            }
        }
    }

    /// Reads all of it back.
    async fn prove(&self, expected: &Digest) -> Result<(), BackupError> {
        let found = load::digest(&*self.store, &APART).await?;
        // Records that expired meanwhile are in neither.
        let now = NativeClock::default().now();
        let (expected, found) = (expected.after(now), found.after(now));
        if expected == found {
            return Ok(());
        }
        Err(BackupError::Failed(format!(
            "the copy is not equal: {} records with the digest {expected} were to be there, {} with {found} are. \
             Nobody serves it; empty the store and try again",
            expected.records, found.records
        )))
    }

    /// From now on it is a normal store.
    async fn keep(self, schema: &Schema) -> Result<String, BackupError> {
        self.store.run(vec![schema.set()?]).await?;
        drop(self.store);
        if let Some((draft, file)) = self.place {
            let give = || -> std::io::Result<()> {
                fs::rename(&draft, &file)?;
                if let Some(folder) = draft.parent() {
                    let _ = fs::remove_dir(folder);
                }
                sync_folder(&file)
            };
            give().map_err(super::folder::unwritten)?;
        }
        Ok(self.shown)
    }
}

fn not_empty(keys: u64, place: &str, advice: &str) -> Result<(), BackupError> {
    if keys == 0 {
        return Ok(());
    }
    Err(BackupError::Refused(format!(
        "{place} holds {keys} keys already, and only an empty store is restored into: {advice}"
    )))
}
