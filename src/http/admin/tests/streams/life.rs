//! Signs of life.

use super::*;

#[tokio::test]
async fn the_head_goes_out_after_ten_seconds_and_another_account_may_still_serve() {
    for way in CONVERTED {
        let r = ready(way).await;
        r.account("second").await;
        let (first, _) = r.next();
        let (second, said) = r.next();
        let mut client = r.call();
        assert_eq!(client.head().await, None);
        r.pass(9.9);
        assert_eq!(client.head().await, None, "{way:?}");
        r.pass(0.2);
        assert_eq!(client.head().await, Some(200), "{way:?}");
        assert_eq!(client.header("content-type"), "text/event-stream");
        assert!(client.header("x-request-id").starts_with("req_"));
        assert_eq!(client.hears().await, (COMMENT.to_owned(), false));
        for _ in 0..3 {
            r.pass(10.0);
            assert_eq!(client.hears().await, (COMMENT.to_owned(), false), "{way:?}");
        }
        // The first account fails; the client knows nothing of it.
        first.comes(500);
        assert!(!client.hears().await.1);
        r.pass(1.0);
        assert!(!client.hears().await.1);
        assert!(second.is_awaited());
        second.comes(200);
        said.frame(&way.piece());
        let (heard, _) = client.hears().await;
        assert!(heard.contains("words"), "{way:?}: {heard}");
        said.frame(&way.last());
        drop(said);
        let (heard, over) = client.hears().await;
        assert!(heard.contains(way.end()) && over, "{way:?}: {heard}");
        assert_eq!(r.bench.provider.asked.lock().unwrap().len(), 2);
        assert_eq!(r.settled(client).await, (Value::Null, json!(200)));
    }
}

#[tokio::test]
async fn what_fails_after_the_head_is_an_error_of_the_protocol() {
    for way in CONVERTED {
        // What the provider refuses by itself, and what no account can serve.
        for (status, error) in [(400, "passed_on"), (503, "provider_")] {
            let r = ready(way).await;
            let (head, said) = r.next();
            let mut client = r.call();
            r.pass(0.0);
            assert_eq!(client.head().await, None);
            r.pass(11.0);
            assert_eq!(client.hears().await, (COMMENT.to_owned(), false));
            said.frame(r#"{"error": {"type": "some_error", "message": "its words"}}"#);
            drop(said);
            head.comes(status);
            let (heard, over) = client.hears().await;
            // Another try is made after a pause.
            r.pass(if over { 0.0 } else { 1.0 });
            let (then, over) = client.hears().await;
            let heard = heard + &then;
            let start = match way {
                Way::Bridge => "event: error\ndata: {",
                _ => "data: {",
            };
            assert!(over && heard.starts_with(start), "{way:?}: {heard}");
            let data = heard.split("data: ").nth(1).unwrap();
            let told: Value = serde_json::from_str(data.trim()).unwrap();
            assert!(told["error"]["message"].is_string(), "{told}");
            let (recorded, recorded_status) = r.settled(client).await;
            assert_eq!(recorded_status, json!(status), "{way:?}");
            assert!(
                recorded.as_str().unwrap().starts_with(error),
                "{way:?}: {recorded}"
            );
        }
    }
}

#[tokio::test]
async fn a_failure_before_the_head_has_its_status() {
    for way in CONVERTED {
        let r = ready(way).await;
        let (head, said) = r.next();
        let mut client = r.call();
        assert_eq!(client.head().await, None);
        r.pass(5.0);
        said.frame("{}");
        drop(said);
        head.comes(400);
        assert_eq!(client.head().await, Some(400), "{way:?}");
    }
}

#[tokio::test]
async fn a_moment_after_the_providers_head_the_clients_goes_out() {
    for way in CONVERTED {
        let r = ready(way).await;
        let (head, said) = r.next();
        let mut client = r.call();
        head.comes(200);
        assert_eq!(client.head().await, None);
        r.pass(1.0);
        assert_eq!(client.hears().await, (COMMENT.to_owned(), false), "{way:?}");
        said.frame(&way.piece());
        assert!(client.hears().await.0.contains("words"));
    }
}

#[tokio::test]
async fn a_silent_provider_is_given_up_although_its_client_hears_us() {
    for way in CONVERTED {
        let r = ready(way).await;
        let (head, said) = r.next();
        head.comes(200);
        said.frame(&way.piece());
        let mut client = r.call();
        assert!(client.hears().await.0.contains("words"), "{way:?}");
        let sign = if way == Way::Bridge { PING } else { COMMENT };
        for _ in 0..29 {
            r.pass(10.0);
            assert_eq!(client.hears().await, (sign.to_owned(), false), "{way:?}");
        }
        r.pass(10.0);
        let (heard, over) = client.hears().await;
        assert!(over && heard.contains("stopped answering"), "{way:?}: {heard}");
        assert!(!said.is_read());
        assert_eq!(r.settled(client).await.0, "stream_idle");
    }
}

#[tokio::test]
async fn what_the_client_cannot_see_is_a_sign_of_life() {
    let r = ready(Way::ChatOnClaude).await;
    let (head, said) = r.next();
    head.comes(200);
    said.frame(&Way::ChatOnClaude.piece());
    let mut client = r.call();
    client.hears().await;
    // The provider's own pings, at its own pace.
    for _ in 0..3 {
        r.pass(1.0);
        said.frame("event: ping\ndata: {\"type\": \"ping\"}\n\n");
        assert_eq!(client.hears().await, (COMMENT.to_owned(), false));
    }
    // A signature is no word of the completion, and a comment none of the messages'.
    let signature = json!({"index": 0, "delta": {"type": "signature_delta", "signature": "x"}});
    for unseen in [
        claude("content_block_delta", &signature).as_str(),
        ": keep-alive\n\n",
    ] {
        r.pass(1.0);
        said.frame(unseen);
        assert_eq!(client.hears().await, (COMMENT.to_owned(), false));
        said.frame(unseen);
        assert_eq!(client.hears().await, (String::new(), false), "not for each");
    }
}

#[tokio::test]
async fn a_stream_that_passes_as_it_is_gets_nothing_added() {
    let r = ready(Way::Messages).await;
    let (head, said) = r.next();
    let mut client = r.call();
    r.pass(60.0);
    assert_eq!(client.head().await, None);
    head.comes(200);
    r.pass(60.0);
    assert_eq!(client.head().await, None, "its first byte decides");
    said.frame(&Way::Messages.piece());
    assert_eq!(client.hears().await, (Way::Messages.piece(), false));
    r.pass(200.0);
    assert_eq!(client.hears().await, (String::new(), false));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_piece_takes_the_call_with_it() {
    for way in CONVERTED {
        let r = ready(way).await;
        let (head, _said) = r.next();
        let mut client = r.call();
        assert_eq!(client.head().await, None);
        r.pass(10.0);
        client.hears().await;
        assert!(head.is_awaited());
        assert_eq!(r.settled(client).await.0, "client_left");
        assert!(!head.is_awaited(), "{way:?}");
    }
}
