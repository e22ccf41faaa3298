//! Reads credentials from the login files of the providers' own clients.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::Value;

use super::AccountInput;
use super::credentials::{CredentialsInput, CredentialsType};
use crate::account::openai;
use crate::http::admin::fields::{Credential, Line, Moment};
use crate::http::api_error::ApiError;
use crate::http::extract::{InputField, Object};
use crate::model::account::Platform;

/// A login read from such a file.
#[derive(Debug)]
pub(super) struct CredentialsFile {
    /// The login's platform, if the file shows it.
    platform: Option<Platform>,
    credentials: CredentialsInput,
}

impl<'de> Deserialize<'de> for CredentialsFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = match Value::deserialize(deserializer)? {
            Value::String(text) => {
                serde_json::from_slice(text.as_bytes()).map_err(|_| unfit("it is not JSON"))
            }
            object => Ok(object),
        };
        sent.and_then(|file| read(&file)).map_err(D::Error::custom)
    }
}

impl AccountInput {
    /// Replaces the file by the fields that it stands for.
    pub(in super::super) fn settled(mut self) -> Result<Self, ApiError> {
        let InputField::Yes(file) = std::mem::take(&mut self.credentials_file) else {
            return Ok(self);
        };
        let refuse = |why: &str| ApiError::invalid("credentialsFile", format!("`credentialsFile` {why}"));
        if self.credentials.as_ref().is_some() {
            return Err(refuse("stands for `credentials`: send one of them"));
        }
        match (file.platform, self.platform.as_ref()) {
            // Both are Google logins in the same format.
            (Some(Platform::Gemini), Some(Platform::Antigravity)) => {}
            (Some(of_file), Some(sent)) if of_file != *sent => {
                let (of_file, sent) = (of_file.name(), sent.name());
                return Err(refuse(&format!("holds a login for {of_file}, not for {sent}")));
            }
            (Some(of_file), None) => self.platform = InputField::Yes(of_file),
            _ => {}
        }
        self.credentials = InputField::Yes(Object(file.credentials));
        Ok(self)
    }
}

/// Accepts Claude Code's `.credentials.json`, Codex's `auth.json`, Gemini CLI's `oauth_creds.json`, or a plain
/// object with `accessToken`, `refreshToken` and `expiresAt`. Errors never quote the file.
fn read(file: &Value) -> Result<CredentialsFile, String> {
    if let Some(tokens) = file.get("claudeAiOauth") {
        let names = ["accessToken", "refreshToken", "expiresAt"];
        return of_names(Some(Platform::Claude), tokens, names);
    }
    if let Some(tokens) = file.get("tokens").filter(|tokens| tokens.is_object()) {
        return of_codex(tokens);
    }
    // A Codex login with an API key.
    if let Some(Value::String(_)) = file.get("OPENAI_API_KEY") {
        let credentials = CredentialsInput {
            api_key: InputField::Yes(needed(file, "OPENAI_API_KEY")?),
            ..CredentialsInput::of(CredentialsType::ApiKey)
        };
        return Ok(CredentialsFile {
            platform: Some(Platform::OpenAi),
            credentials,
        });
    }
    if file.get("access_token").is_some() {
        let names = ["access_token", "refresh_token", "expiry_date"];
        return of_names(Some(Platform::Gemini), file, names);
    }
    of_names(None, file, ["accessToken", "refreshToken", "expiresAt"])
}

/// `names`: the members for the access token, the refresh token and the expiry.
fn of_names(
    platform: Option<Platform>,
    tokens: &Value,
    [access, refresh, end]: [&str; 3],
) -> Result<CredentialsFile, String> {
    let expires_at = match tokens.get(end) {
        None | Some(Value::Null) => Moment(None),
        Some(at) => at
            .as_u64()
            .and_then(Moment::at)
            .ok_or_else(|| unfit(&format!("{end} is not a number of milliseconds")))?,
    };
    let credentials = CredentialsInput {
        access_token: InputField::Yes(needed(tokens, access)?),
        refresh_token: InputField::Yes(token(tokens, refresh)?),
        expires_at: InputField::Yes(expires_at),
        ..CredentialsInput::of(CredentialsType::OAuth)
    };
    Ok(CredentialsFile {
        platform,
        credentials,
    })
}

/// The expiry and the account are inside of the tokens.
fn of_codex(tokens: &Value) -> Result<CredentialsFile, String> {
    let access = needed(tokens, "access_token")?;
    let text = |name: &str| tokens.get(name).and_then(Value::as_str);
    let account = text("account_id")
        .filter(|id| (1..=100).contains(&id.len()))
        .map(str::to_owned)
        .or_else(|| openai::tenant(text("id_token")?))
        .or_else(|| openai::tenant(access.0.reveal()));
    let credentials = CredentialsInput {
        expires_at: InputField::Yes(Moment(openai::expiry(access.0.reveal()))),
        access_token: InputField::Yes(access),
        refresh_token: InputField::Yes(token(tokens, "refresh_token")?),
        tenant: InputField::Yes(account.map(Line)),
        ..CredentialsInput::of(CredentialsType::OAuth)
    };
    Ok(CredentialsFile {
        platform: Some(Platform::OpenAi),
        credentials,
    })
}

