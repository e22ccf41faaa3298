//! Serves most calls without the router.
//!
//! A router with nested paths costs a call as much as the gate and the pool: it clones services, boxes futures and
//! stores the path and its parts in the request. The few paths that clients call all the time are served directly. All
//! other paths and methods go through the router, which has these paths too.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response};
use tower::ServiceExt as _;

use super::{claude, name_as_sent, openai, router};
use crate::app::App;
use crate::plan::MESSAGES;

/// All routes.
#[derive(Clone)]
pub struct Routes {
    /// `None`: all requests go through the router.
    app: Option<App>,
    router: Router,
}

/// A call served directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direct {
    Messages,
    Responses,
}

impl Direct {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/api/v1/messages" | "/claude/v1/messages" | "/v1/messages" => Self::Messages,
            "/openai/responses" | "/openai/v1/responses" | "/v1/responses" | "/responses" => Self::Responses,
            _ => return None,
        })
    }
}

impl Routes {
    pub fn new(app: App) -> Self {
        Self {
            router: router(app.clone()),
            app: Some(app),
        }
    }

    pub async fn answer(self, request: Request) -> Response<Body> {
        let direct = Direct::of(request.uri().path()).filter(|_| request.method() == Method::POST);
        let mut answer = match (direct, &self.app) {
            (Some(Direct::Messages), Some(app)) => claude::ask(app, MESSAGES, request).await,
            (Some(Direct::Responses), Some(app)) => openai::ask(app, request).await,
            _ => {
                let answer: Result<_, Infallible> = self.router.oneshot(request).await;
                return answer.unwrap_or_default();
            }
        };
        name_as_sent(&mut answer);
        answer
    }
}

/// A router without direct calls.
impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Self { app: None, router }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_very_addresses_go_past_the_router() {
        assert_eq!(Direct::of("/api/v1/messages"), Some(Direct::Messages));
        assert_eq!(Direct::of("/openai/responses"), Some(Direct::Responses));
        for path in [
            "/api/v1/messages/",
            "/api/v1/messages/count_tokens",
            "/antigravity/api/v1/messages",
            "/responses/compact",
            "/",
        ] {
            assert_eq!(Direct::of(path), None, "{path}");
        }
    }
}
