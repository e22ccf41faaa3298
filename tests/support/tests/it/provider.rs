use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crs_support::client::{Ask, Client, Raw, events, text};
use crs_support::provider::{At, Chunks, FakeProvider, GREETING, How, Outcome, Route, Script, Usage};
use serde_json::json;

fn client(provider: &FakeProvider) -> Client {
    Client::new(&provider.url()).with_key("sk-ant-a")
}

#[tokio::test]
async fn a_stream_and_a_whole_answer_say_the_same() {
    let provider = FakeProvider::start().await;
    let usage = Usage {
        input: 7,
        output: 9,
        cache_write_5m: 1,
        cache_write_1h: 2,
        cache_read: 3,
    };
    provider.answer(Script::message(GREETING).usage(usage).deltas(7));
    let whole = client(&provider).messages("hi").send().await.good();
    let stream = client(&provider).messages("hi").stream().send().await.good();
    assert_eq!(whole.text(), GREETING);
    assert_eq!(stream.text(), GREETING);
    assert_eq!(whole.header("content-type"), Some("application/json"));
    assert_eq!(
        stream.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let names: Vec<_> = stream.events().iter().map(|event| event.name.clone()).collect();
    assert_eq!(names[..3], ["message_start", "content_block_start", "ping"]);
    assert_eq!(
        names.iter().filter(|name| *name == "content_block_delta").count(),
        7
    );
    assert_eq!(
        names[names.len() - 3..],
        ["content_block_stop", "message_delta", "message_stop"]
    );
    let start = &stream.events()[0].data["message"];
    assert_eq!(start["model"], "claude-sonnet-4-5");
    assert_eq!(start["usage"]["output_tokens"], 1);
    let end = &stream.events()[names.len() - 2].data["usage"];
    assert_eq!(end["output_tokens"], 9);
    // The split by lifetime is in the first event only.
    assert_eq!(start["usage"]["cache_creation"]["ephemeral_1h_input_tokens"], 2);
    for (name, figure) in whole.json()["usage"].as_object().expect("usage") {
        let at_the_end = &end[name];
        assert!(at_the_end.is_null() || at_the_end == figure, "{name}");
    }
}

#[tokio::test]
async fn requests_are_kept_byte_for_byte() {
    let provider = FakeProvider::start().await;
    let mut raw = Raw::connect(&provider.url()).await;
    raw.send(
        "POST /x/v1/messages?beta=true HTTP/1.1\r\nHost: h\r\nX-API-Key: k1\r\nx-b: 1\r\nX-B: 2\r\n\
         transfer-encoding: chunked\r\n\r\n4\r\n{\"é\r\n",
    )
    .await;
    raw.send("5\r\n\": 1}\r\n0\r\n\r\n").await;
    raw.set_method("POST");
    assert_eq!(raw.head().await.status, 200);
    let request = provider.wait_for(1).await.remove(0);
    assert_eq!(request.path(), "/x/v1/messages");
    assert_eq!(request.query(), "beta=true");
    assert_eq!(request.credential(), Some("k1"));
    let lines: Vec<_> = request
        .headers
        .0
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    assert_eq!(
        lines,
        [
            "Host=h",
            "X-API-Key=k1",
            "x-b=1",
            "X-B=2",
            "transfer-encoding=chunked"
        ]
    );
    assert_eq!(request.body, "{\"é\": 1}".as_bytes());
    assert!(provider.violations().is_empty());

    raw.body().await;
    raw.send("no http\r\n\r\n").await;
    raw.closed_by_server().await.unwrap();
    assert_eq!(provider.violations().len(), 1);
}

#[tokio::test]
async fn scripts_are_chosen_by_credential_then_in_order() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::message("standing"));
    provider.next(Script::message("first"));
    provider.fails_once(429).with_header("retry-after", "30");
    provider.for_credential("sk-ant-b").answer(Script::error(529));
    let second = Client::new(&provider.url())
        .with_bearer("sk-ant-b")
        .messages("hi")
        .send()
        .await;
    assert_eq!(second.status, 529);
    assert_eq!(second.json()["error"]["type"], "overloaded_error");
    assert_eq!(client(&provider).messages("hi").send().await.text(), "first");
    let limited = client(&provider).messages("hi").send().await.expect(429);
    assert_eq!(limited.header("retry-after"), Some("30"));
    assert_eq!(
        limited.json()["request_id"],
        limited.header("request-id").unwrap()
    );
    assert_eq!(client(&provider).messages("hi").send().await.text(), "standing");
    assert_eq!(provider.calls(), 4);
    assert_eq!(provider.on(Route::Messages).left(), 0);
}

