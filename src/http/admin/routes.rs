//! `/admin/routes`: the model routes for all keys. A key's own routes are fields of the key.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Input, Object};
use super::fields::Line;
use crate::app::App;
use crate::model::account::Platform;
use crate::model::name;
use crate::model::route::{Client, MOST, MOST_STEPS, Route, Step};
use crate::model::time::iso;
use crate::store::settings::StoredRoutes;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ModelRoutes)]
pub(super) struct RoutesView {
    /// The first match counts, after the routes of the key.
    routes: Vec<Route>,
    #[schema(format = DateTime)]
    updated_at: Option<String>,
}

impl From<StoredRoutes> for RoutesView {
    fn from(stored: StoredRoutes) -> Self {
        Self {
            routes: stored.routes,
            updated_at: stored.updated_at.map(iso),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ModelRoutesInput)]
pub(super) struct RoutesInput {
    /// Replaces all of them.
    #[schema(value_type = Vec<Route>)]
    routes: RouteInputs,
}

/// Routes in a request.
pub(super) type RouteInputs = Vec<Object<RouteInput>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RouteInput {
    models: Line<1, 200>,
    #[serde(default)]
    client: Option<Client>,
    to: Vec<Object<RouteStepInput>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RouteStepInput {
    platform: Platform,
    #[serde(default)]
    group: Option<Line<0, 100>>,
    #[serde(default)]
    model: Option<Line<0, 200>>,
}

/// The model routes for all keys.
#[utoipa::path(
    get, path = "/admin/routes", operation_id = "getModelRoutes", tag = "site", security(("admin" = [])),
    responses((status = 200, body = RoutesView))
)]
pub(super) async fn get(State(app): State<App>, _: AdminSession) -> Result<Json<RoutesView>, ApiError> {
    Ok(Json(app.settings.routes().await?.into()))
}

/// Replaces the model routes for all keys. They apply to new calls; other processes on the same store read them
/// within a minute.
#[utoipa::path(
    put, path = "/admin/routes", operation_id = "setModelRoutes", tag = "site", security(("admin" = [])), request_body = RoutesInput,
    responses(
        (status = 200, body = RoutesView),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn set(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<RoutesInput>,
) -> Result<Json<RoutesView>, ApiError> {
    let routes = checked(&app, &input.routes).await?;
    let stored = app.settings.set_routes(app.ports.clock.now(), &routes).await?;
    app.set_routes(stored.version, stored.routes.clone());
    session.audit("routes.update", "");
    Ok(Json(stored.into()))
}

/// Validates the routes of a request.
pub(super) async fn checked(app: &App, sent: &[Object<RouteInput>]) -> Result<Vec<Route>, ApiError> {
    if sent.len() > MOST {
        let message = format!("`routes` must have at most {MOST} entries");
        return Err(ApiError::invalid("routes", message));
    }
    let mut routes = Vec::with_capacity(sent.len());
    for (number, Object(route)) in sent.iter().enumerate() {
        let at = |field: &str| format!("routes[{number}].{field}");
        let refused = |field: &str, why: std::fmt::Arguments<'_>| {
            let field = at(field);
            let message = format!("`{field}` {why}");
            ApiError::invalid(field, message)
        };
        // A star matches any text, so the rest must consist of valid characters.
        let Line(models) = &route.models;
        name::check_listed(&models.replace('*', "x"))
            .map_err(|why| refused("models", format_args!("{why}, and stars for any text")))?;
        if route.to.is_empty() || route.to.len() > MOST_STEPS {
            return Err(refused(
                "to",
                format_args!("must have 1 to {MOST_STEPS} steps: who serves, and who if they cannot"),
            ));
        }
        let mut to = Vec::with_capacity(route.to.len());
        for (step_number, Object(step)) in route.to.iter().enumerate() {
            let said = |text: &Option<Line<0, 100>>| text.as_ref().map(|Line(text)| text.clone());
            let group = said(&step.group).filter(|group| !group.is_empty());
            if let Some(id) = &group {
                let found = app.groups.get(id).await?;
                if found.is_none_or(|group| group.platform != step.platform) {
                    return Err(refused(
                        &format!("to[{step_number}].group"),
                        format_args!(
                            "does not name an existing group of the platform {}",
                            step.platform.name()
                        ),
                    ));
                }
            }
            let model = step.model.as_ref().map(|Line(model)| model.clone());
            let model = model.filter(|model| !model.is_empty());
            if let Some(model) = &model {
                name::ModelName::parse(model)
                    .map_err(|why| refused(&format!("to[{step_number}].model"), format_args!("{why}")))?;
            }
            to.push(Step {
                platform: step.platform,
                group,
                model,
            });
        }
        routes.push(Route {
            models: models.clone(),
            client: route.client,
            to,
        });
    }
    Ok(routes)
}
