//! Shutdown: a balancer notices it before any call is refused, running calls continue for a while, and a second
//! signal cuts them.

use std::time::Duration;

use crs_support::client::{Client, Socket, create};
use crs_support::eventually;
use crs_support::provider::Script;
use crs_support::relay::Relay;

use super::support::{entries, ready, ready_with};

/// Upper bound for a shutdown without waits.
const AT_ONCE: Duration = Duration::from_secs(6);

/// A stream that stalls after some events.
fn stalled() -> Script {
    Script::message("it never comes to its end")
        .deltas(6)
        .stall_after(4)
}

/// Sends SIGTERM to the first process only.
fn terminate(relay: &mut Relay) -> (Client, Client) {
    let url = relay.url().to_owned();
    relay.process().terminate();
    (Client::new(&url), Client::new(&format!("{url}/api")))
}

/// Waits until `/health` says that the process is ending.
async fn ends(health: &Client) {
    eventually("health says that it ends", async || {
        let answer = health.call("GET", "/health").send().await;
        (answer.status == 503).then(|| assert_eq!(answer.json()["status"], "ending"))
    })
    .await;
}

#[tokio::test]
async fn streams_finish_while_new_calls_are_refused() {
    let mut r = ready().await;
    r.provider.next(
        Script::message("to the very end")
            .deltas(12)
            .every(Duration::from_millis(100)),
    );
    let api = Client::new(&r.relay.api()).with_key(&r.key.secret);
    let (_, mut raw) = api.messages("hi").stream().open().await;
    raw.until("message_start").await;
    let (health, api) = terminate(&mut r.relay);
    ends(&health).await;
    let refused = api
        .with_key(&r.key.secret)
        .messages("hi")
        .send()
        .await
        .expect(503);
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(refused.json()["error"]["type"], "overloaded_error");
    raw.until("message_stop").await;
    assert_eq!(r.relay.process().ends(AT_ONCE).await.code(), Some(0));
    assert_eq!(r.provider.calls(), 1);
    r.relay.terminate_others().await;
    r.relay.start_again().await;
    assert_eq!(entries(&r.relay, 1).await[0]["quality"], "exact");
}

#[tokio::test]
async fn a_web_socket_ends_its_turn_and_is_closed() {
    let mut r = ready().await;
    let url = format!("{}/openai/responses", r.relay.url());
    let [mut idle, mut busy] = [
        Socket::open(&url, &r.key.secret).await,
        Socket::open(&url, &r.key.secret).await,
    ];
    r.provider.next(
        Script::message("to the very end")
            .deltas(12)
            .every(Duration::from_millis(100)),
    );
    let mut message = create(&serde_json::json!("hi"));
    message["model"] = serde_json::json!("claude-sonnet-4-5");
    busy.send(&message).await;
    busy.frame().await;
    terminate(&mut r.relay);
    assert_eq!(idle.closed().await, Some(1001));
    assert_eq!(
        busy.rest().await.last().expect("a frame")["type"],
        "response.completed"
    );
    assert_eq!(busy.closed().await, Some(1001));
    assert_eq!(r.relay.process().ends(AT_ONCE).await.code(), Some(0));
    r.relay.terminate_others().await;
    r.relay.start_again().await;
    assert_eq!(entries(&r.relay, 1).await[0]["quality"], "exact");
}

#[tokio::test]
async fn a_balancer_notices_the_shutdown_before_calls_are_refused() {
    let mut r = ready_with(|setup| setup.env("SHUTDOWN_NOTICE", 1_200)).await;
    let (health, api) = terminate(&mut r.relay);
    ends(&health).await;
    let answer = api.with_key(&r.key.secret).messages("hi").send().await.good();
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(r.relay.process().ends(AT_ONCE).await.code(), Some(0));
}

#[tokio::test]
async fn after_the_grace_streams_are_cut_and_recorded() {
    let mut r = ready_with(|setup| setup.env("SHUTDOWN_GRACE", 300)).await;
    r.provider.next(stalled());
    let api = Client::new(&r.relay.api()).with_key(&r.key.secret);
    let (_, mut raw) = api.messages("hi").stream().open().await;
    raw.until("content_block_delta").await;
    terminate(&mut r.relay);
    assert_eq!(r.relay.process().ends(AT_ONCE).await.code(), Some(0));
    r.relay.terminate_others().await;
    r.relay.start_again().await;
    assert_eq!(entries(&r.relay, 1).await[0]["quality"], "partial");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut r = ready_with(|setup| setup.env("SHUTDOWN_NOTICE", 600_000)).await;
    r.provider.next(stalled());
    let api = Client::new(&r.relay.api()).with_key(&r.key.secret);
    let (_, mut raw) = api.messages("hi").stream().open().await;
    raw.until("content_block_delta").await;
    let (health, _) = terminate(&mut r.relay);
    ends(&health).await;
    r.relay.process().terminate();
    assert_eq!(r.relay.process().ends(AT_ONCE).await.code(), Some(0));
    r.relay.kill9().await;
    r.relay.start_again().await;
    assert_eq!(entries(&r.relay, 1).await[0]["quality"], "partial");
}
