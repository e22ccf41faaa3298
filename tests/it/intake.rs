//! Requests are bounded before they cost anything, and reach a provider only where they may.

use std::io::Write as _;

use crs_support::client::{Ask, Client, Raw};
use crs_support::eventually;
use crs_support::provider::{Route, Script};
use crs_support::relay::Relay;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::support::{Ready, ready, ready_with, slots_are_free};

const MB: usize = 1 << 20;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("into memory");
    encoder.finish().expect("into memory")
}

/// A frame of blocks that repeat one byte 131,072 times each (RFC 8878 §3.1.1.2.2): four bytes a block.
fn zstd_bomb(blocks: usize) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
    for block in 0..blocks {
        let last = u32::from(block + 1 == blocks);
        out.extend_from_slice(&((128_u32 << 10) << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        out.push(b' ');
    }
    out
}

/// A figure of `/metrics`.
async fn figure(relay: &Relay, name: &str) -> usize {
    let text = relay.metrics().await;
    let line = format!("crs_{name} ");
    text.lines()
        .find_map(|metric| metric.strip_prefix(&line)?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

async fn change_key(r: &Ready, change: &Value) {
    let path = format!("/admin/api-keys/{}", r.key.id);
    r.relay.admin().patch(&path, change).await.good();
}

#[tokio::test]
async fn a_key_that_is_refused_has_nothing_unpacked() {
    let r = ready().await;
    r.client.messages("hi").send().await.good();
    let bomb = zstd_bomb(820);
    assert!(bomb.len() < 3_300);
    let attack = async |status: u16| {
        let before = figure(&r.relay, "body_memory_peak_bytes").await;
        let bombs = (0..40).map(|_| {
            let call = r.client.call("POST", "/v1/messages").body(bomb.clone());
            call.header("content-encoding", "zstd").send()
        });
        for answer in join_all(bombs).await {
            answer.expect(status);
        }
        assert_eq!(figure(&r.relay, "body_unpacked_bytes").await, 0);
        assert_eq!(figure(&r.relay, "body_memory_peak_bytes").await, before);
    };
    change_key(&r, &json!({ "permissions": ["gemini"] })).await;
    attack(403).await;
    change_key(&r, &json!({ "permissions": [], "isActive": false })).await;
    attack(401).await;
    let path = format!("/admin/api-keys/{}", r.key.id);
    r.relay.admin().delete(&path).await.good();
    attack(401).await;
    assert_eq!(r.provider.calls(), 1);
}

#[tokio::test]
async fn a_refused_key_hears_so_before_its_body_has_come() {
    let r = ready().await;
    change_key(&r, &json!({ "isActive": false })).await;
    // The bodies of the admin's requests count, too.
    let before = figure(&r.relay, "body_memory_peak_bytes").await;
    let client = r.relay.client(&r.key.secret);
    // So large that the whole of it would not be waited for.
    let call = client.call("POST", "/v1/messages").body("x".repeat(3 * MB));
    let refused = call.send().await.expect(401);
    assert!(
        refused.json()["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("disabled"))
    );
    assert_eq!(figure(&r.relay, "body_memory_peak_bytes").await, before);
}

#[tokio::test]
async fn a_live_keys_bombs_are_given_up_early() {
    let r = ready_with(|setup| setup.env("REQUEST_MAX_SIZE_MB", 32).env("BODY_MEMORY_MB", 40)).await;
    // 64 KB that would be 2 GB.
    let bomb = zstd_bomb(16_000);
    let bombs = (0..20).map(|_| {
        let call = r.client.call("POST", "/v1/messages").body(bomb.clone());
        call.header("content-encoding", "zstd").send()
    });
    for answer in join_all(bombs).await {
        assert!(
            matches!(answer.status, 413 | 503),
            "{}: {}",
            answer.status,
            answer.raw_text()
        );
        if answer.status == 503 {
            assert!(answer.header("retry-after").is_some());
        }
    }
    let densest = 100 * bomb.len() + MB;
    assert!(figure(&r.relay, "body_unpacked_bytes").await <= 20 * densest);
    assert!(figure(&r.relay, "body_memory_peak_bytes").await <= 40 * MB);
    assert_eq!(figure(&r.relay, "body_memory_bytes").await, 0);
    slots_are_free(&r.relay, &r.key).await;
    r.client.messages("hi").send().await.good();
    assert_eq!(r.provider.calls(), 1);
}

#[tokio::test]
async fn a_slot_is_held_while_a_compressed_body_is_read() {
    let r = ready().await;
    let key = r.relay.key("narrow").set("concurrencyLimit", 1).create().await;
    let client = r.relay.client(&key.secret);
    let body = gzip(&client.messages("hi").ask.body);
    let head = format!(
        "POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        key.secret,
        body.len()
    );
    let mut first = Raw::connect(r.relay.url()).await;
    first.send(&head).await;
    first.send(&body[..10]).await;
    let path = format!("/admin/api-keys/{}", key.id);
    eventually("the slot is held", async || {
        let record = r.relay.admin().get(&path).await.good().json();
        (record["currentConcurrency"] == 1).then_some(())
    })
    .await;
    let call = client.call("POST", "/v1/messages").body(body.clone());
    call.header("content-encoding", "gzip").send().await.expect(429);
    first.send(&body[10..]).await;
    assert_eq!(first.head().await.status, 200);
    slots_are_free(&r.relay, &key).await;
    // Whoever leaves in the middle of its body gives the slot back.
    let mut second = Raw::connect(r.relay.url()).await;
    second.send(&head).await;
    second.send(&body[..10]).await;
    second.reset();
    slots_are_free(&r.relay, &key).await;
    // So does one whose body is bad.
    let call = client.call("POST", "/v1/messages").body("no gzip");
    call.header("content-encoding", "gzip").send().await.expect(400);
    slots_are_free(&r.relay, &key).await;
    client.messages("hi").send().await.good();
}

#[tokio::test]
async fn one_keys_bodies_leave_room_for_others() {
    let r = ready_with(|setup| setup.env("REQUEST_MAX_SIZE_MB", 4).env("BODY_MEMORY_MB", 8)).await;
    let other = r.relay.key("other").create().await;
    let head = format!(
        "POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n",
        r.key.secret,
        3 * MB
    );
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut raw = Raw::connect(r.relay.url()).await;
        raw.send(&head).await;
        // What does not fit is not taken from the wire.
        let mut part = head.clone().into_bytes();
        part.resize(100 << 10, b'x');
        raw.send(&part).await;
        held.push(raw);
    }
    eventually("bodies are held", async || {
        (figure(&r.relay, "body_memory_bytes").await > 0).then_some(())
    })
    .await;
    let sending = held.iter_mut().map(|raw| raw.try_send(vec![b'x'; MB + MB / 2]));
    let sending = join_all(sending);
    let calls = async {
        let client = r.relay.client(&other.secret);
        for _ in 0..5 {
            client.messages("hi").send().await.good();
        }
        let large = client.messages(&"x".repeat(2 * MB));
        large.send().await.good();
    };
    let ((), ()) = tokio::join!(calls, async {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), sending).await;
    });
    assert!(figure(&r.relay, "body_memory_peak_bytes").await <= 8 * MB);
    for raw in held {
        raw.reset();
    }
    eventually("nothing is held any more", async || {
        (figure(&r.relay, "body_memory_bytes").await == 0).then_some(())
    })
    .await;
    slots_are_free(&r.relay, &r.key).await;
}

#[tokio::test]
async fn a_body_is_not_held_while_its_answer_streams() {
    let r = ready().await;
    r.provider
        .next(Script::message("a long answer").deltas(6).stall_after(4));
    let (_, mut raw) = r.client.messages(&"x".repeat(2 * MB)).stream().open().await;
    raw.until("content_block_delta").await;
    assert_eq!(figure(&r.relay, "body_memory_bytes").await, 0);
    assert!(figure(&r.relay, "body_memory_peak_bytes").await >= 2 * MB);
    raw.reset();
    slots_are_free(&r.relay, &r.key).await;
}

/// Kilobytes of memory that the process holds.
fn resident(relay: &Relay) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    figure.expect("a figure")
}

