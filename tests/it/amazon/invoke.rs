//! Bedrock's InvokeModel: paths with the model, streams in frames of Amazon's, its errors, and its token counts.

use crs_support::client::Call;
use crs_support::provider::{Route, Script, bedrock as amazon};
use serde_json::{Value, json};

use super::super::support::entries;
use super::{Bedrock, bedrock_at, body, plain};

const MODEL: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0";

/// At the runtime's address, which has no path.
async fn invoke() -> Bedrock {
    let b = bedrock_at("", json!({})).await;
    b.provider.takes_access_keys(super::ID, super::SECRET, None);
    b
}

fn ask(b: &Bedrock, stream: bool) -> Call {
    ask_with(b, &body("claude-sonnet-4-5", stream))
}

/// In a conversation of its own, which no account has served yet.
fn ask_anew(b: &Bedrock, stream: bool, conversation: usize) -> Call {
    let mut body = body("claude-sonnet-4-5", stream);
    let session = format!("{{\"session_id\":\"00000000-0000-4000-8000-{conversation:012}\"}}");
    body["metadata"]["user_id"] = session.into();
    ask_with(b, &body)
}

fn ask_with(b: &Bedrock, body: &Value) -> Call {
    b.client
        .call("POST", "/v1/messages?beta=true")
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "claude-code-20250219,effort-2025-11-24")
        .json(body)
}

/// The account's in the admin API.
fn path(b: &Bedrock) -> String {
    format!("/admin/accounts/{}", b.account["id"].as_str().expect("an id"))
}

/// Forgets what the account's answers have shown of it.
async fn reset(b: &Bedrock) {
    let reset = format!("{}/reset", path(b));
    b.relay.admin().post(&reset, &json!({})).await.good();
}

/// An account that serves if Bedrock's does not.
async fn add_official(b: &Bedrock) {
    let account = json!({
        "name": "official", "platform": "claude", "priority": 90,
        "credentials": { "type": "apiKey", "apiKey": "sk-ant-official" },
    });
    b.relay.add_account(&account).await;
}

#[tokio::test]
async fn an_answer_is_asked_for_in_the_path() {
    let b = invoke().await;
    b.provider.answer(Script::message("你好 from Bedrock"));
    let answer = ask(&b, false).send().await.good();
    assert_eq!(answer.text(), "你好 from Bedrock");
    let asked = b.provider.last_call();
    assert_eq!(asked.target, format!("/model/{MODEL}/invoke"));
    let sent = asked.json();
    assert_eq!(sent["anthropic_version"], "bedrock-2023-05-31");
    assert_eq!(sent["anthropic_beta"], json!(["effort-2025-11-24"]));
    assert_eq!((sent.get("model"), sent.get("stream")), (None, None));
    assert_eq!(sent["messages"][0]["content"], "Grüße, 你好 / a+b=c");
    for gone in ["anthropic-version", "anthropic-beta", "x-api-key"] {
        assert_eq!(asked.header(gone), None, "{gone}");
    }
    let shown = asked.header("authorization").expect("a signature");
    assert!(shown.contains("/eu-west-1/bedrock/aws4_request"), "{shown}");
}

#[tokio::test]
async fn a_stream_is_anthropics_for_the_client() {
    let b = invoke().await;
    for script in [
        Script::message("你好 🌍 from Bedrock").thinking("hm", "sig"),
        Script::message("你好 🌍 from Bedrock").byte_by_byte(),
    ] {
        b.provider.answer(script);
        let answer = ask(&b, true).send().await.good();
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(answer.text(), "你好 🌍 from Bedrock");
        let text = plain(&answer);
        assert!(
            text.starts_with("event: message_start\ndata: {\"message\":"),
            "{text}"
        );
        // Bedrock's own member is not passed on.
        let last = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        assert!(text.ends_with(last), "{text}");
    }
    let asked = b.provider.last_call();
    assert_eq!(
        asked.target,
        format!("/model/{MODEL}/invoke-with-response-stream")
    );
    for entry in entries(&b.relay, 2).await {
        assert_eq!(
            (&entry["quality"], &entry["status"]),
            (&json!("exact"), &json!(200)),
            "{entry}"
        );
        assert!(entry["cost"].as_f64() > Some(0.0), "{entry}");
    }
}

