//! Transcripts as Claude Code writes them, and answers as Gemini does, at random.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Part of a Gemini answer.
#[derive(Clone, Debug)]
pub(in crate::convert) enum SamplePart {
    Thought(String, Option<String>),
    Text(String, Option<String>),
    Call {
        name: String,
        args: Value,
        id: Option<String>,
        signature: Option<String>,
    },
}

impl SamplePart {
    pub(in crate::convert) fn json(&self) -> Value {
        let mut part = match self {
            Self::Thought(text, _) => json!({ "text": text, "thought": true }),
            Self::Text(text, _) => json!({ "text": text }),
            Self::Call { name, args, id, .. } => {
                let mut call = json!({ "name": name, "args": args });
                if let Some(id) = id {
                    call["id"] = id.as_str().into();
                }
                json!({ "functionCall": call })
            }
        };
        if let Some(signature) = self.signature() {
            part["thoughtSignature"] = signature.into();
        }
        part
    }

    pub(in crate::convert) fn signature(&self) -> Option<&str> {
        match self {
            Self::Thought(_, signature) | Self::Text(_, signature) | Self::Call { signature, .. } => {
                signature.as_deref()
            }
        }
    }
}

/// One step of a conversation, before ids are given.
#[derive(Clone, Debug)]
pub(in crate::convert) struct Round {
    user: Vec<Block>,
    system: Option<String>,
    assistant: Assistant,
    results: Vec<(Value, bool)>,
    /// The order in which results come.
    backwards: bool,
    after: Vec<Block>,
}

#[derive(Clone, Debug)]
pub(in crate::convert) enum Assistant {
    /// As Gemini said it.
    Gemini(Vec<SamplePart>),
    /// As a real Claude said it, with calls by these names.
    Claude {
        thought: Option<String>,
        text: Option<String>,
        calls: Vec<(String, Value)>,
    },
}

type Block = Value;

pub(in crate::convert) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9 .,\n]{0,24}",
        2 => "\\PC{0,12}",
        1 => Just(String::new()),
        1 => Just("漢字 🦀 e\u{301} \u{2028}\"\\\t".to_owned()),
    ]
}

pub(in crate::convert) fn signature() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[A-Za-z0-9+/]{1,40}={0,2}")
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Bash".to_owned()),
        Just("mcp__git__status".to_owned()),
        "[a-zA-Z0-9_-]{1,128}",
    ]
}

fn args() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-z_]{1,8}", scalar(), 0..4).prop_map(|map| json!(map))
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!([1, { "a": [] }])),
    ]
}

pub(in crate::convert) fn said() -> impl Strategy<Value = Vec<SamplePart>> {
    let id = proptest::option::of("[a-zA-Z0-9_-]{1,20}");
    let part = prop_oneof![
        3 => (text(), signature()).prop_map(|(text, signature)| SamplePart::Text(text, signature)),
        2 => (text(), signature()).prop_map(|(text, signature)| SamplePart::Thought(text, signature)),
        2 => (name(), args(), id, signature()).prop_map(|(name, args, id, signature)| SamplePart::Call {
            name, args, id, signature,
        }),
    ];
    proptest::collection::vec(part, 0..7)
}

fn user_block() -> impl Strategy<Value = Block> {
    let text_block = || {
        text().prop_map(
            |text| json!({ "type": "text", "text": text, "cache_control": { "type": "ephemeral" } }),
        )
    };
    prop_oneof![
        5 => text_block(),
        1 => image(),
        1 => text().prop_map(|text| json!({
            "type": "document", "title": text,
            "source": { "type": "text", "media_type": "text/plain", "data": text },
        })),
        1 => Just(json!({
            "type": "document", "citations": { "enabled": true },
            "source": { "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" },
        })),
        1 => text_block().prop_map(|block| json!({
            "type": "search_result", "source": "https://example.com", "title": "T", "content": [block],
        })),
    ]
}

fn image() -> impl Strategy<Value = Block> {
    prop_oneof![
        Just(json!({
            "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" },
        })),
        Just(json!({ "type": "image", "source": { "type": "url", "url": "https://example.com/a.png?x" } })),
    ]
}

