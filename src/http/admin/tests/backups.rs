//! `/admin/backups` over a folder that is scripted: what is asked of the port, refused before it, and told of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;

use super::bench::{Bench, NOW};
use crate::model::backup::{BackupFile, BackupReason, Schedule};
use crate::model::secret::Secret;
use crate::port::backups::{BackupError, Backups, BackupsState, FileStream};

/// A folder in memory. A file's content is JSON, since the bench reads each answer so.
#[derive(Default)]
pub(super) struct ScriptedFolder {
    files: Mutex<Vec<BackupFile>>,
    schedule: Mutex<Schedule>,
    /// The passphrase of the last export.
    sealed_by: Mutex<Option<String>>,
}

const CONTENT: &[u8] = b"\"a backup\"";

fn content() -> FileStream {
    stream::iter([Ok(Bytes::from_static(CONTENT))]).boxed()
}

#[async_trait]
impl Backups for ScriptedFolder {
    async fn export(&self, passphrase: Option<Secret>) -> Result<FileStream, BackupError> {
        *self.sealed_by.lock().unwrap() = passphrase.map(|passphrase| passphrase.reveal().to_owned());
        Ok(content())
    }

    async fn state(&self) -> Result<BackupsState, BackupError> {
        Ok(BackupsState {
            files: self.files.lock().unwrap().clone(),
            folder: "/data/backups".to_owned(),
            schedule: *self.schedule.lock().unwrap(),
            can_schedule: true,
            sealed: false,
            running_since: None,
            failure: None,
            overdue: false,
        })
    }

    fn begin(&self) -> Result<(), BackupError> {
        let mut files = self.files.lock().unwrap();
        if !files.is_empty() {
            return Err(BackupError::Busy);
        }
        files.push(BackupFile {
            name: "one.backup".to_owned(),
            made_at: NOW,
            size: CONTENT.len() as u64,
            why: BackupReason::Manual,
            sealed: false,
        });
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<(u64, FileStream), BackupError> {
        let files = self.files.lock().unwrap();
        let file = files.iter().find(|file| file.name == name);
        file.map(|file| (file.size, content()))
            .ok_or(BackupError::Unknown)
    }

    async fn remove(&self, name: &str) -> Result<(), BackupError> {
        let mut files = self.files.lock().unwrap();
        let before = files.len();
        files.retain(|file| file.name != name);
        if files.len() == before {
            return Err(BackupError::Unknown);
        }
        Ok(())
    }

    async fn set_schedule(&self, schedule: Schedule) -> Result<(), BackupError> {
        *self.schedule.lock().unwrap() = schedule;
        Ok(())
    }
}

#[tokio::test]
async fn a_backup_is_made_read_and_deleted() {
    let bench = Bench::new().await;
    let made = bench.post("/admin/backups", json!({})).await.is(202);
    assert_eq!(made.json["files"][0]["name"], "one.backup");
    assert_eq!(made.json["files"][0]["why"], "manual");
    let busy = bench.post("/admin/backups", json!({})).await.is(409);
    assert_eq!(busy.json["error"], "backup_running");
    let file = "/admin/backups/files/one.backup";
    let read = bench.get(file).await.is(200);
    assert_eq!(read.json, "a backup");
    let header = |name: &str| {
        read.headers
            .iter()
            .find(|(have, _)| *have == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(
        header("content-disposition"),
        "attachment; filename=\"one.backup\""
    );
    assert_eq!(header("content-length"), CONTENT.len().to_string());
    bench.call("DELETE", file, &json!(null)).await.is(204);
    bench.call("DELETE", file, &json!(null)).await.is(404);
    bench.get(file).await.is(404);
    bench.raw("GET", file, None, "").await.is(401);
    bench
        .raw("POST", "/admin/backups/export", None, "{}")
        .await
        .is(401);
}

#[tokio::test]
async fn a_schedule_that_cannot_be_is_refused_by_its_field() {
    let bench = Bench::new().await;
    let path = "/admin/backups/schedule";
    for (hours, keep, field) in [
        (0, 7, "everyHours"),
        (745, 7, "everyHours"),
        (24, 0, "keep"),
        (24, 366, "keep"),
    ] {
        let schedule = json!({"enabled": true, "everyHours": hours, "keep": keep});
        bench
            .call("PUT", path, &schedule)
            .await
            .refuses(422, "invalid_field", field);
    }
    let schedule = json!({"enabled": true, "everyHours": 6, "keep": 30});
    let set = bench.call("PUT", path, &schedule).await.is(200);
    assert_eq!(set.json["schedule"], schedule);
}

#[tokio::test]
async fn an_export_is_sealed_with_the_passphrase_of_its_request() {
    let folder = Arc::new(ScriptedFolder::default());
    let bench = Bench::new().await.with_backups(Some(folder.clone())).await;
    let seal = json!({"passphrase": "battery staple"});
    bench.post("/admin/backups/export", seal).await.is(200);
    assert_eq!(
        folder.sealed_by.lock().unwrap().as_deref(),
        Some("battery staple")
    );
}

#[tokio::test]
async fn a_host_without_files_says_so() {
    let bench = Bench::new().await.with_backups(None).await;
    bench.get("/admin/backups").await.is(404);
    bench.post("/admin/backups", json!({})).await.is(404);
}
