//! The limits on money. One row describes everything about a limit: records, policies, sums, refusals, inputs, views,
//! resets, seeds and the command line are generated from these rows.

use std::ops::{Index, IndexMut};

use serde::de::{Deserializer, Unexpected};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// The time over which a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Day,
    Week,
    Month,
    /// Never restarts.
    Ever,
}

/// The description of one limit.
#[derive(Debug)]
pub struct Row {
    pub span: Span,
    /// Counts the cost of calls of the Opus class, and refuses only such calls.
    pub opus_only: bool,
    /// Name of its spent amount in the admin API.
    pub sum: &'static str,
    /// Name of the limit where its use is shown.
    pub name: &'static str,
    /// Its field in a key's record and in the admin API: CRS's name where CRS has the limit.
    pub field: &'static str,
    /// Name of its spent amount in CRS's statistics for the holder of a key.
    pub statistic: &'static str,
    /// Its option on the command line.
    pub option: &'static str,
    /// Its name in a refusal, as gates write it.
    pub reached: &'static str,
    /// For people, behind "limit of $5 for".
    pub words: &'static str,
    /// Its spent amount, for people.
    pub so_far: &'static str,
    /// Documentation of its field.
    pub about: &'static str,
}

/// Each limit is `Name(sum, field)`: the variant of [`MoneyLimit`], and the names by which machines keep and send the
/// spent amount and the allowed amount. The names must not change: they are in the state of running gates.
macro_rules! limits {
    ($($name:ident($sum:ident, $field:ident): $row:expr;)+) => {
        /// A limit on money.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum MoneyLimit {
            $($name),+
        }

        impl MoneyLimit {
            pub const ALL: [Self; [$(stringify!($name)),+].len()] = [$(Self::$name),+];

            /// The fields of all rows.
            pub const FIELDS: [&str; Self::ALL.len()] = [$(Self::$name.row().field),+];

            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => const { &$row }),+
                }
            }
        }

        /// One value for each limit. Machines keep and send it under the names of the sums; see [`in_policy`] and
        /// [`in_record`] for the others.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, bound(deserialize = "T: Deserialize<'de> + Default"))]
        pub struct PerLimit<T> {
            $($sum: T),+
        }

        impl<T> PerLimit<T> {
            pub fn of(mut value: impl FnMut(MoneyLimit) -> T) -> Self {
                Self { $($sum: value(MoneyLimit::$name)),+ }
            }

            pub fn iter(&self) -> impl Iterator<Item = (MoneyLimit, &T)> {
                [$((MoneyLimit::$name, &self.$sum)),+].into_iter()
            }

            pub fn iter_mut(&mut self) -> impl Iterator<Item = (MoneyLimit, &mut T)> {
                [$((MoneyLimit::$name, &mut self.$sum)),+].into_iter()
            }
        }

        impl<T> Index<MoneyLimit> for PerLimit<T> {
            type Output = T;

            fn index(&self, limit: MoneyLimit) -> &T {
                match limit {
                    $(MoneyLimit::$name => &self.$sum),+
                }
            }
        }

        impl<T> IndexMut<MoneyLimit> for PerLimit<T> {
            fn index_mut(&mut self, limit: MoneyLimit) -> &mut T {
                match limit {
                    $(MoneyLimit::$name => &mut self.$sum),+
                }
            }
        }

        named_fields!(
            /// The amounts under the names of a policy: `#[serde(flatten, with = "in_policy")]`.
            in_policy, "snake_case", $($sum: $field),+
        );
        named_fields!(
            /// The amounts under the names of a key's record: `#[serde(flatten, with = "in_record")]`.
            in_record, "camelCase", $($sum: $field),+
        );
    };
}

