use serde_json::{Value, json};

use super::*;
use crate::dialect::body::scan;
use crate::model::name::ModelName;

const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const VERSION: &str = "bedrock-2023-05-31";

fn sent(endpoint: Endpoint, body: &str, betas: &[&'static str]) -> Request<Bytes> {
    let mut call = crate::dialect::call::tests::call(endpoint);
    call.body = Bytes::copy_from_slice(body.as_bytes());
    call.fields = scan(&call.body).unwrap();
    call.model = ModelName::parse("claude-sonnet-4-5").unwrap();
    call.stream = call.fields.is_true(Field::Stream, &call.body);
    call.query = Some("beta=true".to_owned());
    let mut headers = HeaderMap::new();
    headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    for list in betas {
        headers.append(ANTHROPIC_BETA, HeaderValue::from_static(list));
    }
    build(&call, "https://h/base", headers, MODEL).unwrap()
}

fn text(request: &Request<Bytes>) -> &str {
    std::str::from_utf8(request.body()).unwrap()
}

#[test]
fn model_version_and_stream_change_their_places() {
    for (body, method, expected) in [
        (
            r#"{"model":"claude-sonnet-4-5","max_tokens":1}"#,
            "invoke",
            r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1}"#,
        ),
        (
            r#"{"stream":true, "model" : "claude-sonnet-4-5","n":1.0e0, "u":"\u00e4ä"}"#,
            "invoke-with-response-stream",
            r#"{ "anthropic_version":"bedrock-2023-05-31","n":1.0e0, "u":"\u00e4ä"}"#,
        ),
        (
            r#"{"model":"m","anthropic_version":"2023-06-01" , "stream" : false}"#,
            "invoke",
            r#"{"anthropic_version":"bedrock-2023-05-31"}"#,
        ),
        (
            r#"{"anthropic_version":"x","stream":true,"model":"m"}"#,
            "invoke-with-response-stream",
            r#"{"anthropic_version":"bedrock-2023-05-31"}"#,
        ),
    ] {
        let request = sent(Endpoint::Messages, body, &[]);
        let model = "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0";
        assert_eq!(
            request.uri().to_string(),
            format!("https://h/base/model/{model}/{method}")
        );
        assert_eq!(text(&request), expected);
        assert_eq!(request.headers().get(ANTHROPIC_VERSION), None);
        let accept = if method == "invoke" {
            "application/json"
        } else {
            "application/vnd.amazon.eventstream"
        };
        assert_eq!(request.headers()["accept"], accept);
    }
}

#[test]
fn an_arn_stays_in_its_segment() {
    let mut call = crate::dialect::call::tests::call(Endpoint::Messages);
    call.body = Bytes::from_static(b"{\"model\":\"m\"}");
    call.fields = scan(&call.body).unwrap();
    let arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc";
    let request = build(&call, "https://h/model", HeaderMap::new(), arn).unwrap();
    assert_eq!(
        request.uri().path(),
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fabc/invoke"
    );
}

#[test]
fn betas_that_bedrock_knows_are_in_the_body() {
    for (lists, expected) in [
        (&[][..], None),
        (&["claude-code-20250219,prompt-caching-scope-2026-01-05"], None),
        (
            &[
                "claude-code-20250219 , effort-2025-11-24",
                "context-1m-2025-08-07,effort-2025-11-24,",
            ],
            Some(json!(["effort-2025-11-24", "context-1m-2025-08-07"])),
        ),
        (
            &["advanced-tool-use-2025-11-20,tool-search-tool-2025-10-19"],
            Some(json!(["tool-search-tool-2025-10-19"])),
        ),
    ] {
        let request = sent(Endpoint::Messages, r#"{"model":"m","system":"s"}"#, lists);
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(body.get("anthropic_beta"), expected.as_ref(), "{lists:?}");
        assert_eq!(body["system"], "s");
        assert_eq!(request.headers().get(ANTHROPIC_BETA), None);
    }
    // A client's own list is the only one.
    let own = r#"{"model":"m","anthropic_beta":["x"],"system":"anthropic_beta"}"#;
    let request = sent(Endpoint::Messages, own, &["effort-2025-11-24"]);
    let expected =
        r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["x"],"system":"anthropic_beta"}"#;
    assert_eq!(text(&request), expected);
    let mentioned = r#"{"model":"m","system":"anthropic_beta"}"#;
    let request = sent(Endpoint::Messages, mentioned, &["effort-2025-11-24"]);
    assert!(text(&request).contains(r#""anthropic_beta":["effort-2025-11-24"]"#));
}

#[test]
fn what_is_counted_is_a_whole_request() {
    for (body, expected) in [
        (
            r#"{"model":"m","messages":[]}"#,
            json!({ "anthropic_version": VERSION, "max_tokens": 1, "messages": [] }),
        ),
        (
            r#"{"model":"m","max_tokens":9}"#,
            json!({ "anthropic_version": VERSION, "max_tokens": 9 }),
        ),
        (
            r#"{"model":"m","thinking":{"type":"enabled","budget_tokens":31999}}"#,
            json!({
                "anthropic_version": VERSION, "max_tokens": 32_000,
                "thinking": { "type": "enabled", "budget_tokens": 31_999 },
            }),
        ),
        (
            r#"{"model":"m","thinking":{"type":"adaptive"},"system":"budget_tokens"}"#,
            json!({
                "anthropic_version": VERSION, "max_tokens": 1, "thinking": { "type": "adaptive" },
                "system": "budget_tokens",
            }),
        ),
    ] {
        let request = sent(Endpoint::CountTokens, body, &[]);
        assert_eq!(
            request.uri().path(),
            "/base/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
        );
        let outer: Value = serde_json::from_slice(request.body()).unwrap();
        let inner = outer["input"]["invokeModel"]["body"].as_str().unwrap();
        let inner: Value = serde_json::from_slice(&STANDARD.decode(inner).unwrap()).unwrap();
        assert_eq!(inner, expected, "{body}");
    }
}

#[test]
fn other_calls_are_not_served() {
    let call = crate::dialect::call::tests::call(Endpoint::Responses);
    assert!(build(&call, "https://h", HeaderMap::new(), MODEL).is_err());
}
