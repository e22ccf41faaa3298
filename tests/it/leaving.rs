//! A client that leaves takes its call with it: the provider is told at once, slots come free, and what
//! was used is recorded.

use std::time::Duration;

use crs_support::provider::Script;
use crs_support::relay::Host;

use super::HOST;

use super::support::{SOON, ready, ready_with, slots_are_free};

#[tokio::test]
async fn before_the_head() {
    let r = ready().await;
    r.provider.next(Script::message("").stall_before_head());
    let raw = r.client.messages("hi").stream().sent().await;
    let seen = r.provider.wait_for(1).await.remove(0);
    // workerd sees a connection that is only closed when it next writes to it; the proxies in front of it in
    // Cloudflare's network see it at once, as hyper does.
    if HOST == Host::Worker {
        raw.reset();
    } else {
        raw.leave();
    }
    assert!(seen.closed_within(SOON).await.by_peer);
    slots_are_free(&r.relay, &r.key).await;
    let entry = r.entry().await;
    assert_eq!(
        (entry["quality"].as_str(), entry["status"].as_u64()),
        (Some("partial"), Some(499))
    );
    assert_eq!(entry["error"], "client_left");
}

/// As `nc -N` and some health checkers do: to the relay it looks as if they left.
#[tokio::test]
async fn a_client_that_closes_its_sending_half_gets_its_answer() {
    applies_here!();
    let r = ready().await;
    // The FIN is there long before the answer.
    let late = Duration::from_millis(400);
    let words = "words to a half-closed client";
    for stream in [false, true] {
        let script = Script::message(words).deltas(5);
        r.provider
            .next(script.delay_head(late).delay_body(Duration::from_millis(10)));
        let mut call = r.client.messages("hi");
        if stream {
            call = call.stream();
        }
        let mut raw = call.sent().await;
        raw.close_sending_half().await;
        let head = raw.head().await;
        assert_eq!(head.status, 200);
        let body = raw.body().await;
        let text = String::from_utf8_lossy(&body);
        if stream {
            assert!(text.contains("message_stop"), "{text}");
        } else {
            assert!(text.contains(words), "{text}");
        }
        raw.closed_by_server().await.unwrap();
        slots_are_free(&r.relay, &r.key).await;
        let entry = r.entry().await;
        assert_eq!(entry["status"], 200, "{entry}");
        assert!(entry["error"].is_null(), "{entry}");
    }
}

#[tokio::test]
async fn between_head_and_first_byte() {
    let r = ready().await;
    r.provider.next(Script::message("").stall_after_head());
    let raw = r.client.messages("hi").stream().sent().await;
    let seen = r.provider.wait_for(1).await.remove(0);
    raw.reset();
    assert!(seen.closed_within(SOON).await.by_peer);
    slots_are_free(&r.relay, &r.key).await;
}

#[tokio::test]
async fn in_the_middle_of_a_stream() {
    let r = ready().await;
    r.provider.next(
        Script::message("words that were paid for")
            .deltas(6)
            .stall_after(4),
    );
    let (_, mut raw) = r.client.messages("hi").stream().open().await;
    raw.until("content_block_delta").await;
    let seen = r.provider.wait_for(1).await.remove(0);
    raw.reset();
    assert!(seen.closed_within(SOON).await.by_peer);
    slots_are_free(&r.relay, &r.key).await;
    let entry = r.entry().await;
    assert_eq!(entry["quality"], "partial");
    assert!(entry["tokens"]["input"].as_u64() > Some(0), "{entry}");
    assert!(entry["cost"].as_f64() > Some(0.0), "{entry}");
}

#[tokio::test]
async fn while_it_does_not_read() {
    let r = ready().await;
    r.provider.next(Script::endless(16 << 10));
    let (_, raw) = r.client.messages("hi").stream().open().await;
    let seen = r.provider.wait_for(1).await.remove(0);
    raw.reset();
    assert!(seen.closed_within(SOON).await.by_peer);
    slots_are_free(&r.relay, &r.key).await;
}

#[tokio::test]
async fn two_hundred_at_once() {
    let r = ready().await;
    r.provider
        .answer(Script::message("words").deltas(6).stall_after(4));
    let calls =
        futures_util::future::join_all((0..200).map(|_| r.client.messages("hi").stream().open())).await;
    for (_, raw) in calls {
        raw.reset();
    }
    r.provider.wait_for_open(0).await;
    slots_are_free(&r.relay, &r.key).await;
    assert_eq!(r.entries(100).await.len(), 100);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let r = ready_with(|setup| setup.env("STREAM_IDLE_TIMEOUT", 400)).await;
    r.provider.next(Script::endless(16 << 10));
    let (_, raw) = r.client.messages("hi").stream().open().await;
    let seen = r.provider.wait_for(1).await.remove(0);
    // It stays connected and reads no more.
    assert!(seen.closed_within(10 * SOON).await.by_peer);
    slots_are_free(&r.relay, &r.key).await;
    drop(raw);
}
