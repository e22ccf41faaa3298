//! Renewal of OAuth tokens at `CLAUDE_OAUTH_URL`.

use bytes::Bytes;
use crs_durable::Millis;
use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode};
use serde::Deserialize;

use crate::config::{Config, Secret};
use crate::provider::Refreshed;
use crate::store::accounts::NewTokens;

pub(super) fn refresh_request(refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
    let mut body = serde_json::json!({ "grant_type": "refresh_token", "refresh_token": refresh_token });
    if let (Some(client), Some(fields)) = (&config.claude.oauth_client_id, body.as_object_mut()) {
        fields.insert("client_id".to_owned(), client.clone().into());
    }
    let mut request = Request::new(Bytes::from(body.to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = config
        .claude
        .oauth_url
        .parse()
        .map_err(|_| "CLAUDE_OAUTH_URL makes no valid address".to_owned())?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("crs-edge/", env!("CARGO_PKG_VERSION"))),
    );
    Ok(request)
}

/// OAuth 2.0, RFC 6749 §5.1 and §5.2.
pub(super) fn refreshed(status: StatusCode, body: &[u8], now: Millis) -> Refreshed {
    #[derive(Deserialize)]
    struct Tokens {
        access_token: String,
        refresh_token: Option<String>,
        expires_in: Option<u64>,
    }
    if status.is_success() {
        return match serde_json::from_slice::<Tokens>(body) {
            Ok(tokens) if !tokens.access_token.is_empty() => Refreshed::Tokens(NewTokens {
                access_token: Secret::new(tokens.access_token),
                refresh_token: tokens
                    .refresh_token
                    .filter(|token| !token.is_empty())
                    .map(Secret::new),
                expires_at: tokens
                    .expires_in
                    .map(|seconds| now.saturating_add(seconds.saturating_mul(1000))),
            }),
            _ => Refreshed::Failed("the token endpoint answered 200 without an access token".to_owned()),
        };
    }
    if matches!(status.as_u16(), 400 | 401 | 403) && names_a_dead_grant(body) {
        return Refreshed::Refused("the provider refused the refresh token (invalid_grant)".to_owned());
    }
    Refreshed::Failed(format!("the token endpoint answered {}", status.as_u16()))
}

/// `{"error":"invalid_grant"}`, or Anthropic's `{"error":{"type":..}}` around it.
fn names_a_dead_grant(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        error: serde_json::Value,
    }
    let dead = |word: &str| {
        matches!(
            word,
            "invalid_grant" | "invalid_refresh_token" | "unauthorized_client"
        )
    };
    match serde_json::from_slice::<Answer>(body) {
        Ok(Answer {
            error: serde_json::Value::String(word),
        }) => dead(&word),
        Ok(Answer { error }) => error
            .get("type")
            .and_then(serde_json::Value::as_str)
            .is_some_and(dead),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Refreshed {
        refreshed(StatusCode::from_u16(status).unwrap(), body.as_bytes(), 1_000)
    }

    #[test]
    fn new_tokens_carry_their_end() {
        let Refreshed::Tokens(tokens) =
            read(200, r#"{"access_token":"a","refresh_token":"r","expires_in":60}"#)
        else {
            panic!()
        };
        assert_eq!(
            (tokens.access_token.reveal(), tokens.expires_at),
            ("a", Some(61_000))
        );
        let Refreshed::Tokens(tokens) = read(200, r#"{"access_token":"a"}"#) else {
            panic!()
        };
        assert!(tokens.refresh_token.is_none() && tokens.expires_at.is_none());
    }

    #[test]
    fn only_a_dead_grant_is_final() {
        assert!(matches!(
            read(400, r#"{"error":"invalid_grant"}"#),
            Refreshed::Refused(_)
        ));
        assert!(matches!(
            read(401, r#"{"error":{"type":"invalid_grant"}}"#),
            Refreshed::Refused(_)
        ));
        for (status, body) in [
            (400, r#"{"error":"invalid_request"}"#),
            (500, ""),
            (429, "{}"),
            (200, "{}"),
            (403, "<html>"),
        ] {
            assert!(
                matches!(read(status, body), Refreshed::Failed(_)),
                "{status} {body}"
            );
        }
    }
}
