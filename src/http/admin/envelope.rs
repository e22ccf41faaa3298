//! The envelope of all answers of the control plane.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::super::api_error::ApiError;
use super::super::dialect::X_REQUEST_ID;
use super::super::extract::RequestId;
use crate::app::App;
use crate::dialect::call::request_id;
use crate::port::random::call_id;
use crate::store::audit;

pub(super) async fn wrap(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request_id(call_id(app.ports.clock.now(), &*app.ports.random));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));

    let mut response = audit::scope(next.run(request)).await;
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => Some(error),
        // Axum's own answer has no body; its `allow` header with the supported methods stays.
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => Some(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This address does not support this method; see the `allow` header.",
        )),
        None => None,
    };
    if let Some(error) = error {
        if let Some(detail) = &error.detail {
            tracing::error!(request = %id, %method, path, code = error.code, detail, "admin request failed");
        }
        let allow = response.headers_mut().remove(header::ALLOW);
        response = error.response(Some(&id));
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
