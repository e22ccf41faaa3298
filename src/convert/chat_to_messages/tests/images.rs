//! Images that a model makes.

use serde_json::{Value, json};

use super::check::{Outcome, check};
use super::{call, convert_for, refused, try_convert, with, with_messages};
use crate::convert::chat_to_messages::{Stream, Target, answer, request};
use crate::convert::messages_to_gemini;

const URL: &str = "data:image/png;base64,iVBORw0KGgo=";

fn asked(body: &Value) -> messages_to_gemini::ConvertedRequest {
    let messages = try_convert(body, Target::Gemini).unwrap_or_else(|refused| panic!("{refused}"));
    messages_to_gemini::request(&messages.body, &messages_to_gemini::Options::default())
        .unwrap_or_else(|refused| panic!("{refused}"))
}

fn body() -> Value {
    let mut body = with("modalities", json!(["image", "text"]));
    body["model"] = "gemini-2.5-flash-image".into();
    body
}

#[test]
fn an_image_reaches_the_client_whole_and_streamed() {
    let body = body();
    let context = request(body.to_string().as_bytes(), &super::GEMINI)
        .unwrap()
        .context;
    let sent = asked(&body);
    let json: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        json["generationConfig"]["responseModalities"],
        json!(["IMAGE", "TEXT"])
    );
    let said = json!({
        "candidates": [{ "content": { "role": "model", "parts": [
            { "text": "Here it is" }, { "inlineData": { "mimeType": "image/png", "data": "iVBORw0KGgo=" } },
        ] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 10, "candidatesTokenCount": 1290 },
    });
    let image = json!({ "type": "image_url", "index": 0, "image_url": { "url": URL } });

    let message = messages_to_gemini::answer(said.to_string().as_bytes(), &sent.context, "x").unwrap();
    let completion: Value =
        serde_json::from_slice(&answer(&message.body, &context, "x", 1).unwrap()).unwrap();
    let message = &completion["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["images"]),
        (&json!("Here it is"), &json!([image]))
    );

    let mut messages = messages_to_gemini::Stream::new(&sent.context, "x");
    let mut chunks = Stream::new(&context, "x", 1);
    let mut out = chunks
        .feed(&messages.feed(format!("data: {said}\n\n").as_bytes()))
        .to_vec();
    out.extend_from_slice(&chunks.feed(&messages.finish()));
    out.extend_from_slice(&chunks.finish());
    let Outcome::Completion { message, .. } = check(&out, false) else {
        panic!("ends well")
    };
    assert_eq!(
        (&message["content"], &message["images"]),
        (&json!("Here it is"), &json!([image]))
    );
}

#[test]
fn a_model_that_makes_images_may_be_asked_without_saying_so() {
    let mut body = body();
    body.as_object_mut().unwrap().remove("modalities");
    let json: Value = serde_json::from_slice(&asked(&body).body).unwrap();
    assert_eq!(json["generationConfig"].get("responseModalities"), None);
}

#[test]
fn what_a_model_made_comes_back_to_it() {
    let messages = json!([
        { "role": "user", "content": "draw" },
        { "role": "assistant", "content": "Here", "images": [{ "type": "image_url", "image_url": { "url": URL } }] },
        { "role": "user", "content": "bluer" },
    ]);
    let mut body = with_messages(messages);
    assert!(refused(&body).starts_with("messages.1.images.0: "));
    body["model"] = "gemini-3-pro-image-preview".into();
    let json: Value = serde_json::from_slice(&asked(&body).body).unwrap();
    assert_eq!(
        json["contents"][1]["parts"],
        json!([{ "text": "Here" }, { "inlineData": { "mimeType": "image/png", "data": "iVBORw0KGgo=" },
            "thoughtSignature": "skip_thought_signature_validator" }])
    );
}

#[test]
fn ids_of_earlier_versions_are_fit_for_claude_and_known_to_gemini() {
    let long = "toolu_gts1_01a2210a113c7606acb2719c56bf3111_0_q7Xk2aPz";
    let body = with_messages(json!([
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": null, "tool_calls": [call(long, "f", "{}")] },
        { "role": "tool", "tool_call_id": long, "content": "r" },
    ]));
    let id = |target| convert_for(&body, target)["messages"][1]["content"][0]["id"].clone();
    assert!(id(Target::Claude).as_str().unwrap().len() <= 40);
    assert_eq!(id(Target::Gemini), long);
}
