//! Reduces JSON Schema to the subset that Gemini accepts.
//!
//! In both forms references are expanded, `const` becomes an `enum`, `allOf` is merged, `oneOf` becomes `anyOf`,
//! and keywords that the form does not list are dropped: Gemini refuses a whole request for one unknown keyword.
//! Only checks get lost, and the client repeats them when it receives the call. The size is limited: a recursive
//! reference, anything [`DEEP`] levels down, and everything after [`MANY`] schemas become schemas that allow any
//! value of their type. Real schemas with many references stay small. The [`Budget`] limits the bytes: all output
//! is taken from it before it is copied.
//!
//! The work is linear in input and output, because names are looked up by hash. Each reference reads its target
//! again, including dropped keywords, so reading is taken from the budget as well.

mod draft;
mod ordered_map;

use std::collections::HashMap;

use serde_json::value::RawValue;

use self::draft::{Draft, put, take};
use super::FieldRefusal;
use super::budget::{Budget, BudgetExceeded, BudgetUse, written};
use super::json::{Json, get};
use super::text::Text;

/// Limit for the nesting depth, above that of real schemas. Gemini refuses deeper schemas.
const DEEP: usize = 24;

/// Number of types in JSON Schema.
const TYPES: usize = 7;

/// Limit for the number of schemas written: nested references can expand exponentially.
const MANY: usize = 4_000;

/// The field of Gemini's API that takes the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `parametersJsonSchema` and `responseJsonSchema`: JSON Schema, as Gemini CLI sends it.
    #[default]
    JsonSchema,
    /// `parameters` and `responseSchema`: the older, smaller object, for hosts without the newer fields.
    OpenApi,
}

impl Form {
    /// The keywords that this form accepts. Keywords whose values are schemas are handled one by one.
    fn takes(self, keyword: &str) -> bool {
        let both = matches!(
            keyword,
            "title"
                | "description"
                | "minItems"
                | "maxItems"
                | "minimum"
                | "maximum"
                | "minLength"
                | "maxLength"
                | "minProperties"
                | "maxProperties"
                | "pattern"
                | "default"
        );
        both || self == Self::JsonSchema && keyword == "format"
    }
}

/// Reduces the schema to this form. The output is taken from the budget.
pub(super) fn reduce<'a>(schema: &Json<'a>, form: Form, budget: &Budget) -> Result<Json<'a>, BudgetExceeded> {
    let mut reducer = Reducer {
        root: schema,
        form,
        budget,
        open: Vec::new(),
        left: MANY,
        indexes: HashMap::new(),
    };
    reducer.schema(schema, 0).map(Json::Map)
}

/// Reduces one schema on its own budget and returns what it used; for the integration tests.
pub fn reduced(schema: &str, form: Form) -> (Result<Vec<u8>, FieldRefusal>, BudgetUse) {
    let budget = Budget::of(schema.len());
    let place = "the schema";
    let result = serde_json::from_str::<&RawValue>(schema)
        .and_then(|raw| Json::read(raw, &budget))
        .map_err(|error| FieldRefusal::at(place, error))
        .and_then(|schema| {
            let reduced = reduce(&schema, form, &budget).and_then(|reduced| written(&reduced, &budget));
            reduced.map_err(|overdrawn| FieldRefusal::at(place, overdrawn))
        });
    (result, budget.spent())
}

/// Whether a schema has no properties. The older form refuses such an object.
pub(super) fn is_empty(schema: &Json<'_>) -> bool {
    let properties = schema.get("properties").and_then(Json::as_map);
    properties.is_none_or(<[_]>::is_empty) && schema.get("anyOf").is_none()
}

type Members<'a> = Vec<(Text<'a>, Json<'a>)>;

struct Reducer<'s, 'a> {
    root: &'s Json<'a>,
    form: Form,
    budget: &'s Budget,
    /// References that are being expanded.
    open: Vec<&'s str>,
    /// Number of schemas that may still be written.
    left: usize,
    /// Indexes of the objects on reference paths, by the address of the object.
    indexes: HashMap<usize, HashMap<&'s str, &'s Json<'a>>>,
}

