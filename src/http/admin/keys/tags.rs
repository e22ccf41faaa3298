//! The tags in use.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::super::api_error::ApiError;
use super::super::super::extract::AdminSession;
use crate::app::App;

#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct TagList {
    /// Most used first, then by name.
    items: Vec<TagCount>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct TagCount {
    tag: String,
    /// Number of keys with it, without deleted ones.
    count: usize,
}

/// The tags of all keys with their number of keys. Reads all keys once.
#[utoipa::path(
    get, path = "/admin/api-keys/tags", operation_id = "listApiKeyTags", tag = "keys", security(("admin" = [])),
    responses((status = 200, body = TagList))
)]
pub(in super::super) async fn tags(
    State(app): State<App>,
    _: AdminSession,
) -> Result<Json<TagList>, ApiError> {
    let keys = app.keys.list().await?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for key in keys.into_iter().filter(|key| key.deleted_at.is_none()) {
        for tag in key.tags {
            *counts.entry(tag).or_default() += 1;
        }
    }
    let mut items: Vec<TagCount> = counts
        .into_iter()
        .map(|(tag, count)| TagCount { tag, count })
        .collect();
    // Stable sort: tags with equal counts stay ordered by name.
    items.sort_by_key(|item| std::cmp::Reverse(item.count));
    Ok(Json(TagList { items }))
}