fn result() -> impl Strategy<Value = (Value, bool)> {
    let block = prop_oneof![
        3 => text().prop_map(|text| json!({ "type": "text", "text": text })),
        1 => image(),
        1 => Just(json!({ "type": "tool_reference", "tool_name": "mcp__git__status" })),
        1 => text().prop_map(|text| json!({
            "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": text }] },
        })),
    ];
    let content = prop_oneof![
        2 => text().prop_map(Value::from),
        2 => proptest::collection::vec(block, 0..3).prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    (content, any::<bool>())
}

fn assistant() -> impl Strategy<Value = Assistant> {
    let claude = (
        proptest::option::of(text()),
        proptest::option::of(text()),
        proptest::collection::vec((name(), args()), 0..4),
    );
    prop_oneof![
        3 => said().prop_map(Assistant::Gemini),
        2 => claude.prop_map(|(thought, text, calls)| Assistant::Claude { thought, text, calls }),
    ]
}

fn round() -> impl Strategy<Value = Round> {
    (
        proptest::collection::vec(user_block(), 0..3),
        proptest::option::of(text()),
        assistant(),
        proptest::collection::vec(result(), 7),
        any::<bool>(),
        proptest::collection::vec(user_block(), 0..2),
    )
        .prop_map(|(user, system, assistant, results, backwards, after)| Round {
            user,
            system,
            assistant,
            results,
            backwards,
            after,
        })
}

pub(in crate::convert) fn rounds(most: usize) -> impl Strategy<Value = Vec<Round>> {
    proptest::collection::vec(round(), 0..most)
}

/// A model's name, of each kind there is.
pub(in crate::convert) fn model() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("gemini-2.5-pro"),
        Just("gemini-2.5-flash"),
        Just("gemini-3-pro-preview"),
        Just("gemini-3.1-flash"),
        Just("gemini-pro-latest"),
        Just("claude-opus-4-5-thinking"),
    ]
}

impl Round {
    /// Appends its messages. `blocks` turns what Gemini said into the content of a message.
    pub(in crate::convert) fn write(
        &self,
        messages: &mut Vec<Value>,
        blocks: &mut dyn FnMut(&[SamplePart]) -> Vec<Value>,
    ) {
        let mut user = self.user.clone();
        if messages.is_empty() {
            user.insert(0, json!({ "type": "text", "text": "Let us begin." }));
        }
        if let [only] = user.as_slice()
            && only["type"] == "text"
        {
            messages.push(json!({ "role": "user", "content": only["text"] }));
        } else if !user.is_empty() {
            messages.push(json!({ "role": "user", "content": user }));
        }
        if let Some(system) = &self.system {
            messages
                .push(json!({ "role": "system", "content": system, "output_config": { "effort": "low" } }));
        }
        let content = match &self.assistant {
            Assistant::Gemini(said) => blocks(said),
            Assistant::Claude { thought, text, calls } => {
                claude(thought.as_ref(), text.as_ref(), calls, messages.len())
            }
        };
        let mut results: Vec<Value> = content
            .iter()
            .filter(|block| block["type"] == "tool_use")
            .zip(&self.results)
            .map(|(call, (content, failed))| {
                let mut result =
                    json!({ "type": "tool_result", "tool_use_id": call["id"], "is_error": failed });
                if !content.is_null() {
                    result["content"] = content.clone();
                }
                result
            })
            .collect();
        if content.is_empty() {
            return;
        }
        messages.push(json!({ "role": "assistant", "content": content }));
        if !results.is_empty() {
            if self.backwards {
                results.reverse();
            }
            results.extend(self.after.iter().cloned());
            messages.push(json!({ "role": "user", "content": results }));
        }
    }
}

fn claude(
    thought: Option<&String>,
    text: Option<&String>,
    calls: &[(String, Value)],
    turn: usize,
) -> Vec<Value> {
    let mut content = Vec::new();
    if let Some(thought) = thought {
        content.push(json!({ "type": "thinking", "thinking": thought, "signature": "EqQBCkYIBRgCKkDd" }));
        content.push(json!({ "type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix" }));
    }
    if let Some(text) = text {
        content.push(json!({ "type": "text", "text": text }));
    }
    for (number, (name, input)) in calls.iter().enumerate() {
        let id = format!("toolu_01{turn}x{number}");
        content.push(json!({ "type": "tool_use", "id": id, "name": name, "input": input }));
    }
    content
}
