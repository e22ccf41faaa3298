//! Errors of the admin API in one format.
//!
//! `{"error": "<stable code>", "message": "...", "field": "...", "requestId": "..."}`. The message is for people
//! and never repeats the input: a secret in the wrong field must not be echoed.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::port::gates::GatesError;
use crate::port::store::StoreError;

/// The error of an admin request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    /// Stable, for scripts.
    pub code: &'static str,
    pub message: String,
    /// The invalid field of the request.
    pub field: Option<String>,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// For the log only.
    pub detail: Option<String>,
}

/// The body of every error of the admin API.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody<'a> {
    /// A stable code, for scripts.
    pub error: &'a str,
    /// The failure and its remedy, for people.
    pub message: &'a str,
    /// The invalid field of the request, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<&'a str>,
    /// The same as in the `x-request-id` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<&'a str>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            field: None,
            retry_after: None,
            detail: None,
        }
    }

    /// 422: the field's value is invalid.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", message).at(field)
    }

    /// 422: a required field is missing.
    pub fn missing(field: impl Into<String>) -> Self {
        let field = field.into();
        let message = format!("`{field}` is required");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "missing_field", message).at(field)
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("There is no such {what}."),
        )
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub fn unauthorized(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    pub fn internal(detail: impl Into<String>) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something is wrong on our side; the server's log says more under this request's id.",
        );
        error.detail = Some(detail.into());
        error
    }

    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Details for the log only.
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The response, with the request's id in the body once it is known.
    pub fn response(&self, request_id: Option<&str>) -> Response {
        let body = ErrorBody {
            error: self.code,
            message: &self.message,
            field: self.field.as_deref(),
            request_id,
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The envelope of the admin routes adds the request's id to the body. It finds the error in the response's
/// extensions.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.response(None);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away { .. } | StoreError::Failed { .. } => {
                let mut away = Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_unavailable",
                    "The store cannot be reached now. Try again shortly; the server's log says more.",
                )
                .retry_after(2);
                away.detail = Some(error.to_string());
                away
            }
            StoreError::WrongType { .. } | StoreError::Unreadable { .. } => Self::internal(error.to_string()),
        }
    }
}

impl From<GatesError> for ApiError {
    fn from(error: GatesError) -> Self {
        let mut away = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "machine_unavailable",
            "The gate or pool that decides this cannot be reached now. Try again shortly.",
        )
        .retry_after(2);
        away.detail = Some(error.to_string());
        away
    }
}
