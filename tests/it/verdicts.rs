//! What a provider says of a request is not held against the account, and reaches the client as the provider
//! said it: no request of one key takes accounts away from another.

use std::io::Write as _;

use crs_support::client::{Answer, Client};
use crs_support::provider::{FakeProvider, Route, Script};
use crs_support::relay::{Host, Relay};
use serde_json::json;

use super::HOST;
use super::support::{ACCOUNT_KEY, Ready, ready, ready_with, relay};

/// A second key, of another person.
async fn another(r: &Ready) -> Client {
    let key = r.relay.key("other").create().await;
    r.relay.client(&key.secret)
}

async fn status_of(relay: &Relay, name: &str) -> String {
    let accounts = relay.admin().get("/admin/accounts").await.good().json();
    let items = accounts["items"]
        .as_array()
        .or(accounts.as_array())
        .expect("accounts");
    let account = items
        .iter()
        .find(|account| account["name"] == name)
        .expect("the account");
    account["status"].as_str().expect("a status").to_owned()
}

const PERMISSION: &str = r#"{"type":"error","error":{"type":"permission_error","message":"Your account may not use this model."}}"#;

const PAGE: &str = "<!DOCTYPE html><html><head><title>Attention Required!</title></head><body><h1>Sorry, you have been blocked</h1><script>alert(1)</script></body></html>";

