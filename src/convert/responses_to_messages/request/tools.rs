//! Tools, and which of them must be called.
//!
//! | a tool | becomes |
//! | --- | --- |
//! | `function` | a tool, its schema as it is |
//! | `custom` | a tool with one text, `input`; a grammar is description in its description, Claude is not held to it |
//! | `local_shell` | a tool with Codex' parameters |
//! | `namespace` | its tools, each with the namespace before its name |
//! | `web_search` | Anthropic's; without access to the web (`external_web_access: false`) nothing, Claude has no index of its own |
//! | any other | refused: it runs at OpenAI, or is of a kind its models are trained on |

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::ACCOUNT;
use crate::convert::claude::turns::is_blank;

use crate::convert::responses_to_messages::names::{self, Kind, Tools as Names};
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::{Json, get};
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// Maximum number of domains for a search.
const MOST_DOMAINS: usize = 100;

/// The name of Anthropic's search tool.
pub(in crate::convert::responses_to_messages) const SEARCH: &str = "web_search";

const SHELL: &str = r#"{"type":"object","properties":{
    "command":{"type":"array","items":{"type":"string"},"description":"The command and its arguments."},
    "working_directory":{"type":"string"},
    "timeout_ms":{"type":"integer"}},
    "required":["command"]}"#;

#[derive(Default)]
pub(super) struct Tools<'a> {
    pub list: Vec<Json<'a>>,
    pub choice: Option<Json<'a>>,
    /// A tool call is required, which rules out thinking.
    pub forced: bool,
    /// Names sent.
    sent: HashSet<String>,
}

/// `added`: tools defined by items; `called`: names, as sent, of the tools called earlier.
pub(super) fn convert<'a>(
    body: &Object<'a>,
    added: &[(&'a RawValue, String)],
    called: Vec<String>,
    names: &mut Names,
    budget: &Budget,
) -> Result<Tools<'a>, FieldRefusal> {
    let declared: Option<List<'a>> = body.want("tools", "")?;
    let declared = declared.into_iter().flatten().enumerate();
    let declared = declared.map(|(index, raw)| (raw, format!("tools.{index}")));
    let mut tools = Tools::default();
    for (raw, path) in declared.chain(added.iter().cloned()) {
        tools.declare(raw, &path, None, names, budget)?;
    }
    let alone = body.want("parallel_tool_calls", "")? == Some(false);
    choose(body, &mut tools, alone)?;
    if tools.list.is_empty() && !called.is_empty() {
        // Calls of undeclared tools are refused.
        for name in called {
            tools.add(name, None, anything());
        }
        tools.choice = Some(Json::map([("type", Json::text("none"))]));
    }
    Ok(tools)
}

impl<'a> Tools<'a> {
    fn declare(
        &mut self,
        raw: &'a RawValue,
        path: &str,
        namespace: Option<&Text<'a>>,
        names: &mut Names,
        budget: &Budget,
    ) -> Result<(), FieldRefusal> {
        budget.value(raw.get().len())?;
        let tool = Object::read(raw.get(), path)?;
        let kind: Text<'a> = tool.must("type", path)?;
        let of = namespace.map(|namespace| &**namespace);
        match (&*kind, of) {
            ("function", _) => {
                let name: Text<'a> = tool.must("name", path)?;
                fits(&name, path)?;
                let schema = of_object(tool.json("parameters", path, budget)?);
                let sent = names.send(Kind::Function, of, &name);
                self.add(sent, tool.want("description", path)?, schema);
            }
            ("custom", _) => {
                let name: Text<'a> = tool.must("name", path)?;
                fits(&name, path)?;
                let description = custom(&tool, path, budget)?;
                let sent = names.send(Kind::Custom, of, &name);
                self.add(sent, Some(description), one_text());
            }
            ("local_shell", None) => {
                let schema: Option<&'static RawValue> = serde_json::from_slice(SHELL.as_bytes()).ok();
                let sent = names.send(Kind::LocalShell, None, "local_shell");
                let description = Text::from("Runs a command on the user's machine and returns its output.");
                self.add(sent, Some(description), schema.map_or_else(anything, Json::raw));
            }
            ("namespace", None) => {
                let name: Text<'a> = tool.must("name", path)?;
                fits(&name, path)?;
                let inner: List<'a> = tool.must("tools", path)?;
                for (index, raw) in inner.into_iter().enumerate() {
                    self.declare(raw, &format!("{path}.tools.{index}"), Some(&name), names, budget)?;
                }
            }
            (kind, None) if kind.starts_with("web_search") => {
                let live: Option<bool> = tool.want("external_web_access", path)?;
                if live != Some(false) {
                    self.list.push(search(&tool, path)?);
                    self.sent.insert(SEARCH.to_owned());
                }
            }
            (kind, _) => {
                return Err(FieldRefusal::at(
                    path,
                    format_args!("tools of the type `{kind}` cannot be sent to {ACCOUNT}"),
                ));
            }
        }
        Ok(())
    }

    /// For duplicate names the first tool wins.
    fn add(&mut self, name: String, description: Option<Text<'a>>, schema: Json<'a>) {
        if !self.sent.insert(name.clone()) {
            return;
        }
        let mut tool = Json::map([("name", Json::Text(name.into()))]);
        if let Some(description) = description.filter(|description| !is_blank(description)) {
            tool.put("description", description.into());
        }
        tool.put("input_schema", schema);
        self.list.push(tool);
    }
}

/// Checks the length: a tool's name is repeated in each of its calls.
fn fits(name: &str, path: &str) -> Result<(), FieldRefusal> {
    crate::convert::messages::loaded_tools::fits(name, path)
}

