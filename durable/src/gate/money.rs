//! The limits on money. One row says everything about a limit: records, policies, sums, refusals, inputs, views,
//! resets and seeds are made from [`MoneyLimit::ALL`].

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// What a limit on money counts. The names are those of its sum in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MoneyLimit {
    Day,
    Week,
    WeekOpus,
    Month,
    Total,
}

/// The time over which a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Day,
    Week,
    Month,
    /// It never begins anew.
    Ever,
}

/// Everything about one limit.
#[derive(Debug)]
pub struct Row {
    pub span: Span,
    /// Counts what calls of the Opus class cost, and refuses only such calls.
    pub opus_only: bool,
    /// Name of what was spent of it.
    pub sum: &'static str,
    /// Name of the limit where it is reached.
    pub name: &'static str,
    /// Its field in a key's record, as CRS has it.
    pub field: &'static str,
    /// For people, behind "limit of $5 for".
    pub words: &'static str,
    /// Documentation of its field.
    pub about: &'static str,
}

/// In the order of [`MoneyLimit::ALL`].
const ROWS: [Row; LIMITS] = [
    Row {
        span: Span::Day,
        opus_only: false,
        sum: "day",
        name: "dailyCost",
        field: "dailyCostLimit",
        words: "cost per day",
        about: "Of a day of the operator's; 0 is no limit.",
    },
    Row {
        span: Span::Week,
        opus_only: false,
        sum: "week",
        name: "weeklyCost",
        field: "weeklyCostLimit",
        words: "cost per week",
        about: "Of a week; 0 is no limit.",
    },
    Row {
        span: Span::Week,
        opus_only: true,
        sum: "weekOpus",
        name: "weeklyOpusCost",
        field: "weeklyOpusCostLimit",
        words: "cost of Opus models per week",
        about: "Of a week for models of the Opus class; 0 is no limit.",
    },
    Row {
        span: Span::Month,
        opus_only: false,
        sum: "month",
        name: "monthlyCost",
        field: "monthlyCostLimit",
        words: "cost per month",
        about: "Of a month of the operator's calendar; 0 is no limit.",
    },
    Row {
        span: Span::Ever,
        opus_only: false,
        sum: "total",
        name: "totalCost",
        field: "totalCostLimit",
        words: "total cost",
        about: "For all time; 0 is no limit.",
    },
];

const LIMITS: usize = 5;

impl MoneyLimit {
    pub const ALL: [Self; LIMITS] = [Self::Day, Self::Week, Self::WeekOpus, Self::Month, Self::Total];

    #[expect(clippy::indexing_slicing, reason = "there is a row for each, see the test")]
    pub fn row(self) -> &'static Row {
        static TABLE: [Row; LIMITS] = ROWS;
        &TABLE[self as usize]
    }

    /// By the name of its sum or of its record's field.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|limit| limit.row().sum == name || limit.row().field == name)
    }
}

/// One value for each limit. Written by the names of the sums; see [`fields`] for the names of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLimit<T>([T; LIMITS]);

impl<T> PerLimit<T> {
    pub fn of(mut value: impl FnMut(MoneyLimit) -> T) -> Self {
        Self(MoneyLimit::ALL.map(&mut value))
    }

    pub fn iter(&self) -> impl Iterator<Item = (MoneyLimit, &T)> {
        MoneyLimit::ALL.into_iter().zip(&self.0)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (MoneyLimit, &mut T)> {
        MoneyLimit::ALL.into_iter().zip(&mut self.0)
    }

    pub fn map<U>(&self, mut map: impl FnMut(MoneyLimit, &T) -> U) -> PerLimit<U> {
        PerLimit::of(|limit| map(limit, &self[limit]))
    }
}

impl<T: Default> PerLimit<T> {
    /// These; the default for all others.
    pub fn these(values: impl IntoIterator<Item = (MoneyLimit, T)>) -> Self {
        let mut all = Self::of(|_| T::default());
        for (limit, value) in values {
            all[limit] = value;
        }
        all
    }
}

impl<T> Index<MoneyLimit> for PerLimit<T> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "there is a value for each limit")]
    fn index(&self, limit: MoneyLimit) -> &T {
        &self.0[limit as usize]
    }
}

