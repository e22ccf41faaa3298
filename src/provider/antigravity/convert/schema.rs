//! JSON Schema reduced to what Gemini accepts.
//!
//! In both forms references are written out, `const` becomes an `enum`, `allOf` is merged, `oneOf` becomes
//! `anyOf`, and keywords outside the form's own list go: Gemini refuses a whole request for one keyword it
//! does not know. What goes is only a check that the client makes again when it gets the call. A schema
//! may not grow without end: a reference to what is being written out, anything [`DEEP`] levels down, and
//! what is left when [`MANY`] schemas have been written, allow anything of their type.

use super::json::{Json, get};
use super::text::Text;

/// Gemini refuses schemas nested much deeper than real ones are.
const DEEP: usize = 24;

/// References to references can write out exponentially many.
const MANY: usize = 4_000;

/// Which of Gemini's two fields for a schema is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `parametersJsonSchema` and `responseJsonSchema`: JSON Schema, as Gemini CLI sends it.
    #[default]
    JsonSchema,
    /// `parameters` and `responseSchema`: the older object, which knows less, for hosts without the newer.
    OpenApi,
}

impl Form {
    /// The keywords this form takes. Those whose values are schemas are treated by name.
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

/// The schema in the form given.
pub(super) fn reduce<'a>(schema: &Json<'a>, form: Form) -> Json<'a> {
    let mut reducer = Reducer {
        root: schema,
        form,
        open: Vec::new(),
        left: MANY,
    };
    Json::Map(reducer.schema(schema, 0))
}

/// Whether a schema says nothing about any property. The older form refuses an object without some.
pub(super) fn is_empty(schema: &Json<'_>) -> bool {
    let properties = schema.get("properties").and_then(Json::as_map);
    properties.is_none_or(<[_]>::is_empty) && schema.get("anyOf").is_none()
}

type Members<'a> = Vec<(Text<'a>, Json<'a>)>;

struct Reducer<'s, 'a> {
    root: &'s Json<'a>,
    form: Form,
    /// The references being written out.
    open: Vec<&'s str>,
    /// Schemas that may still be written.
    left: usize,
}

impl<'s, 'a> Reducer<'s, 'a> {
    fn schema(&mut self, schema: &'s Json<'a>, depth: usize) -> Members<'a> {
        // `true`, or nonsense: anything goes. (`false` nobody can fill in.)
        let Json::Map(members) = schema else {
            return self.typed(Vec::new());
        };
        let (true, Some(left)) = (depth < DEEP, self.left.checked_sub(1)) else {
            let mut out = bare(members);
            self.values(&mut out);
            return self.typed(out);
        };
        self.left = left;
        let mut out = Members::new();
        let mut any = Vec::new();
        let whole = get(members, "type").and_then(Json::as_str) == Some("integer");
        for (key, value) in members {
            match &**key {
                "$ref" => {
                    let target = self.reference(value, depth);
                    merge(&mut out, target);
                }
                "allOf" => {
                    for branch in value.as_list().unwrap_or_default() {
                        let branch = self.schema(branch, depth + 1);
                        merge(&mut out, branch);
                    }
                }
                "anyOf" | "oneOf" => {
                    for branch in value.as_list().unwrap_or_default() {
                        if self.form == Form::OpenApi && is_null(branch) {
                            put(&mut out, "nullable", Json::Bool(true));
                        } else {
                            any.push(self.schema(branch, depth + 1));
                        }
                    }
                }
                "const" => put(&mut out, "enum", Json::List(vec![value.clone()])),
                "enum" => put(&mut out, "enum", value.clone()),
                "type" => put(&mut out, "type", value.clone()),
                "properties" => {
                    let properties = value.as_map().unwrap_or_default().iter();
                    let reduced = properties
                        .map(|(name, schema)| (name.clone(), Json::Map(self.schema(schema, depth + 1))))
                        .collect();
                    merge(&mut out, vec![("properties".into(), Json::Map(reduced))]);
                }
                "required" => merge(&mut out, vec![(key.clone(), value.clone())]),
                "items" => match value {
                    // The older spelling of `prefixItems`.
                    Json::List(list) => self.tuple(&mut out, list, depth),
                    _ => {
                        let items = Json::Map(self.schema(value, depth + 1));
                        put(&mut out, "items", items);
                    }
                },
                "prefixItems" => self.tuple(&mut out, value.as_list().unwrap_or_default(), depth),
                "additionalProperties" if self.form == Form::JsonSchema => {
                    let reduced = match value {
                        Json::Bool(_) => value.clone(),
                        _ => Json::Map(self.schema(value, depth + 1)),
                    };
                    put(&mut out, "additionalProperties", reduced);
                }
                "exclusiveMinimum" => bound(&mut out, "minimum", value, whole, 1),
                "exclusiveMaximum" => bound(&mut out, "maximum", value, whole, -1),
                key if self.form.takes(key) => put(&mut out, key, value.clone()),
                _ => {}
            }
        }
        alternatives(&mut out, any);
        self.values(&mut out);
        only_known(&mut out);
        self.typed(out)
    }

    /// What a `$ref` points to, written out.
    fn reference(&mut self, reference: &'s Json<'a>, depth: usize) -> Members<'a> {
        let Some(pointer) = reference.as_str() else {
            return Members::new();
        };
        let Some(target) = find(self.root, pointer) else {
            return Members::new();
        };
        if self.open.contains(&pointer) {
            return bare(target.as_map().unwrap_or_default());
        }
        self.open.push(pointer);
        let written = self.schema(target, depth + 1);
        self.open.pop();
        written
    }

    /// A list whose items differ by place.
    fn tuple(&mut self, out: &mut Members<'a>, places: &'s [Json<'a>], depth: usize) {
        let mut places: Vec<Json<'a>> = places
            .iter()
            .map(|place| Json::Map(self.schema(place, depth + 1)))
            .collect();
        match (self.form, places.len()) {
            (_, 0) => {}
            (Form::JsonSchema, _) => put(out, "prefixItems", Json::List(places)),
            (Form::OpenApi, 1) => out.extend(places.pop().map(|only| ("items".into(), only))),
            (Form::OpenApi, _) => {
                let any = vec![("anyOf".into(), Json::List(places))];
                put(out, "items", Json::Map(any));
            }
        }
    }

    /// Makes `enum` and `type` what the form allows.
    fn values(&self, out: &mut Members<'a>) {
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
            // The older form knows texts only; texts among other values would shut those out.
            if !list.is_empty() && (newer || kind == Some("string")) {
                put(out, "enum", Json::List(list));
            }
        }
        if self.form == Form::JsonSchema {
            return;
        }
        if let Some(types) = take(out, "type") {
            let mut names: Vec<Json<'a>> = match types {
                Json::List(list) => list,
                one => vec![one],
            };
            let before = names.len();
            names.retain(|name| name.as_str() != Some("null"));
            null |= names.len() < before;
            let mut names = names.iter().filter_map(Json::as_str).map(str::to_ascii_uppercase);
            match (names.next(), names.next()) {
                (Some(first), None) => put(out, "type", Json::Text(first.into())),
                (Some(first), Some(second)) if get(out, "anyOf").is_none() => {
                    let branch = |name: String| self.branch(out, name);
                    let branches = [first, second].into_iter().chain(names).map(branch).collect();
                    out.retain(|(key, _)| !matches!(&**key, "items" | "properties" | "required" | "enum"));
                    put(out, "anyOf", Json::List(branches));
                }
                _ => {}
            }
        }
        if null {
            put(out, "nullable", Json::Bool(true));
        }
    }

    /// One of several types, with the keywords that are about it.
    fn branch(&self, members: &Members<'a>, name: String) -> Json<'a> {
        let about: &[&str] = match name.as_str() {
            "ARRAY" => &["items"],
            "OBJECT" => &["properties", "required"],
            "STRING" => &["enum"],
            _ => &[],
        };
        let mut branch = vec![("type".into(), Json::Text(name.into()))];
        branch.extend(members.iter().filter(|(key, _)| about.contains(&&**key)).cloned());
        Json::Map(self.typed(branch))
    }

    /// The older form refuses a schema that does not say its type, and a list that does not say of what.
    fn typed(&self, mut out: Members<'a>) -> Members<'a> {
        if self.form == Form::JsonSchema {
            return out;
        }
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
        out
    }
}

/// Follows a JSON pointer: `#/$defs/Node`.
fn find<'s, 'a>(root: &'s Json<'a>, pointer: &str) -> Option<&'s Json<'a>> {
    let path = pointer.strip_prefix('#')?;
    path.split('/').skip(1).try_fold(root, |place, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match place {
            Json::List(list) => list.get(step.parse::<usize>().ok()?),
            _ => place.get(&step),
        }
    })
}

