//! A key as it is shown: never its text, never its hash.

use crs_durable::gate::Service;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Secret;
use crate::model::key::Key;
use crate::model::time::iso;
use crate::port::clock::Millis;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Key)]
pub(in super::super) struct KeyView {
    id: String,
    name: String,
    description: String,
    /// The key's first characters.
    key_preview: String,
    #[schema(inline)]
    status: Status,
    is_active: bool,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// 0 is no limit.
    concurrency_limit: u32,
    /// Calls that run now; `null`: the key's gate cannot be asked.
    current_concurrency: Option<usize>,
    /// Empty: all.
    #[schema(value_type = Vec<String>)]
    permissions: Vec<Service>,
    enable_model_restriction: bool,
    restricted_models: Vec<String>,
    tags: Vec<String>,
    /// When its last call that reached a provider came.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    is_deleted: bool,
    #[schema(format = DateTime)]
    deleted_at: Option<String>,
}

/// Whether the key works, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Disabled,
    Expired,
    Deleted,
}

impl KeyView {
    pub(super) fn new(key: &Key, now: Millis, live: Option<usize>, last_used: Option<Millis>) -> Self {
        let status = if key.deleted_at.is_some() {
            Status::Deleted
        } else if !key.is_active {
            Status::Disabled
        } else if key.expires_at.is_some_and(|at| at <= now) {
            Status::Expired
        } else {
            Status::Active
        };
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            description: key.description.clone(),
            key_preview: key.shown.clone(),
            status,
            is_active: key.is_active,
            expires_at: key.expires_at.map(iso),
            concurrency_limit: key.concurrency_limit,
            current_concurrency: live,
            permissions: key.permissions.clone(),
            enable_model_restriction: key.enable_model_restriction,
            restricted_models: key.restricted_models.clone(),
            tags: key.tags.clone(),
            last_used_at: last_used.map(iso),
            created_at: iso(key.created_at),
            updated_at: iso(key.updated_at),
            is_deleted: key.deleted_at.is_some(),
            deleted_at: key.deleted_at.map(iso),
        }
    }
}

/// A key just made: the only answer that holds its text.
#[derive(Serialize, ToSchema)]
#[schema(as = NewKey)]
pub(in super::super) struct NewKeyView {
    #[serde(flatten)]
    view: KeyView,
    /// The key itself. It cannot be shown again.
    key: String,
}

impl NewKeyView {
    pub(super) fn new(view: KeyView, plain: &Secret) -> Self {
        Self {
            view,
            key: plain.reveal().to_owned(),
        }
    }
}
