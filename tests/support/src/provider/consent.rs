//! The page where a person lets a client in, and what its codes are worth at the token endpoint: RFC 6749 §4.1
//! with PKCE, RFC 7636.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::oauth::{Tokens, unescaped};

/// Whose login every sign-in is.
pub const EMAIL: &str = "fake@example.com";

/// The account of ChatGPT that signs in.
pub const CHATGPT_ACCOUNT: &str = "0fa4e000-0000-4000-8000-0000000acc07";

/// What a person takes back from the page.
#[derive(Clone, Debug)]
pub struct Allowed {
    pub code: String,
    pub state: String,
    /// The address that the browser is led to, without its query.
    pub redirect_uri: String,
}

impl Allowed {
    /// The address that the browser is led to.
    pub fn callback(&self) -> String {
        format!(
            "{}?code={}&scope=s&state={}",
            self.redirect_uri, self.code, self.state
        )
    }

    /// Where it is led to when the person says no.
    pub fn denied(&self) -> String {
        let Self {
            redirect_uri, state, ..
        } = self;
        format!("{redirect_uri}?error=access_denied&error_description=No&state={state}")
    }
}

/// The codes that were not redeemed yet, each with what it was given for.
#[derive(Debug, Default)]
pub(super) struct Consents {
    open: HashMap<String, HashMap<String, String>>,
    given: usize,
}

impl Consents {
    /// # Panics
    /// If the address is not one that a provider would show a page for.
    pub(super) fn allow(&mut self, address: &str) -> Allowed {
        let (_, query) = address.split_once('?').expect("a query");
        let asked: HashMap<String, String> = query
            .split('&')
            .map(|pair| pair.split_once('=').expect("a value"))
            .map(|(name, value)| (name.to_owned(), unescaped(value)))
            .collect();
        let of = |name: &str| {
            let value = asked.get(name).filter(|value| !value.is_empty());
            value.unwrap_or_else(|| panic!("no {name} in {address}")).clone()
        };
        assert_eq!(of("response_type"), "code", "{address}");
        assert_eq!(of("code_challenge_method"), "S256", "{address}");
        assert_eq!(of("code_challenge").len(), 43, "{address}");
        assert!(of("state").len() >= 22 && !of("scope").is_empty(), "{address}");
        of("client_id");
        self.given += 1;
        let allowed = Allowed {
            code: format!("fake-code-{:04}", self.given),
            state: of("state"),
            redirect_uri: of("redirect_uri"),
        };
        self.open.insert(allowed.code.clone(), asked);
        allowed
    }

    /// What a request for tokens gets; `field` reads it. A code is good once, whatever comes of it.
    pub(super) fn redeem(
        &mut self,
        field: &dyn Fn(&str) -> String,
    ) -> Result<Granted, (&'static str, &'static str)> {
        let asked = self
            .open
            .remove(&field("code"))
            .ok_or(("invalid_grant", "Code not found or used"))?;
        let was = |name: &str| asked.get(name).cloned().unwrap_or_default();
        if field("client_id") != was("client_id") {
            return Err(("invalid_client", "Another client"));
        }
        if field("redirect_uri") != was("redirect_uri") {
            return Err(("redirect_uri_mismatch", "Another redirect address"));
        }
        let shown = Sha256::digest(field("code_verifier").as_bytes());
        if URL_SAFE_NO_PAD.encode(shown) != was("code_challenge") {
            return Err(("invalid_grant", "The verifier is not that of the challenge"));
        }
        let state = field("state");
        if !state.is_empty() && state != was("state") {
            return Err(("invalid_grant", "Another state"));
        }
        Ok(Granted { scope: was("scope") })
    }
}

/// A code that was redeemed.
pub(super) struct Granted {
    scope: String,
}

impl Granted {
    /// The answer, with the marks of all providers: who it is stands beside the tokens for one, in the identity
    /// token for the others.
    pub(super) fn of(&self, tokens: &Tokens, expires_in: u64) -> Value {
        let mut answer = json!({
            "token_type": "Bearer",
            "access_token": tokens.access,
            "expires_in": expires_in,
            "scope": self.scope,
        });
        // A setup token is not refreshed.
        if self.scope != "user:inference" {
            answer["refresh_token"] = tokens.refresh.clone().into();
        }
        if self.scope.contains("user:") {
            answer["account"] =
                json!({"uuid": "00000000-0000-4000-8000-0000000acc07", "email_address": EMAIL});
        } else {
            let claims = json!({"email": EMAIL, "https://api.openai.com/auth": {"chatgpt_account_id": CHATGPT_ACCOUNT}});
            answer["id_token"] = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string())).into();
        }
        answer
    }
}
