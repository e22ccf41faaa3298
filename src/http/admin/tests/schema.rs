//! Holds answers against `/openapi.json`: every answer of a [`Bench`](super::bench::Bench) must be as it is described,
//! field by field. A field that is described by another name, or not at all, fails whichever test meets it.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(super::super::description::OPENAPI).unwrap());

/// Checks an answer against its schema; `Ok` also if this status has none.
pub(super) fn check(method: &str, path: &str, status: u16, answer: &Value) -> Result<(), String> {
    let Some(responses) = responses(method, path) else {
        return Ok(());
    };
    let described = responses.get(&status.to_string());
    let schema = match described.map(|response| &response["content"]["application/json"]["schema"]) {
        Some(schema) if !schema.is_null() => schema,
        // Errors that any route may have are described once, for all.
        _ if status >= 400 && !answer.is_null() => &DOCUMENT["components"]["schemas"]["ErrorBody"],
        None if status < 400 => return Err(format!("the status {status} is not described")),
        _ => return Ok(()),
    };
    fits(schema, answer, "")
}

/// The responses of the route that serves this path; a path that is written out wins.
fn responses(method: &str, path: &str) -> Option<&'static Map<String, Value>> {
    let path = path.split('?').next().unwrap_or(path);
    let paths = DOCUMENT["paths"].as_object()?;
    let serves = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template
                .zip(path)
                .all(|(part, is)| part.starts_with('{') || part == is)
    };
    let route = paths.get(path).or_else(|| {
        let mut routes = paths.iter().filter(|(template, _)| serves(template));
        routes.next().map(|(_, route)| route)
    })?;
    route.get(method.to_lowercase())?["responses"].as_object()
}

fn fits(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/components/schemas/");
        return fits(&DOCUMENT["components"]["schemas"][name], value, at);
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let wrong: Vec<String> = choices
                .iter()
                .filter_map(|one| fits(one, value, at).err())
                .collect();
            return if wrong.len() < choices.len() {
                Ok(())
            } else {
                Err(wrong.join("; or "))
            };
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        // Each part describes some of the fields; a field is described if one of them does.
        return fits(&merged(parts), value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !(types.contains(&is) || is == "integer" && types.contains(&"number")) {
        return Err(format!("{at} is {is}, described as {types:?}"));
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return Err(format!("{at} is {value}, described as one of {values:?}"));
    }
    match value {
        Value::Object(fields) => fields_fit(schema, fields, at),
        Value::Array(items) if schema["items"].is_object() => items
            .iter()
            .enumerate()
            .try_for_each(|(n, item)| fits(&schema["items"], item, &format!("{at}[{n}]"))),
        _ => Ok(()),
    }
}

fn fields_fit(schema: &Value, fields: &Map<String, Value>, at: &str) -> Result<(), String> {
    let rest = &schema["additionalProperties"];
    let Some(properties) = schema["properties"].as_object() else {
        return fields.iter().try_for_each(|(name, value)| {
            if rest.is_object() {
                fits(rest, value, &format!("{at}.{name}"))
            } else {
                Ok(())
            }
        });
    };
    for required in schema["required"].as_array().into_iter().flatten() {
        if required.as_str().is_some_and(|name| !fields.contains_key(name)) {
            return Err(format!("{at} lacks {required}"));
        }
    }
    for (name, value) in fields {
        let at = format!("{at}.{name}");
        match properties.get(name) {
            Some(property) => fits(property, value, &at)?,
            None if rest.is_object() => fits(rest, value, &at)?,
            None => return Err(format!("{at} is not described")),
        }
    }
    Ok(())
}

fn merged(parts: &[Value]) -> Value {
    let mut all = Map::new();
    let mut required = Vec::new();
    for part in parts {
        let part = match part["$ref"].as_str() {
            Some(name) => {
                let name = name.trim_start_matches("#/components/schemas/");
                &DOCUMENT["components"]["schemas"][name]
            }
            None => part,
        };
        all.extend(part["properties"].as_object().cloned().unwrap_or_default());
        required.extend(part["required"].as_array().cloned().unwrap_or_default());
    }
    json!({"type": "object", "properties": all, "required": required})
}

#[test]
fn a_field_under_another_name_is_found() {
    let account = |credentials: Value| {
        let fields = &DOCUMENT["components"]["schemas"]["Credentials"];
        fits(fields, &credentials, "")
    };
    assert_eq!(account(json!({"type": "apiKey", "baseUrl": null})), Ok(()));
    for wrong in [
        json!({"type": "apiKey", "base_url": null}),
        json!({"type": "oauth"}),
        json!({"type": "other"}),
        json!({"type": "apiKey", "baseUrl": 1}),
    ] {
        assert!(account(wrong.clone()).is_err(), "{wrong}");
    }
}
