//! `/admin/backups`: backups of the whole store, on hosts with a file system.
//!
//! A backup contains everything: the accounts' secrets, sealed with `ENCRYPTION_KEY`, hashes of client keys and
//! of the admin's password, and the records of calls.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get as read, post, put};
use axum::{Json, Router};
use http::StatusCode;
use http::header::{self, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Input, SMALL};
use crate::app::App;
use crate::model::backup::{BackupFile, Schedule};
use crate::model::secret::Secret;
use crate::model::time::iso;
use crate::port::backups::{BackupError, Backups, BackupsState, FileStream};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/backups", read(get).post(begin))
        .route("/admin/backups/export", post(export))
        .route("/admin/backups/schedule", put(set_schedule))
        .route("/admin/backups/files/{name}", read(download).delete(remove))
}

/// Backups on the relay's machine, and the last attempt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Backups)]
pub(super) struct BackupsView {
    /// Newest first.
    files: Vec<FileView>,
    /// Their folder on the relay's machine (`BACKUP_DIR`).
    folder: String,
    schedule: ScheduleView,
    /// Whether a schedule is possible: only with the embedded store.
    can_schedule: bool,
    /// Whether new files are encrypted (`BACKUP_PASSPHRASE`).
    sealed: bool,
    /// Start of the running backup; `null`: none is running.
    #[schema(format = DateTime)]
    running_since: Option<String>,
    /// Why the last attempt failed; `null`: it did not.
    failure: Option<FailureView>,
    /// The schedule is on, and its newest backup is older than twice its interval.
    overdue: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BackupFile)]
pub(super) struct FileView {
    name: String,
    #[schema(format = DateTime)]
    made_at: String,
    /// Bytes.
    size: u64,
    why: ReasonView,
    /// Whether a passphrase is needed to read it.
    sealed: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BackupReason)]
enum ReasonView {
    /// An admin asked for it.
    Manual,
    Schedule,
    /// A newer version upgraded the data.
    Upgrade,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackupFailure)]
struct FailureView {
    #[schema(format = DateTime)]
    at: String,
    message: String,
}

/// The interval of backups, and how many are kept.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BackupSchedule)]
pub(super) struct ScheduleView {
    enabled: bool,
    #[schema(minimum = 1, maximum = 744)]
    every_hours: u32,
    /// Older scheduled backups are deleted.
    #[schema(minimum = 1, maximum = 365)]
    keep: u32,
}

/// The encryption of an export.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BackupExport)]
pub(super) struct ExportInput {
    /// `null`: the passphrase of the settings, or none.
    #[serde(default)]
    passphrase: Option<String>,
}

impl From<BackupsState> for BackupsView {
    fn from(state: BackupsState) -> Self {
        let file = |file: BackupFile| FileView {
            name: file.name,
            made_at: iso(file.made_at),
            size: file.size,
            why: match file.why {
                crate::model::backup::BackupReason::Manual => ReasonView::Manual,
                crate::model::backup::BackupReason::Schedule => ReasonView::Schedule,
                crate::model::backup::BackupReason::Upgrade => ReasonView::Upgrade,
            },
            sealed: file.sealed,
        };
        Self {
            files: state.files.into_iter().map(file).collect(),
            folder: state.folder,
            schedule: state.schedule.into(),
            can_schedule: state.can_schedule,
            sealed: state.sealed,
            running_since: state.running_since.map(iso),
            failure: state
                .failure
                .map(|(at, message)| FailureView { at: iso(at), message }),
            overdue: state.overdue,
        }
    }
}

impl From<Schedule> for ScheduleView {
    fn from(schedule: Schedule) -> Self {
        Self {
            enabled: schedule.enabled,
            every_hours: schedule.every_hours,
            keep: schedule.keep,
        }
    }
}

/// Backups in the folder, the schedule, and the last attempt.
#[utoipa::path(
    get, path = "/admin/backups", operation_id = "getBackups", tag = "operations", security(("admin" = [])),
    responses((status = 200, body = BackupsView), (status = 404, body = ErrorBody<'_>))
)]
pub(super) async fn get(State(app): State<App>, _: AdminSession) -> Result<Json<BackupsView>, ApiError> {
    Ok(Json(backups(&app)?.state().await?.into()))
}

