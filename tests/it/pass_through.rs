//! Bytes and headers reach the other side as they were sent.

use std::time::Duration;

use crs_support::provider::{Script, Usage};
use crs_support::relay::Host;
use serde_json::json;

use super::HOST;
use super::support::{ACCOUNT_KEY, micro_usd, ready};

/// JSON as no serialiser writes it: odd spaces, escapes, an unknown field, numbers that floats cannot hold.
const ODD_BODY: &str = "{ \"model\" :\t\"claude-sonnet-4-5\",\n \"max_tokens\": 16, \"messages\":[{\"role\":\"user\",\"content\":\"\\u4f60\\u597d 世界 🌍 \\/\"}],\n\"x_unknown\": {\"deep\": [1.000000000000000000001, 12345678901234567890123, -0.0, 1e5]}, \"stream\":false }\n";

#[tokio::test]
async fn a_request_body_is_not_touched() {
    let r = ready().await;
    r.client
        .call("POST", "/v1/messages")
        .body(ODD_BODY)
        .send()
        .await
        .good();
    assert_eq!(r.provider.last_call().body, ODD_BODY);
}

#[tokio::test]
async fn a_response_is_not_touched_whatever_its_chunks() {
    let r = ready().await;
    let odd = "{\"id\":\"msg_1\", \"type\":\"message\",\n \"model\":\"claude-sonnet-4-5\",\"content\":[{\"type\":\"text\",\"text\":\"你好 \\ud83c\\udf0d 🌍\"}], \"usage\":{\"input_tokens\":3,\"output_tokens\":5}, \"new_field\": 1.50 }";
    r.provider
        .next(Script::bytes("application/json", odd).byte_by_byte());
    assert_eq!(r.client.messages("hi").send().await.good().body, odd);

    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"claude-sonnet-4-5\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n: a comment\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"你好，世界 🌍\"}}\n\nevent: something_new\ndata: {}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    r.provider.next(Script::raw_stream(stream).byte_by_byte());
    assert_eq!(r.client.messages("hi").stream().send().await.good().body, stream);
    let entries = r.entries(2).await;
    assert_eq!(entries[0]["tokens"]["input"], 7);
    assert_eq!(entries[0]["tokens"]["output"], 9);
    assert_eq!(entries[1]["tokens"]["output"], 5);
}

