use proptest::prelude::*;

use super::*;
use crate::model::usage::Tokens;

const START: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5-5","content":[],"stop_reason":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":30,"cache_read_input_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":1,"service_tier":"standard"}}}

"#;

const TEXT: &str = r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"grüße, 世界"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2lnbmF0dXJlIHRoYXQgaXMgbG9uZyBlbm91Z2ggdG8gc2hvdyBpbiB0aGUgY291bnQgaWYgaXQgd2VyZSBjb3VudGVk"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

"#;

const END: &str = r#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":77}}

event: message_stop
data: {"type":"message_stop"}

"#;

const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

fn watch(stream: &str) -> SseTap {
    let mut tap = SseTap::default();
    tap.feed(stream.as_bytes());
    tap
}

fn measure(stream: &str, complete: bool) -> Measurement {
    watch(stream).finish(complete)
}

fn whole() -> String {
    [START, TEXT, END].concat()
}

const USED: Tokens = Tokens {
    input: 12,
    output: 77,
    cache_write_5m: 10,
    cache_write_1h: 20,
    cache_read: 4,
};

/// The text of [`TEXT`] has 15 bytes.
const GUESSED: Tokens = Tokens { output: 4, ..USED };

#[test]
fn a_whole_stream_is_exact() {
    let tap = watch(&whole());
    assert!(tap.ended() && tap.seen.began && tap.between_events());
    let measured = tap.finish(true);
    assert_eq!(measured.tokens, USED);
    assert_eq!(measured.quality, Quality::Exact);
    assert_eq!(measured.model.as_deref(), Some("claude-opus-5-5"));
    assert_eq!(measured.message_id.as_deref(), Some("msg_1"));
    assert_eq!(measured.stop_reason.as_deref(), Some("end_turn"));
    assert_eq!((measured.error, measured.counted), (None, None));
}

#[test]
fn every_cut_and_every_line_end_gives_the_same() {
    for stream in [whole(), [START, TEXT].concat(), [START, TEXT, ERROR].concat()] {
        for stream in [stream.replace('\n', "\r\n"), stream.replace('\n', "\r"), stream] {
            let expected = measure(&stream, true);
            for cut in 0..stream.len() {
                let (head, tail) = stream.as_bytes().split_at(cut);
                let mut tap = SseTap::default();
                tap.feed(head);
                tap.feed(tail);
                assert_eq!(tap.finish(true), expected, "cut at {cut}");
            }
            let mut tap = SseTap::default();
            for byte in stream.as_bytes() {
                tap.feed(&[*byte]);
            }
            assert_eq!(tap.finish(true), expected, "single bytes");
        }
    }
}

#[test]
fn a_broken_stream_is_partial_and_guesses_by_length() {
    let broken = measure(&[START, TEXT].concat(), false);
    assert_eq!((broken.tokens, broken.quality), (GUESSED, Quality::Partial));
    // Closed politely, but without an end.
    let polite = measure(&[START, TEXT].concat(), true);
    assert_eq!(polite.quality, Quality::Partial);
    // In the middle of the usage's line.
    let cut = [START, TEXT, END].concat();
    let cut = cut
        .split_at(cut.find("\"usage\":{\"output").unwrap() + 12)
        .0
        .to_owned();
    assert_eq!(measure(&cut, false).tokens, GUESSED);
    // The client left after the last word on usage.
    let late = [
        START,
        TEXT,
        END.split_at(END.find("event: message_stop").unwrap()).0,
    ]
    .concat();
    let late = measure(&late, false);
    assert_eq!((late.tokens, late.quality), (USED, Quality::Exact));
    // Nothing came at all.
    assert_eq!(measure("", false).quality, Quality::Partial);
    assert_eq!(measure("", true).quality, Quality::Estimated);
    assert!(!watch(": comment\n\n").seen.began);
}

