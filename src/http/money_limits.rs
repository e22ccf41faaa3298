//! Money limits in requests and answers: one value per limit, under one of the names in its row.

use std::marker::PhantomData;

use crs_durable::gate::money::Row;
use crs_durable::gate::{MoneyLimit, PerLimit};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{OneOfBuilder, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::extract::{IN_FIELD, InputField};
use crate::model::money::Usd;

/// Selects one of a limit's names.
pub(super) trait Naming {
    fn name(row: &'static Row) -> &'static str;
}

/// The name of the setting: `dailyCostLimit`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields;
/// The name of the spending: `day`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums;
/// The name of the spending in CRS's statistics: `currentDailyCost`.
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

/// The maximum for each limit.
pub(super) type Most = LimitValues<Fields, Usd>;
/// The spending for each limit, in CRS's statistics.
pub(super) type SpentStatistics = LimitValues<Statistics, Usd>;

/// A value for each limit in an answer, flattened. Fields of answers need an alias for it, because utoipa's
/// derive names generic types differently.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitValues<N, T> {
    values: PerLimit<T>,
    naming: PhantomData<N>,
}

impl<N, T> From<PerLimit<T>> for LimitValues<N, T> {
    fn from(values: PerLimit<T>) -> Self {
        Self {
            values,
            naming: PhantomData,
        }
    }
}

impl<N: Naming, T: Serialize> Serialize for LimitValues<N, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.values
                .iter()
                .map(|(limit, value)| (N::name(limit.row()), value)),
        )
    }
}

impl<N: Naming, T: ToSchema> PartialSchema for LimitValues<N, T> {
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

impl<N: Naming, T: ToSchema> ToSchema for LimitValues<N, T> {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// The limits set by a request, flattened into its other fields.
#[derive(Debug)]
pub(super) struct LimitsInput(pub(super) PerLimit<InputField<Usd>>);

impl<'de> Deserialize<'de> for LimitsInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Limits;
        impl<'de> Visitor<'de> for Limits {
            type Value = LimitsInput;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("limits on money")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LimitsInput, A::Error> {
                let mut sent = PerLimit::<InputField<Usd>>::default();
                while let Some(name) = map.next_key::<String>()? {
                    let Some(limit) = MoneyLimit::find(&name, |row| row.field) else {
                        return Err(A::Error::unknown_field(&name, &MoneyLimit::FIELDS));
                    };
                    let field = limit.row().field;
                    if sent[limit].as_ref().is_some() {
                        return Err(A::Error::duplicate_field(field));
                    }
                    // Flattened types have no path of their own that would name the field.
                    sent[limit] = map
                        .next_value()
                        .map_err(|error| A::Error::custom(format_args!("{IN_FIELD}{field}`: {error}")))?;
                }
                Ok(LimitsInput(sent))
            }
        }
        // A struct takes only its own fields, a map would take all.
        deserializer.deserialize_struct("SentLimits", &MoneyLimit::FIELDS, Limits)
    }
}

impl PartialSchema for LimitsInput {
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
        // The containing body refuses unknown fields.
        let object = object.additional_properties(Some(AdditionalProperties::FreeForm(false)));
        RefOr::T(object.into())
    }
}

impl ToSchema for LimitsInput {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Usd::name().into_owned(), Usd::schema()));
    }
}

/// A schema for one of several names.
pub(super) fn one_of(names: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    let names: Vec<&str> = names.into_iter().collect();
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(names));
    RefOr::T(text.into())
}
