//! The limits on money in requests and answers: one value for each, under one of the names that its row has.

use std::marker::PhantomData;

use crs_durable::gate::money::Row;
use crs_durable::gate::{MoneyLimit, PerLimit};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{OneOfBuilder, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::extract::{IN_FIELD, Sent};
use crate::model::money::Usd;

/// Which of its names a limit has here.
pub(super) trait Naming {
    fn name(row: &'static Row) -> &'static str;
}

/// Those of its field: `dailyCostLimit`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields;
/// Those of what was spent of it: `day`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums;
/// Those of what was spent of it as CRS's statistics name it: `currentDailyCost`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statistics;

impl Naming for Fields {
    fn name(row: &'static Row) -> &'static str {
        row.field
    }
}

impl Naming for Sums {
    fn name(row: &'static Row) -> &'static str {
        row.sum
    }
}

impl Naming for Statistics {
    fn name(row: &'static Row) -> &'static str {
        row.statistic
    }
}

/// How much may be spent of each limit.
pub(super) type Most = Shown<Fields, Usd>;
/// How much was spent of each limit, in CRS's statistics.
pub(super) type Spent = Shown<Statistics, Usd>;

/// A value for each limit, as answers show it, flattened. Fields of answers need an alias for it: utoipa's derive
/// composes generics by a way of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<N, T> {
    values: PerLimit<T>,
    naming: PhantomData<N>,
}

impl<N, T> From<PerLimit<T>> for Shown<N, T> {
    fn from(values: PerLimit<T>) -> Self {
        Self {
            values,
            naming: PhantomData,
        }
    }
}

impl<N: Naming, T: Serialize> Serialize for Shown<N, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.values
                .iter()
                .map(|(limit, value)| (N::name(limit.row()), value)),
        )
    }
}

impl<N: Naming, T: ToSchema> PartialSchema for Shown<N, T> {
    fn schema() -> RefOr<Schema> {
        let object = MoneyLimit::ALL
            .into_iter()
            .fold(ObjectBuilder::new(), |object, limit| {
                let name = N::name(limit.row());
                let value = Ref::from_schema_name(T::name());
                object.property(name, value).required(name)
            });
        RefOr::T(object.into())
    }
}

impl<N: Naming, T: ToSchema> ToSchema for Shown<N, T> {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// The limits that a request sets, to be flattened into what else it may say.
#[derive(Debug)]
pub(super) struct SentLimits(pub(super) PerLimit<Sent<Usd>>);

impl<'de> Deserialize<'de> for SentLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Limits;
        impl<'de> Visitor<'de> for Limits {
            type Value = SentLimits;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("limits on money")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SentLimits, A::Error> {
                let mut sent = PerLimit::<Sent<Usd>>::default();
                while let Some(name) = map.next_key::<String>()? {
                    let Some(limit) = MoneyLimit::find(&name, |row| row.field) else {
                        return Err(A::Error::unknown_field(&name, &MoneyLimit::FIELDS));
                    };
                    let field = limit.row().field;
                    if sent[limit].as_ref().is_some() {
                        return Err(A::Error::duplicate_field(field));
                    }
                    // What is flattened has no path of its own that would name it.
                    sent[limit] = map
                        .next_value()
                        .map_err(|error| A::Error::custom(format_args!("{IN_FIELD}{field}`: {error}")))?;
                }
                Ok(SentLimits(sent))
            }
        }
        // A struct takes its own fields from among the others, a map would take all.
        deserializer.deserialize_struct("SentLimits", &MoneyLimit::FIELDS, Limits)
    }
}

impl PartialSchema for SentLimits {
    fn schema() -> RefOr<Schema> {
        let object = MoneyLimit::ALL
            .into_iter()
            .fold(ObjectBuilder::new(), |object, limit| {
                let row = limit.row();
                let mut usd = Ref::from_schema_name(Usd::name());
                row.about.clone_into(&mut usd.description);
                let null = ObjectBuilder::new().schema_type(Type::Null);
                object.property(row.field, OneOfBuilder::new().item(null).item(usd))
            });
        // The body that they are flattened into knows what else there is, and refuses the rest.
        let object = object.additional_properties(Some(AdditionalProperties::FreeForm(false)));
        RefOr::T(object.into())
    }
}

impl ToSchema for SentLimits {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Usd::name().into_owned(), Usd::schema()));
    }
}

/// One of several names, described as an enumeration.
pub(super) fn one_of(names: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    let names: Vec<&str> = names.into_iter().collect();
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(names));
    RefOr::T(text.into())
}
