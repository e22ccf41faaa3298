//! The address of a Redis: as a URL, as that of its sentinels, or by parts.

use super::read::{Reader, port_is_good, text};
use super::sentinel::with_password;
use super::{Redis, Sentinels, StoreChoice};
use crate::model::percent::{self, COMPONENT};
use crate::model::secret::Secret;

/// The form of an address of sentinels, for messages.
const SENTINELS: &str = "redis+sentinel://[user:password@]sentinel[:port],sentinel[:port]/mastername[/db]";

impl Reader<'_> {
    pub(super) fn redis_url(&mut self, url: String) -> StoreChoice {
        match Sentinels::parse(&url) {
            None => {}
            Some(Ok(sentinels)) => return self.sentinels(url, &sentinels),
            Some(Err(problem)) => {
                self.problem(format!("REDIS_URL {problem}: its form is {SENTINELS}"));
                return StoreChoice::Embedded;
            }
        }
        let parsed = url.parse::<http::Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("redis" | "rediss"))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.authority().is_some_and(port_is_good)
        });
        let Some(uri) = parsed else {
            self.problem(format!(
                "REDIS_URL is not redis://[user:password@]host[:port][/db] (rediss:// for TLS), nor {SENTINELS}: set it so"
            ));
            return StoreChoice::Embedded;
        };
        let db = uri.path().trim_matches('/');
        if !db.is_empty() && db.parse::<u32>().is_err() {
            self.problem(
                "REDIS_URL ends with a database that is not a number: end it with /0, for example".to_owned(),
            );
        }
        let shown = format!(
            "{}:{}/{}",
            uri.host().unwrap_or(""),
            uri.port_u16().unwrap_or(6379),
            if db.is_empty() { "0" } else { db }
        );
        StoreChoice::Redis(Redis {
            url: Secret::new(url),
            shown,
        })
    }

    fn sentinels(&mut self, url: String, sentinels: &Sentinels) -> StoreChoice {
        let url = match text(self.vars, "REDIS_SENTINEL_PASSWORD") {
            Some(password) => with_password(url, &password),
            None => url,
        };
        StoreChoice::Redis(Redis {
            url: Secret::new(url),
            shown: sentinels.shown(),
        })
    }

    pub(super) fn redis_parts(&mut self, host: &str) -> StoreChoice {
        let port = self.number("REDIS_PORT", 6379, 1, 65_535);
        let db = self.number("REDIS_DB", 0, 0, 1_000_000);
        let scheme = if self.switch("REDIS_ENABLE_TLS", false) {
            "rediss"
        } else {
            "redis"
        };
        let user = text(self.vars, "REDIS_USERNAME")
            .map(|user| percent::encoded(&user, COMPONENT))
            .unwrap_or_default();
        if !user.is_empty() && text(self.vars, "REDIS_PASSWORD").is_none() {
            self.problem("REDIS_USERNAME is set without REDIS_PASSWORD: set both, or neither".to_owned());
        }
        let bracketed = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let host = bracketed.as_str();
        let login = match text(self.vars, "REDIS_PASSWORD") {
            Some(password) => format!("{user}:{}@", percent::encoded(&password, COMPONENT)),
            None => String::new(),
        };
        if host.contains(['/', '@', ' ']) {
            self.problem(
                "REDIS_HOST is not a host name or address: set it to a host name, or use REDIS_URL"
                    .to_owned(),
            );
        }
        StoreChoice::Redis(Redis {
            url: Secret::new(format!("{scheme}://{login}{host}:{port}/{db}")),
            shown: format!("{host}:{port}/{db}"),
        })
    }
}
