//! Adapts a JSON Schema to Claude's structured output.
//!
//! Claude refuses schemas with bounds on numbers, texts and lists, and requires closed objects. Bounds move into
//! the description, where the model still reads them.

use crate::dialect::wire::json::{Json, get};
use crate::dialect::wire::text::Text;

const BOUNDS: [&str; 12] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// Returns the adapted schema; the error names the unsupported part.
pub(in crate::convert) fn strict(schema: Json<'_>) -> Result<Json<'_>, &'static str> {
    let Json::Map(members) = schema else {
        return Ok(schema);
    };
    let is_object = match get(&members, "type") {
        Some(Json::Text(kind)) => &**kind == "object",
        Some(Json::List(kinds)) => kinds.iter().any(|kind| kind.as_str() == Some("object")),
        _ => get(&members, "properties").is_some(),
    };
    if is_object && !matches!(get(&members, "properties"), Some(Json::Map(known)) if !known.is_empty()) {
        return Err("an object must name its properties");
    }
    let mut kept = Vec::with_capacity(members.len() + 1);
    let mut bounds = Vec::new();
    let mut description = None;
    for (name, value) in members {
        match &*name {
            "properties" | "$defs" | "definitions" => kept.push((name, each(value)?)),
            "items" => kept.push((name, strict(value)?)),
            "anyOf" | "allOf" => kept.push((name, all(value)?)),
            "oneOf" => kept.push(("anyOf".into(), all(value)?)),
            "additionalProperties" if is_object => {}
            "description" => description = Some(value),
            "minItems" if is_small(&value) => kept.push((name, value)),
            bound if BOUNDS.contains(&bound) => {
                let value = String::from_utf8(value.to_bytes()).unwrap_or_default();
                bounds.push(format!("{bound}: {value}"));
            }
            _ => kept.push((name, value)),
        }
    }
    if !bounds.is_empty() {
        let bounds = format!("({})", bounds.join(", "));
        let words = match &description {
            Some(Json::Text(words)) => format!("{} {bounds}", &**words),
            _ => bounds,
        };
        description = Some(Text::from(words).into());
    }
    if let Some(description) = description {
        kept.push(("description".into(), description));
    }
    if is_object {
        kept.push(("additionalProperties".into(), Json::Bool(false)));
    }
    Ok(Json::Map(kept))
}

fn each(schemas: Json<'_>) -> Result<Json<'_>, &'static str> {
    let Json::Map(members) = schemas else {
        return Ok(schemas);
    };
    let members = members.into_iter();
    let members = members.map(|(name, schema)| strict(schema).map(|schema| (name, schema)));
    Ok(Json::Map(members.collect::<Result<_, _>>()?))
}

fn all(schemas: Json<'_>) -> Result<Json<'_>, &'static str> {
    let Json::List(list) = schemas else {
        return Ok(schemas);
    };
    Ok(Json::List(
        list.into_iter().map(strict).collect::<Result<_, _>>()?,
    ))
}

/// Claude supports bounds this small.
fn is_small(bound: &Json<'_>) -> bool {
    matches!(bound, Json::Number(number) if number.as_u64().is_some_and(|least| least <= 1))
}
