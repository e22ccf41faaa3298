//! `/admin/account-groups`: groups of accounts, to which keys can be bound.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Input, InputField, Params};
use super::accounts::{AccountView, invalidate, secret_needed, views};
use super::fields::{Line, Text, requiring};
use super::list::{Page, Slice, by_name, found};
use crate::app::App;
use crate::model::account::{Account, Platform};
use crate::model::group::Group;
use crate::model::key::GROUP;
use crate::model::time::iso;
use crate::port::random;
use crate::store::accounts::EditResult;

/// Maximum number of names in a refusal.
const NAMED: usize = 5;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GroupInput {
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100)]
    #[serde(default)]
    name: InputField<Line<1, 100>>,
    #[schema(value_type = Option<String>, max_length = 500)]
    #[serde(default)]
    description: InputField<Text<500>>,
    /// Cannot be changed.
    #[schema(value_type = Platform, required = false)]
    #[serde(default)]
    platform: InputField<Platform>,
}

impl GroupInput {
    fn apply(&self, group: &mut Group) {
        if let Some(Line(name)) = self.name.as_ref() {
            group.name.clone_from(name);
        }
        if let Some(Text(description)) = self.description.as_ref() {
            group.description.clone_from(description);
        }
    }
}

/// [`GroupInput`] for a new group.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "only described, and the description is made by a test")
)]
pub(super) struct NewGroupInput;

impl PartialSchema for NewGroupInput {
    fn schema() -> RefOr<Schema> {
        requiring(GroupInput::schema(), &["name", "platform"])
    }
}

