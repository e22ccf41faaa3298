//! Messages, their parts and tools, one by one.

use serde_json::{Value, json};

use super::{call, convert, refused, tool, with, with_messages};

#[test]
fn a_system_prompt_stays_one() {
    let sent = convert(&with_messages(json!([
        { "role": "system", "content": "Be kind." },
        { "role": "developer", "content": [{ "type": "text", "text": "Be short." }, { "type": "text", "text": "" }] },
        { "role": "user", "content": "hi" },
    ])));
    assert_eq!(
        sent["system"],
        json!([{ "type": "text", "text": "Be kind." }, { "type": "text", "text": "Be short." }])
    );
    assert_eq!(
        sent["messages"],
        json!([{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }])
    );
}

#[test]
fn later_words_of_the_system_keep_their_place() {
    let sent = convert(&with_messages(json!([
        { "role": "user", "content": "a" },
        { "role": "system", "content": "Now in French." },
        { "role": "assistant", "content": "b" },
        { "role": "user", "content": "c" },
    ])));
    assert_eq!(sent.get("system"), None);
    assert_eq!(
        sent["messages"][0]["content"][1]["text"],
        "<system-reminder>\nNow in French.\n</system-reminder>"
    );
}

#[test]
fn instructions_alone_are_the_question() {
    let sent = convert(&with_messages(
        json!([{ "role": "system", "content": "Say hi." }]),
    ));
    assert_eq!(sent.get("system"), None);
    assert_eq!(sent["messages"][0]["content"][0]["text"], "Say hi.");
}

#[test]
fn a_greeting_may_come_first_and_words_may_be_continued() {
    let sent = convert(&with_messages(json!([
        { "role": "assistant", "content": "How can I help?" },
        { "role": "user", "content": "Count." },
        { "role": "assistant", "content": "One, two, \n" },
    ])));
    let said = sent["messages"].as_array().unwrap();
    assert_eq!(said.len(), 4);
    assert_eq!(said[1]["content"][0]["text"], "How can I help?");
    assert_eq!(said[3]["content"][0]["text"], "One, two,");
}

#[test]
fn results_come_first_in_the_next_turn() {
    let mut body = with_messages(json!([
        { "role": "user", "content": "go" },
        { "role": "assistant", "content": null, "tool_calls": [call("c:1", "A", "{ \"a\": 1 }"), call("c2", "B", "not JSON")] },
        { "role": "tool", "tool_call_id": "c2", "content": [{ "type": "text", "text": "two" }] },
        { "role": "user", "content": "and?" },
        { "role": "tool", "tool_call_id": "c:1", "content": "" },
    ]));
    body["tools"] = json!([tool("A"), tool("B")]);
    let sent = convert(&body);
    assert_eq!(
        sent["messages"][1]["content"],
        json!([
            { "type": "tool_use", "id": "c_1", "name": "A", "input": { "a": 1 } },
            { "type": "tool_use", "id": "c2", "name": "B", "input": { "arguments": "not JSON" } },
        ])
    );
    assert_eq!(
        sent["messages"][2]["content"],
        json!([
            { "type": "tool_result", "tool_use_id": "c2", "content": [{ "type": "text", "text": "two" }] },
            { "type": "tool_result", "tool_use_id": "c_1" },
            { "type": "text", "text": "and?", "cache_control": { "type": "ephemeral" } },
        ])
    );
}

#[test]
fn ids_used_again_are_told_apart() {
    let round = |messages: &mut Vec<Value>| {
        messages.push(json!({ "role": "assistant", "tool_calls": [call("call_0", "A", "{}")] }));
        messages.push(json!({ "role": "tool", "tool_call_id": "call_0", "content": "x" }));
    };
    let mut messages = vec![json!({ "role": "user", "content": "go" })];
    round(&mut messages);
    round(&mut messages);
    let sent = convert(&with_messages(messages.into()));
    assert_eq!(sent["messages"][1]["content"][0]["id"], "call_0");
    assert_eq!(sent["messages"][3]["content"][0]["id"], "call_0_2");
    assert_eq!(sent["messages"][4]["content"][0]["tool_use_id"], "call_0_2");
    // Nobody declared the tool.
    assert_eq!(sent["tools"][0]["name"], "A");
    assert_eq!(sent["tool_choice"], json!({ "type": "none" }));
}

#[test]
fn images_and_files() {
    let user = |part: Value| with_messages(json!([{ "role": "user", "content": [part] }]));
    let block = |part: Value| convert(&user(part))["messages"][0]["content"][0].clone();
    assert_eq!(
        block(json!({ "type": "image_url", "image_url": { "url": "data:image/jpg;base64,AAAA" } })),
        json!({ "type": "image", "source": { "type": "base64", "media_type": "image/jpeg", "data": "AAAA" } })
    );
    assert_eq!(
        block(json!({ "type": "image_url", "image_url": "https://h/a.png" })),
        json!({ "type": "image", "source": { "type": "url", "url": "https://h/a.png" } })
    );
    assert_eq!(
        block(json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": "JVBERi0=" } })),
        json!({ "type": "document", "title": "a.pdf",
            "source": { "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" } })
    );
    assert_eq!(
        block(
            json!({ "type": "file", "file": { "file_data": "data:text/markdown;charset=utf-8;base64,aMOk" } })
        ),
        json!({ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "hä" } })
    );
    for (part, why) in [
        (
            json!({ "type": "input_audio", "input_audio": { "data": "", "format": "wav" } }),
            "messages.0.content.0: the content type `input_audio` cannot be sent to this model",
        ),
        (
            json!({ "type": "image_url", "image_url": { "url": "ftp://h/a.png" } }),
            "messages.0.content.0.image_url: must be a data URL or the address of an image",
        ),
        (
            json!({ "type": "image_url", "image_url": { "url": "data:image/png,%89" } }),
            "messages.0.content.0.image_url: the data URL has no base64",
        ),
        (
            json!({ "type": "file", "file": { "file_id": "file-1" } }),
            "messages.0.content.0.file.file_id: files kept at OpenAI cannot be read here: send `file_data`",
        ),
        (
            json!({ "type": "file", "file": { "file_data": "data:video/mp4;base64,AAAA" } }),
            "messages.0.content.0.file: files of the type `video/mp4` cannot be sent to this model",
        ),
    ] {
        assert_eq!(refused(&user(part)), why);
    }
}

