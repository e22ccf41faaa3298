//! `POST /admin/api-keys/batch`: the same change or action for several keys.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Input, InputField, Object};
use super::super::batch::{
    BatchChange, BatchIds, BatchResult, RecordResult, changes, exactly_one, in_change,
};
use super::super::fields::Tags;
use super::bindings::CheckedBindings;
use super::input::KeyInput;
use super::rules;
use super::secret;
use super::view::{KeySums, KeyView};
use crate::app::App;
use crate::model::key::Key;
use crate::store::api_keys::KeyChange;

/// Maximum number of tags per key.
const MOST_TAGS: usize = 50;

/// The keys, and either a change of fields and tags or an action.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct KeyBatchInput {
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    ids: BatchIds,
    /// As in `PATCH /admin/api-keys/{id}`.
    #[serde(default)]
    #[schema(value_type = KeyInput, required = false)]
    change: InputField<Object<KeyInput>>,
    /// Tags to add to each key. Not together with `change.tags`.
    #[serde(default)]
    #[schema(value_type = Vec<String>, required = false)]
    add_tags: InputField<Tags>,
    /// Tags to remove from each key. Not together with `change.tags`.
    #[serde(default)]
    #[schema(value_type = Vec<String>, required = false)]
    remove_tags: InputField<Tags>,
    #[serde(default)]
    #[schema(nullable = false)]
    action: Option<KeyAction>,
    /// Only report the changes.
    #[serde(default)]
    dry_run: bool,
}

/// An action on each key of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) enum KeyAction {
    /// Can be restored.
    Delete,
    Restore,
    /// Deletes deleted keys permanently.
    Purge,
    Enable,
    Disable,
}

enum Task {
    Edit(Box<Edit>),
    SetActive(bool),
    Delete,
    Restore,
    Purge,
}

#[derive(Default)]
struct Edit {
    change: Option<(KeyInput, CheckedBindings)>,
    add: Vec<String>,
    remove: Vec<String>,
}

impl Edit {
    async fn checked(
        app: &App,
        change: Option<KeyInput>,
        add: InputField<Tags>,
        remove: InputField<Tags>,
    ) -> Result<Self, ApiError> {
        let tags = |sent: InputField<Tags>| match sent {
            InputField::Yes(Tags(tags)) => tags,
            InputField::No => Vec::new(),
        };
        let (add, remove) = (tags(add), tags(remove));
        for (field, tags) in [("addTags", &add), ("removeTags", &remove)] {
            let whole = change.as_ref().is_some_and(KeyInput::sets_tags);
            if whole && !tags.is_empty() {
                let message =
                    format!("`{field}` changes the tags that `change.tags` replaces: send one of them");
                return Err(ApiError::invalid(field, message));
            }
        }
        if add.iter().any(|tag| remove.contains(tag)) {
            let message = "`removeTags` has a tag that `addTags` has too";
            return Err(ApiError::invalid("removeTags", message));
        }
        let change = match change {
            Some(input) => {
                let bound = CheckedBindings::of(app, input.bindings())
                    .await
                    .map_err(in_change)?;
                Some((input, bound))
            }
            None => None,
        };
        Ok(Self { change, add, remove })
    }

    fn apply(&self, key: &mut Key) -> Result<(), ApiError> {
        if let Some((input, bound)) = &self.change {
            rules::apply(input, bound, key)?;
        }
        key.tags.retain(|tag| !self.remove.contains(tag));
        for tag in &self.add {
            if !key.tags.contains(tag) {
                key.tags.push(tag.clone());
            }
        }
        if !self.add.is_empty() && key.tags.len() > MOST_TAGS {
            let message = format!("the key would have more than {MOST_TAGS} tags");
            return Err(ApiError::invalid("addTags", message));
        }
        Ok(())
    }
}

/// Changes up to 100 keys or runs the same action on each: send either an action or a change (`change`,
/// `addTags`, `removeTags`). Each key changes in its own atomic step, and a failure does not affect the others:
/// see `results`. A key that already has the values is not written. Input that is invalid for every key is a 422,
/// and nothing is changed.
///
/// Costs two round trips of the store and one gate call for each changed key.
#[utoipa::path(
    post, path = "/admin/api-keys/batch", operation_id = "batchApiKeys", tag = "keys", security(("admin" = [])), request_body = KeyBatchInput,
    responses(
        (status = 200, body = BatchResult, description = "Even if some failed"),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn batch(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<KeyBatchInput>,
) -> Result<Json<BatchResult>, ApiError> {
    let change = match input.change {
        InputField::Yes(Object(change)) => Some(change),
        InputField::No => None,
    };
    let tags = input.add_tags.as_ref().is_some() || input.remove_tags.as_ref().is_some();
    exactly_one(change.is_some() || tags, input.action.is_some())?;
    let task = match input.action {
        None => Task::Edit(Box::new(
            Edit::checked(&app, change, input.add_tags, input.remove_tags).await?,
        )),
        Some(KeyAction::Enable) => Task::SetActive(true),
        Some(KeyAction::Disable) => Task::SetActive(false),
        Some(KeyAction::Delete) => Task::Delete,
        Some(KeyAction::Restore) => Task::Restore,
        Some(KeyAction::Purge) => Task::Purge,
    };
    let batch = Batch {
        app: &app,
        session: &session,
        task,
        dry_run: input.dry_run,
    };
    let result = BatchResult::of(input.ids, input.dry_run, |id| batch.one(id)).await;
    Ok(Json(result))
}

struct Batch<'a> {
    app: &'a App,
    session: &'a AdminSession,
    task: Task,
    dry_run: bool,
}

