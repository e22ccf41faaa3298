//! Anthropic-defined tools that run at the client: their definitions for models of other vendors.

/// The definition that Anthropic's models know from the type alone.
#[derive(Clone, Copy, Debug)]
pub(in crate::convert) struct ClientTool {
    pub description: &'static str,
    /// JSON Schema of its input.
    pub schema: &'static str,
}

/// The definition for the `type` of a tool.
pub(in crate::convert) fn client_tool(kind: &str) -> Option<ClientTool> {
    if kind.starts_with("bash_") {
        return Some(ClientTool {
            description: "Runs a command in a persistent bash session and returns its output.",
            schema: r#"{"type":"object","properties":{
                "command":{"type":"string","description":"The command. Required unless restart is true."},
                "restart":{"type":"boolean","description":"Start the session anew."}}}"#,
        });
    }
    if kind.starts_with("text_editor_") {
        return Some(ClientTool {
            description: "Views, creates and edits text files.",
            schema: r#"{"type":"object","properties":{
                "command":{"type":"string","enum":["view","create","str_replace","insert"]},
                "path":{"type":"string","description":"Absolute path of a file, or of a directory to view."},
                "file_text":{"type":"string","description":"For create: the whole content."},
                "old_str":{"type":"string","description":"For str_replace: the text to replace, which must occur once."},
                "new_str":{"type":"string","description":"For str_replace: the text to put there."},
                "insert_line":{"type":"integer","description":"For insert: the line to insert after, 0 for the beginning."},
                "insert_text":{"type":"string","description":"For insert: the text to insert."},
                "view_range":{"type":"array","items":{"type":"integer"},"description":"For view: first and last line, -1 for the end."}},
                "required":["command","path"]}"#,
        });
    }
    if kind.starts_with("memory_") {
        return Some(ClientTool {
            description: "Keeps notes in files under /memories, from one conversation to the next.",
            schema: r#"{"type":"object","properties":{
                "command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},
                "path":{"type":"string","description":"Path of a file or directory under /memories."},
                "view_range":{"type":"array","items":{"type":"integer"},"description":"For view: first and last line, -1 for the end."},
                "file_text":{"type":"string","description":"For create: the whole content."},
                "old_str":{"type":"string","description":"For str_replace: the text to replace, which must occur once."},
                "new_str":{"type":"string","description":"For str_replace: the text to put there."},
                "insert_line":{"type":"integer","description":"For insert: the line to insert after, 0 for the beginning."},
                "insert_text":{"type":"string","description":"For insert: the text to insert."},
                "old_path":{"type":"string","description":"For rename: the present path."},
                "new_path":{"type":"string","description":"For rename: the new path."}},
                "required":["command"]}"#,
        });
    }
    None
}
