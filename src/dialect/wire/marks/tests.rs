use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::dialect::body::patch;

fn rid(edits: fn(&[u8]) -> Vec<Edit>, body: &str) -> String {
    let body = Bytes::from(body.to_owned());
    let patched = patch(&body, edits(&body));
    String::from_utf8(patched.to_vec()).unwrap()
}

fn messages(messages: &Value) -> Value {
    let body = json!({ "model": "claude-x", "messages": messages }).to_string();
    serde_json::from_str::<Value>(&rid(of_messages, &body)).expect("JSON")["messages"].clone()
}

#[test]
fn a_body_without_marks_is_not_changed() {
    for body in [
        r#"{"messages":[{"role":"user","content":"hi"}]}"#,
        // Talk about a mark is no mark.
        r#"{ "messages" : [ {"role":"user","content":[{"type":"text","text":"what is gts1.gemini?"}]} ] }"#,
        r#"{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"gts1.","signature":"EqQB"}]}]}"#,
        "gts1",
        r#"{"messages":"gts1."}"#,
    ] {
        assert_eq!(of_messages(body.as_bytes()), [], "{body}");
        assert_eq!(ids::of_chat(body.as_bytes()), [], "{body}");
    }
}

#[test]
fn signatures_and_searches_go_and_every_other_byte_stays() {
    let ours = r#"{"type":"thinking","thinking":"t","signature":"gts1.gemini.c0+2:ab"}"#;
    let sealed = r#"{"type":"redacted_thinking","data":"gts1.gemini.c0+2:ab"}"#;
    let asked = r#"{"type":"server_tool_use","id":"srvtoolu_gts1_a_0","name":"web_search","input":{}}"#;
    let found = r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_gts1_a_0","content":[]}"#;
    let text = r#"{ "type":"text", "text":"a\u00e9 1.0e0" }"#;
    let other = r#"{"type":"thinking","thinking":"t","signature":"EqQB"}"#;
    let body = |content: &str| {
        format!(
            r#"{{"model":"m",  "messages":[{{"role":"user","content":"x"}} , {{"role":"assistant","content":[{content}]}}]}}"#
        )
    };
    for (content, expected) in [
        (format!("{ours} , {text}"), text.to_owned()),
        (format!("{text}, {ours}"), text.to_owned()),
        (
            format!("{text},{ours},{sealed} ,{other}"),
            format!("{text} ,{other}"),
        ),
        (format!("{asked},{found},{text},{sealed}"), text.to_owned()),
        (
            format!("{other},{sealed},{text},{found},{text}"),
            format!("{other},{text},{text}"),
        ),
    ] {
        assert_eq!(rid(of_messages, &body(&content)), body(&expected), "{content}");
    }
}

#[test]
fn a_message_of_nothing_else_goes_as_a_whole() {
    let thought = json!({ "role": "assistant", "content": [
        { "type": "thinking", "thinking": "t", "signature": "gts1.gemini." } ] });
    let said = |text: &str| json!({ "role": "user", "content": text });
    assert_eq!(
        messages(&json!([said("a"), thought, said("b"), thought])),
        json!([said("a"), said("b")])
    );
    assert_eq!(messages(&json!([thought, said("b")])), json!([said("b")]));
    // Of nothing nothing is left: that is refused by the provider in its own words.
    assert_eq!(messages(&json!([thought])), json!([thought]));
}

#[test]
fn citations_of_gemini_go() {
    let cited = |index: &str| {
        json!({ "type": "web_search_result_location", "url": "u", "title": "t",
        "encrypted_index": index, "cited_text": "c" })
    };
    let text = |citations: Value| {
        json!([{ "role": "assistant", "content": [
        { "type": "text", "text": "x", "citations": citations } ] }])
    };
    assert_eq!(
        messages(&text(json!([cited("gts1.0"), cited("Eo8B")]))),
        text(json!([cited("Eo8B")]))
    );
    assert_eq!(messages(&text(json!([cited("gts1.0")]))), text(Value::Null));
}

#[test]
fn long_ids_are_shortened_alike() {
    let long = "toolu_gts1_01a2210a113c7606acb2719c56bf3111_0_q7Xk2aPz";
    let short = fitted_id(long).unwrap();
    assert!(
        short.len() <= LONGEST_ID
            && short
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    );
    assert_ne!(fitted_id(&long.replace("_0_", "_1_")).unwrap(), short);
    for fine in [
        "toolu_gts1_abc_0",
        "gts1_0123456789012345678901_0",
        "call_abc",
        &"x".repeat(60),
    ] {
        assert_eq!(fitted_id(fine), None, "{fine}");
    }

    let body = json!({ "messages": [
        { "role": "assistant", "tool_calls": [{ "id": long, "type": "function" }, { "id": "call_1", "type": "function" }] },
        { "role": "tool", "tool_call_id": long, "content": long },
    ] });
    let rid: Value = serde_json::from_str(&rid(ids::of_chat, &body.to_string())).unwrap();
    let mut expected = body;
    expected["messages"][0]["tool_calls"][0]["id"] = short.clone().into();
    expected["messages"][1]["tool_call_id"] = short.clone().into();
    assert_eq!(rid, expected);

    let talk = |id: &str| {
        json!([
            { "role": "assistant", "content": [{ "type": "tool_use", "id": id, "name": "f", "input": { "id": long } }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "r" }] },
        ])
    };
    assert_eq!(messages(&talk(long)), talk(&short));
}

