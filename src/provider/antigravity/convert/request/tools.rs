//! Tools and the choice among them.
//!
//! | a tool | becomes |
//! | --- | --- |
//! | of the client's own | a function |
//! | `bash_*`, `text_editor_*` | a function: they run at the client, only their schema is Anthropic's |
//! | `web_search_*` | `googleSearch` |
//! | `web_fetch_*` | `urlContext` |
//! | `tool_search_tool_*` | nothing: with it there, every deferred tool is declared |
//! | any other of Anthropic's | nothing: it runs at Anthropic, or is of a kind its models are trained on |
//!
//! Gemini takes its own tools and functions together from no model older than 3, and then only with
//! blocks of a kind that cannot be turned back; where there are functions they alone are sent. A choice that
//! forces a tool which is not sent is refused.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::turns::Loading;
use super::{Body, ToolChoice};

use crate::provider::antigravity::convert::error::{self, Refused};
use crate::provider::antigravity::convert::json::Json;
use crate::provider::antigravity::convert::names::Names;
use crate::provider::antigravity::convert::schema::{self, Form};
use crate::provider::antigravity::convert::text::Text;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::provider::antigravity::convert) enum Tool<'a> {
    FunctionDeclarations(Vec<Function<'a>>),
    GoogleSearch {},
    UrlContext {},
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::provider::antigravity::convert) struct Function<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Json<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[Cow<'a, str>; 1]>,
}

pub(super) struct Tools<'a> {
    pub tools: Vec<Tool<'a>>,
    pub config: Option<ToolConfig<'a>>,
}

#[derive(Deserialize)]
struct Declared<'a> {
    #[serde(default, rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(default, borrow)]
    name: Text<'a>,
    #[serde(default, borrow)]
    description: Option<Text<'a>>,
    #[serde(default, borrow)]
    input_schema: Option<Json<'a>>,
    #[serde(default)]
    defer_loading: Option<bool>,
}

pub(super) fn convert<'a>(
    body: &Body<'a>,
    loading: &Loading<'a>,
    names: &mut Names,
    form: Form,
) -> Result<Tools<'a>, Refused> {
    let declared = read(body, loading)?;
    let search = |tool: &Declared<'_>| {
        tool.kind
            .as_ref()
            .is_some_and(|kind| kind.starts_with("tool_search_tool_"))
    };
    let all = declared.iter().any(search);
    let mut functions = Vec::new();
    let mut own = Vec::new();
    // Names as the client knows them, of what is sent.
    let mut sent: Vec<Text<'a>> = Vec::new();
    for tool in declared {
        let deferred = tool.defer_loading.unwrap_or_default() && !all;
        let absent = deferred && !loading.loaded.contains(&tool.name) || loading.removed.contains(&tool.name);
        let kind = tool.kind.as_deref().unwrap_or("custom");
        if absent {
            continue;
        }
        if kind == "custom" {
            sent.push(tool.name.clone());
            functions.push(function(tool, names, form));
        } else if let Some(known) = trained(kind) {
            sent.push(tool.name.clone());
            functions.push(function(known.declare(tool.name), names, form));
        } else if kind.starts_with("web_search_") {
            own.push((tool.name, Tool::GoogleSearch {}));
        } else if kind.starts_with("web_fetch_") {
            own.push((tool.name, Tool::UrlContext {}));
        }
    }
    let mut tools = Vec::new();
    if functions.is_empty() {
        for (name, tool) in own {
            sent.push(name);
            tools.push(tool);
        }
        // It searches as it sees fit; there is nothing to force.
        let config = match &body.tool_choice {
            Some(choice) if &*choice.kind == "tool" => {
                named(choice, &sent)?;
                None
            }
            _ => None,
        };
        return Ok(Tools { tools, config });
    }
    tools.push(Tool::FunctionDeclarations(functions));
    let config = body
        .tool_choice
        .as_ref()
        .map(|choice| choose(choice, &sent, names))
        .transpose()?;
    Ok(Tools { tools, config })
}

fn read<'a>(body: &Body<'a>, loading: &Loading<'a>) -> Result<Vec<Declared<'a>>, Refused> {
    let tools = body.tools.iter().flatten().enumerate();
    let tools = tools.map(|(index, raw)| (*raw, format!("tools.{index}")));
    let added = loading.added.iter().map(|(raw, path)| (*raw, path.clone()));
    let mut declared: Vec<Declared<'a>> = Vec::new();
    for (raw, path) in tools.chain(added) {
        let tool: Declared<'a> = error::object(raw.get(), &path)?;
        if tool.name.is_empty() && tool.kind.is_none() {
            return Err(Refused::at(format_args!("{path}.name"), "Field required"));
        }
        // A later definition of the same name takes the place of the earlier.
        match declared.iter_mut().find(|before| before.name == tool.name) {
            Some(before) => *before = tool,
            None => declared.push(tool),
        }
    }
    Ok(declared)
}

fn function<'a>(tool: Declared<'a>, names: &mut Names, form: Form) -> Function<'a> {
    let schema = tool.input_schema.map(|schema| schema::reduce(&schema, form));
    let (parameters, parameters_json_schema) = match form {
        Form::JsonSchema => (None, schema),
        Form::OpenApi => (schema.filter(|schema| !schema::is_empty(schema)), None),
    };
    Function {
        name: names.send_text(tool.name),
        description: tool.description.map(|text| text.0).unwrap_or_default(),
        parameters,
        parameters_json_schema,
    }
}

fn choose<'a>(
    choice: &ToolChoice<'a>,
    sent: &[Text<'a>],
    names: &mut Names,
) -> Result<ToolConfig<'a>, Refused> {
    let (mode, only) = match &*choice.kind {
        "auto" => ("AUTO", None),
        "any" => ("ANY", None),
        "none" => ("NONE", None),
        "tool" => ("ANY", Some([names.send_text(named(choice, sent)?)])),
        other => {
            return Err(Refused::at(
                "tool_choice.type",
                format_args!("`{other}` is not `auto`, `any`, `tool` or `none`"),
            ));
        }
    };
    Ok(ToolConfig {
        function_calling_config: Calling {
            mode,
            allowed_function_names: only,
        },
    })
}

fn named<'a>(choice: &ToolChoice<'a>, sent: &[Text<'a>]) -> Result<Text<'a>, Refused> {
    let name = choice.name.clone().unwrap_or_default();
    if sent.contains(&name) {
        return Ok(name);
    }
    Err(Refused::at(
        "tool_choice",
        format_args!(
            "the tool `{}` is not among those that can be sent to a Gemini account",
            &*name
        ),
    ))
}

/// A tool that runs at the client but is declared by its type alone.
struct Trained {
    description: &'static str,
    schema: &'static str,
}

impl Trained {
    fn declare<'a>(&self, name: Text<'a>) -> Declared<'a> {
        Declared {
            kind: None,
            name,
            description: Some(self.description.into()),
            input_schema: serde_json::from_str(self.schema).ok(),
            defer_loading: None,
        }
    }
}

fn trained(kind: &str) -> Option<Trained> {
    if kind.starts_with("bash_") {
        return Some(Trained {
            description: "Runs a command in a persistent bash session and returns its output.",
            schema: r#"{"type":"object","properties":{
                "command":{"type":"string","description":"The command. Required unless restart is true."},
                "restart":{"type":"boolean","description":"Start the session anew."}}}"#,
        });
    }
    if kind.starts_with("text_editor_") {
        return Some(Trained {
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
    None
}
