//! The commands `crs backup`, `verify`, `restore`, `move` and `rekey`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crs_edge::backup::{BackupReader, BadFile, Head, Passphrase, Summary};
use crs_edge::config::{self, StoreChoice, Vars};
use crs_edge::host::native::Setup;
use crs_edge::host::native::backups::{self, TransferSummary};
use crs_edge::host::native::draft::Draft;
use crs_edge::model::secret::Secret;
use crs_edge::port::backups::BackupError;
use serde_json::{Value, json};

use super::api;
use super::failure::Failure;
use super::input;
use super::output::{Output, record};
use super::{BackupArgs, MoveArgs, RestoreArgs, VerifyArgs};

/// Requests a backup from the relay, verifies the file and then gives it its name.
pub(super) async fn backup(args: BackupArgs, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let file = &args.file;
    if file.exists() {
        return Err(Failure::Usage(format!(
            "{} is there already: name another file",
            file.display()
        )));
    }
    let passphrase = match &args.passphrase_file {
        Some(from) => Some(input::passphrase(Some(from), "passphrase")?),
        None if args.seal => Some(input::new_passphrase()?),
        None => config::backup_passphrase(environment),
    };
    if let Some(text) = &passphrase {
        // Checked before anything is requested.
        Passphrase::new(text.reveal()).map_err(Failure::Usage)?;
    }
    let mut draft = file.as_os_str().to_owned();
    draft.push(".part");
    let draft = Draft::at(PathBuf::from(draft)).map_err(|error| unwritten(file, &error))?;
    let body = json!({ "passphrase": passphrase.as_ref().map(Secret::reveal) });
    let download = api::with(environment, async |api| {
        let written = |bytes: &[u8]| {
            draft
                .file()
                .write_all(bytes)
                .map_err(|error| unwritten(file, &error))
        };
        let work = api.download("/admin/backups/export", &body, written);
        output.waiting("reading the store", work).await
    });
    download.await?;
    let key = passphrase.map(|text| Passphrase::existing(text.reveal()));
    let path = draft.path().to_owned();
    let read = output.waiting(
        "checking the file",
        off_loop(move || backups::verify(&path, key.as_ref())),
    );
    let (head, summary) = read.await?.map_err(|error| bad(file, &error))?;
    draft.keep(file).map_err(|error| unwritten(file, &error))?;
    let value = summary_json(&head, &summary, &json!({ "file": file.display().to_string() }));
    output.result(&value, || {
        let how = if head.sealed.is_some() {
            "sealed with the passphrase"
        } else {
            "not sealed"
        };
        format!("{} is whole, {how}.\n{}", file.display(), shown(&head, &summary))
    });
    output.note(
        "Keep ENCRYPTION_KEY elsewhere: it is not in the file, and the accounts' secrets open with it alone.",
    );
    Ok(())
}

pub(super) async fn verify(args: VerifyArgs, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    let file = args.file.clone();
    let key = passphrase_of(&file, args.passphrase_file.as_deref(), environment)?;
    let read = off_loop(move || backups::verify(&file, key.as_ref()));
    let read = output.waiting("reading", read).await?;
    let (head, summary) = read.map_err(|error| bad(&args.file, &error))?;
    let value = summary_json(
        &head,
        &summary,
        &json!({ "file": args.file.display().to_string(), "whole": true }),
    );
    output.result(&value, || {
        format!("{} is whole.\n{}", args.file.display(), shown(&head, &summary))
    });
    Ok(())
}

pub(super) async fn restore(
    args: RestoreArgs,
    environment: &dyn Vars,
    output: &Output,
) -> Result<(), Failure> {
    nobody_runs(environment).await?;
    let key = passphrase_of(&args.file, args.passphrase_file.as_deref(), environment)?;
    let setup = Setup::for_sealed_data(environment).map_err(api::unready)?;
    let target = target(args.to.as_deref(), &setup, environment)?;
    let work = backups::restore(&args.file, key, &setup, &target);
    let done = output
        .waiting("restoring", work)
        .await
        .map_err(|error| failed(&args.file, error))?;
    transferred(&done, "restored", args.to.as_deref(), output);
    Ok(())
}

pub(super) async fn move_to(args: MoveArgs, environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    nobody_runs(environment).await?;
    let setup = Setup::for_sealed_data(environment).map_err(api::unready)?;
    let target = target(Some(&args.to), &setup, environment)?;
    let work = backups::move_to(&setup, &target);
    let done = output
        .waiting("copying", work)
        .await
        .map_err(|error| failed(Path::new("the store"), error))?;
    transferred(&done, "moved", Some(&args.to), output);
    Ok(())
}