#[tokio::test]
async fn the_other_routes_answer_too() {
    let provider = FakeProvider::start().await;
    let client = client(&provider);
    assert!(client.get("/v1/models?limit=1000").await.good().json()["data"].is_array());
    let counted = client
        .post("/v1/messages/count_tokens", &json!({"messages": []}))
        .await
        .good();
    assert!(counted.json()["input_tokens"].is_u64());
    assert_eq!(client.get("/v1/messages").await.status, 405);
    assert_eq!(client.get("/nothing").await.status, 404);
    assert_eq!(client.call("HEAD", "/").send().await.status, 404);
}

#[tokio::test]
async fn chunks_are_as_small_as_asked_for_and_lose_nothing() {
    let provider = FakeProvider::start().await;
    let stream = "event: a\ndata: {\"t\":\"世界🌍\"}\n\nevent: b\ndata: {}\n\n";
    for (chunks, least) in [
        (Chunks::Whole, 1),
        (Chunks::Frames, 2),
        (Chunks::Bytes(7), 7),
        (Chunks::Bytes(1), 50),
    ] {
        provider.answer(Script::raw_stream(stream).chunks(chunks));
        let (_, mut raw) = client(&provider).messages("hi").open().await;
        let mut body = Vec::new();
        let mut pieces = 0;
        while let Some(piece) = raw.piece().await {
            body.extend_from_slice(&piece.bytes);
            pieces += 1;
        }
        assert_eq!(body, stream.as_bytes());
        assert!(pieces >= least, "{chunks:?}: {pieces}");
    }
}

#[tokio::test]
async fn delays_are_kept() {
    let provider = FakeProvider::start().await;
    let pause = Duration::from_millis(60);
    provider.answer(
        Script::message("abcd")
            .deltas(4)
            .delay_head(pause)
            .delay_body(pause)
            .every(pause),
    );
    let start = Instant::now();
    let (_, mut raw) = client(&provider).messages("hi").stream().open().await;
    let head = start.elapsed();
    let first = raw.piece().await.unwrap().at - start;
    let second = raw.piece().await.unwrap().at - start;
    assert!(
        head >= pause && first >= pause * 2 && second >= pause * 3,
        "{head:?} {first:?} {second:?}"
    );
}

