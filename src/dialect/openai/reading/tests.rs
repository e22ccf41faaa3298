use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::dialect::meter::{Measurement, Meter};
use crate::model::usage::Quality;

fn event(value: &Value) -> String {
    format!(
        "event: {}\ndata: {value}\n\n",
        value["type"].as_str().unwrap_or_default()
    )
}

/// A stream as the API sends it; the first event echoes the request.
fn responses() -> String {
    let head = json!({"id": "resp_1", "model": "gpt-5-2025-08-07", "status": "in_progress", "usage": null,
        "error": null, "instructions": "ignore \"usage\": {\"input_tokens\": 9}", "service_tier": "auto",
        "tools": [{"usage": {"input_tokens": 5}}]});
    let mut done = head.clone();
    done["status"] = "completed".into();
    done["service_tier"] = "priority".into();
    done["output"] = json!([{"type": "message", "content": [{"text": "你好 \"x\" {"}]}]);
    done["usage"] = json!({"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
        "output_tokens": 70, "output_tokens_details": {"reasoning_tokens": 50}, "total_tokens": 1070});
    [
        event(&json!({"type": "response.created", "response": head})),
        event(&json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "你好 \"x"})),
        event(&json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "\" {"})),
        event(&json!({"type": "response.completed", "response": done})),
    ]
    .concat()
}

/// What comes before the last event.
fn before_the_end(stream: &str) -> String {
    let (before, _) = stream.split_once("event: response.completed").unwrap();
    before.to_owned()
}

