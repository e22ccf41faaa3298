//! The fields of a CRS hash. All values are text; missing and empty values and JavaScript's words for nothing
//! count as absent.

use std::collections::BTreeMap;

use crate::model::money::MicroUsd;
use crate::model::time::parse_iso;
use crate::port::clock::Millis;

/// JavaScript's texts for missing values.
const NOTHING: [&str; 5] = ["", "null", "undefined", "NaN", "[object Object]"];

/// Field names and stored values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(pub BTreeMap<String, String>);

/// A field that should be a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Absent,
    At(Millis),
    /// The text is not a moment.
    Unreadable,
}

impl Fields {
    #[cfg(test)]
    pub fn of<const N: usize>(fields: [(&str, &str); N]) -> Self {
        Self(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        (!NOTHING.contains(&value)).then_some(value)
    }

    /// Only `true` counts as true.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// A whole number, parsed like JavaScript's `parseInt`; 0 if it is invalid or negative.
    pub fn count(&self, name: &str) -> u64 {
        self.text(name).map_or(0, count)
    }

    /// US dollars; 0 if the text is not an amount.
    pub fn usd(&self, name: &str) -> MicroUsd {
        self.text(name).map_or(MicroUsd::ZERO, usd)
    }

    pub fn moment(&self, name: &str) -> Moment {
        match self.text(name) {
            None => Moment::Absent,
            Some(text) => moment(text).map_or(Moment::Unreadable, Moment::At),
        }
    }

    /// A time, or `None`.
    pub fn at(&self, name: &str) -> Option<Millis> {
        match self.moment(name) {
            Moment::At(at) => Some(at),
            Moment::Absent | Moment::Unreadable => None,
        }
    }

    /// A JSON array of texts; invalid JSON counts as empty, as in CRS.
    pub fn list(&self, name: &str) -> Vec<String> {
        let parsed: Option<Vec<serde_json::Value>> =
            self.text(name).and_then(|text| serde_json::from_str(text).ok());
        parsed
            .unwrap_or_default()
            .into_iter()
            .filter_map(|value| match value {
                serde_json::Value::String(text) => Some(text),
                serde_json::Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
            .collect()
    }
}

/// See [`Fields::count`].
pub fn count(text: &str) -> u64 {
    let digits: String = text
        .trim()
        .trim_start_matches('+')
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    // `1e21` and larger: above any limit, so none was intended.
    if digits.is_empty() {
        0
    } else {
        digits.parse().unwrap_or(u64::MAX)
    }
}

/// See [`Fields::usd`]. Rounded half up to micro-USD, exact for decimal text.
pub fn usd(text: &str) -> MicroUsd {
    decimal(text).unwrap_or_else(|| match text.trim().parse::<f64>() {
        Ok(dollars) if dollars.is_finite() && dollars > 0.0 => {
            MicroUsd((dollars * 1e6).round().min((1_u64 << 53) as f64) as u64)
        }
        _ => MicroUsd::ZERO,
    })
}

/// `12.3456785` without binary rounding errors.
fn decimal(text: &str) -> Option<MicroUsd> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 10 || !plain(whole) || !plain(fraction) {
        return None;
    }
    let digits: String = fraction.chars().chain("0000000".chars()).take(7).collect();
    let tenths: u64 = digits.parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    Some(MicroUsd(whole * 1_000_000 + (tenths + 5) / 10))
}

/// ISO 8601, a date, or milliseconds since 1970.
pub fn moment(text: &str) -> Option<Millis> {
    let digits = text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        return text.parse().ok();
    }
    parse_iso(text)
}

/// One line of at most `most` characters without invisible ones; also whether anything was removed.
pub fn line(text: &str, most: usize) -> (String, bool) {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most)
        .collect();
    let plain = plain.trim().to_owned();
    let changed = plain != text.trim();
    (plain, changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_many_words() {
        let fields = Fields::of([
            ("a", "null"),
            ("b", "undefined"),
            ("c", " "),
            ("d", "[object Object]"),
            ("e", "x"),
        ]);
        for name in ["a", "b", "c", "d", "f"] {
            assert_eq!(fields.text(name), None, "{name}");
        }
        assert_eq!(fields.text("e"), Some("x"));
        assert_eq!(fields.moment("e"), Moment::Unreadable);
        assert_eq!(fields.moment("a"), Moment::Absent);
    }

    #[test]
    fn numbers_are_read_as_crs_reads_them() {
        for (text, number) in [
            ("5", 5),
            ("5.9", 5),
            ("+7x", 7),
            ("-3", 0),
            ("x", 0),
            (" 12 ", 12),
        ] {
            assert_eq!(count(text), number, "{text}");
        }
        for (text, micro) in [
            ("5", 5_000_000),
            ("12.345678900000001", 12_345_679),
            ("0.0000005", 1),
            ("1e-7", 0),
            ("2.5e-3", 2_500),
            ("-1", 0),
            ("NaN", 0),
            ("Infinity", 0),
            ("0.1", 100_000),
            ("1234567.000001", 1_234_567_000_001),
        ] {
            assert_eq!(usd(text), MicroUsd(micro), "{text}");
        }
    }

    #[test]
    fn lists_and_moments() {
        let fields = Fields::of([
            ("a", r#"["x",1,null]"#),
            ("b", "[broken"),
            ("c", "1767225599000"),
            ("d", "2026-01-01"),
        ]);
        assert_eq!(fields.list("a"), ["x", "1"]);
        assert!(fields.list("b").is_empty());
        assert_eq!(fields.at("c"), Some(1_767_225_599_000));
        assert_eq!(fields.at("d"), Some(1_767_225_600_000));
        assert_eq!(line("名称\n二", 3), ("名称".to_owned(), true));
        assert_eq!(line(" ok ", 10), ("ok".to_owned(), false));
    }
}
