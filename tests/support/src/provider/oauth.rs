//! The token endpoint, and which tokens it has given out.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::request::Request;
use super::script::Script;

/// Starts every access token this provider mints; only such tokens are checked.
const ACCESS: &str = "sk-ant-oat01-fake-";
const REFRESH: &str = "sk-ant-ort01-fake-";

/// A pair of tokens of one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

#[derive(Debug)]
pub(super) struct OauthState {
    pub(super) delay: Duration,
    pub(super) expires_in: u64,
    pub(super) rotate: bool,
    pub(super) refreshes: usize,
    pub(super) refused: usize,
    pub(super) access: HashSet<String>,
    pub(super) refresh: HashSet<String>,
    minted: usize,
}

impl Default for OauthState {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            expires_in: 28_800,
            rotate: true,
            refreshes: 0,
            refused: 0,
            access: HashSet::new(),
            refresh: HashSet::new(),
            minted: 0,
        }
    }
}

impl OauthState {
    pub(super) fn mint(&mut self) -> Tokens {
        self.minted += 1;
        let tokens = Tokens {
            access: format!("{ACCESS}{:08}", self.minted),
            refresh: format!("{REFRESH}{:08}", self.minted),
        };
        self.access.insert(tokens.access.clone());
        self.refresh.insert(tokens.refresh.clone());
        tokens
    }

    /// Why the API would not serve this request, if it would not.
    pub(super) fn objection(&self, request: &Request) -> Option<Script> {
        let token = request.bearer().filter(|token| token.starts_with(ACCESS))?;
        let refuse = |why| Some(Script::error_saying(401, "authentication_error", why));
        if !self.access.contains(token) {
            return refuse(
                "OAuth token has expired. Please obtain a new token or refresh your existing token.",
            );
        }
        if !super::Route::of(request).is_anthropics() {
            return None;
        }
        let beta = request.headers.all("anthropic-beta").flat_map(|v| v.split(','));
        if !beta.into_iter().any(|flag| flag.trim().starts_with("oauth-")) {
            return refuse("OAuth authentication is currently not supported.");
        }
        None
    }

    /// Answers one call of the token endpoint. The grant changes at once; only the answer is delayed.
    pub(super) fn grant(&mut self, request: &Request) -> Script {
        let answer = match self.try_grant(request) {
            Ok(value) => {
                self.refreshes += 1;
                Script::json(value)
            }
            Err((kind, why)) => {
                self.refused += 1;
                Script::json(json!({"error": kind, "error_description": why})).status(400)
            }
        };
        answer.delay_head(self.delay)
    }

    fn try_grant(&mut self, request: &Request) -> Result<Value, (&'static str, &'static str)> {
        let field = |name: &str| field(request, name).unwrap_or_default();
        if field("grant_type") != "refresh_token" {
            return Err(("unsupported_grant_type", "Unsupported grant type"));
        }
        let old = field("refresh_token");
        if !self.refresh.contains(&old) {
            return Err(("invalid_grant", "Refresh token not found or invalid"));
        }
        let mut new = self.mint();
        if self.rotate {
            self.refresh.remove(&old);
        } else {
            self.refresh.remove(&new.refresh);
            new.refresh = old;
        }
        Ok(json!({
            "token_type": "Bearer",
            "access_token": new.access,
            "expires_in": self.expires_in,
            "refresh_token": new.refresh,
            "scope": "user:inference user:profile",
            "organization": {"uuid": "00000000-0000-4000-8000-00000000fa4e", "name": "Fake"},
            "account": {"uuid": "00000000-0000-4000-8000-0000000acc07", "email_address": "fake@example.com"},
        }))
    }
}

/// A field of a body that is JSON or a form.
fn field(request: &Request, name: &str) -> Option<String> {
    if let Some(body) = request.try_json() {
        return body[name].as_str().map(str::to_owned);
    }
    request.text().split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| value.to_owned())
    })
}