#[test]
fn ids_that_are_longer_than_openai_takes_are_shortened_alike() {
    let (old, long) = (
        "toolu_gts1_01a2210a113c7606acb2719c56bf3111_0_q7Xk2aPz",
        "x".repeat(65),
    );
    let fine = "y".repeat(64);
    let read = |ids: fn(&[u8]) -> Vec<Edit>, body: &Value| -> Value {
        serde_json::from_str(&rid(ids, &body.to_string())).unwrap()
    };
    let talk = |id: &str, fc: &str, rs: &str| {
        json!({ "input": [
            { "role": "user", "content": format!("\"id\": \"{long}\"") },
            { "type": "reasoning", "id": rs, "encrypted_content": "z", "summary": [] },
            { "type": "function_call", "id": fc, "call_id": id, "name": "f", "arguments": "{}" },
            { "type": "function_call_output", "call_id": id, "output": long },
            { "type": "item_reference", "id": long },
        ] })
    };
    for id in [old, &long] {
        let sent = read(ids::of_responses, &talk(id, id, &long));
        let text = |pointer: &str| sent.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        let (call, output) = (text("/input/2/call_id"), text("/input/3/call_id"));
        assert_eq!(call, output);
        assert!(call.len() <= 40 && call.starts_with("call_"), "{call}");
        assert!(text("/input/1/id").starts_with("rs_") && text("/input/1/id").len() <= 64);
        assert!(text("/input/2/id").starts_with("fc_"));
        let expected = talk(&call, &text("/input/2/id"), &text("/input/1/id"));
        assert_eq!(sent, expected, "and nothing else is changed");
    }
    assert_eq!(fitted_id(old).unwrap(), {
        let sent = read(ids::of_responses, &talk(old, "fc_1", "rs_1"));
        sent["input"][2]["call_id"].as_str().unwrap().to_owned()
    });
    let short = json!({ "input": [{ "type": "function_call", "id": "fc_1", "call_id": fine }] });
    assert!(ids::of_responses(short.to_string().as_bytes()).is_empty());
    assert!(ids::of_responses(b"{\"input\": \"gts1\"}").is_empty());
    assert!(ids::of_responses(b"no JSON, gts1").is_empty());

    let chat = |id: &str| {
        json!({ "messages": [
            { "role": "assistant", "tool_calls": [{ "id": id, "type": "function" }] },
            { "role": "tool", "tool_call_id": id, "content": "r" },
        ] })
    };
    let sent = read(ids::of_chat, &chat(&fine));
    assert_eq!(sent, chat(&shortened(&fine)));
    assert!(ids::of_chat(chat(&"x".repeat(40)).to_string().as_bytes()).is_empty());
}

#[test]
fn only_reasoning_that_is_named_goes() {
    let thought = |sealed: &str| json!({ "type": "thinking", "thinking": "t", "signature": format!("{OPENAI}{sealed}") });
    let said = json!({ "type": "text", "text": "gts1.openai.a" });
    let body = json!({ "messages": [
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": [thought("a"), { "type": "redacted_thinking", "data": "gts1.openai.b" }, said] },
    ] });
    let without = |unreadable: &[&'static str]| {
        let unreadable: Vec<Bytes> = unreadable
            .iter()
            .map(|sealed| Bytes::from_static(sealed.as_bytes()))
            .collect();
        let text = body.to_string();
        let (edits, count) = without_sealed(text.as_bytes(), &unreadable);
        let left: Value = serde_json::from_slice(&patch(&Bytes::from(text), edits)).unwrap();
        (left["messages"][1]["content"].clone(), count)
    };
    assert_eq!(
        without(&["a"]),
        (json!([body["messages"][1]["content"][1], said]), 1)
    );
    assert_eq!(without(&["a", "b", "c"]), (json!([said]), 2));
    assert_eq!(without(&["c"]), (body["messages"][1]["content"].clone(), 0));
}

#[test]
fn thinking_of_claude_does_not_go_to_openai() {
    let thought = |sealed: &str| json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed });
    let said = |text: &str| json!({ "role": "user", "content": text });
    let body = json!({ "input": [said("a"), thought("gts1.claude.s1:Ex"), thought("gAAA"), said("gts1.claude.s1:Ex"), thought("gts1.claude.rE")] });
    let sent: Value = serde_json::from_str(&rid(ids::of_responses, &body.to_string())).unwrap();
    assert_eq!(
        sent["input"],
        json!([said("a"), thought("gAAA"), said("gts1.claude.s1:Ex")])
    );
}