#[tokio::test]
async fn a_403_about_a_request_reaches_its_client_and_nobody_else() {
    let r = ready().await;
    r.second_account().await;
    let other = another(&r).await;
    let refused = Script::bytes("application/json", PERMISSION).status(403);
    for _ in 0..3 {
        r.provider.next(refused.clone());
        r.provider.next(refused.clone());
        let answer = r.client.messages("about one file").send().await.expect(403);
        assert_eq!(answer.raw_text(), PERMISSION, "the provider's own words");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert_eq!(r.provider.calls(), 6, "each is asked of another account, once");
    other.messages("hi").send().await.good();
    assert_eq!(r.provider.calls(), 7, "and nobody is tried in vain");
    let entry = &r.entries(4).await[3];
    assert_eq!(
        (
            entry["status"].as_u64(),
            entry["attempts"].as_u64(),
            entry["error"].as_str()
        ),
        (Some(403), Some(2), Some("passed_on")),
        "{entry}"
    );
}

/// Whatever the provider answers to one key's requests, on every account.
#[tokio::test]
async fn no_answer_to_one_key_takes_accounts_from_another() {
    let r = ready().await;
    r.second_account().await;
    let other = another(&r).await;
    let json = |status: u16, kind: &str, message: &str| Script::error_saying(status, kind, message);
    for script in [
        json(403, "permission_error", "no such file for you"),
        Script::bytes("text/html", PAGE).status(403),
        Script::bytes("text/plain", "forbidden").status(402),
        json(401, "authentication_error", "Unauthorized"),
        json(
            401,
            "authentication_error",
            "This authentication style is incompatible with the long context beta header.",
        ),
        Script::bytes("text/html", PAGE).status(401),
        json(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 30,000 input tokens per minute.",
        )
        .with_header("retry-after", "50"),
        json(
            429,
            "rate_limit_error",
            "Extra usage is required for long context requests.",
        ),
        json(400, "invalid_request_error", "no"),
        json(404, "not_found_error", "no"),
        Script::bytes("text/html", PAGE).status(404),
        json(413, "request_too_large", "no"),
        json(500, "api_error", "no"),
        json(503, "api_error", "no"),
        json(529, "overloaded_error", "no"),
        Script::bytes("text/html", PAGE),
        Script::bytes("application/json", "").status(500),
        Script::message("").reset_before_head(),
        Script::message("").error_event_after(0, "overloaded_error", "Overloaded"),
    ] {
        let answer = script.clone();
        r.provider.answer(Script::decide(move |request| {
            if request.text().contains("poison") {
                answer.clone()
            } else {
                Script::message("fine")
            }
        }));
        let answer = r.client.messages("poison").stream().send().await;
        assert_ne!(answer.status, 200, "{script:?}");
        let before = r.provider.calls();
        other.messages("hi").send().await.good();
        assert_eq!(r.provider.calls(), before + 1, "{script:?}");
    }
    for name in ["first", "second"] {
        assert_ne!(status_of(&r.relay, name).await, "unauthorized");
    }
}

#[tokio::test]
async fn a_401_about_a_request_reaches_its_client_and_nobody_else() {
    let r = ready().await;
    r.second_account().await;
    let other = another(&r).await;
    let words = r#"{"error":{"message":"Unauthorized"}}"#;
    for n in 1..=3 {
        let refused = Script::bytes("application/json", words).status(401);
        r.provider.next(refused.clone());
        r.provider.next(refused);
        let answer = r.client.messages("poison").send().await.expect(401);
        assert_eq!(answer.raw_text(), words, "the provider's own words");
        assert_eq!(
            r.provider.calls(),
            2 * n,
            "each is asked of another account, once"
        );
    }
    other.messages("hi").send().await.good();
    for name in ["first", "second"] {
        assert_ne!(status_of(&r.relay, name).await, "unauthorized");
    }
}

#[tokio::test]
async fn known_words_about_the_account_mark_it() {
    let r = ready().await;
    let second = r.second_account().await;
    r.provider.for_credential(ACCOUNT_KEY).next(Script::error_saying(
        403,
        "permission_error",
        "OAuth authentication is currently not allowed for this organization.",
    ));
    r.client.messages("hi").send().await.good();
    r.client.messages("hi").send().await.good();
    assert_eq!(r.provider.calls(), 3, "marked: it is not tried again");
    assert_eq!(r.provider.last_call().credential(), Some(second));
    assert_eq!(status_of(&r.relay, "first").await, "unauthorized");
}

#[tokio::test]
async fn different_requests_of_different_keys_put_the_account_behind() {
    let r = ready().await;
    let second = r.second_account().await;
    let other = another(&r).await;
    for (client, words) in [(&r.client, "a"), (&other, "b")] {
        r.provider
            .for_credential(ACCOUNT_KEY)
            .next(Script::bytes("application/json", PERMISSION).status(403));
        client.messages(words).send().await.good();
    }
    let third = another(&r).await;
    third.messages("c").send().await.good();
    assert_eq!(r.provider.calls(), 5);
    assert_eq!(r.provider.last_call().credential(), Some(second));
}

#[tokio::test]
async fn a_429_about_the_request_is_the_clients_with_the_providers_words() {
    let r = ready().await;
    r.second_account().await;
    r.provider.answer(Script::error_saying(
        429,
        "rate_limit_error",
        "Extra usage is required for long context requests.",
    ));
    let answer = r.client.messages("long").send().await.expect(429);
    assert_eq!(
        answer.json()["error"]["message"],
        "Extra usage is required for long context requests."
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(r.provider.calls(), 2);
    r.provider.answer(Script::message("fine"));
    r.client.messages("short").send().await.good();
    assert_eq!(r.provider.calls(), 3);
}

#[tokio::test]
async fn a_model_that_a_project_may_not_use_is_said_in_openais_words() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    for (name, key) in [("one", "sk-openai-one"), ("two", "sk-openai-two")] {
        let credentials = json!({ "type": "apiKey", "apiKey": key });
        relay
            .add_account(&json!({ "name": name, "platform": "openai", "credentials": credentials }))
            .await;
    }
    let key = relay.key("k").create().await;
    let client = Client::new(&format!("{}/openai", relay.url())).with_bearer(&key.secret);
    let words = r#"{"error":{"message":"Project `proj_abc` does not have access to model `gpt-image-2`","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
    let refused = Script::bytes("application/json", words).status(403);
    provider.on(Route::Responses).next(refused.clone());
    provider.on(Route::Responses).next(refused);
    let body = |model: &str| json!({ "model": model, "input": "hi" });
    let answer = client
        .post("/v1/responses", &body("gpt-image-2"))
        .await
        .expect(403);
    assert_eq!(answer.raw_text(), words);
    client.post("/v1/responses", &body("gpt-image-2")).await.good();
    client.post("/v1/responses", &body("gpt-5")).await.good();
}

#[tokio::test]
async fn a_wait_is_read_however_it_is_written() {
    for (value, wait) in [
        ("90.5", 80..=91),
        ("Fri, 31 Dec 2055 08:22:22 GMT", 3_590..=3_600),
        ("9999999999", 3_590..=3_600),
    ] {
        let r = ready().await;
        r.provider.fails_once(429).with_header("retry-after", value);
        let answer = r.client.messages("hi").send().await.expect(429);
        let told: u64 = answer
            .header("retry-after")
            .expect("retry-after")
            .parse()
            .expect("seconds");
        assert!(wait.contains(&told), "{value}: {told}");
        r.client.messages("hi").send().await.expect(429);
        assert_eq!(r.provider.calls(), 1, "{value}: the account cools down");
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

#[tokio::test]
async fn a_compressed_error_is_judged_and_told_as_what_it_is() {
    let r = ready().await;
    let words = r#"{"type": "error", "error": {"type": "invalid_request_error", "message": "messages.3: tool_use ids were found without tool_result blocks"}}"#;
    let packed = Script::bytes("application/json", gzip(words.as_bytes()))
        .status(400)
        .with_header("content-encoding", "gzip");
    r.provider.next(packed);
    let answer = r.client.messages("hi").send().await.expect(400);
    assert_eq!(answer.raw_text(), words);
    assert_eq!(answer.header("content-encoding"), None);
    r.client.messages("hi").send().await.good();
    assert_eq!(r.entries(2).await[1]["error"], "passed_on");
}

#[tokio::test]
async fn a_compressed_answer_is_opened() {
    let r = ready().await;
    let plain = r.client.messages("hi").stream().send().await.good();
    let packed =
        Script::bytes("text/event-stream", gzip(&plain.body)).with_header("content-encoding", "gzip");
    r.provider.next(packed);
    let opened = r.client.messages("hi").stream().send().await.good();
    assert_eq!(opened.text(), plain.text());
    assert_eq!(opened.header("content-encoding"), None);
    let entries = r.entries(2).await;
    assert_eq!(entries[0]["tokens"], entries[1]["tokens"]);
}

/// Nobody has seen any of it, so another account serves; if none does, the client hears so in its protocol.
#[tokio::test]
async fn a_compressed_answer_that_is_cut_is_asked_for_again() {
    let r = ready().await;
    let plain = r.client.messages("hi").send().await.good();
    let packed = gzip(&plain.body);
    let damaged = {
        let mut packed = packed.clone();
        let end = packed.len() - 6;
        packed[end] ^= 1;
        packed
    };
    r.second_account().await;
    let broken = |bytes: &[u8]| {
        Script::bytes("application/json", bytes.to_vec()).with_header("content-encoding", "gzip")
    };
    for bytes in [&packed[..packed.len() - 9], &packed[..packed.len() / 2], &damaged] {
        r.provider.next(broken(bytes));
        let answer = r.client.messages("hi").send().await.good();
        assert_eq!(answer.text(), plain.text());
        // The Worker's runtime does not look at the sums at the end: the text before them is whole.
        if HOST != Host::Worker || bytes.len() < packed.len() - 9 {
            let asked = r.provider.requests();
            let [.., first, then] = asked.as_slice() else {
                panic!("two calls")
            };
            assert_ne!(first.credential(), then.credential());
        }
    }
    r.provider.answer(broken(&packed[..packed.len() / 2]));
    let answer = r.client.messages("hi").send().await.expect(502);
    assert_eq!(answer.json()["type"], "error", "{}", answer.raw_text());
}

#[tokio::test]
async fn a_compressed_stream_that_is_cut_ends_with_an_error() {
    let r = ready().await;
    let plain = r.client.messages("hi").stream().send().await.good();
    let packed = gzip(&plain.body);
    let script = Script::bytes("text/event-stream", packed[..packed.len() - 20].to_vec())
        .with_header("content-encoding", "gzip");
    r.provider.next(script);
    let answer = r.client.messages("hi").stream().send().await.good();
    assert_eq!(answer.events().pop().expect("an event").name, "error");
}

#[tokio::test]
async fn gzip_that_does_not_say_so_is_opened() {
    let r = ready().await;
    for streams in [false, true] {
        let call = || {
            let call = r.client.messages("hi");
            if streams { call.stream() } else { call }
        };
        let plain = call().send().await.good();
        let kind = plain.header("content-type").expect("a type").to_owned();
        r.provider.next(Script::bytes(&kind, gzip(&plain.body)));
        assert_eq!(call().send().await.good().text(), plain.text());
    }
    let words =
        r#"{"type": "error", "error": {"type": "invalid_request_error", "message": "messages.3: no"}}"#;
    r.provider
        .next(Script::bytes("application/json", gzip(words.as_bytes())).status(400));
    assert_eq!(r.client.messages("hi").send().await.expect(400).raw_text(), words);
}

/// The provider repeats what it was sent, and nobody is told.
#[tokio::test]
async fn a_credential_that_a_provider_repeats_is_hidden() {
    let r = ready().await;
    let says = |status| {
        Script::error_saying(
            status,
            "invalid_request_error",
            &format!("bad: x-api-key {ACCOUNT_KEY}!"),
        )
        .with_header("request-id", ACCOUNT_KEY)
    };
    let is_hidden = |answer: &Answer| {
        let text = format!("{:?} {}", answer.headers, answer.raw_text());
        assert!(!text.contains(ACCOUNT_KEY), "{text}");
        assert!(answer.raw_text().contains("x-api-key ****"), "{text}");
    };
    for status in [400, 404, 413, 422] {
        r.provider.next(says(status));
        is_hidden(&r.client.messages("hi").send().await.expect(status));
    }
    r.provider
        .next(Script::message("some words").deltas(5).error_event_after(
            3,
            "api_error",
            &format!("bad: x-api-key {ACCOUNT_KEY}!"),
        ));
    is_hidden(&r.client.messages("hi").stream().send().await.good());
    for entry in r.entries(5).await {
        let id = entry["requestId"].as_str().expect("an id");
        let entry = r.relay.admin().get(&format!("/admin/requests/{id}")).await.good();
        assert!(!entry.raw_text().contains(ACCOUNT_KEY), "{}", entry.raw_text());
    }
    r.provider.next(says(500));
    r.client.messages("hi").send().await.expect(500);
    let accounts = r.relay.admin().get("/admin/accounts").await.good();
    assert!(
        !accounts.raw_text().contains(ACCOUNT_KEY),
        "{}",
        accounts.raw_text()
    );
}

#[tokio::test]
async fn a_page_is_told_in_the_protocols_words() {
    let r = ready().await;
    r.provider
        .next(Script::bytes("text/html; charset=utf-8", PAGE).status(404));
    let answer = r.client.messages("hi").send().await.expect(404);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "not_found_error");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("Attention Required! Sorry, you have been blocked"),
        "{message}"
    );
    assert!(!message.contains('<') && !message.contains("alert"), "{message}");
    // A success that is a page is none.
    r.provider.next(Script::bytes("text/html", PAGE));
    r.client.messages("hi").send().await.expect(502);
}

#[tokio::test]
async fn an_error_that_is_too_long_is_cut_and_says_so() {
    let r = ready().await;
    let long = format!(r#"{{"error":{{"message":"begins {}"}}}}"#, "x".repeat(2 << 20));
    r.provider
        .next(Script::bytes("application/json", long).status(400));
    let answer = r.client.messages("hi").send().await.expect(400);
    let message = answer.json()["error"]["message"]
        .as_str()
        .expect("a message")
        .to_owned();
    assert!(
        message.contains("more than 1 MiB") && message.len() < 1_000,
        "{message}"
    );
    let detail = r.entry().await["detail"].as_str().map(str::to_owned);
    assert!(
        detail
            .as_deref()
            .is_some_and(|detail| detail.ends_with("[.. cut at 1 MiB]")),
        "{detail:?}"
    );
}

#[tokio::test]
async fn statuses_that_no_answer_can_have_are_the_providers_failure() {
    for status in [600, 999] {
        let r = ready().await;
        let wire = format!(
            "HTTP/1.1 {status} Odd\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        r.provider.next(Script::wire(wire));
        let answer = r.client.messages("hi").send().await.expect(502);
        assert_eq!(answer.json()["error"]["type"], "api_error");
        r.client.messages("hi").send().await.good();
    }
}

#[tokio::test]
async fn an_answer_without_end_that_must_be_held_is_given_up() {
    let r = ready_with(|setup| setup.env("REQUEST_TIMEOUT", 60_000)).await;
    let client = Client::new(&format!("{}/openai/claude", r.relay.url())).with_bearer(&r.key.secret);
    r.provider
        .next(Script::endless(64 << 10).with_header("content-type", "application/json"));
    let body = json!({ "model": "claude-sonnet-4-5", "messages": [{ "role": "user", "content": "hi" }] });
    let answer = client.post("/v1/chat/completions", &body).await.expect(503);
    assert_eq!(answer.json()["error"]["reason"], "provider_failed");
    let sent = r.provider.last_call().sent();
    assert!(sent < 96 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_provider_in_trouble_says_until_when_it_rests() {
    for status in [503, 529] {
        let r = ready().await;
        let second = r.second_account().await;
        let trouble = Script::error(status).with_header("retry-after", "40");
        r.provider.for_credential(ACCOUNT_KEY).answer(trouble.clone());
        r.provider.for_credential(second).next(trouble);
        let answer = r.client.messages("hi").send().await.expect(status);
        let told: u64 = answer
            .header("retry-after")
            .and_then(|wait| wait.parse().ok())
            .expect("seconds");
        assert!((30..=40).contains(&told), "{told}");
        let words = answer.json()["error"]["message"].to_string();
        assert!(status != 529 || words.contains("seconds"), "{words}");
    }
}

/// A provider answers 401 to one key's odd requests, with words that may mean anything.
#[tokio::test]
async fn odd_requests_do_not_renew_tokens_again_and_again() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider)
        .env("CLAUDE_OAUTH_CLIENT_ID", "client-of-the-operator")
        .start()
        .await;
    for name in ["first", "second"] {
        let tokens = provider.oauth().issue();
        relay.claude_oauth_account(name, &tokens, 4_000_000_000_000).await;
    }
    provider.answer(Script::decide(|request| {
        if request.text().contains("poison") {
            Script::error_saying(401, "authentication_error", "Unauthorized")
        } else {
            Script::message("fine")
        }
    }));
    let keys = [relay.key("odd").create().await, relay.key("other").create().await];
    let [odd, other] = keys.map(|key| relay.client(&key.secret));
    for n in 0..6 {
        let answer = odd.messages(&format!("poison {n}")).send().await.expect(401);
        assert_eq!(answer.json()["error"]["message"], "Unauthorized");
        other.messages("hi").send().await.good();
    }
    assert_eq!(provider.oauth().refreshes(), 2, "once for each account");
    for name in ["first", "second"] {
        assert_ne!(status_of(&relay, name).await, "unauthorized");
    }
}

const TOO_LARGE: &str = "Rate limit reached for gpt-5.4 in organization org-1 on tokens per min (TPM): Limit 30000, Used 12, Requested 45000. Please try again in 30.2s.";

const FULL: &str = "Rate limit reached for gpt-5.4 in organization org-1 on tokens per min (TPM): Limit 30000, Used 22999, Requested 12528. Please try again in 30.2s.";

#[tokio::test]
async fn a_limit_on_tokens_per_minute_is_the_requests_or_lasts_for_seconds() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    relay
        .add_account(&json!({
            "name": "one", "platform": "openai",
            "credentials": { "type": "apiKey", "apiKey": "sk-openai-one" },
        }))
        .await;
    let key = relay.key("k").create().await;
    let client = Client::new(&format!("{}/openai", relay.url())).with_bearer(&key.secret);
    let limited = |words: &str| {
        let error = json!({ "error": {
            "message": words, "type": "tokens", "param": null, "code": "rate_limit_exceeded",
        } });
        Script::json(error).status(429).with_header("retry-after", "3000")
    };
    let body = |model: &str| json!({ "model": model, "input": "hi" });
    provider.on(Route::Responses).next(limited(TOO_LARGE));
    let answer = client.post("/v1/responses", &body("gpt-5.4")).await.expect(429);
    assert_eq!(answer.json()["error"]["message"], TOO_LARGE);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    client.post("/v1/responses", &body("gpt-5.4")).await.good();

    provider.on(Route::Responses).next(limited(FULL));
    let answer = client.post("/v1/responses", &body("gpt-5.4")).await.expect(429);
    let told: u64 = answer
        .header("retry-after")
        .and_then(|wait| wait.parse().ok())
        .expect("seconds");
    assert!((1..=31).contains(&told), "{told}");
    client.post("/v1/responses", &body("gpt-5.4")).await.expect(429);
    client.post("/v1/responses", &body("gpt-5.5")).await.good();
}