#[tokio::test]
async fn every_cut_looks_as_it_should() {
    let provider = FakeProvider::start().await;
    let message = || Script::message("abcdef").deltas(3);
    let call = || client(&provider).messages("hi").stream();

    provider.next(message().reset_before_head());
    assert_eq!(
        call().try_send().await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    provider.next(message().close_before_head());
    assert_eq!(
        call().try_send().await.unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );

    provider.next(message().reset_after_head());
    let answer = call().send().await.good();
    assert!(answer.body.is_empty() && answer.broke_off.unwrap().contains("reset"));

    provider.next(message().reset_after(4));
    let answer = call().send().await.good();
    assert_eq!(answer.events().len(), 4);
    assert!(answer.broke_off.unwrap().contains("reset"));

    provider.next(message().close_after_frames(4));
    let answer = call().send().await.good();
    assert_eq!(answer.events().len(), 4);
    assert!(answer.broke_off.unwrap().contains("closed inside a body"));

    provider.next(message().without_stop());
    let answer = call().send().await.good();
    assert_eq!(answer.broke_off, None);
    assert_eq!(answer.events().last().unwrap().name, "message_delta");

    provider.next(message().error_event_after(5, "overloaded_error", "Overloaded"));
    let answer = call().send().await.good();
    assert_eq!(answer.broke_off, None);
    assert_eq!(
        answer.events().last().unwrap().data["error"]["type"],
        "overloaded_error"
    );

    // A whole answer is cut too: its length promised more.
    provider.next(message().fails(At::AfterBytes(10), How::Close));
    let answer = client(&provider).messages("hi").send().await.good();
    assert_eq!(answer.body.len(), 10);
    assert!(answer.broke_off.is_some());

    provider.next(Script::wire("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    assert_eq!(call().send().await.good().body, "ok");
    provider.wait_for_open(0).await;
}

#[tokio::test]
async fn a_leaving_client_is_noticed_at_every_stage() {
    let provider = FakeProvider::start().await;
    for (script, polite) in [
        (Script::message("x").stall_before_head(), true),
        (Script::message("x").stall_after_head(), false),
        (Script::message("x").stall_after(2), false),
        (Script::endless(1000).every(Duration::from_millis(5)), true),
    ] {
        provider.forget();
        provider.next(script);
        let raw = client(&provider).messages("hi").stream().sent().await;
        let request = provider.wait_for(1).await.remove(0);
        assert!(request.is_connected());
        let left = Instant::now();
        if polite {
            raw.leave();
        } else {
            raw.reset();
        }
        let closed = request.closed_within(Duration::from_secs(1)).await;
        assert!(closed.by_peer && closed.at >= left);
        assert!(polite || closed.reset);
        assert_eq!(request.done().await, Outcome::PeerLeft);
    }
    provider.wait_for_open(0).await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_flood_back() {
    let provider = FakeProvider::start_with_send_buffer(64 * 1024).await;
    provider.answer(Script::endless(2000));
    let mut raw = Raw::connect_with_receive_buffer(&provider.url(), 16 * 1024).await;
    raw.send(Ask::post("/v1/messages", "{\"stream\":true}").to_bytes())
        .await;
    let request = provider.wait_for(1).await.remove(0);
    // The buffers fill, and then nothing moves.
    let mut before = 0;
    crs_support::eventually("the flood to stand still", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = request.sent();
        let still = now == before && now > 0;
        before = now;
        still.then_some(())
    })
    .await;
    assert!(before < 1_000_000, "{before} bytes fit into the buffers");
    let read = raw.read_slowly(64 * 1024, Duration::ZERO, 2_000_000).await;
    assert!(request.sent() >= read as u64);
}

#[tokio::test]
async fn a_flood_with_an_end_is_a_proper_stream() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::flood(1000, 300_000));
    let answer = client(&provider).messages("hi").stream().send().await.good();
    assert!(
        answer.body.len() > 300_000 && answer.body.len() < 302_000,
        "{}",
        answer.body.len()
    );
    assert_eq!(answer.events().last().unwrap().name, "message_stop");
}

#[tokio::test]
async fn only_those_who_accept_gzip_get_it() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::message("plain").gzip_if_accepted());
    let call = || client(&provider).messages("hi").stream();
    for accepted in ["identity", "br", "gzip;q=0"] {
        assert_eq!(
            call().header("accept-encoding", accepted).send().await.text(),
            "plain"
        );
    }
    let answer = call()
        .header("accept-encoding", "gzip, deflate, br")
        .send()
        .await
        .good();
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut plain = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&answer.body[..]);
    std::io::Read::read_to_string(&mut decoder, &mut plain).unwrap();
    assert_eq!(text(plain.as_bytes()), "plain");
    assert_eq!(events(plain.as_bytes()).last().unwrap().name, "message_stop");
}

#[tokio::test]
async fn a_tool_turn_asks_and_then_uses_the_result() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::tool_turn(
        "Read",
        json!({"file_path": "/x"}),
        "it says {result}",
    ));
    let first = client(&provider).messages("read it").send().await.good().json();
    assert_eq!(first["stop_reason"], "tool_use");
    assert_eq!(first["content"][0]["input"]["file_path"], "/x");
    let second = client(&provider)
        .messages("read it")
        .edit(|body| {
            body["messages"] = json!([
                {"role": "user", "content": "read it"},
                {"role": "assistant", "content": first["content"]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": first["content"][0]["id"], "content": "四十二"}
                ]},
            ]);
        })
        .stream()
        .send()
        .await;
    assert_eq!(second.text(), "it says 四十二");
}

