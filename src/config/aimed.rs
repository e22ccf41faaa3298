//! The settings, with another store than they name: where a command writes that was told so.

use super::Vars;

/// Variables in which the store is replaced.
pub struct Aimed<'a> {
    vars: &'a dyn Vars,
    store: Option<&'static str>,
    url: Option<String>,
}

impl<'a> Aimed<'a> {
    /// `to`: `embedded`, `upstash`, or the address of a Redis; `None`: what the variables say.
    pub fn at(vars: &'a dyn Vars, to: Option<&str>) -> Result<Self, String> {
        let (store, url) = match to {
            None => (None, None),
            Some("embedded") => (Some("embedded"), None),
            Some("upstash") => (Some("upstash"), None),
            Some(url) if url.starts_with("redis://") || url.starts_with("rediss://") => {
                (Some("redis"), Some(url.to_owned()))
            }
            Some(_) => {
                return Err(
                    "the store is none of embedded, upstash, redis://HOST:PORT/DB: name one of them"
                        .to_owned(),
                );
            }
        };
        Ok(Self { vars, store, url })
    }
}

impl Vars for Aimed<'_> {
    fn get(&self, name: &str) -> Option<String> {
        match (name, self.store) {
            ("STORE", Some(store)) => Some(store.to_owned()),
            ("REDIS_URL", Some(_)) if self.url.is_some() => self.url.clone(),
            _ => self.vars.get(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{Config, StoreChoice};

    #[test]
    fn another_store_takes_the_place_of_the_one_that_is_set() {
        let vars: HashMap<String, String> = [
            ("JWT_SECRET", "0123456789abcdef0123456789abcdeF"),
            ("ENCRYPTION_KEY", "0123456789abcdef0123456789abcdeF"),
            ("REDIS_HOST", "crs-redis"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let store = |to| Config::read(&Aimed::at(&vars, to).unwrap()).unwrap().store;
        assert!(matches!(store(Some("embedded")), StoreChoice::Embedded));
        assert!(
            matches!(store(Some("redis://other:1/2")), StoreChoice::Redis(redis) if redis.shown == "other:1/2")
        );
        assert!(matches!(store(None), StoreChoice::Redis(redis) if redis.shown.starts_with("crs-redis")));
        assert!(Aimed::at(&vars, Some("http://x")).is_err());
    }
}
