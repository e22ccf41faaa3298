//! Generation parameters: length, randomness, thinking, output format.

use super::ACCOUNT;

use crate::convert::messages_to_responses::model::Model;
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::{Json, get};
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// OpenAI's smallest `max_output_tokens`.
const LEAST_OUTPUT: u64 = 16;

/// Budgets up to `LITTLE` tokens become a low effort, up to `SOME` a medium one.
const LITTLE: u64 = 4_096;
const SOME: u64 = 16_384;

/// The schema's name, which OpenAI requires.
const SCHEMA: &str = "answer";

/// Writes the parameters into the request. Returns true if the client wants the thinking, to show or to return
/// it.
pub(super) fn convert<'a>(
    body: &Object<'a>,
    effort: Option<&str>,
    model: Model,
    login: bool,
    out: &mut Json<'a>,
    budget: &Budget,
) -> Result<bool, FieldRefusal> {
    let stops: Option<List<'a>> = body.want("stop_sequences", "")?;
    if stops.is_some_and(|stops| !stops.is_empty()) {
        return Err(FieldRefusal::at(
            "stop_sequences",
            format_args!("{ACCOUNT} does not support stop sequences. Leave them out"),
        ));
    }
    let most: Option<u64> = body.want("max_tokens", "")?;
    if let (Some(most), false) = (most, login) {
        out.put("max_output_tokens", Json::Number(most.max(LEAST_OUTPUT).into()));
    }
    for name in ["temperature", "top_p"] {
        let value = body.number(name, "")?;
        if let (Some(value), false) = (value, login || model.reasons) {
            out.put(name, Json::raw(value));
        }
    }
    let config: Option<Object<'a>> = body.want("output_config", "")?;
    let said: Option<Text<'a>> = match &config {
        Some(config) => config.want("effort", "output_config")?,
        None => None,
    };
    let thinking = thinking(body)?;
    if model.reasons {
        reason(effort.or(said.as_deref()), &thinking, model, out)?;
    }
    // `output_format` is the parameter's former place.
    let mut format: Option<Object<'a>> = match config {
        Some(config) => config.want("format", "output_config")?,
        None => None,
    };
    if format.is_none() {
        format = body.want("output_format", "")?;
    }
    if let Some(format) = format {
        out.put("text", shape(&format, budget)?);
    }
    Ok(model.reasons && thinking.on)
}

/// The client's thinking parameters.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::convert) struct Thinking {
    pub on: bool,
    pub budget: Option<u64>,
    pub shown: bool,
}

pub(in crate::convert) fn thinking(body: &Object<'_>) -> Result<Thinking, FieldRefusal> {
    let asked: Option<Object<'_>> = body.want("thinking", "")?;
    let Some(asked) = asked else {
        return Ok(Thinking::default());
    };
    let kind: Text<'_> = asked.must("type", "thinking")?;
    let budget: Option<u64> = match &*kind {
        "disabled" => return Ok(Thinking::default()),
        "enabled" => asked.want("budget_tokens", "thinking")?,
        "adaptive" => None,
        other => {
            return Err(FieldRefusal::at(
                "thinking.type",
                format_args!("`{other}` is not `enabled`, `adaptive` or `disabled`"),
            ));
        }
    };
    let display: Option<Text<'_>> = asked.want("display", "thinking")?;
    Ok(Thinking {
        on: true,
        budget,
        shown: display.as_deref() != Some("omitted"),
    })
}

/// Sets the effort, and asks for the encrypted reasoning that the conversation needs to continue.
fn reason(
    effort: Option<&str>,
    thinking: &Thinking,
    model: Model,
    out: &mut Json<'_>,
) -> Result<(), FieldRefusal> {
    let effort = match (effort, thinking.budget) {
        (Some("low"), _) => Some("low"),
        (Some("medium"), _) => Some("medium"),
        (Some("high"), _) => Some("high"),
        (Some("xhigh" | "max"), _) => Some(model.most),
        (Some(other), _) => {
            return Err(FieldRefusal::at(
                "output_config.effort",
                format_args!("`{other}` is not `low`, `medium`, `high`, `xhigh` or `max`"),
            ));
        }
        (None, Some(budget)) if budget <= LITTLE => Some("low"),
        (None, Some(budget)) if budget <= SOME => Some("medium"),
        (None, Some(_)) => Some("high"),
        // The model's default.
        (None, None) if thinking.on => None,
        (None, None) => Some("low"),
    };
    let mut reasoning = Json::Map(Vec::new());
    if let Some(effort) = effort.filter(|_| model.takes_effort) {
        reasoning.put("effort", Json::text(effort));
    }
    if thinking.shown {
        reasoning.put("summary", Json::text("auto"));
    }
    if reasoning.as_map().is_some_and(|members| !members.is_empty()) {
        out.put("reasoning", reasoning);
    }
    let include = vec![Json::text("reasoning.encrypted_content")];
    out.put("include", Json::List(include));
    Ok(())
}

/// Structured output.
pub(in crate::convert) fn shape<'a>(format: &Object<'a>, budget: &Budget) -> Result<Json<'a>, FieldRefusal> {
    let path = "output_config.format";
    let kind: Text<'a> = format.must("type", path)?;
    if &*kind != "json_schema" {
        return Err(FieldRefusal::at(
            path,
            format_args!("the format `{}` cannot be asked of {ACCOUNT}", &*kind),
        ));
    }
    let Some(schema) = format.json("schema", path, budget)? else {
        return Err(FieldRefusal::at(format_args!("{path}.schema"), "Field required"));
    };
    let strict = Json::Bool(requires_all(&schema, budget)?);
    let format = Json::map([
        ("type", Json::text("json_schema")),
        ("name", Json::text(SCHEMA)),
        ("schema", schema),
        ("strict", strict),
    ]);
    Ok(Json::map([("format", format)]))
}

/// Whether OpenAI can enforce a schema: each of its objects is closed and requires all its properties.
fn requires_all(schema: &Json<'_>, budget: &Budget) -> Result<bool, FieldRefusal> {
    budget.steps(1)?;
    let members = match schema {
        Json::Map(members) => members,
        Json::List(list) => {
            for item in list {
                if !requires_all(item, budget)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        _ => return Ok(true),
    };
    if let Some(Json::Map(properties)) = get(members, "properties") {
        let required = get(members, "required")
            .and_then(Json::as_list)
            .unwrap_or_default();
        let closed = matches!(get(members, "additionalProperties"), Some(Json::Bool(false)));
        let required: std::collections::HashSet<&str> = required.iter().filter_map(Json::as_str).collect();
        if !closed || properties.iter().any(|(name, _)| !required.contains(&**name)) {
            return Ok(false);
        }
    }
    for (name, value) in members {
        // Names of properties are not keywords.
        let inner = match (&**name, value) {
            ("properties" | "$defs" | "definitions", Json::Map(named)) => {
                for (_, schema) in named {
                    if !requires_all(schema, budget)? {
                        return Ok(false);
                    }
                }
                continue;
            }
            ("enum" | "const" | "required" | "default" | "examples", _) => continue,
            (_, value) => value,
        };
        if !requires_all(inner, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}
