//! A client key: what the operator hands out.

use crs_durable::gate::{KeyPolicy, Service};
use serde::{Deserialize, Serialize};

use crate::port::clock::Millis;

/// A key as the store keeps it: a hash, never the key. Field names are CRS's where CRS has the field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Hex of the hash the gate is named by.
    pub hash: String,
    /// The key's first characters, for people to tell keys apart.
    pub shown: String,
    pub version: u64,
    pub is_active: bool,
    #[serde(default)]
    pub expires_at: Option<Millis>,
    #[serde(default)]
    pub concurrency_limit: u32,
    #[serde(default)]
    pub permissions: Vec<Service>,
    #[serde(default)]
    pub enable_model_restriction: bool,
    #[serde(default)]
    pub restricted_models: Vec<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub created_at: Millis,
    pub updated_at: Millis,
    /// Soft deletion: the hash is unknown to the gates until the key is restored.
    #[serde(default)]
    pub deleted_at: Option<Millis>,
    /// Fields of a newer version, kept through every change.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Key {
    pub fn policy(&self) -> KeyPolicy {
        KeyPolicy {
            id: self.id.clone(),
            name: self.name.clone(),
            version: self.version,
            active: self.is_active,
            expires_at: self.expires_at,
            concurrency_limit: self.concurrency_limit,
            permissions: self.permissions.clone(),
            model_restriction: self.enable_model_restriction,
            restricted_models: self.restricted_models.clone(),
        }
    }
}
