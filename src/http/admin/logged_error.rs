//! The schema of a failure's code in the request log.

use utoipa::openapi::schema::{AnyOf, Object, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::model::code::Code;

/// Why a call failed: a [`Code`], or the provider's own name for an error that ended a stream, which may be any
/// short text.
pub(super) struct LoggedError;

impl PartialSchema for LoggedError {
    fn schema() -> RefOr<Schema> {
        let any = AnyOf::builder()
            .description(Some(
                "Why a call failed. Where a stream ended with the provider's own error: its name for it.",
            ))
            .item(Ref::from_schema_name(<Code as ToSchema>::name()))
            .item(Object::with_type(SchemaType::Type(Type::String)))
            .build();
        RefOr::T(Schema::AnyOf(any))
    }
}

impl ToSchema for LoggedError {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((<Code as ToSchema>::name().into_owned(), Code::schema()));
    }
}
