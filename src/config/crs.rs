//! The settings of a claude-relay-service (CRS) that its data depends on, from its `.env`.

pub mod variables;

use super::Redis;
use super::dotenv::{self, Comment};
use crate::model::percent::{self, COMPONENT};
use crate::model::secret::Secret;

/// CRS's default if no key is set. It is public, so it protects nothing, but client keys issued with it are
/// valid.
const PUBLISHED: &str = "CHANGE-THIS-32-CHARACTER-KEY-NOW";

/// CRS's default offset from UTC in hours, also used for 0.
const ZONE: i32 = 8;

/// Settings of a CRS.
#[derive(Clone, Debug)]
pub struct CrsSettings {
    /// The possible values of its `ENCRYPTION_KEY`, likeliest first: two programs parse its file differently.
    pub keys: Vec<Secret>,
    pub prefix: String,
    pub utc_offset_minutes: i32,
    /// Whether a key bound to a Claude account may use others if that one cannot serve; `None`: not set.
    pub claude_fallback: Option<bool>,
    /// The location of its data, if the file contains it.
    pub redis: Option<Redis>,
    /// All variables, as CRS itself parses them.
    pub variables: Vec<(String, String)>,
}

impl CrsSettings {
    /// `file`: the text of its `.env`.
    pub fn read(file: &str) -> Self {
        let variables = dotenv::parse(file, Comment::Anywhere);
        let composed = dotenv::parse(file, Comment::AfterBlank);
        let mut keys: Vec<Secret> = [&variables, &composed]
            .into_iter()
            .filter_map(|all| get(all, "ENCRYPTION_KEY"))
            .chain([PUBLISHED.to_owned()])
            .map(Secret::new)
            .collect();
        keys.dedup();
        Self {
            keys,
            prefix: get(&variables, "API_KEY_PREFIX").unwrap_or_else(|| "cr_".to_owned()),
            utc_offset_minutes: zone(get(&variables, "TIMEZONE_OFFSET").as_deref()) * 60,
            claude_fallback: get(&variables, "CLAUDE_DEDICATED_ACCOUNT_FALLBACK")
                .map(|value| value == "true"),
            redis: redis(&variables),
            variables,
        }
    }
}

fn get(variables: &[(String, String)], name: &str) -> Option<String> {
    let last = variables.iter().rev().find(|(of, _)| of == name);
    last.map(|(_, value)| value.clone())
        .filter(|value| !value.is_empty())
}

/// Parsed like JavaScript's `parseInt(text) || 8`.
fn zone(text: Option<&str>) -> i32 {
    let text = text.unwrap_or_default().trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<i32>() {
        Ok(0) | Err(_) => ZONE,
        Ok(hours) => sign * hours.min(14),
    }
}

fn redis(variables: &[(String, String)]) -> Option<Redis> {
    let host = get(variables, "REDIS_HOST")?;
    let port = get(variables, "REDIS_PORT").unwrap_or_else(|| "6379".to_owned());
    let database = get(variables, "REDIS_DB").unwrap_or_else(|| "0".to_owned());
    let scheme = if get(variables, "REDIS_ENABLE_TLS").as_deref() == Some("true") {
        "rediss"
    } else {
        "redis"
    };
    let login = get(variables, "REDIS_PASSWORD").map_or(String::new(), |password| {
        format!(":{}@", percent::encoded(&password, COMPONENT))
    });
    Some(Redis {
        url: Secret::new(format!("{scheme}://{login}{host}:{port}/{database}")),
        shown: format!("{host}:{port}/{database}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_whole_hours_and_never_utc() {
        for (text, hours) in [
            (None, 8),
            (Some(""), 8),
            (Some("0"), 8),
            (Some("x"), 8),
            (Some("5.5"), 5),
            (Some("-5"), -5),
            (Some("+9"), 9),
            (Some("8  "), 8),
        ] {
            assert_eq!(zone(text), hours, "{text:?}");
        }
    }

    #[test]
    fn a_key_with_a_number_sign_has_two_readings() {
        let crs = CrsSettings::read("ENCRYPTION_KEY=abc#def\nREDIS_HOST=r\nREDIS_PASSWORD=p@s\nREDIS_DB=3\n");
        let keys: Vec<&str> = crs.keys.iter().map(Secret::reveal).collect();
        assert_eq!(keys, ["abc", "abc#def", PUBLISHED]);
        let redis = crs.redis.unwrap();
        assert_eq!(
            (redis.url.reveal(), redis.shown.as_str()),
            ("redis://:p%40s@r:6379/3", "r:6379/3")
        );
        let nothing = CrsSettings::read("");
        assert_eq!(nothing.keys.len(), 1);
        assert_eq!(
            (nothing.prefix.as_str(), nothing.utc_offset_minutes),
            ("cr_", 480)
        );
        assert!(nothing.redis.is_none());
    }
}