#[tokio::test]
async fn a_converted_client_gets_its_own_stream() {
    let b = invoke().await;
    b.provider.answer(Script::message("hello from Bedrock"));
    let chat = json!({
        "model": "claude-sonnet-4-5", "stream": true, "messages": [{ "role": "user", "content": "hi" }],
    });
    let call = b.client.call("POST", "/v1/chat/completions").json(&chat);
    let text = plain(&call.send().await.good());
    assert!(
        text.contains("chat.completion.chunk") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    assert!(
        b.provider
            .last_call()
            .target
            .ends_with("/invoke-with-response-stream")
    );
}

#[tokio::test]
async fn an_exception_at_the_start_is_another_accounts_turn() {
    let b = invoke().await;
    add_official(&b).await;
    let names = [
        "throttlingException",
        "modelStreamErrorException",
        "modelTimeoutException",
        "internalServerException",
        "serviceUnavailableException",
    ];
    for (conversation, name) in names.into_iter().enumerate() {
        reset(&b).await;
        b.provider
            .for_credential(super::ID)
            .next(Script::message("").error_event_after(0, name, "Not now."));
        let answer = ask_anew(&b, true, conversation).send().await.good();
        assert!(plain(&answer).contains("event: message_stop"), "{name}");
        let official = b.provider.last_call();
        assert_eq!(official.header("x-api-key"), Some("sk-ant-official"), "{name}");
        assert_eq!(b.provider.for_credential(super::ID).left(), 0, "{name}");
    }
}

#[tokio::test]
async fn an_exception_halfway_is_an_error_event() {
    let b = invoke().await;
    let script = Script::message("some words that break off here").deltas(5);
    b.provider
        .next(script.error_event_after(4, "throttlingException", "Too many tokens."));
    let text = plain(&ask(&b, true).send().await.good());
    let error = json!({
        "type": "error", "error": { "type": "rate_limit_error", "message": "Too many tokens." },
    });
    assert!(
        text.ends_with(&format!("event: error\ndata: {error}\n\n")),
        "{text}"
    );
    assert!(text.contains("content_block_delta"), "{text}");
    let entry = entries(&b.relay, 1).await.remove(0);
    assert_eq!(entry["quality"], "partial", "{entry}");
}

#[tokio::test]
async fn a_damaged_or_cut_stream_ends_with_an_error() {
    let start = amazon::chunk(r#"{"type":"message_start","message":{"usage":{"input_tokens":1}}}"#);
    let mut damaged = start.to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let huge = [255, 255, 255, 255].to_vec();
    for second in [damaged, start[..last].to_vec(), huge, Vec::new()] {
        let b = invoke().await;
        let frames = [start.clone(), second.clone().into()];
        b.provider.next(Script::frames(frames));
        let text = plain(&ask(&b, true).send().await.good());
        assert!(text.starts_with("event: message_start"), "{text}");
        let (_, error) = text.rsplit_once("event: error\ndata: ").expect("an error event");
        let error: Value = serde_json::from_str(error.trim()).expect("JSON");
        assert_eq!(error["error"]["type"], "api_error", "{error}");
        let entry = entries(&b.relay, 1).await.remove(0);
        assert_eq!(entry["quality"], "partial", "{entry}");
    }
}

#[tokio::test]
async fn errors_have_anthropics_form() {
    let b = invoke().await;
    for (status, exception, kind) in [
        (400, "ValidationException", "invalid_request_error"),
        (403, "AccessDeniedException", "permission_error"),
        (404, "ResourceNotFoundException", "not_found_error"),
    ] {
        b.provider
            .next(amazon::error(status, exception, "Amazon's words."));
        let refused = ask(&b, true).send().await.expect(status).json();
        assert_eq!(
            (
                &refused["type"],
                &refused["error"]["type"],
                &refused["error"]["message"]
            ),
            (&json!("error"), &json!(kind), &json!("Amazon's words.")),
            "{exception}"
        );
    }
}

#[tokio::test]
async fn a_fault_of_the_request_is_not_the_accounts() {
    let b = invoke().await;
    add_official(&b).await;
    let refusal = amazon::error(
        400,
        "ValidationException",
        "messages: at least one message is required",
    );
    b.provider.next(refusal);
    ask(&b, true).send().await.expect(400);
    let start = Script::message("").error_event_after(0, "validationException", "Amazon's words.");
    b.provider.next(start);
    let text = plain(&ask(&b, true).send().await.good());
    let error = json!({
        "type": "error", "error": { "type": "invalid_request_error", "message": "Amazon's words." },
    });
    assert_eq!(text, format!("event: error\ndata: {error}\n\n"));
    // Nobody else was asked, and the account still serves.
    ask(&b, false).send().await.good();
    let asked = b.provider.requests_to(Route::Messages);
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|asked| asked.header("x-api-key").is_none()));
    let account = b.relay.admin().get(&path(&b)).await.good().json();
    assert_eq!(account["status"], "active");
}