#[test]
fn an_end_without_usage_is_an_estimate() {
    let silent = END.replace(r#","usage":{"output_tokens":77}"#, "");
    let measured = measure(&[START, TEXT, &silent].concat(), true);
    assert_eq!((measured.tokens, measured.quality), (GUESSED, Quality::Estimated));
    // Zero is what some servers write when they have not counted.
    let zero = END.replace("77", "0");
    let start = START.replace("\"output_tokens\":1", "\"output_tokens\":0");
    let measured = measure(&[&start, TEXT, &zero].concat(), true);
    assert_eq!((measured.tokens, measured.quality), (GUESSED, Quality::Estimated));
}

#[test]
fn usage_in_stages_takes_the_last() {
    let stage = END.split_at(END.find("event: message_stop").unwrap()).0;
    let early = stage.replace("77", "5").replace("\"end_turn\"", "null");
    let both = measure(&[START, TEXT, &early, END].concat(), true);
    assert_eq!((both.tokens, both.quality), (USED, Quality::Exact));
    // Only an early stage came: not the last word.
    let one = measure(&[START, &early, TEXT].concat(), false);
    assert_eq!((one.tokens.output, one.quality), (5, Quality::Partial));
    // Servers that leave out message_stop but say why they stopped.
    let no_stop = measure(&[START, TEXT, stage].concat(), true);
    assert_eq!((no_stop.tokens, no_stop.quality), (USED, Quality::Exact));
}

#[test]
fn an_error_in_the_stream_is_seen_at_once() {
    let mut tap = watch(&[START, TEXT].concat());
    assert_eq!(tap.seen.error, None);
    tap.feed(ERROR.trim_end().as_bytes());
    assert_eq!(tap.seen.error, None);
    tap.feed(b"\n");
    assert_eq!(tap.seen.error.as_ref().unwrap().kind, "overloaded_error");
    assert!(!tap.between_events());
    tap.feed(b"\n");
    assert!(tap.between_events());
    let measured = tap.finish(true);
    assert_eq!((measured.tokens, measured.quality), (GUESSED, Quality::Partial));

    let first = measure(ERROR, true);
    assert_eq!((first.tokens, first.quality), (Tokens::default(), Quality::Exact));
    for (stream, kind, message) in [
        ("data: {\"error\":\"gone\"}\n\n", "", "gone"),
        ("event: error\ndata: Overloaded\n\n", "", "Overloaded"),
        (
            "event: error\ndata: {\"type\":\"api_error\",\"message\":\"m\"}\n\n",
            "api_error",
            "m",
        ),
        (
            "event: error\ndata: {\"message\":\"m\",\ndata: \"type\":\"t\"}\n\n",
            "t",
            "m",
        ),
    ] {
        assert_eq!(
            measure(stream, true).error,
            Some(ProviderError::new(kind, message)),
            "{stream}"
        );
    }
    let long = format!(
        "event: error\ndata: {{\"error\":{{\"message\":\"{}\"}}}}\n\n",
        "é".repeat(5_000)
    );
    assert_eq!(measure(&long, true).error.unwrap().message.len(), 2_000);
}

#[test]
fn unusual_writing_is_understood() {
    let without_names = |line: &&str| !line.starts_with("event:");
    let bare = whole()
        .split_inclusive('\n')
        .filter(without_names)
        .collect::<String>();
    let spaced = whole().replace("\":", "\": ").replace("data: ", "data:   ");
    let tight = whole().replace("data: ", "data:").replace("event: ", "event:");
    let commented = whole().replace("event:", ": keep-alive\nid: 7\nretry: 10\nevent:");
    for stream in [bare, spaced, tight, commented] {
        let measured = measure(&stream, true);
        assert_eq!(
            (measured.tokens, measured.quality),
            (USED, Quality::Exact),
            "{stream}"
        );
    }
    // The type is not the first key; JSON over several data lines; no empty line at the end.
    let odd = r#"data: {"message":{"usage":{"input_tokens":3},"model":"m"},"type":"message_start"}

data: {"delta":{"type":"text_delta","text":"four"},"index":0,"type":"content_block_delta"}

event: message_delta
data: {
data:   "delta": {"stop_reason": "stop"},
data:   "usage": {"output_tokens": 9}, "type":
data:   "message_delta" }

data: [DONE]

data: {"index":1,"type":"message_stop"}"#;
    for odd in [odd.to_owned(), odd.replace('\n', "\r\n")] {
        let measured = measure(&odd, true);
        assert_eq!(
            measured.tokens,
            Tokens {
                input: 3,
                output: 9,
                ..Tokens::default()
            }
        );
        assert_eq!(
            (measured.quality, measured.stop_reason.as_deref()),
            (Quality::Exact, Some("stop"))
        );
        assert!(watch(&format!("{odd}\n")).ended());
    }
    // One line end where two belong.
    let dense = whole().replace("\n\n", "\n");
    assert_eq!(measure(&dense, true).tokens, USED);
}

#[test]
fn a_huge_line_of_interest_is_given_up_and_held_by_nobody() {
    let mut tap = watch(START);
    tap.feed(b"data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":5},\"x\":\"");
    for _ in 0..512 {
        tap.feed(&[b'x'; 8 << 10]);
        assert!(tap.capture.capacity() <= 2 * CAPTURE_BYTES);
    }
    assert_eq!(tap.capture.capacity(), 0);
    tap.feed(b"\"}\n\n");
    tap.feed(END.as_bytes());
    assert_eq!(tap.finish(true).tokens, USED);
    // The same in one piece.
    let huge = format!(
        "data: {{\"type\":\"message_delta\",\"x\":\"{}\"}}\n\n",
        "x".repeat(CAPTURE_BYTES)
    );
    assert_eq!(measure(&[START, &huge, END].concat(), true).tokens, USED);
}

