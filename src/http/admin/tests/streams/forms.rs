//! A client that asked for a stream gets one, and a client that asked for JSON gets that, whatever was sent.

use super::*;

const ALL: [Way; 6] = [
    Way::Messages,
    Way::Bridge,
    Way::ChatOnClaude,
    Way::ChatOnGemini,
    Way::Chat,
    Way::Responses,
];

/// A whole answer of the provider's, with words and five tokens of output.
fn whole(way: Way) -> String {
    let answer = match way {
        Way::Messages | Way::ChatOnClaude => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [{"type": "text", "text": "words"}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 9, "output_tokens": 5},
        }),
        Way::Bridge | Way::ChatOnGemini => json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": "words"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5},
        }),
        Way::Chat => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "words"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
        }),
        Way::Responses => json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": "m",
            "output": [{"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "words"}]}],
            "usage": {"input_tokens": 9, "output_tokens": 5},
        }),
    };
    // As some hosts write it.
    format!("{answer:#}")
}

/// The same as a stream.
fn stream(way: Way) -> String {
    let event = |data: Value| format!("data: {data}\n\n");
    let whole: Value = serde_json::from_str(&whole(way)).unwrap();
    match way {
        Way::Chat => [
            event(json!({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "wor"}}]})),
            event(json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "ds"}, "finish_reason": "stop"}]})),
            event(json!({"id": "c", "choices": [], "usage": whole["usage"]})),
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat(),
        Way::Responses => event(json!({"type": "response.completed", "response": whole})),
        _ => way.piece() + &way.last(),
    }
}

#[tokio::test]
async fn a_stream_is_made_of_a_whole_answer() {
    for way in ALL {
        let r = ready(way).await;
        let (head, said) = r.next_of("application/json; charset=utf-8");
        head.comes(200);
        said.frame(&whole(way));
        drop(said);
        let mut client = r.call();
        let (heard, over) = client.hears().await;
        assert!(
            client.header("content-type").starts_with("text/event-stream"),
            "{way:?}"
        );
        assert!(
            over && heard.contains("words") && heard.contains(way.end()),
            "{way:?}: {heard}"
        );
        assert_eq!(r.settled(client).await, (Value::Null, json!(200)), "{way:?}");
        let listed = r.bench.get("/admin/requests").await.is(200).json;
        assert_eq!(listed["items"][0]["tokens"]["output"], 5, "{way:?}: {listed}");
        assert_eq!(listed["items"][0]["quality"], quality(way), "{way:?}");
    }
}

#[tokio::test]
async fn a_whole_answer_is_made_of_a_stream() {
    for way in ALL {
        let r = ready(way).await;
        let (head, said) = r.next();
        head.comes(200);
        said.frame(&stream(way));
        drop(said);
        let mut client = r.asks(false);
        let (heard, over) = client.hears().await;
        assert_eq!(client.header("content-type"), "application/json", "{way:?}");
        let answer: Value = serde_json::from_str(&heard).unwrap_or_else(|_| panic!("{way:?}: {heard}"));
        let words = match way {
            Way::Messages | Way::Bridge => &answer["content"][0]["text"],
            Way::Responses => &answer["output"][0]["content"][0]["text"],
            _ => &answer["choices"][0]["message"]["content"],
        };
        assert!(
            over && words.as_str().unwrap().starts_with("words"),
            "{way:?}: {heard}"
        );
        assert_eq!(r.settled(client).await, (Value::Null, json!(200)), "{way:?}");
        let listed = r.bench.get("/admin/requests").await.is(200).json;
        assert_eq!(listed["items"][0]["tokens"]["output"], 5, "{way:?}: {listed}");
    }
}

#[tokio::test]
async fn of_half_an_answer_none_is_made() {
    for way in ALL {
        let r = ready(way).await;
        r.account("second").await;
        let (head, said) = r.next_of("application/json");
        head.comes(200);
        said.frame("{\"half\": ");
        drop(said);
        let (head, said) = r.next_of("application/json");
        head.comes(200);
        said.frame(&whole(way));
        drop(said);
        let mut client = r.call();
        assert_eq!(
            client.head().await,
            None,
            "another account is asked after a pause"
        );
        r.pass(1.0);
        let (heard, _) = client.hears().await;
        assert!(heard.contains("words"), "{way:?}: {heard}");
    }
}

/// The prices of OpenAI's models know no `m`.
fn quality(way: Way) -> &'static str {
    match way {
        Way::Chat | Way::Responses => "estimated",
        _ => "exact",
    }
}
