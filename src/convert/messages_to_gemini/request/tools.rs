//! Tools and the choice among them.
//!
//! | a tool | becomes |
//! | --- | --- |
//! | of the client's own | a function |
//! | `bash_*`, `text_editor_*`, `memory_*` | a function: they run at the client, only their schema is Anthropic's |
//! | `web_search_*` | `googleSearch`, in a call without functions; domains that it may or may not search become words of the instructions |
//! | `tool_search_tool_*` | nothing: with it there, every deferred tool is declared |
//! | any other of Anthropic's | refused: it runs at Anthropic, or is of a kind its models are trained on |
//!
//! Gemini takes its own tools and functions together from no model older than 3, and then only with parts of a
//! kind (`toolCall`, `toolResponse`) that must come back as they were and have no place in a client's
//! conversation. So a search beside functions is refused: the client can ask for it in a call of its own, as
//! Claude Code does. `web_fetch_*` is refused as well: Gemini has `urlContext`, but does not tell what it read,
//! and the protocol has the document in its result. A choice that forces a tool which is not sent is refused.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::convert::messages::client_tools::{ClientTool, client_tool};
use crate::convert::messages::loaded_tools::{LoadedTools, fits};
use crate::convert::messages::names::Names;
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::error::FieldRefusal;
use crate::convert::messages_to_gemini::json::Json;
use crate::convert::messages_to_gemini::object::{List, Object};
use crate::convert::messages_to_gemini::schema::{self, Form};
use crate::convert::messages_to_gemini::text::Text;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Tool<'a> {
    FunctionDeclarations(Vec<Function<'a>>),
    GoogleSearch {},
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Function<'a> {
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
    pub list: Vec<Tool<'a>>,
    pub config: Option<ToolConfig<'a>>,
    /// A line about the tools for the instructions.
    pub words: Option<String>,
    /// The client's name for the search.
    pub search: Option<String>,
}

struct ToolDeclaration<'a> {
    kind: Kind,
    name: Text<'a>,
    description: Option<Text<'a>>,
    schema: Option<&'a RawValue>,
    deferred: bool,
    object: Object<'a>,
    path: String,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Defined by the client.
    Own,
    /// Defined by Anthropic and run by the client.
    ClientTool(ClientTool),
    Search,
    /// Searches for deferred tools.
    ToolSearch,
}

impl Kind {
    fn of(kind: Option<&str>) -> Option<Self> {
        Some(match kind {
            None | Some("custom") => Self::Own,
            Some(kind) if kind.starts_with("web_search_") => Self::Search,
            Some(kind) if kind.starts_with("tool_search_tool_") => Self::ToolSearch,
            Some(kind) => Self::ClientTool(client_tool(kind)?),
        })
    }
}

impl<'a> ToolDeclaration<'a> {
    fn read(raw: &'a RawValue, path: String) -> Result<Self, FieldRefusal> {
        let tool = Object::read(raw.get(), &path)?;
        let kind: Option<Text<'a>> = tool.want("type", &path)?;
        let Some(kind) = Kind::of(kind.as_deref()) else {
            let kind = kind.as_deref().unwrap_or_default();
            return Err(FieldRefusal::at(
                &path,
                format_args!("tools of the type `{kind}` cannot be sent to a Gemini account"),
            ));
        };
        let deferred: Option<bool> = tool.want("defer_loading", &path)?;
        let name: Text<'a> = tool.must("name", &path)?;
        fits(&name, &path)?;
        Ok(Self {
            kind,
            name,
            description: tool.want("description", &path)?,
            schema: tool.raw("input_schema"),
            deferred: deferred.unwrap_or_default(),
            object: tool,
            path,
        })
    }
}

pub(super) fn convert<'a>(
    body: &Object<'a>,
    loading: &LoadedTools<'a>,
    names: &mut Names,
    form: Form,
    budget: &Budget,
) -> Result<Tools<'a>, FieldRefusal> {
    let declared = read(body, loading)?;
    let all = declared.iter().any(|tool| matches!(tool.kind, Kind::ToolSearch));
    let mut functions = Vec::new();
    let mut search = None;
    // The client's names of the tools that are sent.
    let mut sent: HashSet<Text<'a>> = HashSet::new();
    for tool in declared {
        let absent = tool.deferred && !all && !loading.loaded.contains(&tool.name)
            || loading.removed.contains(&tool.name);
        if absent {
            continue;
        }
        match tool.kind {
            Kind::ToolSearch => {}
            Kind::Search => search = Some(tool),
            Kind::Own | Kind::ClientTool(_) => {
                sent.insert(tool.name.clone());
                functions.push(function(tool, names, form, budget)?);
            }
        }
    }
    if let (Some(search), false) = (&search, functions.is_empty()) {
        return Err(FieldRefusal::at(
            &search.path,
            "a Gemini account searches the web only in a call without other tools: send the search in a call of its own",
        ));
    }
    let choice: Option<Object<'a>> = body.want("tool_choice", "")?;
    if let Some(search) = search {
        return searching(&search, choice.as_ref());
    }
    if functions.is_empty() {
        if let Some(choice) = &choice
            && choice.get("type").is_some_and(|kind: Text<'_>| &*kind == "tool")
        {
            named(choice, &sent)?;
        }
        return Ok(Tools {
            list: Vec::new(),
            config: None,
            words: None,
            search: None,
        });
    }
    let config = choice.map(|choice| choose(&choice, &sent, names)).transpose()?;
    Ok(Tools {
        list: vec![Tool::FunctionDeclarations(functions)],
        config,
        words: None,
        search: None,
    })
}

