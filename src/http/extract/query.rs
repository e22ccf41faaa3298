//! Parses the query into a type. Errors name the parameter.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::super::api_error::ApiError;
use super::input::at_fault;
use crate::app::App;

#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let said = rejection.body_text();
                let said = said
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&said);
                let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
                Err(match said.split_once(": ").filter(|(path, _)| is_name(path)) {
                    Some((path, said)) => at_fault(path, &unrepeated(said)),
                    None => at_fault(".", said),
                })
            }
        }
    }
}

/// Rewrites parse errors of the standard library.
fn unrepeated(said: &str) -> String {
    if said.starts_with("invalid digit") || said.starts_with("cannot parse") || said.starts_with("number too")
    {
        "invalid value: text, expected a whole number, 0 or more".to_owned()
    } else if said.starts_with("provided string was not") {
        "invalid value: text, expected true or false".to_owned()
    } else {
        said.to_owned()
    }
}
