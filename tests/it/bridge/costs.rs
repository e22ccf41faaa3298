//! The cost of bridged calls: the provider's own figures count, even if the client cannot be shown them.

use crs_support::client::Client;
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::super::costs::cut::cut;
use super::{ALL, Behind, bridged, hi, micro_usd, streamed};

/// An answer of 1,000,000 tokens in and 100,000 out.
fn answer(model: &str, reason: &str) -> Value {
    json!({ "modelVersion": model, "responseId": "r", "candidates": [{ "finishReason": reason, "index": 0,
        "content": { "role": "model", "parts": [{ "text": "hi" }] } }],
        "usageMetadata": { "promptTokenCount": 1_000_000, "candidatesTokenCount": 100_000,
            "totalTokenCount": 1_100_000 } })
}

/// What it costs, micro-USD: 0.30 and 2.50 USD per million tokens.
const FLASH: u64 = 300_000 + 250_000;

/// 0.10 and 0.40 USD.
const LITE: u64 = 100_000 + 40_000;

#[tokio::test]
async fn answers_of_which_no_message_can_be_made_are_billed() {
    for behind in ALL {
        let b = bridged(behind).await;
        b.answers(Script::generated(answer(
            "gemini-2.5-flash",
            "MALFORMED_FUNCTION_CALL",
        )));
        for (at, body) in [hi(), streamed(hi())].into_iter().enumerate() {
            let told = b.ask(&body).send().await;
            assert_eq!(told.status == 200, at == 1, "{}", told.raw_text());
            let entry = b.newest(at + 1).await;
            assert_eq!(
                (
                    micro_usd(&entry["cost"]),
                    &entry["quality"],
                    &entry["model"],
                    &entry["tokens"]["input"]
                ),
                (
                    FLASH,
                    &json!("exact"),
                    &json!("gemini-2.5-flash"),
                    &json!(1_000_000)
                ),
                "{behind:?} {entry}"
            );
            assert!(entry["error"].is_string(), "{entry}");
        }
    }
}

#[tokio::test]
async fn each_attempt_is_billed_with_its_own_model() {
    for behind in ALL {
        let b = bridged(behind).await;
        let tokens = b.provider.oauth().issue();
        b.account("second", &tokens, 60).await;
        b.next(Script::generated(answer(
            "gemini-2.5-flash",
            "MALFORMED_FUNCTION_CALL",
        )));
        b.answers(Script::generated(answer("gemini-2.5-flash-lite", "STOP")));
        b.ask(&hi()).send().await.good();
        let entry = b.newest(1).await;
        assert_eq!(
            (
                micro_usd(&entry["cost"]),
                &entry["quality"],
                &entry["model"],
                &entry["tokens"]["output"]
            ),
            (
                FLASH + LITE,
                &json!("exact"),
                &json!("gemini-2.5-flash-lite"),
                &json!(200_000)
            ),
            "{behind:?} {entry}"
        );
    }
}

#[tokio::test]
async fn what_messages_have_no_place_for_is_billed_or_estimated() {
    let b = bridged(Behind::ApiKey).await;
    let mut count = 0;
    for (named, cost, quality) in [
        // One USD per million tokens of sound.
        (
            json!({ "promptTokensDetails": [{ "modality": "AUDIO", "tokenCount": 1_000_000 }] }),
            FLASH + 700_000,
            "exact",
        ),
        (json!({ "videoSeconds": 5 }), FLASH, "estimated"),
        (json!({ "serviceTier": "flex" }), FLASH, "estimated"),
        (
            json!({ "candidatesTokensDetails": [{ "modality": "SMELL", "tokenCount": 5 }] }),
            FLASH,
            "estimated",
        ),
    ] {
        let mut used = answer("gemini-2.5-flash", "STOP");
        for (name, value) in named.as_object().expect("an object") {
            used["usageMetadata"][name] = value.clone();
        }
        b.answers(Script::generated(used));
        for body in [hi(), streamed(hi())] {
            b.ask(&body).send().await.good();
            count += 1;
            let entry = b.newest(count).await;
            assert_eq!(
                (micro_usd(&entry["cost"]), &entry["quality"]),
                (cost, &json!(quality)),
                "{named} {entry}"
            );
        }
    }
}

#[tokio::test]
async fn chat_on_a_gemini_account_is_billed_by_its_figures() {
    let b = bridged(Behind::ApiKey).await;
    let chat = Client::new(&format!("{}/openai/gemini/v1", b.relay.url())).with_bearer(&b.key.secret);
    let body = json!({ "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": "hi" }] });
    let mut count = 0;
    for (reason, quality, fails) in [
        ("STOP", "estimated", false),
        ("MALFORMED_FUNCTION_CALL", "estimated", true),
    ] {
        let mut used = answer("gemini-2.5-flash", reason);
        used["usageMetadata"]["videoSeconds"] = 5.into();
        b.provider.on(Route::Gemini).answer(Script::generated(used));
        for body in [body.clone(), streamed(body.clone())] {
            let told = chat.call("POST", "/chat/completions").json(&body).send().await;
            let failed = told.status != 200 || told.raw_text().contains("\"error\"");
            assert_eq!(failed, fails, "{}", told.raw_text());
            count += 1;
            let entry = b.newest(count).await;
            assert_eq!(
                (micro_usd(&entry["cost"]), &entry["quality"]),
                (FLASH, &json!(quality)),
                "{reason} {entry}"
            );
        }
    }
}

/// The provider compressed its answer although identity was asked for, and it broke off: no message can be made of a
/// whole one, and the beginning of a stream was shown.
#[tokio::test]
async fn a_compressed_answer_that_is_cut_is_billed_by_what_came() {
    for behind in ALL {
        let b = bridged(behind).await;
        let mut piece = answer("gemini-2.5-flash", "STOP");
        piece["candidates"][0]
            .as_object_mut()
            .expect("a candidate")
            .remove("finishReason");
        if behind != Behind::ApiKey {
            piece = json!({ "response": piece });
        }
        let whole = piece.to_string();
        let begun = whole.strip_suffix('}').expect("an object");
        for (at, (body, sent)) in [
            (hi(), cut("application/json", begun)),
            (
                streamed(hi()),
                cut("text/event-stream", &format!("data: {whole}\n\n")),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            b.next(sent);
            let told = b.ask(&body).send().await;
            assert_eq!(told.status == 200, at == 1, "{}", told.raw_text());
            let entry = b.newest(at + 1).await;
            assert_eq!(
                (micro_usd(&entry["cost"]), &entry["quality"], &entry["model"]),
                (FLASH, &json!("partial"), &json!("gemini-2.5-flash")),
                "{behind:?} {at} {entry}"
            );
        }
    }
}
