//! Properties of all transcripts and all streams.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::answers::{delta, end, stream};
use super::{check as check_request, context, convert, try_convert, with_messages};
use crate::convert::messages_to_chat::{Stream, events};
use crate::convert::messages_to_gemini::tests::check::{Outcome, check};
use crate::convert::messages_to_gemini::tests::transcripts::{Round, SamplePart, rounds, text};
use crate::dialect::wire::marks::CHAT;
use crate::model::account::ChatHost;

/// A host's answer: reasoning, text, and the arguments of calls.
#[derive(Clone, Debug)]
struct Answer {
    reasoning: String,
    words: String,
    calls: Vec<Value>,
    field: &'static str,
}

fn answer() -> impl Strategy<Value = Answer> {
    let arguments = text().prop_map(|text| json!({ "a": text }));
    let calls = proptest::collection::vec(arguments, 0..4);
    let field = prop_oneof![Just("reasoning_content"), Just("reasoning")];
    (text(), text(), calls, field).prop_map(|(reasoning, words, calls, field)| Answer {
        reasoning,
        words,
        calls,
        field,
    })
}

impl Answer {
    fn call(number: usize, arguments: &str) -> Value {
        json!({ "index": number, "id": format!("call_{number}"), "type": "function", "function": { "name": "Read", "arguments": arguments } })
    }

    fn whole(&self) -> Value {
        let calls = self.calls.iter().enumerate();
        let calls: Vec<Value> = calls
            .map(|(number, arguments)| Self::call(number, &arguments.to_string()))
            .collect();
        let mut message = json!({ "role": "assistant", "content": self.words, "tool_calls": calls });
        message[self.field] = self.reasoning.clone().into();
        json!({
            "id": "c", "model": "m-1", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 3 },
        })
    }

    /// Split into single characters.
    fn streamed(&self) -> String {
        let mut chunks = vec![delta(json!({ "role": "assistant", "content": "" }))];
        let letters = |text: &str| -> Vec<String> { text.chars().map(String::from).collect() };
        for letter in letters(&self.reasoning) {
            let mut piece = json!({ "content": null });
            piece[self.field] = letter.into();
            chunks.push(delta(piece));
        }
        for letter in letters(&self.words) {
            chunks.push(delta(json!({ "content": letter })));
        }
        for (number, arguments) in self.calls.iter().enumerate() {
            chunks.push(delta(json!({ "tool_calls": [Self::call(number, "")] })));
            for letter in letters(&arguments.to_string()) {
                let piece =
                    json!({ "tool_calls": [{ "index": number, "function": { "arguments": letter } }] });
                chunks.push(delta(piece));
            }
        }
        chunks.push(end("stop"));
        chunks.push(json!({ "id": "c", "model": "m-1", "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 3 } }));
        stream(&chunks, true)
    }
}

fn fed(bytes: &[u8], cuts: &[usize], thinking: bool) -> Vec<u8> {
    let mut stream = Stream::new(&context(thinking), "r");
    let mut out = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut from = 0;
    for cut in cuts {
        out.extend_from_slice(&stream.feed(&bytes[from..cut]));
        from = cut;
    }
    out.extend_from_slice(&stream.finish());
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A stream is valid, does not depend on the cuts, and equals the whole answer.
    #[test]
    fn streams_equal_whole_answers(
        answer in answer(),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        thinking in any::<bool>(),
    ) {
        let bytes = answer.streamed();
        let made = fed(bytes.as_bytes(), &[], thinking);
        prop_assert_eq!(&fed(bytes.as_bytes(), &cuts, thinking), &made);
        let whole = events(answer.whole().to_string().as_bytes(), &context(thinking), "r").unwrap();
        prop_assert_eq!(check(&made), check(&whole));
    }

    /// Any input produces a valid stream.
    #[test]
    fn any_bytes_make_a_valid_stream(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<usize>(), answer in answer()) {
        check(&fed(&bytes, &[], true));
        let mut broken = answer.streamed().into_bytes();
        broken.truncate(cut % (broken.len() + 1));
        check(&fed(&broken, &[], true));
        broken.extend_from_slice(&bytes);
        check(&fed(&broken, &[cut], false));
    }

    /// A host gets its own answer back unchanged, whether or not the client asked for thinking.
    #[test]
    fn a_hosts_answer_comes_back(answer in answer(), thinking in any::<bool>()) {
        let Outcome::Message(made) = check(&fed(answer.streamed().as_bytes(), &[], thinking)) else { panic!("an error") };
        let results: Vec<Value> = (0..answer.calls.len())
            .map(|number| json!({ "type": "tool_result", "tool_use_id": format!("call_{number}"), "content": "ok" }))
            .collect();
        let next = if results.is_empty() { json!("And?") } else { json!(results) };
        let mut messages = vec![json!({ "role": "user", "content": "Go." })];
        if made["content"] != json!([]) {
            messages.push(json!({ "role": "assistant", "content": made["content"] }));
        }
        messages.push(json!({ "role": "user", "content": next }));
        let (sent, _) = convert(&with_messages(json!(messages)), ChatHost::Other);
        let said = sent["messages"].as_array().unwrap().iter().find(|message| message["role"] == "assistant");
        if answer.words.is_empty() && answer.calls.is_empty() {
            prop_assert!(said.is_none(), "nothing but a thought leads to nothing");
            return Ok(());
        }
        let said = said.unwrap();
        prop_assert_eq!(&said["content"], &json!(answer.words));
        let arguments = |call: &Value| -> Value { serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap() };
        let calls: Vec<Value> = said["tool_calls"].as_array().into_iter().flatten().map(arguments).collect();
        prop_assert_eq!(calls, answer.calls.clone());
        if !answer.reasoning.is_empty() && (thinking || !answer.calls.is_empty()) {
            prop_assert_eq!(&said[answer.field], &json!(answer.reasoning));
        }
    }

    /// Every transcript of Claude Code, with turns of any provider, converts to a valid request.
    #[test]
    fn every_transcript_converts(rounds in rounds(8)) {
        converts(&rounds);
    }
}

fn converts(rounds: &[Round]) {
    let mut messages = Vec::new();
    let mut number = 0;
    for round in rounds {
        round.write(&mut messages, &mut |said| {
            said.iter()
                .map(|said| {
                    number += 1;
                    block(said, number)
                })
                .collect()
        });
    }
    // The last turn is a user's and has a text.
    messages.push(json!({ "role": "user", "content": "hi" }));
    let mut body = with_messages(json!(messages));
    body["tools"] = json!([{ "name": "Bash", "input_schema": { "type": "object", "properties": {} } }]);
    match try_convert(&body, ChatHost::DeepSeek) {
        Ok(converted) => check_request(&serde_json::from_slice(&converted.body).unwrap()),
        // Unsupported parts are refused.
        Err(refused) => assert!(
            ["a document other than text", "does not support citations"]
                .iter()
                .any(|why| refused.message.contains(why)),
            "{refused}"
        ),
    }
}

/// A sample as a block of an answer from the relay.
fn block(said: &SamplePart, number: usize) -> Value {
    let token = format!("{CHAT}reasoning_content");
    match said {
        SamplePart::Text(text, _) => json!({ "type": "text", "text": text }),
        SamplePart::Thought(text, _) if text.is_empty() => {
            json!({ "type": "redacted_thinking", "data": format!("{token}:t") })
        }
        SamplePart::Thought(text, _) => json!({ "type": "thinking", "thinking": text, "signature": token }),
        SamplePart::Call { name, args, .. } => {
            json!({ "type": "tool_use", "id": format!("call_{number}"), "name": name, "input": args })
        }
    }
}
