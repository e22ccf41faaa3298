//! A group of accounts, which keys can be bound to.

use crs_durable::Millis;
use serde::{Deserialize, Serialize};

use crate::model::account::Platform;

/// A group as the store keeps it, under CRS's names. Which accounts are in it stands in their records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub platform: Platform,
    pub created_at: Millis,
    pub updated_at: Millis,
    /// Fields of a newer version, kept through every change.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}
