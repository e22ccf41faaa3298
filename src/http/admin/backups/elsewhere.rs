//! A Worker has no files: it is backed up from the operator's machine, `crs backup` with the variables of Upstash.

use axum::Router;

use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
}
