//! Replaces the `ENCRYPTION_KEY` of all sealed data.
//!
//! A note in the store says so before anything changes, and until the last step, so no relay serves meanwhile. Each
//! record is sealed with the new key by itself, and skipped if it already is: after a kill at any point, another run
//! continues. The last step is atomic and changes the fingerprint. A generated key is in `secrets.json` before it is
//! used.

use std::path::Path;
use std::sync::Arc;

use super::clock::NativeClock;
use super::first_run::LayeredVars;
use super::random::NativeRandom;
use super::{Setup, open_store};
use crate::config::{self, ENCRYPTION_KEY, NEW_ENCRYPTION_KEY, Secrets, Vars};
use crate::model::account::Account;
use crate::model::secret::Secret;
use crate::port::backups::BackupError;
use crate::port::random::Random as _;
use crate::port::store::{Applied, Command, Guard, Reply, Store, StoreError};
use crate::port::whole::{Content, Whole};
use crate::secrets::{EARLIER, Keyring};
use crate::store::accounts::reseal::reseal;
use crate::store::admins::{Admin, Admins};
use crate::store::imports;
use crate::store::keys;
use crate::store::old_keys::reseal as reseal_old_keys;
use crate::store::schema::{self, Schema, Unfinished};

/// Summary of the change.
#[derive(Clone, Debug)]
pub struct RekeySummary {
    /// Number of accounts that this run sealed with the new key.
    pub accounts: u64,
    pub from: String,
    pub to: String,
    /// The new key is in `secrets.json`; `false`: the operator has to set it.
    pub kept: bool,
}

/// Attempts at the last step if a record changes meanwhile.
const ROUNDS: usize = 5;

/// No relay may run on the store.
pub async fn rekey(environment: &dyn Vars) -> Result<RekeySummary, BackupError> {
    let setup = Setup::for_sealed_data(environment).map_err(|error| refused(error.to_string()))?;
    let mut vars = LayeredVars::read(environment, &setup.data_dir).map_err(BackupError::Refused)?;
    let kept = vars.is_kept(ENCRYPTION_KEY);
    if vars.get(NEW_ENCRYPTION_KEY).is_none() {
        if !kept {
            return Err(refused(format!(
                "{NEW_ENCRYPTION_KEY} is not set: set it to exactly 32 random characters, for example from `openssl rand -hex 16`"
            )));
        }
        let mut bytes = [0; 16];
        NativeRandom.fill(&mut bytes);
        // First of all: data sealed with this key is lost without it.
        vars.keep(
            &setup.data_dir,
            &[(NEW_ENCRYPTION_KEY, Some(&hex::encode(bytes)))],
        )
        .map_err(BackupError::Failed)?;
    }
    let next = config::next_secrets(&vars)
        .map_err(|problems| refused(problems.to_string()))?
        .ok_or_else(|| refused("there is no new key".to_owned()))?;
    let store = open_store(
        &setup.config.store,
        &setup.data_dir,
        Arc::new(NativeClock::default()),
    )
    .map_err(BackupError::Refused)?;
    let mut done = change(&*store, &setup, &next).await?;
    done.kept = kept;
    if kept {
        settle(&mut vars, &setup.data_dir, &next.encryption)?;
    }
    Ok(done)
}

/// Moves the new key to its place in `secrets.json`.
fn settle(vars: &mut LayeredVars<'_>, data_dir: &Path, key: &Secret) -> Result<(), BackupError> {
    let changes = [(ENCRYPTION_KEY, Some(key.reveal())), (NEW_ENCRYPTION_KEY, None)];
    vars.keep(data_dir, &changes).map_err(BackupError::Failed)
}

