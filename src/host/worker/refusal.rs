//! Answers every request of a misconfigured Worker with the settings that the operator must fix.

use std::fmt;

use axum::body::Body;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};

use super::body::EdgeBody;

/// One line per problem, without secrets.
#[derive(Clone, Debug)]
pub(super) struct Refusal(pub(super) Vec<String>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Refusal {
    /// 503, as a page for browsers and as JSON for all others.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<EdgeBody> {
        let accepts = request
            .headers()
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok());
        let browser = accepts.is_some_and(|accepts| accepts.contains("text/html"));
        let (kind, body) = if browser {
            ("text/html; charset=utf-8", self.page())
        } else {
            ("application/json", self.json())
        };
        let mut response = Response::new(EdgeBody(Box::pin(Body::from(body))));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
        response
    }

    fn page(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(|line| escaped(line)).collect();
        let lines = format!("<li>{}</li>", lines.join("</li><li>"));
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>crs-edge is not set up</title>\
             <body style=\"font-family:system-ui;max-width:44rem;margin:4rem auto;line-height:1.5\">\
             <h1>crs-edge is not set up yet</h1>\
             <p>Set these with <code>npx wrangler secret put NAME</code>, or in the dashboard under Settings, \
             Variables and Secrets:</p><ul>{lines}</ul>\
             <p lang=\"zh\">尚未完成配置：请用 <code>npx wrangler secret put 名称</code> 或在控制台的\
             “变量和机密”中设置以上各项。</p></body></html>"
        )
    }

    fn json(&self) -> String {
        let message = format!("This relay is not set up: {self}.");
        serde_json::json!({
            "type": "error",
            "error": { "type": "api_error", "code": "not_set_up", "message": message },
        })
        .to_string()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