#[tokio::test]
async fn tokens_rotate_expire_and_need_their_flag() {
    let provider = FakeProvider::start().await;
    let tokens = provider.oauth().issue_expired();
    let url = Client::new(&provider.url());
    let call = |token: &str| url.clone().with_bearer(token).messages("hi");
    let flagged = |token: &str| call(token).header("anthropic-beta", "a-1,oauth-2025-04-20");
    flagged(&tokens.access).send().await.expect(401);

    let ask = json!({"grant_type": "refresh_token", "refresh_token": tokens.refresh, "client_id": "x"});
    let granted = url.post("/v1/oauth/token", &ask).await.good().json();
    let access = granted["access_token"].as_str().unwrap();
    assert_eq!(granted["expires_in"], 28_800);
    assert_ne!(granted["refresh_token"], tokens.refresh.as_str());
    assert_eq!(flagged(access).send().await.text(), GREETING);
    call(access).send().await.expect(401);

    let again = url.post("/v1/oauth/token", &ask).await.expect(400);
    assert_eq!(again.json()["error"], "invalid_grant");
    let form = format!(
        "grant_type=refresh_token&refresh_token={}",
        granted["refresh_token"].as_str().unwrap()
    );
    url.call("POST", "/v1/oauth/token").body(form).send().await.good();
    assert_eq!((provider.oauth().refreshes(), provider.oauth().refused()), (2, 1));
    // Refusing is not calling: no script was used for it.
    assert_eq!(provider.calls(), 3);
}

#[tokio::test]
async fn a_code_is_worth_what_it_was_allowed_for_and_once() {
    let provider = FakeProvider::start().await;
    let url = Client::new(&provider.url());
    // RFC 7636, appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let page = "https://login.example/authorize?response_type=code&client_id=us&redirect_uri=http%3A%2F%2Fh%2Fcb\
        &scope=one+two&state=0123456789012345678901&code_challenge_method=S256\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let ask = |verifier: &str, client: &str, redirect: &str| {
        let code = provider.oauth().allow(page).code;
        json!({"grant_type": "authorization_code", "code": code, "client_id": client,
            "redirect_uri": redirect, "code_verifier": verifier})
    };
    for (wrong, kind) in [
        (ask("x", "us", "http://h/cb"), "invalid_grant"),
        (ask(verifier, "them", "http://h/cb"), "invalid_client"),
        (ask(verifier, "us", "http://h/"), "redirect_uri_mismatch"),
    ] {
        let refused = url.post("/v1/oauth/token", &wrong).await.expect(400).json();
        assert_eq!(refused["error"], kind);
    }
    let right = ask(verifier, "us", "http://h/cb");
    let granted = url.post("/v1/oauth/token", &right).await.good().json();
    assert!(granted["refresh_token"].is_string() && granted["id_token"].is_string());
    url.post("/v1/oauth/token", &right).await.expect(400);
    assert_eq!(
        provider.oauth().allow(page).callback(),
        "http://h/cb?code=fake-code-0005&scope=s&state=0123456789012345678901"
    );
}

#[tokio::test]
async fn connections_are_kept_and_counted() {
    let provider = FakeProvider::start().await;
    let mut raw = Raw::connect(&provider.url()).await;
    for _ in 0..3 {
        let (head, _) = raw.answer_to(&Ask::post("/v1/messages", "{}")).await;
        assert_eq!(head.status, 200);
    }
    assert_eq!((provider.connections(), provider.open_connections()), (1, 1));
    let requests = provider.wait_for(3).await;
    assert!(requests.iter().all(|request| request.connection == 1));
    assert!(requests[0].is_connected());
    raw.leave();
    requests[0].closed_within(Duration::from_secs(1)).await;
    provider.next(Script::message("bye").close_after());
    let mut raw = Raw::connect(&provider.url()).await;
    let (head, _) = raw.answer_to(&Ask::post("/v1/messages", "{}")).await;
    assert_eq!(head.headers.get("connection"), Some("close"));
    raw.closed_by_server().await.unwrap();
}
