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

use serde::Serialize;
use serde_json::value::RawValue;

use super::turns::Loading;

use crate::provider::antigravity::convert::error::Refused;
use crate::provider::antigravity::convert::json::Json;
use crate::provider::antigravity::convert::names::Names;
use crate::provider::antigravity::convert::object::{List, Object};
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

struct Declared<'a> {
    /// `None`: of the client's own.
    kind: Option<Text<'a>>,
    name: Text<'a>,
    description: Option<Text<'a>>,
    schema: Option<Json<'a>>,
    deferred: bool,
}

impl<'a> Declared<'a> {
    fn read(raw: &'a RawValue, path: &str) -> Result<Self, Refused> {
        let tool = Object::read(raw.get(), path)?;
        let kind: Option<Text<'a>> = tool.want("type", path)?;
        let deferred: Option<bool> = tool.want("defer_loading", path)?;
        Ok(Self {
            kind: kind.filter(|kind| &**kind != "custom"),
            name: tool.must("name", path)?,
            description: tool.want("description", path)?,
            schema: tool.want("input_schema", path)?,
            deferred: deferred.unwrap_or_default(),
        })
    }
}

pub(super) fn convert<'a>(
    body: &Object<'a>,
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
        let absent = tool.deferred && !all && !loading.loaded.contains(&tool.name)
            || loading.removed.contains(&tool.name);
        if absent {
            continue;
        }
        match tool.kind.as_deref() {
            None => {
                sent.push(tool.name.clone());
                functions.push(function(tool, names, form));
            }
            Some(kind) if kind.starts_with("web_search_") => own.push((tool.name, Tool::GoogleSearch {})),
            Some(kind) if kind.starts_with("web_fetch_") => own.push((tool.name, Tool::UrlContext {})),
            Some(kind) => {
                if let Some(known) = trained(kind) {
                    sent.push(tool.name.clone());
                    functions.push(function(known.declare(tool.name), names, form));
                }
            }
        }
    }
    let choice: Option<Object<'a>> = body.want("tool_choice", "")?;
    if functions.is_empty() {
        sent.extend(own.iter().map(|(name, _)| name.clone()));
        if let Some(choice) = &choice
            && choice.get("type").is_some_and(|kind: Text<'_>| &*kind == "tool")
        {
            // It searches as it sees fit; there is nothing to force.
            named(choice, &sent)?;
        }
        return Ok(Tools {
            tools: own.into_iter().map(|(_, tool)| tool).collect(),
            config: None,
        });
    }
    let config = choice.map(|choice| choose(&choice, &sent, names)).transpose()?;
    Ok(Tools {
        tools: vec![Tool::FunctionDeclarations(functions)],
        config,
    })
}

fn read<'a>(body: &Object<'a>, loading: &Loading<'a>) -> Result<Vec<Declared<'a>>, Refused> {
    let tools: Option<List<'a>> = body.want("tools", "")?;
    let tools = tools.into_iter().flatten().enumerate();
    let tools = tools.map(|(index, raw)| (raw, format!("tools.{index}")));
    let added = loading.added.iter().cloned();
    let mut declared: Vec<Declared<'a>> = Vec::new();
    for (raw, path) in tools.chain(added) {
        let tool = Declared::read(raw, &path)?;
        // A later definition of the same name takes the place of the earlier.
        match declared.iter_mut().find(|before| before.name == tool.name) {
            Some(before) => *before = tool,
            None => declared.push(tool),
        }
    }
    Ok(declared)
}

fn function<'a>(tool: Declared<'a>, names: &mut Names, form: Form) -> Function<'a> {
    let schema = tool.schema.map(|schema| schema::reduce(&schema, form));
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

fn choose<'a>(choice: &Object<'a>, sent: &[Text<'a>], names: &mut Names) -> Result<ToolConfig<'a>, Refused> {
    let kind: Text<'a> = choice.must("type", "tool_choice")?;
    let (mode, only) = match &*kind {
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

fn named<'a>(choice: &Object<'a>, sent: &[Text<'a>]) -> Result<Text<'a>, Refused> {
    let name: Text<'a> = choice.must("name", "tool_choice")?;
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
            schema: serde_json::from_slice(self.schema.as_bytes()).ok(),
            deferred: false,
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