fn chat() -> String {
    let chunk = |more: Value| {
        let mut chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-5", "choices": [], "usage": null});
        for (name, value) in more.as_object().unwrap() {
            chunk[name] = value.clone();
        }
        format!("data: {chunk}\r\n\r\n")
    };
    [
        chunk(json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]})),
        chunk(json!({"choices": [{"index": 0, "delta": {"content": "hello there"}, "finish_reason": null}]})),
        chunk(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
        chunk(json!({"usage": {"prompt_tokens": 50, "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 20}, "completion_tokens_details": {"reasoning_tokens": 3}}})),
        "data: [DONE]\r\n\r\n".to_owned(),
    ]
    .concat()
}

fn measure(reading: &'static Reading, stream: bool, text: &str, whole: bool) -> Measurement {
    let mut meter = Meter::reading(reading, stream);
    meter.feed(text.as_bytes());
    meter.finish(whole)
}

fn tokens(input: u64, output: u64, written: u64, read: u64) -> Tokens {
    Tokens {
        input,
        output,
        cache_write_5m: written,
        cache_write_1h: 0,
        cache_read: read,
    }
}

#[test]
fn the_last_event_names_the_usage() {
    let measured = measure(&RESPONSES, true, &responses(), true);
    assert_eq!(measured.tokens, tokens(300, 70, 100, 600));
    assert_eq!(measured.quality, Quality::Exact);
    assert_eq!(measured.model.as_deref(), Some("gpt-5-2025-08-07"));
    assert_eq!(measured.message_id.as_deref(), Some("resp_1"));
    assert_eq!(measured.terms.tier.as_deref(), Some("priority"));
    assert_eq!(
        (measured.stop_reason.as_deref(), measured.error),
        (Some("completed"), None)
    );
}

#[test]
fn an_answer_in_one_piece_is_read_as_well() {
    let whole = json!({"id": "resp_1", "object": "response", "status": "incomplete", "error": null, "model": "gpt-5",
        "output": [{"usage": {"input_tokens": 7}}], "usage": {"input_tokens": 3, "output_tokens": 4}});
    let measured = measure(&RESPONSES, false, &whole.to_string(), true);
    assert_eq!(
        (measured.tokens, measured.quality),
        (tokens(3, 4, 0, 0), Quality::Exact)
    );
    let whole = json!({"id": "c", "model": "gpt-5", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4}});
    let measured = measure(&CHAT, false, &whole.to_string(), true);
    assert_eq!(
        (measured.tokens, measured.quality, measured.stop_reason.as_deref()),
        (tokens(3, 4, 0, 0), Quality::Exact, Some("stop"))
    );
}

#[test]
fn the_last_encrypted_reasoning_is_learned_streamed_or_not() {
    let output = json!([
        {"type": "reasoning", "encrypted_content": "first"},
        {"type": "reasoning", "encrypted_content": "last", "summary": []},
        {"type": "reasoning", "encrypted_content": null},
        {"type": "reasoning", "encrypted_content": "x".repeat(65 << 10)},
        {"type": "message", "content": [{"text": "\"encrypted_content\": \"no\""}]},
    ]);
    let whole = json!({"id": "resp_1", "status": "completed", "output": output});
    let last = Some(crate::dialect::origin::fingerprint(b"last"));
    let measured = measure(&RESPONSES, false, &whole.to_string(), true);
    assert_eq!(measured.reasoning, last);
    let stream = event(&json!({"type": "response.completed", "response": whole}));
    assert_eq!(measure(&RESPONSES, true, &stream, true).reasoning, last);
    // Without usage its length still counts as generated.
    let whole = json!({"status": "completed", "output": [{"encrypted_content": "y".repeat(4_000)}]});
    let measured = measure(&RESPONSES, false, &whole.to_string(), true);
    assert!(measured.tokens.output > 0, "{:?}", measured.tokens);
}

#[test]
fn chat_names_usage_in_a_chunk_of_its_own_or_not_at_all() {
    let measured = measure(&CHAT, true, &chat(), true);
    assert_eq!(
        (measured.tokens, measured.quality),
        (tokens(30, 7, 0, 20), Quality::Exact)
    );
    let unasked: String = chat()
        .split_inclusive("\r\n\r\n")
        .filter(|part| !part.contains("\"prompt_tokens\""))
        .collect();
    let measured = measure(&CHAT, true, &unasked, true);
    assert_eq!(
        (measured.tokens.output, measured.quality),
        (3, Quality::Estimated)
    );
}

#[test]
fn a_stream_is_over_by_its_own_word_only() {
    let ended = |reading, text: &str| {
        let mut meter = Meter::reading(reading, true);
        meter.feed(text.as_bytes());
        meter.ended()
    };
    assert!(ended(&RESPONSES, &responses()));
    let cut = before_the_end(&responses());
    assert!(!ended(&RESPONSES, &cut));
    assert!(ended(&CHAT, &chat()));
    assert!(ended(&CHAT, "data: [DONE]\n\n") && ended(&CHAT, "data:[DONE]\n"));
    assert!(!ended(&CHAT, "data: [DONE\n\n") && !ended(&RESPONSES, "data: [DONE]\n\n"));
}

#[test]
fn a_broken_stream_is_partial_and_guessed_by_its_length() {
    let cut = before_the_end(&responses());
    let measured = measure(&RESPONSES, true, &cut, false);
    assert_eq!(measured.quality, Quality::Partial);
    // 14 bytes with their escapes.
    assert_eq!(measured.tokens, tokens(0, 4, 0, 0));
}

#[test]
fn errors_are_read_wherever_they_stand() {
    let failed = event(
        &json!({"type": "response.failed", "response": {"status": "failed", "usage": null,
        "error": {"code": "server_is_overloaded", "message": "busy"}}}),
    );
    let bare = event(&json!({"type": "error", "code": "x", "message": "busy", "param": null}));
    let inner = event(&json!({"type": "error", "error": {"type": "server_error", "message": "busy"}}));
    for (text, kind) in [
        (failed, "server_is_overloaded"),
        (bare, "x"),
        (inner, "server_error"),
    ] {
        let measured = measure(&RESPONSES, true, &text, true);
        let error = measured.error.unwrap();
        assert_eq!((error.kind.as_str(), error.message.as_str()), (kind, "busy"));
        assert_eq!(
            (measured.quality, measured.tokens),
            (Quality::Exact, Tokens::default())
        );
    }
    let message = event(&json!({"type": "response.output_item.done", "message": "no error"}));
    assert_eq!(measure(&RESPONSES, true, &message, false).error, None);
}

#[test]
fn figures_that_cannot_be_true_are_cut_and_doubted() {
    let usage = json!({"usage": {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": 1e300}});
    let measured = measure(&RESPONSES, false, &usage.to_string(), true);
    assert_eq!(measured.tokens, tokens(0, 1_000_000_000, 0, 5));
    assert_eq!(measured.quality, Quality::Estimated);
}

proptest! {
    #[test]
    fn cuts_make_no_difference(cuts in prop::collection::vec(0..4000_usize, 0..40), chats: bool, ends: bool) {
        let (reading, text) = if chats { (&CHAT, chat()) } else { (&RESPONSES, responses()) };
        let text = if ends { text } else { text.chars().take(text.len() / 2).collect() };
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
        cuts.sort_unstable();
        let mut meter = Meter::reading(reading, true);
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            meter.feed(&text.as_bytes()[from..cut]);
            from = cut;
        }
        let mut once = Meter::reading(reading, true);
        once.feed(text.as_bytes());
        prop_assert_eq!((meter.ended(), meter.between_events()), (once.ended(), once.between_events()));
        prop_assert_eq!(meter.finish(ends), once.finish(ends));
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(prop::sample::select(b"data: {}[]\",:\\\n\rue1".to_vec()), 0..400), stream: bool) {
        let mut meter = Meter::reading(&RESPONSES, stream);
        for byte in &bytes {
            meter.feed(&[*byte]);
        }
        let mut once = Meter::reading(&RESPONSES, stream);
        once.feed(&bytes);
        prop_assert_eq!(meter.finish(true), once.finish(true));
    }
}

/// An answer that searched ten times, as OpenAI gives it.
fn searched(tools: Value, tool_usage: Option<Value>) -> Value {
    let call = |at: usize, action: Value| json!({"type": "web_search_call", "id": format!("ws_{at}"), "status": "completed", "action": action});
    let mut output: Vec<Value> = (0..10)
        .map(|at| call(at, json!({"type": "search", "query": format!("q{at}")})))
        .collect();
    output.push(call(
        10,
        json!({"type": "open_page", "url": "https://example.com"}),
    ));
    output.push(json!({"type": "message", "content": [{"type": "output_text", "text": "web_search_call"}]}));
    let mut answer = json!({"id": "resp_1", "status": "completed", "model": "gpt-5.4", "tools": tools,
        "output": output, "usage": {"input_tokens": 1000, "output_tokens": 100}});
    if let Some(usage) = tool_usage {
        answer["tool_usage"] = usage;
    }
    answer
}

/// The same as a stream; `listed`: the end repeats what was done.
fn as_stream(answer: &Value, listed: bool) -> String {
    let mut end = answer.clone();
    if !listed {
        end["output"] = json!([]);
    }
    let mut events = vec![
        json!({"type": "response.created", "response": {"id": "resp_1", "output": [],
        "status": "in_progress", "tools": answer["tools"]}}),
    ];
    for item in answer["output"].as_array().unwrap() {
        events.push(json!({"type": "response.output_item.added", "item": item}));
        events.push(json!({"type": "response.output_item.done", "item": item}));
    }
    events.push(json!({"type": "response.completed", "response": end}));
    events.iter().fold(String::new(), |text, event| {
        format!("{text}event: x\ndata: {event}\n\n")
    })
}

fn extras(measured: &Measurement) -> Vec<(Item, u64)> {
    measured.terms.extras.used().collect()
}

#[test]
fn searches_are_counted_once_however_they_are_told() {
    let tools =
        json!([{"type": "web_search"}, {"type": "function", "name": "f", "parameters": {"model": {}}}]);
    let preview = json!([{"type": "web_search_preview_2025_03_11"}]);
    for (tools, item) in [(tools, Item::WebSearch), (preview, Item::WebSearchPreview)] {
        let told = searched(tools.clone(), Some(json!({"web_search": {"num_requests": 10}})));
        let counted = searched(tools, None);
        for answer in [told, counted] {
            for (stream, text) in [
                (false, answer.to_string()),
                (true, as_stream(&answer, true)),
                (true, as_stream(&answer, false)),
            ] {
                let measured = measure(&RESPONSES, stream, &text, true);
                assert_eq!(extras(&measured), [(item, 10)], "{text}");
                assert_eq!(measured.quality, Quality::Exact);
                assert_eq!((measured.tokens.input, measured.tokens.output), (1000, 100));
            }
        }
    }
}

#[test]
fn the_providers_own_count_goes_before_a_count_of_items() {
    let answer = searched(json!([]), Some(json!({"web_search": {"num_requests": 7}})));
    let measured = measure(&RESPONSES, false, &answer.to_string(), true);
    assert_eq!(extras(&measured), [(Item::WebSearch, 7)]);
}

#[test]
fn other_tools_are_counted_too() {
    let item = |kind: &str, more: Value| {
        let mut item = json!({"type": kind, "id": "x", "status": "completed"});
        item.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        item
    };
    let answer = |items: Vec<Value>| {
        json!({"id": "resp_1", "status": "completed", "model": "gpt-5.4", "output": items, "tools": [],
            "usage": {"input_tokens": 10, "output_tokens": 1}})
    };
    for (items, expected, quality) in [
        (
            vec![item("file_search_call", json!({})); 3],
            vec![(Item::FileSearch, 3)],
            Quality::Exact,
        ),
        (
            vec![
                item("code_interpreter_call", json!({"container_id": "c1"})),
                item("code_interpreter_call", json!({"container_id": "c1"})),
                item("code_interpreter_call", json!({"container_id": "c2"})),
            ],
            vec![(Item::CodeSession, 2)],
            Quality::Exact,
        ),
        (
            vec![item("image_generation_call", json!({"result": "iVBORw0KGgo="}))],
            vec![(Item::ToolImage, 1)],
            Quality::Exact,
        ),
        // A computer's `click` is no look at a page, and what is unknown may cost something.
        (
            vec![
                item("function_call", json!({})),
                item("computer_call", json!({"action": {"type": "click"}})),
            ],
            vec![],
            Quality::Exact,
        ),
        (vec![item("hologram_call", json!({}))], vec![], Quality::Estimated),
    ] {
        let answer = answer(items);
        for (stream, text) in [
            (false, answer.to_string()),
            (true, as_stream(&answer, true)),
            (true, as_stream(&answer, false)),
        ] {
            let measured = measure(&RESPONSES, stream, &text, true);
            assert_eq!(
                (extras(&measured), measured.quality),
                (expected.clone(), quality),
                "{text}"
            );
        }
    }
}

#[test]
fn what_the_image_tool_used_is_told_apart() {
    let answer = json!({"id": "resp_1", "status": "completed", "model": "gpt-5.4",
        "tools": [{"type": "image_generation", "model": "gpt-image-2"}],
        "output": [{"type": "image_generation_call", "result": "iVBORw0KGgo="}],
        "usage": {"input_tokens": 1000, "output_tokens": 100},
        "tool_usage": {"image_gen": {"input_tokens": 50, "input_tokens_details": {"image_tokens": 20, "text_tokens": 30},
            "output_tokens": 7024, "output_tokens_details": {"image_tokens": 7024}, "total_tokens": 7074}}});
    // Some write it into the usage.
    let mut within = answer.clone();
    within["usage"]["tool_usage"] = within["tool_usage"].take();
    for (stream, text) in [
        (false, answer.to_string()),
        (false, within.to_string()),
        (true, as_stream(&answer, false)),
    ] {
        let measured = measure(&RESPONSES, stream, &text, true);
        assert_eq!(
            extras(&measured),
            [
                (Item::ToolText, 30),
                (Item::ToolImageInput, 20),
                (Item::ToolImageOutput, 7024)
            ]
        );
        assert_eq!(measured.terms.image_model.as_deref(), Some("gpt-image-2"));
    }
}

#[test]
fn a_chat_that_searched_or_spoke_says_so() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 50,
        "prompt_tokens_details": {"audio_tokens": 60}, "completion_tokens_details": {"audio_tokens": 40}});
    let chunk = |model: &str, part: &str, more: Value| {
        let mut content = json!({"content": "hi"});
        content
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"id": "c", "model": model, "choices": [{"index": 0, part: content, "finish_reason": "stop"}],
            "usage": usage})
    };
    let cited =
        json!({"annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]});
    let audio = [(Item::InputAudio, 60), (Item::OutputAudio, 40)];
    for (model, more, searches) in [
        ("gpt-5.4", json!({}), 0),
        ("gpt-5.4", json!({"annotations": []}), 0),
        ("gpt-5.4", cited, 1),
        ("gpt-4o-search-preview-2025-03-11", json!({}), 1),
    ] {
        for (stream, part) in [(false, "message"), (true, "delta")] {
            let chunk = chunk(model, part, more.clone()).to_string();
            let text = if stream {
                format!("data: {chunk}\n\ndata: [DONE]\n\n")
            } else {
                chunk
            };
            let measured = measure(&CHAT, stream, &text, true);
            let searched = (searches > 0).then_some((Item::WebSearch, searches));
            let expected: Vec<_> = searched.into_iter().chain(audio).collect();
            assert_eq!(
                (extras(&measured), measured.quality),
                (expected, Quality::Exact),
                "{text}"
            );
        }
    }
}

#[test]
fn a_stream_that_is_cut_within_an_event_has_not_ended() {
    use crate::dialect::meter::cuts;
    cuts::each(&responses(), "\"output_tokens\":70", || {
        Meter::reading(&RESPONSES, true)
    });
    let chat = [
        "data: {\"choices\":[{\"delta\":{\"content\":\"hi {\"}}]}\n\n",
        ": ping\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    ];
    cuts::each(&chat.concat(), "\"finish_reason\":\"stop\"}]}", || {
        Meter::reading(&CHAT, true)
    });
}

#[test]
fn an_unknown_counter_makes_an_estimate() {
    for (more, quality) in [
        (json!({}), Quality::Exact),
        (
            json!({"total_tokens": 12, "input_tokens_details": {"cached_tokens": 1}}),
            Quality::Exact,
        ),
        (json!({"video_tokens": 0}), Quality::Exact),
        (json!({"video_tokens": 4}), Quality::Estimated),
        (
            json!({"output_tokens_details": {"video_tokens": 4}}),
            Quality::Estimated,
        ),
    ] {
        let mut usage = json!({"input_tokens": 9, "output_tokens": 3});
        usage
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let response = json!({"id": "resp_1", "status": "completed", "output": [], "usage": usage});
        let chat = json!({"id": "c", "choices": [{"finish_reason": "stop", "message": {"content": "hi"}}], "usage": usage});
        let last = json!({"type": "response.completed", "response": response});
        for (reading, streams, text) in [
            (&RESPONSES, false, response.to_string()),
            (&RESPONSES, true, format!("data: {last}\n\n")),
            (&CHAT, false, chat.to_string()),
        ] {
            let mut meter = Meter::reading(reading, streams);
            meter.feed(text.as_bytes());
            assert_eq!(meter.finish(true).quality, quality, "{text}");
        }
    }
}

#[test]
fn a_queued_answer_names_no_usage_and_is_an_estimate() {
    let queued = json!({"id": "resp_1", "background": true, "status": "queued", "error": null, "output": [],
        "model": "gpt-5.4", "usage": null});
    let mut meter = Meter::reading(&RESPONSES, false);
    meter.feed(queued.to_string().as_bytes());
    assert_eq!(meter.finish(true).quality, Quality::Estimated);
}