impl<'s, 'a> Reducer<'s, 'a> {
    fn schema(&mut self, schema: &'s Json<'a>, depth: usize) -> Result<Members<'a>, BudgetExceeded> {
        self.budget.value(0)?;
        // `true` or an invalid schema: allow anything. (No value satisfies `false`.)
        let Json::Map(members) = schema else {
            return self.typed(Vec::new());
        };
        self.budget.steps(members.len())?;
        let (true, Some(left)) = (depth < DEEP, self.left.checked_sub(1)) else {
            let mut out = self.bare(members)?;
            self.values(&mut out)?;
            return self.typed(out);
        };
        self.left = left;
        let mut draft = Draft::default();
        let mut any = Vec::new();
        let whole = get(members, "type").and_then(Json::as_str) == Some("integer");
        for (key, value) in members {
            self.keyword(key, value, whole, depth, &mut draft, &mut any)?;
        }
        if any.len() > 1 {
            let any = any.into_iter().map(Json::Map).collect();
            put(&mut draft.members, "anyOf", Json::List(any));
        } else {
            // A single alternative needs no `anyOf`.
            for only in any {
                draft.merge(only);
            }
        }
        let mut out = draft.finish();
        self.values(&mut out)?;
        self.typed(out)
    }

    fn keyword(
        &mut self,
        key: &'s Text<'a>,
        value: &'s Json<'a>,
        whole: bool,
        depth: usize,
        draft: &mut Draft<'a>,
        any: &mut Vec<Members<'a>>,
    ) -> Result<(), BudgetExceeded> {
        match &**key {
            "$ref" => {
                let target = self.reference(value, depth)?;
                draft.merge(target);
            }
            "allOf" => {
                for branch in value.as_list().unwrap_or_default() {
                    let branch = self.schema(branch, depth + 1)?;
                    draft.merge(branch);
                }
            }
            "anyOf" | "oneOf" => {
                for branch in value.as_list().unwrap_or_default() {
                    if self.form == Form::OpenApi && self.is_null(branch)? {
                        put(&mut draft.members, "nullable", Json::Bool(true));
                    } else {
                        any.push(self.schema(branch, depth + 1)?);
                    }
                }
            }
            "const" => {
                let only = value.copied(self.budget)?;
                put(&mut draft.members, "enum", Json::List(vec![only]));
            }
            "enum" | "type" => {
                let value = value.copied(self.budget)?;
                put(&mut draft.members, key, value);
            }
            "properties" => {
                draft.has("properties");
                for (name, schema) in value.as_map().unwrap_or_default() {
                    self.budget.text(name.len())?;
                    let reduced = Json::Map(self.schema(schema, depth + 1)?);
                    draft.properties.join(name.clone(), reduced);
                }
            }
            "required" => {
                draft.has("required");
                let names = value.as_list().unwrap_or_default();
                self.budget.steps(names.len())?;
                for name in names {
                    if let Json::Text(name) = name {
                        self.budget.value(name.len())?;
                        draft.required.join(name.clone(), ());
                    }
                }
            }
            "items" => match value {
                // The older spelling of `prefixItems`.
                Json::List(list) => self.tuple(&mut draft.members, list, depth)?,
                _ => {
                    let items = Json::Map(self.schema(value, depth + 1)?);
                    put(&mut draft.members, "items", items);
                }
            },
            "prefixItems" => {
                let places = value.as_list().unwrap_or_default();
                self.tuple(&mut draft.members, places, depth)?;
            }
            "additionalProperties" if self.form == Form::JsonSchema => {
                let reduced = match value {
                    Json::Bool(bool) => Json::Bool(*bool),
                    _ => Json::Map(self.schema(value, depth + 1)?),
                };
                put(&mut draft.members, "additionalProperties", reduced);
            }
            "exclusiveMinimum" => bound(&mut draft.members, "minimum", value, whole, 1),
            "exclusiveMaximum" => bound(&mut draft.members, "maximum", value, whole, -1),
            key if self.form.takes(key) => {
                let value = value.copied(self.budget)?;
                put(&mut draft.members, key, value);
            }
            _ => {}
        }
        Ok(())
    }

    /// Expands a `$ref`.
    fn reference(&mut self, reference: &'s Json<'a>, depth: usize) -> Result<Members<'a>, BudgetExceeded> {
        let Some(pointer) = reference.as_str() else {
            return Ok(Members::new());
        };
        self.budget.steps(pointer.len())?;
        let Some(target) = self.find(pointer) else {
            return Ok(Members::new());
        };
        if self.open.contains(&pointer) {
            let members = target.as_map().unwrap_or_default();
            self.budget.steps(members.len())?;
            return self.bare(members);
        }
        self.open.push(pointer);
        let written = self.schema(target, depth + 1);
        self.open.pop();
        written
    }

    /// Follows a JSON pointer: `#/$defs/Node`.
    fn find(&mut self, pointer: &str) -> Option<&'s Json<'a>> {
        let path = pointer.strip_prefix('#')?;
        path.split('/').skip(1).try_fold(self.root, |place, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match place {
                Json::List(list) => list.get(step.parse::<usize>().ok()?),
                Json::Map(members) => {
                    // The root is borrowed, so nothing moves and an address identifies an object.
                    let index = self.indexes.entry(members.as_ptr().addr()).or_insert_with(|| {
                        // For duplicate names the first one counts.
                        let members = members.iter().rev();
                        members.map(|(name, value)| (&**name, value)).collect()
                    });
                    index.get(&*step).copied()
                }
                _ => None,
            }
        })
    }

    /// Replacement for a schema that is not expanded.
    fn bare(&self, members: &'s [(Text<'a>, Json<'a>)]) -> Result<Members<'a>, BudgetExceeded> {
        let mut out = Members::new();
        for (key, value) in members {
            if matches!(&**key, "type" | "description") && matches!(value, Json::Text(_)) {
                let value = value.copied(self.budget)?;
                put(&mut out, key, value);
            }
        }
        Ok(out)
    }

    fn is_null(&self, schema: &Json<'_>) -> Result<bool, BudgetExceeded> {
        let members = schema.as_map().unwrap_or_default();
        self.budget.steps(members.len())?;
        Ok(get(members, "type").and_then(Json::as_str) == Some("null"))
    }

    /// A list with one schema per position.
    fn tuple(
        &mut self,
        out: &mut Members<'a>,
        places: &'s [Json<'a>],
        depth: usize,
    ) -> Result<(), BudgetExceeded> {
        let mut reduced = Vec::new();
        for place in places {
            reduced.push(Json::Map(self.schema(place, depth + 1)?));
        }
        match (self.form, reduced.len()) {
            (_, 0) => {}
            (Form::JsonSchema, _) => put(out, "prefixItems", Json::List(reduced)),
            (Form::OpenApi, 1) => out.extend(reduced.pop().map(|only| ("items".into(), only))),
            (Form::OpenApi, _) => {
                let any = vec![("anyOf".into(), Json::List(reduced))];
                put(out, "items", Json::Map(any));
            }
        }
        Ok(())
    }

    /// Brings `enum` and `type` into the accepted form.
    fn values(&self, out: &mut Members<'a>) -> Result<(), BudgetExceeded> {
        let mut null = false;
        if let Some(values) = take(out, "enum") {
            let mut list = match values {
                Json::List(list) => list,
                _ => Vec::new(),
            };
            let kind = list.iter().find_map(kind_of);
            null = list.contains(&Json::Null);
            let newer = self.form == Form::JsonSchema;
            list.retain(|value| matches!(value, Json::Text(_)) || newer && matches!(value, Json::Number(_)));
            if let Some(kind) = kind
                && get(out, "type").is_none()
            {
                put(out, "type", Json::text(kind));
            }
            // The older form knows only texts; listing only the texts would exclude the other values.
            if !list.is_empty() && (newer || kind == Some("string")) {
                put(out, "enum", Json::List(list));
            }
        }
        if self.form == Form::JsonSchema {
            return Ok(());
        }
        if let Some(types) = take(out, "type") {
            let mut names: Vec<Json<'a>> = match types {
                Json::List(list) => list,
                one => vec![one],
            };
            let before = names.len();
            names.retain(|name| name.as_str() != Some("null"));
            null |= names.len() < before;
            // Each of the seven types becomes one branch, however often it is listed.
            let mut known: Vec<String> = Vec::new();
            for name in names.iter().filter_map(Json::as_str) {
                let name = name.to_ascii_uppercase();
                if known.len() < TYPES && !known.contains(&name) {
                    known.push(name);
                }
            }
            if let [only] = known.as_slice() {
                put(out, "type", Json::Text(only.clone().into()));
            } else if !known.is_empty() && get(out, "anyOf").is_none() {
                let mut branches = Vec::new();
                for name in known {
                    branches.push(self.branch(out, name)?);
                }
                out.retain(|(key, _)| !matches!(&**key, "items" | "properties" | "required" | "enum"));
                put(out, "anyOf", Json::List(branches));
            }
        }
        if null {
            put(out, "nullable", Json::Bool(true));
        }
        Ok(())
    }

    /// One of several types, with the keywords that apply to it.
    fn branch(&self, members: &Members<'a>, name: String) -> Result<Json<'a>, BudgetExceeded> {
        let about: &[&str] = match name.as_str() {
            "ARRAY" => &["items"],
            "OBJECT" => &["properties", "required"],
            "STRING" => &["enum"],
            _ => &[],
        };
        self.budget.value(name.len())?;
        let mut branch = vec![("type".into(), Json::Text(name.into()))];
        for (key, value) in members.iter().filter(|(key, _)| about.contains(&&**key)) {
            branch.push((key.clone(), value.copied(self.budget)?));
        }
        self.typed(branch).map(Json::Map)
    }

    /// The older form refuses a schema without a type, and a list without the type of its items.
    fn typed(&self, mut out: Members<'a>) -> Result<Members<'a>, BudgetExceeded> {
        if self.form == Form::JsonSchema {
            return Ok(out);
        }
        self.budget.value(0)?;
        if get(&out, "type").is_none() && get(&out, "anyOf").is_none() {
            let guess = if get(&out, "properties").is_some() {
                "OBJECT"
            } else if get(&out, "items").is_some() {
                "ARRAY"
            } else {
                "STRING"
            };
            put(&mut out, "type", Json::text(guess));
        }
        if get(&out, "type").and_then(Json::as_str) == Some("ARRAY") && get(&out, "items").is_none() {
            let anything = vec![("type".into(), Json::text("STRING"))];
            put(&mut out, "items", Json::Map(anything));
        }
        Ok(out)
    }
}

/// Converts an exclusive bound to an inclusive one: the next integer, or the bound itself for other numbers. The
/// boolean form of older drafts is dropped.
fn bound<'a>(out: &mut Members<'a>, key: &str, value: &Json<'a>, whole: bool, step: i64) {
    let Json::Number(number) = value else { return };
    let next = number
        .as_i64()
        .filter(|_| whole)
        .and_then(|number| number.checked_add(step));
    if get(out, key).is_none() {
        put(
            out,
            key,
            next.map_or_else(|| value.clone(), |next| Json::Number(next.into())),
        );
    }
}

fn kind_of(value: &Json<'_>) -> Option<&'static str> {
    match value {
        Json::Text(_) => Some("string"),
        Json::Bool(_) => Some("boolean"),
        Json::Number(number) if number.is_f64() => Some("number"),
        Json::Number(_) => Some("integer"),
        Json::Null | Json::List(_) | Json::Map(_) | Json::Raw(_) => None,
    }
}
