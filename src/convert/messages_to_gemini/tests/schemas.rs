//! Schemas, at random: whatever a tool declares, Gemini is given a schema that it takes.

use proptest::prelude::*;
use serde_json::{Value, json};

use serde_json::value::RawValue;

use crate::convert::messages_to_gemini::Form;
use crate::convert::messages_to_gemini::budget::{Budget, BudgetExceeded};
use crate::convert::messages_to_gemini::json::Json;
use crate::convert::messages_to_gemini::schema::reduce;

fn reduced(schema: &Value, form: Form) -> Value {
    let text = schema.to_string();
    let budget = Budget::of(text.len());
    serde_json::to_value(reduced_within(&text, form, &budget).expect("fits")).expect("JSON")
}

fn reduced_within<'a>(text: &'a str, form: Form, budget: &Budget) -> Result<Json<'a>, BudgetExceeded> {
    let raw: &RawValue = serde_json::from_str(text).expect("JSON");
    let schema = Json::read(raw, budget).map_err(|_| budget.overdrawn().expect("JSON"))?;
    reduce(&schema, form, budget)
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({ "type": "string", "format": "uri", "minLength": 1 })),
        Just(json!({ "type": ["integer", "null"], "exclusiveMinimum": 0 })),
        Just(json!({ "type": ["string", "array", "null"], "items": { "type": "string" } })),
        Just(json!({ "const": "x" })),
        Just(json!({ "enum": ["a", 1, true, null] })),
        Just(json!({ "enum": ["a", "b"] })),
        Just(json!({ "$ref": "#/$defs/a" })),
        Just(json!({ "$ref": "#" , "description": "d" })),
        Just(json!({ "$ref": "#/properties/a/items" })),
        Just(json!({ "$ref": "https://example.com/x.json" })),
        Just(json!({ "type": "null" })),
        Just(json!(true)),
        Just(json!({})),
        Just(json!([1])),
    ];
    let inner = leaf.prop_recursive(5, 60, 5, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..4);
        let map = proptest::collection::btree_map("[a-d$]{1,2}", inner.clone(), 0..4);
        prop_oneof![
            (map, proptest::collection::vec("[a-d]", 0..3)).prop_map(|(properties, required)| json!({
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
                "patternProperties": { "^x": {} }, "$comment": "c", "propertyNames": { "pattern": "x" },
            })),
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items, "uniqueItems": true })),
            list.clone().prop_map(|items| json!({ "items": items })),
            list.clone().prop_map(|items| json!({ "type": "array", "prefixItems": items })),
            list.clone().prop_map(|any| json!({ "anyOf": any, "title": "t" })),
            list.clone().prop_map(|one| json!({ "oneOf": one, "anyOf": [{ "type": "null" }] })),
            list.prop_map(|all| json!({ "allOf": all, "description": "d" })),
            inner.prop_map(|not| json!({ "not": not.clone(), "if": not, "additionalProperties": not })),
        ]
    });
    (inner.clone(), inner).prop_map(|(mut schema, def)| {
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("$defs".to_owned(), json!({ "a": def }));
            schema.insert(
                "$schema".to_owned(),
                json!("http://json-schema.org/draft-07/schema#"),
            );
        }
        schema
    })
}