/// What is said of a schema that is not written out.
fn bare<'a>(members: &[(Text<'a>, Json<'a>)]) -> Members<'a> {
    members
        .iter()
        .filter(|(key, value)| matches!(&**key, "type" | "description") && matches!(value, Json::Text(_)))
        .cloned()
        .collect()
}

fn put<'a>(out: &mut Members<'a>, key: &str, value: Json<'a>) {
    match out.iter_mut().find(|(name, _)| &**name == key) {
        Some((_, old)) => *old = value,
        None => out.push((Text::from(key.to_owned()), value)),
    }
}

fn take<'a>(out: &mut Members<'a>, key: &str) -> Option<Json<'a>> {
    let at = out.iter().position(|(name, _)| &**name == key)?;
    Some(out.remove(at).1)
}

/// Both schemas must hold: properties and required names are joined, of all else the first is kept.
fn merge<'a>(out: &mut Members<'a>, other: Members<'a>) {
    for (key, value) in other {
        match (out.iter_mut().find(|(name, _)| *name == key), value) {
            (None, value) => out.push((key, value)),
            (Some((_, Json::Map(ours))), Json::Map(theirs)) if &*key == "properties" => merge(ours, theirs),
            (Some((_, Json::List(ours))), Json::List(theirs)) if &*key == "required" => {
                for name in theirs {
                    if !ours.contains(&name) {
                        ours.push(name);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Takes in the branches of `anyOf` and `oneOf`.
fn alternatives<'a>(out: &mut Members<'a>, any: Vec<Members<'a>>) {
    if any.len() > 1 {
        put(out, "anyOf", Json::List(any.into_iter().map(Json::Map).collect()));
    } else {
        for only in any {
            merge(out, only);
        }
    }
}

/// An exclusive bound as an inclusive one: the next whole number, or itself where others lie between. The
/// boolean of older drafts goes.
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

/// `required` may name properties only.
fn only_known(out: &mut Members<'_>) {
    let Some(Json::List(mut names)) = take(out, "required") else {
        return;
    };
    if let Some(properties) = get(out, "properties") {
        names.retain(|name| name.as_str().is_some_and(|name| properties.get(name).is_some()));
        if !names.is_empty() {
            put(out, "required", Json::List(names));
        }
    }
}

fn is_null(schema: &Json<'_>) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("null")
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