impl<T> IndexMut<MoneyLimit> for PerLimit<T> {
    #[expect(clippy::indexing_slicing, reason = "there is a value for each limit")]
    fn index_mut(&mut self, limit: MoneyLimit) -> &mut T {
        &mut self.0[limit as usize]
    }
}

impl<T: Serialize> Serialize for PerLimit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(LIMITS))?;
        for (limit, value) in self.iter() {
            map.serialize_entry(limit.row().sum, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for PerLimit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A struct's fields and no map's: flattened, only these are taken from among others.
        const SUMS: [&str; LIMITS] = names(false);
        deserializer.deserialize_struct("PerLimit", &SUMS, Named(PhantomData))
    }
}

/// The names of the fields of a record, or those of the sums.
#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn names(fields: bool) -> [&'static str; LIMITS] {
    let mut names = [""; LIMITS];
    let mut at = 0;
    while at < LIMITS {
        names[at] = if fields { ROWS[at].field } else { ROWS[at].sum };
        at += 1;
    }
    names
}

struct Named<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Named<T> {
    type Value = PerLimit<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount for each limit")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PerLimit<T>, A::Error> {
        let mut all = PerLimit::of(|_| T::default());
        while let Some(limit) = map.next_key_seed(Name)? {
            match limit {
                Some(limit) => all[limit] = map.next_value()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(all)
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<MoneyLimit>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Option<MoneyLimit>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(MoneyLimit::named(name))
            }
        }
        deserializer.deserialize_identifier(Text)
    }
}

/// With the names of a record's fields: `#[serde(flatten, with = "fields")]`.
pub mod fields {
    use serde::ser::SerializeMap as _;

    use super::{
        Deserialize, Deserializer, LIMITS, Named, PerLimit, PhantomData, Serialize, Serializer, names,
    };

    pub fn serialize<T: Serialize, S: Serializer>(
        values: &PerLimit<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(LIMITS))?;
        for (limit, value) in values.iter() {
            map.serialize_entry(limit.row().field, value)?;
        }
        map.end()
    }

    pub fn deserialize<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PerLimit<T>, D::Error> {
        const FIELDS: [&str; LIMITS] = names(true);
        deserializer.deserialize_struct("PerLimit", &FIELDS, Named(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_row() {
        let sums = MoneyLimit::ALL.map(|limit| serde_json::to_value(limit).unwrap());
        for (limit, sum) in MoneyLimit::ALL.into_iter().zip(sums) {
            let row = limit.row();
            assert_eq!(sum, row.sum);
            assert_eq!(format!("{}Limit", row.name), row.field);
            assert_eq!(MoneyLimit::named(row.sum), Some(limit));
            assert_eq!(MoneyLimit::named(row.field), Some(limit));
        }
    }

    #[test]
    fn among_other_fields_each_takes_its_own() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Record {
            name: String,
            #[serde(flatten, with = "fields")]
            limits: PerLimit<u64>,
            #[serde(flatten)]
            spent: PerLimit<u64>,
            #[serde(flatten)]
            others: serde_json::Map<String, serde_json::Value>,
        }
        let text = r#"{"name":"n","day":3,"dailyCostLimit":7,"newer":true,"total":18446744073709551615}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(record.limits, PerLimit::these([(MoneyLimit::Day, 7)]));
        let spent = [(MoneyLimit::Day, 3), (MoneyLimit::Total, u64::MAX)];
        assert_eq!(record.spent, PerLimit::these(spent));
        assert_eq!(record.others.keys().collect::<Vec<_>>(), ["newer"]);
        let again: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(again, record);
    }
}
