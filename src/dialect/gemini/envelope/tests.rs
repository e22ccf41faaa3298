use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn run(into: Into, stream: bool, text: &str, cuts: &[usize]) -> String {
    let mut rewriter = rewriter(into, stream);
    let mut out = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        out.extend_from_slice(&rewriter.feed(&text.as_bytes()[from..cut]).unwrap());
        from = cut;
    }
    out.extend_from_slice(&rewriter.finish());
    String::from_utf8(out).unwrap()
}

const PLAIN: &str = r#"{"candidates": [{"content":{"parts":[{"text":"你好 \"}]{ \\"}]}}],  "n": 1.50 }"#;

#[test]
fn events_go_in_and_come_out_unchanged() {
    let enveloped = format!("data: {{\"response\":{PLAIN}}}\r\n\r\n");
    let plain = format!("data: {PLAIN}\r\n\r\n");
    assert_eq!(run(Into::Envelope, true, &plain, &[]), enveloped);
    assert_eq!(run(Into::Plain, true, &enveloped, &[]), plain);
    let traced = format!(
        "data: {{\"response\": {PLAIN}, \"traceId\":\"t\"}}\n\n: comment\n\ndata:{{\"response\":{PLAIN}}}\n\n"
    );
    assert_eq!(
        run(Into::Plain, true, &traced, &[]),
        format!("data: {PLAIN}\n\n: comment\n\ndata: {PLAIN}\n\n")
    );
}

#[test]
fn data_of_several_lines_is_one_answer() {
    let text = "data: {\ndata:   \"response\": {\ndata: \"a\": 1\ndata: }\ndata: }\n\n";
    assert_eq!(
        run(Into::Plain, true, text, &[]),
        "data: {\ndata: \"a\": 1\ndata: }\n\n"
    );
}

#[test]
fn errors_and_what_is_no_answer_stay() {
    let error = "data: {\"error\":{\"code\":503}}\r\n\r\n";
    let odd = "data: [DONE]\n\n";
    for into in [Into::Envelope, Into::Plain] {
        assert_eq!(run(into, true, error, &[]), error);
    }
    assert_eq!(run(Into::Plain, true, odd, &[]), odd);
    assert_eq!(
        run(Into::Plain, false, r#"{"error":{"code":1}}"#, &[]),
        r#"{"error":{"code":1}}"#
    );
}

#[test]
fn objects_and_lists_of_them_are_rewritten_one_by_one() {
    let enveloped = format!("{{\"response\":{PLAIN}}}");
    assert_eq!(run(Into::Envelope, false, PLAIN, &[]), enveloped);
    assert_eq!(run(Into::Plain, false, &enveloped, &[]), PLAIN);
    let list = format!("[{PLAIN}\n,\r\n{PLAIN}]\n");
    let of_envelopes = format!("[{enveloped}\n,\r\n{enveloped}]\n");
    assert_eq!(run(Into::Envelope, false, &list, &[]), of_envelopes);
    assert_eq!(run(Into::Plain, false, &of_envelopes, &[]), list);
}

#[test]
fn one_answer_is_bounded() {
    for stream in [true, false] {
        let mut rewriter = rewriter(Into::Plain, stream);
        let start: &[u8] = if stream { b"data: {\"a\":\"" } else { b"{\"a\":\"" };
        rewriter.feed(start).unwrap();
        let chunk = vec![b'x'; 1 << 20];
        let fed = (0..40).find(|_| rewriter.feed(&chunk).is_err());
        assert_eq!(fed, Some(31), "stream: {stream}");
    }
}

proptest! {
    #[test]
    fn cuts_make_no_difference(cuts in prop::collection::vec(0..600_usize, 0..30), stream: bool, plain: bool) {
        let one = json!({"response": serde_json::from_str::<Value>(PLAIN).unwrap()});
        let text = if stream { format!("data: {one}\r\n\r\n: x\ndata: {one}\n\n") } else { format!("[{one},\n{one}]") };
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
        cuts.sort_unstable();
        let into = if plain { Into::Plain } else { Into::Envelope };
        prop_assert_eq!(run(into, stream, &text, &cuts), run(into, stream, &text, &[]));
    }
}
