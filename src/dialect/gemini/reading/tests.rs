use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::dialect::meter::{Measurement, Meter};
use crate::model::usage::Quality;

/// The answers of a stream: the last one is whole.
fn answers() -> Vec<Value> {
    let answer = |parts: Value, finish: Option<&str>, output: u64| {
        let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
        if let Some(finish) = finish {
            candidate["finishReason"] = finish.into();
        }
        json!({"candidates": [candidate], "modelVersion": "gemini-2.5-pro", "responseId": "r1",
            "usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": output,
                "thoughtsTokenCount": 30, "toolUsePromptTokenCount": 5, "totalTokenCount": 135 + output}})
    };
    vec![
        answer(json!([{"text": "你好 \"usageMetadata\": {"}]), None, 1),
        answer(
            json!([{"thought": true, "text": "]}"}, {"functionCall": {"name": "error", "args": {"error": 1}}}]),
            None,
            4,
        ),
        answer(json!([{"text": ""}]), Some("STOP"), 9),
    ]
}

fn events(enveloped: bool) -> String {
    let mut text = String::new();
    for answer in answers() {
        let answer = if enveloped {
            json!({"response": answer, "traceId": "t"})
        } else {
            answer
        };
        text += "data: ";
        text += &answer.to_string();
        text += "\r\n\r\n";
    }
    text
}

fn measure(stream: bool, text: &str, whole: bool) -> Measurement {
    let mut meter = Meter::reading(&GENERATE, stream);
    meter.feed(text.as_bytes());
    meter.finish(whole)
}

const ALL: Tokens = Tokens {
    input: 45,
    output: 39,
    cache_write_5m: 0,
    cache_write_1h: 0,
    cache_read: 60,
};

#[test]
fn cached_and_thought_tokens_count_in_every_form() {
    let list = Value::from(answers()).to_string();
    let last = answers().pop().unwrap();
    for (stream, text) in [
        (true, events(false)),
        (true, events(true)),
        (false, list),
        (false, last.to_string()),
        (false, json!({"response": last, "traceId": "t"}).to_string()),
    ] {
        let measured = measure(stream, &text, true);
        assert_eq!(
            (measured.tokens, measured.quality),
            (ALL, Quality::Exact),
            "{text}"
        );
        assert_eq!(measured.model.as_deref(), Some("gemini-2.5-pro"));
        assert_eq!(measured.stop_reason.as_deref(), Some("STOP"));
        assert_eq!(measured.error, None);
    }
}

#[test]
fn a_cut_stream_counts_what_was_named_last() {
    let text: String = events(false).split_inclusive("\r\n\r\n").take(2).collect();
    let measured = measure(true, &text, false);
    assert_eq!(measured.quality, Quality::Partial);
    assert!(measured.tokens.output >= 34 && measured.tokens.cache_read == 60);
    let mut meter = Meter::reading(&GENERATE, true);
    meter.feed(text.as_bytes());
    assert!(!meter.ended());
}

#[test]
fn a_refused_prompt_is_a_whole_answer() {
    let text = format!(
        "data: {}\r\n\r\n",
        json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}})
    );
    let measured = measure(true, &text, true);
    assert_eq!((measured.tokens.input, measured.quality), (7, Quality::Exact));
}

#[test]
fn errors_are_googles() {
    let text = json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}).to_string();
    for (stream, text) in [(true, format!("data: {text}\n\n")), (false, format!("[{text}]"))] {
        let error = measure(stream, &text, true).error.unwrap();
        assert_eq!(
            (error.kind.as_str(), error.message.as_str()),
            ("UNAVAILABLE", "busy")
        );
    }
}

proptest! {
    #[test]
    fn cuts_make_no_difference(cuts in prop::collection::vec(0..3000_usize, 0..40), enveloped: bool, listed: bool, ends: bool) {
        let text = if listed { Value::from(answers()).to_string() } else { events(enveloped) };
        let text = if ends { text } else { text.chars().filter(char::is_ascii).take(900).collect() };
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
        cuts.sort_unstable();
        let mut meter = Meter::reading(&GENERATE, !listed);
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            meter.feed(&text.as_bytes()[from..cut]);
            from = cut;
        }
        prop_assert_eq!(meter.finish(ends), measure(!listed, &text, ends));
    }
}

