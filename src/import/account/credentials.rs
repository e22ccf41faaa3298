//! The credentials of an account, decrypted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Reading;
use crate::config;
use crate::import::cipher::{Kind, Unopened};
use crate::model::account::live::{AccessKeys, Credentials};
use crate::model::account::{Platform, amazon};
use crate::model::secret::Secret;
use crate::port::clock::Millis;

/// CRS's region for Bedrock accounts without one.
const BEDROCK_REGION: &str = "us-east-1";

impl Reading<'_> {
    fn open(&self, field: &str) -> Result<Option<Secret>, Unopened> {
        let text = self.fields.0.get(field).map(String::as_str).unwrap_or_default();
        self.ciphers.open(self.raw.kind, text)
    }

    /// A secret of the account, from its own field or from the original login.
    fn token(
        &self,
        field: &str,
        login: Option<&Value>,
        within: &str,
    ) -> Result<Option<Secret>, &'static str> {
        match self.open(field) {
            Ok(Some(secret)) => Ok(Some(secret)),
            opened => {
                let first = login
                    .and_then(|login| login.get(within)?.as_str())
                    .filter(|text| !text.is_empty());
                match (first, opened) {
                    (Some(text), _) => Ok(Some(Secret::new(text))),
                    (None, Ok(_)) => Ok(None),
                    (None, Err(_)) => Err("a secret cannot be opened with this ENCRYPTION_KEY"),
                }
            }
        }
    }

    fn login(&self, field: &str) -> Option<Value> {
        // An export contains it decrypted, as an object.
        let secret = self.open(field).ok().flatten()?;
        serde_json::from_str(secret.reveal()).ok()
    }

    pub(super) fn credentials(&mut self) -> Result<(Platform, Credentials), &'static str> {
        let fields = self.fields;
        let base = |field: &str| fields.text(field).map(str::to_owned);
        match self.raw.kind {
            Kind::Claude => {
                let login = self.login("claudeAiOauth");
                let ends = fields
                    .at("expiresAt")
                    .or_else(|| login.as_ref()?.get("expiresAt")?.as_u64());
                let names = ("accessToken", "refreshToken");
                Ok((Platform::Claude, self.oauth(login.as_ref(), names, ends, None)?))
            }
            Kind::Gemini => {
                let login = self.login("geminiOauth");
                let ends = login
                    .as_ref()
                    .and_then(|login| login.get("expiry_date")?.as_u64());
                let ends = ends.or_else(|| fields.at("expiresAt"));
                let project = fields.text("projectId").or_else(|| fields.text("tempProjectId"));
                let names = ("access_token", "refresh_token");
                let platform = if fields.text("oauthProvider") == Some("antigravity") {
                    Platform::Antigravity
                } else {
                    Platform::Gemini
                };
                Ok((platform, self.oauth(login.as_ref(), names, ends, project)?))
            }
            Kind::OpenAi => {
                let login = self.login("openaiOauth");
                let names = ("accessToken", "refreshToken");
                let mut credentials = self.oauth(
                    login.as_ref(),
                    names,
                    fields.at("expiresAt"),
                    fields.text("accountId"),
                )?;
                // CRS guesses a year if the expiry was unknown; the token itself contains it.
                if let Credentials::OAuth {
                    access_token,
                    expires_at,
                    ..
                } = &mut credentials
                    && let Some(end) = jwt_end(access_token.reveal())
                {
                    *expires_at = Some(end);
                }
                Ok((Platform::OpenAi, credentials))
            }
            Kind::Console => self.api_key(Platform::Claude, base("apiUrl")),
            Kind::GeminiApi => {
                let url = base("baseUrl").map(|url| url.trim_end_matches('/').to_owned());
                if let Some(url) = &url
                    && (url.ends_with("/models") || url.contains('{'))
                {
                    return Err("its address is a template, which has no home here");
                }
                let url = url.map(|url| url.strip_suffix("/v1beta").unwrap_or(&url).to_owned());
                let own = |url: &String| url == "https://generativelanguage.googleapis.com";
                self.api_key(Platform::Gemini, url.filter(|url| !own(url)))
            }
            Kind::Responses => self.api_key(Platform::OpenAi, base("baseApi")),
            Kind::Ccr => {
                Err("CCR accounts serve only models named `ccr,...`, which this relay does not have")
            }
            Kind::Azure => {
                let endpoint = base("azureEndpoint").ok_or("it has no address")?;
                // Microsoft's v1 API, which has no dated versions and accepts a deployment as the model.
                let endpoint = format!("{}/openai/v1", endpoint.trim().trim_end_matches('/'));
                self.api_key(Platform::OpenAi, Some(endpoint))
            }
            Kind::Droid => Err("droid has no platform here"),
            Kind::Bedrock => Ok((Platform::Claude, self.bedrock()?)),
        }
    }

    fn oauth(
        &self,
        login: Option<&Value>,
        (access, refresh): (&str, &str),
        expires_at: Option<Millis>,
        tenant: Option<&str>,
    ) -> Result<Credentials, &'static str> {
        let access_token = self
            .token("accessToken", login, access)?
            .ok_or("it has no access token yet: sign in again here")?;
        Ok(Credentials::OAuth {
            access_token,
            refresh_token: self.token("refreshToken", login, refresh)?,
            expires_at,
            tenant: tenant.map(str::to_owned),
        })
    }

    /// `credentialType` may contradict the stored credentials; it decides only if there are both. CRS calls
    /// InvokeModel, so that is what the account's permissions and models are known to suit.
    fn bedrock(&mut self) -> Result<Credentials, &'static str> {
        let fields = self.fields;
        let region = fields.text("region").unwrap_or(BEDROCK_REGION).trim().to_owned();
        if !amazon::is_region(&region) {
            return Err("its region is invalid");
        }
        let base_url = Some(amazon::invoke_model_address(&region));
        let keys = self.bedrock_secret("awsCredentials");
        let token = self.bedrock_secret("bearerToken");
        let text = |secret: &Value, name: &str| {
            let text = secret.get(name)?.as_str()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let token_of = |secret: &Value| {
            Some(Credentials::ApiKey {
                api_key: Secret::new(text(secret, "token")?),
                base_url: base_url.clone(),
            })
        };
        let keys_of = |secret: &Value| {
            Some(Credentials::AccessKeys(AccessKeys {
                access_key_id: text(secret, "accessKeyId").filter(|id| is_access_key_id(id))?,
                secret_access_key: Secret::new(text(secret, "secretAccessKey")?),
                session_token: text(secret, "sessionToken").map(Secret::new),
                region: region.clone(),
                base_url: base_url.clone(),
            }))
        };
        let is_damaged = keys.is_err() || token.is_err();
        let keys = keys.ok().flatten().as_ref().and_then(keys_of);
        let token = token.ok().flatten().as_ref().and_then(token_of);
        let found = if fields.text("credentialType") == Some("bearer_token") {
            token.or(keys)
        } else {
            keys.or(token)
        };
        found.ok_or(if is_damaged {
            "a secret cannot be opened with this ENCRYPTION_KEY"
        } else {
            "it has no access keys and no token of its own"
        })
    }

    /// A decrypted object; `None` if the field is missing.
    fn bedrock_secret(&self, field: &str) -> Result<Option<Value>, Unopened> {
        let secret = self.open(field)?;
        let object = secret.map(|secret| serde_json::from_str(secret.reveal()));
        object.transpose().map_err(|_| Unopened)
    }

    fn api_key(
        &mut self,
        platform: Platform,
        base_url: Option<String>,
    ) -> Result<(Platform, Credentials), &'static str> {
        let api_key = self.token("apiKey", None, "")?.ok_or("it has no API key")?;
        let base_url = match base_url {
            None => None,
            Some(text) => {
                let base = config::base_url(text.trim()).filter(|base| base.len() <= 500);
                let base = base.ok_or("its address is invalid, or has a query, a user or a password")?;
                Some(base.strip_suffix("/v1/messages").unwrap_or(&base).to_owned())
            }
        };
        Ok((platform, Credentials::ApiKey { api_key, base_url }))
    }
}

/// The id must fit into a header.
fn is_access_key_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    id.len() <= 128 && id.bytes().all(fits)
}

/// The expiry claimed by an OpenAI token.
fn jwt_end(token: &str) -> Option<Millis> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("exp")?.as_u64()?.checked_mul(1_000)
}
