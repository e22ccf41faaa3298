//! On the edge: Cloudflare's static assets have the files.

use axum::Router;

use crate::app::App;

/// `scripts/deploy` uploads the console with the Worker.
pub(in crate::http) const BUILT: bool = true;

/// None: a path that no asset has is answered like any other that is not there.
pub(in crate::http) fn routes() -> Router<App> {
    Router::new()
}
