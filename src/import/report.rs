//! The report of a run: figures, and remarks on groups of records. Contains no secret.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::store::imports::Outcome;

/// Maximum number of names shown per remark.
const SHOWN: usize = 20;

/// How a remark affects the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Matter {
    /// It is not imported.
    Skipped,
    /// It is imported inactive, because this relay does not support one of its restrictions.
    Inactive,
    /// It is more restricted than in CRS.
    Stricter,
    /// A part that restricted nothing is not supported.
    Lost,
    /// A value differs from CRS.
    Changed,
    /// Information.
    Note,
}

/// A remark, and the records it concerns.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remark {
    pub matter: Matter,
    pub what: String,
    pub count: u64,
    /// The first of them.
    pub names: Vec<String>,
}

/// Remarks without duplicates.
#[derive(Clone, Debug, Default)]
pub struct Remarks(BTreeMap<(Matter, String), (u64, Vec<String>)>);

impl Remarks {
    pub fn add(&mut self, matter: Matter, what: impl Into<String>, name: &str) {
        let (count, names) = self.0.entry((matter, what.into())).or_default();
        *count += 1;
        if names.len() < SHOWN {
            names.push(name.to_owned());
        }
    }

    pub fn list(&self) -> Vec<Remark> {
        let all = self.0.iter();
        all.map(|((matter, what), (count, names))| Remark {
            matter: *matter,
            what: what.clone(),
            count: *count,
            names: names.clone(),
        })
        .collect()
    }
}

/// Results for the records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    pub found: u64,
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    /// Changed or deleted here since: left unchanged.
    pub kept: u64,
    pub skipped: u64,
    /// In a proof: missing here or different from the source.
    pub different: u64,
}

impl Figures {
    pub fn count(&mut self, outcome: Outcome) {
        let figure = match outcome {
            Outcome::Created => &mut self.created,
            Outcome::Updated => &mut self.updated,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Kept | Outcome::Deleted => &mut self.kept,
            Outcome::Taken => &mut self.skipped,
            Outcome::Differs => &mut self.different,
        };
        *figure += 1;
    }
}

/// What becomes of a variable of the CRS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VariableFate {
    pub name: String,
    #[serde(flatten)]
    pub fate: crate::config::crs::variables::Fate,
}

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub source: String,
    pub target: String,
    pub edition: String,
    /// `rehearsal`, `copy` or `proof`.
    pub mode: String,
    pub keys: Figures,
    pub accounts: Figures,
    pub groups: Figures,
    pub settings: Figures,
    pub sums: Figures,
    pub calls: u64,
    /// The spending of all keys in the CRS, micro-USD.
    pub spent: u64,
    /// Number of encrypted values tried, and of those that the key decrypts.
    pub secrets_tried: u64,
    pub secrets_opened: u64,
    /// In a proof: number of secrets compared, and of those that differ.
    pub secrets_compared: u64,
    pub secrets_different: u64,
    /// Number of OAuth logins that are idle until the CRS is stopped.
    pub idle_logins: u64,
    /// Variables that must be set here to refresh imported logins.
    pub needed_variables: Vec<String>,
    pub variables: Vec<VariableFate>,
    /// Number of unsupported records by kind.
    pub homeless: BTreeMap<String, u64>,
    /// The file with those records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
    pub remarks: Vec<Remark>,
    pub seconds: f64,
}

impl Report {
    /// Whether a proof found no difference.
    pub fn agrees(&self) -> bool {
        let all = [self.keys, self.accounts, self.groups, self.settings, self.sums];
        all.iter().all(|figures| figures.different == 0) && self.secrets_different == 0
    }
}