#[tokio::test]
async fn the_provider_sees_the_client_and_not_its_secrets() {
    let r = ready().await;
    r.client
        .call("POST", "/v1/messages?beta=true&key=")
        .body(ODD_BODY)
        .header("user-agent", "claude-cli/2.1.330 (external, cli)")
        .header("anthropic-version", "2099-01-01")
        .header("anthropic-beta", "one-2025,two-2026")
        .header("anthropic-dangerous-direct-browser-access", "true")
        .header("x-stainless-retry-count", "0")
        .header("x-claude-code-session-id", "0190f1a2-0000-4000-8000-000000000000")
        .header("x-app", "cli")
        .header("accept-encoding", "gzip, br")
        .header("cookie", "session=secret")
        .header("x-forwarded-for", "10.1.2.3")
        .header("forwarded", "for=10.1.2.3")
        .header("via", "1.1 elsewhere")
        .header("x-real-ip", "10.1.2.3")
        .header("x-own", "anything")
        .send()
        .await
        .good();
    let seen = r.provider.last_call();
    assert_eq!(seen.target, "/v1/messages?beta=true");
    for (name, value) in [
        ("user-agent", "claude-cli/2.1.330 (external, cli)"),
        ("anthropic-version", "2099-01-01"),
        ("anthropic-beta", "one-2025,two-2026"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("x-stainless-retry-count", "0"),
        ("x-claude-code-session-id", "0190f1a2-0000-4000-8000-000000000000"),
        ("x-app", "cli"),
        ("accept-encoding", "identity"),
        ("x-api-key", ACCOUNT_KEY),
        ("content-type", "application/json"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    for name in [
        "authorization",
        "cookie",
        "x-forwarded-for",
        "forwarded",
        "via",
        "x-real-ip",
        "x-own",
        "api-key",
        "x-goog-api-key",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert!(!seen.text().contains(&r.key.secret) && !format!("{:?}", seen.headers).contains(&r.key.secret));
}

#[tokio::test]
async fn the_client_sees_the_provider_and_nothing_of_the_wire() {
    let r = ready().await;
    r.provider.next(
        Script::message("hi")
            .with_header("request-id", "req_of_provider")
            .with_header("anthropic-ratelimit-unified-status", "allowed")
            .with_header("set-cookie", "__cf=secret")
            .with_header("server", "cloudflare")
            .with_header("x-envoy", "1"),
    );
    let answer = r.client.messages("hi").send().await.good();
    assert_eq!(answer.header("request-id"), Some("req_of_provider"));
    assert_eq!(
        answer.header("anthropic-ratelimit-unified-status"),
        Some("allowed")
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| id.starts_with("req_"))
    );
    assert_eq!(
        answer.header("content-length"),
        Some(answer.body.len().to_string().as_str())
    );
    for name in ["set-cookie", "server", "x-envoy"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn gzip_never_leaks() {
    let r = ready().await;
    r.provider.answer(Script::message("plain").gzip_if_accepted());
    let call = r
        .client
        .messages("hi")
        .header("accept-encoding", "gzip, deflate, br, zstd");
    let answer = call.send().await.good();
    // workerd compresses what a client accepts compressed, whatever the Worker says.
    if HOST != Host::Worker {
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(answer.text(), "plain");
    }
    // Who does not ask for it never gets it.
    let answer = r.client.messages("hi").send().await.good();
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.text(), "plain");
}

#[tokio::test]
async fn frames_leave_as_they_come_in() {
    let r = ready().await;
    // One frame, then silence: if anything were held back, the first text would not be here.
    r.provider.next(
        Script::message("first words, then nothing")
            .deltas(4)
            .stall_after(5),
    );
    let (head, mut raw) = r.client.messages("hi").stream().open().await;
    assert_eq!(head.status, 200);
    let seen = raw.until("content_block_delta").await;
    assert!(!String::from_utf8_lossy(&seen).contains("message_stop"));
    raw.leave();
}

#[tokio::test]
async fn a_mapped_model_changes_that_one_value() {
    let r = ready().await;
    let list = r.relay.admin().get("/admin/accounts").await.good().json();
    let id = list["items"][0]["id"].as_str().expect("an id");
    let mapping = json!({ "modelMapping": { "claude-sonnet-4-5": "vendor/sonnet:x@1" } });
    r.relay
        .admin()
        .patch(&format!("/admin/accounts/{id}"), &mapping)
        .await
        .good();
    r.client
        .call("POST", "/v1/messages")
        .body(ODD_BODY)
        .send()
        .await
        .good();
    assert_eq!(
        r.provider.last_call().text(),
        ODD_BODY.replace("\"claude-sonnet-4-5\"", "\"vendor/sonnet:x@1\"")
    );
}

#[tokio::test]
async fn counting_tokens_is_passed_on_and_free() {
    let r = ready().await;
    let answer = r
        .client
        .call("POST", "/v1/messages/count_tokens")
        .body(ODD_BODY)
        .send()
        .await
        .good();
    assert!(answer.json()["input_tokens"].as_u64().is_some());
    assert_eq!(r.provider.requests()[0].target, "/v1/messages/count_tokens");
    let entry = r.entry().await;
    assert_eq!(
        (entry["endpoint"].as_str(), micro_usd(&entry["cost"])),
        (Some("count_tokens"), 0)
    );
    assert_eq!(entry["quality"], "exact");
}

#[tokio::test]
async fn a_call_is_charged_to_the_token() {
    let r = ready().await;
    let usage = Usage {
        input: 1_000,
        output: 100,
        cache_write_5m: 2_000,
        cache_write_1h: 300,
        cache_read: 40_000,
    };
    for stream in [false, true] {
        r.provider.next(
            Script::message("hi")
                .model("claude-sonnet-4-5-20250929")
                .usage(usage),
        );
        let call = r.client.messages("hi").model("claude-sonnet-4-5");
        let call = if stream { call.stream() } else { call };
        call.send().await.good();
    }
    for entry in r.entries(2).await {
        // USD per million: input 3, output 15, writes 3.75 and 6, reads 0.30.
        assert_eq!(
            micro_usd(&entry["cost"]),
            3_000 + 1_500 + 7_500 + 1_800 + 12_000,
            "{entry}"
        );
        assert_eq!(
            entry["tokens"],
            json!({ "input": 1000, "output": 100, "cacheWrite5m": 2000, "cacheWrite1h": 300, "cacheRead": 40000 })
        );
        assert_eq!(entry["quality"], "exact");
        assert_eq!(entry["model"], "claude-sonnet-4-5-20250929");
        assert_eq!(entry["attempts"], 1);
        assert_eq!(entry["status"], 200);
        assert!(entry["firstByteMs"].as_u64() <= entry["durationMs"].as_u64());
    }
}

#[tokio::test]
async fn a_slow_reader_slows_the_provider_and_not_the_relay() {
    let provider = crs_support::provider::FakeProvider::start_with_send_buffer(64 << 10).await;
    let relay = super::support::relay(&provider).start().await;
    relay.claude_account("first", ACCOUNT_KEY).await;
    let key = relay.key("k").create().await;
    provider.next(Script::endless(16 << 10));
    let call = relay.client(&key.secret).messages("hi").stream();
    let mut raw = crs_support::client::Raw::connect_with_receive_buffer(relay.url(), 32 << 10).await;
    raw.ask(&call.ask).await;
    let before = crs_support::relay::rss_kib(relay.pid());
    // The client reads little; the provider may run ahead by what the sockets and the relay hold.
    raw.read_slowly(4 << 10, Duration::from_millis(5), 512 << 10)
        .await;
    let sent = provider.wait_for(1).await[0].sent();
    assert!(
        sent < 16 << 20,
        "the provider could send {sent} bytes to a reader of 512 KiB"
    );
    let grown = crs_support::relay::rss_kib(relay.pid()).saturating_sub(before);
    // A whole runtime moves more than a program does.
    let most = if HOST == Host::Worker { 64 << 10 } else { 8 << 10 };
    assert!(grown < most, "the relay grew by {grown} KiB");
    raw.reset();
}
