//! Failures as OpenAI's clients see them.

use crs_support::client::Client;
use crs_support::provider::{Route, Script};
use serde_json::json;

use super::{ACCOUNT_KEY, CODEX_BODY, with_a_key, with_chatgpt};

#[tokio::test]
async fn a_failing_provider_is_not_multiplied() {
    let o = with_a_key().await;
    o.provider.on(Route::Responses).fails(500);
    let answer = o.responses().stream().send().await.expect(503);
    // What makes Codex stop after five requests within four seconds.
    assert_eq!(answer.json()["error"]["code"], "server_is_overloaded");
    assert_eq!(answer.json()["error"]["reason"], "provider_failed");
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(
        answer.json()["error"]["request_id"].as_str(),
        answer.header("x-request-id")
    );
}

#[tokio::test]
async fn a_used_up_plan_is_told_with_its_reset_and_left_alone() {
    let (o, _) = with_chatgpt().await;
    o.provider
        .on(Route::Responses)
        .next(Script::usage_limit_reached(3_600));
    for model in ["gpt-5", "gpt-6.1-sol"] {
        let answer = o.responses().stream().model(model).send().await.expect(429);
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "usage_limit_reached");
        let wait = error["resets_in_seconds"].as_u64().expect("seconds");
        assert!((3_590..=3_600).contains(&wait), "{wait}");
        assert!(error["resets_at"].is_u64());
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert_eq!(o.provider.requests_to(Route::Responses).len(), 1);
}

#[tokio::test]
async fn a_limited_model_leaves_the_others_of_a_key() {
    let o = with_a_key().await;
    let limit =
        Script::openai_error(429, "rate_limit_error", "rate_limit_exceeded").with_header("retry-after", "30");
    o.provider.on(Route::Responses).next(limit);
    let answer = o.responses().send().await.expect(429);
    assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
    let wait: u64 = answer
        .header("retry-after")
        .expect("retry-after")
        .parse()
        .expect("seconds");
    assert!((25..=30).contains(&wait), "{wait}");
    o.responses().model("gpt-5-mini").send().await.good();
    o.responses().send().await.expect(429);
    assert_eq!(o.provider.requests_to(Route::Responses).len(), 2);
}

#[tokio::test]
async fn another_account_serves_until_the_first_byte() {
    for script in [
        Script::error(500),
        Script::openai_error(401, "invalid_request_error", "invalid_api_key"),
        Script::openai_error(
            403,
            "invalid_request_error",
            "unsupported_country_region_territory",
        ),
        Script::openai_error(429, "insufficient_quota", "insufficient_quota"),
        Script::usage_limit_reached(60),
        Script::openai("x").reset_after_head(),
        Script::raw_stream(
            "event: error\ndata: {\"type\":\"error\",\"code\":\"server_is_overloaded\",\"message\":\"m\"}\n\n",
        ),
    ] {
        let o = with_a_key().await;
        o.api_key("second", "sk-openai-second", 60).await;
        o.provider
            .on(Route::Responses)
            .for_credential(ACCOUNT_KEY)
            .next(script);
        o.responses().stream().send().await.good();
        let entry = o.entry().await;
        assert_eq!(
            (&entry["attempts"], &entry["accountName"]),
            (&json!(2), &json!("second"))
        );
    }
}

#[tokio::test]
async fn faults_of_the_request_are_passed_on_unchanged() {
    let o = with_a_key().await;
    for status in [400, 404, 413, 422] {
        let said = Script::openai_error(status, "invalid_request_error", "context_length_exceeded");
        o.provider.on(Route::Responses).next(said);
        let answer = o.responses().send().await.expect(status);
        assert_eq!(answer.json()["error"]["code"], "context_length_exceeded");
    }
    assert_eq!(o.provider.requests_to(Route::Responses).len(), 4);
}

#[tokio::test]
async fn a_broken_stream_ends_with_an_error_of_its_protocol() {
    let o = with_a_key().await;
    o.provider
        .on(Route::Responses)
        .next(Script::openai("some words that break off").reset_after(8));
    let answer = o.responses().stream().send().await.good();
    let last = answer.events().pop().expect("an event");
    assert_eq!(
        (last.name.as_str(), &last.data["error"]["reason"]),
        ("error", &json!("stream_broken"))
    );
    assert_eq!(o.entry().await["quality"], "partial");
    o.provider
        .on(Route::ChatCompletions)
        .next(Script::openai("some words that break off").end_after(4));
    let answer = o.chat().stream().send().await.good();
    let last = answer.events().pop().expect("an event");
    assert_eq!(last.data["error"]["reason"], "stream_broken");
    assert!(!answer.raw_text().contains("[DONE]"));
}

#[tokio::test]
async fn a_stream_that_is_cut_within_its_last_event_ends_with_an_error() {
    let o = with_a_key().await;
    let chat =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n";
    let response = "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[]}}";
    for (route, call, sent, is_cut) in [
        (Route::ChatCompletions, o.chat(), format!("{chat}data: [DO"), true),
        (
            Route::ChatCompletions,
            o.chat(),
            format!("{chat}data: [DONE]"),
            false,
        ),
        (Route::ChatCompletions, o.chat(), chat.to_owned(), false),
        (Route::Responses, o.responses(), response.to_owned(), false),
        (
            Route::Responses,
            o.responses(),
            response[..response.len() - 1].to_owned(),
            true,
        ),
    ] {
        o.provider.on(route).next(Script::raw_stream(sent.clone()));
        let answer = call.stream().send().await.good();
        assert_eq!(answer.raw_text().contains("stream_broken"), is_cut, "{sent}");
        assert_eq!(answer.raw_text() == sent, !is_cut, "{sent}");
    }
}

#[tokio::test]
async fn a_key_without_the_right_is_told_in_openais_words() {
    let o = with_a_key().await;
    let key = o
        .relay
        .key("claude only")
        .set("permissions", json!(["claude"]))
        .create()
        .await;
    let client = Client::new(&format!("{}/openai", o.relay.url())).with_bearer(&key.secret);
    let refused = client
        .call("POST", "/responses")
        .body(CODEX_BODY)
        .send()
        .await
        .expect(403);
    assert_eq!(refused.json()["error"]["code"], "service_not_permitted");
    let garbage = Client::new(&format!("{}/openai", o.relay.url())).with_bearer("cr_garbage");
    let refused = garbage
        .call("POST", "/responses")
        .body(CODEX_BODY)
        .send()
        .await
        .expect(401);
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    assert!(o.provider.requests().is_empty());
}
