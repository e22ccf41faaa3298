//! OAuth token renewal, and helpers shared with sign-in, as far as the providers agree.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use crs_durable::Millis;
use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::outgoing::own_headers;
use crate::account::RefreshOutcome;
use crate::model::account::live::NewTokens;
use crate::model::percent::{self, COMPONENT};
use crate::model::secret::Secret;

/// A refresh request with a JSON body, as Anthropic requires; `None` if the address is invalid.
pub(super) fn json_request(
    url: &str,
    refresh_token: &str,
    client_id: Option<&str>,
) -> Option<Request<Bytes>> {
    let mut body = serde_json::json!({ "grant_type": "refresh_token", "refresh_token": refresh_token });
    if let (Some(client), Some(fields)) = (client_id, body.as_object_mut()) {
        fields.insert("client_id".to_owned(), client.into());
    }
    request(
        url,
        body.to_string(),
        HeaderValue::from_static("application/json"),
    )
}

/// A refresh request with a form body, RFC 6749 §6.
pub(super) fn form_request(
    url: &str,
    refresh_token: &str,
    more: &[(&str, Option<&str>)],
) -> Option<Request<Bytes>> {
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    fields.extend(more.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    form_post(url, &fields)
}

/// A request to a token endpoint with these fields as a form; `None` if the address is invalid.
pub(super) fn form_post(url: &str, fields: &[(&str, &str)]) -> Option<Request<Bytes>> {
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request(url, form(fields), kind)
}

/// A request to a token endpoint.
pub(super) fn request(url: &str, body: String, kind: HeaderValue) -> Option<Request<Bytes>> {
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().ok()?;
    let headers = request.headers_mut();
    *headers = own_headers();
    headers.insert(header::CONTENT_TYPE, kind);
    Some(request)
}

/// Encodes the fields as a form or query.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", percent::encoded(value, COMPONENT)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The claims of a JSON web token. The signature is not verified: the token's owner only reads facts about
/// itself.
pub(super) fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// Reads the answer of a token endpoint, RFC 6749 §5.1 and §5.2.
pub(super) fn refreshed(status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome {
    #[derive(Deserialize)]
    struct Tokens {
        access_token: String,
        refresh_token: Option<String>,
        expires_in: Option<u64>,
    }
    if status.is_success() {
        return match serde_json::from_slice::<Tokens>(body) {
            Ok(tokens) if !tokens.access_token.is_empty() => RefreshOutcome::Tokens(NewTokens {
                access_token: Secret::new(tokens.access_token),
                refresh_token: tokens
                    .refresh_token
                    .filter(|token| !token.is_empty())
                    .map(Secret::new),
                expires_at: tokens
                    .expires_in
                    .map(|seconds| now.saturating_add(seconds.saturating_mul(1000))),
                tenant: None,
            }),
            _ => RefreshOutcome::Failed("the token endpoint answered 200 without an access token".to_owned()),
        };
    }
    if matches!(status.as_u16(), 400 | 401 | 403) && names_a_dead_grant(body) {
        return RefreshOutcome::Refused("the provider refused the refresh token (invalid_grant)".to_owned());
    }
    RefreshOutcome::Failed(format!("the token endpoint answered {}", status.as_u16()))
}

/// The words of a refusal for people, shortened; empty if there are none.
pub(super) fn description(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        error_description: Option<String>,
    }
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    let said = answer.and_then(|answer| answer.error_description);
    said.unwrap_or_default().chars().take(300).collect()
}

/// `{"error":"invalid_grant"}`, or an object with the word: Anthropic calls the member `type`, OpenAI `code`.
fn names_a_dead_grant(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        error: Value,
    }
    let dead = |word: &str| {
        matches!(
            word,
            "invalid_grant"
                | "invalid_refresh_token"
                | "unauthorized_client"
                | "refresh_token_expired"
                | "refresh_token_reused"
                | "refresh_token_invalidated"
        )
    };
    match serde_json::from_slice::<Answer>(body) {
        Ok(Answer {
            error: Value::String(word),
        }) => dead(&word),
        Ok(Answer { error }) => ["type", "code"].iter().any(|name| {
            let word = error.get(name).and_then(Value::as_str);
            word.is_some_and(dead)
        }),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> RefreshOutcome {
        refreshed(StatusCode::from_u16(status).unwrap(), body.as_bytes(), 1_000)
    }

    #[test]
    fn new_tokens_carry_their_end() {
        let RefreshOutcome::Tokens(tokens) =
            read(200, r#"{"access_token":"a","refresh_token":"r","expires_in":60}"#)
        else {
            panic!()
        };
        assert_eq!(
            (tokens.access_token.reveal(), tokens.expires_at),
            ("a", Some(61_000))
        );
        let RefreshOutcome::Tokens(tokens) = read(200, r#"{"access_token":"a"}"#) else {
            panic!()
        };
        assert!(tokens.refresh_token.is_none() && tokens.expires_at.is_none());
    }

    #[test]
    fn only_a_dead_grant_is_final() {
        assert!(matches!(
            read(400, r#"{"error":"invalid_grant"}"#),
            RefreshOutcome::Refused(_)
        ));
        assert!(matches!(
            read(401, r#"{"error":{"type":"invalid_grant"}}"#),
            RefreshOutcome::Refused(_)
        ));
        assert!(matches!(
            read(
                401,
                r#"{"error":{"message":"used","type":"invalid_request_error","code":"refresh_token_reused"}}"#
            ),
            RefreshOutcome::Refused(_)
        ));
        for (status, body) in [
            (400, r#"{"error":"invalid_request"}"#),
            (500, ""),
            (429, "{}"),
            (200, "{}"),
            (403, "<html>"),
        ] {
            assert!(
                matches!(read(status, body), RefreshOutcome::Failed(_)),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_form_is_escaped() {
        let more = [("client_id", Some("a b&c")), ("client_secret", None)];
        let request = form_request("https://h/token", "1//r=+", &more).unwrap();
        assert_eq!(
            request.body(),
            "grant_type=refresh_token&refresh_token=1%2F%2Fr%3D%2B&client_id=a%20b%26c"
        );
        assert_eq!(form_request("no address", "r", &[]).map(|_| ()), None);
    }

    #[test]
    fn claims_are_read_of_what_is_a_token() {
        let token = format!("e30.{}.s", URL_SAFE_NO_PAD.encode(r#"{"exp":7}"#));
        assert_eq!(claims(&token).unwrap()["exp"], 7);
        for odd in ["", "a.b", "a.!!.c", "opaque"] {
            assert_eq!(claims(odd), None, "{odd}");
        }
    }
}
