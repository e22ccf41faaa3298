//! Chats as tools hold them, and messages as Claude answers them.

use proptest::prelude::*;
use serde_json::{Value, json};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zäß\"\\\\ \n🙂]{1,12}",
        1 => Just(String::new()),
        1 => Just(" \n".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("get_weather".to_owned()),
        Just("Bash".to_owned()),
        "[a-z_-]{1,20}"
    ]
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("call_0".to_owned()),
        Just("functions.ls:0".to_owned()),
        Just("functions_ls_0".to_owned()),
        "[a-zA-Z0-9_:.ö-]{0,8}",
    ]
}

fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => text().prop_map(|text| json!({ "a": text, "n": [1, null, 2.5] }).to_string()),
        1 => Just("{}".to_owned()),
        1 => Just(String::new()),
        1 => Just("{\"a\": ".to_owned()),
        1 => Just("[1]".to_owned()),
        1 => text(),
    ]
}

fn user_part() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(|text| json!({ "type": "text", "text": text })),
        1 => Just(json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } })),
        1 => Just(json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png?x" } })),
        1 => Just(json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0=" } })),
    ]
}

fn texts() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => text().prop_map(Value::from),
        1 => proptest::collection::vec(text(), 0..3)
            .prop_map(|texts| texts.into_iter().map(|text| json!({ "type": "text", "text": text })).collect()),
    ]
}

fn user() -> impl Strategy<Value = Value> {
    let content = prop_oneof![
        2 => text().prop_map(Value::from),
        2 => proptest::collection::vec(user_part(), 0..4).prop_map(Value::from),
    ];
    content.prop_map(|content| json!({ "role": "user", "content": content, "name": "Ada" }))
}

/// An assistant's message, and the results of its calls.
fn round() -> impl Strategy<Value = Vec<Value>> {
    let content = prop_oneof![2 => texts(), 1 => Just(Value::Null)];
    let calls = proptest::collection::vec((id(), name(), arguments(), texts()), 0..4);
    (content, calls, any::<bool>()).prop_map(|(content, mut calls, backwards)| {
        let mut seen = std::collections::HashSet::new();
        calls.retain(|(id, ..)| seen.insert(id.clone()));
        let mut message = json!({ "role": "assistant", "content": content });
        if !calls.is_empty() {
            message["tool_calls"] = calls
                .iter()
                .map(|(id, name, arguments, _)| super::call(id, name, arguments))
                .collect();
        }
        let results = calls
            .into_iter()
            .map(|(id, _, _, content)| json!({ "role": "tool", "tool_call_id": id, "content": content }));
        let mut results: Vec<Value> = results.collect();
        if backwards {
            results.reverse();
        }
        std::iter::once(message).chain(results).collect()
    })
}

fn message() -> impl Strategy<Value = Vec<Value>> {
    let system = (prop_oneof![Just("system"), Just("developer")], texts())
        .prop_map(|(role, content)| json!({ "role": role, "content": content }));
    prop_oneof![
        1 => system.prop_map(|system| vec![system]),
        3 => user().prop_map(|user| vec![user]),
        3 => round(),
    ]
}

/// The messages of any chat that says something.
pub(super) fn messages() -> impl Strategy<Value = Vec<Value>> {
    (
        proptest::collection::vec(message(), 0..8),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(rounds, at)| {
            let mut rounds = rounds;
            let at = at.index(rounds.len() + 1);
            rounds.insert(at, vec![json!({ "role": "user", "content": "Hello!" })]);
            rounds.concat()
        })
}

/// What else a request has.
pub(super) fn settings() -> impl Strategy<Value = Value> {
    (
        proptest::option::of(prop_oneof![
            Just("none"),
            Just("minimal"),
            Just("low"),
            Just("high"),
            Just("xhigh")
        ]),
        proptest::option::of(prop_oneof![Just(1_u64), Just(1_500), Just(8_000), Just(200_000)]),
        proptest::option::of(0.0..2.0_f64),
        proptest::option::of(prop_oneof![Just("auto"), Just("required"), Just("none")]),
        any::<(bool, bool, bool)>(),
    )
        .prop_map(|(effort, most, temperature, choice, (tools, alone, top))| {
            let mut settings = json!({});
            let mut set = |key: &str, value: Value| {
                settings[key] = value;
            };
            if let Some(effort) = effort {
                set("reasoning_effort", effort.into());
            }
            if let Some(most) = most {
                set("max_completion_tokens", most.into());
            }
            if let Some(temperature) = temperature {
                set("temperature", temperature.into());
            }
            if top {
                set("top_p", 0.5.into());
            }
            if tools {
                set("tools", json!([super::tool("get_weather"), super::tool("Bash")]));
                if let Some(choice) = choice {
                    set("tool_choice", choice.into());
                }
                set("parallel_tool_calls", (!alone).into());
            }
            settings
        })
}

/// A model's name, of each kind there is.
pub(super) fn model() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("claude-3-haiku-20240307"),
        Just("claude-sonnet-4-5"),
        Just("claude-opus-4-6"),
        Just("claude-opus-5-5"),
        Just("glm-5"),
    ]
}

/// A block of Claude's answer.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Text(String),
    Thinking(String),
    Redacted,
    /// `true`: its input is in the block's opening, as some hosts have it.
    Call(String, Value, bool),
}

pub(super) fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let input = prop_oneof![Just(json!({})), text().prop_map(|text| json!({ "a": text }))];
    let block = prop_oneof![
        3 => "[a-zä\"\n🙂]{0,12}".prop_map(Block::Text),
        1 => "[a-zä]{0,12}".prop_map(Block::Thinking),
        1 => Just(Block::Redacted),
        2 => (name(), input, any::<bool>()).prop_map(|(name, input, at_once)| Block::Call(name, input, at_once)),
    ];
    proptest::collection::vec(block, 0..6)
}