async fn change(store: &dyn Whole, setup: &Setup, next: &Secrets) -> Result<RekeySummary, BackupError> {
    let prefix = &setup.config.keys.prefix;
    let old = Keyring::new(&setup.config.secrets, prefix);
    let new = Keyring::new(next, prefix);
    let mut done = RekeySummary {
        accounts: 0,
        from: old.fingerprint().to_owned(),
        to: new.fingerprint().to_owned(),
        kept: false,
    };
    if done.from == done.to {
        return Err(refused(
            "the new key is the old one: nothing was changed".to_owned(),
        ));
    }
    let note = Unfinished::Rekey {
        from: done.from.clone(),
        to: done.to.clone(),
    };
    let (found, text) = match schema::read(store).await? {
        Some((found, text)) => (found, Some(text)),
        None => (Schema::newest(), None),
    };
    let stored = text_at(store, keys::FINGERPRINT).await?;
    if found.unfinished.is_none() && stored.as_deref() == Some(done.to.as_str()) {
        // An earlier run got this far.
        return Ok(done);
    }
    if stored.as_deref() != Some(done.from.as_str()) {
        return Err(refused(format!(
            "the data was sealed with the key {}, and ENCRYPTION_KEY is {}: set it to that one",
            stored.unwrap_or_else(|| "of nobody".to_owned()),
            done.from
        )));
    }
    if found.version > schema::NEWEST {
        return Err(refused(format!(
            "the data is of a newer version: use {} or later",
            found.by
        )));
    }
    match &found.unfinished {
        None => {
            let begun = Schema {
                unfinished: Some(note.clone()),
                ..found.clone()
            };
            if !schema::replace(store, text, &begun).await? {
                return Err(BackupError::Busy);
            }
        }
        Some(unfinished) if *unfinished == note => {}
        Some(_) => {
            return Err(refused(
                "a restore, or a change to another key, was not finished: finish that one first".to_owned(),
            ));
        }
    }
    done.accounts = accounts(store, &old, &new).await?;
    old_keys(store, &old, &new).await?;
    leftovers(store, &old).await?;
    finish(store, setup, &old, &new, &found).await?;
    Ok(done)
}

/// Seals each account with the new key; returns how many were not yet.
async fn accounts(store: &dyn Whole, old: &Keyring, new: &Keyring) -> Result<u64, BackupError> {
    let get = Command::HGetAll {
        key: keys::ACCOUNTS.to_owned(),
    };
    let Some(Reply::Entries(entries)) = store.run(vec![get]).await?.pop() else {
        return Ok(0);
    };
    let mut count = 0;
    for (id, text) in entries {
        let mut account: Account = serde_json::from_slice(&text).map_err(|error| {
            refused(format!(
                "the account {id} cannot be read ({:?}): delete it first",
                error.classify()
            ))
        })?;
        let sealed = reseal(&mut account, old, new, &NativeRandom).map_err(|error| {
            refused(format!(
                "a secret of the account {id} does not open ({error}): renew or delete it first"
            ))
        })?;
        if !sealed {
            continue;
        }
        let value = serde_json::to_vec(&account).map_err(|error| BackupError::Failed(error.to_string()))?;
        let note = imports::note_of_account(&id);
        let noted = field(store, keys::IMPORTED_RECORDS, &note).await?;
        let mut fields = Vec::new();
        if let Some(noted) = noted
            && let Some(next) = imports::resealed(&noted, &text, &value)
        {
            fields.push((keys::IMPORTED_RECORDS, note, noted, next));
        }
        fields.push((keys::ACCOUNTS, id, text, value.into()));
        let (guards, batch) = fields
            .into_iter()
            .map(|(key, field, before, after)| {
                let guard = Guard::Field {
                    key: key.to_owned(),
                    field: field.clone(),
                    is: Some(before),
                };
                let set = Command::HSet {
                    key: key.to_owned(),
                    entries: vec![(field, after)],
                };
                (guard, set)
            })
            .unzip();
        if store.atomically(guards, batch).await? != Applied::Yes {
            return Err(changed("an account"));
        }
        count += 1;
    }
    Ok(count)
}

/// Seals the data about imported client keys with the new key.
async fn old_keys(store: &dyn Whole, old: &Keyring, new: &Keyring) -> Result<(), BackupError> {
    let Some(text) = raw(store, keys::OLD_KEYS).await? else {
        return Ok(());
    };
    let sealed = reseal_old_keys(&text, old, new, &NativeRandom).map_err(|error| {
        refused(format!(
            "what the imported client keys are known by does not open: {error}"
        ))
    })?;
    let Some(sealed) = sealed else { return Ok(()) };
    let guard = Guard::Value {
        key: keys::OLD_KEYS.to_owned(),
        is: Some(text),
    };
    let set = Command::Set {
        key: keys::OLD_KEYS.to_owned(),
        value: sealed,
        expire_at: None,
    };
    match store.atomically(vec![guard], vec![set]).await? {
        Applied::Yes => Ok(()),
        Applied::No { .. } => Err(changed("the record of imported keys")),
    }
}

fn changed(what: &str) -> BackupError {
    BackupError::Failed(format!(
        "{what} changed meanwhile, so a relay still runs: end it, and run this again"
    ))
}

