//! Calls served without the router get the router's answers.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, Response, StatusCode};

use super::bench::Bench;
use crate::http::direct::Routes;
use crate::http::router;

#[tokio::test]
async fn a_call_is_answered_alike_on_both_ways() {
    let bench = Bench::new().await;
    let directly = Routes::new(bench.app.clone());
    let routed = Routes::from(router(bench.app.clone()));
    for path in [
        "/api/v1/messages",
        "/claude/v1/messages",
        "/v1/messages",
        "/openai/responses",
        "/openai/v1/responses",
        "/v1/responses",
        "/responses",
    ] {
        for method in [Method::POST, Method::GET] {
            let asked = |routes: &Routes| {
                let mut request = Request::new(Body::from("{}"));
                *request.method_mut() = method.clone();
                *request.uri_mut() = format!("{path}?beta=true").parse().unwrap();
                routes.clone().answer(request)
            };
            let (one, other) = (asked(&directly).await, asked(&routed).await);
            assert_ne!(one.status(), StatusCode::NOT_FOUND, "{method} {path}");
            assert_eq!(one.status(), other.status(), "{method} {path}");
            // The server writes the length if the router did not.
            let names = |response: &Response<Body>| -> Vec<String> {
                let all = response.headers().keys().filter(|name| *name != CONTENT_LENGTH);
                let mut names: Vec<_> = all.map(ToString::to_string).collect();
                names.sort();
                names
            };
            assert_eq!(names(&one), names(&other), "{method} {path}");
        }
    }
}
