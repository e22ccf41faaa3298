//! Generates `/openapi.json` from the code. A test compares `assets/openapi.json` with the result;
//! `scripts/update-openapi` runs the same test to rewrite the file.

use std::path::Path;

use utoipa::OpenApi;
use utoipa::openapi::schema::{AllOf, ArrayItems, Object};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{RefOr, Schema};

use super::{
    accounts, audit, backups, concurrency, groups, keys, models, oem, overview, prices, refusals, requests,
    routes, settings, usage,
};
use crate::http::api_error::ErrorBody;
use crate::http::{login, ops, stats};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "crs-edge admin API",
        description = "Log in with `POST /web/auth/login`, then send the token as `Authorization: Bearer <token>`.\n\n\
            Every error has the same shape (`ErrorBody`) and every answer an `x-request-id`. Secrets go in and \
            never come out; a client key is shown once, when it is created.\n\n\
            In a `PATCH`, what is not sent stays as it is, and `null` clears what may be empty.",
        license(name = "MIT", identifier = "MIT"),
    ),
    paths(
        login::login,
        login::logout,
        login::refresh,
        login::user,
        login::list::list,
        login::list::end,
        login::link::login_with_ticket,
        login::link::make_ticket,
        login::password::change_password,
        login::password::reset_password,
        keys::list,
        keys::create,
        keys::batch::batch,
        keys::create_many::create_many,
        keys::tags::tags,
        keys::secret::rotate,
        keys::secret::purge,
        keys::get,
        keys::change,
        keys::delete,
        keys::restore,
        keys::reset::reset_limits,
        accounts::list,
        accounts::create,
        accounts::batch::batch,
        accounts::sign_in::start,
        accounts::sign_in::finish,
        accounts::get,
        accounts::change,
        accounts::delete,
        accounts::reset,
        accounts::flush_sessions,
        accounts::flush_all,
        accounts::test_call::test,
        groups::list,
        groups::create,
        groups::get,
        groups::change,
        groups::delete,
        groups::members,
        concurrency::list,
        concurrency::release,
        oem::get,
        oem::set,
        overview::overview,
        usage::summary::summary,
        usage::trend::trend,
        usage::ranking::ranking,
        usage::latency::latency,
        usage::latency::failures,
        usage::verify::verify,
        requests::list,
        requests::get,
        requests::csv::export,
        refusals::list,
        audit::list,
        backups::get,
        backups::begin,
        backups::export,
        backups::download,
        backups::remove,
        backups::set_schedule,
        models::list,
        settings::get,
        prices::get,
        prices::set,
        routes::get,
        routes::set,
        stats::get_key_id,
        stats::user::user_stats,
        stats::models::user_model_stats,
        stats::trend::user_trend,
        stats::batch::batch_stats,
        stats::models::batch_model_stats,
        stats::test_call::test,
        ops::health,
        ops::metrics,
    ),
    components(schemas(ErrorBody<'_>)),
    modifiers(&Login, &FlattenedTypes),
    tags(
        (name = "session", description = "Logging in and out"),
        (name = "keys", description = "Client keys"),
        (name = "accounts", description = "Provider accounts"),
        (name = "usage", description = "Usage and costs"),
        (name = "statistics", description = "Statistics for the holder of a key; without a session"),
        (name = "site", description = "The site's name and icon"),
        (name = "operations", description = "The state of the relay"),
    ),
)]
struct ApiDescription;

struct Login;

impl utoipa::Modify for Login {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("admin", bearer);
    }
}

/// Merges unnamed flattened types into the schema that contains them.
struct FlattenedTypes;

impl utoipa::Modify for FlattenedTypes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.schemas.values_mut().for_each(merge);
    }
}

fn merge(schema: &mut RefOr<Schema>) {
    let RefOr::T(inner) = schema else { return };
    match inner {
        Schema::Object(object) => object.properties.values_mut().for_each(merge),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                merge(items);
            }
        }
        Schema::OneOf(any) => any.items.iter_mut().for_each(merge),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(merge),
        Schema::AllOf(all) => {
            all.items.iter_mut().for_each(merge);
            if let Some(one) = merged(all) {
                *schema = RefOr::T(Schema::Object(one));
            }
        }
        _ => {}
    }
}

/// `None` if one of them has a name.
fn merged(all: &AllOf) -> Option<Object> {
    let object = |item: &RefOr<Schema>| match item {
        RefOr::T(Schema::Object(object)) => Some(object.clone()),
        _ => None,
    };
    let mut objects: Vec<Object> = all.items.iter().map(object).collect::<Option<_>>()?;
    // The type's own fields come last.
    let mut one = objects.pop()?;
    for object in objects {
        one.required.extend(object.required);
        one.properties.extend(object.properties);
        one.additional_properties = one.additional_properties.or(object.additional_properties);
    }
    one.description = one.description.or_else(|| all.description.clone());
    Some(one)
}

#[test]
fn the_description_that_is_served_is_made_of_the_code() {
    let made = ApiDescription::openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("CRS_WRITE_OPENAPI").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/openapi.json");
        std::fs::write(file, made).unwrap();
        return;
    }
    assert!(
        super::description::OPENAPI == made,
        "a route or a field has changed: run scripts/update-openapi"
    );
}
