//! `POST /admin/api-keys/create-many`: several keys with the same settings.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Input, Object};
use super::super::batch::{MOST, within};
use super::super::fields::{Line, Whole};
use super::bindings::CheckedBindings;
use super::input::{KeyInput, NewKeyInput};
use super::live::Live;
use super::rules;
use super::view::{KeySums, KeyView, NewKeyView};
use crate::app::App;

/// Maximum length of a key's name, characters.
const LONGEST_NAME: usize = 100;

/// The number of keys, and their settings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct CreateManyInput {
    #[schema(value_type = u32, minimum = 1, maximum = 100)]
    count: Whole<1, { MOST as u32 }>,
    /// The settings. A number is appended to the name: `class 1`, `class 2`.
    #[schema(value_type = NewKeyInput)]
    key: Object<KeyInput>,
}

/// New keys.
#[derive(Serialize, ToSchema)]
#[schema(as = NewKeys)]
pub(in super::super) struct NewKeysView {
    /// In the order of their numbers.
    items: Vec<NewKeyView>,
}

/// Creates up to 100 keys with the same settings: all in one atomic step, or none. Their texts are in this answer
/// and are never shown again. Costs one round trip of the store; no Durable Object is called.
#[utoipa::path(
    post, path = "/admin/api-keys/create-many", operation_id = "createManyApiKeys", tag = "keys", security(("admin" = [])), request_body = CreateManyInput,
    responses(
        (status = 201, body = NewKeysView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn create_many(
    State(app): State<App>,
    session: AdminSession,
    Input(CreateManyInput { count, key }): Input<CreateManyInput>,
) -> Result<(StatusCode, Json<NewKeysView>), ApiError> {
    let (Whole(count), Object(input)) = (count, key);
    let Some(Line(name)) = input.name.as_ref() else {
        return Err(ApiError::missing("key.name"));
    };
    if format!("{name} {count}").chars().count() > LONGEST_NAME {
        let message =
            format!("`key.name` must leave room for a number: at most {LONGEST_NAME} characters with it");
        return Err(ApiError::invalid("key.name", message));
    }
    let in_key = |error| within("key", error);
    let bound = CheckedBindings::of(&app, input.bindings())
        .await
        .map_err(in_key)?;
    let now = app.ports.clock.now();
    let mut keys = Vec::with_capacity(count as usize);
    let mut plains = Vec::with_capacity(count as usize);
    for number in 1..=count {
        let (mut key, plain) = super::fresh(&app, now);
        rules::apply(&input, &bound, &mut key).map_err(in_key)?;
        key.name = format!("{name} {number}");
        keys.push(key);
        plains.push(plain);
    }
    if !app.keys.create_all(&keys).await? {
        return Err(ApiError::internal("a fresh key's id or hash is taken"));
    }
    // Gates need no notification: each reads its key with the first call.
    let items = keys.iter().zip(&plains).map(|(key, plain)| {
        session.audit("key.create", &key.id);
        let view = KeyView::new(key, now, Some(Live::default()), KeySums::default());
        NewKeyView::new(view, plain)
    });
    let items = items.collect();
    Ok((StatusCode::CREATED, Json(NewKeysView { items })))
}
