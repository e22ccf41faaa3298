//! The shared HTTP surface: both hosts serve exactly this router.

use axum::Router;

use crate::app::App;

/// Every route, on one screen.
pub fn router(app: App) -> Router {
    Router::new().with_state(app)
}
