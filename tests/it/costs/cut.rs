//! Compressed answers that break off: what came of them is billed, and the record says that it is a part.

use std::io::Write as _;

use crs_support::client::{Call, Client};
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::{Costs, entries, micro_usd, ready};

/// The words of the answer come without an end: this many bytes of them are there before the cut.
const WORDS: usize = 3_000;

/// About as [`WORDS`] are counted when nobody says how many tokens they are.
const BY_LENGTH: u64 = WORDS as u64 / 4;

/// A compressed answer of which the provider sends this much.
pub(crate) fn cut(content_type: &str, text: &str) -> Script {
    // Stored as it is, so that the cut is where the text ends.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.write_all(&[b'x'; 100]).expect("memory");
    let mut packed = encoder.finish().expect("memory");
    // The last ones, and the sum and the length of all.
    packed.truncate(packed.len() - 100 - 8);
    Script::bytes(content_type, packed).with_header("content-encoding", "gzip")
}

fn event(data: &Value) -> String {
    let name = data["type"].as_str().map(|name| format!("event: {name}\n"));
    format!("{}data: {data}\n\n", name.unwrap_or_default())
}

/// A protocol, and an answer of its provider that breaks off.
struct Case {
    name: &'static str,
    route: Route,
    call: fn(&Costs) -> Call,
    content_type: &'static str,
    text: String,
    /// As the answer names them before it breaks off. `None`: by the length of the request.
    input: Option<u64>,
    /// `None`: by the length of what came.
    output: Option<u64>,
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

fn messages(c: &Costs) -> Call {
    c.relay.client(&c.key.secret).messages("hi")
}

fn responses(c: &Costs) -> Call {
    c.responses(&c.key.secret, &json!([]))
}

fn cases() -> Vec<Case> {
    let words = "w".repeat(WORDS);
    let claude_start = json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message",
        "role": "assistant", "model": "claude-sonnet-4-5", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": 1000, "output_tokens": 1 } } });
    let claude_block = json!({ "type": "content_block_start", "index": 0,
        "content_block": { "type": "text", "text": "" } });
    let claude_delta = json!({ "type": "content_block_delta", "index": 0,
        "delta": { "type": "text_delta", "text": words } });
    let openai_start = json!({ "type": "response.created", "response": { "id": "resp_1", "object": "response",
        "status": "in_progress", "model": "gpt-5.4", "output": [] } });
    let openai_delta = json!({ "type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "delta": words });
    let gemini_piece = json!({ "modelVersion": "gemini-2.5-flash", "responseId": "r", "candidates": [{ "index": 0,
        "content": { "role": "model", "parts": [{ "text": words }] } }],
        "usageMetadata": { "promptTokenCount": 1000, "candidatesTokenCount": 900, "totalTokenCount": 1900 } });
    vec![
        Case {
            name: "Claude, whole, its usage before the cut",
            route: Route::Messages,
            call: messages,
            content_type: JSON,
            text: format!(
                r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","usage":{{"input_tokens":1000,"output_tokens":900}},"content":[{{"type":"text","text":"{words}"#
            ),
            input: Some(1000),
            output: Some(900),
        },
        Case {
            name: "Claude, whole, cut before its usage",
            route: Route::Messages,
            call: messages,
            content_type: JSON,
            text: format!(
                r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{{"type":"text","text":"{words}"#
            ),
            input: None,
            output: None,
        },
        Case {
            name: "Claude, a stream",
            route: Route::Messages,
            call: |c| messages(c).stream(),
            content_type: EVENTS,
            text: [event(&claude_start), event(&claude_block), event(&claude_delta)].concat(),
            input: Some(1000),
            output: None,
        },
        Case {
            name: "OpenAI, whole",
            route: Route::Responses,
            call: responses,
            content_type: JSON,
            text: format!(
                r#"{{"id":"resp_1","object":"response","status":"completed","model":"gpt-5.4","usage":{{"input_tokens":1000,"output_tokens":900,"total_tokens":1900}},"output":[{{"type":"message","content":[{{"type":"output_text","text":"{words}"#
            ),
            input: Some(1000),
            output: Some(900),
        },
        Case {
            name: "OpenAI, a stream",
            route: Route::Responses,
            call: |c| responses(c).stream(),
            content_type: EVENTS,
            text: [event(&openai_start), event(&openai_delta)].concat(),
            input: None,
            output: None,
        },
        Case {
            name: "Gemini, whole",
            route: Route::Gemini,
            call: |c| c.gemini("gemini-2.5-flash"),
            content_type: JSON,
            text: format!(
                r#"{{"modelVersion":"gemini-2.5-flash","usageMetadata":{{"promptTokenCount":1000,"candidatesTokenCount":900,"totalTokenCount":1900}},"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{words}"#
            ),
            input: Some(1000),
            output: Some(900),
        },
        Case {
            name: "Gemini, a stream",
            route: Route::Gemini,
            call: |c| c.gemini_stream("gemini-2.5-flash"),
            content_type: EVENTS,
            text: event(&gemini_piece),
            input: Some(1000),
            output: Some(900),
        },
    ]
}

/// Nobody else can serve it: a whole answer is an error for the client, a stream ends with one.
#[tokio::test]
async fn a_compressed_answer_that_is_cut_is_billed_by_what_came() {
    let c = ready().await;
    for (at, case) in cases().into_iter().enumerate() {
        c.provider.on(case.route).next(cut(case.content_type, &case.text));
        let asked = c.provider.requests().len();
        let answer = (case.call)(&c).send().await;
        let streams = case.content_type == EVENTS;
        assert_eq!(
            answer.status == 200,
            streams,
            "{}: {}",
            case.name,
            answer.raw_text()
        );
        assert_eq!(c.provider.requests().len(), asked + 1, "{}", case.name);
        let entry = c.newest(at + 1).await;
        assert_eq!(entry["quality"], "partial", "{}: {entry}", case.name);
        assert!(micro_usd(&entry["cost"]) > 0, "{}: {entry}", case.name);
        let sent = c.provider.requests().last().expect("a request").body.len() as u64;
        let input = case.input.unwrap_or(sent / 4);
        assert_eq!(entry["tokens"]["input"], input, "{}: {entry}", case.name);
        let output = entry["tokens"]["output"].as_u64().expect("a number");
        match case.output {
            Some(named) => assert_eq!(output, named, "{}: {entry}", case.name),
            None => assert!(output.abs_diff(BY_LENGTH) < 100, "{}: {entry}", case.name),
        }
    }
}

/// The account that broke off is charged for its part, and the record has both.
#[tokio::test]
async fn a_cut_compressed_answer_is_billed_beside_the_one_in_its_place() {
    let c = ready().await;
    c.relay.claude_account("second", "sk-ant-second").await;
    let first = cases().remove(0);
    c.provider.next(cut(first.content_type, &first.text));
    let whole = json!({ "id": "msg_2", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [{ "type": "text", "text": "hi" }], "stop_reason": "end_turn",
        "usage": { "input_tokens": 1000, "output_tokens": 100 } });
    c.provider.next(Script::json(whole));
    messages(&c).send().await.good();
    let entry = c.newest(1).await;
    // USD per million: 3 and 15.
    assert_eq!(
        (
            &entry["quality"],
            &entry["tokens"]["input"],
            &entry["tokens"]["output"],
            micro_usd(&entry["cost"])
        ),
        (&json!("partial"), &json!(2000), &json!(1000), 6_000 + 15_000),
        "{entry}"
    );
}

#[tokio::test]
async fn a_stream_that_never_names_its_usage_still_counts_its_input() {
    let c = ready().await;
    let key = c.relay.key("small").set("dailyCostLimit", 0.05).create().await;
    let ask = |content: Value| {
        Client::new(&format!("{}/openai", c.relay.url()))
            .with_bearer(&key.secret)
            .call("POST", "/responses")
            .json(
                &json!({ "model": "gpt-5.4", "stream": true, "max_output_tokens": 10,
                "input": [{ "role": "user", "content": content }] }),
            )
    };
    let words = json!({ "type": "input_text", "text": "w".repeat(4_000) });
    let picture = format!("data:image/png;base64,iVBORw0KGgo{}", "A".repeat(400_000));
    let image = json!({ "type": "input_image", "image_url": picture });
    for content in [json!([words]), json!([words, image])] {
        c.provider
            .on(Route::Responses)
            .next(Script::openai("hi").end_after(3));
        ask(content).send().await;
    }
    let records = entries(&c.relay, 2).await;
    let input = |at: usize| records[at]["tokens"]["input"].as_u64().expect("a number");
    assert!((1_000..1_100).contains(&input(1)), "{records:?}");
    // A picture's bytes are not its tokens.
    assert!((2_600..2_700).contains(&input(0)), "{records:?}");
    // 40,000 tokens at 2.50 USD per million are more than the key's day, although nobody read the answer.
    let long = json!([{ "type": "input_text", "text": "w".repeat(160_000) }]);
    c.provider
        .on(Route::Responses)
        .next(Script::openai("hi").end_after(3));
    ask(long.clone()).send().await;
    c.newest(3).await;
    assert_eq!(ask(long).send().await.status, 429);
}
