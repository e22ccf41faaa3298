//! Until the first byte another account may serve; after it the stream says what happened.

use crs_support::provider::{At, FakeProvider, How, Script};
use serde_json::json;

use super::support::{ACCOUNT_KEY, Ready, ready, ready_with, relay};

/// The first account fails like this once; the second serves.
async fn fails_over(script: Script) -> Ready {
    let r = ready().await;
    let second = r.second_account().await;
    r.provider.for_credential(ACCOUNT_KEY).next(script);
    r.provider
        .for_credential(second)
        .answer(Script::message("from the second"));
    let answer = r.client.messages("hi").stream().send().await.good();
    assert_eq!(answer.text(), "from the second", "{answer:?}\n{}", r.relay.log());
    assert_eq!(r.provider.calls(), 2);
    let entry = r.entry().await;
    assert_eq!(
        (entry["attempts"].as_u64(), entry["status"].as_u64()),
        (Some(2), Some(200))
    );
    assert_eq!(entry["accountName"], "second");
    r
}

#[tokio::test]
async fn from_a_429() {
    fails_over(Script::error(429).with_header("retry-after", "30")).await;
}

#[tokio::test]
async fn from_an_overload() {
    fails_over(Script::error(529)).await;
}

#[tokio::test]
async fn from_a_500() {
    fails_over(Script::error(500)).await;
}

#[tokio::test]
async fn from_a_401() {
    let r = fails_over(Script::error(401)).await;
    // Marked: the next call does not even try it.
    r.client.messages("hi").send().await.good();
    assert_eq!(r.provider.calls(), 3);
    assert_eq!(
        r.provider.last_call().credential(),
        Some("sk-ant-test-second-account")
    );
}

#[tokio::test]
async fn from_a_cut_before_the_head() {
    fails_over(Script::message("").reset_before_head()).await;
}

#[tokio::test]
async fn from_a_close_before_the_head() {
    fails_over(Script::message("").close_before_head()).await;
}

#[tokio::test]
async fn from_a_cut_between_head_and_first_byte() {
    fails_over(Script::message("").reset_after_head()).await;
}

#[tokio::test]
async fn from_an_empty_answer() {
    fails_over(Script::message("").fails(At::AfterHead, How::End)).await;
}

#[tokio::test]
async fn from_a_stream_that_opens_with_an_error() {
    fails_over(Script::message("").error_event_after(0, "overloaded_error", "Overloaded")).await;
}

#[tokio::test]
async fn from_a_redirect() {
    fails_over(Script::error(302).with_header("location", "http://127.0.0.1:9/steal")).await;
}

#[tokio::test]
async fn from_nothing_listening() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let dead = json!({
        "name": "dead", "platform": "claude", "priority": 1,
        "credentials": { "type": "apiKey", "apiKey": "sk-ant-dead", "baseUrl": format!("http://{gone}") },
    });
    relay.add_account(&dead).await;
    relay.claude_account("alive", ACCOUNT_KEY).await;
    let key = relay.key("k").create().await;
    relay.client(&key.secret).messages("hi").send().await.good();
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn from_a_first_byte_that_never_comes() {
    // On the edge, where nobody can tell connecting from waiting, both together are waited for.
    let r = ready_with(|setup| setup.env("REQUEST_TIMEOUT", 300).env("CONNECT_TIMEOUT", 1_000)).await;
    let second = r.second_account().await;
    r.provider
        .for_credential(ACCOUNT_KEY)
        .next(Script::message("").stall_before_head());
    r.provider
        .for_credential(second)
        .answer(Script::message("from the second"));
    assert_eq!(
        r.client.messages("hi").send().await.good().text(),
        "from the second"
    );
    r.provider.requests()[0].closed_within(super::support::SOON).await;
}

#[tokio::test]
async fn three_attempts_and_no_more() {
    let r = ready().await;
    for number in 0..5 {
        r.relay
            .claude_account(&format!("more-{number}"), &format!("sk-ant-more-{number}"))
            .await;
    }
    r.provider.fails(500);
    let answer = r.client.messages("hi").send().await.expect(500);
    assert_eq!(r.provider.calls(), 3);
    assert_eq!(answer.json()["type"], "error");
    assert_eq!(answer.json()["error"]["type"], "api_error");
    assert_eq!(r.entry().await["attempts"], 3);
}

#[tokio::test]
async fn an_overload_with_one_account_stays_an_overload_and_parks_nobody() {
    let r = ready().await;
    r.provider.fails_once(529);
    let answer = r.client.messages("hi").send().await.expect(529);
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");
    r.client.messages("hi").send().await.good();
}

