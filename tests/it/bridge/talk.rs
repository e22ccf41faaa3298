//! Parts of conversations: tools, images, thinking whose signatures come back.

use crs_support::provider::Script;
use serde_json::{Value, json};

use super::{ALL, Behind, bridged, message, saying, streamed};

fn tools() -> Value {
    json!([{
        "name": "weather", "description": "Tells the weather.",
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": { "city": { "type": "string" } }, "required": ["city"], "additionalProperties": false,
        },
    }])
}

/// Two calls at once, the first signed after a thought.
fn thinking_and_calls() -> Vec<Value> {
    vec![
        json!({ "text": "I need ", "thought": true }),
        json!({ "text": "both.", "thought": true }),
        json!({ "functionCall": { "name": "weather", "args": { "city": "北京" } }, "thoughtSignature": "c2lnbmVk" }),
        json!({ "functionCall": { "name": "weather", "args": { "city": "Paris" } } }),
    ]
}

#[tokio::test]
async fn parallel_calls_and_signatures_come_back_to_gemini_as_they_were() {
    for behind in ALL {
        for stream in [false, true] {
            let b = bridged(behind).await;
            b.next(Script::parts(&thinking_and_calls()));
            let question = json!({ "role": "user", "content": "How is the weather in Beijing and Paris?" });
            let mut body = saying(&json!([question]));
            body["tools"] = tools();
            body["thinking"] = json!({ "type": "adaptive" });
            if stream {
                body = streamed(body);
            }
            let told = message(&b.ask(&body).send().await.good());
            assert_eq!(told["stop_reason"], "tool_use");
            let content = told["content"].as_array().expect("content").clone();
            assert_eq!(content[0]["thinking"], "I need both.");
            let calls: Vec<&Value> = content
                .iter()
                .filter(|block| block["type"] == "tool_use")
                .collect();
            assert_eq!(
                calls
                    .iter()
                    .map(|call| &call["input"]["city"])
                    .collect::<Vec<_>>(),
                ["北京", "Paris"]
            );
            let declared = b.sent()["tools"][0]["functionDeclarations"][0].clone();
            let schema = match behind {
                Behind::Antigravity => "parameters",
                Behind::Login | Behind::ApiKey => "parametersJsonSchema",
            };
            assert!(declared[schema]["properties"]["city"].is_object(), "{declared}");

            let results: Vec<Value> = calls
                .iter()
                .map(|call| {
                    json!({ "type": "tool_result", "tool_use_id": call["id"],
                        "content": format!("sun over {}", call["input"]["city"].as_str().unwrap()) })
                })
                .collect();
            body["messages"] = json!([
                question,
                { "role": "assistant", "content": content },
                { "role": "user", "content": results },
            ]);
            b.answers(Script::gemini("Sunny in both."));
            message(&b.ask(&body).send().await.good());
            let contents = b.sent()["contents"].clone();
            let model: Vec<&Value> = contents[1]["parts"].as_array().expect("parts").iter().collect();
            let calls: Vec<&&Value> = model
                .iter()
                .filter(|part| part.get("functionCall").is_some())
                .collect();
            assert_eq!(calls.len(), 2, "{contents}");
            assert_eq!(
                calls[0]["thoughtSignature"], "c2lnbmVk",
                "{behind:?} {stream} {contents}"
            );
            assert_eq!(calls[0]["functionCall"]["args"]["city"], "北京");
            assert_eq!(calls[1].get("thoughtSignature"), None);
            let answers: Vec<&Value> = contents[2]["parts"].as_array().expect("parts").iter().collect();
            assert_eq!(answers.len(), 2);
            for (answer, city) in answers.iter().zip(["北京", "Paris"]) {
                assert_eq!(answer["functionResponse"]["name"], "weather");
                assert_eq!(
                    answer["functionResponse"]["response"]["output"],
                    format!("sun over {city}")
                );
            }
        }
    }
}

#[tokio::test]
async fn images_and_documents_are_shown() {
    let b = bridged(Behind::Antigravity).await;
    let source = |kind: &str, data: &str| json!({ "type": "base64", "media_type": kind, "data": data });
    let body = saying(&json!([{ "role": "user", "content": [
        { "type": "text", "text": "What is this?" },
        { "type": "image", "source": source("image/png", "iVBORw0KGgo=") },
        { "type": "document", "source": source("application/pdf", "JVBERi0xLjQ=") },
    ] }]));
    b.ask(&body).send().await.good();
    let parts = b.sent()["contents"][0]["parts"].clone();
    assert_eq!(
        parts[1]["inlineData"],
        json!({ "mimeType": "image/png", "data": "iVBORw0KGgo=" })
    );
    assert_eq!(
        parts[2]["inlineData"],
        json!({ "mimeType": "application/pdf", "data": "JVBERi0xLjQ=" })
    );
}

#[tokio::test]
async fn what_claude_code_puts_among_the_messages_arrives() {
    let b = bridged(Behind::Login).await;
    let mut body = saying(&json!([
        { "role": "user", "content": "hi" },
        { "role": "system", "content": "Today is a holiday." },
    ]));
    body["system"] = json!([
        { "type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330;" },
        { "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } },
    ]);
    body["output_config"] = json!({ "effort": "high" });
    body["context_management"] = json!({ "edits": [] });
    b.ask(&body).send().await.good();
    let sent = b.sent();
    assert!(
        sent["systemInstruction"].to_string().contains("Be brief."),
        "{sent}"
    );
    assert!(
        sent["contents"].to_string().contains("Today is a holiday."),
        "{sent}"
    );
}