/// Maximum number of domains in the instructions.
const MOST_DOMAINS: usize = 100;

/// Gemini decides itself when to search, so no choice can be forced. `max_uses` and `user_location` are dropped.
fn searching<'a>(
    search: &ToolDeclaration<'a>,
    choice: Option<&Object<'a>>,
) -> Result<Tools<'a>, FieldRefusal> {
    let mut tools = Tools {
        list: vec![Tool::GoogleSearch {}],
        config: None,
        words: None,
        search: Some(search.name.to_string()),
    };
    if let Some(choice) = choice {
        let kind: Text<'a> = choice.must("type", "tool_choice")?;
        match &*kind {
            "none" => {
                tools.list.clear();
                tools.search = None;
                return Ok(tools);
            }
            "tool" => {
                named(choice, &HashSet::from([search.name.clone()]))?;
            }
            _ => {}
        }
    }
    let mut words = Vec::new();
    for (key, rule) in [
        ("allowed_domains", "Search and use only pages of these domains:"),
        ("blocked_domains", "Do not search or use pages of these domains:"),
    ] {
        let domains = search.object.texts(key, &search.path, MOST_DOMAINS)?;
        if let Some(domains) = domains.filter(|domains| !domains.is_empty()) {
            let domains: Vec<&str> = domains.iter().map(|domain| &**domain).collect();
            words.push(format!("{rule} {}.", domains.join(", ")));
        }
    }
    tools.words = (!words.is_empty()).then(|| words.join("\n"));
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
    form: Form,
    budget: &Budget,
) -> Result<Function<'a>, FieldRefusal> {
    let place = || format!("{}.input_schema", tool.path);
    let (description, schema) = match tool.kind {
        Kind::ClientTool(known) => {
            let schema: Option<&'static RawValue> = serde_json::from_slice(known.schema.as_bytes()).ok();
            (known.description.into(), schema)
        }
        _ => (tool.description.unwrap_or_default().0, tool.schema),
    };
    budget.value(description.len())?;
    let reduced = schema.map(|schema| {
        let schema = Json::read(schema, budget).map_err(|error| match budget.overdrawn() {
            Some(overdrawn) => FieldRefusal::at(place(), overdrawn),
            None => FieldRefusal::at(place(), error),
        })?;
        let reduced = schema::reduce(&schema, form, budget);
        reduced.map_err(|overdrawn| FieldRefusal::at(place(), overdrawn))
    });
    let schema = reduced.transpose()?;
    let (parameters, parameters_json_schema) = match form {
        Form::JsonSchema => (None, schema),
        Form::OpenApi => (schema.filter(|schema| !schema::is_empty(schema)), None),
    };
    Ok(Function {
        name: names.send_text(tool.name),
        description,
        parameters,
        parameters_json_schema,
    })
}

fn choose<'a>(
    choice: &Object<'a>,
    sent: &HashSet<Text<'a>>,
    names: &mut Names,
) -> Result<ToolConfig<'a>, FieldRefusal> {
    let kind: Text<'a> = choice.must("type", "tool_choice")?;
    let (mode, only) = match &*kind {
        "auto" => ("AUTO", None),
        "any" => ("ANY", None),
        "none" => ("NONE", None),
        "tool" => ("ANY", Some([names.send_text(named(choice, sent)?)])),
        other => {
            return Err(FieldRefusal::at(
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

fn named<'a>(choice: &Object<'a>, sent: &HashSet<Text<'a>>) -> Result<Text<'a>, FieldRefusal> {
    let name: Text<'a> = choice.must("name", "tool_choice")?;
    if sent.contains(&name) {
        return Ok(name);
    }
    Err(FieldRefusal::at(
        "tool_choice",
        format_args!(
            "the tool `{}` is not among those that can be sent to a Gemini account",
            &*name
        ),
    ))
}