#[tokio::test]
async fn limits_of_all_accounts_are_told_with_the_earliest_reset() {
    let r = ready().await;
    let second = r.second_account().await;
    r.provider
        .for_credential(ACCOUNT_KEY)
        .fails_once(429)
        .with_header("retry-after", "500");
    r.provider
        .for_credential(second)
        .fails_once(429)
        .with_header("retry-after", "70");
    let answer = r.client.messages("hi").send().await.expect(429);
    let wait: u64 = answer
        .header("retry-after")
        .expect("retry-after")
        .parse()
        .expect("seconds");
    assert!((60..=70).contains(&wait), "{wait}");
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    // Both cool down: the provider is left alone.
    r.client.messages("hi").send().await.expect(429);
    assert_eq!(r.provider.calls(), 2);
}

#[tokio::test]
async fn a_cooldown_survives_a_restart() {
    applies_here!();
    let mut r = ready().await;
    r.provider.fails_once(429).with_header("retry-after", "500");
    r.client.messages("hi").send().await.expect(429);
    r.relay.restart().await;
    r.relay
        .client(&r.key.secret)
        .messages("hi")
        .send()
        .await
        .expect(429);
    assert_eq!(r.provider.calls(), 1);
}

#[tokio::test]
async fn faults_of_the_request_are_passed_on_unchanged() {
    let r = ready().await;
    r.second_account().await;
    for status in [400, 404, 413, 422] {
        let before = r.provider.calls();
        r.provider.next(Script::error_saying(
            status,
            "invalid_request_error",
            "prompt is too long: 3 tokens",
        ));
        let answer = r.client.messages("hi").send().await.expect(status);
        assert_eq!(answer.json()["error"]["message"], "prompt is too long: 3 tokens");
        assert_eq!(r.provider.calls(), before + 1, "{status} is not tried again");
    }
}

#[tokio::test]
async fn without_any_account_the_client_is_told_whom_to_ask() {
    let provider = FakeProvider::start().await;
    let relay = relay(&provider).start().await;
    let key = relay.key("k").create().await;
    let answer = relay.client(&key.secret).messages("hi").send().await.expect(503);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("operator"))
    );
}

/// After the first byte: 200 it stays, and the stream ends with Anthropic's error event.
async fn breaks_off(script: Script, settings: (&str, u64)) {
    let r = ready_with(|setup| setup.env(settings.0, settings.1)).await;
    r.second_account().await;
    r.provider.next(script);
    let answer = r.client.messages("hi").stream().send().await.good();
    assert_eq!(answer.broke_off, None);
    let events = answer.events();
    let last = events.last().expect("an event");
    assert_eq!(last.name, "error");
    assert_eq!(last.data["type"], "error");
    assert!(
        last.data["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("try again"))
    );
    assert_eq!(
        r.provider.calls(),
        1,
        "nothing is tried again after the first byte"
    );
    let entry = r.entry().await;
    assert_eq!(entry["quality"], "partial");
    assert!(entry["tokens"]["input"].as_u64() > Some(0), "{entry}");
    super::support::slots_are_free(&r.relay, &r.key).await;
}

const NO_SETTING: (&str, u64) = ("REQUEST_TIMEOUT", 60_000);

#[tokio::test]
async fn a_cut_stream_ends_with_an_error() {
    breaks_off(Script::message("some words").deltas(5).reset_after(3), NO_SETTING).await;
}

#[tokio::test]
async fn a_stream_closed_early_ends_with_an_error() {
    breaks_off(
        Script::message("some words").deltas(5).close_after_frames(3),
        NO_SETTING,
    )
    .await;
}

#[tokio::test]
async fn a_stream_without_its_last_event_ends_with_an_error() {
    breaks_off(Script::message("some words").deltas(5).end_after(4), NO_SETTING).await;
}

#[tokio::test]
async fn a_silent_stream_ends_with_an_error() {
    breaks_off(
        Script::message("some words").deltas(5).stall_after(3),
        ("STREAM_IDLE_TIMEOUT", 300),
    )
    .await;
}

#[tokio::test]
async fn a_cut_plain_answer_is_cut_for_the_client_too() {
    let r = ready().await;
    r.provider
        .next(Script::message("a long answer in one piece").fails(At::AfterBytes(40), How::Reset));
    let answer = r.client.messages("hi").send().await;
    assert!(answer.broke_off.is_some(), "a half answer must not look whole");
    assert_eq!(r.entry().await["quality"], "partial");
}

#[tokio::test]
async fn a_providers_own_error_in_the_stream_is_the_last_word() {
    let r = ready().await;
    r.provider
        .next(
            Script::message("some words")
                .deltas(5)
                .error_event_after(4, "overloaded_error", "Overloaded"),
        );
    let answer = r.client.messages("hi").stream().send().await.good();
    let errors: Vec<_> = answer
        .events()
        .into_iter()
        .filter(|event| event.name == "error")
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].data["error"]["message"], "Overloaded");
    let entry = r.entry().await;
    assert_eq!(
        (entry["error"].as_str(), entry["quality"].as_str()),
        (Some("overloaded_error"), Some("partial"))
    );
}
