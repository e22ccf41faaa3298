//! Variables and secrets of the Worker as settings.

use worker::Env;

use crate::config::Vars;

/// Where the defaults of the other host do not fit: an isolate has 128 MB for all its requests, each look at
/// the store is billed, and the store can only be one that is reached over HTTP.
const DEFAULTS: [(&str, &str); 3] = [
    ("REQUEST_MAX_SIZE_MB", "32"),
    ("RECORD_MAX_AGE", "300000"),
    ("STORE", "upstash"),
];

pub(super) struct Bindings<'a>(pub(super) &'a Env);

impl Vars for Bindings<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let bound = self.0.var(name).ok().map(|value| value.to_string());
        bound.filter(|value| !value.trim().is_empty()).or_else(|| {
            let default = DEFAULTS.iter().find(|(defaulted, _)| *defaulted == name);
            default.map(|(_, value)| (*value).to_owned())
        })
    }
}
