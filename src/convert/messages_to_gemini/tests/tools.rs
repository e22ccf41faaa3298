//! Tools, one rule at a time.

use serde_json::{Value, json};

use super::{convert, refused, tool, with, with_messages};

#[test]
fn choices_among_tools() {
    let chosen = |choice: Value| {
        let mut body = with("tools", json!([tool("Bash"), tool("1st")]));
        body["tool_choice"] = choice;
        convert(&body).0["toolConfig"]["functionCallingConfig"].clone()
    };
    assert_eq!(
        chosen(json!({ "type": "auto", "disable_parallel_tool_use": true })),
        json!({ "mode": "AUTO" })
    );
    assert_eq!(chosen(json!({ "type": "any" })), json!({ "mode": "ANY" }));
    assert_eq!(chosen(json!({ "type": "none" })), json!({ "mode": "NONE" }));
    let one = chosen(json!({ "type": "tool", "name": "1st" }));
    assert_eq!(one["mode"], "ANY");
    assert!(
        one["allowedFunctionNames"][0]
            .as_str()
            .unwrap()
            .starts_with("_1st_")
    );

    let mut body = with("tools", json!([tool("Bash")]));
    body["tool_choice"] = json!({ "type": "tool", "name": "Read" });
    assert!(refused(&body).starts_with("tool_choice: the tool `Read` is not among"));
    // Without tools there is nothing to choose.
    let (sent, _) = convert(&with("tool_choice", json!({ "type": "auto" })));
    assert_eq!(sent.get("toolConfig"), None);
}

#[test]
fn tools_of_anthropics() {
    let tools = |tools: Value| convert(&with("tools", tools)).0["tools"].clone();
    let search = json!({ "type": "web_search_20250305", "name": "web_search", "max_uses": 8 });
    assert_eq!(tools(json!([search])), json!([{ "googleSearch": {} }]));
    assert_eq!(
        refused(&with("tools", json!([tool("Bash"), search]))),
        "tools.1: a Gemini account searches the web only in a call without other tools: send the search in a call of \
         its own"
    );
    let client_tool = tools(json!([
        { "type": "bash_20250124", "name": "bash" },
        { "type": "text_editor_20250728", "name": "str_replace_based_edit_tool" },
        { "type": "memory_20250818", "name": "memory" },
    ]));
    let declared = client_tool[0]["functionDeclarations"].as_array().unwrap();
    assert_eq!(declared.len(), 3);
    assert_eq!(
        declared[0]["parametersJsonSchema"]["properties"]["command"]["type"],
        "string"
    );
    assert_eq!(
        declared[1]["parametersJsonSchema"]["required"],
        json!(["command", "path"])
    );
}

#[test]
fn deferred_tools_are_declared_once_they_are_loaded() {
    let deferred = |name: &str| {
        let mut tool = tool(name);
        tool["defer_loading"] = true.into();
        tool
    };
    let declared = |body: &Value| -> Vec<String> {
        let (sent, _) = convert(body);
        let functions = sent["tools"][0]["functionDeclarations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        functions
            .iter()
            .map(|function| function["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut body = with_messages(json!([
        { "role": "user", "content": "go" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "ToolSearch", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": [
            { "type": "tool_reference", "tool_name": "B" } ] }] },
        { "role": "system", "content": [
            { "type": "tool_addition", "tool": { "type": "tool_reference", "name": "C" } },
            { "type": "tool_addition", "tool": { "type": "tool_definition", "definition": tool("E") } },
            { "type": "tool_removal", "tool": { "type": "tool_reference", "name": "F" } },
            { "type": "text", "text": "Tools changed." },
        ] },
    ]));
    body["tools"] = json!([
        tool("ToolSearch"),
        deferred("A"),
        deferred("B"),
        deferred("C"),
        tool("F")
    ]);
    assert_eq!(declared(&body), ["ToolSearch", "B", "C", "E"]);
    body["tools"][0] = json!({ "type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex" });
    assert_eq!(declared(&body), ["A", "B", "C", "E"]);
}