fn token(tokens: &Value, name: &str) -> Result<Option<Credential>, String> {
    match tokens.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Credential::read(text)
            .map(Some)
            .map_err(|why| unfit(&format!("{name} {why}"))),
        Some(_) => Err(unfit(&format!("{name} is not text"))),
    }
}

fn needed(tokens: &Value, name: &str) -> Result<Credential, String> {
    token(tokens, name)?.ok_or_else(|| unfit(&format!("{name} is missing")))
}

fn unfit(why: &str) -> String {
    format!(
        "holds no login ({why}): it takes the .credentials.json of Claude Code, the auth.json of Codex and the oauth_creds.json of Gemini CLI"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Platform, access token, refresh token, end, tenant; of a key, the key stands for the access token.
    type Parts = (
        Option<Platform>,
        String,
        Option<String>,
        Option<u64>,
        Option<String>,
    );

    fn known(file: &Value) -> Parts {
        let read = read(file).unwrap();
        let credentials = read.credentials;
        let access = match credentials.r#type {
            CredentialsType::ApiKey => credentials.api_key.as_ref().unwrap(),
            CredentialsType::OAuth => credentials.access_token.as_ref().unwrap(),
            CredentialsType::AccessKeys | CredentialsType::ServiceAccount | CredentialsType::EntraApp => {
                panic!("no login")
            }
        };
        let optional = credentials.refresh_token.as_ref().cloned().flatten();
        (
            read.platform,
            access.0.reveal().to_owned(),
            optional.map(|token| token.0.reveal().to_owned()),
            credentials.expires_at.as_ref().and_then(|at| at.0),
            credentials.tenant.as_ref().cloned().flatten().map(|line| line.0),
        )
    }

    fn owned(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn the_clients_files_become_credentials() {
        let claude = json!({"claudeAiOauth": {"accessToken": "a", "refreshToken": "r", "expiresAt": 1_764_000_000_000_u64,
            "scopes": ["user:inference"], "subscriptionType": "max"}, "other": 1});
        let end = Some(1_764_000_000_000);
        assert_eq!(
            known(&claude),
            (
                Some(Platform::Claude),
                "a".to_owned(),
                Some(owned("r")),
                end,
                None
            )
        );
        let gemini = json!({"access_token": "a", "refresh_token": "r", "scope": "x", "token_type": "Bearer", "id_token": "i",
            "expiry_date": 1_764_000_000_000_u64});
        assert_eq!(
            known(&gemini),
            (
                Some(Platform::Gemini),
                "a".to_owned(),
                Some(owned("r")),
                end,
                None
            )
        );
        assert_eq!(
            known(&json!({"accessToken": "a", "refreshToken": null})),
            (None, "a".to_owned(), None, None, None)
        );
    }

    #[test]
    fn codexs_file_becomes_credentials() {
        // {"exp":1764000000} and {"https://api.openai.com/auth":{"chatgpt_account_id":"acc-2"}}
        let access = "e30.eyJleHAiOjE3NjQwMDAwMDB9.s";
        let id = "e30.eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9hY2NvdW50X2lkIjoiYWNjLTIifX0.s";
        let file = |account: Value| {
            json!({"OPENAI_API_KEY": null, "last_refresh": "2026-01-01T00:00:00Z",
                "tokens": {"id_token": id, "access_token": access, "refresh_token": "r", "account_id": account}})
        };
        let wanted = |account: &str| {
            let end = Some(1_764_000_000_000);
            (
                Some(Platform::OpenAi),
                access.to_owned(),
                Some(owned("r")),
                end,
                Some(owned(account)),
            )
        };
        assert_eq!(known(&file(json!("acc-1"))), wanted("acc-1"));
        assert_eq!(known(&file(Value::Null)), wanted("acc-2"));
        assert_eq!(
            known(&json!({"OPENAI_API_KEY": "sk-1", "tokens": null})),
            (Some(Platform::OpenAi), "sk-1".to_owned(), None, None, None)
        );
    }

    #[test]
    fn other_files_are_refused_without_being_repeated() {
        for (file, why) in [
            (json!("s3cret"), "accessToken is missing"),
            (
                json!({"claudeAiOauth": {"refreshToken": "s3cret"}}),
                "accessToken is missing",
            ),
            (json!({"accessToken": ["s3cret"]}), "accessToken is not text"),
            (
                json!({"accessToken": "two s3crets"}),
                "accessToken must have no blanks",
            ),
            (
                json!({"tokens": {"id_token": "s3cret"}}),
                "access_token is missing",
            ),
            (
                json!({"access_token": "s3cret", "expiry_date": "2027"}),
                "expiry_date is not a number",
            ),
        ] {
            let said = read(&file).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