/// No other data may be sealed with the old key, except records that expire within minutes; those are deleted now.
async fn leftovers(store: &dyn Whole, old: &Keyring) -> Result<(), BackupError> {
    let sign_ins = keys::sign_in("");
    let marks = ["v1", "v2"].map(|version| format!("{version}:{}:", old.seal_id()));
    let holds = |text: &[u8]| {
        marks
            .iter()
            .any(|mark| memchr::memmem::find(text, mark.as_bytes()).is_some())
    };
    let mut gone = Vec::new();
    let mut parts = store.parts().await?;
    while let Some(some) = parts.next().await? {
        for part in some {
            if part.key.starts_with(&sign_ins) {
                gone.push(Command::Del { key: part.key });
                continue;
            }
            let found = part.key != EARLIER
                && match &part.content {
                    Content::Text(text) => holds(text),
                    Content::Hash(entries) => entries.iter().any(|(_, value)| holds(value)),
                    Content::Set(members) => members.iter().any(|member| holds(member.as_bytes())),
                    Content::Sorted(entries) => entries.iter().any(|(_, member)| holds(member.as_bytes())),
                };
            if found {
                return Err(BackupError::Failed(format!(
                    "{} holds a value sealed with the old key that this crs does not know how to seal anew: nothing is lost, \
                     set ENCRYPTION_KEY back and run `crs rekey` with a version that does",
                    part.key
                )));
            }
        }
    }
    drop(parts);
    if !gone.is_empty() {
        store.run(gone).await?;
    }
    Ok(())
}

/// From here on the new key counts.
async fn finish(
    store: &dyn Whole,
    setup: &Setup,
    old: &Keyring,
    new: &Keyring,
    found: &Schema,
) -> Result<(), BackupError> {
    for _ in 0..ROUNDS {
        let admin = raw(store, keys::ADMIN).await?;
        let earlier = text_at(store, EARLIER).await?;
        let sealed = new
            .with_earlier(
                old,
                &setup.config.secrets.encryption,
                earlier.as_deref(),
                &NativeRandom,
            )
            .map_err(|error| {
                refused(format!(
                    "what the store has of keys from before cannot be read: {error}"
                ))
            })?;
        let finished = Schema {
            unfinished: None,
            ..found.clone()
        };
        let set = |key: &str, value: Vec<u8>| Command::Set {
            key: key.to_owned(),
            value: value.into(),
            expire_at: None,
        };
        let mut batch = vec![
            set(keys::FINGERPRINT, new.fingerprint().as_bytes().to_vec()),
            set(EARLIER, sealed.into_bytes()),
            finished.set()?,
            // Hashed with the old key, so these could not be found any more.
            Command::Del {
                key: keys::LOGIN_KNOWN.to_owned(),
            },
        ];
        if let Some(text) = &admin
            && let Ok(login) = serde_json::from_slice::<Admin>(text)
        {
            let login = Admins::relabelled(login, old, new, &setup.config.admin);
            let value: Result<Vec<u8>, _> = serde_json::to_vec::<Admin>(&login);
            batch.push(set(
                keys::ADMIN,
                value.map_err(|error| BackupError::Failed(error.to_string()))?,
            ));
        }
        let guards = vec![
            Guard::Value {
                key: keys::FINGERPRINT.to_owned(),
                is: Some(old.fingerprint().to_owned().into()),
            },
            Guard::Value {
                key: keys::ADMIN.to_owned(),
                is: admin,
            },
        ];
        if store.atomically(guards, batch).await? == Applied::Yes {
            return Ok(());
        }
    }
    Err(BackupError::Failed(
        "others change the store: end the relay, and run this again".to_owned(),
    ))
}

async fn field(store: &dyn Store, key: &str, field: &str) -> Result<Option<bytes::Bytes>, StoreError> {
    let get = Command::HGet {
        key: key.to_owned(),
        field: field.to_owned(),
    };
    Ok(match store.run(vec![get]).await?.pop() {
        Some(Reply::Value(value)) => value,
        _ => None,
    })
}

async fn raw(store: &dyn Store, key: &str) -> Result<Option<bytes::Bytes>, StoreError> {
    let get = Command::Get { key: key.to_owned() };
    Ok(match store.run(vec![get]).await?.pop() {
        Some(Reply::Value(value)) => value,
        _ => None,
    })
}

async fn text_at(store: &dyn Store, key: &str) -> Result<Option<String>, StoreError> {
    Ok(raw(store, key)
        .await?
        .map(|text| String::from_utf8_lossy(&text).into_owned()))
}

fn refused(text: String) -> BackupError {
    BackupError::Refused(text)
}