#[test]
fn a_long_stream_takes_no_memory() {
    let mut tap = watch(START);
    for _ in 0..1_000 {
        tap.feed(TEXT.as_bytes());
    }
    assert!(tap.capture.capacity() <= KEPT_BYTES);
    let measured = tap.finish(false);
    assert_eq!(measured.tokens.output, 15 * 1_000 / 4);
}

/// Cuts `bytes` at the given fractions of their length.
fn chunks(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

fn any_line() -> impl Strategy<Value = String> {
    let json = prop::sample::select(vec![
        r#"{"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":5}}}"#,
        r#"{"type":"content_block_delta","index":12,"delta":{"type":"text_delta","text":"some \"quoted\" text"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}"#,
        r#"{"type":"content_block_delta","delta":{},"index":0}"#,
        r#"{"usage":{"output_tokens":8},"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
        r#"{"type":"message_delta","usage":{"output_tokens":9}}"#,
        r#"{ "type" : "message_stop" }"#,
        r#"{"type":"error","error":{"type":"t","message":"m"}}"#,
        r#"{"type":"content_block_d"#,
        r#"{"type":"#,
        "{",
        "}",
        "",
    ]);
    let name = prop::sample::select(vec![
        "message_start",
        "message_delta",
        "content_block_delta",
        "message_stop",
        "error",
        "ping",
        "x",
    ]);
    prop_oneof![
        4 => json.clone().prop_map(|json| format!("data: {json}")),
        1 => json.prop_map(|json| format!("data:{:200}{json}", "")),
        2 => name.prop_map(|name| format!("event: {name}")),
        3 => Just(String::new()),
        1 => "[a-z: ]{0,200}",
    ]
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        lines in prop::collection::vec((any_line(), prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..30),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        complete in any::<bool>(),
    ) {
        let stream: String = lines.into_iter().flat_map(|(line, end)| [line, end.to_owned()]).collect();
        let mut tap = SseTap::default();
        for chunk in chunks(stream.as_bytes(), &cuts) {
            tap.feed(&chunk);
        }
        let at_once = watch(&stream);
        prop_assert_eq!(tap.between_events(), at_once.between_events());
        prop_assert_eq!(tap.ended(), at_once.ended());
        prop_assert_eq!(tap.seen.began, at_once.seen.began);
        prop_assert_eq!(tap.finish(complete), at_once.finish(complete));
    }

    #[test]
    fn garbage_harms_nothing(bytes in prop::collection::vec(any::<u8>(), 0..2_000), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let mut tap = SseTap::default();
        for chunk in chunks(&bytes, &cuts) {
            tap.feed(&chunk);
        }
        let mut at_once = SseTap::default();
        at_once.feed(&bytes);
        prop_assert_eq!(tap.finish(true), at_once.finish(true));
    }

    #[test]
    fn text_of_any_kind_is_counted_by_its_length(texts in prop::collection::vec(".{0,300}", 1..10)) {
        let mut stream = START.to_owned();
        let mut bytes = 0;
        for text in &texts {
            let json = serde_json::to_string(text).unwrap();
            bytes += json.len() - 2;
            stream += "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":3,";
            stream += r#""delta":{"type":"text_delta","text":"#;
            stream += &json;
            stream += "}}\n\n";
        }
        prop_assert_eq!(measure(&stream, false).tokens.output, (bytes as u64).div_ceil(4).max(1));
    }
}

#[test]
fn a_stream_that_is_cut_within_an_event_has_not_ended() {
    use crate::dialect::meter::cuts;
    let stream = [START, TEXT, END].concat();
    for stream in [stream.clone(), stream.replace('\n', "\r\n")] {
        cuts::each(
            &stream,
            "\"output_tokens\":77}}",
            crate::dialect::messages::stream_meter,
        );
    }
}

#[test]
fn a_container_of_the_message_is_charged_though_nothing_counts_it() {
    let start =
        r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#;
    let container = r#"{"id":"container_1","expires_at":"2027-01-01T00:00:00Z"}"#;
    for (container, sessions) in [(container, 1), ("null", 0)] {
        let mut tap = SseTap::default();
        for (name, data) in [
            ("message_start", start.to_owned()),
            (
                "message_delta",
                format!(
                    r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn","container":{container}}},"usage":{{"output_tokens":7}}}}"#
                ),
            ),
            ("message_stop", r#"{"type":"message_stop"}"#.to_owned()),
        ] {
            tap.feed(format!("event: {name}\ndata: {data}\n\n").as_bytes());
        }
        let extras = tap.finish(true).terms.extras;
        assert_eq!(extras.get(crate::model::charge::Item::CodeSession), sessions);
    }
}

/// A block of a stream, from its start to its stop.
fn block(index: usize, block: &str) -> String {
    format!(
        "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{block}}}\n\n\
         event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n"
    )
}

#[test]
fn searches_that_are_shown_are_charged() {
    let id = "srvtoolu_01WYG3ziw53XMcoyKL4XcZmE";
    let page = format!(
        r#"{{"type":"web_search_tool_result","tool_use_id":"{id}","content":[{{"type":"web_search_result","title":"{}"}}]}}"#,
        "t".repeat(300)
    );
    let failure = format!(
        r#"{{"type":"web_search_tool_result","tool_use_id":"{id}","content":{{"type":"web_search_tool_result_error","error_code":"unavailable"}}}}"#
    );
    let own = r#"{"type":"tool_use","id":"toolu_1","name":"web_search_tool_result","input":{}}"#;
    let blocks = [page.as_str(), &page, &failure, own, &page];
    let blocks: String = blocks
        .iter()
        .enumerate()
        .map(|(at, text)| block(at, text))
        .collect();
    for (named, searches, quality) in [
        ("", 3, Quality::Estimated),
        (
            r#","server_tool_use":{"web_search_requests":1}"#,
            3,
            Quality::Estimated,
        ),
        (
            r#","server_tool_use":{"web_search_requests":3}"#,
            3,
            Quality::Exact,
        ),
        (
            r#","server_tool_use":{"web_search_requests":5}"#,
            5,
            Quality::Exact,
        ),
    ] {
        let end = END.replace(r#""output_tokens":77"#, &format!(r#""output_tokens":77{named}"#));
        let stream = [START, &blocks, &end].concat();
        // Cuts around the heads of lines are what matters; the texts between them are alike.
        for cut in (0..stream.len()).step_by(7) {
            let (head, tail) = stream.as_bytes().split_at(cut);
            let mut tap = SseTap::default();
            tap.feed(head);
            tap.feed(tail);
            let measured = tap.finish(true);
            assert_eq!(
                (
                    measured.terms.extras.get(crate::model::charge::Item::WebSearch),
                    measured.quality
                ),
                (searches, quality),
                "{named} cut at {cut}"
            );
        }
    }
}
