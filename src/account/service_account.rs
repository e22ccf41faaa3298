//! Access tokens of Google's service accounts: a claim, signed with the account's key, is exchanged for a token.
//!
//! Sources: "Using OAuth 2.0 for Server to Server Applications" in Google's documentation, RFC 7523.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use crs_durable::Millis;
use http::{Request, StatusCode};
use serde_json::json;

use super::oauth;
use crate::account::RefreshOutcome;
use crate::model::account::live::ServiceAccount;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The audience is always Google's endpoint, whichever address leads to it.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";

/// Lifetime of a claim, seconds: Google's maximum.
const LIFETIME: u64 = 3600;

/// The text to sign: header and claims of a JSON web token.
pub fn claim(account: &ServiceAccount, now: Millis) -> String {
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let (Some(id), Some(fields)) = (&account.private_key_id, header.as_object_mut()) {
        fields.insert("kid".to_owned(), id.as_str().into());
    }
    let begin = now / 1000;
    let claims = json!({
        "iss": account.client_email, "scope": SCOPE, "aud": AUDIENCE, "iat": begin, "exp": begin + LIFETIME,
    });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}")
}

/// The request that exchanges a signed claim for a token. `url`: the `GOOGLE_OAUTH_URL`.
pub fn request(url: &str, claim: &str, signature: &[u8]) -> Result<Request<Bytes>, String> {
    let assertion = format!("{claim}.{}", URL_SAFE_NO_PAD.encode(signature));
    let fields = [("grant_type", GRANT), ("assertion", assertion.as_str())];
    oauth::form_post(url, &fields).ok_or_else(|| "GOOGLE_OAUTH_URL is not a valid address".to_owned())
}

/// Reads the answer.
///
/// | error | cause | consequence |
/// | --- | --- | --- |
/// | `invalid_grant` about the time of the claim | the relay's clock | tried again later |
/// | `invalid_grant` (wrong signature, unknown account), `unauthorized_client` | key or account | marked until it has another key |
/// | other | Google, or the way to it | tried again later |
pub fn answered(status: StatusCode, body: &[u8], now: Millis) -> RefreshOutcome {
    let outcome = oauth::refreshed(status, body, now);
    let RefreshOutcome::Refused(_) = outcome else {
        return outcome;
    };
    let said = oauth::description(body);
    if said.contains("reasonable timeframe") {
        RefreshOutcome::Failed(format!("Google finds the relay's clock wrong: {said}"))
    } else {
        RefreshOutcome::Refused(format!("Google refuses the service account's key: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;

    fn account() -> ServiceAccount {
        ServiceAccount {
            client_email: "relay@my-project.iam.gserviceaccount.com".to_owned(),
            private_key: Secret::new("sesame"),
            private_key_id: Some("0a1b".to_owned()),
            project: "my-project".to_owned(),
            region: "global".to_owned(),
            base_url: None,
            access_token: None,
            expires_at: None,
        }
    }

    #[test]
    fn a_claim_lasts_an_hour_and_is_for_google() {
        let claim = claim(&account(), 1_764_000_000_999);
        let (header, claims) = claim.split_once('.').unwrap();
        let plain = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(
            plain(header),
            json!({ "alg": "RS256", "typ": "JWT", "kid": "0a1b" })
        );
        assert_eq!(
            plain(claims),
            json!({
                "iss": "relay@my-project.iam.gserviceaccount.com", "scope": SCOPE, "aud": AUDIENCE,
                "iat": 1_764_000_000, "exp": 1_764_003_600,
            })
        );
        let request = request("https://h/token", &claim, b"\xff\xfe").unwrap();
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        let begin = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        assert_eq!(body, format!("{begin}{claim}.__4"));
    }

    #[test]
    fn a_refused_key_is_told_from_a_wrong_clock() {
        let read =
            |status: u16, body: &str| answered(StatusCode::from_u16(status).unwrap(), body.as_bytes(), 1_000);
        let token = r#"{"access_token":"ya29.a","expires_in":3599,"token_type":"Bearer"}"#;
        let RefreshOutcome::Tokens(tokens) = read(200, token) else {
            panic!()
        };
        assert_eq!(tokens.expires_at, Some(3_600_000));
        for dead in ["Invalid JWT Signature.", "Invalid grant: account not found"] {
            let body = json!({ "error": "invalid_grant", "error_description": dead }).to_string();
            let RefreshOutcome::Refused(why) = read(400, &body) else {
                panic!("{dead}")
            };
            assert!(why.ends_with(dead), "{why}");
        }
        let clock = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. \
                     Check your iat and exp values in the JWT claim.";
        for (status, body) in [
            (
                400,
                json!({ "error": "invalid_grant", "error_description": clock }).to_string(),
            ),
            (400, json!({ "error": "invalid_request" }).to_string()),
            (503, String::new()),
        ] {
            assert!(matches!(read(status, &body), RefreshOutcome::Failed(_)), "{body}");
        }
    }
}
