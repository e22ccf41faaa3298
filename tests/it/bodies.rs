//! Requests that cannot be served are told why, in the caller's protocol, and lose nothing.

use crs_support::client::{Ask, Client, Raw};

use super::support::{ready, ready_with};

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said() {
    let r = ready().await;
    for (body, says) in [
        ("", "byte 0"),
        ("{", "byte 1"),
        ("[]", "object"),
        ("{\"model\": \"m\", \"messages\": [}", "byte 28"),
        ("{\"model\": \"claude-sonnet-4-5\", \"x\": \"unfinished", "JSON"),
        ("{\"messages\": []}", "names no model"),
        ("{\"model\": \"\"}", "names no model"),
        ("{\"model\": 7}", "model"),
        ("{\"model\": \"a\", \"model\": \"b\"}", "model"),
        ("{\"model\": \"m\"} trailing", "JSON"),
    ] {
        let answer = r
            .client
            .call("POST", "/v1/messages")
            .body(body)
            .send()
            .await
            .expect(400);
        let error = answer.json();
        assert_eq!(error["error"]["type"], "invalid_request_error", "{body}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.contains(says), "{body}: {message}");
    }
    assert_eq!(r.provider.calls(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let r = ready_with(|setup| setup.env("REQUEST_MAX_SIZE_MB", 2)).await;
    let body = |length: usize| {
        let frame = "{\"model\":\"claude-sonnet-4-5\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}";
        frame.replace(
            "\"content\":\"\"",
            &format!("\"content\":\"{}\"", "x".repeat(length - frame.len())),
        )
    };
    r.client
        .call("POST", "/v1/messages")
        .body(body(2 << 20))
        .send()
        .await
        .good();
    assert_eq!(r.provider.last_call().body.len(), 2 << 20);
    // What is sent of a body beyond 32 MiB may break the connection before the answer is read.
    for length in [(2 << 20) + 1, 30 << 20] {
        let answer = r
            .client
            .call("POST", "/v1/messages")
            .body(body(length))
            .send()
            .await
            .expect(413);
        assert_eq!(answer.json()["error"]["type"], "request_too_large");
        assert!(
            answer.json()["error"]["message"]
                .as_str()
                .is_some_and(|text| text.contains("2 MB"))
        );
    }
    assert_eq!(r.provider.calls(), 1);
}

#[tokio::test]
async fn a_body_in_chunks_is_bounded_too() {
    let r = ready_with(|setup| setup.env("REQUEST_MAX_SIZE_MB", 1)).await;
    let mut raw = Raw::connect(r.relay.url()).await;
    let head = format!(
        "POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        r.key.secret
    );
    raw.send(head).await;
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
    for _ in 0..20 {
        raw.send(&chunk).await;
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(raw.head().await.status, 413);
}

#[tokio::test]
async fn garbage_keys_do_not_get_their_bodies_read() {
    let r = ready().await;
    let mut raw = Raw::connect(r.relay.url()).await;
    // The body never comes; the answer does.
    raw.send(
        "POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: garbage\r\ncontent-length: 1000000\r\n\r\n",
    )
    .await;
    assert_eq!(raw.head().await.status, 401);
}

#[tokio::test]
async fn wrong_methods_and_paths() {
    let r = ready().await;
    let answer = r.client.get("/v1/messages").await.expect(405);
    assert_eq!(answer.json()["type"], "error");
    let answer = r.client.call("POST", "/v1/nothing").send().await.expect(404);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("/api/v1/nothing"))
    );
    assert_eq!(Client::new(r.relay.url()).get("/nowhere").await.status, 404);
}

#[tokio::test]
async fn probes_and_reports_need_no_key() {
    let r = ready().await;
    for path in ["/api", "/api/", "/api/api/hello", "/claude/", "/claude/api/hello"] {
        let mut raw = Raw::connect(r.relay.url()).await;
        assert_eq!(raw.head_of(&Ask::new("HEAD", path)).await.status, 200, "{path}");
    }
    let plain = Client::new(r.relay.url());
    for path in ["/api/api/event_logging/batch", "/api/api/event_logging/v2/batch"] {
        let answer = plain
            .post(path, &serde_json::json!({ "events": [] }))
            .await
            .good();
        assert_eq!(answer.json()["success"], true);
    }
}

#[tokio::test]
async fn doubled_slashes_and_prefixes_are_forgiven() {
    let r = ready().await;
    let client = r.relay.client(&r.key.secret);
    let body = client.messages("hi").ask.body;
    let root = Client::new(r.relay.url()).with_key(&r.key.secret);
    for path in [
        "/api//v1/messages",
        "//api/v1//messages",
        "/claude/v1/messages",
        "/api/claude/v1/messages",
    ] {
        root.call("POST", path).body(body.clone()).send().await.good();
    }
    assert!(
        r.provider
            .requests()
            .iter()
            .all(|seen| seen.path() == "/v1/messages")
    );
}

#[tokio::test]
async fn a_key_can_ask_about_itself() {
    let r = ready().await;
    r.client.messages("hi").send().await.good();
    r.entry().await;
    let me = r.client.get("/v1/me").await.good().json();
    assert_eq!(
        (me["type"].as_str(), me["display_name"].as_str()),
        (Some("user"), Some("k"))
    );
    let info = r.client.get("/v1/key-info").await.good().json();
    assert_eq!(info["keyInfo"]["id"], r.key.id.as_str());
    let usage = r.client.get("/v1/usage").await.good().json();
    assert_eq!(usage["usage"]["total"]["requests"], 1, "{usage}");
    let models = r.client.get("/v1/models?limit=1000").await.good().json();
    let names: Vec<_> = models["data"]
        .as_array()
        .expect("models")
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert!(
        names.contains(&"claude-sonnet-4-5") && names.iter().all(|name| name.contains("claude")),
        "{names:?}"
    );
    Client::new(&r.relay.api()).get("/v1/models").await.expect(401);
    for answer in [&me, &info, &usage] {
        assert!(!answer.to_string().contains(&r.key.secret));
    }
}