/// Why a key was not written.
enum EditFailure {
    /// It already has the values.
    Same,
    Refused(ApiError),
}

impl Batch<'_> {
    async fn one(&self, id: String) -> RecordResult {
        match &self.task {
            Task::Edit(edit) => self.edit(&id, |key| edit.apply(key)).await,
            Task::SetActive(active) => {
                let set = |key: &mut Key| {
                    key.is_active = *active;
                    Ok(())
                };
                self.edit(&id, set).await
            }
            Task::Delete | Task::Restore | Task::Purge => self.act(&id).await,
        }
    }

    async fn edit(
        &self,
        id: &str,
        edit: impl Fn(&mut Key) -> Result<(), ApiError> + Send + Sync,
    ) -> RecordResult {
        let now = self.app.ports.clock.now();
        let mut name = None;
        let mut changes = Vec::new();
        let mut edit = |key: &mut Key| {
            name = Some(key.name.clone());
            let before = key.clone();
            edit(key).map_err(EditFailure::Refused)?;
            changes = differences(&before, key);
            if changes.is_empty() {
                Err(EditFailure::Same)
            } else {
                Ok(())
            }
        };
        let edited = if self.dry_run {
            self.app.keys.get(id).await.map(|stored| match stored {
                None => Ok(KeyChange::Unknown),
                Some(key) if key.deleted_at.is_some() => Ok(KeyChange::WrongState),
                Some(mut key) => edit(&mut key).map(|()| KeyChange::Done(Box::new(key))),
            })
        } else {
            self.app.keys.try_update(id, now, edit).await
        };
        let changed = match edited {
            Ok(Ok(changed)) => changed,
            Ok(Err(EditFailure::Same)) => return RecordResult::done(name.unwrap_or_default(), Vec::new()),
            Ok(Err(EditFailure::Refused(error))) => return RecordResult::failed(name, error),
            Err(error) => return RecordResult::failed(name, error),
        };
        match super::done(changed, "The key is deleted: restore it first.") {
            Ok(key) => {
                if !self.dry_run {
                    super::teach(self.app, &key).await;
                    self.session.audit("key.update", id);
                }
                RecordResult::done(key.name, changes)
            }
            Err(error) => self.failed(id, error).await,
        }
    }

    async fn act(&self, id: &str) -> RecordResult {
        let done = if self.dry_run {
            self.possible(id).await
        } else {
            match self.task {
                Task::Restore => super::restored(self.app, id).await,
                Task::Purge => secret::purged(self.app, id).await,
                _ => super::deleted(self.app, id).await,
            }
        };
        match done {
            Ok(key) => {
                if !self.dry_run {
                    let action = match self.task {
                        Task::Restore => "key.restore",
                        Task::Purge => "key.purge",
                        _ => "key.delete",
                    };
                    self.session.audit(action, id);
                }
                RecordResult::done(key.name, Vec::new())
            }
            Err(error) => self.failed(id, error).await,
        }
    }

    /// The key, if the action is possible in its present state.
    async fn possible(&self, id: &str) -> Result<Key, ApiError> {
        let key = self.app.keys.get(id).await?.ok_or_else(super::unknown)?;
        let deleted = key.deleted_at.is_some();
        match self.task {
            Task::Restore | Task::Purge if !deleted => {
                Err(ApiError::conflict("wrong_state", "The key is not deleted."))
            }
            Task::Delete if deleted => Err(ApiError::conflict("wrong_state", "The key is deleted already.")),
            _ => Ok(key),
        }
    }

    /// Adds the key's name, if the key exists.
    async fn failed(&self, id: &str, error: ApiError) -> RecordResult {
        let key = self.app.keys.get(id).await.ok().flatten();
        RecordResult::failed(key.map(|key| key.name), error)
    }
}

/// The changed settings, as a key shows them.
fn differences(before: &Key, after: &Key) -> Vec<BatchChange> {
    // Both at the same time, and without data that only a gate or the ledger has.
    let shown = |key: &Key| KeyView::new(key, 0, None, KeySums::default());
    let mut changes = changes(&shown(before), &shown(after));
    changes.retain(|change| change.field != "status");
    changes
}
