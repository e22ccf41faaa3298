//! ChatGPT's tokens: renewal at `OPENAI_OAUTH_URL`, and their claims.

use bytes::Bytes;
use crs_durable::Millis;
use http::{Request, StatusCode};
use serde::Deserialize;

use crate::account::sign_in::{self, Exchange, NoSignIn, SignIn};
use crate::account::{RefreshOutcome, oauth};
use crate::config::Config;
use crate::model::account::Grant;

/// Prefix of the OAuth settings' variables.
const VARIABLES: &str = "OPENAI_OAUTH";

pub(super) fn refresh_request(refresh_token: &str, config: &Config) -> Result<Request<Bytes>, String> {
    let client = config.openai.oauth_client_id.as_deref();
    let more = [("client_id", client), ("scope", Some("openid profile email"))];
    oauth::form_request(&config.openai.oauth_url, refresh_token, &more)
        .ok_or_else(|| "OPENAI_OAUTH_URL is not a valid address".to_owned())
}

pub(super) fn sign_in(grant: Grant, config: &Config) -> Result<SignIn<'_>, NoSignIn> {
    if grant != Grant::OAuth {
        return Err(NoSignIn::OtherGrant);
    }
    let openai = &config.openai;
    Ok(SignIn {
        variables: VARIABLES,
        page: &openai.oauth_page,
        // Adds the person's organisations to the identity token.
        page_more: &[("id_token_add_organizations", "true")],
        scope: "openid profile email offline_access",
        client_id: sign_in::client_id(VARIABLES, openai.oauth_client_id.as_deref())?,
        client_secret: None,
        redirect_uri: &openai.oauth_redirect,
        token_url: &openai.oauth_url,
        exchange: Exchange::Form,
    })
}

pub(super) fn refreshed(status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome {
    #[derive(Deserialize)]
    struct Answer {
        id_token: Option<String>,
    }
    match oauth::refreshed(status, body, now) {
        RefreshOutcome::Tokens(mut tokens) => {
            let id = serde_json::from_slice::<Answer>(body)
                .ok()
                .and_then(|answer| answer.id_token);
            tokens.tenant = id
                .as_deref()
                .and_then(tenant)
                .or_else(|| tenant(tokens.access_token.reveal()));
            RefreshOutcome::Tokens(tokens)
        }
        other => other,
    }
}

/// The ChatGPT account named by a token (`id_token` or `access_token`).
pub fn tenant(token: &str) -> Option<String> {
    let claims = oauth::claims(token)?;
    let auth = claims.get("https://api.openai.com/auth").unwrap_or(&claims);
    let id = auth.get("chatgpt_account_id")?.as_str()?;
    (1..=100).contains(&id.len()).then(|| id.to_owned())
}

/// The expiry claimed by a token.
pub fn expiry(token: &str) -> Option<Millis> {
    let seconds = oauth::claims(token)?.get("exp")?.as_u64()?;
    seconds.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    fn token(claims: &Value) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn a_token_names_its_account() {
        let nested = json!({"https://api.openai.com/auth": {"chatgpt_account_id": "acc-1"}, "exp": 1});
        assert_eq!(tenant(&token(&nested)).as_deref(), Some("acc-1"));
        assert_eq!(
            tenant(&token(&json!({"chatgpt_account_id": "acc-2"}))).as_deref(),
            Some("acc-2")
        );
        for odd in [json!({}), json!({"chatgpt_account_id": 5}), json!([])] {
            assert_eq!(tenant(&token(&odd)), None);
        }
        assert_eq!(tenant("sk-opaque"), None);
    }

    #[test]
    fn renewed_tokens_say_whose_they_are() {
        let id = token(&json!({"https://api.openai.com/auth": {"chatgpt_account_id": "acc-1"}}));
        let body =
            json!({"access_token": "a", "refresh_token": "r", "id_token": id, "expires_in": 60}).to_string();
        let RefreshOutcome::Tokens(tokens) = refreshed(StatusCode::OK, body.as_bytes(), 1_000) else {
            panic!()
        };
        assert_eq!(tokens.tenant.as_deref(), Some("acc-1"));
        assert_eq!(tokens.expires_at, Some(61_000));
    }
}