/// Starts a backup into the folder; `runningSince` and `failure` show its progress.
#[utoipa::path(
    post, path = "/admin/backups", operation_id = "makeBackup", tag = "operations", security(("admin" = [])),
    responses((status = 202, body = BackupsView), (status = 409, body = ErrorBody<'_>))
)]
pub(super) async fn begin(
    State(app): State<App>,
    session: AdminSession,
) -> Result<(StatusCode, Json<BackupsView>), ApiError> {
    let backups = backups(&app)?;
    noted(&app, &session, "backup.create", "folder").await?;
    backups.begin()?;
    Ok((StatusCode::ACCEPTED, Json(backups.state().await?.into())))
}

/// Streams a backup of this moment without storing it on the relay's machine. After an error the stream breaks
/// off, and the file is recognisable as truncated.
#[utoipa::path(
    post, path = "/admin/backups/export", operation_id = "exportBackup", tag = "operations", security(("admin" = [])),
    request_body = ExportInput,
    responses(
        (status = 200, body = String, content_type = "application/octet-stream"),
        (status = 409, body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn export(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<ExportInput, SMALL>,
) -> Result<Response, ApiError> {
    let backups = backups(&app)?;
    noted(&app, &session, "backup.export", "export").await?;
    let stream = backups.export(input.passphrase.map(Secret::new)).await?;
    Ok(attachment(stream, "crs.backup", None))
}

/// Downloads a backup file.
#[utoipa::path(
    get, path = "/admin/backups/files/{name}", operation_id = "downloadBackup", tag = "operations", security(("admin" = [])),
    params(("name" = String, Path, description = "`name` of the list")),
    responses(
        (status = 200, body = String, content_type = "application/octet-stream"),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(super) async fn download(
    State(app): State<App>,
    session: AdminSession,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let (length, stream) = backups(&app)?.read(&name).await?;
    noted(&app, &session, "backup.download", &name).await?;
    Ok(attachment(stream, &name, Some(length)))
}

/// Deletes a backup file.
#[utoipa::path(
    delete, path = "/admin/backups/files/{name}", operation_id = "deleteBackup", tag = "operations", security(("admin" = [])),
    params(("name" = String, Path, description = "`name` of the list")),
    responses((status = 204), (status = 404, body = ErrorBody<'_>))
)]
pub(super) async fn remove(
    State(app): State<App>,
    session: AdminSession,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let backups = backups(&app)?;
    noted(&app, &session, "backup.delete", &name).await?;
    backups.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets the schedule. Only for the embedded store: for others, use a timer of the operating system.
#[utoipa::path(
    put, path = "/admin/backups/schedule", operation_id = "setBackupSchedule", tag = "operations", security(("admin" = [])),
    request_body = ScheduleView,
    responses(
        (status = 200, body = BackupsView),
        (status = 409, body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn set_schedule(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<ScheduleView, SMALL>,
) -> Result<Json<BackupsView>, ApiError> {
    if !(1..=744).contains(&input.every_hours) {
        return Err(ApiError::invalid(
            "everyHours",
            "`everyHours` must be from 1 to 744",
        ));
    }
    if !(1..=365).contains(&input.keep) {
        return Err(ApiError::invalid("keep", "`keep` must be from 1 to 365"));
    }
    let backups = backups(&app)?;
    noted(&app, &session, "backup.schedule", "schedule").await?;
    let schedule = Schedule {
        enabled: input.enabled,
        every_hours: input.every_hours,
        keep: input.keep,
    };
    backups.set_schedule(schedule).await?;
    Ok(Json(backups.state().await?.into()))
}

fn backups(app: &App) -> Result<&Arc<dyn Backups>, ApiError> {
    let backups = app.ports.backups.as_ref();
    backups.ok_or_else(|| ApiError::not_found("thing here: this host has no files"))
}

/// Logged before the action.
async fn noted(app: &App, session: &AdminSession, action: &'static str, what: &str) -> Result<(), ApiError> {
    app.audit.event(action, format!("backup:{what}"), what).await?;
    session.audit(action, what);
    Ok(())
}

fn attachment(stream: FileStream, name: &str, length: Option<u64>) -> Response {
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Busy => Self::conflict(
                "backup_running",
                "A backup is being made already. Try again when it is done.",
            ),
            BackupError::Unknown => Self::not_found("backup"),
            BackupError::Refused(text) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", text),
            BackupError::Failed(text) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "backup_failed", text),
            BackupError::Store(error) => error.into(),
        }
    }
}
