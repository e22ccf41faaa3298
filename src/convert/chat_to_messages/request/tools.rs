//! Tools and `tool_choice`.

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

#[derive(Default)]
pub(super) struct Tools<'a> {
    pub list: Vec<Json<'a>>,
    pub choice: Option<Json<'a>>,
    /// A tool call is required, which rules out thinking.
    pub forced: bool,
}

/// `called`: names of the tools called earlier in the conversation.
pub(super) fn convert<'a>(
    body: &Object<'a>,
    called: Vec<Text<'a>>,
    budget: &Budget,
) -> Result<Tools<'a>, FieldRefusal> {
    let declared: Option<List<'a>> = body.want("tools", "")?;
    let mut tools = Tools::default();
    let mut names = Vec::new();
    for (index, raw) in declared.into_iter().flatten().enumerate() {
        let path = format!("tools.{index}");
        let (name, tool) = tool(raw, &path, budget)?;
        names.push(name);
        tools.list.push(tool);
    }
    if tools.list.is_empty() {
        if let Some(Choice::One(name)) = choice(body)? {
            return Err(unknown(&name));
        }
        if !called.is_empty() {
            tools.list = called
                .into_iter()
                .map(|name| described(name, None, anything()))
                .collect();
            tools.choice = Some(Json::map([("type", Json::text("none"))]));
        }
        return Ok(tools);
    }
    let alone = body.want("parallel_tool_calls", "")? == Some(false);
    let (kind, name) = match choice(body)? {
        None if !alone => return Ok(tools),
        None | Some(Choice::Auto) => ("auto", None),
        Some(Choice::None) => ("none", None),
        Some(Choice::Any) => ("any", None),
        Some(Choice::One(name)) if names.contains(&name) => ("tool", Some(name)),
        Some(Choice::One(name)) => return Err(unknown(&name)),
        Some(Choice::Of(allowed, required)) => {
            let known: HashSet<&Text<'a>> = names.iter().collect();
            if let Some(name) = allowed.iter().find(|name| !known.contains(name)) {
                return Err(unknown(name));
            }
            let allowed: HashSet<&Text<'a>> = allowed.iter().collect();
            let mut names = names.iter();
            tools
                .list
                .retain(|_| names.next().is_some_and(|name| allowed.contains(name)));
            (if required { "any" } else { "auto" }, None)
        }
    };
    tools.forced = matches!(kind, "any" | "tool");
    let mut choice = Json::map([("type", Json::text(kind))]);
    if let Some(name) = name {
        choice.put("name", name.into());
    }
    if alone && kind != "none" {
        choice.put("disable_parallel_tool_use", Json::Bool(true));
    }
    tools.choice = Some(choice);
    Ok(tools)
}

fn tool<'a>(raw: &'a RawValue, path: &str, budget: &Budget) -> Result<(Text<'a>, Json<'a>), FieldRefusal> {
    budget.value(raw.get().len())?;
    let tool = Object::read(raw.get(), path)?;
    let kind: Text<'a> = tool.must("type", path)?;
    if &*kind != "function" {
        return Err(FieldRefusal::at(
            path,
            format_args!("tools of the type `{}` cannot be sent to this model", &*kind),
        ));
    }
    let function: Object<'a> = tool.must("function", path)?;
    let path = format!("{path}.function");
    let name: Text<'a> = function.must("name", &path)?;
    let description: Option<Text<'a>> = function.want("description", &path)?;
    let schema = match function.raw("parameters") {
        None => anything(),
        Some(raw) => {
            let object = Object::read(raw.get(), &format!("{path}.parameters"))?;
            if object.raw("type").is_some() {
                Json::raw(raw)
            } else {
                let mut schema = function
                    .json("parameters", &path, budget)?
                    .unwrap_or_else(anything);
                schema.put("type", Json::text("object"));
                schema
            }
        }
    };
    let mut described = described(name.clone(), description, schema);
    // Clients put it on the tool or on its function.
    let mark = tool.raw("cache_control").or(function.raw("cache_control"));
    if let Some(mark) = mark.filter(|mark| mark.get().starts_with('{')) {
        described.put("cache_control", Json::raw(mark));
    }
    Ok((name, described))
}

fn described<'a>(name: Text<'a>, description: Option<Text<'a>>, schema: Json<'a>) -> Json<'a> {
    let mut tool = Json::map([("name", name.into())]);
    if let Some(description) = description.filter(|description| !description.is_empty()) {
        tool.put("description", description.into());
    }
    tool.put("input_schema", schema);
    tool
}

fn anything<'a>() -> Json<'a> {
    Json::map([
        ("type", Json::text("object")),
        ("properties", Json::Map(Vec::new())),
    ])
}

enum Choice<'a> {
    Auto,
    None,
    Any,
    One(Text<'a>),
    /// Only these tools; `true` if one of them must be called.
    Of(Vec<Text<'a>>, bool),
}

fn choice<'a>(body: &Object<'a>) -> Result<Option<Choice<'a>>, FieldRefusal> {
    let path = "tool_choice";
    let Some(raw) = body.raw(path) else {
        return Ok(None);
    };
    if raw.get().starts_with('"') {
        let word: Text<'a> = body.must(path, "")?;
        return Ok(Some(match &*word {
            "auto" => Choice::Auto,
            "none" => Choice::None,
            "required" => Choice::Any,
            other => {
                return Err(FieldRefusal::at(
                    path,
                    format_args!("`{other}` is not `auto`, `none` or `required`"),
                ));
            }
        }));
    }
    let choice = Object::read(raw.get(), path)?;
    let kind: Text<'a> = choice.must("type", path)?;
    match &*kind {
        "function" => Ok(Some(Choice::One(named(&choice, path)?))),
        "allowed_tools" => {
            let place = format!("{path}.allowed_tools");
            let allowed: Object<'a> = choice.must("allowed_tools", path)?;
            let mode: Text<'a> = allowed.must("mode", &place)?;
            let tools: List<'a> = allowed.must("tools", &place)?;
            let names = tools.into_iter().enumerate().map(|(index, raw)| {
                let place = format!("{place}.tools.{index}");
                named(&Object::read(raw.get(), &place)?, &place)
            });
            Ok(Some(Choice::Of(
                names.collect::<Result<_, _>>()?,
                &*mode == "required",
            )))
        }
        other => Err(FieldRefusal::at(
            path,
            format_args!("`{other}` cannot be asked of this model"),
        )),
    }
}

fn named<'a>(choice: &Object<'a>, path: &str) -> Result<Text<'a>, FieldRefusal> {
    let function: Object<'a> = choice.must("function", path)?;
    function.must("name", &format!("{path}.function"))
}

fn unknown(name: &str) -> FieldRefusal {
    FieldRefusal::at(
        "tool_choice",
        format_args!("there is no tool `{name}` among `tools`"),
    )
}