#[tokio::test]
async fn memory_is_given_back_after_large_bodies() {
    applies_here!();
    let r = ready().await;
    r.client.messages("hi").send().await.good();
    let before = resident(&r.relay);
    let text = "x".repeat(20 * MB);
    for _ in 0..3 {
        let calls = (0..4).map(|_| r.client.messages(&text).send());
        for answer in join_all(calls).await {
            answer.good();
        }
    }
    let after = resident(&r.relay);
    assert!(after < before + (48 << 10), "{before} KB, then {after} KB");
}

#[tokio::test]
async fn a_coding_may_be_none_in_many_ways() {
    let r = ready().await;
    let body = r.client.messages("hi").ask.body;
    for none in ["identity", "Identity", "", "identity, ,IDENTITY"] {
        let call = r.client.call("POST", "/v1/messages").body(body.clone());
        call.header("content-encoding", none).send().await.good();
        let seen = r.provider.last_call();
        assert_eq!(
            (seen.header("content-encoding"), &seen.body),
            (None, &body),
            "{none}"
        );
    }
    for (coding, status) in [
        ("gzip, identity", 200),
        ("X-GZip", 200),
        ("gzip, gzip", 400),
        ("br", 400),
    ] {
        let call = r.client.call("POST", "/v1/messages").body(gzip(&body));
        call.header("content-encoding", coding)
            .send()
            .await
            .expect(status);
    }
    assert_eq!(r.provider.last_call().header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn nothing_of_the_clients_enters_the_credentials_channel() {
    let r = ready().await;
    for number in 0..3 {
        let account = json!({
            "name": format!("gemini {number}"), "platform": "gemini",
            "credentials": { "type": "apiKey", "apiKey": format!("AIza-of-the-account-{number}") },
        });
        r.relay.add_account(&account).await;
    }
    r.provider.on(Route::Gemini).answer(Script::gemini("hello"));
    let plain = Client::new(r.relay.url()).with_header("x-goog-api-key", &r.key.secret);
    for query in [
        "access_token=x",
        "%61ccess_token=x",
        "oauth_token=x&$key=y&api_key=z",
        "alt=json;key=x",
        "alt=json&%6bey=",
        "quotaUser=u&userProject=p&fields=candidates&callback=f",
        "%24httpMethod=DELETE",
    ] {
        let path = format!("/gemini/v1beta/models/gemini-2.5-pro:generateContent?{query}");
        let call = plain
            .call("POST", &path)
            .body(r#"{"contents":[{"parts":[{"text":"&access_token=x&"}]}]}"#)
            .header("content-type", "application/x-www-form-urlencoded");
        let call = [
            "x-goog-user-project",
            "x-goog-request-params",
            "x-http-method-override",
            "cookie",
        ]
        .into_iter()
        .fold(call, |call, name| call.header(name, "of-the-client"));
        call.send().await.good();
        let seen = r.provider.requests_to(Route::Gemini).pop().expect("a call");
        let asked = seen.target.split_once('?').map_or("", |(_, query)| query);
        assert!(matches!(asked, "" | "alt=json"), "{query}: {asked}");
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert!(!format!("{:?}", seen.headers).contains("of-the-client"));
        assert!(
            seen.header("x-goog-api-key")
                .is_some_and(|key| key.starts_with("AIza-of-the-account"))
        );
    }
    for (path, model, names) in [
        (
            "/api/v1/messages",
            "claude-sonnet-4-5",
            &[
                "anthropic-organization",
                "anthropic-organization-id",
                "anthropic-workspace-id",
            ][..],
        ),
        (
            "/openai/responses",
            "gpt-5",
            &["openai-organization", "openai-project", "chatgpt-account-id"],
        ),
    ] {
        if path.starts_with("/openai") {
            let account = json!({
                "name": "openai", "platform": "openai", "credentials": { "type": "apiKey", "apiKey": "sk-openai" },
            });
            r.relay.add_account(&account).await;
            r.provider.on(Route::Responses).answer(Script::openai("hello"));
        }
        let call = Client::new(r.relay.url())
            .with_bearer(&r.key.secret)
            .call("POST", &format!("{path}?api_key=x&%6Bey=&access_token=y"))
            .body(format!(
                r#"{{"model":"{model}","max_tokens":9,"messages":[],"input":"hi"}}"#
            ));
        let call = names
            .iter()
            .fold(call, |call, name| call.header(name, "of-the-client"));
        call.send().await.good();
        let seen = r.provider.requests().pop().expect("a call");
        assert!(!seen.target.contains('?'), "{}", seen.target);
        assert!(!format!("{:?}", seen.headers).contains("of-the-client"));
    }
}

#[tokio::test]
async fn a_key_in_the_query_is_found_however_it_is_spelt_and_stays_here() {
    let r = ready().await;
    let body = r.client.messages("hi").ask.body;
    let plain = Client::new(&r.relay.api());
    let escaped = r
        .key
        .secret
        .replace('1', "%31")
        .replace('a', "%61")
        .replace('_', "%5F");
    for query in [
        format!("key={}", r.key.secret),
        format!("%6bey={}", r.key.secret),
        format!("beta=true&%4B=1&k%65y={escaped}"),
    ] {
        let call = plain.call("POST", &format!("/v1/messages?{query}"));
        call.body(body.clone()).send().await.good();
        let seen = r.provider.last_call();
        assert!(!format!("{seen:?}").contains(&r.key.secret), "{query}");
        assert!(
            matches!(seen.target.as_str(), "/v1/messages" | "/v1/messages?beta=true"),
            "{}",
            seen.target
        );
    }
    let other = plain.call(
        "POST",
        &format!("/v1/messages?key={}&%6bey=cr_another", r.key.secret),
    );
    other.body(body.clone()).send().await.expect(401);
    let mut raw = Raw::connect(r.relay.url()).await;
    let double = Ask::post(&format!("/api/v1/messages?%256bey={}", r.key.secret), body);
    assert_eq!(raw.head_of(&double).await.status, 401, "it is decoded once");
}
