//! From a `Failure` to a response in the caller's protocol: the one place that does.

use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::http::Response;
use axum::http::header::{self, HeaderValue};
use axum::routing::{MethodRouter, any};

use crate::app::App;
use crate::dialect::Dialect;
use crate::dialect::call::request_id;
use crate::error::{Code, Failure};
use crate::port::random;

pub use crate::relay::headers::X_REQUEST_ID;

/// The protocol's error with the headers that clients obey: `retry-after` and `x-should-retry`.
pub fn refuse(app: &App, dialect: &dyn Dialect, failure: &Failure, request_id: &str) -> Response<Body> {
    app.metrics.refused(failure.code);
    let refusal = dialect.refusal(failure, request_id, app.ports.clock.now());
    let mut response = Response::new(Body::from(refusal.body));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = refusal.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(should) = refusal.should_retry {
        headers.insert(
            "x-should-retry",
            HeaderValue::from_static(if should { "true" } else { "false" }),
        );
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}

/// A refusal outside of a call, which gets a request id all the same.
pub(super) fn refuse_outside(app: &App, dialect: &dyn Dialect, failure: &Failure) -> Response<Body> {
    let id = random::call_id(app.ports.clock.now(), &*app.ports.random);
    refuse(app, dialect, failure, &request_id(id))
}

/// Refuses methods that a path does not support.
pub(super) trait OnlyThese {
    fn only_these(self, dialect: &'static dyn Dialect) -> Self;
}

impl OnlyThese for MethodRouter<App> {
    fn only_these(self, dialect: &'static dyn Dialect) -> Self {
        self.fallback(
            move |State(app): State<App>| async move { refuse_outside(&app, dialect, &wrong_method()) },
        )
    }
}

pub(super) fn wrong_method() -> Failure {
    Failure::new(
        Code::MethodNotAllowed,
        "This address does not support this method. Model calls are POST requests.",
    )
}

/// Refuses unknown paths. `hint`: the form of base URLs for this protocol.
pub(super) fn not_found(dialect: &'static dyn Dialect, hint: &'static str) -> MethodRouter<App> {
    any(
        move |State(app): State<App>, OriginalUri(asked): OriginalUri| async move {
            // The client's own path, so nothing is revealed.
            let path: String = asked.path().chars().take(200).collect();
            let failure = Failure::new(Code::NotFound, format!("There is nothing at {path}. {hint}"));
            refuse_outside(&app, dialect, &failure)
        },
    )
}
