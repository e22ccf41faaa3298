//! Address and token of a database at Upstash; both or neither must be set.

use super::read::{Reader, base_url, text};
use super::{StoreChoice, Upstash};
use crate::model::secret::Secret;

impl Reader<'_> {
    /// Address and token as set.
    pub(super) fn upstash_vars(&self) -> (Option<String>, Option<String>) {
        (
            text(self.vars, "UPSTASH_REDIS_REST_URL"),
            text(self.vars, "UPSTASH_REDIS_REST_TOKEN"),
        )
    }

    pub(super) fn upstash(&mut self, (url, token): (Option<String>, Option<String>)) -> StoreChoice {
        if url.is_none() {
            self.problem(
                "UPSTASH_REDIS_REST_URL is missing: set it to the database's REST address, https://..., or leave UPSTASH_REDIS_REST_TOKEN out too"
                    .to_owned(),
            );
        }
        if token.is_none() {
            self.problem(
                "UPSTASH_REDIS_REST_TOKEN is missing: set it to the token shown beside the database's REST address"
                    .to_owned(),
            );
        }
        let (Some(url), Some(token)) = (url, token) else {
            return StoreChoice::Embedded;
        };
        // Other characters are invalid in a header.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problem(
                "UPSTASH_REDIS_REST_TOKEN has blanks or other characters that no token has: copy it again"
                    .to_owned(),
            );
        }
        let Some(url) = base_url(&url).filter(|url| is_safe(url)) else {
            self.problem(
                "UPSTASH_REDIS_REST_URL is not https://host (http:// only to this machine): set it to the database's REST address"
                    .to_owned(),
            );
            return StoreChoice::Embedded;
        };
        let shown = url.split_once("://").map_or("", |(_, rest)| rest).to_owned();
        StoreChoice::Upstash(Upstash {
            url,
            token: Secret::new(token),
            shown,
        })
    }
}

/// Every request contains the token, so TLS is required except on this machine.
fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or("").trim_matches(['[', ']']);
    uri.scheme_str() == Some("https")
        || host == "localhost"
        || host
            .parse::<core::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
