//! The HTTP surface: both hosts serve exactly this router.
//!
//! | module | content |
//! | --- | --- |
//! | [`claude`], [`openai`], [`gemini`] | the routes of the client protocols, and how each parses a call |
//! | `call` | one model call in any protocol: key, entry, body, `relay::serve` |
//! | `direct` | natively: serves most calls without the router |
//! | [`client_key`] | the key of a model call |
//! | `intake`, [`body`] | request bodies: size limits, memory accounting, decompression |
//! | [`dialect`] | failures as responses of the caller's protocol |
//! | `about` | a key's questions about itself: models, limits, usage |
//! | [`admin`] | the control plane: routes and envelope |
//! | `login`, `stats`, [`ops`] | other control-plane endpoints: login, public statistics, health and metrics |
//! | [`extract`], [`api_error`] | inputs and errors of the control plane |
//! | `console`, `root` | the console's files; addresses outside of every prefix |

mod about;
pub mod admin;
pub mod api_error;
pub mod body;
mod call;
pub mod claude;
pub mod client_key;
mod console;
pub mod dialect;
#[cfg(not(target_arch = "wasm32"))]
pub mod direct;
pub mod extract;
pub mod gemini;
mod intake;
mod login;
mod money_limits;
pub mod openai;
pub mod ops;
mod root;
mod stats;

use axum::Router;
use axum::http::header::{self, HeaderValue};
use axum::http::{Request, Response, Uri};

use crate::app::App;

/// The complete router.
pub fn router(app: App) -> Router {
    model_calls()
        .merge(claude::probes())
        .merge(root::routes())
        // The control plane below has its own answer for it.
        .method_not_allowed_fallback(root::other_method)
        .merge(admin::router(&app))
        .fallback(root::nothing)
        .layer(axum::middleware::map_response(take_as_named))
        .with_state(app)
}

/// The routes of the client protocols.
pub(crate) fn model_calls() -> Router<App> {
    Router::new()
        .nest(
            "/api",
            claude::routes().route("/v1/chat/completions", openai::chat()),
        )
        .nest("/claude", claude::routes())
        .nest("/gemini-cli/api", claude::on_gemini())
        .nest("/antigravity/api", claude::on_antigravity())
        .nest("/openai", openai::routes())
        .nest("/gemini", gemini::routes())
}

/// Forbids content sniffing: answers may contain a provider's words.
async fn take_as_named(mut response: Response<axum::body::Body>) -> Response<axum::body::Body> {
    name_as_sent(&mut response);
    response
}

fn name_as_sent(response: &mut Response<axum::body::Body>) {
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

/// Collapses `//`, which results when clients join base URLs and paths. A host calls this for every request
/// before routing.
pub fn collapse_slashes<B>(request: &mut Request<B>) {
    if memchr::memmem::find(request.uri().path().as_bytes(), b"//").is_none() {
        return;
    }
    let mut path = String::with_capacity(request.uri().path().len());
    for letter in request.uri().path().chars() {
        if letter != '/' || !path.ends_with('/') {
            path.push(letter);
        }
    }
    if let Some(query) = request.uri().query() {
        path.push('?');
        path.push_str(query);
    }
    if let Ok(uri) = Uri::try_from(path) {
        *request.uri_mut() = uri;
    }
}
