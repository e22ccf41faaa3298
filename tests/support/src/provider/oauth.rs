//! The token endpoint, and which tokens it has given out.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::consent::{Consents, EMAIL};
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
    /// What was allowed at the page where people sign in.
    pub(super) consents: Consents,
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
            consents: Consents::default(),
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
            Ok(value) => Script::json(value),
            Err((kind, why)) => {
                self.refused += 1;
                Script::json(json!({"error": kind, "error_description": why})).status(400)
            }
        };
        answer.delay_head(self.delay)
    }

    fn try_grant(&mut self, request: &Request) -> Result<Value, (&'static str, &'static str)> {
        let field = |name: &str| field(request, name).unwrap_or_default();
        match field("grant_type").as_str() {
            "refresh_token" => {}
            "authorization_code" => {
                let answer = self.consents.redeem(&field)?;
                let tokens = self.mint();
                return Ok(answer.of(&tokens, self.expires_in));
            }
            _ => return Err(("unsupported_grant_type", "Unsupported grant type")),
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
        self.refreshes += 1;
        Ok(json!({
            "token_type": "Bearer",
            "access_token": new.access,
            "expires_in": self.expires_in,
            "refresh_token": new.refresh,
            "scope": "user:inference user:profile",
            "organization": {"uuid": "00000000-0000-4000-8000-00000000fa4e", "name": "Fake"},
            "account": {"uuid": "00000000-0000-4000-8000-0000000acc07", "email_address": EMAIL},
        }))
    }
}

/// A field of a body that is JSON or a form.
pub(super) fn field(request: &Request, name: &str) -> Option<String> {
    if let Some(body) = request.try_json() {
        return body[name].as_str().map(str::to_owned);
    }
    request.text().split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| unescaped(value))
    })
}

/// Undoes the encoding of forms and queries.
pub(super) fn unescaped(text: &str) -> String {
    let bytes = text.replace('+', " ").into_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
