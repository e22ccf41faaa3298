//! A client gets the form that it asked for, whichever its provider sends.

use super::*;

fn pieces() -> Vec<Value> {
    let piece = |text: &str| json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] } }] });
    let mut last = piece(" two");
    last["candidates"][0]["finishReason"] = "STOP".into();
    last["usageMetadata"] = json!({ "promptTokenCount": 3, "candidatesTokenCount": 4 });
    vec![piece("one"), last]
}

fn in_envelopes(pieces: &[Value]) -> Vec<Value> {
    pieces.iter().map(|piece| json!({ "response": piece })).collect()
}

fn events(pieces: &[Value]) -> Script {
    let event = |piece: &Value| format!("data: {piece}\r\n\r\n");
    Script::raw_stream(pieces.iter().map(event).collect::<String>())
}

#[tokio::test]
async fn json_becomes_the_stream_that_was_asked_for() {
    let (with_login, _) = with_a_login().await;
    for (g, wraps) in [(with_a_key().await, false), (with_login, true)] {
        let sent = if wraps { in_envelopes(&pieces()) } else { pieces() };
        let method = "streamGenerateContent?alt=sse";
        for (call, in_envelope) in [(g.api(method), false), (g.assist(method), true)] {
            for script in [
                Script::json(json!(sent)),
                Script::bytes(
                    "application/json",
                    serde_json::to_vec_pretty(&sent).expect("JSON"),
                ),
                // The word is wrong.
                Script::bytes("text/event-stream", json!(sent).to_string()),
            ] {
                g.provider.on(Route::Gemini).next(script);
                let answer = call.clone().send().await.good();
                assert_eq!(answer.header("content-type"), Some("text/event-stream"));
                assert_eq!(text(&answer), "one two");
                assert_eq!(answer.raw_text().contains("\"response\""), in_envelope);
                assert!(!answer.raw_text().contains("\"error\""), "{}", answer.raw_text());
            }
        }
        let entry = g.newest(6).await;
        assert_eq!(
            (&entry["quality"], &entry["tokens"]["output"]),
            (&json!("exact"), &json!(4))
        );
    }
}

#[tokio::test]
async fn events_and_objects_become_the_list_that_was_asked_for() {
    let (with_login, _) = with_a_login().await;
    for (g, wraps) in [(with_a_key().await, false), (with_login, true)] {
        let sent = if wraps { in_envelopes(&pieces()) } else { pieces() };
        let last = sent[1].clone();
        for (call, in_envelope) in [
            (g.api("streamGenerateContent"), false),
            (g.assist("streamGenerateContent"), true),
        ] {
            for (script, count) in [
                (events(&sent), 2),
                (Script::json(json!(sent)), 2),
                (Script::json(last.clone()), 1),
            ] {
                g.provider.on(Route::Gemini).next(script);
                let answer = call.clone().send().await.good();
                assert_eq!(answer.header("content-type"), Some("application/json"));
                let list = answer.json();
                let list = list.as_array().expect("a list");
                assert_eq!(list.len(), count);
                assert!(
                    list.iter()
                        .all(|piece| piece.get("response").is_some() == in_envelope)
                );
            }
        }
        let entry = g.newest(6).await;
        assert_eq!(
            (&entry["quality"], &entry["tokens"]["output"]),
            (&json!("exact"), &json!(4))
        );
        // A stream that was cut is no list.
        g.provider.on(Route::Gemini).answer(events(&sent[..1]));
        let refused = g.api("streamGenerateContent").send().await;
        assert!(refused.status >= 500, "{}", refused.raw_text());
    }
}

#[tokio::test]
async fn a_list_becomes_the_object_that_was_asked_for() {
    let g = with_a_key().await;
    g.provider.on(Route::Gemini).next(Script::json(json!(pieces())));
    let answer = g.api("generateContent").send().await.good();
    assert_eq!(text(&answer), "one two");
    assert!(answer.json().is_object());
}

#[tokio::test]
async fn a_stream_becomes_the_object_that_was_asked_for() {
    let (with_login, _) = with_a_login().await;
    for (g, wraps) in [(with_a_key().await, false), (with_login, true)] {
        let sent = if wraps { in_envelopes(&pieces()) } else { pieces() };
        for (call, in_envelope) in [
            (g.api("generateContent"), false),
            (g.assist("generateContent"), true),
        ] {
            g.provider.on(Route::Gemini).next(events(&sent));
            let answer = call.send().await.good();
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(text(&answer), "one two");
            assert_eq!(answer.json().get("response").is_some(), in_envelope);
        }
        assert_eq!(g.newest(2).await["quality"], "exact");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_within_its_last_event_ends_with_an_error() {
    let g = with_a_key().await;
    let last = pieces().remove(1).to_string();
    let cut = last.find("candidatesTokenCount").expect("usage");
    let whole = Script::raw_stream(format!("data: {last}"));
    g.provider.on(Route::Gemini).next(whole);
    let answer = g.api("streamGenerateContent?alt=sse").send().await.good();
    assert_eq!(
        answer.raw_text(),
        format!("data: {last}"),
        "no end of line is no cut"
    );
    g.provider
        .on(Route::Gemini)
        .next(Script::raw_stream(format!("data: {}", &last[..cut])));
    let answer = g.api("streamGenerateContent?alt=sse").send().await.good();
    assert!(answer.raw_text().contains("UNAVAILABLE"), "{}", answer.raw_text());
    assert_eq!(g.newest(2).await["error"], "stream_broken");
}
