//! An admin's actions through the API, in the user's verbs.

use serde_json::{Value, json};

use super::Relay;
use crate::client::Client;
use crate::provider::Tokens;

/// A key of the relay, as its maker sees it.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    /// What clients show.
    pub secret: String,
    /// The whole answer of the admin API.
    pub record: Value,
}

impl Relay {
    /// Adds an account from the whole body of `POST /admin/accounts`; returns the account.
    pub async fn add_account(&self, account: &Value) -> Value {
        let added = self
            .admin()
            .post("/admin/accounts", account)
            .await
            .expect(201)
            .json();
        unwrapped(added)
    }

    /// Adds an Anthropic account with a key; returns its id.
    pub async fn claude_account(&self, name: &str, api_key: &str) -> String {
        let account = json!({
            "name": name,
            "platform": "claude",
            "credentials": {"type": "apiKey", "apiKey": api_key},
        });
        id(&self.add_account(&account).await)
    }

    /// Adds an Anthropic account with tokens that expire at a moment in milliseconds since 1970; returns
    /// its id.
    pub async fn claude_oauth_account(&self, name: &str, tokens: &Tokens, expires_at: u64) -> String {
        let account = json!({
            "name": name,
            "platform": "claude",
            "credentials": {
                "type": "oauth",
                "accessToken": tokens.access,
                "refreshToken": tokens.refresh,
                "expiresAt": expires_at,
            },
        });
        id(&self.add_account(&account).await)
    }

    /// Creates a key from the whole body of `POST /admin/api-keys`.
    pub async fn create_key(&self, key: &Value) -> Key {
        let record = unwrapped(self.admin().post("/admin/api-keys", key).await.expect(201).json());
        let secret = record["key"]
            .as_str()
            .unwrap_or_else(|| panic!("no key in {record}"))
            .to_owned();
        Key {
            id: id(&record),
            secret,
            record,
        }
    }

    /// A key to be created, without limits so far.
    pub fn key(&self, name: &str) -> NewKey<'_> {
        NewKey {
            relay: self,
            body: json!({"name": name}),
        }
    }

    /// A client of the Anthropic API that shows this key.
    pub fn client(&self, secret: &str) -> Client {
        self.of_all("/api").with_key(secret)
    }
}

/// A key that was not created yet.
pub struct NewKey<'a> {
    relay: &'a Relay,
    body: Value,
}

impl NewKey<'_> {
    /// Sets a field, such as `concurrencyLimit`.
    pub fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body[field] = value.into();
        self
    }

    pub async fn create(self) -> Key {
        self.relay.create_key(&self.body).await
    }
}

/// The record itself, where an answer wraps it as `{"success":true,"data":{..}}`.
fn unwrapped(answer: Value) -> Value {
    match answer.get("data") {
        Some(data) if data.is_object() => data.clone(),
        _ => answer,
    }
}

fn id(record: &Value) -> String {
    record["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {record}"))
        .to_owned()
}
