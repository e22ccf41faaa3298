//! Google's side of service accounts: checks their signatures, hands out access tokens, and refuses at Vertex AI what
//! Vertex refuses.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::FakeProvider;
use super::oauth::field;
use super::request::Request;
use super::script::Script;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Starts every access token of a service account.
const ACCESS: &str = "ya29.fake-";
/// Lifetime of a token, seconds.
const LIFETIME: u64 = 3599;
/// Betas that Vertex is told of and does not know.
const UNKNOWN_BETAS: [&str; 2] = ["prompt-caching-scope-2026-01-05", "effort-2025-11-24"];

/// A private key for tests. Nobody trusts it.
pub const SERVICE_ACCOUNT_PEM: &str = include_str!("../../keys/service_account.pem");
/// Another one.
pub const ANOTHER_PEM: &str = include_str!("../../keys/another.pem");

#[derive(Default)]
pub(super) struct GoogleState {
    /// Public keys by the account's address.
    accounts: HashMap<String, Vec<u8>>,
    access: HashSet<String>,
    granted: usize,
    lifetime: Option<u64>,
}

/// The key file of a service account, as Google hands it out.
pub fn key_file(email: &str, pem: &str) -> Value {
    json!({
        "type": "service_account", "project_id": "my-project", "private_key_id": "0a1b2c", "private_key": pem,
        "client_email": email, "client_id": "1", "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token", "universe_domain": "googleapis.com",
    })
}

/// The model that a path of Vertex names, without its date.
pub(super) fn model_of(request: &Request) -> Option<String> {
    let (_, rest) = request.path().split_once("/publishers/anthropic/models/")?;
    Some(rest.split([':', '@']).next()?.to_owned())
}

/// What Vertex refuses in a body for Gemini, although the Gemini API accepts it.
fn wrong_for_vertex(body: &Value) -> Option<&'static str> {
    if body.get("generateContentRequest").is_some() || body.get("model").is_some() {
        return Some(
            "Invalid JSON payload received. Unknown name \"generateContentRequest\": Cannot find field.",
        );
    }
    for content in body["contents"].as_array().into_iter().flatten() {
        if !matches!(content["role"].as_str(), Some("user" | "model")) {
            return Some("Please use a valid role: user, model.");
        }
        for part in content["parts"].as_array().into_iter().flatten() {
            let calls = [&part["functionCall"], &part["functionResponse"]];
            if calls.iter().any(|call| call.get("id").is_some()) {
                return Some(
                    "Invalid JSON payload received. Unknown name \"id\" at 'contents.parts': Cannot find field.",
                );
            }
        }
    }
    None
}

impl GoogleState {
    pub(super) fn add(&mut self, email: &str, pem: &str) {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).expect("a key in PEM");
        let pair = RsaKeyPair::from_pkcs8(&der).expect("an RSA key");
        let public = pair.public_key().as_ref().to_vec();
        self.accounts.insert(email.to_owned(), public);
    }

    /// Answers a request for a token, if it is one of a service account.
    pub(super) fn grant(&mut self, request: &Request) -> Option<Script> {
        (field(request, "grant_type")? == GRANT).then_some(())?;
        let answer = match self.try_grant(request) {
            Ok(()) => {
                self.granted += 1;
                let token = format!("{ACCESS}{:08}", self.granted);
                self.access.insert(token.clone());
                let lifetime = self.lifetime.unwrap_or(LIFETIME);
                Script::json(json!({ "access_token": token, "expires_in": lifetime, "token_type": "Bearer" }))
            }
            Err(why) => {
                Script::json(json!({ "error": "invalid_grant", "error_description": why })).status(400)
            }
        };
        Some(answer)
    }

    fn try_grant(&self, request: &Request) -> Result<(), &'static str> {
        let assertion = field(request, "assertion").unwrap_or_default();
        let (signed, signature) = assertion.rsplit_once('.').ok_or("Bad Request")?;
        let (header, claims) = signed.split_once('.').ok_or("Bad Request")?;
        let plain = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "Bad Request");
        let read = |part: &str| serde_json::from_slice::<Value>(&plain(part)?).map_err(|_| "Bad Request");
        let (header, claims) = (read(header)?, read(claims)?);
        if header["alg"] != "RS256" || header["kid"] != "0a1b2c" {
            return Err("Invalid JWT Signature.");
        }
        let email = claims["iss"].as_str().unwrap_or_default();
        let public = self
            .accounts
            .get(email)
            .ok_or("Invalid grant: account not found")?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
        key.verify(signed.as_bytes(), &plain(signature)?)
            .map_err(|_| "Invalid JWT Signature.")?;
        let [begin, end] = ["iat", "exp"].map(|name| claims[name].as_u64().unwrap_or_default());
        let now = super::headers::epoch(SystemTime::now());
        if now.abs_diff(begin) > 300 || end <= begin || end - begin > 3600 {
            return Err(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your \
                 iat and exp values in the JWT claim.",
            );
        }
        if claims["aud"] != "https://oauth2.googleapis.com/token"
            || claims["scope"] != "https://www.googleapis.com/auth/cloud-platform"
        {
            return Err("Invalid JWT: Failed audience check.");
        }
        Ok(())
    }

    /// The answer to a request that Vertex would not serve.
    pub(super) fn objection(&self, request: &Request) -> Option<Script> {
        let of_gemini = request.path().contains("/publishers/google/models/");
        let model = model_of(request).or(of_gemini.then(String::new))?;
        if !request.bearer().is_some_and(|token| self.access.contains(token)) {
            let why = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                       other valid authentication credential.";
            return Some(error(401, "UNAUTHENTICATED", why));
        }
        let invalid = |why: &str| Some(Script::error_saying(400, "invalid_request_error", why));
        let Some(body) = request.try_json() else {
            return invalid("the body is no JSON");
        };
        if of_gemini {
            return wrong_for_vertex(&body).map(|why| error(400, "INVALID_ARGUMENT", why));
        }
        if body["anthropic_version"] != "vertex-2023-10-16" {
            return invalid("anthropic_version: Field required");
        }
        if (model == "count-tokens") != body.get("model").is_some() {
            return invalid("model: Extra inputs are not permitted");
        }
        let streams = request.path().ends_with(":streamRawPredict");
        if streams != request.wants_stream() {
            return invalid("stream: does not fit the method");
        }
        let betas = request
            .headers
            .all("anthropic-beta")
            .flat_map(|list| list.split(','));
        let unknown = betas
            .into_iter()
            .find(|beta| UNKNOWN_BETAS.contains(&beta.trim()));
        if let Some(beta) = unknown {
            return invalid(&format!(
                "Unexpected value(s) `{beta}` for the `anthropic-beta` header."
            ));
        }
        None
    }
}

impl FakeProvider {
    /// Gives tokens to the service account whose key this is, and refuses all others.
    pub fn takes_service_account(&self, email: &str, pem: &str) {
        self.shared.state().google.add(email, pem);
    }

    /// Ends all access tokens of service accounts.
    pub fn end_google_tokens(&self) {
        self.shared.state().google.access.clear();
    }

    /// Lifetime of the next access tokens of service accounts, seconds.
    pub fn google_tokens_last(&self, seconds: u64) {
        self.shared.state().google.lifetime = Some(seconds);
    }

    /// How many access tokens service accounts have got.
    pub fn google_tokens(&self) -> usize {
        self.shared.state().google.granted
    }
}

/// An error of Google's gateway, in an array as for streams.
pub fn error(code: u16, status: &str, message: &str) -> Script {
    let error = json!({ "code": code, "message": message, "status": status });
    Script::json(json!([{ "error": error }])).status(code)
}
