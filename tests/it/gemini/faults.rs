//! Failures as Google's clients see them.

use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::{ACCOUNT_KEY, CONTENTS, empty, text, with_a_key, with_a_login};

#[tokio::test]
async fn limits_are_told_in_googles_words() {
    let g = with_a_key().await;
    g.provider
        .on(Route::Gemini)
        .next(Script::resource_exhausted("500.5s"));
    let answer = g.api("generateContent").send().await.expect(429);
    let error = answer.json()["error"].clone();
    assert_eq!(error["status"], "RESOURCE_EXHAUSTED");
    let details = error["details"].as_array().expect("details");
    let delay = details
        .iter()
        .find_map(|detail| detail["retryDelay"].as_str())
        .expect("a delay");
    let seconds: u64 = delay
        .strip_suffix('s')
        .expect("seconds")
        .parse()
        .expect("a number");
    assert!((495..=501).contains(&seconds), "{delay}");
    let id = details.iter().find_map(|detail| detail["requestId"].as_str());
    assert_eq!(id, answer.header("x-request-id"));
    // The model cools down, the others serve.
    g.api("generateContent").send().await.expect(429);
    g.client
        .call("POST", "/v1beta/models/gemini-2.5-flash:generateContent")
        .body(CONTENTS)
        .send()
        .await
        .good();
    assert_eq!(g.provider.requests_to(Route::Gemini).len(), 2);
}

#[tokio::test]
async fn another_account_serves_until_the_first_byte() {
    for script in [
        Script::google_error(500, "INTERNAL", &json!([])),
        Script::google_error(503, "UNAVAILABLE", &json!([])),
        Script::google_error(400, "INVALID_ARGUMENT", &json!([{ "reason": "API_KEY_INVALID" }])),
        Script::google_error(403, "PERMISSION_DENIED", &json!([])),
        Script::resource_exhausted("60s"),
        Script::gemini("x").reset_before_head(),
        Script::raw_stream(
            "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\",\"message\":\"m\"}}\r\n\r\n",
        ),
    ] {
        let (g, _) = with_a_login().await;
        g.api_key(1).await;
        g.provider
            .on(Route::Gemini)
            .for_credential(ACCOUNT_KEY)
            .next(script);
        // What one account could not serve plainly, the other serves in an envelope.
        let answer = g.api("streamGenerateContent?alt=sse").send().await.good();
        assert!(!text(&answer).is_empty());
        assert_eq!(g.newest(1).await["accountName"], "login");
    }
}

#[tokio::test]
async fn faults_of_the_request_are_passed_on_unchanged() {
    let (g, _) = with_a_login().await;
    for status in [400, 404] {
        g.provider
            .on(Route::Gemini)
            .next(Script::google_error(status, "INVALID_ARGUMENT", &json!([])));
        let answer = g.api("generateContent").send().await.expect(status);
        assert_eq!(
            answer.json()["error"]["message"],
            format!("the provider says {status}")
        );
    }
}

#[tokio::test]
async fn a_broken_stream_ends_with_an_error_of_its_protocol() {
    let (g, _) = with_a_login().await;
    for call in [
        g.api("streamGenerateContent?alt=sse"),
        g.assist("streamGenerateContent?alt=sse"),
    ] {
        g.provider
            .on(Route::Gemini)
            .next(Script::gemini("words that break off").reset_after(2));
        let answer = call.send().await.good();
        let last = answer.raw_text();
        let last = last.trim_end().rsplit("data: ").next().expect("data");
        let last: Value = serde_json::from_str(last).expect("JSON");
        assert_eq!(
            (&last["error"]["status"], &last["error"]["code"]),
            (&json!("UNAVAILABLE"), &json!(502))
        );
    }
    assert_eq!(g.newest(2).await["quality"], "partial");
}

#[tokio::test]
async fn an_account_without_a_project_says_what_to_do() {
    let (g, _) = with_a_login().await;
    g.provider
        .on(Route::Assist)
        .answer(Script::json(json!({ "allowedTiers": [] })));
    g.api("generateContent").send().await.expect(503);
    let list = g.relay.admin().get("/admin/accounts").await.good().json();
    let account = &list["items"][0];
    assert!(
        account["statusReason"]
            .as_str()
            .is_some_and(|why| why.contains("project")),
        "{account}"
    );
    assert!(g.provider.requests_to(Route::Gemini).is_empty());
}

#[tokio::test]
async fn a_refused_token_is_renewed_while_the_project_is_asked_for() {
    let g = empty().await;
    let tokens = g.provider.oauth().issue_expired();
    // Good by its own date; the provider knows better.
    g.login(&tokens, 4_000_000_000_000).await;
    g.api("generateContent").send().await.good();
    assert_eq!(g.provider.oauth().refreshes(), 1);
}
