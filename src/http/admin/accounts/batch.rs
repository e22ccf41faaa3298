//! `POST /admin/accounts/batch`: the same change or action for several accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Input, LARGE};
use super::super::batch::{BatchChange, BatchIds, BatchResult, RecordResult, changes, exactly_one};
use super::input::{AccountChange, SharedEdit};
use crate::app::App;
use crate::model::account::{Account, KeyHeader, Platform};
use crate::model::money::Usd;
use crate::model::time::iso;
use crate::store::accounts::EditResult;

/// The accounts, and either `change` or `action`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct AccountBatchInput {
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    ids: BatchIds,
    /// As in `PATCH /admin/accounts/{id}`, without the fields that belong to one account.
    #[serde(default)]
    #[schema(nullable = false)]
    change: Option<AccountChange>,
    #[serde(default)]
    #[schema(nullable = false)]
    action: Option<AccountAction>,
    /// Only report the changes.
    #[serde(default)]
    dry_run: bool,
}

/// An action on each account of a batch.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) enum AccountAction {
    /// Clears cooldowns, back-off and refused credentials.
    Reset,
    /// Unbinds its conversations.
    FlushSessions,
    /// Deletes it and its secrets permanently.
    Delete,
    Enable,
    Disable,
    Pause,
    Resume,
}

enum Task {
    Edit(Box<SharedEdit>),
    Set(fn(&mut Account)),
    Reset,
    FlushSessions,
    Delete,
}

impl From<AccountAction> for Task {
    fn from(action: AccountAction) -> Self {
        match action {
            AccountAction::Reset => Self::Reset,
            AccountAction::FlushSessions => Self::FlushSessions,
            AccountAction::Delete => Self::Delete,
            AccountAction::Enable => Self::Set(|account| account.is_active = true),
            AccountAction::Disable => Self::Set(|account| account.is_active = false),
            AccountAction::Pause => Self::Set(|account| account.schedulable = false),
            AccountAction::Resume => Self::Set(|account| account.schedulable = true),
        }
    }
}

/// Changes up to 100 accounts or runs the same action on each: send exactly one of `change` and `action`. Each
/// account changes in its own atomic step, and a failure does not affect the others: see `results`. An account
/// that already has the values is not written. Input that is invalid for every account is a 422, and nothing is
/// changed.
///
/// Costs two round trips of the store for each account, and one call of each platform's pool; `reset` and
/// `flushSessions` cost one pool call for each account.
#[utoipa::path(
    post, path = "/admin/accounts/batch", operation_id = "batchAccounts", tag = "accounts", security(("admin" = [])), request_body = AccountBatchInput,
    responses(
        (status = 200, body = BatchResult, description = "Even if some failed"),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn batch(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<AccountBatchInput, LARGE>,
) -> Result<Json<BatchResult>, ApiError> {
    exactly_one(input.change.is_some(), input.action.is_some())?;
    let task = match (input.change, input.action) {
        (Some(change), _) => Task::Edit(Box::new(change.checked(&app).await?)),
        (None, Some(action)) => action.into(),
        (None, None) => return Err(ApiError::missing("change")),
    };
    let batch = Batch {
        task,
        dry_run: input.dry_run,
        touched: ChangedPlatforms::new(&app),
        app: &app,
        session: &session,
    };
    let result = BatchResult::of(input.ids, input.dry_run, |id| batch.one(id)).await;
    batch.touched.invalidate().await;
    Ok(Json(result))
}

struct Batch<'a> {
    app: &'a App,
    session: &'a AdminSession,
    task: Task,
    dry_run: bool,
    touched: ChangedPlatforms,
}

/// Why an account was not written.
enum EditFailure {
    /// It already has the values.
    Same,
    Refused(ApiError),
}