#[test]
fn searches_and_kinds_of_tokens_are_told() {
    let piece = |queries: Value, finish: Option<&str>| {
        let mut answer = json!({"candidates": [{"content": {"parts": [{"text": "hi"}]}, "groundingMetadata": {
                "webSearchQueries": queries, "groundingChunks": [{"web": {"uri": "https://example.com"}}]}}],
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 50, "cachedContentTokenCount": 30,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "AUDIO", "tokenCount": 60},
                    {"modality": "IMAGE", "tokenCount": 20}],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 40}]}});
        if let Some(finish) = finish {
            answer["candidates"][0]["finishReason"] = finish.into();
        }
        answer
    };
    let pieces = [
        piece(json!(["one", ""]), None),
        piece(json!(["one", "two", " "]), None),
        piece(json!(["three"]), Some("STOP")),
    ];
    for enveloped in [false, true] {
        let text: String = pieces
            .iter()
            .map(|piece| {
                if enveloped {
                    json!({ "response": piece })
                } else {
                    piece.clone()
                }
            })
            .fold(String::new(), |text, piece| format!("{text}data: {piece}\n\n"));
        let measured = measure(true, &text, true);
        let used: Vec<_> = measured.terms.extras.used().collect();
        assert_eq!(
            used,
            [
                (Item::WebSearch, 3),
                (Item::InputAudio, 30),
                (Item::InputImage, 20),
                (Item::CachedAudio, 30),
                (Item::OutputImage, 40),
            ]
        );
        assert_eq!(
            (
                measured.tokens.input,
                measured.tokens.cache_read,
                measured.tokens.output
            ),
            (70, 30, 50)
        );
        assert_eq!(measured.quality, Quality::Exact);
    }
}

#[test]
fn an_answer_that_rests_on_maps_says_so() {
    let answer = json!({"candidates": [{"finishReason": "STOP", "groundingMetadata": {"groundingChunks": [
            {"maps": {"uri": "https://maps.example.com", "title": "t"}}, {"maps": {"title": "u"}}]}}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}});
    let measured = measure(false, &answer.to_string(), true);
    assert_eq!(
        measured.terms.extras.used().collect::<Vec<_>>(),
        [(Item::MapsSearch, 1)]
    );
}

#[test]
fn a_stream_that_is_cut_within_an_event_has_not_ended() {
    let stream = [
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]}}]}\r\n\r\n",
        "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1}}\r\n\r\n",
    ];
    crate::dialect::meter::cuts::each(&stream.concat(), "\"promptTokenCount\":1}}", || {
        Meter::reading(&GENERATE, true)
    });
}

#[test]
fn an_unknown_counter_or_kind_makes_an_estimate() {
    let quality = |usage: Value, grounding: Value| {
        let answer = json!({"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP",
            "groundingMetadata": grounding}], "usageMetadata": usage});
        let enveloped = json!({"response": answer});
        let stream = format!("data: {answer}\r\n\r\n");
        let qualities = [
            (false, answer.to_string()),
            (false, enveloped.to_string()),
            (true, stream),
        ]
        .map(|(streams, text)| measure(streams, &text, true).quality);
        assert!(
            qualities.iter().all(|quality| *quality == qualities[0]),
            "{answer}"
        );
        qualities[0]
    };
    let part = |modality: &str| {
        json!({"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12,
            "promptTokensDetails": [{"modality": modality, "tokenCount": 9}]})
    };
    let more = json!({"promptTokenCount": 9, "candidatesTokenCount": 3, "hologramTokenCount": 1});
    let page = json!([{"web": {"uri": "https://example.com", "title": "t"}}]);
    for (usage, grounding, expected) in [
        (part("TEXT"), json!({}), Quality::Exact),
        (part("DOCUMENT"), json!({}), Quality::Exact),
        (part("HOLOGRAM"), json!({}), Quality::Estimated),
        (more, json!({}), Quality::Estimated),
        (part("TEXT"), json!({"groundingChunks": page}), Quality::Estimated),
        (
            part("TEXT"),
            json!({"groundingChunks": page, "webSearchQueries": ["q"]}),
            Quality::Exact,
        ),
    ] {
        assert_eq!(
            quality(usage.clone(), grounding.clone()),
            expected,
            "{usage} {grounding}"
        );
    }
}

#[test]
fn cited_pages_were_searched_for() {
    let answer = json!({"candidates": [{"finishReason": "STOP", "groundingMetadata": {"groundingChunks": [
        {"web": {"uri": "https://a.example"}}, {"web": {"uri": "https://b.example"}}]}}],
        "usageMetadata": {"promptTokenCount": 9}});
    let measured = measure(false, &answer.to_string(), true);
    assert_eq!(measured.terms.extras.get(Item::WebSearch), 1);
}

#[test]
fn an_output_whose_kinds_are_not_named_may_be_images() {
    for (details, undivided) in [
        (json!(null), true),
        (json!([]), true),
        (json!([{"modality": "TEXT", "tokenCount": 3}]), false),
        (json!([{"modality": "IMAGE", "tokenCount": 3}]), false),
    ] {
        let answer = json!({"candidates": [{"finishReason": "STOP"}],
            "usageMetadata": {"candidatesTokenCount": 3, "candidatesTokensDetails": details}});
        let measured = measure(false, &answer.to_string(), true);
        assert_eq!(measured.terms.undivided_output, undivided, "{answer}");
    }
}