#[tokio::test]
async fn a_limited_account_is_left_for_another() {
    let b = invoke().await;
    add_official(&b).await;
    let errors = [
        (429, "ThrottlingException"),
        (429, "ModelNotReadyException"),
        (400, "ServiceQuotaExceededException"),
        (408, "ModelTimeoutException"),
        (424, "ModelErrorException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ];
    for (conversation, (status, exception)) in errors.into_iter().enumerate() {
        reset(&b).await;
        b.provider
            .for_credential(super::ID)
            .next(amazon::error(status, exception, "Not now."));
        ask_anew(&b, false, conversation).send().await.good();
        let official = b.provider.last_call();
        assert_eq!(
            official.header("x-api-key"),
            Some("sk-ant-official"),
            "{exception}"
        );
        assert_eq!(b.provider.for_credential(super::ID).left(), 0, "{exception}");
    }
}

#[tokio::test]
async fn tokens_are_counted_by_the_foundation_model() {
    let b = invoke().await;
    let mut asked = body("claude-sonnet-4-5", false);
    asked
        .as_object_mut()
        .expect("fields")
        .retain(|name, _| name != "stream" && name != "max_tokens");
    let call = b.client.call("POST", "/v1/messages/count_tokens").json(&asked);
    let counted = call.send().await.good();
    assert_eq!(counted.header("content-type"), Some("application/json"));
    let counted = counted.json();
    assert!(counted["input_tokens"].as_u64() > Some(0), "{counted}");
    assert_eq!(
        counted.as_object().map(serde_json::Map::len),
        Some(1),
        "{counted}"
    );
    let asked = b.provider.requests_to(Route::CountTokens).pop().expect("a count");
    let model = "anthropic.claude-sonnet-4-5-20250929-v1%3A0";
    assert_eq!(asked.target, format!("/model/{model}/count-tokens"));
}

#[tokio::test]
async fn an_api_key_is_a_bearer_token_behind_a_gateway_too() {
    let b = bedrock_at("/bedrock/model", json!({ "type": "apiKey", "apiKey": "ABSKkey" })).await;
    for stream in [false, true] {
        let text = plain(&ask(&b, stream).send().await.good());
        assert!(text.contains("ça va?"), "{text}");
        let asked = b.provider.last_call();
        // The gateway's region is not known.
        let place = "/bedrock/model/global.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke";
        assert!(asked.target.starts_with(place), "{}", asked.target);
        assert_eq!(asked.header("authorization"), Some("Bearer ABSKkey"));
        assert_eq!(asked.header("x-api-key"), None);
    }
}

#[tokio::test]
async fn the_address_decides() {
    let key = || json!({ "type": "apiKey", "apiKey": "ABSKkey" });
    for (address, credentials, expected) in [
        ("", json!({}), format!("/model/{MODEL}/invoke")),
        ("/model", json!({}), format!("/model/{MODEL}/invoke")),
        (
            "/anthropic",
            json!({}),
            "/anthropic/v1/messages?beta=true".to_owned(),
        ),
        ("/v1", json!({}), "/v1/messages?beta=true".to_owned()),
        // A host that is compatible with Anthropic.
        ("", key(), "/v1/messages?beta=true".to_owned()),
    ] {
        let b = bedrock_at(address, credentials.clone()).await;
        b.provider.takes_access_keys(super::ID, super::SECRET, None);
        ask(&b, false).send().await.good();
        let asked = b.provider.last_call();
        assert_eq!(asked.target, expected, "{address} {credentials}");
        let is_invoked = expected.ends_with("/invoke");
        assert_eq!(asked.json().get("model").is_none(), is_invoked, "{address}");
        assert_eq!(asked.header("anthropic-beta").is_none(), is_invoked, "{address}");
    }
}

#[tokio::test]
async fn a_mapped_arn_is_one_segment() {
    let b = invoke().await;
    let arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1b2c3";
    let mapping = json!({ "modelMapping": { "claude-sonnet-4-5": arn } });
    b.relay.admin().patch(&path(&b), &mapping).await.good();
    ask(&b, false).send().await.good();
    let place = "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A111122223333%3Aapplication-inference-profile%2Fa1b2c3/invoke";
    assert_eq!(b.provider.last_call().target, place);
}