/// The description of a tool whose input is free text.
fn custom<'a>(tool: &Object<'a>, path: &str, budget: &Budget) -> Result<Text<'a>, FieldRefusal> {
    let description: Text<'a> = tool.want("description", path)?.unwrap_or_default();
    let format: Option<Object<'a>> = tool.want("format", path)?;
    let Some(format) = format else {
        return Ok(description);
    };
    let place = format!("{path}.format");
    let kind: Text<'a> = format.must("type", &place)?;
    match &*kind {
        "text" => Ok(description),
        "grammar" => {
            let syntax: Text<'a> = format.must("syntax", &place)?;
            let definition: Text<'a> = format.must("definition", &place)?;
            let description = format!(
                "{}\n\n`input` must follow this grammar ({}):\n{}",
                &*description, &*syntax, &*definition
            );
            budget.value(description.len())?;
            Ok(description.into())
        }
        other => Err(FieldRefusal::at(
            place,
            format_args!("the format `{other}` cannot be sent to {ACCOUNT}"),
        )),
    }
}

fn one_text<'a>() -> Json<'a> {
    let input = Json::map([("type", Json::text("string"))]);
    Json::map([
        ("type", Json::text("object")),
        ("properties", Json::map([("input", input)])),
        ("required", Json::List(vec![Json::text("input")])),
    ])
}

fn anything<'a>() -> Json<'a> {
    Json::map([
        ("type", Json::text("object")),
        ("properties", Json::Map(Vec::new())),
    ])
}

/// Sets the schema's type to `object`.
fn of_object(schema: Option<Json<'_>>) -> Json<'_> {
    match schema {
        Some(Json::Map(mut members)) => {
            if get(&members, "type").is_none() {
                members.insert(0, ("type".into(), Json::text("object")));
            }
            Json::Map(members)
        }
        Some(schema) => schema,
        None => anything(),
    }
}

/// Anthropic's search tool. `search_context_size` is dropped.
fn search<'a>(tool: &Object<'a>, path: &str) -> Result<Json<'a>, FieldRefusal> {
    let mut search = Json::map([
        ("type", Json::text("web_search_20250305")),
        ("name", Json::text(SEARCH)),
    ]);
    let filters: Option<Object<'a>> = tool.want("filters", path)?;
    if let Some(filters) = filters {
        let place = format!("{path}.filters");
        for key in ["allowed_domains", "blocked_domains"] {
            let domains = filters.texts(key, &place, MOST_DOMAINS)?.unwrap_or_default();
            if !domains.is_empty() {
                search.put(key, Json::List(domains.into_iter().map(Json::from).collect()));
            }
        }
    }
    if let Some(location) = tool.raw("user_location") {
        search.put("user_location", Json::raw(location));
    }
    Ok(search)
}

fn choose<'a>(body: &Object<'a>, tools: &mut Tools<'a>, alone: bool) -> Result<(), FieldRefusal> {
    let path = "tool_choice";
    let (kind, name) = match body.raw(path) {
        None => ("auto", None),
        Some(raw) if raw.get().starts_with('"') => {
            let word: Text<'a> = body.must(path, "")?;
            match &*word {
                "auto" => ("auto", None),
                "none" => ("none", None),
                "required" => ("any", None),
                other => {
                    return Err(FieldRefusal::at(
                        path,
                        format_args!("`{other}` is not `auto`, `none` or `required`"),
                    ));
                }
            }
        }
        Some(raw) => {
            let choice = Object::read(raw.get(), path)?;
            let kind: Text<'a> = choice.must("type", path)?;
            match &*kind {
                "function" | "custom" => ("tool", Some(named(&choice, path, tools)?)),
                "allowed_tools" => {
                    let mode: Text<'a> = choice.must("mode", path)?;
                    let list: List<'a> = choice.must("tools", path)?;
                    let mut allowed = HashSet::new();
                    for (index, raw) in list.into_iter().enumerate() {
                        let place = format!("{path}.tools.{index}");
                        allowed.insert(named(&Object::read(raw.get(), &place)?, &place, tools)?);
                    }
                    tools.list.retain(|tool| {
                        let name = tool.get("name").and_then(Json::as_str);
                        name.is_some_and(|name| allowed.contains(name))
                    });
                    (if &*mode == "required" { "any" } else { "auto" }, None)
                }
                other => {
                    return Err(FieldRefusal::at(
                        path,
                        format_args!("`{other}` cannot be asked of {ACCOUNT}"),
                    ));
                }
            }
        }
    };
    if tools.list.is_empty() || kind == "auto" && !alone {
        return Ok(());
    }
    tools.forced = matches!(kind, "any" | "tool");
    let mut choice = Json::map([("type", Json::text(kind))]);
    if let Some(name) = name {
        choice.put("name", Json::Text(name.into()));
    }
    if alone && kind != "none" {
        choice.put("disable_parallel_tool_use", Json::Bool(true));
    }
    tools.choice = Some(choice);
    Ok(())
}

/// The sent name of a declared tool.
fn named<'a>(choice: &Object<'a>, path: &str, tools: &Tools<'a>) -> Result<String, FieldRefusal> {
    let name: Text<'a> = choice.must("name", path)?;
    let namespace: Option<Text<'a>> = choice.want("namespace", path)?;
    let sent = names::sent(namespace.as_deref(), &name);
    if tools.sent.contains(&sent) {
        return Ok(sent);
    }
    Err(FieldRefusal::at(
        path,
        format_args!("there is no tool `{}` among `tools`", &*name),
    ))
}
