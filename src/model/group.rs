//! A group of accounts, to which keys can be bound.

use crs_durable::Millis;
use serde::{Deserialize, Serialize};

use crate::model::account::Platform;

/// A stored group, with CRS's field names. The accounts' records list their groups.
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
    /// Fields of newer versions, which are preserved.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}
