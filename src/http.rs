//! The shared HTTP surface: both hosts serve exactly this router.

pub mod body;
pub mod claude;
pub mod client_key;
pub mod dialect;
pub mod extract;

use axum::Router;

use crate::app::App;

/// Every route, on one screen.
pub fn router(app: App) -> Router {
    Router::new()
        .nest("/api", claude::routes())
        .nest("/claude", claude::routes())
        .with_state(app)
}
