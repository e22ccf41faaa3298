//! A Worker has no file system: back it up from the operator's machine, with `crs backup` and the Upstash
//! variables.

use axum::Router;

use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
}
