//! Selects another store for commands that move data.

use super::read::text;
use super::{Config, Problems, Secrets, StoreChoice, Vars};
use crate::model::percent::{self, COMPONENT};

/// Settings with some of them replaced, for a command that writes to another store.
pub struct Aimed<'a> {
    vars: &'a dyn Vars,
    others: Vec<(&'static str, Option<String>)>,
}

impl Vars for Aimed<'_> {
    fn get(&self, name: &str) -> Option<String> {
        match self.others.iter().find(|(other, _)| *other == name) {
            Some((_, value)) => value.clone(),
            None => self.vars.get(name),
        }
    }
}

impl<'a> Aimed<'a> {
    /// `to`: `embedded`, `redis` or `upstash` with the addresses of the settings, or `redis://host[:port][/db]`
    /// (`rediss://` for TLS, `redis+sentinel://` for sentinels) with `REDIS_USERNAME` and `REDIS_PASSWORD`. An address
    /// with a password is refused, because other users can see arguments. `None`: the settings' store.
    pub fn at(vars: &'a dyn Vars, to: Option<&str>) -> Result<Self, Problems> {
        let others = to.map(|to| others(vars, to)).transpose()?.unwrap_or_default();
        Ok(Self { vars, others })
    }
}

fn others(vars: &dyn Vars, to: &str) -> Result<Vec<(&'static str, Option<String>)>, Problems> {
    let problem = |line: &str| Err(Problems(vec![line.to_owned()]));
    if let "embedded" | "redis" | "upstash" = to {
        return Ok(vec![("STORE", Some(to.to_owned()))]);
    }
    let Some((scheme @ ("redis" | "rediss" | "redis+sentinel" | "rediss+sentinel"), rest)) =
        to.split_once("://")
    else {
        return problem(
            "the store is none of embedded, redis, upstash, redis://host:port/db: name one of them",
        );
    };
    if rest.contains('@') || rest.contains("sentinel_password") {
        return problem(
            "an address with a login is seen by other users: name it without one and set REDIS_PASSWORD (and REDIS_SENTINEL_PASSWORD), or set REDIS_URL and name `redis`",
        );
    }
    let login = match (text(vars, "REDIS_USERNAME"), text(vars, "REDIS_PASSWORD")) {
        (user, Some(password)) => format!(
            "{}:{}@",
            percent::encoded(&user.unwrap_or_default(), COMPONENT),
            percent::encoded(&password, COMPONENT)
        ),
        _ => String::new(),
    };
    Ok(vec![
        ("STORE", Some("redis".to_owned())),
        ("REDIS_URL", Some(format!("{scheme}://{login}{rest}"))),
    ])
}

/// The store named by `to`, see [`Aimed::at`].
pub fn store_at(vars: &dyn Vars, to: &str) -> Result<StoreChoice, Problems> {
    Config::read(&Aimed::at(vars, Some(to))?).map(|config| config.store)
}

/// The `ENCRYPTION_KEY` that replaces that of the settings, for `crs rekey`.
pub const NEW_ENCRYPTION_KEY: &str = "NEW_ENCRYPTION_KEY";

/// The secrets with that key; `None` if it is not set.
pub fn next_secrets(vars: &dyn Vars) -> Result<Option<Secrets>, Problems> {
    let Some(next) = text(vars, NEW_ENCRYPTION_KEY) else {
        return Ok(None);
    };
    let others = vec![(super::ENCRYPTION_KEY, Some(next))];
    match Config::read(&Aimed { vars, others }) {
        Ok(config) => Ok(Some(config.secrets)),
        Err(Problems(lines)) => Err(Problems(
            lines
                .into_iter()
                .map(|line| line.replace(super::ENCRYPTION_KEY, NEW_ENCRYPTION_KEY))
                .collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn at(to: &str, more: &[(&str, &str)]) -> Result<StoreChoice, String> {
        let good = [
            ("JWT_SECRET", "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua"),
            ("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja"),
        ];
        let vars: HashMap<String, String> = good
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        store_at(&vars, to).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_store_is_named_by_its_kind_or_address_and_never_with_its_password() {
        assert!(matches!(
            at("embedded", &[("STORE", "redis")]),
            Ok(StoreChoice::Embedded)
        ));
        let redis = |to, more: &[(&str, &str)]| match at(to, more) {
            Ok(StoreChoice::Redis(redis)) => redis.url.reveal().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(redis("redis", &[("REDIS_URL", "redis://h/2")]), "redis://h/2");
        let here = [("REDIS_URL", "redis://other/0"), ("REDIS_PASSWORD", "a@b")];
        assert_eq!(redis("redis://h:7/3", &here), "redis://:a%40b@h:7/3");
        assert_eq!(redis("rediss://h", &[]), "rediss://h");
        let own = [("REDIS_PASSWORD", "p"), ("REDIS_SENTINEL_PASSWORD", "s")];
        assert_eq!(
            redis("redis+sentinel://h,i/main", &own),
            "redis+sentinel://:p@h,i/main?sentinel_password=s"
        );
        let shown = at("redis+sentinel://h/main?sentinel_password=s", &[]);
        assert!(shown.unwrap_err().contains("REDIS_SENTINEL_PASSWORD"));
        assert!(at("upstash", &[]).unwrap_err().contains("UPSTASH_REDIS_REST_URL"));
        assert!(at("redis://:p@h", &[]).unwrap_err().contains("REDIS_PASSWORD"));
        assert!(at("mysql://h", &[]).unwrap_err().contains("redis://host:port/db"));
    }
}