impl Batch<'_> {
    async fn one(&self, id: String) -> RecordResult {
        match &self.task {
            Task::Edit(edit) => self.edit(&id, |account| edit.apply(account)).await,
            Task::Set(set) => {
                let set = |account: &mut Account| {
                    set(account);
                    Ok(())
                };
                self.edit(&id, set).await
            }
            Task::Reset | Task::FlushSessions | Task::Delete => self.act(&id).await,
        }
    }

    async fn edit(
        &self,
        id: &str,
        edit: impl Fn(&mut Account) -> Result<(), ApiError> + Send + Sync,
    ) -> RecordResult {
        let mut name = None;
        let mut changes = Vec::new();
        let mut edit = |account: &mut Account| {
            name = Some(account.name.clone());
            let before = account.clone();
            edit(account).map_err(EditFailure::Refused)?;
            changes = differences(&before, account);
            if changes.is_empty() {
                Err(EditFailure::Same)
            } else {
                Ok(())
            }
        };
        let edited = if self.dry_run {
            match self.app.accounts.get(id).await {
                Ok(Some(mut account)) => match edit(&mut account) {
                    Ok(()) => Ok(EditResult::Done(Box::new(account))),
                    Err(unwritten) => Ok(EditResult::Refused(unwritten)),
                },
                Ok(None) => Ok(EditResult::Unknown),
                Err(error) => Err(error),
            }
        } else {
            let now = self.app.ports.clock.now();
            self.app.accounts.try_update(id, now, edit).await
        };
        let error = match edited {
            Ok(EditResult::Done(account)) => {
                if !self.dry_run {
                    self.touched.add(account.platform);
                    self.session.audit("account.update", id);
                }
                return RecordResult::done(account.name, changes);
            }
            Ok(EditResult::Refused(EditFailure::Same)) => {
                return RecordResult::done(name.unwrap_or_default(), Vec::new());
            }
            Ok(EditResult::Refused(EditFailure::Refused(error))) => error,
            Ok(EditResult::SecretNeeded(needed)) => super::secret_needed(&needed),
            Ok(EditResult::Unknown) => super::unknown(),
            Err(error) => error.into(),
        };
        RecordResult::failed(name, error)
    }

    async fn act(&self, id: &str) -> RecordResult {
        let account = match self.app.accounts.get(id).await {
            Ok(Some(account)) => account,
            Ok(None) => return RecordResult::failed(None, super::unknown()),
            Err(error) => return RecordResult::failed(None, error),
        };
        let done = if self.dry_run {
            Ok(())
        } else {
            match self.task {
                Task::Reset => super::forget_held(self.app, self.session, &account).await,
                Task::FlushSessions => super::let_sessions_go(self.app, self.session, &account).await,
                _ => self.delete(&account).await,
            }
        };
        match done {
            Ok(()) => RecordResult::done(account.name, Vec::new()),
            Err(error) => RecordResult::failed(Some(account.name), error),
        }
    }

    async fn delete(&self, account: &Account) -> Result<(), ApiError> {
        if !self.app.accounts.delete(&account.id).await? {
            return Err(super::unknown());
        }
        self.touched.add(account.platform);
        self.session.audit("account.delete", &account.id);
        Ok(())
    }
}

/// The platforms with changed accounts. Their pools are notified even if the client leaves early.
struct ChangedPlatforms {
    app: App,
    platforms: Mutex<BTreeSet<Platform>>,
}

impl ChangedPlatforms {
    fn new(app: &App) -> Self {
        Self {
            app: app.clone(),
            platforms: Mutex::default(),
        }
    }

    fn add(&self, platform: Platform) {
        self.locked().insert(platform);
    }

    fn locked(&self) -> MutexGuard<'_, BTreeSet<Platform>> {
        self.platforms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A platform stays listed until its pool has been notified, so that none is lost if the client leaves
    /// meanwhile.
    async fn invalidate(&self) {
        loop {
            let next = self.locked().first().copied();
            let Some(platform) = next else { return };
            super::invalidate(&self.app, platform).await;
            self.locked().remove(&platform);
        }
    }
}

impl Drop for ChangedPlatforms {
    fn drop(&mut self) {
        let platforms = std::mem::take(&mut *self.locked());
        if platforms.is_empty() {
            return;
        }
        let app = self.app.clone();
        self.app.ports.tasks.spawn(Box::pin(async move {
            for platform in platforms {
                super::invalidate(&app, platform).await;
            }
        }));
    }
}

/// The fields that a batch can change, as shown in an account.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changeable<'a> {
    description: &'a str,
    priority: u32,
    max_concurrency: u32,
    is_active: bool,
    schedulable: bool,
    model_mapping: &'a BTreeMap<String, String>,
    groups: &'a BTreeSet<String>,
    shared: bool,
    supported_models: Option<&'a BTreeSet<String>>,
    subscription_expires_at: Option<String>,
    daily_quota: Usd,
    reserve_percent: u8,
    key_header: Option<KeyHeader>,
    user_agent: Option<&'a str>,
    chat_only: bool,
    api_version: Option<&'a str>,
}

impl<'a> Changeable<'a> {
    fn of(account: &'a Account) -> Self {
        Self {
            description: &account.description,
            priority: account.priority,
            max_concurrency: account.max_concurrency,
            is_active: account.is_active,
            schedulable: account.schedulable,
            model_mapping: &account.model_mapping,
            groups: &account.groups,
            shared: account.shared,
            supported_models: account.supported_models.as_ref(),
            subscription_expires_at: account.subscription_expires_at.map(iso),
            daily_quota: account.daily_quota.into(),
            reserve_percent: account.reserve_percent,
            key_header: account.key_header,
            user_agent: account.user_agent.as_deref(),
            chat_only: account.chat_only,
            api_version: account.api_version.as_deref(),
        }
    }
}

fn differences(before: &Account, after: &Account) -> Vec<BatchChange> {
    changes(&Changeable::of(before), &Changeable::of(after))
}
