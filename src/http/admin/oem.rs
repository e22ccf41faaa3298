//! `/admin/oem-settings`: the site's name and icon, readable by everybody because the login page shows them.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::super::api_error::{ApiError, ErrorBody};
use super::super::extract::{AdminSession, Input, LARGE};
use super::fields::Line;
use crate::app::App;
use crate::model::text::is_hidden;
use crate::store::settings::Oem;

/// Maximum size of the decoded icon, bytes.
const ICON_LIMIT: usize = 350 * 1024;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OemSettings)]
pub(super) struct OemView {
    site_name: String,
    /// Address of an icon, or empty.
    site_icon: String,
    /// The icon as a data URL, or empty.
    site_icon_data: String,
    show_admin_button: bool,
    /// `PUBLIC_ADDRESS`: the relay's address for clients, without a trailing slash. `null`: not set, so the
    /// address of the page must do. `PUT` does not change it.
    public_address: Option<String>,
    #[schema(format = DateTime)]
    updated_at: Option<String>,
}

impl OemView {
    fn new(app: &App, oem: Oem) -> Self {
        Self {
            site_name: oem.site_name,
            site_icon: oem.site_icon,
            site_icon_data: oem.site_icon_data,
            show_admin_button: oem.show_admin_button,
            public_address: app.config.server.public_address.clone(),
            updated_at: oem.updated_at,
        }
    }
}

/// All settings: fields left out are reset to their defaults.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = OemSettingsInput)]
pub(super) struct OemInput {
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    site_name: Line<1, 100>,
    /// An http(s) address, or a path on this host.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 500)]
    site_icon: IconAddress,
    /// A data URL of a PNG, JPEG, SVG or ICO of at most 350 KB.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    site_icon_data: IconData,
    #[serde(default = "yes")]
    show_admin_button: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Default)]
struct IconAddress(String);

impl<'de> Deserialize<'de> for IconAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        let text = text.trim();
        let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
        let is_address = || {
            text.parse::<http::Uri>().is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some_and(|host| !host.is_empty())
            })
        };
        if text.len() <= 500 && !text.chars().any(is_hidden) && (text.is_empty() || is_path || is_address()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(serde::de::Error::custom(
                "must be an http or https address, or a path that begins with one slash",
            ))
        }
    }
}

#[derive(Debug, Default)]
struct IconData(String);

impl<'de> Deserialize<'de> for IconData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        if text.is_empty() || is_icon(&text) {
            Ok(Self(text))
        } else {
            Err(serde::de::Error::custom(
                "must be a data URL (base64) of a PNG, JPEG, SVG or ICO of at most 350 KB",
            ))
        }
    }
}

/// Whether it is a data URL whose content matches its media type.
fn is_icon(text: &str) -> bool {
    let Some((head, data)) = text
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
    else {
        return false;
    };
    if data.len() > ICON_LIMIT.div_ceil(3) * 4 {
        return false;
    }
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(data) else {
        return false;
    };
    let holds = match head {
        "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" | "image/jpg" => bytes.starts_with(b"\xff\xd8\xff"),
        "image/x-icon" | "image/vnd.microsoft.icon" => bytes.starts_with(&[0, 0, 1, 0]),
        "image/svg+xml" => std::str::from_utf8(&bytes).is_ok_and(|svg| svg.contains("<svg")),
        _ => false,
    };
    holds && bytes.len() <= ICON_LIMIT
}

/// The site's name and icon, for anybody.
#[utoipa::path(
    get, path = "/admin/oem-settings", operation_id = "getOemSettings", tag = "site",
    responses((status = 200, body = OemView))
)]
pub(super) async fn get(State(app): State<App>) -> Result<Response, ApiError> {
    // Built once and cached: otherwise each stranger would cost a read of the store and a copy of the icon.
    let read = async {
        let view = OemView::new(&app, app.settings.oem().await?);
        serde_json::to_vec(&view)
            .map(Bytes::from)
            .map_err(|error| ApiError::internal(error.to_string()))
    };
    let body = app.site.get(app.ports.clock.ticks(), read).await?;
    Ok(([(CONTENT_TYPE, "application/json")], Body::from(body)).into_response())
}

/// Sets the site's name and icon.
#[utoipa::path(
    put, path = "/admin/oem-settings", operation_id = "setOemSettings", tag = "site", security(("admin" = [])), request_body = OemInput,
    responses(
        (status = 200, body = OemView),
        (status = 413, body = ErrorBody<'_>),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(super) async fn set(
    State(app): State<App>,
    session: AdminSession,
    Input(input): Input<OemInput, LARGE>,
) -> Result<Json<OemView>, ApiError> {
    let set = app
        .settings
        .set_oem(app.ports.clock.now(), |oem| {
            oem.site_name.clone_from(&input.site_name.0);
            oem.site_icon.clone_from(&input.site_icon.0);
            oem.site_icon_data.clone_from(&input.site_icon_data.0);
            oem.show_admin_button = input.show_admin_button;
        })
        .await?;
    app.site.forget();
    session.audit("oem.update", "oem:settings");
    Ok(Json(OemView::new(&app, set)))
}