impl ToSchema for NewGroupInput {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        <GroupInput as ToSchema>::schemas(schemas);
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccountGroup)]
pub(super) struct GroupView {
    id: String,
    name: String,
    description: String,
    platform: Platform,
    /// Number of its accounts.
    member_count: usize,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl GroupView {
    fn new(group: &Group, member_count: usize) -> Self {
        Self {
            id: group.id.clone(),
            name: group.name.clone(),
            description: group.description.clone(),
            platform: group.platform,
            member_count,
            created_at: iso(group.created_at),
            updated_at: iso(group.updated_at),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct GroupQuery {
    /// Counts from 1.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// Default: 20.
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
    /// Text to find in name, description or id.
    search: Option<String>,
    platform: Option<Platform>,
}

/// One page of the groups, by name.
#[utoipa::path(
    get, path = "/admin/account-groups", operation_id = "listAccountGroups", tag = "accounts", security(("admin" = [])), params(GroupQuery),
    responses(
        (status = 200, body = Page<GroupView>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<GroupQuery>,
) -> Result<Json<Page<GroupView>>, ApiError> {
    let slice = Slice::read(query.page, query.page_size)?;
    let mut groups = app.groups.list().await?;
    groups.retain(|group| {
        query.platform.is_none_or(|platform| group.platform == platform)
            && found(
                query.search.as_deref(),
                &[&group.name, &group.description, &group.id],
            )
    });
    groups.sort_by(|a, b| by_name(&a.name, &b.name).then_with(|| a.id.cmp(&b.id)));
    let page = slice.of(groups);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for account in app.accounts.list().await? {
        for group in account.groups {
            *counts.entry(group).or_default() += 1;
        }
    }
    let count = |group: &Group| counts.get(&group.id).copied().unwrap_or(0);
    let views = page.items.iter().map(|group| GroupView::new(group, count(group)));
    Ok(Json(page.showing(views.collect())))
}

/// Creates a group. Accounts join it with their own `groups`.
#[utoipa::path(
    post, path = "/admin/account-groups", operation_id = "createAccountGroup", tag = "accounts", security(("admin" = [])), request_body = NewGroupInput,
    responses(
        (status = 201, body = GroupView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<GroupInput>,
) -> Result<(StatusCode, Json<GroupView>), ApiError> {
    if input.name.as_ref().is_none() {
        return Err(ApiError::missing("name"));
    }
    let Some(platform) = input.platform.as_ref() else {
        return Err(ApiError::missing("platform"));
    };
    let now = app.ports.clock.now();
    let mut group = Group {
        id: random::record_id(now, &*app.ports.random),
        name: String::new(),
        description: String::new(),
        platform: *platform,
        created_at: now,
        updated_at: now,
        extra: serde_json::Map::new(),
    };
    input.apply(&mut group);
    if !app.groups.create(&group).await? {
        return Err(ApiError::internal("a fresh group's id is taken"));
    }
    session.audit("accountGroup.create", &group.id);
    Ok((StatusCode::CREATED, Json(GroupView::new(&group, 0))))
}

/// One group.
#[utoipa::path(
    get, path = "/admin/account-groups/{id}", operation_id = "getAccountGroup", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,)),
    responses(
        (status = 200, body = GroupView),
        (status = 404, body = ErrorBody<'_>),
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    _: AdminSession,
    Path(id): Path<String>,
) -> Result<Json<GroupView>, ApiError> {
    let group = app.groups.get(&id).await?.ok_or_else(unknown)?;
    let members = members_of(&app, &id).await?;
    Ok(Json(GroupView::new(&group, members.len())))
}

/// Changes only the fields sent.
#[utoipa::path(
    patch, path = "/admin/account-groups/{id}", operation_id = "updateAccountGroup", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,)),
    request_body = GroupInput,
    responses(
        (status = 200, body = GroupView),
        (status = 404, body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn change(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
    Input(input): Input<GroupInput>,
) -> Result<Json<GroupView>, ApiError> {
    let group = app.groups.get(&id).await?.ok_or_else(unknown)?;
    if input
        .platform
        .as_ref()
        .is_some_and(|platform| *platform != group.platform)
    {
        return Err(ApiError::invalid("platform", "`platform` cannot be changed"));
    }
    let now = app.ports.clock.now();
    let changed = app.groups.update(&id, now, |group| input.apply(group)).await?;
    let group = changed.ok_or_else(unknown)?;
    session.audit("accountGroup.update", &id);
    let members = members_of(&app, &id).await?;
    Ok(Json(GroupView::new(&group, members.len())))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// `true`: first removes the accounts from it. Keys bound to it stay bound and are refused until they are
    /// bound to something that exists.
    force: Option<bool>,
}

/// Deletes an unused group.
#[utoipa::path(
    delete, path = "/admin/account-groups/{id}", operation_id = "deleteAccountGroup", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,), DeleteQuery),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, body = ErrorBody<'_>),
        (status = 409, description = "Accounts are in it, or keys are bound to it", body = ErrorBody<'_>),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    session: AdminSession,
    Path(id): Path<String>,
    Params(query): Params<DeleteQuery>,
) -> Result<StatusCode, ApiError> {
    let group = app.groups.get(&id).await?.ok_or_else(unknown)?;
    let members = members_of(&app, &id).await?;
    if query.force.unwrap_or(false) {
        let now = app.ports.clock.now();
        for member in &members {
            let leave = |account: &mut Account| {
                account.groups.remove(&id);
                Ok::<(), ApiError>(())
            };
            match app.accounts.try_update(&member.id, now, leave).await? {
                EditResult::Done(_) | EditResult::Unknown => {}
                EditResult::Refused(error) => return Err(error),
                EditResult::SecretNeeded(needed) => return Err(secret_needed(&needed)),
            }
            app.accounts.forget(&member.id);
        }
    } else {
        unused(&app, &group, &members).await?;
    }
    if !app.groups.delete(&id).await? {
        return Err(unknown());
    }
    if !members.is_empty() {
        invalidate(&app, group.platform).await;
    }
    session.audit("accountGroup.delete", &id);
    Ok(StatusCode::NO_CONTENT)
}

/// Fails if the group is in use, naming its users.
async fn unused(app: &App, group: &Group, members: &[Account]) -> Result<(), ApiError> {
    let bound = format!("{GROUP}{}", group.id);
    let mut keys = app.keys.list().await?;
    keys.retain(|key| key.bindings.values().any(|target| *target == bound));
    let named = |what: &str, mut names: Vec<&str>| {
        names.sort_unstable();
        let more = names.len().saturating_sub(NAMED);
        let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        (!names.is_empty()).then(|| format!("{what}: {shown}{more}."))
    };
    let used = [
        named(
            "Accounts in it",
            members.iter().map(|account| account.name.as_str()).collect(),
        ),
        named(
            "Keys bound to it",
            keys.iter().map(|key| key.name.as_str()).collect(),
        ),
    ];
    let used: Vec<String> = used.into_iter().flatten().collect();
    if used.is_empty() {
        return Ok(());
    }
    Err(ApiError::conflict(
        "group_in_use",
        format!(
            "The group is in use. {} Take the accounts out and bind the keys to something else first, or send `?force=true`, which takes the accounts out and leaves the keys bound to a group that does not exist.",
            used.join(" ")
        ),
    ))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MemberQuery {
    /// Counts from 1.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// Default: 20.
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
}

/// One page of the accounts in a group, by name, each with its live state.
#[utoipa::path(
    get, path = "/admin/account-groups/{id}/members", operation_id = "listAccountGroupMembers", tag = "accounts", security(("admin" = [])), params(("id" = String, Path,), MemberQuery),
    responses(
        (status = 200, body = Page<AccountView>),
        (status = 404, body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn members(
    State(app): State<App>,
    _: AdminSession,
    Path(id): Path<String>,
    Params(query): Params<MemberQuery>,
) -> Result<Json<Page<AccountView>>, ApiError> {
    let slice = Slice::read(query.page, query.page_size)?;
    app.groups.get(&id).await?.ok_or_else(unknown)?;
    let page = slice.of(members_of(&app, &id).await?);
    let views = views(&app, &page.items).await?;
    Ok(Json(page.showing(views)))
}

async fn members_of(app: &App, id: &str) -> Result<Vec<Account>, ApiError> {
    let mut accounts = app.accounts.list().await?;
    accounts.retain(|account| account.groups.contains(id));
    accounts.sort_by(|a, b| by_name(&a.name, &b.name).then_with(|| a.id.cmp(&b.id)));
    Ok(accounts)
}

fn unknown() -> ApiError {
    ApiError::not_found("account group")
}