/// Seals everything with another key.
pub(super) async fn rekey(environment: &dyn Vars, output: &Output) -> Result<(), Failure> {
    nobody_runs(environment).await?;
    let work = crs_edge::host::native::rekey::rekey(environment);
    let done = output
        .waiting("sealing anew", work)
        .await
        .map_err(|error| failed(Path::new("the store"), error))?;
    let value = json!({ "accounts": done.accounts, "from": done.from, "to": done.to, "kept": done.kept });
    output.result(&value, || {
        let next = if done.kept {
            "The new key is in secrets.json of the data folder."
        } else {
            "Set ENCRYPTION_KEY to the new key, on every relay of this store, and take NEW_ENCRYPTION_KEY away."
        };
        format!(
            "Everything is sealed with the key {} now, {} accounts by this run. Client keys stay good. {next}",
            done.to, done.accounts
        )
    });
    output.note("Backups from before open with the old key only.");
    Ok(())
}

fn target(to: Option<&str>, setup: &Setup, environment: &dyn Vars) -> Result<StoreChoice, Failure> {
    match to {
        None => Ok(setup.config.store.clone()),
        Some(to) => setup
            .store_at(environment, to)
            .map_err(|problems| Failure::Usage(problems.to_string())),
    }
}

fn transferred(done: &TransferSummary, verb: &str, to: Option<&str>, output: &Output) {
    let TransferSummary { summary, target } = done;
    let value = json!({
        "target": target, "keys": summary.keys, "records": summary.records, "bytes": summary.bytes,
        "digest": summary.digest, "leftOut": summary.left_out, "equal": true,
    });
    output.result(&value, || {
        let rows = [
            ("keys", summary.keys.to_string()),
            ("records", summary.records.to_string()),
            ("digest", summary.digest.clone()),
            ("left out", summary.left_out.to_string()),
        ];
        format!(
            "All records were {verb} to {target}, read back, and are equal.\n{}",
            record(&rows)
        )
    });
    if to.is_some() {
        output.note("The settings still name the store from before: set STORE and its address to the new one, then start.");
    }
}

/// The passphrase for a sealed file: from a file, the settings, or a prompt.
fn passphrase_of(
    file: &Path,
    from: Option<&Path>,
    environment: &dyn Vars,
) -> Result<Option<Passphrase>, Failure> {
    let opened = File::open(file)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    let head = BackupReader::read(opened)
        .map_err(|error| bad(file, &error))?
        .head;
    if head.sealed.is_none() {
        return Ok(None);
    }
    let text = match (from, config::backup_passphrase(environment)) {
        (None, Some(text)) => text,
        (from, _) => input::passphrase(from, "passphrase")?,
    };
    Ok(Some(Passphrase::existing(text.reveal())))
}

async fn nobody_runs(environment: &dyn Vars) -> Result<(), Failure> {
    match api::running(environment).await? {
        None => Ok(()),
        Some(_) => Err(Failure::Usage(
            "a server runs on this data folder: end it first".to_owned(),
        )),
    }
}

fn summary_json(head: &Head, summary: &Summary, more: &Value) -> Value {
    let mut value = json!({
        "by": head.by, "createdAt": head.created_at, "store": head.store, "schema": head.schema,
        "fingerprint": head.fingerprint, "sealed": head.sealed.is_some(), "keys": summary.keys,
        "records": summary.records, "bytes": summary.bytes, "digest": summary.digest, "leftOut": summary.left_out,
    });
    if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
        value.extend(more.clone());
    }
    value
}

fn shown(head: &Head, summary: &Summary) -> String {
    record(&[
        ("made", head.created_at.clone()),
        ("by", head.by.clone()),
        ("of a store", head.store.clone()),
        ("schema", head.schema.to_string()),
        (
            "sealed",
            if head.sealed.is_some() { "yes" } else { "no" }.to_owned(),
        ),
        (
            "secrets inside open with key",
            head.fingerprint.clone().unwrap_or_default(),
        ),
        ("keys", summary.keys.to_string()),
        ("records", summary.records.to_string()),
        ("digest", summary.digest.clone()),
        ("left out", summary.left_out.to_string()),
    ])
}

async fn off_loop<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(job)
        .await
        .map_err(|error| Failure::Failed(error.to_string()))
}

fn unwritten(file: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{} cannot be written: {error}", file.display()))
}

fn bad(file: &Path, error: &BadFile) -> Failure {
    let text = format!("{}: {error}", file.display());
    match error {
        BadFile::PassphraseNeeded | BadFile::WrongPassphrase | BadFile::Newer { .. } => Failure::Usage(text),
        _ => Failure::Failed(text),
    }
}

fn failed(what: &Path, error: BackupError) -> Failure {
    match error {
        BackupError::Refused(text) => Failure::Usage(text),
        BackupError::Store(error) => Failure::Away(error.to_string()),
        BackupError::Failed(text) => Failure::Failed(text),
        error @ (BackupError::Busy | BackupError::Unknown) => {
            Failure::Failed(format!("{}: {error}", what.display()))
        }
    }
}