/// Nothing but what the form takes, everywhere.
fn fits(schema: &Value, form: Form, depth: usize) {
    assert!(depth <= 40, "it ends");
    let older = form == Form::OpenApi;
    let schema = schema.as_object().expect("a schema is an object");
    for (key, value) in schema {
        match key.as_str() {
            "type" if older => {
                let known = ["STRING", "INTEGER", "NUMBER", "BOOLEAN", "ARRAY", "OBJECT"];
                assert!(known.contains(&value.as_str().unwrap()), "{value}");
            }
            "type" | "title" | "description" | "minItems" | "maxItems" | "minimum" | "maximum"
            | "minLength" | "maxLength" | "pattern" | "default" => {}
            "nullable" => assert!(older),
            "format" => assert!(!older),
            "enum" => {
                let values = value.as_array().unwrap();
                assert!(!values.is_empty());
                assert!(
                    values
                        .iter()
                        .all(|value| value.is_string() || !older && value.is_number())
                );
            }
            "properties" => value
                .as_object()
                .unwrap()
                .values()
                .for_each(|value| fits(value, form, depth + 1)),
            "required" => {
                let known = schema["properties"].as_object().unwrap();
                assert!(
                    value
                        .as_array()
                        .unwrap()
                        .iter()
                        .all(|name| known.contains_key(name.as_str().unwrap()))
                );
            }
            "items" => fits(value, form, depth + 1),
            "prefixItems" if !older => value
                .as_array()
                .unwrap()
                .iter()
                .for_each(|value| fits(value, form, depth + 1)),
            "anyOf" => {
                let branches = value.as_array().unwrap();
                assert!(branches.len() > 1);
                for branch in branches {
                    fits(branch, form, depth + 1);
                }
            }
            "additionalProperties" if !older => {
                if !value.is_boolean() {
                    fits(value, form, depth + 1);
                }
            }
            other => panic!("{other} in {schema:?}"),
        }
    }
    if older {
        assert!(
            schema.contains_key("type") || schema.contains_key("anyOf"),
            "{schema:?}"
        );
        assert!(
            schema.get("type") != Some(&json!("ARRAY")) || schema.contains_key("items"),
            "{schema:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_schema_fits(schema in schema()) {
        for form in [Form::JsonSchema, Form::OpenApi] {
            let reduced = reduced(&schema, form);
            fits(&reduced, form, 0);
            prop_assert!(reduced.to_string().len() < 2_000_000);
        }
    }
}

#[test]
fn references_are_written_out_until_they_repeat() {
    let tree = json!({
        "type": "object", "$defs": { "Node": { "type": "object", "description": "A node.", "properties": {
            "next": { "$ref": "#/$defs/Node" }, "name": { "type": "string" } } } },
        "properties": { "root": { "$ref": "#/$defs/Node", "description": "The root." } },
    });
    assert_eq!(
        reduced(&tree, Form::JsonSchema),
        json!({ "type": "object", "properties": { "root": { "type": "object", "description": "The root.", "properties": {
            "next": { "type": "object", "description": "A node." }, "name": { "type": "string" } } } } })
    );
}

#[test]
fn references_to_references_do_not_grow_without_end() {
    let mut defs = serde_json::Map::new();
    for level in 0..20 {
        let next = json!({ "$ref": format!("#/$defs/l{}", level + 1) });
        defs.insert(
            format!("l{level}"),
            json!({ "type": "object", "properties": { "a": next, "b": next, "c": next } }),
        );
    }
    let bomb = json!({ "$ref": "#/$defs/l0", "$defs": defs });
    assert!(reduced(&bomb, Form::JsonSchema).to_string().len() < 1 << 20);
}

#[test]
fn depth_ends() {
    let mut deep = json!({ "type": "string" });
    for _ in 0..60 {
        deep = json!({ "type": "object", "properties": { "a": deep }, "required": ["a"] });
    }
    for form in [Form::JsonSchema, Form::OpenApi] {
        fits(&reduced(&deep, form), form, 0);
    }
}

#[test]
fn the_order_of_properties_stays() {
    let text = r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}"#;
    let budget = Budget::of(text.len());
    let reduced = reduced_within(text, Form::JsonSchema, &budget).unwrap();
    assert_eq!(serde_json::to_string(&reduced).unwrap(), text);
}

#[test]
fn the_older_form() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["a", "gone"],
        "properties": {
            "a": { "type": ["string", "null"], "format": "uri" },
            "b": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
            "c": { "oneOf": [{ "const": "x" }, { "type": "array" }] },
            "d": { "enum": [1, 2] },
            "e": { "type": ["string", "object"], "properties": { "k": {} } },
            "f": { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10 },
            "g": { "type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10 },
        },
    });
    assert_eq!(
        reduced(&schema, Form::OpenApi),
        json!({
            "type": "OBJECT", "required": ["a"],
            "properties": {
                "a": { "type": "STRING", "nullable": true },
                "b": { "type": "INTEGER", "nullable": true },
                "c": { "anyOf": [{ "type": "STRING", "enum": ["x"] }, { "type": "ARRAY", "items": { "type": "STRING" } }] },
                "d": { "type": "INTEGER" },
                "e": { "anyOf": [{ "type": "STRING" }, { "type": "OBJECT", "properties": { "k": { "type": "STRING" } } }] },
                "f": { "type": "NUMBER", "minimum": 0, "maximum": 10 },
                "g": { "type": "INTEGER", "minimum": 1, "maximum": 9 },
            },
        })
    );
}
