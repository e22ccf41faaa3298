//! Login with a ticket from the command line, for when the password is refused or forgotten.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, ClientAddress, Input, SMALL};
use super::{NewSession, arrived, login_by, no_admin};
use crate::app::App;
use crate::secrets::TicketError;
use crate::store::audit::act_as;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct TicketInput {
    /// The text after `#ticket=` in the link.
    #[schema(required)]
    ticket: Option<String>,
}

/// Begins a session with a login ticket from `crs admin login-link`. A ticket is valid once, for ten minutes. Its
/// address counts as known afterwards, see `login`.
#[utoipa::path(
    post, path = "/web/auth/login-link", operation_id = "loginWithTicket", tag = "session", request_body = TicketInput,
    responses(
        (status = 200, body = NewSession),
        (status = 401, description = "Not a ticket of this relay, or an old one, or one that was used", body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn login_with_ticket(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Input(input): Input<TicketInput, SMALL>,
) -> Result<Json<NewSession>, ApiError> {
    let text = input.ticket.ok_or_else(|| ApiError::missing("ticket"))?;
    let ticket = app
        .keyring
        .tickets
        .read(text.trim(), app.ports.clock.now())
        .map_err(|error| match error {
            TicketError::Expired => ApiError::unauthorized(
                "ticket_expired",
                "This link is too old. Make a new one with `crs admin login-link`.",
            ),
            TicketError::Invalid | TicketError::Unmade => ApiError::unauthorized(
                "invalid_ticket",
                "This is not a login link of this relay: it was cut short, or made with another JWT_SECRET.",
            ),
        })?;
    let admin = app.admins.get().await?.ok_or_else(no_admin)?;
    act_as(login_by(&admin, address));
    if !app.admins.use_ticket(&ticket.id, ticket.expires_at).await? {
        return Err(ApiError::unauthorized(
            "ticket_used",
            "This link was used before. Make a new one with `crs admin login-link`.",
        ));
    }
    tracing::info!(target: "audit", admin = %admin.username, address = ?address, "admin logged in with a link");
    arrived(&app, &admin, address).await.map(Json)
}

/// A login ticket.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct LoginTicketView {
    success: bool,
    /// To be sent to `POST /web/auth/login-link`, once.
    ticket: String,
    /// Milliseconds until the ticket expires.
    expires_in: u64,
}

/// Creates a login ticket. Reserved to the local command line, which can read the host's files; sessions are
/// refused.
#[utoipa::path(
    post, path = "/web/auth/login-tickets", operation_id = "makeLoginTicket", tag = "session", security(("admin" = [])),
    responses(
        (status = 201, body = LoginTicketView),
        (status = 401, body = ErrorBody<'_>),
        (status = 403, description = "A session, not the local command line", body = ErrorBody<'_>),
    )
)]
pub(in super::super) async fn make_ticket(
    State(app): State<App>,
    session: AdminSession,
) -> Result<(StatusCode, Json<LoginTicketView>), ApiError> {
    session.must_be_local("crs admin login-link")?;
    let now = app.ports.clock.now();
    let (text, ticket) = app
        .keyring
        .tickets
        .make(&*app.ports.random, now)
        .map_err(|error| ApiError::internal(error.to_string()))?;
    app.audit
        .event("admin.make_ticket", "admin".to_owned(), "")
        .await?;
    session.audit("admin.login-ticket", "");
    let made = LoginTicketView {
        success: true,
        ticket: text,
        expires_in: ticket.expires_at.saturating_sub(now),
    };
    Ok((StatusCode::CREATED, Json(made)))
}