/// A module that reads and writes a [`PerLimit`] under the names of the limits' fields.
macro_rules! named_fields {
    ($(#[$about:meta])* $module:ident, $case:literal, $($sum:ident: $field:ident),+) => {
        $(#[$about])*
        pub mod $module {
            use super::{Deserialize, Deserializer, PerLimit, Serialize, Serializer};

            #[derive(Serialize, Deserialize)]
            #[serde(rename_all = $case)]
            struct Fields<T> {
                $(#[serde(default)] $field: T),+
            }

            pub fn serialize<T: Copy + Serialize, S: Serializer>(
                values: &PerLimit<T>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                Fields { $($field: values.$sum),+ }.serialize(serializer)
            }

            pub fn deserialize<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<PerLimit<T>, D::Error> {
                let fields = Fields::deserialize(deserializer)?;
                Ok(PerLimit { $($sum: fields.$field),+ })
            }
        }
    };
}

limits! {
    Day(day, daily_cost_limit): Row {
        span: Span::Day,
        opus_only: false,
        sum: "day",
        name: "dailyCost",
        field: "dailyCostLimit",
        statistic: "currentDailyCost",
        option: "daily-cost",
        reached: "daily_cost",
        words: "cost per day",
        so_far: "cost today",
        about: "What its calls may cost in a day by the operator's clock; 0 is no limit.",
    };
    Week(week, weekly_cost_limit): Row {
        span: Span::Week,
        opus_only: false,
        sum: "week",
        name: "weeklyCost",
        field: "weeklyCostLimit",
        statistic: "weeklyCost",
        option: "weekly-cost",
        reached: "weekly_cost",
        words: "cost per week",
        so_far: "cost this week",
        about: "What its calls may cost in a week; 0 is no limit.",
    };
    WeekOpus(week_opus, weekly_opus_cost_limit): Row {
        span: Span::Week,
        opus_only: true,
        sum: "weekOpus",
        name: "weeklyOpusCost",
        field: "weeklyOpusCostLimit",
        statistic: "weeklyOpusCost",
        option: "weekly-opus-cost",
        reached: "weekly_opus_cost",
        words: "cost of Opus models per week",
        so_far: "Opus this week",
        about: "What its calls of Opus models may cost in a week; 0 is no limit.",
    };
    Month(month, monthly_cost_limit): Row {
        span: Span::Month,
        opus_only: false,
        sum: "month",
        name: "monthlyCost",
        field: "monthlyCostLimit",
        statistic: "monthlyCost",
        option: "monthly-cost",
        reached: "monthly_cost",
        words: "cost per month",
        so_far: "cost this month",
        about: "What its calls may cost in a month by the operator's clock; 0 is no limit.",
    };
    Total(total, total_cost_limit): Row {
        span: Span::Ever,
        opus_only: false,
        sum: "total",
        name: "totalCost",
        field: "totalCostLimit",
        statistic: "currentTotalCost",
        option: "total-cost",
        reached: "total_cost",
        words: "total cost",
        so_far: "cost ever",
        about: "What its calls may cost in all; 0 is no limit.",
    };
}

impl MoneyLimit {
    /// Finds a limit by one of its names: `MoneyLimit::find(text, |row| row.field)`.
    pub fn find(name: &str, names: impl Fn(&'static Row) -> &'static str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| names(limit.row()) == name)
    }
}

impl<T> PerLimit<T> {
    pub fn map<U>(&self, mut map: impl FnMut(MoneyLimit, &T) -> U) -> PerLimit<U> {
        PerLimit::of(|limit| map(limit, &self[limit]))
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }
}

impl<T: Default> PerLimit<T> {
    /// These values; the default for all other limits.
    pub fn these(values: impl IntoIterator<Item = (MoneyLimit, T)>) -> Self {
        let mut all = Self::of(|_| T::default());
        for (limit, value) in values {
            all[limit] = value;
        }
        all
    }
}

/// A limit under its name in a refusal.
pub(super) mod in_refusal {
    use super::{Deserialize, Deserializer, MoneyLimit, Serializer, Unexpected};
    use serde::de::Error as _;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference to it")]
    pub(in super::super) fn serialize<S: Serializer>(limit: &MoneyLimit, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(limit.row().reached)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MoneyLimit, D::Error> {
        let name = String::deserialize(from)?;
        MoneyLimit::find(&name, |row| row.reached)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&name), &"a limit's name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `week_opus` as `weekOpus`.
    fn camel(snake: &str) -> String {
        let mut words = snake.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| {
            let (head, tail) = word.split_at(1);
            name + &head.to_uppercase() + tail
        })
    }

    #[test]
    fn names_of_a_limit_agree() {
        let names =
            |values: serde_json::Value| values.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let all = PerLimit::<u64>::default();
        let sums = names(serde_json::to_value(all).unwrap());
        let in_policy = names(in_policy::serialize(&all, serde_json::value::Serializer).unwrap());
        let in_record = names(in_record::serialize(&all, serde_json::value::Serializer).unwrap());
        for limit in MoneyLimit::ALL {
            let row = limit.row();
            let sum = serde_json::to_value(limit).unwrap();
            assert_eq!(row.sum, camel(sum.as_str().unwrap()));
            assert!(sums.contains(&sum.as_str().unwrap().to_owned()));
            assert!(in_policy.contains(&format!("{}_limit", row.reached)));
            assert!(in_record.contains(&row.field.to_owned()));
            assert_eq!(row.name, camel(row.reached));
            assert_eq!(row.field, format!("{}Limit", row.name));
            assert_eq!(MoneyLimit::find(row.field, |row| row.field), Some(limit));
            assert_eq!(row.option, row.reached.replace('_', "-"));
        }
    }

    #[test]
    fn among_other_fields_each_takes_its_own() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Record {
            name: String,
            #[serde(flatten, with = "in_record")]
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
