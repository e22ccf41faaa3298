//! The known fields of a usage object.
//!
//! Providers add billed counters without notice. Every usage reader lists its fields, and those that only repeat
//! them, in a [`Shape`]. A positive number in another field, or a new word in a known field, may have an unknown
//! price, so the record becomes an estimate.

use serde_json::Value;

/// The known fields of one object.
#[derive(Debug)]
pub struct Shape(pub &'static [(&'static str, Field)]);

/// The type of a known field.
#[derive(Debug)]
pub enum Field {
    /// Read by the reader, or without a separate price.
    Any,
    /// One of these words. Values other than strings are ignored.
    Words(&'static [&'static str]),
    /// An object, or a list of objects, of this shape.
    Inner(&'static Shape),
}

impl Shape {
    /// Whether everything in `object` that may have a price is known. Lists are checked element by element; other
    /// values need no check.
    pub fn covers(&self, object: &Value) -> bool {
        match object {
            Value::Object(members) => members.iter().all(|(name, value)| {
                let field = self.0.iter().find(|(known, _)| known == name);
                match field {
                    Some((_, Field::Any)) => true,
                    Some((_, Field::Words(words))) => value
                        .as_str()
                        .is_none_or(|word| words.iter().any(|known| word.eq_ignore_ascii_case(known))),
                    Some((_, Field::Inner(shape))) => shape.covers(value),
                    None => !counts(value),
                }
            }),
            Value::Array(list) => list.iter().all(|element| self.covers(element)),
            _ => true,
        }
    }
}

/// Whether it contains a positive number anywhere.
fn counts(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number > 0.0),
        Value::Array(list) => list.iter().any(counts),
        Value::Object(members) => members.values().any(counts),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static INNER: Shape = Shape(&[("n", Field::Any)]);
    static SHAPE: Shape = Shape(&[
        ("tokens", Field::Any),
        ("speed", Field::Words(&["standard", "fast"])),
        ("details", Field::Inner(&INNER)),
    ]);

    #[test]
    fn a_shape_covers_what_it_lists_and_what_counts_nothing() {
        for usage in [
            json!({"tokens": 3, "speed": "fast", "details": {"n": 1}}),
            json!({"speed": "FAST", "details": [{"n": 1}, {"n": 2}]}),
            json!({"speed": null, "details": null, "other": null}),
            json!({"other": 0, "more": {"n": 0.0}, "list": [], "word": "x"}),
            json!(null),
        ] {
            assert!(SHAPE.covers(&usage), "{usage}");
        }
    }

    #[test]
    fn an_unlisted_counter_or_word_is_not_covered() {
        for usage in [
            json!({"other": 1}),
            json!({"other": 0.5}),
            json!({"other": {"deep": [{"n": 1}]}}),
            json!({"speed": "ultra"}),
            json!({"details": {"m": 1}}),
            json!({"details": [{"n": 1}, {"m": 1}]}),
        ] {
            assert!(!SHAPE.covers(&usage), "{usage}");
        }
    }
}
