//! The Worker's variables and secrets as settings.

use worker::Env;

use crate::config::{EDGE_DEFAULTS, Vars};

pub(super) struct Bindings<'a>(pub(super) &'a Env);

impl Vars for Bindings<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let bound = self.0.var(name).ok().map(|value| value.to_string());
        bound.filter(|value| !value.trim().is_empty()).or_else(|| {
            let default = EDGE_DEFAULTS.iter().find(|(defaulted, _)| *defaulted == name);
            default.map(|(_, value)| (*value).to_owned())
        })
    }
}