#[test]
fn what_cannot_be_sent_is_named() {
    let go = json!({ "role": "user", "content": "go" });
    let calls = json!({ "role": "assistant", "tool_calls": [call("c1", "A", "{}")] });
    let result = json!({ "role": "tool", "tool_call_id": "c1", "content": "x" });
    for (body, why) in [
        (with("n", json!(2)), "n: only one choice is supported here"),
        (
            with("logprobs", json!(true)),
            "logprobs: the model here returns none",
        ),
        (
            with("modalities", json!(["text", "audio"])),
            "modalities: `audio` is not supported here",
        ),
        (
            with("functions", json!([])),
            "functions: send `tools` and `tool_choice` in its place",
        ),
        (
            with("reasoning_effort", json!("most")),
            "reasoning_effort: `most` is not",
        ),
        (
            with("response_format", json!({ "type": "grammar" })),
            "response_format: `grammar` is not",
        ),
        (with("temperature", json!("hot")), "temperature: invalid type"),
        (
            with("messages", json!([])),
            "messages: there is nothing to answer in them",
        ),
        (
            with("tools", json!([{ "type": "custom", "custom": { "name": "x" } }])),
            "tools.0: tools of the type `custom` cannot be sent to this model",
        ),
        (
            with_messages(json!([go, { "role": "function", "name": "A", "content": "x" }])),
            "messages.1.role: `function` is not",
        ),
        (
            with_messages(json!([go, calls])),
            "messages.1.tool_calls.0: no `tool` message answers the call `c1`",
        ),
        (
            with_messages(json!([go, calls, go])),
            "messages.1.tool_calls.0: no `tool` message answers",
        ),
        (
            with_messages(json!([go, result])),
            "messages.1: a `tool` message must follow",
        ),
        (
            with_messages(json!([go, calls, result, result])),
            "messages.3: a `tool` message must follow",
        ),
        (
            with_messages(
                json!([go, { "role": "assistant", "tool_calls": [call("c", "A", ""), call("c", "A", "")] }]),
            ),
            "messages.1.tool_calls.1: the id `c` is that of another call",
        ),
        (
            with_messages(json!([{ "role": "user", "content": 5 }])),
            "messages.0.content: must be a text or a list of parts",
        ),
        (json!({ "messages": [go] }), "model: Field required"),
        (json!([]), "the request body: invalid type"),
    ] {
        let told = refused(&body);
        assert!(told.starts_with(why), "{told}");
    }
}

#[test]
fn choices_among_tools() {
    let choose = |choice: Value, alone: bool| {
        let mut body = with("tools", json!([tool("A"), tool("B")]));
        body["tool_choice"] = choice;
        if alone {
            body["parallel_tool_calls"] = json!(false);
        }
        body
    };
    let chosen = |choice: Value, alone| convert(&choose(choice, alone)).get("tool_choice").cloned();
    assert_eq!(chosen(Value::Null, false), None);
    assert_eq!(
        chosen(Value::Null, true),
        Some(json!({ "type": "auto", "disable_parallel_tool_use": true }))
    );
    assert_eq!(chosen(json!("auto"), false), Some(json!({ "type": "auto" })));
    assert_eq!(chosen(json!("none"), true), Some(json!({ "type": "none" })));
    assert_eq!(
        chosen(json!("required"), true),
        Some(json!({ "type": "any", "disable_parallel_tool_use": true }))
    );
    let one = json!({ "type": "function", "function": { "name": "B" } });
    assert_eq!(chosen(one, false), Some(json!({ "type": "tool", "name": "B" })));
    let some = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [
        { "type": "function", "function": { "name": "B" } }] } });
    let sent = convert(&choose(some, false));
    assert_eq!(
        (&sent["tools"][0]["name"], sent["tools"].as_array().unwrap().len()),
        (&json!("B"), 1)
    );
    assert_eq!(sent["tool_choice"], json!({ "type": "any" }));
    let unknown = json!({ "type": "function", "function": { "name": "C" } });
    assert_eq!(
        refused(&choose(unknown, false)),
        "tool_choice: there is no tool `C` among `tools`"
    );
}

#[test]
fn schemas_of_tools_pass_as_they_are() {
    let bare = json!({ "type": "function", "function": { "name": "A" } });
    let typeless =
        json!({ "type": "function", "function": { "name": "B", "parameters": { "properties": {} } } });
    let sent = convert(&with("tools", json!([bare, typeless, tool("C")])));
    assert_eq!(
        sent["tools"][0]["input_schema"],
        json!({ "type": "object", "properties": {} })
    );
    assert_eq!(
        sent["tools"][1]["input_schema"],
        json!({ "type": "object", "properties": {} })
    );
    assert_eq!(
        sent["tools"][2]["input_schema"],
        tool("C")["function"]["parameters"]
    );
}
