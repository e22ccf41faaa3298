//! Tools and the choice among them.
//!
//! | a tool | becomes |
//! | --- | --- |
//! | of the client's own | a function, its schema as it is |
//! | `bash_*`, `text_editor_*`, `memory_*` | a function: they run at the client, only their schema is Anthropic's |
//! | `tool_search_tool_*` | nothing: with it there, every deferred tool is declared |
//! | any other of Anthropic's | refused: it runs at Anthropic, or is of a kind its models are trained on |
//!
//! A choice that forces a tool which is not sent is refused. OpenAI takes no function whose schema is not that of an
//! object with `properties`, so these are put in where they are missing.

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::ACCOUNT;

use crate::convert::messages::client_tools::{ClientTool, client_tool};
use crate::convert::messages::loaded_tools::{LoadedTools, fits};
use crate::convert::messages::names::Names;
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::{Json, get};
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

#[derive(Default)]
pub(in crate::convert) struct Tools<'a> {
    pub list: Vec<Json<'a>>,
    pub choice: Option<Json<'a>>,
    /// No parallel calls.
    pub one_at_a_time: bool,
}

struct ToolDeclaration<'a> {
    kind: Kind,
    name: Text<'a>,
    description: Option<Text<'a>>,
    schema: Option<&'a RawValue>,
    deferred: bool,
    path: String,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Defined by the client.
    Own,
    /// Defined by Anthropic and run by the client.
    ClientTool(ClientTool),
    /// Searches for deferred tools.
    ToolSearch,
}

impl<'a> ToolDeclaration<'a> {
    fn read(raw: &'a RawValue, path: String) -> Result<Self, FieldRefusal> {
        let tool = Object::read(raw.get(), &path)?;
        let kind: Option<Text<'a>> = tool.want("type", &path)?;
        let known = match kind.as_deref() {
            None | Some("custom") => Some(Kind::Own),
            Some(kind) if kind.starts_with("tool_search_tool_") => Some(Kind::ToolSearch),
            Some(kind) => client_tool(kind).map(Kind::ClientTool),
        };
        let Some(known) = known else {
            let kind = kind.as_deref().unwrap_or_default();
            return Err(FieldRefusal::at(
                &path,
                format_args!("tools of the type `{kind}` cannot be sent to {ACCOUNT}"),
            ));
        };
        let deferred: Option<bool> = tool.want("defer_loading", &path)?;
        let name: Text<'a> = tool.must("name", &path)?;
        fits(&name, &path)?;
        Ok(Self {
            kind: known,
            name,
            description: tool.want("description", &path)?,
            schema: tool.raw("input_schema"),
            deferred: deferred.unwrap_or_default(),
            path,
        })
    }
}

pub(super) fn convert<'a>(
    body: &Object<'a>,
    loading: &LoadedTools<'a>,
    names: &mut Names,
    budget: &Budget,
) -> Result<Tools<'a>, FieldRefusal> {
    let declared = read(body, loading)?;
    let all = declared.iter().any(|tool| matches!(tool.kind, Kind::ToolSearch));
    let mut tools = Tools::default();
    // The client's names of the tools that are sent.
    let mut sent: HashSet<Text<'a>> = HashSet::new();
    for tool in declared {
        let absent = tool.deferred && !all && !loading.loaded.contains(&tool.name)
            || loading.removed.contains(&tool.name)
            || matches!(tool.kind, Kind::ToolSearch);
        if !absent {
            sent.insert(tool.name.clone());
            tools.list.push(function(tool, names, budget)?);
        }
    }
    let choice: Option<Object<'a>> = body.want("tool_choice", "")?;
    if let Some(choice) = choice {
        tools.choice = Some(choose(&choice, &sent, names)?);
        let alone: Option<bool> = choice.want("disable_parallel_tool_use", "tool_choice")?;
        tools.one_at_a_time = alone.unwrap_or_default();
    }
    Ok(tools)
}

fn read<'a>(body: &Object<'a>, loading: &LoadedTools<'a>) -> Result<Vec<ToolDeclaration<'a>>, FieldRefusal> {
    let tools: Option<List<'a>> = body.want("tools", "")?;
    let tools = tools.into_iter().flatten().enumerate();
    let tools = tools.map(|(index, raw)| (raw, format!("tools.{index}")));
    let added = loading.added.iter().cloned();
    let mut declared: Vec<ToolDeclaration<'a>> = Vec::new();
    let mut places: HashMap<Text<'a>, usize> = HashMap::new();
    for (raw, path) in tools.chain(added) {
        let tool = ToolDeclaration::read(raw, path)?;
        // A later definition replaces an earlier one of the same name.
        let place = places.entry(tool.name.clone()).or_insert(declared.len());
        match declared.get_mut(*place) {
            Some(before) => *before = tool,
            None => declared.push(tool),
        }
    }
    Ok(declared)
}

fn function<'a>(
    tool: ToolDeclaration<'a>,
    names: &mut Names,
    budget: &Budget,
) -> Result<Json<'a>, FieldRefusal> {
    let (description, schema) = match tool.kind {
        Kind::ClientTool(known) => {
            let schema: Option<&'static RawValue> = serde_json::from_slice(known.schema.as_bytes()).ok();
            (known.description.into(), schema)
        }
        _ => (tool.description.unwrap_or_default(), tool.schema),
    };
    budget.value(description.len())?;
    let schema = match schema {
        Some(schema) => Json::read(schema, budget).map_err(|error| {
            let place = format!("{}.input_schema", tool.path);
            match budget.overdrawn() {
                Some(overdrawn) => FieldRefusal::at(place, overdrawn),
                None => FieldRefusal::at(place, error),
            }
        })?,
        None => Json::Map(Vec::new()),
    };
    let mut function = Json::map([
        ("type", Json::text("function")),
        ("name", Json::Text(Text(names.send_text(tool.name)))),
    ]);
    if !description.is_empty() {
        function.put("description", description.into());
    }
    function.put("parameters", of_object(schema));
    // OpenAI's default would enforce schemas that were not written for strict mode.
    function.put("strict", Json::Bool(false));
    Ok(function)
}

/// Sets the schema's type to `object`.
fn of_object(schema: Json<'_>) -> Json<'_> {
    let Json::Map(mut members) = schema else {
        return schema;
    };
    if get(&members, "type").is_none() {
        members.insert(0, ("type".into(), Json::text("object")));
    }
    if get(&members, "properties").is_none() {
        members.push(("properties".into(), Json::Map(Vec::new())));
    }
    Json::Map(members)
}

fn choose<'a>(
    choice: &Object<'a>,
    sent: &HashSet<Text<'a>>,
    names: &mut Names,
) -> Result<Json<'a>, FieldRefusal> {
    let kind: Text<'a> = choice.must("type", "tool_choice")?;
    Ok(match &*kind {
        "auto" => Json::text("auto"),
        "any" => Json::text("required"),
        "none" => Json::text("none"),
        "tool" => {
            let name: Text<'a> = choice.must("name", "tool_choice")?;
            if !sent.contains(&name) {
                return Err(FieldRefusal::at(
                    "tool_choice",
                    format_args!(
                        "the tool `{}` is not among those that can be sent to {ACCOUNT}",
                        &*name
                    ),
                ));
            }
            let name = Json::Text(Text(names.send_text(name)));
            Json::map([("type", Json::text("function")), ("name", name)])
        }
        other => {
            return Err(FieldRefusal::at(
                "tool_choice.type",
                format_args!("`{other}` is not `auto`, `any`, `tool` or `none`"),
            ));
        }
    })
}
